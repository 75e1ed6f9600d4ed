//! This computer's lease: see [`list`].
//!
//! What always holds here: [`Lease::hold`] has returned before a record is put to which nothing published refers; the
//! note in the state folder is there before the lease is, so that the next session after a crash knows of it.

pub(crate) mod list;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::lock::{Condvar, Mutex, thread};
use safeos_record::{Key, random_bytes};
use safeos_store::Store;

use crate::clock::precise;
use crate::lease::list::{Doing, Entry, Leases, List};
use crate::local::Local;
use crate::{Error, Result};

/// A computer that goes on working says so this often.
const RENEW_EVERY: Duration = Duration::from_secs(24 * 3600);
/// The time a collection has to notice that another computer has begun to work …
const NOTICE: Duration = Duration::from_millis(if cfg!(all(test, not(feature = "shuttle"))) {
    300
} else {
    15_000
});
/// … and how often it checks.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The file that says that there may be a lease.
const NOTE: &str = "lease";
const NOTE_CONTEXT: &str = "safeos 2026 lease note v1";

/// The lease of one session.
pub(crate) struct Lease {
    store: Arc<dyn Store>,
    pub(crate) leases: Leases,
    pub(crate) id: [u8; 16],
    pub(crate) computer: String,
    state: Mutex<State>,
    changed: Condvar,
    /// Writes the note and takes it away.
    note: Note,
}

type Note = Box<dyn Fn(bool) -> Result<()> + Send + Sync>;

struct State {
    held: Held,
    /// How often something was put under it.
    uses: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    No,
    /// An earlier session had it.
    Perhaps,
    /// Since then; renewed then.
    Since(Instant),
    /// A request to the store is under way.
    Changing,
}

