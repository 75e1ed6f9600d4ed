//! Packs that could not be read whole, until they can.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use safeos_record::Address;
use safeos_store::Error;

/// How many are remembered.
const SUSPECTS_MAX: usize = 1000;
/// How often a pack is read as a whole to see whether it is whole again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Default)]
pub(crate) struct Suspects(Mutex<State>);

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
        let mut state = self.0.lock();
        if state.suspects.len() < SUSPECTS_MAX {
            state.suspects.insert(*pack, Instant::now());
        }
    }

    /// What became of a read of a part of a pack. Where a part can be right while others are wrong, `whole` looks at all
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
            Ok(_) => {
                let due = match self.0.lock().suspects.get_mut(pack) {
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
        let mut state = self.0.lock();
        if state.suspects.remove(pack).is_some() && state.cleared.len() < SUSPECTS_MAX {
            state.cleared.push(*pack);
        }
    }

    /// The packs that are whole again, each once.
    pub(crate) fn cleared(&self) -> Vec<Address> {
        std::mem::take(&mut self.0.lock().cleared)
    }
}
