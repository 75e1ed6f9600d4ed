//! Shared parts of the store tests.
#![allow(dead_code, clippy::unwrap_used)]

use std::path::Path;

use safeos_record::{Address, Chunk, OwnerKey, Pointer, Target};
use safeos_store::{FileStore, file_url};

/// Chunks of more bytes are files of their own in a `file:` store.
pub const LARGE: usize = 64 * 1024 + 1;

/// A chunk of this length; other seeds, other bytes.
pub fn chunk(seed: u64, len: usize) -> Chunk {
    let mut bytes = vec![0; len];
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for part in bytes.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        part.copy_from_slice(&state.to_le_bytes()[..part.len()]);
    }
    Chunk::new(bytes).unwrap()
}

pub fn owner(seed: u8) -> OwnerKey {
    OwnerKey::from_seed(&[seed; 32])
}

pub fn pointer(seed: u8, counter: u64) -> Pointer {
    let target = Target::Chunk(Address([counter as u8; 32]));
    Pointer::sign(&owner(seed), counter, target).unwrap()
}

pub fn open(folder: &Path) -> FileStore {
    FileStore::open(&file_url(folder).unwrap(), folder).unwrap()
}

pub fn large_path(folder: &Path, address: &Address) -> std::path::PathBuf {
    let name = address.to_string();
    folder.join("chunks").join(&name[..1]).join(name)
}
