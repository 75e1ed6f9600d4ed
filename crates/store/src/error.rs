use safeos_record::Address;

use crate::Kind;

/// A failure of a store. Each message says what failed, on what, and what to do.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Text that is no store URL; says which text, why, and what to write.
    #[error("{0}")]
    Url(String),
    /// The store cannot be reached now; trying later may help.
    #[error("the store {url} is out of reach: {why}")]
    Unreachable {
        /// The store.
        url: String,
        /// The attempt that failed.
        why: String,
    },
    /// Something else answers where a gateway should: a network's sign-in page, a proxy, another program. That says
    /// nothing about the store, and passes.
    #[error("the server at {url} is not a SafeOS gateway: {why}")]
    NotAGateway {
        /// The store.
        url: String,
        /// The answer that came, and what to do.
        why: String,
    },
    /// No such record.
    #[error(
        "{kind:?} {address} is missing from the store; if there is a copy of the store, `safe store copy` brings it back"
    )]
    Missing {
        /// Chunk or pointer.
        kind: Kind,
        /// Which.
        address: Address,
    },
    /// The record is there but its bytes are not the right ones.
    #[error("{kind:?} {address} is damaged on the store: {why}")]
    Damaged {
        /// Chunk or pointer.
        kind: Kind,
        /// Which.
        address: Address,
        /// The part that does not fit.
        why: String,
    },
    /// A pointer has moved meanwhile.
    #[error("the pointer {address} has moved meanwhile (counter {current:?})")]
    Conflict {
        /// Which pointer.
        address: Address,
        /// The counter that is there now.
        current: Option<u64>,
    },
    /// The store refuses this: an unknown token, a redirect, an untrusted certificate.
    #[error("the store {url} refuses: {why}")]
    Refused {
        /// The store.
        url: String,
        /// The reason, and what to do.
        why: String,
    },
    /// The disk or the quota is full.
    #[error("the store {url} is full: {why}")]
    Full {
        /// The store.
        url: String,
        /// The system's message.
        why: String,
    },
    /// Records are paid for here and the wallet cannot pay: it is missing or empty.
    #[error("the store {url} wants to be paid: {why}")]
    Unpaid {
        /// The store.
        url: String,
        /// The missing part, and what to do.
        why: String,
    },
    /// This build of SafeOS has no client of the network.
    #[error(
        "the store {url} needs the network's client, which this build of SafeOS does not have: {cure}"
    )]
    NoClient {
        /// The store.
        url: String,
        /// How to get there.
        cure: String,
    },
    /// The given wallet key is malformed.
    #[error(
        "for the store {url}: the wallet key is malformed: it has 64 hexadecimal digits, with or without 0x before them"
    )]
    WalletKey {
        /// The store.
        url: String,
    },
    /// It would cost more than was agreed to.
    #[error("the store {url}: {why}")]
    Dear {
        /// The store.
        url: String,
        /// The price, and what to do.
        why: String,
    },
    /// The caller has stopped the upload.
    #[error(
        "the store {url}: the upload was stopped; it goes on where it was when it is begun again"
    )]
    Stopped {
        /// The store.
        url: String,
    },
    /// The store's folder belongs to another user, or others can change it.
    #[error("the store {url} is not used: {why}")]
    Strange {
        /// The store.
        url: String,
        /// Whose it is and what to do.
        why: String,
    },
    /// The store's own files are damaged or cannot be used.
    #[error("the store {url} cannot be used: {why}")]
    Broken {
        /// The store.
        url: String,
        /// The problem, and what to do.
        why: String,
    },
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Url(_) => "bad_store_url",
            Self::Unreachable { .. } => "store_unreachable",
            Self::NotAGateway { .. } => "not_a_gateway",
            Self::Missing { .. } => "missing_record",
            Self::Damaged { .. } => "damaged_record",
            Self::Conflict { .. } => "conflict",
            Self::Refused { .. } => "store_refused",
            Self::Full { .. } => "store_full",
            Self::Unpaid { .. } => "wallet_empty",
            Self::NoClient { .. } => "no_network_client",
            Self::WalletKey { .. } => "bad_wallet_key",
            Self::Dear { .. } => "too_dear",
            Self::Stopped { .. } => "stopped",
            Self::Strange { .. } => "not_yours",
            Self::Broken { .. } => "store_broken",
        }
    }

    /// Whether the same call may succeed later.
    pub fn retry(&self) -> bool {
        self.is_away() || matches!(self, Self::Conflict { .. })
    }

    /// Whether the store was not spoken to: this says nothing about what is there.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::NotAGateway { .. })
    }
}
