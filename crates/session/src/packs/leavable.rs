//! A store elsewhere whose calls can be left.
//!
//! What always holds here: who runs inside of [`cancellation::cancellable`] waits for no call much longer than it is
//! wanted. A call that is left ends by itself, within the store's own limits, and nobody hears of it: what it has done
//! may be done, as with an answer that was lost. Such calls are few at a time, and none of them removes anything.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use crate::lock::Mutex;
use bytes::Bytes;
use safeos_record::{Address, Chunk, Pointer};
use safeos_store::{
    Entry, Error, Failures, Kind, Result, Room, Stats, Store, Traits, Transport, Upload, Wallet,
    Watched, in_batches,
};

use crate::packs::cancellation;

/// How often it is asked whether a call is still wanted.
const LISTEN_EVERY: Duration = Duration::from_millis(50);
/// Calls that were left and have not ended. Each may hold a pack, and an upload that is left leaves several at once.
const LEFT_MAX: usize = 64;
/// The same of all sign-ins together, whose calls are small: who stops and tries again is not kept out soon.
const OPENING_LEFT_MAX: usize = 32;

pub(crate) struct Leavable {
    store: Arc<dyn Store>,
    left: Arc<AtomicUsize>,
    left_max: usize,
    /// When the calls were begun that somebody waits for.
    waiting: Mutex<Vec<Instant>>,
}

/// A call that somebody waits for.
struct Waiting<'a>(&'a Mutex<Vec<Instant>>, Instant);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        if let Some(place) = waiting.iter().position(|since| *since == self.1) {
            waiting.swap_remove(place);
        }
    }
}

impl Leavable {
    /// The same store. One on this computer is waited for; one that is paid for brings its uploads to their end by
    /// itself.
    pub(crate) fn around(store: Arc<dyn Store>) -> Arc<dyn Store> {
        Self::counted(store, Arc::default(), LEFT_MAX)
    }

