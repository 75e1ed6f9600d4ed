//! What a session does by itself: packs in time, a durable stage, publishing.
//!
//! What always holds here: what makes changes durable on this computer waits for no publish.
//!
//! Where nothing is paid for, a home is published seconds after the last change, and at the latest some
//! seconds after the first; where records are paid for, when it has been quiet for long.

use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::home::Home;
use crate::{Error, Progress, Result, Session, Step};

/// How often it looks.
const TICK: Duration = Duration::from_millis(250);
/// Publishing waits for this much quiet …
const QUIET: Duration = Duration::from_secs(2);
/// … but no longer than this.
const LATEST: Duration = Duration::from_secs(20);
/// The same where records are paid for.
const PAID_QUIET: Duration = Duration::from_secs(600);
const PAID_LATEST: Duration = Duration::from_secs(6 * 3600);
/// So much is published without waiting for that: enough for one payment for many records, beside which those of the
/// head weigh little.
const PAID_BYTES: u64 = 256 << 20;
/// How often the store is asked for other computers' changes.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// After a failure the next try waits from this …
const RETRY_FIRST: Duration = Duration::from_secs(2);
/// … up to this.
const RETRY_LAST: Duration = Duration::from_secs(60);

/// After so much quiet others may collect.
const REST_AFTER: Duration = Duration::from_secs(600);
/// How often that is tried.
const REST_EVERY: Duration = Duration::from_secs(60);

/// How many packs are fetched ahead at once.
const FETCHERS: usize = 3;

/// The threads of a session.
pub(crate) struct Background {
    stop: Arc<(Mutex<bool>, Condvar)>,
    home: Arc<Home>,
    threads: Vec<JoinHandle<()>>,
}

impl Background {
    pub(crate) fn start(session: &Arc<Session>) -> Result<Self> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let mut threads = Vec::new();
        for (name, work) in [
            ("publisher", publisher as fn(&Weak<Session>, &Stop)),
            ("packer", packer),
            ("keeper", keeper),
        ] {
            let session = Arc::downgrade(session);
            let stop = Stop(stop.clone());
            let thread = std::thread::Builder::new()
                .name(name.into())
                .spawn(move || work(&session, &stop))
                .map_err(|error| Error::State(format!("a thread cannot be started: {error}")))?;
            threads.push(thread);
        }
        session.home.ahead.begin();
        for _ in 0..if session.home.packs.is_remote() {
            FETCHERS
        } else {
            0
        } {
            let home = session.home.clone();
            let thread = std::thread::Builder::new()
                .name("fetcher".into())
                .spawn(move || {
                    while let Some(pack) = home.ahead.next() {
                        // Whoever needs the pack fetches it again and gets the error.
                        drop(home.packs.fetch(&pack));
                    }
                })
                .map_err(|error| Error::State(format!("a thread cannot be started: {error}")))?;
            threads.push(thread);
        }
        let home = session.home.clone();
        Ok(Self {
            stop,
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
        *self.stop.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.1.notify_all();
        self.home.ahead.end();
    }
}

/// A session that is given up without a sign-out ends its threads all the same.
impl Drop for Background {
    fn drop(&mut self) {
        self.tell();
    }
}

/// Of the standard library: what other locks wait for a time on Redox keeps the processor busy.
struct Stop(Arc<(Mutex<bool>, Condvar)>);

/// What is published in the background stops when the session does.
impl Progress for Stop {
    fn step(&self, _: Step) {}

    fn stopped(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stop {
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

/// Moves blocks into packs while they are written, so that nobody has to wait for it.
fn packer(session: &Weak<Session>, stop: &Stop) {
    let mut pause = TICK;
    while !stop.wait(pause) {
        let Some(session) = session.upgrade() else {
            return;
        };
        let home = &session.home;
        pause = Duration::from_millis(20);
        let is_much = home.files.dirty_bytes() * 3 > home.limits.dirty_bytes_max;
        if is_much && !home.files.is_being_emptied() {
            match home.flush_oldest() {
                Ok(more) => {
                    home.problems.solved("packing");
                    pause = if more { Duration::ZERO } else { TICK };
                }
                Err(error) => {
                    home.problems.solved("packing");
                    home.problems.add(format!("packing: {error}"));
                    pause = RETRY_FIRST;
                }
            }
        }
    }
}

/// Keeps the stage durable, and looks whether there is room for more.
fn keeper(session: &Weak<Session>, stop: &Stop) {
    const WHAT: &str = "keeping what was written";
    let mut kept = 0;
    let mut since: Option<Instant> = None;
    let mut pause = TICK;
    while !stop.wait(pause) {
        let Some(session) = session.upgrade() else {
            return;
        };
        let home = &session.home;
        pause = TICK.min(home.limits.log_after);
        home.look_for_room();
        let changes = home.changes();
        if changes == kept {
            continue;
        }
        if since.get_or_insert_with(Instant::now).elapsed() < home.limits.log_after {
            continue;
        }
        since = None;
        match home.log_all() {
            // What was changed meanwhile has its own time.
            Ok(()) => {
                kept = changes;
                home.problems.solved(WHAT);
            }
            // The stage says so by itself.
            Err(_) if home.stage.failure().is_some() => {}
            Err(error) => {
                home.problems.solved(WHAT);
                home.problems.add(format!("{WHAT}: {error}"));
            }
        }
    }
}

/// Publishes.
fn publisher(session: &Weak<Session>, stop: &Stop) {
    let mut seen = 0;
    let mut last_change = Instant::now();
    let mut first_change: Option<Instant> = None;
    let mut looked = Instant::now();
    let mut rested = Instant::now();
    let mut retry = RETRY_FIRST;
    let mut not_before = Instant::now();
    while !stop.wait(TICK) {
        let Some(session) = session.upgrade() else {
            return;
        };
        let home = &session.home;
        let paid = home.packs.store().traits().paid;
        let now = Instant::now();
        let changes = home.changes();
        if changes != seen {
            seen = changes;
            last_change = now;
            first_change.get_or_insert(now);
        }
        let (quiet, latest) = if paid {
            (PAID_QUIET, PAID_LATEST)
        } else {
            (QUIET, LATEST)
        };
        let due = first_change.is_some_and(|first| {
            now - last_change >= quiet
                || now - first >= latest
                || paid && home.unpublished() + home.packs.waiting_bytes() >= PAID_BYTES
        });
        // Publishing looks too: changes that wait for it are not to go early for that.
        let look = !paid && first_change.is_none() && now - looked >= LOOK_EVERY;
        if (due || look) && now >= not_before {
            looked = now;
            match session.publish(stop) {
                Ok(_) => {
                    retry = RETRY_FIRST;
                    if session.facts.lock().are_newest(home.changes()) {
                        first_change = None;
                        seen = home.changes();
                    } else {
                        first_change = Some(Instant::now());
                    }
                }
                Err(Error::Ended | Error::Stopped) => return,
                Err(_) => {
                    not_before = Instant::now() + retry;
                    retry = (retry * 2).min(RETRY_LAST);
                }
            }
        }
        if first_change.is_none() && now - last_change >= REST_AFTER && now - rested >= REST_EVERY {
            rested = now;
            session.rest();
        }
    }
}
