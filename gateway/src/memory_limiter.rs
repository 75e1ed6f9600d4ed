//! Memory for records: a number of bytes that all requests share.
//!
//! What always holds here: the room that a record takes is given back when its last byte has left, not
//! before, however slow its reader is. Requests that wait for memory get it in turn; one client has at most its share.
//! A request takes all it needs at once: none holds memory while waiting for more.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use safeos_store::wire::BODY_BYTES_MAX;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::answer::{Outcome, Refusal};

/// The unit of memory.
const UNIT_BYTES: usize = 64 * 1024;
/// Largest that one request needs: a batch, and the chunks in it.
const REQUEST_BYTES_MAX: usize = 2 * BODY_BYTES_MAX;
/// When a request has waited for so long, requests that hold memory and do nothing lose it.
const PRESSED_AFTER: Duration = Duration::from_secs(1);
/// How many clients' shares are kept before those that are not in use are forgotten.
const SHARES_KEPT: usize = 1024;

/// The permits of one request, or half a body.
pub(crate) type Permits = Vec<Permit>;

/// Memory that can be had.
pub(crate) struct MemoryLimiter {
    units: Arc<Semaphore>,
    all: usize,
    /// Most of them for one client.
    share: usize,
    shares: Mutex<HashMap<IpAddr, Arc<Semaphore>>>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    /// Since when, and whose share it is that is used up, if it is that.
    since: BTreeMap<u64, (Instant, Option<IpAddr>)>,
}

/// Permit that was given.
pub(crate) struct Permit {
    share: OwnedSemaphorePermit,
    all: OwnedSemaphorePermit,
}

/// A waiting request.
struct Waits<'a> {
    memory: &'a MemoryLimiter,
    number: u64,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.memory.waiting.lock().since.remove(&self.number);
    }
}

impl MemoryLimiter {
    pub(crate) fn new(bytes: usize) -> Self {
        let all = bytes.div_ceil(UNIT_BYTES).clamp(2, 1 << 24);
        let share = (all / 2).max(REQUEST_BYTES_MAX / UNIT_BYTES).min(all);
        Self::of(all, share)
    }

    /// A memory of half of this one, and of each share of it: requests that use both leave the other half to others.
    pub(crate) fn half(&self) -> Self {
        Self::of(self.all / 2, self.share / 2)
    }

    fn of(all: usize, share: usize) -> Self {
        Self {
            units: Arc::new(Semaphore::new(all)),
            all,
            share,
            shares: Mutex::default(),
            waiting: Mutex::default(),
        }
    }

    /// Waits until `until` for room for this many bytes (never more than a client can have at all).
    pub(crate) async fn room(&self, of: IpAddr, bytes: usize, until: Instant) -> Outcome<Permit> {
        let units = self.units_of(bytes);
        let share = self.share(of);
        let given = async {
            let share = match share.clone().try_acquire_many_owned(units) {
                Ok(given) => given,
                Err(_) => {
                    let _waits = self.waits(Some(of));
                    share.acquire_many_owned(units).await?
                }
            };
            let all = match self.units.clone().try_acquire_many_owned(units) {
                Ok(given) => given,
                Err(_) => {
                    let _waits = self.waits(None);
                    self.units.clone().acquire_many_owned(units).await?
                }
            };
            Ok::<_, AcquireError>(Permit { share, all })
        };
        match timeout_at(until, given).await {
            Ok(Ok(room)) => Ok(room),
            _ => Err(Refusal::busy()),
        }
    }

    /// The same without waiting.
    pub(crate) fn room_now(&self, of: IpAddr, bytes: usize) -> Option<Permit> {
        let units = self.units_of(bytes);
        let share = self.share(of).try_acquire_many_owned(units).ok()?;
        let all = self.units.clone().try_acquire_many_owned(units).ok()?;
        Some(Permit { share, all })
    }

