//! Half bodies: those that come in parts and are not whole, or not asked for yet.
//!
//! What always holds here: half a body has its whole room from its first part on, of a share of the memory that leaves
//! enough for the parts and for everybody else. It is its sender's alone; new bytes earn it its time, as
//! in any body; it is gone when it is taken, contradicted or too late.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use safeos_record::Address;
use safeos_store::wire::PART_BYTES_MIN;
use tokio::time::Instant;

use crate::Limits;
use crate::answer::{Outcome, Refusal};
use crate::assembly::{Assembly, Wrong};
use crate::connections::{FALTER, LOOK_EVERY};
use crate::memory_limiter::{MemoryLimiter, Permits};
use crate::rate::Client;

/// Whose body it is, and which.
pub(crate) type Key = (Client, Address);

/// The half bodies.
pub(crate) struct Halves {
    limits: Limits,
    /// Their share of the memory. A permit of it is a permit of the memory too.
    room: MemoryLimiter,
    state: Mutex<State>,
    taken: AtomicU64,
    forgotten: AtomicU64,
}

#[derive(Default)]
struct State {
    halves: HashMap<Key, Half>,
    /// Whether a task looks for late ones.
    watched: bool,
}

struct Half {
    assembly: Assembly,
    rooms: Permits,
    deadline: Instant,
}

/// One part of a body, with the place where it belongs.
pub(crate) struct Part {
    pub(crate) key: Key,
    pub(crate) at: usize,
    /// Bytes of the body.
    pub(crate) of: usize,
    pub(crate) bytes: Bytes,
}

/// How many there are, and have been.
pub(crate) struct Held {
    pub(crate) count: u64,
    pub(crate) bytes: u64,
    /// Became whole, and were used.
    pub(crate) taken: u64,
    pub(crate) forgotten: u64,
}

impl Half {
    /// Whether it may go for another one: it is so far behind.
    fn falters(&self, now: Instant, limits: &Limits) -> bool {
        now + limits.stall >= self.deadline + FALTER
    }
}

