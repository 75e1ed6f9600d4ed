//! Work that may have to wait for the store, and whoever waits for it.
//!
//! What always holds here: who waits hears what keeps it from going on, and can leave at any moment; what makes no
//! progress for long, while request after request fails, ends with the failure that it meets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use safeos_store::{Failures, Store};

use crate::clock::precise;
use crate::packs::patience;
use crate::sync::publish::Line;
use crate::time::to_the_second;
use crate::{Error, Nanos, Progress, Result, Session, Step};

/// How often it is looked whether somebody still waits, and what for.
const LISTEN_EVERY: Duration = Duration::from_millis(100);
/// How often is told what keeps it.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How often the line is looked for. A wait for a lock with an end to it keeps the processor busy on Redox.
const LINE_EVERY: Duration = Duration::from_millis(10);
/// So long without any progress …
const STUCK_AFTER: Duration = Duration::from_secs(45);
/// … and requests that still fail so long after it: longer than a line that is only slow has a bad moment.
const FAILING_FOR: Duration = Duration::from_secs(25);
/// Who works for nobody gives way to a person after so long without progress.
const GIVES_WAY_AFTER: Duration = Duration::from_secs(2);

/// Work that is under way.
pub(crate) struct Attempt {
    left: Arc<AtomicBool>,
    /// A person waits for it.
    for_person: bool,
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
    fn new(for_person: bool, store: &dyn Store) -> Arc<Self> {
        Arc::new(Self {
            left: Arc::default(),
            for_person,
            seen: Mutex::new(Seen {
                step: Step::default(),
                since: Instant::now(),
                failures: store.failures().count,
            }),
        })
    }

    fn leave(&self) {
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

    /// What it does, and for how long it has been at that.
    fn at(&self) -> (Step, Duration) {
        let seen = self.seen.lock();
        (seen.step.clone(), seen.since.elapsed())
    }

    /// What a request met that has failed since the last progress.
    fn met(&self, failures: Failures) -> Option<(safeos_store::Error, Instant)> {
        match failures.count > self.seen.lock().failures {
            true => failures.last,
            false => None,
        }
    }

    pub(crate) fn trouble(&self, store: &dyn Store) -> Option<String> {
        let (error, _) = self.met(store.failures())?;
        Some(error.to_string())
    }

    fn stuck(&self, store: &dyn Store) -> Option<safeos_store::Error> {
        let (error, when) = self.met(store.failures())?;
        let seen = self.seen.lock();
        let still_fails = when.saturating_duration_since(seen.since) >= FAILING_FOR;
        (seen.since.elapsed() >= STUCK_AFTER && still_fails).then_some(error)
    }
}

/// Who listens to an attempt.
pub(crate) struct Told<'a> {
    to: &'a dyn Progress,
    attempt: Arc<Attempt>,
    store: &'a dyn Store,
}

impl Progress for Told<'_> {
    fn step(&self, step: Step) {
        self.attempt.step(&step, self.store);
        self.to.step(step);
    }

    fn stopped(&self) -> bool {
        self.attempt.is_left() || self.to.stopped()
    }
}

