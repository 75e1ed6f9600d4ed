//! A store with a nearer one in front of it, which remembers chunks.
//!
//! What always holds here: the cache answers for chunks only, which never change; pointers, and which records are
//! there at all, are always the store's to say. A cache that fails is as good as none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use safeos_record::{Address, Chunk, Pointer, random_bytes};
use safeos_store::{Entry, Error, Kind, Result, Room, Stats, Store, Traits};

/// Chunks forgotten with one step.
const FORGET_AT_ONCE: usize = 64;

/// A store behind a cache.
pub struct Cached {
    store: Arc<dyn Store>,
    cache: Arc<dyn Store>,
    bytes_max: u64,
    /// About how much the cache holds.
    bytes: AtomicU64,
    /// One thread at a time makes room.
    making_room: Mutex<()>,
}

impl Cached {
    /// `cache` in front of `store`, with at most about `bytes_max` in it.
    pub fn new(store: Arc<dyn Store>, cache: Arc<dyn Store>, bytes_max: u64) -> Result<Self> {
        let bytes = cache.stats()?.bytes;
        Ok(Self {
            store,
            cache,
            bytes_max,
            bytes: AtomicU64::new(bytes),
            making_room: Mutex::new(()),
        })
    }

    fn keep(&self, chunks: &[Chunk]) {
        if chunks.is_empty() {
            return;
        }
        let added: u64 = chunks.iter().map(|chunk| chunk.bytes().len() as u64).sum();
        if self.cache.put_chunks(chunks).is_ok() {
            let now = self.bytes.fetch_add(added, Ordering::Relaxed) + added;
            if now > self.bytes_max {
                self.make_room();
            }
        }
    }

    /// Forgets chunks, whichever come, down to nine tenths: addresses are hashes, so to begin at a random place is to
    /// take any of them.
    fn make_room(&self) {
        let Some(_one) = self.making_room.try_lock() else {
            return;
        };
        // Chunks put twice were counted twice.
        let Ok(stats) = self.cache.stats() else {
            return;
        };
        let mut bytes = stats.bytes;
        let mut rounds = stats.chunks.div_ceil(FORGET_AT_ONCE as u64) + 1;
        let goal = self.bytes_max / 10 * 9;
        while bytes > goal && rounds > 0 {
            rounds -= 1;
            let mut place = [0; 32];
            let started = random_bytes(&mut place).is_ok();
            let after = started.then_some((Kind::Chunk, Address(place)));
            let Ok(mut found) = self.cache.list(after, FORGET_AT_ONCE) else {
                break;
            };
            found.retain(|entry| entry.kind == Kind::Chunk);
            if found.is_empty() {
                // Behind the last one: from the start.
                found = self.cache.list(None, FORGET_AT_ONCE).unwrap_or_default();
                found.retain(|entry| entry.kind == Kind::Chunk);
            }
            // No more than is needed.
            let mut left = bytes;
            found.retain(|entry| {
                let too_much = left > goal;
                left = left.saturating_sub(if too_much { entry.len } else { 0 });
                too_much
            });
            let addresses: Vec<Address> = found.iter().map(|entry| entry.address).collect();
            if addresses.is_empty() || self.cache.delete_chunks(&addresses).is_err() {
                break;
            }
            bytes = left;
        }
        self.bytes.store(bytes, Ordering::Relaxed);
    }
}

impl Store for Cached {
    fn url(&self) -> &str {
        self.store.url()
    }

    fn traits(&self) -> Traits {
        self.store.traits()
    }

    fn put_chunks(&self, chunks: &[Chunk]) -> Result<()> {
        self.store.put_chunks(chunks)?;
        self.keep(chunks);
        Ok(())
    }

