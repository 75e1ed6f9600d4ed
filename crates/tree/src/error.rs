use safeos_record::Address;

use crate::ObjectRef;

/// A failure of a tree operation.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Bytes that are not what the format says.
    #[error("the format is violated: {0}")]
    Format(&'static str),
    /// An object that cannot be opened.
    #[error("the object at {offset}+{len} of pack {pack} is damaged: {why}")]
    Object {
        /// The pack.
        pack: Address,
        /// Where in it, in bytes.
        offset: u32,
        /// Its length, in bytes.
        len: u32,
        /// The part that does not fit.
        why: String,
    },
    /// A node is not in memory: fetch it without any lock held, then try again.
    #[error("a node is not in memory")]
    NotCached(ObjectRef),
    /// From the store.
    #[error(transparent)]
    Store(#[from] safeos_store::Error),
    /// From the cryptography.
    #[error(transparent)]
    Record(#[from] safeos_record::Error),
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
