//! One download, and those who wait for its end.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use safeos_store::Error;

use crate::packs::cancellation;
use crate::packs::extent::Piece;

/// How often somebody who waits for another's download asks whether he is still wanted.
const LISTEN_EVERY: Duration = Duration::from_millis(50);

/// How a download ends.
#[derive(Default)]
pub(super) struct Download {
    outcome: Mutex<Option<Result<Piece, Error>>>,
    ended: Condvar,
}

impl Download {
    /// Passes the outcome to those who wait.
    pub(super) fn end(&self, outcome: Result<Piece, Error>) {
        *lock(&self.outcome) = Some(outcome);
        self.ended.notify_all();
    }

    /// The outcome, as long as it is wanted.
    pub(super) fn wait(&self) -> Result<Piece, Error> {
        let mut outcome = lock(&self.outcome);
        loop {
            if let Some(outcome) = &*outcome {
                return outcome.clone();
            }
            if !is_wanted() {
                return Err(given_up());
            }
            let waited = self.ended.wait_timeout(outcome, LISTEN_EVERY);
            outcome = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Whether somebody wants what this thread does.
pub(super) fn is_wanted() -> bool {
    cancellation::cancellation().is_none_or(|wanted| wanted.still())
}

/// The outcome of a download that nobody wants any more.
pub(super) const fn given_up() -> Error {
    Error::Stopped { url: String::new() }
}

/// A thread that panicked leaves nothing behind by halves.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
