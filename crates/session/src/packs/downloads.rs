//! Downloads of packs from a store that is elsewhere.
//!
//! What always holds here: a pack is under way once at most, and whoever asks for it gets what came. What somebody waits
//! for goes before what was only fetched because more of it may be read. Of a pack that is not here few bytes are fetched
//! apart from it: all of them together cost little beside the pack.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hashlink::LruCache;
use safeos_record::{Address, Chunk, MAX_CHUNK_SIZE};
use safeos_store::Error;

use crate::packs::cancellation;

/// How much of a pack is fetched by objects, in bytes, before the pack is waited for: a reader of a few small files has
/// them soon, and one that reads all of a pack gets 3 % more than there is.
const APART_MAX: u32 = 128 * 1024;
/// The same in objects, each of which costs a round trip.
const APART_OBJECTS_MAX: u32 = 16;
/// From so many objects of a pack on, more of it is likely to be read: the pack follows them at once. Before that, it
/// follows when the line has been quiet for a while, and takes nothing from a reader of something else.
const NEAR_OBJECTS: u32 = 5;
/// How long a line is quiet before a pack comes of which little was read.
const QUIET: Duration = Duration::from_millis(500);
/// Of how many packs is known how much was fetched apart.
const APART_PACKS_MAX: usize = 4096;
/// How many packs wait to be fetched at most; older wishes are given up.
const WAITING_MAX: usize = 16;
/// How many packs are fetched ahead at once: what a line of 1 Gbit/s and 200 ms holds. Each is in memory.
pub(crate) const FETCHERS: usize = 8;
/// The same where nothing is known of the line yet.
const FETCHERS_FIRST: usize = 3;
/// How often somebody who waits for another's download asks whether he is still wanted.
const LISTEN_EVERY: Duration = Duration::from_millis(50);

/// What is fetched, and what is to be.
#[derive(Default)]
pub(crate) struct Downloads {
    under_way: Mutex<HashMap<Address, Arc<Download>>>,
    queue: Mutex<Queue>,
    queued: Condvar,
    apart: Mutex<Apart>,
    line: Line,
}

/// A download that is under way.
#[derive(Default)]
struct Download {
    outcome: Mutex<Option<Result<Chunk, Error>>>,
    ended: Condvar,
}

/// Packs that nobody waits for.
#[derive(Default)]
struct Queue {
    /// Those that a reader who reads in order comes to next.
    ahead: VecDeque<Address>,
    /// Those of which several objects were fetched apart.
    behind: VecDeque<Address>,
    /// Those of which few were.
    later: VecDeque<Address>,
    /// When the line was used last.
    used: Option<Instant>,
    /// How many are being fetched.
    running: usize,
    /// How many somebody waits for.
    waited_for: usize,
    ended: bool,
}

/// Of each pack, what was fetched apart: bytes, and objects.
struct Apart(LruCache<Address, (u32, u32)>);

impl Default for Apart {
    fn default() -> Self {
        Self(LruCache::new(APART_PACKS_MAX))
    }
}

/// What the line to the store is like, as far as it was seen.
#[derive(Default)]
struct Line {
    /// How long a small request takes, in nanoseconds; 0: none was made.
    delay: AtomicU64,
    /// Bytes a second of all downloads together; 0: none has ended.
    rate: AtomicU64,
}

/// Ends a download for those who wait, however it goes.
struct Leading<'a> {
    downloads: &'a Downloads,
    pack: Address,
    download: Arc<Download>,
    outcome: Option<Result<Chunk, Error>>,
}

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        lock(&self.downloads.under_way).remove(&self.pack);
        // A panic on the way: whoever waits tries by himself.
        let outcome = self.outcome.take().unwrap_or_else(|| Err(left()));
        *lock(&self.download.outcome) = Some(outcome);
        self.download.ended.notify_all();
    }
}

/// Counts somebody who waits for the store.
struct Waiting<'a>(&'a Downloads);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut queue = lock(&self.0.queue);
        queue.waited_for -= 1;
        queue.used = Some(Instant::now());
        drop(queue);
        self.0.queued.notify_all();
    }
}

impl Downloads {
    /// A pack that somebody waits for. It is fetched unless it is under way already.
    pub(crate) fn get(
        &self,
        pack: &Address,
        fetch: impl Fn() -> Result<Chunk, Error>,
    ) -> Result<Chunk, Error> {
        let _waiting = self.wait();
        loop {
            match self.join(pack, &fetch) {
                // Somebody else has left it, who was not waited for any longer.
                (Err(Error::Stopped { .. }), false) if is_wanted() => {}
                (outcome, _) => return outcome,
            }
        }
    }

