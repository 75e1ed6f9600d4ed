//! A store with a second one that gets everything the first gets.
//!
//! What always holds here: every stored record is on the first store. The mirror follows: at once if it can be
//! reached, else as soon as it can, when everything that it lacks is copied. It is read when the first has
//! not got a chunk or has it damaged, and never for a pointer as long as the first has one: two stores that
//! both decide about a pointer would lose updates.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use safeos_record::{Address, Chunk, Pointer};
use safeos_store::{Entry, Error, Kind, Result, Room, Stats, Store, Traits};

/// Records copied with one step: with the largest chunks 32 MiB of memory.
const STEP: usize = 8;
const PAGE: usize = 1024;
/// Between tries to catch up.
const AGAIN: Duration = Duration::from_secs(30);
/// How often a pointer that moves meanwhile is tried.
const TRIES_MAX: usize = 8;

/// A store with a mirror.
pub struct Mirrored {
    both: Arc<Both>,
    follower: Option<JoinHandle<()>>,
}

struct Both {
    store: Arc<dyn Store>,
    mirror: Arc<dyn Store>,
    log: Arc<dyn Fn(&str) + Send + Sync>,
    /// Whether the mirror lacks something, as far as is known.
    behind: AtomicBool,
    end: Mutex<bool>,
    wake: Condvar,
}

impl Mirrored {
    /// `store`, and `mirror` behind it, which is brought up to date from now on. `log` gets reports of trouble.
    pub fn new(
        store: Arc<dyn Store>,
        mirror: Arc<dyn Store>,
        log: Arc<dyn Fn(&str) + Send + Sync>,
    ) -> Self {
        let both = Arc::new(Both {
            store,
            mirror,
            log,
            behind: AtomicBool::new(true),
            end: Mutex::new(false),
            wake: Condvar::new(),
        });
        let followed = both.clone();
        let follower = std::thread::Builder::new()
            .name("mirror".into())
            .spawn(move || followed.follow())
            .map_err(|error| {
                (both.log)(&format!("the mirror cannot be brought up to date: {error}"))
            })
            .ok();
        Self { both, follower }
    }

    /// Whether the mirror lacks something, as far as is known.
    pub fn is_behind(&self) -> bool {
        self.both.behind.load(Ordering::Relaxed)
    }
}

impl Drop for Mirrored {
    fn drop(&mut self) {
        *self.both.end() = true;
        self.both.wake.notify_all();
        if let Some(follower) = self.follower.take() {
            // If it panicked, it has said so.
            drop(follower.join());
        }
    }
}

impl Both {
    /// The mirror did not take something.
    fn missed(&self, what: &str, error: &Error) {
        if !self.behind.swap(true, Ordering::Relaxed) {
            (self.log)(&format!(
                "the mirror did not take {what} and is brought up to date later: {error}"
            ));
        }
        // Under the lock, or a thread that has just checked and is about to wait would miss it.
        let _ended = self.end();
        self.wake.notify_all();
    }

