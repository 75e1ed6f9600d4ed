use safeos_record::{Address, Error as RecordError};
use safeos_store::Error as StoreError;

use crate::limits::SECRET_KEY_TEXT_LEN;

/// A failure of an account operation. Each message says what failed, on what, and what to do.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The name is known on the store, but not with this password (or secret key).
    #[error(
        "wrong password for “{0}”: type it again (if the account has a secret key, that may be wrong or missing too)"
    )]
    WrongPassword(String),
    /// The store knows no such name.
    #[error(
        "there is no account “{0}” on this store: check the name and the store, or sign up to make it"
    )]
    UnknownName(String),
    /// Nothing opens with these credentials, and the store keeps no name markers that would say why.
    #[error(
        "no account opens with the name “{0}” and this password on this store: check both, or sign up to make it"
    )]
    WrongOrUnknown(String),
    /// Nothing that this computer remembers opens with these credentials, and the store cannot be asked.
    #[error(
        "no account that this computer remembers opens with the name “{name}” and this password: type both again; others cannot be opened now, for {why}"
    )]
    NotRemembered {
        /// The name that was given.
        name: String,
        /// Why the store cannot be asked.
        why: String,
    },
    /// The name is in use.
    #[error(
        "the name “{0}” is in use on this store: sign in if the account is yours, or choose another name"
    )]
    NameTaken(String),
    /// The account's records are there and do not open, although name and password are right.
    #[error(
        "the account packet is damaged ({why}, chunk {address}): restore this chunk from a copy of the store, or sign in on a computer that remembers the account"
    )]
    DamagedPacket {
        /// The head chunk.
        address: Address,
        /// The part that does not fit.
        why: &'static str,
    },
    /// The password was changed: the pointer that it opened is closed for good.
    #[error("this password was changed: sign in with the new one")]
    Retired,
    /// A password that cannot be set.
    #[error("the password cannot be used: {0}")]
    WeakPassword(&'static str),
    /// A password that this account had before.
    #[error(
        "this account had this password before; a retired password cannot come back: choose another"
    )]
    PasswordUsed,
    /// A change to this password was interrupted, and work has gone on under both passwords since.
    #[error(
        "an earlier change to this password was interrupted, and files have changed under it since: sign in with the new password, or change to a third one"
    )]
    PasswordInUse,
    /// A name that cannot be used.
    #[error("the name cannot be used: {0}")]
    BadName(&'static str),
    /// A secret key that was not typed as it stands on the sheet.
    #[error("the secret key is not right: {0}; it has {len} letters and digits in groups of five, as printed at sign-up", len = SECRET_KEY_TEXT_LEN)]
    BadSecretKey(&'static str),
    /// A recovery key that was not typed as it stands on the sheet.
    #[error("the recovery key is not right: {0}")]
    BadRecoveryKey(String),
    /// The store has no account with this recovery key.
    #[error(
        "no account on this store has this recovery sheet: check the store, and that it is the account's newest sheet"
    )]
    UnknownRecoveryKey,
    /// The recovery key opens an account that is not called so.
    #[error(
        "this recovery sheet belongs to another account than “{0}”: give the name of its account"
    )]
    RecoveryKeyOfAnother(String),
    /// The recovery key was replaced.
    #[error("this recovery sheet was replaced: use the newer one")]
    RecoveryKeyReplaced,
    /// Settings beyond their limits.
    #[error("the account's settings cannot be kept: {0}")]
    BadSettings(&'static str),
    /// Not enough memory to stretch the password.
    #[error(
        "not enough memory to open this account: {mebibytes} MiB are needed, {} free here; close other programs, raise the limit, or use a computer with more", .free.map_or("and they are not".to_owned(), |free| format!("{free} MiB are"))
    )]
    NoMemory {
        /// How much is needed.
        mebibytes: u32,
        /// The free memory, where it is known.
        free: Option<u32>,
    },
    /// The operating system gave no random bytes.
    #[error("this computer offers no random numbers; no keys can be made on it")]
    NoRandomness,
    /// Another computer has published meanwhile.
    #[error("another computer has published meanwhile: fetch its state, merge and publish again")]
    HeadMoved {
        /// The counter that is there now.
        current: Option<u64>,
    },
    /// From the store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record that cannot be made.
    #[error(transparent)]
    Record(RecordError),
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::WrongPassword(_) => "wrong_password",
            Self::UnknownName(_) => "unknown_name",
            Self::WrongOrUnknown(_) | Self::NotRemembered { .. } => "wrong_or_unknown",
            Self::NameTaken(_) => "account_exists",
            Self::DamagedPacket { .. } => "damaged_packet",
            Self::Retired => "retired",
            Self::WeakPassword(_) => "weak_password",
            Self::PasswordUsed => "password_used",
            Self::PasswordInUse => "password_in_use",
            Self::BadName(_) => "bad_name",
            Self::BadSecretKey(_) => "bad_secret_key",
            Self::BadRecoveryKey(_) => "bad_recovery_key",
            Self::UnknownRecoveryKey => "unknown_recovery_key",
            Self::RecoveryKeyOfAnother(_) => "recovery_key_of_another",
            Self::RecoveryKeyReplaced => "recovery_key_replaced",
            Self::BadSettings(_) => "bad_settings",
            Self::NoMemory { .. } => "no_memory",
            Self::NoRandomness => "no_randomness",
            Self::HeadMoved { .. } => "head_moved",
            Self::Store(error) => error.code(),
            Self::Record(_) => "failed",
        }
    }

    /// Whether the same call may succeed later.
    pub fn retry(&self) -> bool {
        match self {
            Self::NoMemory { .. } | Self::HeadMoved { .. } => true,
            Self::Store(error) => error.retry(),
            _ => false,
        }
    }
}

impl From<RecordError> for Error {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::NoRandomness => Self::NoRandomness,
            other => Self::Record(other),
        }
    }
}
