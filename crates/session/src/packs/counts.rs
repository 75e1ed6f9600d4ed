//! How much a session has put.

use std::sync::atomic::{AtomicU64, Ordering};

use safeos_record::Chunk;

/// Records and bytes.
#[derive(Default)]
pub(super) struct Counts {
    records: AtomicU64,
    bytes: AtomicU64,
}

impl Counts {
    pub(super) fn add_chunks(&self, chunks: &[Chunk]) {
        let bytes: usize = chunks.iter().map(|chunk| chunk.bytes().len()).sum();
        self.add((chunks.len() as u64, bytes as u64));
    }

    pub(super) fn add(&self, (records, bytes): (u64, u64)) {
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> (u64, u64) {
        (
            self.records.load(Ordering::Relaxed),
            self.bytes.load(Ordering::Relaxed),
        )
    }
}
