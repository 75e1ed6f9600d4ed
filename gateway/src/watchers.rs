//! Clients that wait for a pointer to move.
//!
//! What always holds here: a waiting client takes no place among the requests and no thread; a pointer that is set
//! through this gateway is told at once, one that is set past it within [`LOOK_EVERY`].

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, header};
use parking_lot::Mutex;
use safeos_record::Address;
use safeos_store::wire::{PREFER, read_tag, read_wait};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

/// How often the store is asked, for pointers set by others.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// The longest that a client waits.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The counter that a client has seen of a pointer, and how long it waits for a newer one.
pub(crate) struct Wanted {
    pub(crate) seen: u64,
    pub(crate) until: Instant,
}

impl Wanted {
    /// The wait that a request asks for: `If-None-Match: "COUNTER"` and `Prefer: wait=SECONDS` (RFC 7240).
    pub(crate) fn of(head: &HeaderMap) -> Option<Self> {
        let text = |name: &str| head.get(name)?.to_str().ok();
        let seen = read_tag(text(header::IF_NONE_MATCH.as_str())?)?;
        let wait = read_wait(text(PREFER)?)?;
        let until = Instant::now() + wait.min(WAIT_MAX);
        Some(Self { seen, until })
    }
}

/// The waiting requests, by pointer.
pub(crate) struct Watchers {
    waiting: Mutex<HashMap<Address, (usize, Arc<Notify>)>>,
    ending: watch::Receiver<bool>,
}

impl Watchers {
    pub(crate) fn new(ending: watch::Receiver<bool>) -> Self {
        Self {
            waiting: Mutex::default(),
            ending,
        }
    }

    /// From now on, no move is missed.
    pub(crate) fn watch(&self, address: Address) -> Watch<'_> {
        let mut waiting = self.waiting.lock();
        let (count, moved) = waiting.entry(address).or_default();
        *count += 1;
        Watch {
            watchers: self,
            address,
            moved: moved.clone(),
        }
    }

    /// A pointer was set.
    pub(crate) fn moved(&self, address: &Address) {
        if let Some((_, moved)) = self.waiting.lock().get(address) {
            moved.notify_waiters();
        }
    }
}

/// A request that waits for a pointer.
pub(crate) struct Watch<'a> {
    watchers: &'a Watchers,
    address: Address,
    moved: Arc<Notify>,
}

impl Watch<'_> {
    /// Runs `look`, then waits until it is time to look again; `false` when it is time to answer.
    pub(crate) async fn look<T>(
        &self,
        until: Instant,
        look: impl Future<Output = T>,
    ) -> (T, impl Future<Output = bool>) {
        // Before the look: a move after it is seen.
        let mut moved = Box::pin(self.moved.clone().notified_owned());
        moved.as_mut().enable();
        let seen = look.await;
        let mut ending = self.watchers.ending.clone();
        let wait = async move {
            let end = async {
                if ending.wait_for(|ending| *ending).await.is_err() {
                    pending::<()>().await;
                }
            };
            let next = (Instant::now() + LOOK_EVERY).min(until);
            tokio::select! {
                () = moved => true,
                () = sleep_until(next) => Instant::now() < until,
                () = end => false,
            }
        };
        (seen, wait)
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let mut waiting = self.watchers.waiting.lock();
        if let Some((count, _)) = waiting.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.address);
            }
        }
    }
}