impl Halves {
    /// With half of this memory at most.
    pub(crate) fn new(memory: &MemoryLimiter, limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            room: memory.half(),
            state: Mutex::default(),
            taken: AtomicU64::new(0),
            forgotten: AtomicU64::new(0),
        }
    }

    pub(crate) fn held(&self) -> Held {
        let state = self.state.lock();
        let bytes: usize = state.halves.values().map(|half| half.assembly.len()).sum();
        Held {
            count: state.halves.len() as u64,
            bytes: bytes as u64,
            taken: self.taken.load(Ordering::Relaxed),
            forgotten: self.forgotten.load(Ordering::Relaxed),
        }
    }

    /// Permit for the body of this part.
    pub(crate) async fn room(
        &self,
        memory: &MemoryLimiter,
        part: &Part,
        until: Instant,
    ) -> Outcome<Permits> {
        let (network, _) = part.key.0;
        let bytes = part.of.min(self.most());
        let share = self.room.room(network, bytes, until).await?;
        // All half bodies take at most half of the memory, so a permit is released in turn.
        let room = memory.room(network, bytes, until).await?;
        Ok(vec![share, room])
    }

    /// Most bytes of memory for one of them, and for the request made of it: of little memory, all there is.
    pub(crate) fn most(&self) -> usize {
        self.room.most()
    }

    /// Takes a part of a body that was begun; `false` if none was.
    pub(crate) fn put(&self, part: &Part) -> Outcome<bool> {
        let mut state = self.state.lock();
        let now = Instant::now();
        let Some(half) = state.halves.get_mut(&part.key) else {
            return Ok(false);
        };
        if half.deadline <= now {
            state.halves.remove(&part.key);
            self.forgot(1);
            return Ok(false);
        }
        let put = if half.assembly.len() == part.of {
            half.assembly.put(part.at, &part.bytes).map_err(refused)
        } else {
            Err(conflict("the body had another length before"))
        };
        match put {
            Ok(new) => {
                let earned = half.deadline + self.limits.for_bytes(new);
                half.deadline = earned.min(now + self.limits.stall);
                Ok(true)
            }
            Err(refusal) => {
                state.halves.remove(&part.key);
                self.forgot(1);
                Err(refusal)
            }
        }
    }

    /// Begins the body of this part, for which there is room, unless that was done meanwhile. Returns whether a task
    /// has to look for late ones from now on.
    pub(crate) fn begin(&self, part: &Part, rooms: Permits) -> Outcome<bool> {
        let now = Instant::now();
        let mut state = self.state.lock();
        if state.halves.contains_key(&part.key) {
            return Ok(false);
        }
        let own = |key: &Key| key.0.0 == part.key.0.0;
        let each = state.halves.keys().filter(|key| own(key)).count();
        let each_full = each >= self.limits.bodies_each.max(1);
        if each_full || state.halves.len() >= self.limits.bodies.max(1) {
            let late = state
                .halves
                .iter()
                .filter(|(key, half)| (!each_full || own(key)) && half.falters(now, &self.limits))
                .min_by_key(|(_, half)| half.deadline)
                .map(|(key, _)| *key);
            let late = late.ok_or_else(Refusal::busy)?;
            state.halves.remove(&late);
            self.forgot(1);
        }
        let half = Half {
            assembly: Assembly::new(part.of),
            rooms,
            deadline: now + self.limits.stall,
        };
        state.halves.insert(part.key, half);
        Ok(!std::mem::replace(&mut state.watched, true))
    }

    /// The length of a body that is whole.
    pub(crate) fn len(&self, key: &Key) -> Outcome<usize> {
        let state = self.state.lock();
        let half = state
            .halves
            .get(key)
            .filter(|half| half.assembly.is_whole());
        half.map(|half| half.assembly.len()).ok_or_else(missing)
    }

    /// Takes a body of this length away.
    pub(crate) fn take(&self, key: &Key, len: usize) -> Outcome<(Assembly, Permits)> {
        let half = self.state.lock().halves.remove(key).ok_or_else(missing)?;
        // It may be another one that was begun meanwhile.
        if !half.assembly.is_whole() || half.assembly.len() != len {
            self.forgot(1);
            return Err(missing());
        }
        self.taken.fetch_add(1, Ordering::Relaxed);
        Ok((half.assembly, half.rooms))
    }

    /// Forgets what is late, or keeps room that others have waited for. When to look again, as long as there are some.
    pub(crate) fn forget_late(&self, memory: &MemoryLimiter) -> Option<Instant> {
        let mut state = self.state.lock();
        let now = Instant::now();
        let before = state.halves.len();
        state.halves.retain(|((network, _), _), half| {
            let wanted = || memory.is_wanted_of(*network) || self.room.is_wanted_of(*network);
            half.deadline > now && !(half.falters(now, &self.limits) && wanted())
        });
        self.forgot(before - state.halves.len());
        let next = state.halves.values().map(|half| half.deadline).min();
        state.watched = next.is_some();
        next.map(|next| next.min(now + LOOK_EVERY))
    }

    fn forgot(&self, count: usize) {
        self.forgotten.fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// The refusal of a part that does not fit its body.
pub(crate) fn refused(wrong: Wrong) -> Refusal {
    let bad = |message: String| Refusal::bad("bad_part", message);
    match wrong {
        Wrong::Empty => bad("a part has at least one byte".into()),
        Wrong::Beyond => bad("the part ends behind the end of its body".into()),
        Wrong::Short => bad(format!(
            "a part has at least {PART_BYTES_MIN} bytes, but for the last one of a body"
        )),
        Wrong::Overlaps => conflict("the part overlaps another one"),
        Wrong::Differs => conflict("other bytes came for the same place before"),
    }
}

fn conflict(why: &str) -> Refusal {
    let message = format!("{why}; all parts of this body were forgotten: send them again");
    Refusal::bad("part_conflict", message)
}

fn missing() -> Refusal {
    Refusal::bad(
        "missing_parts",
        "not all parts of this body are here, or not any more: send them (PUT /v1/bodies/ID?at=OFFSET&of=TOTAL), then this again",
    )
}
