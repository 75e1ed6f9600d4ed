//! A store's announcements of other computers' changes, so that it need not be asked all the time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use safeos_record::Pointer;
use safeos_store::{Error, Watched};

/// How long a store is waited for with one request. Proxies end what is silent for a minute.
pub(crate) const HELD: Duration = Duration::from_secs(50);
/// After a store has announced a move, which is about to be fetched.
const AFTER_MOVE: Duration = Duration::from_millis(500);
/// After it has told that nothing has: also one that says so at once is not asked without end.
const AFTER_NONE: Duration = Duration::from_millis(250);
/// After a failure, and where what has moved is not fetched.
const AFTER_FAILURE: Duration = Duration::from_secs(10);
/// A store that cannot tell may be served by another program some day.
const AFTER_UNABLE: Duration = Duration::from_secs(600);

#[derive(Default)]
pub(crate) struct News {
    moved: AtomicBool,
    /// The state that it moved to, where the store has said it.
    pointer: crate::lock::Mutex<Option<Pointer>>,
    told: AtomicBool,
    /// The counter at which the pointer was said to have moved last.
    last: crate::lock::Mutex<Option<u64>>,
}

impl News {
    /// Whether the store tells what others publish.
    pub(crate) fn is_told(&self) -> bool {
        self.told.load(Ordering::Relaxed)
    }

    /// Whether others have published something that was not looked at.
    pub(crate) fn has_moved(&self) -> bool {
        self.moved.load(Ordering::Relaxed)
    }

    /// It is being looked at. Returns the pointer's state that the store has told, if it has.
    pub(crate) fn take(&self) -> Option<Pointer> {
        self.moved.store(false, Ordering::Relaxed);
        self.pointer.lock().take()
    }

    /// Takes an answer of the store, given after the pointer was seen at the counter `seen`; it is at `now` for this
    /// computer. Returns how long the store is left alone then.
    pub(crate) fn heard(&self, answer: &Result<Watched, Error>, seen: u64, now: u64) -> Duration {
        let is_told = matches!(answer, Ok(Watched::Moved(_) | Watched::Same));
        self.told.store(is_told, Ordering::Relaxed);
        match answer {
            // It was this computer itself, or it was looked at meanwhile.
            Ok(Watched::Moved(_)) if seen != now => Duration::ZERO,
            Ok(Watched::Moved(pointer)) => {
                self.pointer.lock().clone_from(pointer);
                self.moved.store(true, Ordering::Relaxed);
                let before = self.last.lock().replace(seen);
                if before == Some(seen) {
                    AFTER_FAILURE
                } else {
                    AFTER_MOVE
                }
            }
            Ok(Watched::Same) => AFTER_NONE,
            Ok(Watched::Unable) => AFTER_UNABLE,
            Err(_) => AFTER_FAILURE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_publish_is_looked_at_and_not_what_this_computer_does() {
        let news = News::default();
        assert_eq!(news.heard(&Ok(Watched::Moved(None)), 3, 4), Duration::ZERO);
        assert!(!news.has_moved() && news.is_told());
        assert_eq!(news.heard(&Ok(Watched::Moved(None)), 4, 4), AFTER_MOVE);
        assert!(news.has_moved());
        assert_eq!(news.take(), None);
        assert!(!news.has_moved());
        // It could not be merged: the store says so again, at once.
        assert_eq!(news.heard(&Ok(Watched::Moved(None)), 4, 4), AFTER_FAILURE);
        assert!(news.has_moved());
    }

    #[test]
    fn a_store_that_tells_nothing_is_asked_as_before() {
        let news = News::default();
        news.heard(&Ok(Watched::Same), 1, 1);
        assert!(news.is_told());
        assert_eq!(news.heard(&Ok(Watched::Unable), 1, 1), AFTER_UNABLE);
        assert!(!news.is_told());
        news.heard(&Ok(Watched::Same), 1, 1);
        let cut = Error::Unreachable {
            url: "http://there".into(),
            why: "the connection ended".into(),
        };
        assert_eq!(news.heard(&Err(cut), 1, 1), AFTER_FAILURE);
        assert!(!news.is_told());
    }
}
