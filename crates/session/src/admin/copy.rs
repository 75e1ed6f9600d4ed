//! Records from one store to another.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::lock::Mutex;
use safeos_record::{Address, Chunk};
use safeos_store::{Store, Upload};

use crate::{Copied, Error, Progress, Result, Step};

/// Copies what is not there, as the other store does it best.
pub(crate) fn copy(
    from: &dyn Store,
    to: &dyn Store,
    addresses: &[Address],
    progress: &dyn Progress,
) -> Result<Copied> {
    let copying = Copying {
        from,
        progress,
        total: addresses.len() as u64,
        lengths: Mutex::default(),
        records: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
    };
    to.upload(addresses, &copying)
        .map_err(|error| match error {
            safeos_store::Error::Stopped { .. } if progress.stopped() => Error::Stopped,
            error => error.into(),
        })?;
    let records = copying.records.into_inner();
    Ok(Copied {
        records,
        bytes: copying.bytes.into_inner(),
        skipped: (addresses.len() as u64).saturating_sub(records),
    })
}

/// Records on their way.
struct Copying<'a> {
    from: &'a dyn Store,
    progress: &'a dyn Progress,
    total: u64,
    /// Of those that were loaded.
    lengths: Mutex<HashMap<Address, u64>>,
    records: AtomicU64,
    bytes: AtomicU64,
}

impl Copying<'_> {
    fn note(&self, chunk: &Chunk) {
        let len = chunk.bytes().len() as u64;
        self.lengths.lock().insert(chunk.address(), len);
    }
}

impl Upload for Copying<'_> {
    fn load(&self, address: &Address) -> safeos_store::Result<Chunk> {
        let chunk = self.from.get_chunk(address)?;
        self.note(&chunk);
        Ok(chunk)
    }

    fn load_some(&self, addresses: &[Address]) -> safeos_store::Result<Vec<Chunk>> {
        let chunks: Vec<Chunk> = self
            .from
            .get_chunks(addresses)
            .into_iter()
            .collect::<safeos_store::Result<_>>()?;
        chunks.iter().for_each(|chunk| self.note(chunk));
        Ok(chunks)
    }

    fn sent(&self, address: &Address) {
        let len = self.lengths.lock().get(address).copied();
        self.records.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(len.unwrap_or(0), Ordering::Relaxed);
    }

    fn stored(&self, done: u64) {
        self.progress.step(Step {
            what: "copying".into(),
            done,
            total: self.total,
            unit: "records".into(),
        });
    }

    fn stopped(&self) -> bool {
        self.progress.stopped()
    }
}
