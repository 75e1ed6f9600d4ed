//! Background work of a session: packing in time, a durable stage, publishing.
//!
//! What always holds here: work that makes changes durable on this computer waits for no publish.
//!
//! Where nothing is paid for, a home is published seconds after the last change, and at the latest some
//! seconds after the first; where records are paid for, when it has been quiet for long. A failed publish is tried
//! again after pauses that grow, up to a minute, and at once when the store is back that was out of reach.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::clock::precise;
use crate::packs::cancellation;
use crate::sync::alongside::alongside;
use crate::sync::news::HELD;
use crate::sync::synchronizer::Synchronizer;
use crate::worktree::home::Home;
use crate::{Error, Nanos, Progress, Result, Step};

/// How often it looks.
const TICK: Duration = Duration::from_millis(250);
/// The shortest pause between two looks at what has changed.
const TICK_LEAST: Duration = Duration::from_millis(10);
/// Publishing waits for this much quiet …
const QUIET: Duration = Duration::from_secs(2);
/// … or, when nothing was published lately, for this: others are to see changes soon …
const QUIET_FIRST: Duration = Duration::from_millis(500);
/// … but no longer than this.
const LATEST: Duration = Duration::from_secs(20);
/// The same where records are paid for.
const PAID_QUIET: Duration = Duration::from_secs(600);
const PAID_LATEST: Duration = Duration::from_secs(6 * 3600);
/// So much is published without waiting for that: enough for one payment for many records, beside which those of the
/// head weigh little.
const PAID_BYTES: u64 = 256 << 20;
/// How often the store is asked for other computers' changes, …
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// … and where it tells of them by itself.
const LOOK_TOLD_EVERY: Duration = Duration::from_secs(60);
/// After a failure the next try waits from this …
const RETRY_FIRST: Duration = Duration::from_secs(2);
/// … up to this.
const RETRY_LAST: Duration = Duration::from_secs(60);

/// How often an unreachable store is looked for, so that no pause lasts longer than the outage.
const LOOK_FOR_STORE_EVERY: Duration = Duration::from_secs(5);

/// After so much quiet others may collect.
const REST_AFTER: Duration = Duration::from_secs(600);
/// How often that is tried.
const REST_EVERY: Duration = Duration::from_secs(60);

/// The threads of a sync.
pub(crate) struct Background {
    stop: Arc<(Mutex<bool>, Condvar)>,
    /// The threads stop waiting for the store when it is set.
    left: Arc<AtomicBool>,
    home: Arc<Home>,
    threads: Vec<JoinHandle<()>>,
}

impl Background {
    pub(crate) fn start(sync: &Arc<Synchronizer>) -> Result<Self> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let left = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for (name, work) in [
            ("publisher", publisher as fn(&Weak<Synchronizer>, &Stop)),
            ("packer", packer),
            ("keeper", keeper),
            ("listener", listener),
        ] {
            let sync = Arc::downgrade(sync);
            let stop = Stop(stop.clone());
            let left = left.clone();
            let thread = std::thread::Builder::new()
                .name(name.into())
                .spawn(move || cancellation::cancellable(&left, || work(&sync, &stop)))
                .map_err(|error| Error::State(format!("a thread cannot be started: {error}")))?;
            threads.push(thread);
        }
        for _ in 0..sync.home.packs().begin_prefetches() {
            let home = sync.home.clone();
            let left = left.clone();
            let fetch = move || home.packs().run_prefetches();
            let thread = std::thread::Builder::new()
                .name("fetcher".into())
                .spawn(move || cancellation::cancellable(&left, fetch))
                .map_err(|error| Error::State(format!("a thread cannot be started: {error}")))?;
            threads.push(thread);
        }
        let home = sync.home.clone();
        Ok(Self {
            stop,
            left,
            home,
            threads,
        })
    }

    /// Ends the threads and waits for them.
    pub(crate) fn stop(mut self) {
        self.tell();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so on its own.
            drop(thread.join());
        }
    }

    fn tell(&self) {
        self.left.store(true, Ordering::Release);
        *self.stop.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.1.notify_all();
        self.home.packs().end_prefetches();
    }
}

/// A session that is given up without a sign-out ends its threads all the same.
impl Drop for Background {
    fn drop(&mut self) {
        self.tell();
    }
}

/// Of the standard library: on Redox a timed wait of other locks keeps the processor busy.
struct Stop(Arc<(Mutex<bool>, Condvar)>);

/// A background publish stops when the session does.
impl Progress for Stop {
    fn step(&self, _: Step) {}

