//! Records: the bytes that live on a store, and the cryptography under them.
//!
//! What always holds here: a [`Chunk`] has the address of its bytes, and a [`Pointer`] has been
//! verified against its owner's key. Neither can be made otherwise, so code above never sees an
//! unchecked record. The byte formats are Autonomi's own (`ant-protocol` 5), which is what lets the
//! same records live on every store and be copied between stores.

#![forbid(unsafe_code)]

mod address;
mod address_text;
mod chunk;
mod error;
mod key;
mod limits;
mod pointer;

pub use address::Address;
pub use chunk::Chunk;
pub use error::{Error, Result};
pub use key::{Cipher, Key, NONCE_LEN, TAG_LEN, random_bytes};
pub use limits::MAX_CHUNK_SIZE;
pub use pointer::{FINAL_COUNTER, OwnerKey, POINTER_LEN, Pointer, Target};