impl Session {
    /// Does something that somebody waits for, and keeps them company: they hear what keeps it, and are not kept by it when they
    /// do not want it any more.
    pub(crate) fn accompanied<T>(
        &self,
        to: &dyn Progress,
        work: impl FnOnce(&Told<'_>) -> Result<T>,
    ) -> Result<T> {
        self.accompanied_or(to, work, |_| ())
    }

    /// The same; `on_stuck` hears of a failure that it was ended for.
    pub(crate) fn accompanied_or<T>(
        &self,
        to: &dyn Progress,
        work: impl FnOnce(&Told<'_>) -> Result<T>,
        on_stuck: impl FnOnce(&Error),
    ) -> Result<T> {
        let store = self.home.packs.store();
        let attempt = Attempt::new(true, store);
        let told = Told {
            to,
            attempt: attempt.clone(),
            store,
        };
        let (ended, ends) = mpsc::channel::<()>();
        let (done, stuck) = std::thread::scope(|scope| {
            let company = std::thread::Builder::new().name("company".into());
            let watched = &*attempt;
            // Without it nobody hears why it takes so long.
            let company =
                company.spawn_scoped(scope, move || self.keep_company(watched, to, &ends));
            let done = patience::while_wanted(&attempt.left, || work(&told));
            drop(ended);
            let stuck = company.ok().and_then(|company| company.join().ok());
            (done, stuck.flatten())
        });
        self.is_over(&attempt);
        match (done, stuck) {
            (Err(error), Some(why)) if error.is_stopped() => {
                let why = why.into();
                on_stuck(&why);
                Err(why)
            }
            (Err(error), None) if error.is_stopped() => Err(match self.is_left() {
                true => Error::Ended,
                false => Error::Stopped,
            }),
            (done, _) => done,
        }
    }

    /// The failure that it is ended for, if it is.
    fn keep_company(
        &self,
        attempt: &Attempt,
        to: &dyn Progress,
        ends: &mpsc::Receiver<()>,
    ) -> Option<safeos_store::Error> {
        let store = self.home.packs.store();
        let mut told = Instant::now();
        while ends.recv_timeout(LISTEN_EVERY) == Err(RecvTimeoutError::Timeout) {
            if to.stopped() || self.is_left() {
                attempt.leave();
                return None;
            }
            if let Some(error) = attempt.stuck(store) {
                attempt.leave();
                return Some(error);
            }
            if told.elapsed() >= TELL_EVERY
                && let Some(why) = attempt.trouble(store)
            {
                told = Instant::now();
                let (step, at_it_for) = attempt.at();
                let since = to_the_second(precise() - at_it_for.as_nanos() as Nanos);
                to.step(Step {
                    what: format!("waiting since {since}, because {why}"),
                    ..step
                });
            }
        }
        None
    }

    /// The same for what nobody waits for: it gives way to who does.
    pub(crate) fn unaccompanied<T>(
        &self,
        to: &dyn Progress,
        work: impl FnOnce(&Told<'_>) -> Result<T>,
    ) -> Result<T> {
        let store = self.home.packs.store();
        let attempt = Attempt::new(false, store);
        let told = Told {
            to,
            attempt: attempt.clone(),
            store,
        };
        let done = patience::while_wanted(&attempt.left, || work(&told));
        self.is_over(&attempt);
        match done {
            Err(error) if error.is_stopped() => Err(Error::Stopped),
            done => done,
        }
    }

    /// The right to publish. Who has it already is watched meanwhile: a person's own wait is as long as that goes on.
    pub(crate) fn line(&self, told: &Told<'_>) -> Result<MutexGuard<'_, Line>> {
        let store = self.home.packs.store();
        loop {
            if let Some(line) = self.line_now(told) {
                return Ok(line);
            }
            if told.stopped() {
                return Err(Error::Stopped);
            }
            let other = self.trying.lock().clone();
            if let Some(other) = other {
                let (step, at_it_for) = other.at();
                let is_kept = other.trouble(store).is_some() && at_it_for >= GIVES_WAY_AFTER;
                if told.attempt.for_person && !other.for_person && is_kept {
                    other.leave();
                } else if !step.what.is_empty() && step != told.attempt.at().0 {
                    told.step(step);
                }
            }
            std::thread::sleep(LINE_EVERY);
        }
    }

    /// The right to publish, unless somebody has it.
    pub(crate) fn line_now(&self, told: &Told<'_>) -> Option<MutexGuard<'_, Line>> {
        let line = self.line.try_lock()?;
        *self.trying.lock() = Some(told.attempt.clone());
        Some(line)
    }

    fn is_over(&self, attempt: &Arc<Attempt>) {
        let mut trying = self.trying.lock();
        if trying
            .as_ref()
            .is_some_and(|other| Arc::ptr_eq(other, attempt))
        {
            *trying = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use safeos_store::{MemoryStore, Traits};

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
        }
    }

    /// A store of which requests have failed.
    struct Failing(MemoryStore, Mutex<Failures>);

    impl Store for Failing {
        fn failures(&self) -> Failures {
            self.1.lock().clone()
        }
        fn url(&self) -> &str {
            self.0.url()
        }
        fn traits(&self) -> Traits {
            self.0.traits()
        }
        fn put_chunks(&self, _: &[safeos_record::Chunk]) -> safeos_store::Result<()> {
            unreachable!()
        }
        fn get_chunks(
            &self,
            _: &[safeos_record::Address],
        ) -> Vec<safeos_store::Result<safeos_record::Chunk>> {
            unreachable!()
        }
        fn has_chunks(&self, _: &[safeos_record::Address]) -> safeos_store::Result<Vec<bool>> {
            unreachable!()
        }
        fn get_pointer(
            &self,
            _: &safeos_record::Address,
        ) -> safeos_store::Result<Option<safeos_record::Pointer>> {
            unreachable!()
        }
        fn set_pointer(
            &self,
            _: &safeos_record::Pointer,
            _: Option<u64>,
        ) -> safeos_store::Result<()> {
            unreachable!()
        }
        fn list(
            &self,
            _: Option<(safeos_store::Kind, safeos_record::Address)>,
            _: usize,
        ) -> safeos_store::Result<Vec<safeos_store::Entry>> {
            unreachable!()
        }
        fn delete_chunks(&self, _: &[safeos_record::Address]) -> safeos_store::Result<u64> {
            unreachable!()
        }
        fn stats(&self) -> safeos_store::Result<safeos_store::Stats> {
            unreachable!()
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
        // One has, soon after the last progress, and none since.
        *store.1.lock() = failures(1, STUCK_AFTER * 20 - FAILING_FOR / 2);
        assert!(attempt.trouble(&store).unwrap().contains("asleep"));
        assert!(attempt.stuck(&store).is_none());
        // They still fail.
        *store.1.lock() = failures(2, Duration::ZERO);
        assert!(attempt.stuck(&store).is_some());
        // Not for long.
        ago(STUCK_AFTER / 2);
        assert!(attempt.stuck(&store).is_none());
        // Progress is progress, and the same step again is none.
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
}