    fn get_chunks(&self, addresses: &[Address]) -> Vec<Result<Chunk>> {
        let mut outcomes = self.cache.get_chunks(addresses);
        let open: Vec<usize> = (0..addresses.len())
            .filter(|n| !matches!(outcomes.get(*n), Some(Ok(_))))
            .collect();
        if open.is_empty() {
            return outcomes;
        }
        let asked: Vec<Address> = open
            .iter()
            .filter_map(|n| addresses.get(*n).copied())
            .collect();
        let fetched = self.store.get_chunks(&asked);
        let new: Vec<Chunk> = fetched
            .iter()
            .filter_map(|f| f.as_ref().ok())
            .cloned()
            .collect();
        self.keep(&new);
        outcomes.resize_with(addresses.len(), || {
            Err(Error::Missing {
                kind: Kind::Chunk,
                address: Address([0; 32]),
            })
        });
        for (number, outcome) in open.into_iter().zip(fetched) {
            if let Some(place) = outcomes.get_mut(number) {
                *place = outcome;
            }
        }
        outcomes
    }

    fn has_chunks(&self, addresses: &[Address]) -> Result<Vec<bool>> {
        self.store.has_chunks(addresses)
    }

    fn get_pointer(&self, address: &Address) -> Result<Option<Pointer>> {
        self.store.get_pointer(address)
    }

    fn set_pointer(&self, pointer: &Pointer, expected: Option<u64>) -> Result<()> {
        self.store.set_pointer(pointer, expected)
    }

    fn list(&self, after: Option<(Kind, Address)>, limit: usize) -> Result<Vec<Entry>> {
        self.store.list(after, limit)
    }

    fn delete_chunks(&self, addresses: &[Address]) -> Result<u64> {
        // A record that stays in a failing cache is found only by clients that know its address.
        drop(self.cache.delete_chunks(addresses));
        self.store.delete_chunks(addresses)
    }

    fn stats(&self) -> Result<Stats> {
        self.store.stats()
    }

    fn room(&self) -> Option<Room> {
        self.store.room()
    }
}

#[cfg(test)]
mod tests {
    use safeos_store::{MemoryStore, Method};

    use super::*;

    fn chunks(count: u8) -> Vec<Chunk> {
        (0..count)
            .map(|n| Chunk::new(vec![n; 1000]).unwrap())
            .collect()
    }

    fn addresses(chunks: &[Chunk]) -> Vec<Address> {
        chunks.iter().map(Chunk::address).collect()
    }

    #[test]
    fn what_was_fetched_once_is_fetched_from_the_cache() {
        let (store, cache) = (
            Arc::new(MemoryStore::default()),
            Arc::new(MemoryStore::default()),
        );
        let cached = Cached::new(store.clone(), cache.clone(), 1 << 20).unwrap();
        let chunks = chunks(10);
        store.put_chunks(&chunks).unwrap();
        for calls in [1, 1] {
            let found = cached.get_chunks(&addresses(&chunks));
            assert!(
                found
                    .iter()
                    .zip(&chunks)
                    .all(|(f, c)| f.as_ref().unwrap() == c)
            );
            assert_eq!(store.calls(Method::GetChunks), calls);
        }
        // Damage of the cache is the cache's affair.
        cache.set_raw(Kind::Chunk, chunks[0].address(), "wrong");
        assert_eq!(cached.get_chunk(&chunks[0].address()).unwrap(), chunks[0]);
        // Records removed from the store are not there.
        store.delete_chunks(&addresses(&chunks[1..2])).unwrap();
        assert_eq!(
            cached.has_chunks(&addresses(&chunks[1..2])).unwrap(),
            [false]
        );
    }

    #[test]
    fn the_cache_stays_within_its_size() {
        let (store, cache) = (
            Arc::new(MemoryStore::default()),
            Arc::new(MemoryStore::default()),
        );
        let cached = Cached::new(store.clone(), cache.clone(), 50_000).unwrap();
        for chunk in chunks(200) {
            cached.put_chunks(&[chunk]).unwrap();
            assert!(cache.stats().unwrap().bytes <= 51_000);
        }
        assert!(cache.stats().unwrap().bytes > 40_000);
        assert_eq!(store.stats().unwrap().chunks, 200);
    }
}
