//! How much room the store had lately, to be told with every answer.

use std::time::{Duration, Instant};

use axum::http::HeaderValue;
use parking_lot::Mutex;
use safeos_store::{Store, wire};

/// How long what was seen is told again.
const FRESH: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(crate) struct Lately(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    when: Option<Instant>,
    room: Option<HeaderValue>,
}

impl Lately {
    /// Asks the store, unless it was asked just now. On a thread that may wait.
    pub(crate) fn look(&self, store: &dyn Store) {
        let mut seen = self.0.lock();
        if seen.when.is_some_and(|when| when.elapsed() < FRESH) {
            return;
        }
        seen.when = Some(Instant::now());
        // Readers of the last value do not wait.
        drop(seen);
        let room = store.room().map(|room| wire::write_room(&room));
        self.0.lock().room = room.and_then(|room| HeaderValue::from_str(&room).ok());
    }

    pub(crate) fn room(&self) -> Option<HeaderValue> {
        self.0.lock().room.clone()
    }
}
