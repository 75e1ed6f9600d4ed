//! Work of a synchronizer for a waiting caller, and the right to publish.

use std::sync::Arc;
use std::time::Duration;

use crate::lock::{MutexGuard, thread};

use crate::packs::cancellation;
use crate::sync::attempt::{Attempt, Company, End, Told};
use crate::sync::sync_base::SyncBase;
use crate::sync::synchronizer::Synchronizer;
use crate::{Error, Progress, Result};

/// How often the lock is tried. A wait for a lock with an end to it keeps the processor busy on Redox.
const LINE_EVERY: Duration = Duration::from_millis(10);
/// Background work gives way to a person's request after so long without progress.
const GIVES_WAY_AFTER: Duration = Duration::from_secs(2);

impl Synchronizer {
    /// Does work for a waiting caller: it hears of obstacles, and can
    /// stop waiting at any moment.
    pub(crate) fn accompanied<T>(
        &self,
        to: &dyn Progress,
        work: impl FnOnce(&Told<'_>) -> Result<T>,
    ) -> Result<T> {
        self.accompanied_or(to, work, |_| ())
    }

    /// The same; `on_stuck` gets the failure that ended it.
    pub(crate) fn accompanied_or<T>(
        &self,
        to: &dyn Progress,
        work: impl FnOnce(&Told<'_>) -> Result<T>,
        on_stuck: impl FnOnce(&Error),
    ) -> Result<T> {
        let store = self.home.packs().store();
        let attempt = Attempt::new(true, store);
        let told = Told::new(to, &attempt, store);
        let company = Company {
            store,
            attempt: &attempt,
            to,
            is_left: &|| self.is_left(),
            can_do_without: &|| false,
        };
        let (done, end) = company.keep(&told, work);
        self.is_over(&attempt);
        match (done, end) {
            (Err(error), End::Stuck(why)) if error.is_stopped() => {
                let why = why.into();
                on_stuck(&why);
                Err(why)
            }
            (Err(error), End::Own) if error.is_stopped() => Err(match self.is_left() {
                true => Error::Ended,
                false => Error::Stopped,
            }),
            (done, _) => done,
        }
    }

    /// The same without a waiting caller: it gives way to work that has one.
    pub(crate) fn unaccompanied<T>(
        &self,
        to: &dyn Progress,
        work: impl FnOnce(&Told<'_>) -> Result<T>,
    ) -> Result<T> {
        let store = self.home.packs().store();
        let attempt = Attempt::new(false, store);
        let told = Told::new(to, &attempt, store);
        let done = cancellation::cancellable(&attempt.left, || work(&told));
        self.is_over(&attempt);
        match done {
            Err(error) if error.is_stopped() => Err(Error::Stopped),
            done => done,
        }
    }

    /// The right to publish. The progress of its present holder is passed on: a person's wait lasts as long as that
    /// goes on.
    pub(crate) fn sync_base(&self, told: &Told<'_>) -> Result<MutexGuard<'_, SyncBase>> {
        let store = self.home.packs().store();
        loop {
            if let Some(sync_base) = self.sync_base_now(told) {
                return Ok(sync_base);
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
            thread::sleep(LINE_EVERY);
        }
    }

    /// The right to publish, unless it is taken.
    pub(crate) fn sync_base_now(&self, told: &Told<'_>) -> Option<MutexGuard<'_, SyncBase>> {
        let sync_base = self.sync_base.try_lock()?;
        *self.trying.lock() = Some(told.attempt.clone());
        Some(sync_base)
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
