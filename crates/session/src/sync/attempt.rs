//! Work that may have to wait for the store, and its waiting caller.
//!
//! What always holds here: the caller hears of obstacles, and can leave at any moment; work that makes no
//! progress for long, while request after request fails, ends with the failure that it meets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::lock::Mutex;
use safeos_store::{Failures, Store};

use crate::clock::precise;
use crate::packs::cancellation;
use crate::time::to_the_second;
use crate::{Error, Nanos, Progress, Result, Step};

/// The interval at which the caller and the store are checked.
const LISTEN_EVERY: Duration = Duration::from_millis(100);
/// How often is told what keeps it.
const TELL_EVERY: Duration = if cfg!(test) {
    Duration::from_millis(100)
} else {
    Duration::from_secs(1)
};
/// A request that is not answered for so long is told.
const UNANSWERED_AFTER: Duration = if cfg!(test) {
    Duration::from_millis(100)
} else {
    Duration::from_secs(2)
};
/// A home that can be opened without the store is opened so when a request is not answered for so long.
const OFFLINE_AFTER: Duration = if cfg!(test) {
    Duration::from_millis(300)
} else {
    Duration::from_secs(5)
};
/// So long without any progress …
const STUCK_AFTER: Duration = Duration::from_secs(45);
/// … and requests that still fail so long after it: longer than a line that is only slow has a bad moment.
const FAILING_FOR: Duration = Duration::from_secs(25);
/// The same for a sign-in, whose requests are small.
const OPENING_STUCK_AFTER: Duration = Duration::from_secs(30);
const OPENING_FAILING_FOR: Duration = Duration::from_secs(15);

/// Work that is under way.
pub(crate) struct Attempt {
    pub(super) left: Arc<AtomicBool>,
    /// A person waits for it.
    pub(super) for_person: bool,
    /// See [`STUCK_AFTER`] and [`FAILING_FOR`].
    stuck_after: (Duration, Duration),
    seen: Mutex<Seen>,
}

/// How far it is.
struct Seen {
    step: Step,
    since: Instant,
    /// Requests that had failed then.
    failures: u64,
}

impl Attempt {
    pub(super) fn new(for_person: bool, store: &dyn Store) -> Arc<Self> {
        Arc::new(Self {
            left: Arc::default(),
            for_person,
            stuck_after: (STUCK_AFTER, FAILING_FOR),
            seen: Mutex::new(Seen {
                step: Step::default(),
                since: Instant::now(),
                failures: store.failures().count,
            }),
        })
    }

    /// A sign-in.
    fn opening(store: &dyn Store) -> Arc<Self> {
        let mut attempt = Self::new(true, store);
        if let Some(attempt) = Arc::get_mut(&mut attempt) {
            attempt.stuck_after = (OPENING_STUCK_AFTER, OPENING_FAILING_FOR);
        }
        attempt
    }

    pub(super) fn leave(&self) {
        self.left.store(true, Ordering::Release);
    }

    fn is_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    fn step(&self, step: &Step, store: &dyn Store) {
        let mut seen = self.seen.lock();
        if (&seen.step.what, seen.step.done) != (&step.what, step.done) {
            seen.since = Instant::now();
            seen.failures = store.failures().count;
        }
        seen.step = step.clone();
    }

    /// Its current step, and for how long it has been at it.
    pub(super) fn at(&self) -> (Step, Duration) {
        let seen = self.seen.lock();
        (seen.step.clone(), seen.since.elapsed())
    }

    /// The last request that has failed since the last progress.
    fn met(&self, failures: Failures) -> Option<(safeos_store::Error, Instant)> {
        match failures.count > self.seen.lock().failures {
            true => failures.last,
            false => None,
        }
    }

    /// The obstacle: a request that has failed, or one that is not answered.
    pub(crate) fn why_it_waits(&self, store: &dyn Store) -> Option<String> {
        self.trouble(store).or_else(|| {
            let long = unanswered(store)? >= UNANSWERED_AFTER;
            long.then(|| no_answer(store).to_string())
        })
    }

    pub(crate) fn trouble(&self, store: &dyn Store) -> Option<String> {
        let (error, _) = self.met(store.failures())?;
        Some(error.to_string())
    }

    fn stuck(&self, store: &dyn Store) -> Option<safeos_store::Error> {
        let (error, when) = self.met(store.failures())?;
        let seen = self.seen.lock();
        let (after, failing_for) = self.stuck_after;
        let still_fails = when.saturating_duration_since(seen.since) >= failing_for;
        (seen.since.elapsed() >= after && still_fails).then_some(error)
    }
}

/// How accompanied work ended.
pub(super) enum End {
    /// By itself, or because it was cancelled.
    Own,
    /// With the failure that it met for too long.
    Stuck(safeos_store::Error),
}

/// Reports to a waiting caller while work goes on.
pub(super) struct Company<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) attempt: &'a Attempt,
    pub(super) to: &'a dyn Progress,
    /// Whether the session has cancelled it.
    pub(super) is_left: &'a (dyn Fn() -> bool + Sync),
    /// Whether it can be done without the store. Asked once, when the store does not answer.
    pub(super) can_do_without: &'a (dyn Fn() -> bool + Sync),
}