    /// A pack that nobody waits for.
    pub(crate) fn fetch(&self, pack: &Address, fetch: impl Fn() -> Result<Chunk, Error>) {
        if !self.is_under_way(pack) {
            // Whoever needs it gets the error.
            drop(self.join(pack, &fetch));
        }
    }

    fn is_under_way(&self, pack: &Address) -> bool {
        lock(&self.under_way).contains_key(pack)
    }

    /// Fetches a pack, or waits for who does; whether it was fetched here.
    fn join(
        &self,
        pack: &Address,
        fetch: &impl Fn() -> Result<Chunk, Error>,
    ) -> (Result<Chunk, Error>, bool) {
        let (download, is_first, beside) = {
            let mut under_way = lock(&self.under_way);
            let is_first = !under_way.contains_key(pack);
            let download = under_way.entry(*pack).or_default().clone();
            (download, is_first, under_way.len())
        };
        if !is_first {
            return (download.wait(), false);
        }
        let mut leading = Leading {
            downloads: self,
            pack: *pack,
            download,
            outcome: None,
        };
        let start = Instant::now();
        let outcome = fetch();
        if let Ok(chunk) = &outcome {
            let beside = beside.max(lock(&self.under_way).len()) as u64;
            self.line
                .saw_download(chunk.bytes().len() as u64 * beside, start.elapsed());
            lock(&self.apart).0.remove(pack);
        }
        leading.outcome = Some(outcome.clone());
        (outcome, true)
    }

    /// An object of a pack that is not here, by itself; `None` if its pack is to be waited for.
    pub(crate) fn get_apart<T>(
        &self,
        pack: &Address,
        len: u32,
        fetch: impl FnOnce() -> Result<T, Error>,
    ) -> Option<Result<T, Error>> {
        {
            let mut apart = lock(&self.apart);
            let (bytes, objects) = apart.0.get(pack).copied().unwrap_or_default();
            if objects >= APART_OBJECTS_MAX {
                return None;
            }
            let after = bytes.checked_add(len).filter(|sum| *sum <= APART_MAX)?;
            apart.0.insert(*pack, (after, objects + 1));
        }
        let waiting = self.wait();
        let start = Instant::now();
        let outcome = fetch();
        if outcome.is_ok() {
            self.line.saw_request(start.elapsed());
        }
        drop(waiting);
        Some(outcome)
    }

