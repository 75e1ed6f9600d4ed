use crate::{Address, MAX_CHUNK_SIZE};

/// A fault of a record or of the cryptography under it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Text that is no address.
    #[error("“{0}” is not an address: 64 hexadecimal digits are needed")]
    AddressText(String),
    /// More bytes than a chunk may have.
    #[error("a chunk may have at most {MAX_CHUNK_SIZE} bytes, this one has {0}")]
    ChunkTooLarge(usize),
    /// Bytes that do not belong to the address they came from.
    #[error("chunk {0} is damaged: its bytes have another hash")]
    WrongBytes(Address),
    /// A pointer record of the wrong length, version, key or signature.
    #[error("the pointer record is damaged: {0}")]
    Pointer(&'static str),
    /// Sealed bytes that do not open: damaged, or another key.
    #[error("sealed bytes do not open: they are damaged or sealed with another key")]
    Sealed,
    /// The operating system gave no random bytes.
    #[error("this computer offers no random numbers; no keys can be made on it")]
    NoRandomness,
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
