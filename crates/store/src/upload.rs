use safeos_record::{Address, Chunk};

use crate::{Error, Result, Store};

/// Chunks put at once where a store has no better way.
const BATCH: usize = 8;

/// Where chunks come from that are uploaded, and who hears of it.
pub trait Upload: Send + Sync {
    /// One of the chunks that are uploaded; may be asked for it more than once.
    fn load(&self, address: &Address) -> Result<Chunk>;

    /// Several of them, in their order.
    fn load_some(&self, addresses: &[Address]) -> Result<Vec<Chunk>> {
        addresses.iter().map(|address| self.load(address)).collect()
    }

    /// So many of them are on the store.
    fn stored(&self, _done: u64) {}

    /// This one was not there and is now.
    fn sent(&self, _chunk: &Address) {}

    /// These are on the store for good: nobody needs to keep them for it any more.
    fn settled(&self, _chunks: &[Address]) {}

    /// Whether to stop.
    fn stopped(&self) -> bool {
        false
    }
}

/// Uploads some at a time, those that are not there.
pub fn in_batches<S: Store + ?Sized>(
    store: &S,
    addresses: &[Address],
    from: &dyn Upload,
) -> Result<()> {
    for (number, batch) in addresses.chunks(BATCH).enumerate() {
        from.stored((number * BATCH) as u64);
        if from.stopped() {
            return Err(Error::Stopped {
                url: store.url().to_owned(),
            });
        }
        let there = store.has_chunks(batch)?;
        let missing = batch.iter().zip(there).filter(|(_, there)| !there);
        let missing: Vec<Address> = missing.map(|(address, _)| *address).collect();
        let chunks = from.load_some(&missing)?;
        store.put_chunks(&chunks)?;
        for chunk in &chunks {
            from.sent(&chunk.address());
        }
        from.settled(batch);
    }
    from.stored(addresses.len() as u64);
    Ok(())
}
