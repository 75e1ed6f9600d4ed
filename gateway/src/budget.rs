//! Memory for records: a number of bytes that all requests share.
//!
//! What always holds here: the room that a record takes is given back when its last byte has left, not
//! before, however slow its reader is.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::answer::{Outcome, Refusal};

/// What room is counted in.
const UNIT_BYTES: usize = 64 * 1024;

/// Memory that can be had.
pub(crate) struct Budget {
    units: Arc<Semaphore>,
    all: usize,
    wait: Duration,
}

/// Room that was given.
pub(crate) struct Room(OwnedSemaphorePermit);

impl Budget {
    pub(crate) fn new(bytes: usize, wait: Duration) -> Self {
        let all = bytes.div_ceil(UNIT_BYTES).clamp(1, 1 << 24);
        Self {
            units: Arc::new(Semaphore::new(all)),
            all,
            wait,
        }
    }

    /// Waits for room for this many bytes (never more than there is at all).
    pub(crate) async fn room(&self, bytes: usize) -> Outcome<Room> {
        let given = self.units.clone().acquire_many_owned(self.units_of(bytes));
        match tokio::time::timeout(self.wait, given).await {
            Ok(Ok(permit)) => Ok(Room(permit)),
            _ => Err(Refusal::busy()),
        }
    }

    /// The same without waiting.
    pub(crate) fn room_now(&self, bytes: usize) -> Option<Room> {
        let units = self.units.clone();
        units
            .try_acquire_many_owned(self.units_of(bytes))
            .ok()
            .map(Room)
    }

    fn units_of(&self, bytes: usize) -> u32 {
        let units = bytes.div_ceil(UNIT_BYTES).clamp(1, self.all);
        u32::try_from(units).unwrap_or(u32::MAX)
    }

    /// Bytes that are taken.
    pub(crate) fn taken(&self) -> usize {
        self.all.saturating_sub(self.units.available_permits()) * UNIT_BYTES
    }
}

impl Room {
    /// Gives back what is more than this.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let keep = bytes.div_ceil(UNIT_BYTES).max(1);
        if let Some(extra) = self.0.num_permits().checked_sub(keep) {
            drop(self.0.split(extra));
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
