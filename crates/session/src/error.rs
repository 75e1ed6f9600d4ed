/// A failed operation of a session.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No such name or node.
    #[error("no such file or directory")]
    NotFound,
    /// The name is taken.
    #[error("the name is taken")]
    Exists,
    /// A directory is needed.
    #[error("not a directory")]
    NotDirectory,
    /// A directory cannot be used so.
    #[error("is a directory")]
    IsDirectory,
    /// The directory is not empty.
    #[error("the directory is not empty")]
    NotEmpty,
    /// An argument out of its range.
    #[error("invalid argument: {0}")]
    Invalid(&'static str),
    /// The operation is not permitted on this kind of node.
    #[error("not permitted on this kind of file")]
    NotPermitted,
    /// A name over 255 bytes.
    #[error("the name is longer than 255 bytes")]
    NameTooLong,
    /// A file would exceed 2^63-1 bytes.
    #[error("the file would be too large")]
    FileTooLarge,
    /// A node has the most links it can have.
    #[error("too many links")]
    TooManyLinks,
    /// Nothing there to seek to.
    #[error("no data after this place")]
    NoData,
    /// No such extended attribute.
    #[error("no such extended attribute")]
    NoAttribute,
    /// An extended attribute's value over 64 KiB.
    #[error("the value is larger than 64 KiB")]
    ValueTooLarge,
    /// A kind of extended attribute or operation that is not kept.
    #[error("not supported")]
    NotSupported,
    /// A snapshot or a public tree.
    #[error("this tree is read-only")]
    ReadOnly,
    /// The disk that holds the stage is full.
    #[error("no room left: {0}")]
    Full(String),
    /// Bytes that are damaged or missing; the message names them. Other files are not concerned.
    #[error("{0}")]
    Damaged(String),
    /// The answer is on a store elsewhere, and the caller did not want to wait for it.
    #[error("this has to be fetched first; ask again")]
    WouldWait,
    /// Another computer has changed the account's password.
    #[error(
        "the password was changed elsewhere: sign out with `safe logout --later` and in again with the new one; what is not published is kept until then"
    )]
    PasswordChanged,
    /// The session was signed out.
    #[error("this session has ended; sign in again")]
    Ended,
    /// The local state folder cannot be used.
    #[error("the state folder cannot be used: {0}")]
    State(String),
    /// The disk that holds the state folder can only be read.
    #[error("the state folder is on a disk that can only be read: {0}")]
    StateReadOnly(String),
    /// The store answered an older state than this computer has seen.
    #[error(
        "the store shows an older state of this home than this computer has seen; it was rolled back or replaced. Nothing was changed. If the store was restored on purpose, sign in with --accept-older"
    )]
    RolledBack,
    /// The store answered a state that has nothing in common with the published states of this computer.
    #[error(
        "the store shows a state of this home that does not come from what this computer has published, and no state is left from which both come: it was put back or replaced. Nothing was changed. To have both, merged without removing anything, sign out with `safe logout --keep` and in again with --accept-older"
    )]
    Unrelated,
    /// The store a home is copied to has a state that the copied one does not come from.
    #[error(
        "the store {url} has a state of this home that the one to be copied does not come from: somebody has worked with it there, or it is newer. Its pointer was left as it is. Copy the other way, or sign in there and take over what is missing"
    )]
    Apart {
        /// The store that was to be copied to.
        url: String,
    },
    /// Another session of this account is open in this state folder.
    #[error(
        "this account is already signed in on this computer; use that session or sign it out first"
    )]
    InUse,
    /// Another computer's published changes could not be merged, because this home is written to all the time.
    #[error(
        "the home changes too quickly for another computer's changes to be merged into it; nothing is lost, and it is tried again by itself"
    )]
    TooQuick,
    /// The person stopped it.
    #[error("stopped")]
    Stopped,
    /// From the account.
    #[error(transparent)]
    Account(#[from] safeos_account::Error),
    /// From the store.
    #[error(transparent)]
    Store(#[from] safeos_store::Error),
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The error number of POSIX, as Linux and Redox count them.
    pub fn errno(&self) -> i32 {
        match self {
            Self::NotPermitted => 1,
            Self::NotFound => 2,
            Self::Stopped => 4,
            Self::WouldWait => 11,
            Self::InUse => 16,
            Self::Exists => 17,
            Self::NotDirectory => 20,
            Self::IsDirectory => 21,
            Self::Invalid(_) => 22,
            Self::FileTooLarge => 27,
            error if error.is_full() => 28,
            Self::ReadOnly | Self::StateReadOnly(_) => 30,
            Self::TooManyLinks => 31,
            Self::NameTooLong => 36,
            Self::NotEmpty => 39,
            Self::NoData => 6,
            Self::NoAttribute => 61,
            Self::ValueTooLarge => 7,
            Self::NotSupported => 95,
            Self::Ended => 19,
            _ => 5,
        }
    }

    /// The error that a failpoint returns.
    #[cfg(feature = "failpoints")]
    pub(crate) fn injected() -> Self {
        Self::State("a test has it so".into())
    }

    /// A stable word for programs (design section 7).
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Exists => "exists",
            Self::Full(_) => "disk_full",
            Self::Damaged(_) => "damaged",
            Self::Ended => "no_session",
            Self::State(_) | Self::StateReadOnly(_) => "state_unusable",
            Self::RolledBack | Self::Unrelated => "rolled_back",
            Self::Apart { .. } => "conflict",
            Self::InUse => "in_use",
            Self::TooQuick => "busy",
            Self::Stopped => "stopped",
            Self::PasswordChanged => "retired",
            Self::Account(error) => error.code(),
            Self::Store(error) => error.code(),
            _ => "failed",
        }
    }

    /// Whether the store was not spoken to.
    pub fn is_away(&self) -> bool {
        match self {
            Self::Account(safeos_account::Error::Store(error)) | Self::Store(error) => {
                error.is_away()
            }
            _ => false,
        }
    }

    /// Whether the caller has given it up.
    pub(crate) fn is_stopped(&self) -> bool {
        matches!(
            self,
            Self::Stopped
                | Self::Account(safeos_account::Error::Store(
                    safeos_store::Error::Stopped { .. }
                ))
                | Self::Store(safeos_store::Error::Stopped { .. })
        )
    }

    /// Whether this computer or the store has no room.
    fn is_full(&self) -> bool {
        use safeos_store::Error::Full;
        matches!(
            self,
            Self::Full(_)
                | Self::Store(Full { .. })
                | Self::Account(safeos_account::Error::Store(Full { .. }))
        )
    }

    /// Whether it is only that nothing can be written on this computer, or on its store: a home can be read then.
    pub(crate) fn is_of_disk(&self) -> bool {
        self.is_full() || matches!(self, Self::StateReadOnly(_))
    }

    /// Whether the same call may succeed later without any change.
    pub fn retry(&self) -> bool {
        match self {
            Self::Account(error) => error.retry(),
            Self::Store(error) => error.retry(),
            Self::WouldWait | Self::TooQuick => true,
            _ => false,
        }
    }
}
