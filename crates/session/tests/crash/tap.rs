//! A store in memory at whose calls a test can look, or do something of its own.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use safeos_record::{Address, Chunk, Pointer};
use safeos_store::{Entry, Kind, MemoryStore, Result, Stats, Store, Traits};

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

impl Store for Tap {
    fn url(&self) -> &str {
        self.store.url()
    }

    fn traits(&self) -> Traits {
        self.store.traits()
    }

    fn put_chunks(&self, chunks: &[Chunk]) -> Result<()> {
        self.pass();
        let done = self.store.put_chunks(chunks);
        self.pass();
        done
    }

    fn write_chunks(&self, chunks: &[Chunk]) -> Result<()> {
        self.pass();
        let done = self.store.write_chunks(chunks);
        self.pass();
        done
    }

    fn sync(&self) -> Result<()> {
        self.store.sync()
    }

    fn get_chunks(&self, addresses: &[Address]) -> Vec<Result<Chunk>> {
        self.store.get_chunks(addresses)
    }

    fn read_part(&self, address: &Address, offset: u32, len: u32) -> Result<Bytes> {
        self.store.read_part(address, offset, len)
    }

    fn has_chunks(&self, addresses: &[Address]) -> Result<Vec<bool>> {
        self.store.has_chunks(addresses)
    }

    fn get_pointer(&self, address: &Address) -> Result<Option<Pointer>> {
        self.store.get_pointer(address)
    }

    fn set_pointer(&self, pointer: &Pointer, expected: Option<u64>) -> Result<()> {
        self.pass();
        let done = self.store.set_pointer(pointer, expected);
        self.pass();
        done
    }

    fn list(&self, after: Option<(Kind, Address)>, limit: usize) -> Result<Vec<Entry>> {
        self.store.list(after, limit)
    }

    fn delete_chunks(&self, addresses: &[Address]) -> Result<u64> {
        self.store.delete_chunks(addresses)
    }

    fn stats(&self) -> Result<Stats> {
        self.store.stats()
    }
}
