use safeos_record::{Address, Chunk};

use crate::Result;

/// The source of chunks for an upload, and the receiver of its progress.
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

    /// These are on the store for good: local copies are no longer needed for the upload.
    fn settled(&self, _chunks: &[Address]) {}

    /// Whether to stop.
    fn stopped(&self) -> bool {
        false
    }

    /// Whether some of them may be on the store already; if not, it is not asked.
    fn may_be_there(&self) -> bool {
        true
    }

    /// Runs a part of the upload that has a thread of its own, with whatever belongs to the thread that began it.
    fn in_thread(&self, work: &mut dyn FnMut()) {
        work();
    }
}