    /// The same for a sign-in, which has no session yet.
    pub(crate) fn around_opening(store: Arc<dyn Store>) -> Arc<dyn Store> {
        static LEFT: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);
        Self::counted(store, LEFT.clone(), OPENING_LEFT_MAX)
    }

    fn counted(store: Arc<dyn Store>, left: Arc<AtomicUsize>, left_max: usize) -> Arc<dyn Store> {
        let traits = store.traits();
        if traits.local || traits.paid {
            return store;
        }
        Arc::new(Self {
            store,
            left,
            left_max,
            waiting: Mutex::default(),
        })
    }

    fn stopped(&self) -> Error {
        let url = self.store.url().to_owned();
        Error::Stopped { url }
    }

    fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn Store) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let since = Instant::now();
        self.waiting.lock().push(since);
        let _waiting = Waiting(&self.waiting, since);
        self.call_held(call)
    }

    /// The same for a call that the store is to answer late.
    fn call_held<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn Store) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let Some(wanted) = cancellation::cancellation() else {
            return call(&*self.store);
        };
        if !wanted.still() {
            return Err(self.stopped());
        }
        let unable = |why: String| Error::Unreachable {
            url: self.store.url().to_owned(),
            why,
        };
        if self.left.load(Ordering::Acquire) >= self.left_max {
            return Err(unable(
                "too many requests that were given up are still under way; try again in a minute"
                    .into(),
            ));
        }
        let (say, hear) = mpsc::sync_channel(1);
        let store = self.store.clone();
        // By its name is seen for whom it asks.
        let here = std::thread::current();
        let asking = std::thread::Builder::new().name(here.name().unwrap_or("store").into());
        asking
            .spawn(move || {
                // Nobody may listen any more.
                let _ = say.send(call(&*store));
            })
            .map_err(|error| unable(format!("a thread cannot be started: {error}")))?;
        loop {
            match hear.recv_timeout(LISTEN_EVERY) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::Broken {
                        url: self.store.url().to_owned(),
                        why: "a request failed inside; please report it".into(),
                    });
                }
                Err(RecvTimeoutError::Timeout) if wanted.still() => {}
                Err(RecvTimeoutError::Timeout) => {
                    self.leave(hear);
                    return Err(self.stopped());
                }
            }
        }
    }

    /// Counts a call until it has ended.
    fn leave<T: Send + 'static>(&self, hear: mpsc::Receiver<T>) {
        let left = self.left.clone();
        left.fetch_add(1, Ordering::AcqRel);
        let waiting = std::thread::Builder::new().name("store-left".into());
        let count = left.clone();
        let spawned = waiting.spawn(move || {
            drop(hear.recv());
            count.fetch_sub(1, Ordering::AcqRel);
        });
        if spawned.is_err() {
            left.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Store for Leavable {
    fn url(&self) -> &str {
        self.store.url()
    }

    fn traits(&self) -> Traits {
        self.store.traits()
    }

    fn put_chunks(&self, chunks: &[Chunk]) -> Result<()> {
        let chunks = chunks.to_vec();
        self.call(move |store| store.put_chunks(&chunks))
    }

    fn write_chunks(&self, chunks: &[Chunk]) -> Result<()> {
        let chunks = chunks.to_vec();
        self.call(move |store| store.write_chunks(&chunks))
    }

    fn write_needed(&self, chunks: &[Chunk]) -> Result<()> {
        let chunks = chunks.to_vec();
        self.call(move |store| store.write_needed(&chunks))
    }

    fn sync(&self) -> Result<()> {
        self.call(|store| store.sync())
    }

    fn upload(&self, addresses: &[Address], from: &dyn Upload) -> Result<()> {
        match cancellation::cancellation() {
            None => self.store.upload(addresses, from),
            // Each part of it can be left.
            Some(_) => in_batches(self, addresses, from),
        }
    }

    fn puts_at_once(&self) -> usize {
        self.store.puts_at_once()
    }

    fn wallet(&self) -> Option<&dyn Wallet> {
        self.store.wallet()
    }

    fn transport(&self) -> Option<&dyn Transport> {
        self.store.transport()
    }

    fn get_chunks(&self, addresses: &[Address]) -> Vec<Result<Chunk>> {
        let asked = addresses.to_vec();
        match self.call(move |store| Ok(store.get_chunks(&asked))) {
            Ok(chunks) => chunks,
            Err(error) => addresses.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    fn get_chunk(&self, address: &Address) -> Result<Chunk> {
        let address = *address;
        self.call(move |store| store.get_chunk(&address))
    }

    fn reads_parts(&self) -> bool {
        self.store.reads_parts()
    }

    fn read_part(&self, address: &Address, offset: u32, len: u32) -> Result<Bytes> {
        let address = *address;
        self.call(move |store| store.read_part(&address, offset, len))
    }

    fn read_once(&self, address: &Address, offset: u32, len: u32) -> Result<Bytes> {
        let address = *address;
        self.call(move |store| store.read_once(&address, offset, len))
    }

    fn read_now(&self, address: &Address, offset: u32, out: &mut [u8]) -> bool {
        self.store.read_now(address, offset, out)
    }

    fn read_ahead(&self, address: &Address, offset: u32, len: u32) {
        self.store.read_ahead(address, offset, len);
    }

    fn has_chunks(&self, addresses: &[Address]) -> Result<Vec<bool>> {
        let addresses = addresses.to_vec();
        self.call(move |store| store.has_chunks(&addresses))
    }

    fn get_pointer(&self, address: &Address) -> Result<Option<Pointer>> {
        let address = *address;
        self.call(move |store| store.get_pointer(&address))
    }

    fn watch_pointer(&self, address: &Address, seen: u64, time: Duration) -> Result<Watched> {
        let address = *address;
        self.call_held(move |store| store.watch_pointer(&address, seen, time))
    }

    fn set_pointer(&self, pointer: &Pointer, expected: Option<u64>) -> Result<()> {
        let pointer = pointer.clone();
        self.call(move |store| store.set_pointer(&pointer, expected))
    }

    fn list(&self, after: Option<(Kind, Address)>, limit: usize) -> Result<Vec<Entry>> {
        self.call(move |store| store.list(after, limit))
    }

    fn delete_chunks(&self, addresses: &[Address]) -> Result<u64> {
        // Never left: it could remove what somebody puts again meanwhile.
        self.store.delete_chunks(addresses)
    }

    fn stats(&self) -> Result<Stats> {
        self.call(|store| store.stats())
    }

    fn room(&self) -> Option<Room> {
        self.store.room()
    }

    fn failures(&self) -> Failures {
        Failures {
            unanswered_since: self.waiting.lock().iter().min().copied(),
            ..self.store.failures()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::sync::{Condvar, Mutex};
    use std::time::Instant;

    use safeos_store::{MemoryStore, StoreHooks};

    use super::*;

    /// A store that takes chunks when it is told to.
    #[derive(Default)]
    struct Slow {
        inner: MemoryStore,
        goes: (Mutex<bool>, Condvar),
        begun: AtomicUsize,
    }

    impl Slow {
        fn go(&self) {
            *self.goes.0.lock().unwrap() = true;
            self.goes.1.notify_all();
        }
    }

    impl StoreHooks for Slow {
        fn inner(&self) -> &dyn Store {
            &self.inner
        }

        fn on_traits(&self) -> Traits {
            Traits {
                local: false,
                paid: false,
            }
        }

        fn on_put_chunks(&self, chunks: &[Chunk]) -> Result<()> {
            self.begun.fetch_add(1, Ordering::AcqRel);
            let mut goes = self.goes.0.lock().unwrap();
            while !*goes {
                goes = self.goes.1.wait(goes).unwrap();
            }
            self.inner.put_chunks(chunks)
        }
    }

    #[test]
    fn a_call_that_is_not_wanted_any_more_is_left_and_few_are_under_way() {
        let slow = Arc::new(Slow::default());
        let store = Leavable::around(slow.clone());
        let chunk = Chunk::new(b"something".to_vec()).unwrap();
        let put = |left: &Arc<AtomicBool>| {
            cancellation::cancellable(left, || store.put_chunks(std::slice::from_ref(&chunk)))
        };
        for count in 1..=LEFT_MAX {
            let left = Arc::new(AtomicBool::new(false));
            std::thread::scope(|scope| {
                let putting = scope.spawn(|| put(&left));
                while slow.begun.load(Ordering::Acquire) < count {
                    std::thread::yield_now();
                }
                left.store(true, Ordering::Release);
                let outcome = putting.join().unwrap();
                assert!(matches!(outcome, Err(Error::Stopped { .. })), "{outcome:?}");
            });
        }
        let wanted = Arc::new(AtomicBool::new(false));
        let outcome = put(&wanted);
        assert!(
            matches!(outcome, Err(Error::Unreachable { .. })),
            "{outcome:?}"
        );
        slow.go();
        let start = Instant::now();
        while let Err(error) = put(&wanted) {
            assert!(start.elapsed() < Duration::from_secs(60), "{error}");
        }
        assert!(store.get_chunk(&chunk.address()).is_ok());
    }

    #[test]
    fn what_is_near_or_paid_for_is_not_wrapped() {
        let near: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let same = Leavable::around(near.clone());
        assert_eq!(Arc::ptr_eq(&near, &same), near.traits().local);
    }
}
