//! Downloads of packs, or of parts of them, from a store that is elsewhere.
//!
//! What always holds here: the same bytes are under way once at most, and whoever asks for them gets what came. What
//! somebody waits for goes before what was only fetched because more of it may be read. Of a pack that is not here few bytes
//! are fetched apart from it: all of them together cost little beside the pack.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hashlink::LruCache;
use safeos_record::{Address, MAX_CHUNK_SIZE};
use safeos_store::Error;

use crate::packs::cancellation;
use crate::packs::extent::{Extent, Piece, Wish, covers};

/// How much of a pack is fetched by objects, in bytes, before the pack is waited for: a reader of a few small files has
/// them soon, and one that reads all of a pack gets 4 % more than there is. A program's first read of 128 KiB, sealed,
/// fits, and nodes beside it.
pub(crate) const APART_MAX: u32 = 160 * 1024;
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

/// The downloads under way, and the queue.
#[derive(Default)]
pub(crate) struct Downloads {
    state: Mutex<State>,
    queued: Condvar,
    apart: Mutex<Apart>,
    line: Line,
}

#[derive(Default)]
struct State {
    under_way: HashMap<(Address, Extent), UnderWay>,
    queue: Queue,
}

/// A download that is under way.
struct UnderWay {
    /// The part of it that a reader in order comes to.
    wanted: Range<u32>,
    download: Arc<Download>,
}

/// How a download ends.
#[derive(Default)]
struct Download {
    outcome: Mutex<Option<Result<Piece, Error>>>,
    ended: Condvar,
}

/// Packs that nobody waits for.
#[derive(Default)]
struct Queue {
    /// The extents that a reader in order comes to next.
    ahead: VecDeque<Wish>,
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

/// Delay and rate of the line to the store, as measured so far.
#[derive(Default)]
struct Line {
    /// How long a small request takes, in nanoseconds; 0: none was made.
    delay: AtomicU64,
    /// Bytes a second of all downloads together; 0: none has ended.
    rate: AtomicU64,
}

/// A download that this thread makes. Ends it for those who wait, however it goes.
struct Leading<'a> {
    downloads: &'a Downloads,
    what: (Address, Extent),
    download: Arc<Download>,
    outcome: Option<Result<Piece, Error>>,
}

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        lock(&self.downloads.state).under_way.remove(&self.what);
        // A panic on the way: whoever waits tries by himself.
        let outcome = self.outcome.take().unwrap_or_else(|| Err(left()));
        *lock(&self.download.outcome) = Some(outcome);
        self.download.ended.notify_all();
    }
}

impl Leading<'_> {
    fn run(mut self, fetch: impl FnOnce() -> Result<Piece, Error>) -> Result<Piece, Error> {
        let count = || lock(&self.downloads.state).under_way.len();
        let (before, start) = (count(), Instant::now());
        let outcome = fetch();
        if let Ok(piece) = &outcome {
            let beside = before.max(count()) as u64;
            // A small request measures the delay, not the rate.
            if piece.len() > APART_MAX as usize {
                let bytes = piece.len() as u64 * beside;
                self.downloads.line.saw_download(bytes, start.elapsed());
            }
            if self.what.1 == Extent::Whole {
                lock(&self.downloads.apart).0.remove(&self.what.0);
            }
        }
        self.outcome = Some(outcome.clone());
        outcome
    }
}

/// Whether this thread fetches an extent or waits for another that does.
enum Role<'a> {
    Lead(Leading<'a>),
    Follow(Arc<Download>),
}

/// Something to be fetched that nobody waits for.
pub(crate) struct Job<'a> {
    downloads: &'a Downloads,
    /// The extent.
    pub(crate) wish: Wish,
    leading: Option<Leading<'a>>,
}

impl Job<'_> {
    pub(crate) fn run(mut self, fetch: impl FnOnce() -> Result<Piece, Error>) {
        if let Some(leading) = self.leading.take() {
            // A reader that needs it gets the error.
            drop(leading.run(fetch));
        }
    }
}

impl Drop for Job<'_> {
    fn drop(&mut self) {
        self.leading.take();
        let mut state = lock(&self.downloads.state);
        state.queue.running -= 1;
        state.queue.used = Some(Instant::now());
        drop(state);
        self.downloads.queued.notify_all();
    }
}

