//! Memory that is used again.

use std::sync::Arc;

use parking_lot::Mutex;

/// How many pieces of it are kept.
const SPARE_MAX: usize = 16;

/// Memory of pieces that have left, for the next ones: it is in the processor's cache, and cleared already.
#[derive(Clone, Default)]
pub(crate) struct BufferPool(Arc<Mutex<Vec<Vec<u8>>>>);

/// A piece of it, given back when it is dropped.
pub(crate) struct Memory {
    pub(crate) bytes: Vec<u8>,
    spare: BufferPool,
}

impl BufferPool {
    pub(crate) fn take(&self, len: usize) -> Memory {
        let mut bytes = self.0.lock().pop().unwrap_or_default();
        bytes.resize(len, 0);
        Memory {
            bytes,
            spare: self.clone(),
        }
    }
}

impl AsRef<[u8]> for Memory {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let mut spare = self.spare.0.lock();
        if spare.len() < SPARE_MAX {
            spare.push(std::mem::take(&mut self.bytes));
        }
    }
}