impl Company<'_> {
    /// Does the work, and says and listens meanwhile.
    pub(super) fn keep<T>(
        &self,
        told: &Told<'_>,
        work: impl FnOnce(&Told<'_>) -> Result<T>,
    ) -> (Result<T>, End) {
        // A scheduler of threads has no clock: there is nothing to report.
        if cfg!(feature = "shuttle") {
            return (work(told), End::Own);
        }
        let (ended, ends) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let company = std::thread::Builder::new().name("company".into());
            // Without this thread the delay is not explained.
            let company = company.spawn_scoped(scope, move || self.watch(&ends));
            let done = cancellation::cancellable(&self.attempt.left, || work(told));
            drop(ended);
            let end = company.ok().and_then(|company| company.join().ok());
            (done, end.unwrap_or(End::Own))
        })
    }

    fn watch(&self, ends: &mpsc::Receiver<()>) -> End {
        let mut told = Instant::now();
        let mut without = None;
        while ends.recv_timeout(LISTEN_EVERY) == Err(RecvTimeoutError::Timeout) {
            if self.to.stopped() || (self.is_left)() {
                self.attempt.leave();
                return End::Own;
            }
            if let Some(error) = self.attempt.stuck(self.store) {
                self.attempt.leave();
                return End::Stuck(error);
            }
            let unanswered = unanswered(self.store);
            if unanswered.is_some_and(|time| time >= UNANSWERED_AFTER) && without.is_none() {
                without = Some((self.can_do_without)());
            }
            let goes_without = without == Some(true) && !self.to.waits();
            if goes_without && unanswered.is_some_and(|time| time >= OFFLINE_AFTER) {
                self.attempt.leave();
                return End::Stuck(no_answer(self.store));
            }
            if told.elapsed() < TELL_EVERY {
                continue;
            }
            let Some(why) = self.attempt.why_it_waits(self.store) else {
                continue;
            };
            told = Instant::now();
            let (step, at_it_for) = self.attempt.at();
            let since = to_the_second(precise() - at_it_for.as_nanos() as Nanos);
            let what = format!("waiting since {since}, because {why}");
            self.to.step(match unanswered.filter(|_| goes_without) {
                // When it goes on without.
                Some(time) => Step {
                    what,
                    done: time.as_secs().min(OFFLINE_AFTER.as_secs()),
                    total: OFFLINE_AFTER.as_secs(),
                    unit: "seconds".to_owned(),
                },
                None => Step { what, ..step },
            });
        }
        End::Own
    }
}

/// For how long a request waits for its answer.
fn unanswered(store: &dyn Store) -> Option<Duration> {
    let since = store.failures().unanswered_since?;
    Some(since.elapsed())
}

fn no_answer(store: &dyn Store) -> safeos_store::Error {
    safeos_store::Error::Unreachable {
        url: store.url().to_owned(),
        why: "no answer yet".to_owned(),
    }
}

/// Does work before a session for a waiting caller: it hears of obstacles, and can leave. Where it can be done
/// without the store, which `can_do_without` tells, a store that does not answer is [out of
/// reach](safeos_store::Error::Unreachable) soon.
pub(crate) fn before_a_session<T>(
    store: &dyn Store,
    to: &dyn Progress,
    can_do_without: &(dyn Fn() -> bool + Sync),
    work: impl FnOnce(&Told<'_>) -> Result<T>,
) -> Result<T> {
    let attempt = Attempt::opening(store);
    let told = Told::new(to, &attempt, store);
    let company = Company {
        store,
        attempt: &attempt,
        to,
        is_left: &|| false,
        can_do_without,
    };
    match company.keep(&told, work) {
        (Err(error), End::Stuck(why)) if error.is_stopped() => Err(why.into()),
        (Err(error), End::Own) if error.is_stopped() => Err(Error::Stopped),
        (done, _) => done,
    }
}

/// The receiver of an attempt's progress.
pub(crate) struct Told<'a> {
    pub(super) to: &'a dyn Progress,
    pub(super) attempt: Arc<Attempt>,
    pub(super) store: &'a dyn Store,
}

impl<'a> Told<'a> {
    pub(super) fn new(to: &'a dyn Progress, attempt: &Arc<Attempt>, store: &'a dyn Store) -> Self {
        Self {
            to,
            attempt: attempt.clone(),
            store,
        }
    }
}

impl Progress for Told<'_> {
    fn step(&self, step: Step) {
        self.attempt.step(&step, self.store);
        self.to.step(step);
    }

    fn stopped(&self) -> bool {
        self.attempt.is_left() || self.to.stopped()
    }

    fn waits(&self) -> bool {
        self.to.waits()
    }
}

#[cfg(test)]
mod tests {
    use safeos_store::{MemoryStore, StoreHooks, Traits};

    use super::*;

