//! Packs that could not be read whole, until they can.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::lock::Mutex;
use safeos_record::Address;
use safeos_store::Error;

/// How many are remembered.
const SUSPECTS_MAX: usize = 1000;
/// How often a pack is read as a whole to see whether it is whole again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Default)]
pub(crate) struct Suspects {
    /// Whether there are any: nobody waits for the lock while there are none.
    any: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// And when they were looked at last.
    suspects: HashMap<Address, Instant>,
    /// Those that are whole again, until somebody asks.
    cleared: Vec<Address>,
}

impl Suspects {
    /// Something in a pack does not open.
    pub(crate) fn add(&self, pack: &Address) {
        let mut state = self.state.lock();
        if state.suspects.len() < SUSPECTS_MAX {
            state.suspects.insert(*pack, Instant::now());
            self.any.store(true, Ordering::Relaxed);
        }
    }

    /// Whether something in a pack did not open.
    pub(crate) fn has(&self, pack: &Address) -> bool {
        self.any.load(Ordering::Relaxed) && self.state.lock().suspects.contains_key(pack)
    }

    /// Takes note of a read of a part of a pack. Where a part can be right while others are wrong, `whole` looks at all
    /// of it.
    pub(crate) fn saw<T>(
        &self,
        pack: &Address,
        outcome: Result<T, Error>,
        whole: impl FnOnce() -> bool,
    ) -> Result<T, Error> {
        match &outcome {
            Err(Error::Missing { .. } | Error::Damaged { .. }) => self.add(pack),
            Err(_) => {}
            Ok(_) if !self.any.load(Ordering::Relaxed) => {}
            Ok(_) => {
                let due = match self.state.lock().suspects.get_mut(pack) {
                    Some(looked) if looked.elapsed() >= LOOK_EVERY => {
                        *looked = Instant::now();
                        true
                    }
                    _ => false,
                };
                // Without a lock.
                if due && whole() {
                    self.clear(pack);
                }
            }
        }
        outcome
    }

    /// All of a pack was read, and is what its address says.
    pub(crate) fn clear(&self, pack: &Address) {
        if !self.any.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.state.lock();
        if state.suspects.remove(pack).is_some() && state.cleared.len() < SUSPECTS_MAX {
            state.cleared.push(*pack);
        }
        self.any
            .store(!state.suspects.is_empty(), Ordering::Relaxed);
    }

    /// The packs that are whole again, each once.
    pub(crate) fn cleared(&self) -> Vec<Address> {
        std::mem::take(&mut self.state.lock().cleared)
    }
}

#[cfg(test)]
mod tests {
    use safeos_store::Kind;

    use super::*;

    #[test]
    fn a_pack_is_cleared_by_all_of_it_and_not_by_a_part() {
        let suspects = Suspects::default();
        let (pack, other) = (Address([1; 32]), Address([2; 32]));
        let damaged = Error::Damaged {
            kind: Kind::Chunk,
            address: pack,
            why: "told to".into(),
        };
        let asked = || -> bool { panic!("nobody is suspected") };
        assert!(suspects.saw(&pack, Ok(()), asked).is_ok());
        assert!(
            suspects
                .saw(&pack, Err::<(), _>(damaged), || false)
                .is_err()
        );
        // As if the second had gone by.
        let wait = || {
            for looked in suspects.state.lock().suspects.values_mut() {
                *looked -= LOOK_EVERY;
            }
        };
        let looked_at = |whole: bool| {
            let mut looked = false;
            let seen = suspects.saw(&pack, Ok(()), || {
                looked = true;
                whole
            });
            assert!(seen.is_ok());
            looked
        };
        assert!(!looked_at(true), "too soon");
        wait();
        assert!(looked_at(false));
        assert_eq!(suspects.cleared(), []);
        suspects.clear(&other);
        wait();
        assert!(looked_at(true));
        assert_eq!(
            (suspects.cleared(), suspects.cleared()),
            (vec![pack], vec![])
        );
    }
}
