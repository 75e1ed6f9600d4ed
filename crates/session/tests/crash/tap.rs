//! A store in memory at whose calls a test can look, or do something of its own.

use std::sync::Arc;

use parking_lot::Mutex;
use safeos_record::{Chunk, Pointer};
use safeos_store::{MemoryStore, Result, Store, StoreHooks};

type Hook = Box<dyn FnOnce() + Send>;

pub struct Tap {
    pub store: MemoryStore,
    /// Actions at the next writing calls, counted from 0 before and after each.
    hooks: Mutex<Vec<(usize, Hook)>>,
}

impl Tap {
    pub fn new(store: MemoryStore) -> Arc<Self> {
        Arc::new(Self {
            store,
            hooks: Mutex::new(Vec::new()),
        })
    }

    pub fn at(&self, call: usize, hook: Hook) {
        self.hooks.lock().push((call, hook));
    }

    /// Forgets the hooks that were not reached.
    pub fn clear(&self) {
        self.hooks.lock().clear();
    }

    fn pass(&self) {
        let mut due = Vec::new();
        {
            let mut hooks = self.hooks.lock();
            for (left, hook) in std::mem::take(&mut *hooks) {
                match left.checked_sub(1) {
                    Some(left) => hooks.push((left, hook)),
                    None => due.push(hook),
                }
            }
        }
        // A hook may call the store itself: that does not count.
        let waiting = std::mem::take(&mut *self.hooks.lock());
        for hook in due {
            hook();
        }
        *self.hooks.lock() = waiting;
    }
}

impl StoreHooks for Tap {
    fn inner(&self) -> &dyn Store {
        &self.store
    }

    fn on_put_chunks(&self, chunks: &[Chunk]) -> Result<()> {
        self.pass();
        let done = self.store.put_chunks(chunks);
        self.pass();
        done
    }

    fn on_write_chunks(&self, chunks: &[Chunk]) -> Result<()> {
        self.pass();
        let done = self.store.write_chunks(chunks);
        self.pass();
        done
    }

    fn on_sync(&self) -> Result<()> {
        self.store.sync()
    }

    fn on_set_pointer(&self, pointer: &Pointer, expected: Option<u64>) -> Result<()> {
        self.pass();
        let done = self.store.set_pointer(pointer, expected);
        self.pass();
        done
    }
}