    fn stopped(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stop {
    /// Has the threads look at once.
    fn wake(&self) {
        self.0.1.notify_all();
    }

    /// Waits; `true` when it is time to end.
    fn wait(&self, time: Duration) -> bool {
        let stopped = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *stopped || time.is_zero() {
            return *stopped;
        }
        let waited = self.0.1.wait_timeout(stopped, time);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Moves blocks into packs while they are written, so that a later sync is short.
fn packer(sync: &Weak<Synchronizer>, stop: &Stop) {
    let mut pause = TICK;
    while !stop.wait(pause) {
        let Some(sync) = sync.upgrade() else {
            return;
        };
        let home = &sync.home;
        pause = Duration::from_millis(20);
        if home.is_to_be_flushed() {
            match home.flush_oldest() {
                Ok(more) => {
                    home.problems().solved("packing");
                    pause = if more { Duration::ZERO } else { TICK };
                }
                Err(error) => {
                    home.problems().solved("packing");
                    home.problems().add(format!("packing: {error}"));
                    pause = RETRY_FIRST;
                }
            }
        }
    }
}

/// Keeps the stage durable, and looks whether there is room for more.
fn keeper(sync: &Weak<Synchronizer>, stop: &Stop) {
    const WHAT: &str = "keeping what was written";
    let mut kept = 0;
    let mut since: Option<Instant> = None;
    let mut pause = TICK;
    while !stop.wait(pause) {
        let Some(sync) = sync.upgrade() else {
            return;
        };
        let home = &sync.home;
        pause = TICK.min(home.log_after());
        home.look_for_room();
        sync.look_at_backlog(None);
        let changes = home.changes();
        if changes == kept {
            continue;
        }
        if since.get_or_insert_with(Instant::now).elapsed() < home.log_after() {
            continue;
        }
        since = None;
        match home.log_all() {
            // Later changes have a time of their own.
            Ok(()) => {
                kept = changes;
                home.problems().solved(WHAT);
            }
            // The stage says so by itself.
            Err(_) if home.stage().failure().is_some() => {}
            Err(error) => {
                home.problems().solved(WHAT);
                home.problems().add(format!("{WHAT}: {error}"));
            }
        }
    }
}

/// Waits for changes of other computers, where the store announces them.
fn listener(sync: &Weak<Synchronizer>, stop: &Stop) {
    let counter = |sync: &Weak<Synchronizer>| Some(sync.upgrade()?.facts.lock().pointer.counter());
    let mut pause = TICK;
    while !stop.wait(pause) {
        let Some((store, address)) = sync.upgrade().map(|sync| {
            let address = sync.account.read().address();
            (sync.home.packs().shared_store(), address)
        }) else {
            return;
        };
        let Some(seen) = counter(sync) else { return };
        let answer = store.watch_pointer(&address, seen, HELD);
        let (Some(sync), Some(now)) = (sync.upgrade(), counter(sync)) else {
            return;
        };
        pause = sync.news.heard(&answer, seen, now);
        if sync.news.has_moved() {
            stop.wake();
        }
    }
}

/// When it is tried again after a failure.
struct Pause {
    next: Duration,
    until: Instant,
    /// Whether the store was out of reach when it was looked for last, and when that was.
    away: Option<(bool, Instant)>,
}

impl Pause {
    fn new(now: Instant) -> Self {
        Self {
            next: RETRY_FIRST,
            until: now,
            away: None,
        }
    }

    /// After a failure; how long it lasts.
    fn begin(&mut self, now: Instant, error: &Error) -> Duration {
        let pause = self.next;
        self.until = now + pause;
        self.next = (pause * 2).min(RETRY_LAST);
        self.away = error.is_away().then_some((false, now));
        pause
    }

    /// Looks now and then whether a store is back that was out of reach: then it is over. One that answers while
    /// publishing fails is not out of reach, and has its pause.
    fn look(&mut self, is_store_there: impl FnOnce() -> bool) {
        let Some((was_away, when)) = self.away else {
            return;
        };
        if was_away && when.elapsed() < LOOK_FOR_STORE_EVERY {
            return;
        }
        let is_there = is_store_there();
        let now = Instant::now();
        self.away = (!is_there).then_some((true, now));
        if is_there && was_away {
            *self = Self::new(now);
        }
    }
}

/// Publishes.
fn publisher(sync: &Weak<Synchronizer>, stop: &Stop) {
    let mut seen = 0;
    let mut last_change = Instant::now();
    let mut first_change: Option<Instant> = None;
    let mut looked = Instant::now();
    let mut rested = Instant::now();
    let mut published: Option<Instant> = None;
    let mut pause = Pause::new(Instant::now());
    let mut looked_ahead: Option<Instant> = None;
    let mut tick = TICK;
    while !stop.wait(tick) {
        tick = TICK;
        let Some(sync) = sync.upgrade() else {
            return;
        };
        let home = &sync.home;
        let paid = home.packs().store().traits().paid;
        let now = Instant::now();
        let changes = home.changes();
        if changes != seen {
            seen = changes;
            last_change = now;
            if first_change.replace(first_change.unwrap_or(now)).is_none() {
                // While more is waited for, others are told that this computer is at work; publishing says what stands in the way.
                if home.packs().is_remote() && !paid {
                    let (is_newest, _) =
                        alongside(|| sync.is_newest_there(), || home.packs().hold());
                    looked_ahead = is_newest.then(Instant::now);
                    tick = Duration::ZERO;
                }
            }
        }
        let (quiet, latest) = match published {
            _ if paid => (PAID_QUIET, PAID_LATEST),
            Some(when) if now - when < LATEST => (QUIET, LATEST),
            _ => (QUIET_FIRST, LATEST),
        };
        let due = first_change.is_some_and(|first| {
            now - last_change >= quiet
                || now - first >= latest
                || paid && home.unpublished() + home.packs().waiting_bytes() >= PAID_BYTES
        });
        // Publishing looks too: changes that wait for it are not to go early for that.
        let every = if sync.news.is_told() {
            LOOK_TOLD_EVERY
        } else {
            LOOK_EVERY
        };
        let is_time = sync.news.has_moved() || now - looked >= every;
        let look = !paid && first_change.is_none() && is_time;
        if !sync.backlog.has_failed() {
            // A person was faster.
            pause = Pause::new(now);
        } else if now < pause.until && !paid {
            pause.look(|| sync.is_store_there());
        }
        if (due || look) && now >= pause.until {
            looked = now;
            match sync.publish_quietly(looked_ahead.take(), stop) {
                Ok(_) => {
                    if due {
                        published = Some(Instant::now());
                    }
                    if sync.facts.lock().are_newest(home.changes()) {
                        first_change = None;
                        seen = home.changes();
                    } else {
                        first_change = Some(Instant::now());
                    }
                }
                Err(Error::Ended) => return,
                Err(Error::Stopped) if stop.stopped() => return,
                // It gave way to a person who publishes.
                Err(Error::Stopped) => {}
                Err(error) => {
                    let pause = pause.begin(Instant::now(), &error);
                    let next = precise() + pause.as_nanos() as Nanos;
                    sync.backlog.next_try(Some(next));
                }
            }
        }
        if first_change.is_some() && !due {
            // Not up to a tick too late.
            let rest = quiet.saturating_sub(now - last_change);
            tick = tick.min(rest.max(TICK_LEAST));
        }
        if first_change.is_none() && now - last_change >= REST_AFTER && now - rested >= REST_EVERY {
            rested = now;
            sync.rest();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away() -> Error {
        Error::Store(safeos_store::Error::Unreachable {
            url: "http://there".into(),
            why: "it is asleep".into(),
        })
    }

    #[test]
    fn pauses_grow_up_to_a_minute() {
        let now = Instant::now();
        let mut pause = Pause::new(now);
        let pauses: Vec<u64> = (0..8)
            .map(|_| pause.begin(now, &away()).as_secs())
            .collect();
        assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(pause.until, now + RETRY_LAST);
    }

    #[test]
    fn a_pause_ends_when_the_store_is_back_and_only_then() {
        let now = Instant::now();
        let mut pause = Pause::new(now);
        pause.begin(now, &away());
        // It answers all the time: publishing fails for another reason.
        pause.look(|| true);
        pause.look(|| panic!("it is there"));
        assert!(pause.until > now);
        pause.begin(now, &away());
        pause.look(|| false);
        pause.look(|| panic!("it was looked for just now"));
        assert!(pause.until > Instant::now());
        let long_ago = Instant::now().checked_sub(LOOK_FOR_STORE_EVERY).unwrap();
        pause.away = Some((true, long_ago));
        pause.look(|| true);
        assert!(pause.until <= Instant::now());
        assert_eq!(pause.next, RETRY_FIRST);
        // After a failure of another kind the store is not looked for.
        pause.begin(now, &Error::Full("the disk".into()));
        pause.look(|| panic!("it was spoken to"));
    }
}