impl Lease {
    /// The lease of this state folder. Nothing is asked of the store yet.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        home: &Key,
        local: &Local,
        computer: String,
    ) -> Result<Self> {
        let files = local.files();
        let noted = files.read_sealed(NOTE, NOTE_CONTEXT, home)?;
        let before = noted.and_then(|id| <[u8; 16]>::try_from(id).ok());
        let id = match before {
            Some(id) => id,
            None => {
                let mut id = [0; 16];
                random_bytes(&mut id)?;
                id
            }
        };
        let key = home.clone();
        let note = move |held| match held {
            true => files.write_sealed(NOTE, NOTE_CONTEXT, &key, &id),
            false => files.remove(NOTE),
        };
        Ok(Self {
            store,
            leases: Leases::new(home),
            id,
            computer,
            state: Mutex::new(State {
                held: before.map_or(Held::No, |_| Held::Perhaps),
                uses: 0,
            }),
            changed: Condvar::new(),
            note: Box::new(note),
        })
    }

    /// Sees that this computer is on the list, before it puts something. Nothing to do where nothing is ever removed.
    pub(crate) fn hold(&self) -> Result<()> {
        if self.store.traits().paid {
            return Ok(());
        }
        let before = {
            let mut state = self.state.lock();
            state.uses += 1;
            while state.held == Held::Changing {
                self.changed.wait(&mut state);
            }
            match state.held {
                Held::Since(when) if when.elapsed() < RENEW_EVERY => return Ok(()),
                before => {
                    state.held = Held::Changing;
                    before
                }
            }
        };
        let taken = self.take(before);
        let (after, answer) = match (taken, before) {
            (Ok(()), _) => (Held::Since(Instant::now()), Ok(())),
            // It is on the list all the same; the next one says again that it works.
            (Err(_), Held::Since(_)) => (before, Ok(())),
            // The store may have carried out the request although no answer came.
            (Err(error), _) => (Held::Perhaps, Err(error)),
        };
        self.set(after);
        answer
    }

    fn take(&self, before: Held) -> Result<()> {
        if before == Held::No {
            match (self.note)(true) {
                // Without the note others may have to be told that this computer is not at work any more.
                Err(error) if error.is_of_disk() => {}
                noted => noted?,
            }
        }
        let time = precise().max(0) as u64;
        let mut is_new = false;
        let list = self.leases.change(&*self.store, |list| {
            let own = list
                .entries
                .iter_mut()
                .find(|entry| entry.doing == Doing::Working && entry.id == self.id);
            is_new = own.is_none();
            match own {
                Some(own) => own.renewed = time,
                None => list.entries.push(Entry {
                    doing: Doing::Working,
                    id: self.id,
                    since: time,
                    renewed: time,
                    computer: self.computer.clone(),
                }),
            }
            true
        })?;
        if is_new {
            self.wait_for_collections(list)?;
        }
        Ok(())
    }

    /// A collection on another computer that was under way has noticed when this returns, or was broken off long ago.
    fn wait_for_collections(&self, mut list: List) -> Result<()> {
        let is_others = |entry: &Entry| entry.doing == Doing::Collecting && entry.id != self.id;
        let until = Instant::now() + NOTICE;
        while list.entries.iter().any(is_others) {
            if Instant::now() < until {
                thread::sleep(LOOK_EVERY);
                list = self.leases.read(&*self.store)?;
                continue;
            }
            list = self.leases.change(&*self.store, |list| {
                let before = list.entries.len();
                list.entries.retain(|entry| !is_others(entry));
                list.entries.len() != before
            })?;
        }
        Ok(())
    }

    /// How often something was put: for [`Lease::release`].
    pub(crate) fn uses(&self) -> u64 {
        self.state.lock().uses
    }

    /// Whether there is one, or may be.
    pub(crate) fn is_held(&self) -> bool {
        self.state.lock().held != Held::No
    }

    /// Gives the lease back, unless something was put since `uses` was counted. Whether it did. Everything that was put
    /// until then is published, or given up.
    pub(crate) fn release(&self, uses: u64) -> Result<bool> {
        {
            let mut state = self.state.lock();
            while state.held == Held::Changing {
                self.changed.wait(&mut state);
            }
            if state.held == Held::No {
                return Ok(true);
            }
            if state.uses != uses {
                return Ok(false);
            }
            state.held = Held::Changing;
        }
        let given = self
            .leases
            .change(&*self.store, |list| list.remove(Doing::Working, &self.id))
            .map_err(Error::from)
            .and_then(|_| (self.note)(false));
        self.set(match given {
            Ok(()) => Held::No,
            Err(_) => Held::Perhaps,
        });
        given.map(|()| true)
    }

    fn set(&self, held: Held) {
        self.state.lock().held = held;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use safeos_store::MemoryStore;
    use tempfile::TempDir;

    use super::*;

    const HOME: Key = Key::new([3; 32]);

    fn lease(store: &Arc<MemoryStore>, state: &TempDir) -> Lease {
        let local = Local::open(state.path(), &HOME).unwrap();
        Lease::new(store.clone(), &HOME, &local, "here".into()).unwrap()
    }

    #[test]
    fn who_comes_waits_for_a_collection_that_was_broken_off_and_only_once() {
        let store = Arc::new(MemoryStore::default());
        let state = TempDir::new().unwrap();
        let lease = lease(&store, &state);
        lease
            .leases
            .change(&*store, |list| {
                list.entries.push(Entry {
                    doing: Doing::Collecting,
                    id: [9; 16],
                    since: 0,
                    renewed: 0,
                    computer: "there".into(),
                });
                true
            })
            .unwrap();
        let begun = Instant::now();
        lease.hold().unwrap();
        assert!(begun.elapsed() >= NOTICE);
        let list = lease.leases.read(&*store).unwrap();
        assert_eq!(list.entries.len(), 1);
        assert_eq!(list.entries[0].id, lease.id);
        let calls = store.all_calls();
        lease.hold().unwrap();
        assert_eq!(store.all_calls(), calls, "it is held");
    }

    #[test]
    fn a_lease_outlives_its_session_and_the_next_one_gives_it_back() {
        let store = Arc::new(MemoryStore::default());
        let state = TempDir::new().unwrap();
        let first = lease(&store, &state);
        assert!(!first.is_held());
        first.hold().unwrap();
        let id = first.id;
        drop(first);
        let second = lease(&store, &state);
        assert!(second.is_held() && second.id == id);
        let uses = second.uses();
        second.hold().unwrap();
        assert!(!second.release(uses).unwrap(), "something was put since");
        assert_eq!(second.leases.read(&*store).unwrap().entries.len(), 1);
        assert!(second.release(second.uses()).unwrap());
        assert!(second.leases.read(&*store).unwrap().entries.is_empty());
        assert!(!lease(&store, &state).is_held());
    }

    #[test]
    fn nothing_is_put_where_the_lease_cannot_be_had() {
        let store = Arc::new(MemoryStore::default());
        let state = TempDir::new().unwrap();
        let away = safeos_store::Error::Unreachable {
            url: "memory:".into(),
            why: "a test says so".into(),
        };
        let lease = lease(&store, &state);
        store.fail_next(safeos_store::Method::SetPointer, 1, away);
        assert!(lease.hold().is_err());
        // It may have been taken all the same.
        assert!(lease.is_held());
        lease.hold().unwrap();
        assert_eq!(lease.leases.read(&*store).unwrap().entries.len(), 1);
    }
}