    fn failures(count: u64, ago: Duration) -> Failures {
        let error = safeos_store::Error::Unreachable {
            url: "http://there".into(),
            why: "it is asleep".into(),
        };
        let when = Instant::now().checked_sub(ago).unwrap();
        Failures {
            count,
            last: Some((error, when)),
            unanswered_since: None,
        }
    }

    /// A store of which requests have failed.
    struct Failing(MemoryStore, Mutex<Failures>);

    impl StoreHooks for Failing {
        fn inner(&self) -> &dyn Store {
            &self.0
        }

        fn on_failures(&self) -> Failures {
            self.1.lock().clone()
        }
    }

    #[test]
    fn what_is_slow_is_not_stuck_and_what_fails_for_long_is() {
        let store = Failing(MemoryStore::default(), Mutex::default());
        let attempt = Attempt::new(true, &store);
        let ago = |time: Duration| {
            attempt.seen.lock().since = Instant::now().checked_sub(time).unwrap();
        };
        // No request has failed: however long it takes, it goes on.
        ago(STUCK_AFTER * 20);
        assert!(attempt.trouble(&store).is_none() && attempt.stuck(&store).is_none());
        // A request has failed, soon after the last progress, and none since.
        *store.1.lock() = failures(1, STUCK_AFTER * 20 - FAILING_FOR / 2);
        assert!(attempt.trouble(&store).unwrap().contains("asleep"));
        assert!(attempt.stuck(&store).is_none());
        // They still fail.
        *store.1.lock() = failures(2, Duration::ZERO);
        assert!(attempt.stuck(&store).is_some());
        // Not for long.
        ago(STUCK_AFTER / 2);
        assert!(attempt.stuck(&store).is_none());
        // Progress counts, the same step again does not.
        let step = Step {
            what: "uploading".into(),
            ..Step::default()
        };
        attempt.step(&step, &store);
        assert!(attempt.trouble(&store).is_none());
        *store.1.lock() = failures(3, Duration::ZERO);
        attempt.step(&step, &store);
        assert!(attempt.trouble(&store).is_some());
    }

    /// Of its pointers it never says anything.
    #[derive(Default)]
    struct Silent {
        inner: MemoryStore,
        asked: Mutex<Option<mpsc::Sender<()>>>,
    }

    impl StoreHooks for Silent {
        fn inner(&self) -> &dyn Store {
            &self.inner
        }

        fn on_get_pointer(
            &self,
            _: &safeos_record::Address,
        ) -> safeos_store::Result<Option<safeos_record::Pointer>> {
            let (end, never) = mpsc::channel();
            *self.asked.lock() = Some(end);
            let _ = never.recv();
            Ok(None)
        }

        fn on_url(&self) -> &str {
            "http://silent"
        }

        fn on_traits(&self) -> Traits {
            Traits {
                local: false,
                paid: false,
            }
        }
    }

    /// Hears what is told, and does not want it any more when it has heard so much.
    struct Person {
        waits: bool,
        leaves_after: usize,
        heard: Mutex<Vec<Step>>,
    }

    impl Person {
        fn new(waits: bool, leaves_after: usize) -> Self {
            Self {
                waits,
                leaves_after,
                heard: Mutex::default(),
            }
        }
    }

    impl Progress for Person {
        fn step(&self, step: Step) {
            self.heard.lock().push(step);
        }
        fn stopped(&self) -> bool {
            self.heard.lock().len() >= self.leaves_after
        }
        fn waits(&self) -> bool {
            self.waits
        }
    }

    fn ask(person: &Person, can_do_without: bool) -> Result<()> {
        let silent = Arc::new(Silent::default());
        let store = crate::packs::leavable::Leavable::around_opening(silent.clone());
        let address = safeos_record::Address([7; 32]);
        let done = before_a_session(&*store, person, &|| can_do_without, |_| {
            Ok(store.get_pointer(&address).map(drop)?)
        });
        *silent.asked.lock() = None;
        done
    }

    #[test]
    fn a_store_that_never_answers_is_out_of_reach_where_it_can_be_done_without() {
        let person = Person::new(false, usize::MAX);
        let error = ask(&person, true).unwrap_err();
        assert!(error.is_away(), "{error}");
        assert!(error.to_string().contains("http://silent"), "{error}");
        // Before that it is said, with when it goes on without.
        let heard = person.heard.lock();
        let said = heard.first().unwrap();
        assert!(said.what.contains("no answer yet"), "{said:?}");
        assert_eq!(said.unit, "seconds");
    }

    #[test]
    fn whoever_waits_for_a_store_that_never_answers_hears_so_and_can_leave() {
        // The store is needed, or the caller wants to wait: it goes on, until they leave.
        for (waits, can_do_without) in [(false, false), (true, true)] {
            let person = Person::new(waits, 5);
            let error = ask(&person, can_do_without).unwrap_err();
            assert!(error.is_stopped(), "{error}");
            let heard = person.heard.lock();
            assert!(heard.len() >= 5);
            assert!(heard.iter().all(|step| step.what.contains("no answer yet")));
            assert!(heard.iter().all(|step| step.unit.is_empty()));
        }
    }
}
