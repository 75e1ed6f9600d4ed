//! A store in memory, for tests: of its users as much as of itself.
//!
//! What always holds here: it promises exactly what [`Store`] promises, unless a test has asked it
//! to fail, to be slow, or has damaged a record by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use safeos_record::{Address, Chunk, Pointer};

use crate::check::{check_set, checked_chunk, checked_pointer};
use crate::{Entry, Error, Kind, Result, Stats, Store, Traits};

/// A method of [`Store`], for the hooks of [`MemoryStore`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Method {
    /// [`Store::put_chunks`] and [`Store::write_chunks`]
    PutChunks,
    /// [`Store::get_chunks`] (an injected failure is every address's outcome)
    GetChunks,
    /// [`Store::has_chunks`]
    HasChunks,
    /// [`Store::get_pointer`]
    GetPointer,
    /// [`Store::set_pointer`]
    SetPointer,
    /// [`Store::list`]
    List,
    /// [`Store::delete_chunks`]
    DeleteChunks,
    /// [`Store::stats`]
    Stats,
}

/// A store in memory, for tests.
pub struct MemoryStore {
    traits: Traits,
    records: Mutex<MemoryState>,
    /// Records that were written and not synced.
    unsynced: Mutex<BTreeSet<(Kind, Address)>>,
    hooks: Mutex<BTreeMap<Method, Hook>>,
}

/// Everything a [`MemoryStore`] held for good at one moment.
#[derive(Clone, Default)]
pub struct MemoryState(BTreeMap<(Kind, Address), Bytes>);

#[derive(Default)]
struct Hook {
    calls: u64,
    failures_left: u64,
    failure: Option<Error>,
    delay: Duration,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(Traits {
            local: true,
            paid: false,
        })
    }
}

impl MemoryStore {
    /// An empty store that says this of itself.
    pub fn new(traits: Traits) -> Self {
        Self {
            traits,
            records: Mutex::default(),
            unsynced: Mutex::default(),
            hooks: Mutex::default(),
        }
    }

    /// How often `method` was called.
    pub fn calls(&self, method: Method) -> u64 {
        self.hooks.lock().get(&method).map_or(0, |hook| hook.calls)
    }

    /// How often any method was called.
    pub fn all_calls(&self) -> u64 {
        self.hooks.lock().values().map(|hook| hook.calls).sum()
    }

    /// Makes the next `calls` calls of `method` fail with `error` and do nothing.
    pub fn fail_next(&self, method: Method, calls: u64, error: Error) {
        let mut hooks = self.hooks.lock();
        let hook = hooks.entry(method).or_default();
        hook.failures_left = calls;
        hook.failure = Some(error);
    }

    /// Makes every call of `method` take at least this long.
    pub fn delay(&self, method: Method, delay: Duration) {
        self.hooks.lock().entry(method).or_default().delay = delay;
    }

    /// The bytes of a record, unchecked.
    pub fn raw(&self, kind: Kind, address: &Address) -> Option<Bytes> {
        self.records.lock().0.get(&(kind, *address)).cloned()
    }

    /// Puts these bytes under this address, unchecked: damage.
    pub fn set_raw(&self, kind: Kind, address: Address, bytes: impl Into<Bytes>) {
        self.records.lock().0.insert((kind, address), bytes.into());
    }

    /// Takes a record away; false when there was none.
    pub fn remove_raw(&self, kind: Kind, address: &Address) -> bool {
        self.records.lock().0.remove(&(kind, *address)).is_some()
    }

    /// The records that a crash would leave now.
    pub fn state(&self) -> MemoryState {
        let unsynced = self.unsynced.lock();
        let mut state = self.records.lock().clone();
        state.0.retain(|place, _| !unsynced.contains(place));
        state
    }

    /// Makes the store hold what it held then.
    pub fn restore(&self, state: MemoryState) {
        *self.records.lock() = state;
    }

    fn enter(&self, method: Method) -> Result<()> {
        let (delay, outcome) = {
            let mut hooks = self.hooks.lock();
            let hook = hooks.entry(method).or_default();
            hook.calls += 1;
            let outcome = match &hook.failure {
                Some(error) if hook.failures_left > 0 => {
                    hook.failures_left -= 1;
                    Err(error.clone())
                }
                _ => Ok(()),
            };
            (hook.delay, outcome)
        };
        if !delay.is_zero() {
            std::thread::sleep(delay);
        }
        outcome
    }
}

impl Store for MemoryStore {
    fn url(&self) -> &str {
        "memory:"
    }

    fn traits(&self) -> Traits {
        self.traits
    }

    fn put_chunks(&self, chunks: &[Chunk]) -> Result<()> {
        self.write_chunks(chunks)?;
        self.sync()
    }

    fn write_chunks(&self, chunks: &[Chunk]) -> Result<()> {
        self.enter(Method::PutChunks)?;
        let mut unsynced = self.unsynced.lock();
        let mut records = self.records.lock();
        for chunk in chunks {
            let place = (Kind::Chunk, chunk.address());
            if records.0.insert(place, chunk.bytes().clone()).is_none() {
                unsynced.insert(place);
            }
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.unsynced.lock().clear();
        Ok(())
    }

    fn get_chunks(&self, addresses: &[Address]) -> Vec<Result<Chunk>> {
        if let Err(error) = self.enter(Method::GetChunks) {
            return addresses.iter().map(|_| Err(error.clone())).collect();
        }
        addresses
            .iter()
            .map(|address| checked_chunk(*address, self.raw(Kind::Chunk, address)))
            .collect()
    }

    fn has_chunks(&self, addresses: &[Address]) -> Result<Vec<bool>> {
        self.enter(Method::HasChunks)?;
        let records = self.records.lock();
        Ok(addresses
            .iter()
            .map(|address| records.0.contains_key(&(Kind::Chunk, *address)))
            .collect())
    }

    fn get_pointer(&self, address: &Address) -> Result<Option<Pointer>> {
        self.enter(Method::GetPointer)?;
        checked_pointer(*address, self.raw(Kind::Pointer, address).as_deref())
    }

    fn set_pointer(&self, pointer: &Pointer, expected: Option<u64>) -> Result<()> {
        self.enter(Method::SetPointer)?;
        let key = (Kind::Pointer, pointer.address());
        let mut records = self.records.lock();
        check_set(pointer, expected, records.0.get(&key).map(Bytes::as_ref))?;
        records
            .0
            .insert(key, Bytes::copy_from_slice(pointer.as_bytes()));
        Ok(())
    }

    fn list(&self, after: Option<(Kind, Address)>, limit: usize) -> Result<Vec<Entry>> {
        self.enter(Method::List)?;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(self
            .records
            .lock()
            .0
            .range((from, Bound::Unbounded))
            .take(limit)
            .map(|((kind, address), bytes)| Entry {
                kind: *kind,
                address: *address,
                len: bytes.len() as u64,
            })
            .collect())
    }

    fn delete_chunks(&self, addresses: &[Address]) -> Result<u64> {
        self.enter(Method::DeleteChunks)?;
        let mut records = self.records.lock();
        Ok(addresses
            .iter()
            .filter(|address| records.0.remove(&(Kind::Chunk, **address)).is_some())
            .count() as u64)
    }

    fn stats(&self) -> Result<Stats> {
        self.enter(Method::Stats)?;
        let mut stats = Stats::default();
        for ((kind, _), bytes) in &self.records.lock().0 {
            match kind {
                Kind::Chunk => stats.chunks += 1,
                Kind::Pointer => stats.pointers += 1,
            }
            stats.bytes += bytes.len() as u64;
        }
        Ok(stats)
    }
}
