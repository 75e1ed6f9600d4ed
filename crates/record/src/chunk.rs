use bytes::Bytes;

use crate::{Address, Error, MAX_CHUNK_SIZE, Result};

/// An immutable record. Its address is the BLAKE3 hash of its bytes, always.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chunk {
    address: Address,
    bytes: Bytes,
}

impl Chunk {
    /// A chunk of these bytes; an error if they are more than [`MAX_CHUNK_SIZE`].
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self> {
        let bytes = bytes.into();
        if bytes.len() > MAX_CHUNK_SIZE {
            return Err(Error::ChunkTooLarge(bytes.len()));
        }
        Ok(Self {
            address: Address::of(&bytes),
            bytes,
        })
    }

    /// A chunk that came from elsewhere under `address`: checked against it.
    pub fn verify(address: Address, bytes: impl Into<Bytes>) -> Result<Self> {
        let chunk = Self::new(bytes)?;
        if chunk.address != address {
            return Err(Error::WrongBytes(address));
        }
        Ok(chunk)
    }

    /// Where this chunk lives.
    pub const fn address(&self) -> Address {
        self.address
    }

    /// The content.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The bytes alone.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}