    fn wait(&self) -> Waiting<'_> {
        lock(&self.queue).waited_for += 1;
        Waiting(self)
    }

    /// How many packs ahead of a reader are to be under way: what the line holds, and one that is ready.
    pub(crate) fn packs_ahead(&self) -> usize {
        self.line.packs()
    }

    /// Has a pack fetched that a reader comes to next.
    pub(crate) fn wish_ahead(&self, pack: Address) {
        if self.is_under_way(&pack) {
            return;
        }
        let mut queue = lock(&self.queue);
        queue.behind.retain(|other| *other != pack);
        queue.later.retain(|other| *other != pack);
        push(&mut queue.ahead, pack);
        drop(queue);
        self.queued.notify_one();
    }

    /// Has the pack of an object that was fetched apart follow, when nobody waits for anything.
    pub(crate) fn wish_behind(&self, pack: Address) {
        let objects = lock(&self.apart).0.get(&pack).map_or(0, |apart| apart.1);
        let mut queue = lock(&self.queue);
        if !queue.ahead.contains(&pack) {
            if objects < NEAR_OBJECTS {
                push(&mut queue.later, pack);
            } else {
                queue.later.retain(|other| *other != pack);
                push(&mut queue.behind, pack);
            }
        }
        drop(queue);
        self.queued.notify_one();
    }

    /// Waits for a pack to be fetched that nobody waits for; `None` when the session ends. [`Downloads::done`] follows.
    pub(crate) fn next(&self) -> Option<Address> {
        let mut queue = lock(&self.queue);
        loop {
            if queue.ended {
                return None;
            }
            if queue.running < self.line.packs() {
                let next = queue.ahead.pop_front();
                let next = match next {
                    None if queue.waited_for == 0 => queue.behind.pop_front(),
                    next => next,
                };
                let next = match next {
                    None if queue.quiet_in() == Some(Duration::ZERO) => queue.later.pop_front(),
                    next => next,
                };
                if let Some(pack) = next {
                    queue.running += 1;
                    return Some(pack);
                }
            }
            queue = match queue.quiet_in() {
                Some(pause) if !queue.later.is_empty() => {
                    let waited = self.queued.wait_timeout(queue, pause);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                _ => {
                    let waited = self.queued.wait(queue);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
    }

    pub(crate) fn done(&self) {
        let mut queue = lock(&self.queue);
        queue.running -= 1;
        queue.used = Some(Instant::now());
        drop(queue);
        self.queued.notify_all();
    }

    pub(crate) fn begin(&self) {
        lock(&self.queue).ended = false;
    }

    pub(crate) fn end(&self) {
        lock(&self.queue).ended = true;
        self.queued.notify_all();
    }
}

impl Queue {
    /// After which time the line will have been quiet for a while; `None` while it is in use.
    fn quiet_in(&self) -> Option<Duration> {
        let is_free = self.waited_for == 0 && self.running == 0 && self.ahead.is_empty();
        is_free.then(|| {
            self.used
                .map_or(Duration::ZERO, |used| QUIET.saturating_sub(used.elapsed()))
        })
    }
}

impl Download {
    /// What comes, as long as it is wanted.
    fn wait(&self) -> Result<Chunk, Error> {
        let mut outcome = lock(&self.outcome);
        loop {
            if let Some(outcome) = &*outcome {
                return outcome.clone();
            }
            if !is_wanted() {
                return Err(left());
            }
            let waited = self.ended.wait_timeout(outcome, LISTEN_EVERY);
            outcome = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Line {
    fn saw_request(&self, time: Duration) {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1);
        let before = self.delay.load(Ordering::Relaxed);
        // The shortest counts, and is forgotten slowly: what else is under way makes requests wait, the line does not.
        let now = match before {
            0 => time,
            _ if time <= before => time,
            _ => before + (time - before) / 16,
        };
        self.delay.store(now, Ordering::Relaxed);
    }

    fn saw_download(&self, bytes: u64, time: Duration) {
        let rate = (bytes as f64 / time.as_secs_f64().max(1e-6)) as u64;
        let before = self.rate.load(Ordering::Relaxed);
        let now = match before {
            0 => rate,
            _ => before / 4 * 3 + rate / 4,
        };
        self.rate.store(now.max(1), Ordering::Relaxed);
    }

    fn packs(&self) -> usize {
        let delay = self.delay.load(Ordering::Relaxed);
        let rate = self.rate.load(Ordering::Relaxed);
        if delay == 0 || rate == 0 {
            return FETCHERS_FIRST;
        }
        let bytes = rate as f64 * (delay as f64 / 1e9);
        let packs = (bytes / MAX_CHUNK_SIZE as f64).ceil() as usize;
        packs.saturating_add(1).clamp(2, FETCHERS)
    }
}

fn push(queue: &mut VecDeque<Address>, pack: Address) {
    if queue.contains(&pack) {
        return;
    }
    if queue.len() == WAITING_MAX {
        queue.pop_front();
    }
    queue.push_back(pack);
}

fn is_wanted() -> bool {
    cancellation::cancellation().is_none_or(|wanted| wanted.still())
}

fn left() -> Error {
    Error::Stopped { url: String::new() }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc;

    use super::*;

    fn chunk() -> Chunk {
        Chunk::new(vec![7; 1000]).unwrap()
    }

    #[test]
    fn a_pack_comes_once_whoever_asks() {
        let downloads = Downloads::default();
        let (pack, fetched) = (chunk().address(), AtomicUsize::new(0));
        let (go, gone) = mpsc::channel();
        let gone = Mutex::new(gone);
        std::thread::scope(|scope| {
            let get = || {
                downloads.get(&pack, || {
                    fetched.fetch_add(1, Ordering::SeqCst);
                    lock(&gone).recv().unwrap();
                    Ok(chunk())
                })
            };
            let readers: Vec<_> = (0..4).map(|_| scope.spawn(get)).collect();
            while lock(&downloads.queue).waited_for < 4 {
                std::thread::yield_now();
            }
            go.send(()).unwrap();
            // One that asked late may have begun anew.
            drop(go);
            for reader in readers {
                assert_eq!(reader.join().unwrap().unwrap(), chunk());
            }
        });
        assert_eq!(fetched.load(Ordering::SeqCst), 1);
        assert!(lock(&downloads.under_way).is_empty());
    }

    #[test]
    fn a_download_that_was_left_is_begun_anew_by_who_waits() {
        let downloads = Downloads::default();
        let pack = chunk().address();
        let (begun, has_begun) = mpsc::channel();
        let (go, gone) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let downloads = &downloads;
            scope.spawn(move || {
                let gone = Mutex::new(gone);
                downloads.fetch(&pack, || {
                    begun.send(()).unwrap();
                    lock(&gone).recv().unwrap();
                    Err(left())
                });
            });
            has_begun.recv().unwrap();
            let reader = scope.spawn(move || downloads.get(&pack, || Ok(chunk())));
            while lock(&downloads.queue).waited_for == 0 {
                std::thread::yield_now();
            }
            go.send(()).unwrap();
            assert_eq!(reader.join().unwrap().unwrap(), chunk());
        });
    }

    #[test]
    fn little_of_a_pack_is_fetched_apart() {
        let downloads = Downloads::default();
        let pack = Address([1; 32]);
        let apart = |len| downloads.get_apart(&pack, len, || Ok(())).is_some();
        assert!(apart(APART_MAX / 2));
        assert!(apart(APART_MAX / 2));
        assert!(!apart(1));
        assert!(!apart(u32::MAX));
        // It came, and went again.
        downloads.fetch(&pack, || Ok(chunk()));
        assert!(apart(APART_MAX));
        assert_eq!(lock(&downloads.queue).waited_for, 0);
        let other = Address([2; 32]);
        let one = || downloads.get_apart(&other, 1, || Ok(())).is_some();
        assert!((0..APART_OBJECTS_MAX).all(|_| one()));
        assert!(!one());
    }

    #[test]
    fn what_a_reader_comes_to_goes_before_what_follows_behind() {
        let downloads = Downloads::default();
        let (one, two, three) = (Address([1; 32]), Address([2; 32]), Address([3; 32]));
        let apart = |pack| downloads.get_apart(&pack, 1, || Ok(())).unwrap().unwrap();
        for pack in [one, two] {
            (0..NEAR_OBJECTS).for_each(|_| apart(pack));
            downloads.wish_behind(pack);
        }
        downloads.wish_ahead(three);
        downloads.wish_ahead(two);
        assert_eq!(downloads.next(), Some(three));
        assert_eq!(downloads.next(), Some(two));
        downloads.done();
        downloads.done();
        let waiting = downloads.wait();
        std::thread::scope(|scope| {
            let behind = scope.spawn(|| downloads.next());
            std::thread::sleep(Duration::from_millis(20));
            assert!(!behind.is_finished(), "somebody waits for the line");
            drop(waiting);
            assert_eq!(behind.join().unwrap(), Some(one));
        });
        downloads.end();
        assert_eq!(downloads.next(), None);
    }

    #[test]
    fn a_pack_of_which_little_was_read_comes_when_the_line_is_quiet() {
        let downloads = Downloads::default();
        let (little, other) = (Address([1; 32]), Address([2; 32]));
        downloads.get_apart(&little, 1, || Ok(())).unwrap().unwrap();
        downloads.wish_behind(little);
        downloads.wish_ahead(other);
        assert_eq!(downloads.next(), Some(other));
        std::thread::scope(|scope| {
            let later = scope.spawn(|| downloads.next());
            std::thread::sleep(QUIET + QUIET / 2);
            assert!(!later.is_finished(), "the line is in use");
            let ends = Instant::now();
            downloads.done();
            assert_eq!(later.join().unwrap(), Some(little));
            assert!(ends.elapsed() >= QUIET);
        });
        // It is asked for again and again: it follows at once.
        for _ in 0..NEAR_OBJECTS {
            downloads.get_apart(&other, 1, || Ok(())).unwrap().unwrap();
        }
        downloads.wish_behind(other);
        assert_eq!(downloads.next(), Some(other));
    }

    #[test]
    fn as_many_packs_are_under_way_as_the_line_holds() {
        let packs = |delay_ms: u64, mbit: u64| {
            let line = Line::default();
            line.saw_request(Duration::from_millis(delay_ms));
            let bytes = mbit * 1_000_000 / 8;
            line.saw_download(bytes, Duration::from_secs(1));
            line.packs()
        };
        assert_eq!(Line::default().packs(), FETCHERS_FIRST);
        assert_eq!(packs(50, 20), 2);
        assert_eq!(packs(200, 100), 2);
        assert_eq!(packs(50, 1000), 3);
        assert_eq!(packs(200, 1000), 7);
        assert_eq!(packs(1000, 10_000), FETCHERS);
    }
}
