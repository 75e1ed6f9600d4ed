//! Changes that wait to be published: since when, and why.

use crate::lock::Mutex;

use crate::clock::precise;
use crate::time::to_the_second;
use crate::{Error, Nanos, Waiting};

/// The state of unpublished changes.
#[derive(Default)]
pub(crate) struct Backlog(Mutex<State>);

#[derive(Default)]
struct State {
    /// When the oldest of it was written.
    since: Option<Nanos>,
    failed: Option<Failed>,
    next: Option<Nanos>,
}

/// Tries that have failed, one after the other, without having brought anything to the store.
struct Failed {
    why: String,
    since: Nanos,
    tries: u32,
    /// Records that this session had put then.
    records: u64,
}

impl Backlog {
    /// Takes note of whether anything waits now. Changes from before this session have waited since `at_least`.
    pub(crate) fn look(&self, waits: bool, at_least: Option<Nanos>) {
        let mut state = self.0.lock();
        if waits {
            let time = at_least.unwrap_or_else(precise);
            state.since = Some(state.since.map_or(time, |since| since.min(time)));
        } else {
            state.since = None;
        }
    }

    /// A try that began then has succeeded. Changes that are not in it were written later.
    pub(crate) fn published(&self, began: Nanos) {
        *self.0.lock() = State {
            since: Some(began),
            ..State::default()
        };
    }

    /// A try has failed, when this session had put so many records.
    pub(crate) fn failed(&self, error: &Error, records: u64) {
        let mut state = self.0.lock();
        state.next = None;
        let before = state.failed.take().filter(|last| last.records == records);
        let (since, tries) = before.map_or((precise(), 0), |last| (last.since, last.tries));
        state.failed = Some(Failed {
            why: error.to_string(),
            since,
            tries: tries.saturating_add(1),
            records,
        });
    }

    /// Whether the last try has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.0.lock().failed.is_some()
    }

    /// When it is tried again by itself, at the latest; `None`: now.
    pub(crate) fn next_try(&self, when: Option<Nanos>) {
        self.0.lock().next = when;
    }

    /// How it stands with so many bytes. `trouble` is what a try meets that is under way.
    pub(crate) fn report(&self, bytes: u64, trouble: Option<String>) -> Waiting {
        let state = self.0.lock();
        let time = |time: Option<Nanos>| time.map_or_else(String::new, to_the_second);
        let failed = state.failed.as_ref();
        let is_trying = trouble.is_some();
        Waiting {
            bytes,
            since: time(state.since),
            why: trouble
                .or_else(|| failed.map(|failed| failed.why.clone()))
                .unwrap_or_default(),
            failed_tries: failed.map_or(0, |failed| failed.tries),
            failing_since: time(failed.map(|failed| failed.since)),
            next_try: time(state.next.filter(|_| !is_trying)),
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
    fn what_waits_is_told_until_it_is_published() {
        let backlog = Backlog::default();
        backlog.look(true, Some(1_000_000_000));
        backlog.look(true, None);
        let report = backlog.report(7, None);
        assert_eq!(report.since, "1970-01-01T00:00:01Z");
        assert_eq!((report.why.as_str(), report.failed_tries), ("", 0));
        backlog.failed(&away(), 3);
        let first = backlog.report(7, None);
        backlog.failed(&away(), 3);
        backlog.next_try(Some(2_000_000_000));
        let second = backlog.report(7, None);
        assert!(second.why.contains("it is asleep"), "{second:?}");
        assert_eq!(second.failing_since, first.failing_since);
        assert_eq!(second.next_try, "1970-01-01T00:00:02Z");
        assert_eq!((first.failed_tries, second.failed_tries), (1, 2));
        // Something came through: the count starts again.
        backlog.failed(&away(), 4);
        assert_eq!(backlog.report(7, None).failed_tries, 1);
        let now = backlog.report(7, Some("it yawns".into()));
        assert_eq!((now.why.as_str(), now.next_try.as_str()), ("it yawns", ""));
        backlog.published(3_000_000_000);
        assert!(!backlog.has_failed());
        assert_eq!(backlog.report(7, None).why, "");
        assert_eq!(backlog.report(7, None).since, "1970-01-01T00:00:03Z");
        backlog.look(false, None);
        assert_eq!(backlog.report(0, None).since, "");
    }
}