    fn end(&self) -> MutexGuard<'_, bool> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(&self) {
        let mut ended = self.end();
        while !*ended {
            if self.behind.swap(false, Ordering::Relaxed) {
                drop(ended);
                let outcome = self.catch_up();
                ended = self.end();
                if let Err(error) = outcome {
                    self.behind.store(true, Ordering::Relaxed);
                    (self.log)(&format!("the mirror is not up to date: {error}"));
                    if !*ended {
                        let waited = self.wake.wait_timeout(ended, AGAIN);
                        ended = waited.unwrap_or_else(PoisonError::into_inner).0;
                    }
                }
            } else {
                let waited = self.wake.wait(ended);
                ended = waited.unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Copies what the mirror lacks; pointers last.
    fn catch_up(&self) -> Result<()> {
        let mut after = None;
        loop {
            let page = self.store.list(after, PAGE)?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some((last.kind, last.address));
            for entries in page.chunks(STEP) {
                if *self.end() {
                    return Ok(());
                }
                self.copy(entries)?;
            }
        }
    }

    fn copy(&self, entries: &[Entry]) -> Result<()> {
        let mut chunks = Vec::new();
        for entry in entries {
            match entry.kind {
                Kind::Chunk => chunks.push(entry.address),
                Kind::Pointer => self.mirror_pointer(&entry.address)?,
            }
        }
        let there = self.mirror.has_chunks(&chunks)?;
        let mut there = there.into_iter();
        chunks.retain(|_| !there.next().unwrap_or(false));
        // Chunks that are damaged or gone are nothing to copy; a store that is away is.
        let mut found = Vec::with_capacity(chunks.len());
        for chunk in self.store.get_chunks(&chunks) {
            match chunk {
                Ok(chunk) => found.push(chunk),
                Err(Error::Missing { .. } | Error::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        self.mirror.put_chunks(&found)
    }

    /// Brings the mirror's state of a pointer up to the store's.
    fn mirror_pointer(&self, address: &Address) -> Result<()> {
        for _ in 0..TRIES_MAX {
            let state = match self.store.get_pointer(address) {
                Ok(Some(state)) => state,
                Ok(None) | Err(Error::Damaged { .. }) => return Ok(()),
                Err(error) => return Err(error),
            };
            let there = self.mirror.get_pointer(address)?;
            if there.as_ref().is_some_and(|there| !state.replaces(there)) {
                return Ok(());
            }
            match self
                .mirror
                .set_pointer(&state, there.map(|there| there.counter()))
            {
                // Another writer brought it there.
                Err(Error::Conflict { .. }) => {}
                outcome => return outcome,
            }
        }
        Ok(())
    }
}

impl Store for Mirrored {
    fn url(&self) -> &str {
        self.both.store.url()
    }

    fn traits(&self) -> Traits {
        let traits = self.both.store.traits();
        Traits {
            // Storing is paid for where either of them wants that.
            paid: traits.paid || self.both.mirror.traits().paid,
            ..traits
        }
    }

    fn put_chunks(&self, chunks: &[Chunk]) -> Result<()> {
        self.both.store.put_chunks(chunks)?;
        if let Err(error) = self.both.mirror.put_chunks(chunks) {
            self.both.missed("chunks", &error);
        }
        Ok(())
    }

    fn get_chunks(&self, addresses: &[Address]) -> Vec<Result<Chunk>> {
        let mut outcomes = self.both.store.get_chunks(addresses);
        for (outcome, address) in outcomes.iter_mut().zip(addresses) {
            let Err(error) = outcome else { continue };
            if !error.is_away() && !matches!(error, Error::Missing { .. } | Error::Damaged { .. }) {
                continue;
            }
            // The first store's answer stands where the mirror has none either.
            if let Ok(chunk) = self.both.mirror.get_chunk(address) {
                let damaged = matches!(outcome, Err(Error::Damaged { .. }));
                if damaged {
                    // A store leaves chunks alone that it has: the damaged one must go first.
                    drop(self.both.store.delete_chunks(&[*address]));
                    drop(self.both.store.put_chunks(std::slice::from_ref(&chunk)));
                }
                *outcome = Ok(chunk);
            }
        }
        outcomes
    }

    fn read_part(&self, address: &Address, offset: u32, len: u32) -> Result<Bytes> {
        match self.both.store.read_part(address, offset, len) {
            Err(error) if error.is_away() || matches!(error, Error::Missing { .. }) => {
                self.both.mirror.read_part(address, offset, len)
            }
            outcome => outcome,
        }
    }

    fn read_now(&self, address: &Address, offset: u32, out: &mut [u8]) -> bool {
        self.both.store.read_now(address, offset, out)
    }

    fn read_ahead(&self, address: &Address, offset: u32, len: u32) {
        self.both.store.read_ahead(address, offset, len);
    }

    fn has_chunks(&self, addresses: &[Address]) -> Result<Vec<bool>> {
        self.both.store.has_chunks(addresses)
    }

    fn get_pointer(&self, address: &Address) -> Result<Option<Pointer>> {
        match self.both.store.get_pointer(address) {
            outcome @ (Ok(None) | Err(Error::Damaged { .. })) => {
                match self.both.mirror.get_pointer(address) {
                    Ok(Some(state)) => {
                        // Without it here, setting the next one would fail.
                        if outcome.is_ok() {
                            drop(self.both.store.set_pointer(&state, None));
                        }
                        Ok(Some(state))
                    }
                    _ => outcome,
                }
            }
            outcome => outcome,
        }
    }

    fn set_pointer(&self, pointer: &Pointer, expected: Option<u64>) -> Result<()> {
        self.both.store.set_pointer(pointer, expected)?;
        if let Err(error) = self.both.mirror_pointer(&pointer.address()) {
            self.both.missed("a pointer", &error);
        }
        Ok(())
    }

    fn list(&self, after: Option<(Kind, Address)>, limit: usize) -> Result<Vec<Entry>> {
        self.both.store.list(after, limit)
    }

    fn delete_chunks(&self, addresses: &[Address]) -> Result<u64> {
        let gone = self.both.store.delete_chunks(addresses)?;
        if let Err(error) = self.both.mirror.delete_chunks(addresses) {
            (self.both.log)(&format!(
                "chunks that were removed stay on the mirror: {error}"
            ));
        }
        Ok(gone)
    }

    fn stats(&self) -> Result<Stats> {
        self.both.store.stats()
    }

    fn room(&self) -> Option<Room> {
        // The mirror may be full, and a record is written all the same.
        self.both.store.room()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use safeos_record::{OwnerKey, Target};
    use safeos_store::{MemoryStore, Method};

    use super::*;

    fn chunk(n: u8) -> Chunk {
        Chunk::new(vec![n; 100]).unwrap()
    }

    fn pointer(counter: u64) -> Pointer {
        let owner = OwnerKey::from_seed(&[1; 32]);
        Pointer::sign(&owner, counter, Target::Chunk(chunk(1).address())).unwrap()
    }

    fn pair() -> (Arc<MemoryStore>, Arc<MemoryStore>) {
        (
            Arc::new(MemoryStore::default()),
            Arc::new(MemoryStore::default()),
        )
    }

    fn mirrored(store: &Arc<MemoryStore>, mirror: &Arc<MemoryStore>) -> Mirrored {
        Mirrored::new(store.clone(), mirror.clone(), Arc::new(|_| {}))
    }

    fn eventually(mut so: impl FnMut() -> bool) {
        let started = Instant::now();
        while !so() {
            assert!(started.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn the_mirror_gets_what_is_there_and_what_comes() {
        let (store, mirror) = pair();
        store.put_chunks(&[chunk(1), chunk(2)]).unwrap();
        store.set_pointer(&pointer(1), None).unwrap();
        let both = mirrored(&store, &mirror);
        eventually(|| mirror.stats().unwrap() == store.stats().unwrap());
        both.put_chunks(&[chunk(3)]).unwrap();
        both.set_pointer(&pointer(2), Some(1)).unwrap();
        assert_eq!(mirror.stats().unwrap(), store.stats().unwrap());
        let address = pointer(2).address();
        assert_eq!(mirror.get_pointer(&address).unwrap().unwrap().counter(), 2);
    }

    #[test]
    fn a_mirror_that_was_away_catches_up() {
        let (store, mirror) = pair();
        let both = mirrored(&store, &mirror);
        eventually(|| !both.is_behind());
        let away = Error::Unreachable {
            url: "memory:".into(),
            why: "told to".into(),
        };
        mirror.fail_next(Method::PutChunks, 1, away);
        both.put_chunks(&[chunk(1)]).unwrap();
        eventually(|| mirror.has_chunks(&[chunk(1).address()]).unwrap() == [true]);
    }

    #[test]
    fn what_the_first_has_lost_is_read_from_the_mirror_and_mended() {
        let (store, mirror) = pair();
        let both = mirrored(&store, &mirror);
        both.put_chunks(&[chunk(1), chunk(2)]).unwrap();
        both.set_pointer(&pointer(1), None).unwrap();
        store.set_raw(Kind::Chunk, chunk(1).address(), "wrong");
        store.remove_raw(Kind::Chunk, &chunk(2).address());
        store.remove_raw(Kind::Pointer, &pointer(1).address());
        let found = both.get_chunks(&[chunk(1).address(), chunk(2).address(), Address([9; 32])]);
        assert_eq!(found[0].as_ref().unwrap(), &chunk(1));
        assert_eq!(found[1].as_ref().unwrap(), &chunk(2));
        assert!(matches!(found[2], Err(Error::Missing { .. })));
        assert_eq!(store.get_chunk(&chunk(1).address()).unwrap(), chunk(1));
        assert!(both.get_pointer(&pointer(1).address()).unwrap().is_some());
        both.set_pointer(&pointer(2), Some(1)).unwrap();
    }
}