/// Counts somebody who waits for the store.
struct Waiting<'a>(&'a Downloads);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.queue.waited_for -= 1;
        state.queue.used = Some(Instant::now());
        drop(state);
        self.0.queued.notify_all();
    }
}

impl Downloads {
    /// An extent that a reader waits for. It is fetched unless it is under way already.
    pub(crate) fn get(
        &self,
        pack: &Address,
        extent: Extent,
        fetch: impl Fn(Extent) -> Result<Piece, Error>,
    ) -> Result<Piece, Error> {
        let _waiting = self.wait();
        loop {
            let role = self.join(&mut lock(&self.state), pack, extent, &(0..0), u32::MAX);
            if let Some(outcome) = self.take_part(role, &fetch) {
                return outcome;
            }
        }
    }

    /// The same for what is coming already because somebody reads in order up to there; `None` if it is not.
    pub(crate) fn get_coming(
        &self,
        pack: &Address,
        range: &Range<u32>,
        fetch: impl Fn(Extent) -> Result<Piece, Error>,
    ) -> Option<Result<Piece, Error>> {
        let _waiting = self.wait();
        loop {
            let role = self.coming(pack, range)?;
            if let Some(outcome) = self.take_part(role, &fetch) {
                return Some(outcome);
            }
        }
    }