    fn share(&self, of: IpAddr) -> Arc<Semaphore> {
        let mut shares = self.shares.lock();
        if shares.len() >= SHARES_KEPT {
            // Permits and waiting requests of a client hold its share too.
            shares.retain(|_, share| Arc::strong_count(share) > 1);
        }
        let share = shares.entry(of);
        share
            .or_insert_with(|| Arc::new(Semaphore::new(self.share)))
            .clone()
    }

    fn waits(&self, share: Option<IpAddr>) -> Waits<'_> {
        let mut waiting = self.waiting.lock();
        let number = waiting.next;
        waiting.next += 1;
        waiting.since.insert(number, (Instant::now(), share));
        Waits {
            memory: self,
            number,
        }
    }

    /// Whether a request has waited for long for memory that this client has.
    pub(crate) fn is_wanted_of(&self, client: IpAddr) -> bool {
        let waiting = self.waiting.lock();
        let mut those = waiting
            .since
            .values()
            .filter(|(_, share)| share.is_none_or(|share| share == client));
        those
            .next()
            .is_some_and(|(since, _)| since.elapsed() > PRESSED_AFTER)
    }

    fn units_of(&self, bytes: usize) -> u32 {
        let units = bytes.div_ceil(UNIT_BYTES).clamp(1, self.share);
        u32::try_from(units).unwrap_or(u32::MAX)
    }

    /// Bytes that one client can have.
    pub(crate) fn most(&self) -> usize {
        self.share * UNIT_BYTES
    }

    /// Bytes that are taken.
    pub(crate) fn taken(&self) -> usize {
        self.all.saturating_sub(self.units.available_permits()) * UNIT_BYTES
    }
}

impl Permit {
    /// Gives back what is more than this.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let keep = bytes.div_ceil(UNIT_BYTES).max(1);
        for part in [&mut self.share, &mut self.all] {
            if let Some(extra) = part.num_permits().checked_sub(keep) {
                drop(part.split(extra));
            }
        }
    }
}

/// Ties room to bytes: it is given back with them.
pub(crate) fn tie<R: Send + 'static>(bytes: Bytes, room: R) -> Bytes {
    struct Tied<R>(Bytes, #[allow(dead_code)] R);
    impl<R> AsRef<[u8]> for Tied<R> {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    Bytes::from_owner(Tied(bytes, room))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[tokio::test(start_paused = true)]
    async fn room_is_given_in_turn_and_one_client_does_not_have_it_all() {
        let memory = MemoryLimiter::new(64 << 20);
        let soon = || Instant::now() + Duration::from_secs(5);
        let one = memory.room(client(1), 32 << 20, soon()).await.unwrap();
        // Its share is used up, the others' is not.
        assert!(memory.room_now(client(1), 1).is_none());
        let two = memory.room(client(2), 16 << 20, soon()).await.unwrap();
        assert_eq!(memory.taken(), 48 << 20);
        assert!(!memory.is_wanted_of(client(1)));
        let refused = memory.room(client(1), 1, soon()).await;
        assert!(refused.is_err());
        // While a request waits for the whole, idle holders are looked for.
        let waiting = async { memory.room(client(3), 32 << 20, soon()).await.map(drop) };
        let looking = async {
            tokio::time::sleep(PRESSED_AFTER / 2).await;
            assert!(!memory.is_wanted_of(client(2)));
            tokio::time::sleep(PRESSED_AFTER).await;
            assert!(memory.is_wanted_of(client(2)));
            drop(two);
        };
        let (given, ()) = tokio::join!(waiting, looking);
        assert!(given.is_ok() && !memory.is_wanted_of(client(1)));
        drop(one);
        assert_eq!(memory.taken(), 0);
    }

    #[tokio::test]
    async fn little_memory_is_enough_for_one_request_at_a_time() {
        let memory = MemoryLimiter::new(1 << 20);
        let soon = Instant::now() + Duration::from_secs(5);
        let mut room = memory
            .room(client(1), REQUEST_BYTES_MAX, soon)
            .await
            .unwrap();
        assert_eq!(memory.taken(), 1 << 20);
        room.shrink(100);
        assert_eq!(memory.taken(), UNIT_BYTES);
    }
}