    fn coming(&self, pack: &Address, range: &Range<u32>) -> Option<Role<'_>> {
        let mut state = lock(&self.state);
        let under_way = state.under_way.iter();
        let found = under_way
            .filter(|((of, _), under_way)| of == pack && covers(&under_way.wanted, range))
            .map(|(_, under_way)| under_way.download.clone())
            .next();
        if let Some(download) = found {
            return Some(Role::Follow(download));
        }
        let ahead = state.queue.ahead.iter();
        let place = ahead
            .enumerate()
            .find(|(_, wish)| wish.pack == *pack && covers(&wish.wanted, range))?
            .0;
        // A reader that waits for it does not wait for the queue.
        let wish = state.queue.ahead.remove(place)?;
        Some(self.join(&mut state, &wish.pack, wish.extent, &wish.wanted, u32::MAX))
    }

    /// Takes part in a download under way of at most `len_max` bytes that has all of this, or begins one.
    fn join(
        &self,
        state: &mut State,
        pack: &Address,
        extent: Extent,
        wanted: &Range<u32>,
        len_max: u32,
    ) -> Role<'_> {
        let mut under_way = state.under_way.iter_mut();
        let same = under_way
            .find(|((of, what), _)| of == pack && what.has(extent) && what.len() <= len_max);
        if let Some((_, under_way)) = same {
            under_way.wanted = union(&under_way.wanted, wanted);
            return Role::Follow(under_way.download.clone());
        }
        let download = Arc::<Download>::default();
        let what = (*pack, extent);
        let under_way = UnderWay {
            wanted: wanted.clone(),
            download: download.clone(),
        };
        state.under_way.insert(what, under_way);
        Role::Lead(Leading {
            downloads: self,
            what,
            download,
            outcome: None,
        })
    }

    /// The outcome; `None` if the thread that fetched it has given it up, and this one has not.
    fn take_part(
        &self,
        role: Role<'_>,
        fetch: &impl Fn(Extent) -> Result<Piece, Error>,
    ) -> Option<Result<Piece, Error>> {
        match role {
            Role::Lead(leading) => {
                let extent = leading.what.1;
                Some(leading.run(|| fetch(extent)))
            }
            Role::Follow(download) => match download.wait() {
                Err(Error::Stopped { .. }) if is_wanted() => None,
                outcome => Some(outcome),
            },
        }
    }

    /// A few bytes of a pack that is not here, by themselves; `None` if the pack is to be waited for.
    pub(crate) fn get_apart(
        &self,
        pack: &Address,
        range: Range<u32>,
        fetch: impl Fn(Extent) -> Result<Piece, Error>,
    ) -> Option<Result<Piece, Error>> {
        {
            let mut apart = lock(&self.apart);
            let (bytes, objects) = apart.0.get(pack).copied().unwrap_or_default();
            if objects >= APART_OBJECTS_MAX {
                return None;
            }
            let len = range.end.saturating_sub(range.start);
            let after = bytes.checked_add(len).filter(|sum| *sum <= APART_MAX)?;
            apart.0.insert(*pack, (after, objects + 1));
        }
        let _waiting = self.wait();
        let start = Instant::now();
        loop {
            let extent = Extent::of(&range);
            // Not with a whole pack that is under way: it is to come before that. All of it is wanted.
            let role = self.join(&mut lock(&self.state), pack, extent, &range, APART_MAX);
            let is_own = matches!(role, Role::Lead(_));
            if let Some(outcome) = self.take_part(role, &fetch) {
                if outcome.is_ok() && is_own {
                    self.line.saw_request(start.elapsed());
                }
                return Some(outcome);
            }
        }
    }

    fn wait(&self) -> Waiting<'_> {
        lock(&self.state).queue.waited_for += 1;
        Waiting(self)
    }

    /// How many packs ahead of a reader are to be under way: what the line holds, and one that is ready.
    pub(crate) fn packs_ahead(&self) -> usize {
        self.line.packs()
    }

    /// Has fetched what a reader comes to next.
    pub(crate) fn wish_ahead(&self, mut wish: Wish) {
        let mut state = lock(&self.state);
        for ((pack, extent), under_way) in &mut state.under_way {
            if *pack != wish.pack {
                continue;
            }
            if extent.has(wish.extent) {
                under_way.wanted = union(&under_way.wanted, &wish.wanted);
                return;
            }
            // The part of it that is under way need not come twice.
            match wish.extent.without(*extent) {
                Some(rest) => wish.extent = rest,
                None => return,
            }
            if let Extent::Span(start, end) = wish.extent {
                wish.wanted = wish.wanted.start.max(start)..wish.wanted.end.min(end);
            }
        }
        let queue = &mut state.queue;
        queue.behind.retain(|other| *other != wish.pack);
        queue.later.retain(|other| *other != wish.pack);
        match queue.ahead.iter_mut().find(|other| other.pack == wish.pack) {
            Some(other) => {
                other.extent = other.extent.with(wish.extent);
                other.wanted = union(&other.wanted, &wish.wanted);
            }
            None => push(&mut queue.ahead, wish),
        }
        drop(state);
        self.queued.notify_one();
    }

    /// Whether a reader who reads in order comes to something of a pack.
    pub(crate) fn is_wished(&self, pack: &Address) -> bool {
        let state = lock(&self.state);
        let mut under_way = state.under_way.iter();
        // A part that is fetched alone is wanted for itself.
        under_way.any(|((of, extent), under_way)| {
            of == pack && !under_way.wanted.is_empty() && extent.len() > APART_MAX
        }) || state.queue.ahead.iter().any(|wish| wish.pack == *pack)
    }

    /// Has the pack of an object that was fetched apart follow, when nobody waits for anything.
    pub(crate) fn wish_behind(&self, pack: Address) {
        let objects = lock(&self.apart).0.get(&pack).map_or(0, |apart| apart.1);
        let mut state = lock(&self.state);
        let queue = &mut state.queue;
        if !queue.ahead.iter().any(|wish| wish.pack == pack) {
            if objects < NEAR_OBJECTS {
                push(&mut queue.later, pack);
            } else {
                queue.later.retain(|other| *other != pack);
                push(&mut queue.behind, pack);
            }
        }
        drop(state);
        self.queued.notify_one();
    }

    /// Waits for something to be fetched that nobody waits for; `None` when the session ends.
    pub(crate) fn next(&self) -> Option<Job<'_>> {
        let mut state = lock(&self.state);
        loop {
            if state.queue.ended {
                return None;
            }
            if state.queue.running < self.line.packs()
                && let Some(wish) = state.queue.next()
            {
                let role = self.join(&mut state, &wish.pack, wish.extent, &wish.wanted, u32::MAX);
                if let Role::Lead(leading) = role {
                    state.queue.running += 1;
                    return Some(Job {
                        downloads: self,
                        wish,
                        leading: Some(leading),
                    });
                }
                continue;
            }
            state = match state.queue.quiet_in() {
                Some(pause) if !state.queue.later.is_empty() => {
                    let waited = self.queued.wait_timeout(state, pause);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                _ => {
                    let waited = self.queued.wait(state);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
    }

    pub(crate) fn begin(&self) {
        lock(&self.state).queue.ended = false;
    }

    pub(crate) fn end(&self) {
        lock(&self.state).queue.ended = true;
        self.queued.notify_all();
    }
}

impl Queue {
    /// The next extent to fetch.
    fn next(&mut self) -> Option<Wish> {
        if let Some(wish) = self.ahead.pop_front() {
            return Some(wish);
        }
        let mut pack = None;
        if self.waited_for == 0 {
            pack = self.behind.pop_front();
        }
        if pack.is_none() && self.quiet_in() == Some(Duration::ZERO) {
            pack = self.later.pop_front();
        }
        pack.map(Wish::behind)
    }

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
    /// The download's result, as long as it is wanted.
    fn wait(&self) -> Result<Piece, Error> {
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

fn push<T: PartialEq>(queue: &mut VecDeque<T>, wish: T) {
    if queue.contains(&wish) {
        return;
    }
    if queue.len() == WAITING_MAX {
        queue.pop_front();
    }
    queue.push_back(wish);
}

/// The least range that has both; an empty one has nothing.
fn union(one: &Range<u32>, other: &Range<u32>) -> Range<u32> {
    match (one.is_empty(), other.is_empty()) {
        (true, _) => other.clone(),
        (_, true) => one.clone(),
        _ => one.start.min(other.start)..one.end.max(other.end),
    }
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

    const PACK: Address = Address([7; 32]);

    fn piece() -> Piece {
        Piece {
            start: 0,
            bytes: vec![7; 1000].into(),
        }
    }

    fn get(downloads: &Downloads, fetch: impl Fn() -> Result<Piece, Error>) -> Piece {
        let piece = downloads.get(&PACK, Extent::Whole, |_| fetch());
        piece.unwrap()
    }

    fn ahead(pack: Address, extent: Extent, wanted: Range<u32>) -> Wish {
        Wish {
            pack,
            extent,
            wanted,
        }
    }

    fn waited_for(downloads: &Downloads) -> usize {
        lock(&downloads.state).queue.waited_for
    }

    fn next(downloads: &Downloads) -> Option<Address> {
        downloads.next().map(|job| job.wish.pack)
    }

    #[test]
    fn a_pack_comes_once_whoever_asks() {
        let downloads = Downloads::default();
        let fetched = AtomicUsize::new(0);
        let (go, gone) = mpsc::channel();
        let gone = Mutex::new(gone);
        std::thread::scope(|scope| {
            let get = || {
                get(&downloads, || {
                    fetched.fetch_add(1, Ordering::SeqCst);
                    lock(&gone).recv().unwrap();
                    Ok(piece())
                })
            };
            let readers: Vec<_> = (0..4).map(|_| scope.spawn(get)).collect();
            while waited_for(&downloads) < 4 {
                std::thread::yield_now();
            }
            go.send(()).unwrap();
            // One that asked late may have begun anew.
            drop(go);
            for reader in readers {
                assert_eq!(reader.join().unwrap(), piece());
            }
        });
        assert_eq!(fetched.load(Ordering::SeqCst), 1);
        assert!(lock(&downloads.state).under_way.is_empty());
    }

    #[test]
    fn a_download_that_was_left_is_begun_anew_by_who_waits() {
        let downloads = Downloads::default();
        downloads.wish_ahead(ahead(PACK, Extent::Whole, 0..0));
        let (begun, has_begun) = mpsc::channel();
        let (go, gone) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let downloads = &downloads;
            scope.spawn(move || {
                downloads.next().unwrap().run(|| {
                    begun.send(()).unwrap();
                    gone.recv().unwrap();
                    Err(left())
                });
            });
            has_begun.recv().unwrap();
            let reader = scope.spawn(move || get(downloads, || Ok(piece())));
            while waited_for(downloads) == 0 {
                std::thread::yield_now();
            }
            go.send(()).unwrap();
            assert_eq!(reader.join().unwrap(), piece());
        });
    }

    #[test]
    fn little_of_a_pack_is_fetched_apart() {
        let downloads = Downloads::default();
        let apart = |len| {
            let fetched = downloads.get_apart(&PACK, 0..len, |_| Ok(piece()));
            fetched.is_some()
        };
        assert!(apart(APART_MAX / 2));
        assert!(apart(APART_MAX / 2));
        assert!(!apart(1));
        assert!(!apart(u32::MAX));
        // It came, and went again.
        get(&downloads, || Ok(piece()));
        assert!(apart(APART_MAX));
        assert_eq!(waited_for(&downloads), 0);
        let other = Address([2; 32]);
        let one = || downloads.get_apart(&other, 0..1, |_| Ok(piece())).is_some();
        assert!((0..APART_OBJECTS_MAX).all(|_| one()));
        assert!(!one());
    }

    #[test]
    fn who_reads_in_order_waits_for_what_is_coming_and_nobody_else_does() {
        let downloads = Downloads::default();
        downloads.wish_ahead(ahead(PACK, Extent::Span(100, 200), 100..200));
        downloads.wish_ahead(ahead(PACK, Extent::Span(150, 300), 150..300));
        assert!(downloads.is_wished(&PACK));
        let never = |_| -> Result<Piece, Error> { panic!("it is not asked for") };
        assert!(downloads.get_coming(&PACK, &(0..10), never).is_none());
        assert!(downloads.get_coming(&PACK, &(290..301), never).is_none());
        // A reader that comes before its turn fetches the extent that was queued.
        let fetch = |extent| {
            assert_eq!(extent, Extent::Span(100, 300));
            // An extent under way is not queued again.
            downloads.wish_ahead(ahead(PACK, Extent::Span(150, 250), 150..250));
            downloads.wish_ahead(ahead(PACK, Extent::Span(250, 400), 250..400));
            Ok(piece())
        };
        assert!(downloads.get_coming(&PACK, &(290..300), fetch).is_some());
        let wish = downloads.next().unwrap().wish.clone();
        assert_eq!(wish, ahead(PACK, Extent::Span(300, 400), 300..400));
        assert!(!downloads.is_wished(&PACK));
    }

    #[test]
    fn who_wants_little_does_not_wait_for_the_pack() {
        let downloads = Downloads::default();
        let apart = AtomicUsize::new(0);
        get(&downloads, || {
            let fetched = downloads.get_apart(&PACK, 0..1, |_| {
                apart.fetch_add(1, Ordering::SeqCst);
                Ok(piece())
            });
            fetched.unwrap()
        });
        assert_eq!(apart.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn what_a_reader_comes_to_goes_before_what_follows_behind() {
        let downloads = Downloads::default();
        let (one, two, three) = (Address([1; 32]), Address([2; 32]), Address([3; 32]));
        let apart = |pack| {
            let fetched = downloads.get_apart(&pack, 0..1, |_| Ok(piece()));
            fetched.unwrap().unwrap();
        };
        for pack in [one, two] {
            (0..NEAR_OBJECTS).for_each(|_| apart(pack));
            downloads.wish_behind(pack);
        }
        downloads.wish_ahead(ahead(three, Extent::Whole, 0..0));
        downloads.wish_ahead(ahead(two, Extent::Whole, 0..0));
        assert_eq!(next(&downloads), Some(three));
        assert_eq!(next(&downloads), Some(two));
        let waiting = downloads.wait();
        std::thread::scope(|scope| {
            let behind = scope.spawn(|| next(&downloads));
            std::thread::sleep(Duration::from_millis(20));
            assert!(!behind.is_finished(), "somebody waits for the line");
            drop(waiting);
            assert_eq!(behind.join().unwrap(), Some(one));
        });
        downloads.end();
        assert!(downloads.next().is_none());
    }

    #[test]
    fn a_pack_of_which_little_was_read_comes_when_the_line_is_quiet() {
        let downloads = Downloads::default();
        let (little, other) = (Address([1; 32]), Address([2; 32]));
        let apart = |pack| {
            let fetched = downloads.get_apart(&pack, 0..1, |_| Ok(piece()));
            fetched.unwrap().unwrap();
        };
        apart(little);
        downloads.wish_behind(little);
        downloads.wish_ahead(ahead(other, Extent::Whole, 0..0));
        let job = downloads.next().unwrap();
        assert_eq!(job.wish.pack, other);
        std::thread::scope(|scope| {
            let later = scope.spawn(|| next(&downloads));
            std::thread::sleep(QUIET + QUIET / 2);
            assert!(!later.is_finished(), "the line is in use");
            let ends = Instant::now();
            drop(job);
            assert_eq!(later.join().unwrap(), Some(little));
            assert!(ends.elapsed() >= QUIET);
        });
        // It is asked for again and again: it follows at once.
        for _ in 0..NEAR_OBJECTS {
            apart(other);
        }
        downloads.wish_behind(other);
        assert_eq!(next(&downloads), Some(other));
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
