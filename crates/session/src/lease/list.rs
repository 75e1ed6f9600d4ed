//! Leases: which computers may have something on a store that no published state refers to yet.
//!
//! What always holds here: a computer is on the list before it puts the first such record, and as long as what it keeps
//! may refer to one; a collection is on the list before it removes the first record, and stops when the list has
//! changed. The list changes by compare-and-set of one pointer, so that of two computers that come at the same moment
//! one sees the other. No clock decides anything: times are there to be read by people.
//!
//! ```text
//! owner seed = derive(home key, "safeos 2026 leases owner v1")          for a pointer of its own
//! record     = 1 [1] ‖ salt [32] ‖ seal(derive(lease key, S, salt), S, plaintext)      S = "safeos 2026 leases seal v1"
//! lease key  = derive(home key, "safeos 2026 leases key v1"); the salt is random
//! plaintext  = u64 LE counter of the pointer ‖ u16 LE count (at most 1024), then for each: kind 1 (1 at work, 2 collecting)
//!              ‖ id 16 ‖ u64 LE since ‖ u64 LE renewed (nanoseconds since 1970) ‖ u8 length, computer's name ‖ zeros to a multiple of 256
//! ```

use std::sync::OnceLock;
use std::time::Duration;

use safeos_record::{Address, Chunk, FINAL_COUNTER, Key, OwnerKey, Pointer, Target, random_bytes};
use safeos_store::{Error as StoreError, Store};

const OWNER_CONTEXT: &str = "safeos 2026 leases owner v1";
const KEY_CONTEXT: &str = "safeos 2026 leases key v1";
const SEAL_CONTEXT: &str = "safeos 2026 leases seal v1";
const VERSION: u8 = 1;
const SALT_LEN: usize = 32;
const PAD: usize = 256;
/// How many entries a list has at most.
const ENTRIES_MAX: usize = 1024;
/// The longest name of a computer, in bytes.
const COMPUTER_BYTES_MAX: usize = 64;
/// How often a list that others change is tried to be changed.
const TRIES_MAX: u32 = 32;
/// The id of an entry that stands for a list that was lost.
const UNKNOWN: [u8; 16] = [0; 16];

/// The kind of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Doing {
    /// It may have put records that nothing published refers to.
    Working,
    /// It removes records.
    Collecting,
}

/// A computer on the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) doing: Doing,
    /// Of the state folder that keeps what is not published; random.
    pub(crate) id: [u8; 16],
    /// By the computer's own clock, in nanoseconds since 1970.
    pub(crate) since: u64,
    /// When the computer was seen at work last, by its own clock.
    pub(crate) renewed: u64,
    pub(crate) computer: String,
}

/// The list as it stood on the store at one moment.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct List {
    /// The pointer's counter; 0 where there is none.
    pub(crate) counter: u64,
    pub(crate) entries: Vec<Entry>,
    /// The chunk that has it.
    pub(crate) chunk: Option<Address>,
}

impl List {
    /// Takes an entry off; whether it was there.
    pub(crate) fn remove(&mut self, doing: Doing, id: &[u8; 16]) -> bool {
        let before = self.entries.len();
        self.entries
            .retain(|entry| entry.doing != doing || entry.id != *id);
        self.entries.len() != before
    }

    /// The other computers at work.
    pub(crate) fn others(&self, id: &[u8; 16]) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(|entry| entry.doing == Doing::Working && entry.id != *id)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = self.counter.to_le_bytes().to_vec();
        out.extend_from_slice(&(self.entries.len() as u16).to_le_bytes());
        for entry in &self.entries {
            out.push(match entry.doing {
                Doing::Working => 1,
                Doing::Collecting => 2,
            });
            out.extend_from_slice(&entry.id);
            out.extend_from_slice(&entry.since.to_le_bytes());
            out.extend_from_slice(&entry.renewed.to_le_bytes());
            let mut end = entry.computer.len().min(COMPUTER_BYTES_MAX);
            while !entry.computer.is_char_boundary(end) {
                end -= 1;
            }
            out.push(end as u8);
            out.extend_from_slice(&entry.computer.as_bytes()[..end]);
        }
        out.resize(out.len().next_multiple_of(PAD), 0);
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (counter, rest) = bytes.split_first_chunk()?;
        let (count, mut rest) = rest.split_first_chunk()?;
        let count = usize::from(u16::from_le_bytes(*count));
        if count > ENTRIES_MAX {
            return None;
        }
        let mut entries = Vec::new();
        for _ in 0..count {
            let ([doing], after) = rest.split_first_chunk()?;
            let (id, after) = after.split_first_chunk()?;
            let (since, after) = after.split_first_chunk()?;
            let (renewed, after) = after.split_first_chunk()?;
            let ([len], after) = after.split_first_chunk()?;
            let (computer, after) = after.split_at_checked(usize::from(*len))?;
            entries.push(Entry {
                doing: match doing {
                    1 => Doing::Working,
                    2 => Doing::Collecting,
                    _ => return None,
                },
                id: *id,
                since: u64::from_le_bytes(*since),
                renewed: u64::from_le_bytes(*renewed),
                computer: std::str::from_utf8(computer).ok()?.to_owned(),
            });
            rest = after;
        }
        (rest.len() < PAD && rest.iter().all(|byte| *byte == 0)).then_some(Self {
            counter: u64::from_le_bytes(*counter),
            entries,
            chunk: None,
        })
    }
}

/// Where a home's list is.
pub(crate) struct Leases {
    home: Key,
    /// Made when it is needed first: that takes some milliseconds.
    owner: OnceLock<OwnerKey>,
}

impl Leases {
    pub(crate) fn new(home: &Key) -> Self {
        Self {
            home: home.clone(),
            owner: OnceLock::new(),
        }
    }

    fn owner(&self) -> &OwnerKey {
        self.owner
            .get_or_init(|| OwnerKey::from_seed(self.home.derive(OWNER_CONTEXT, &[]).expose()))
    }

    /// The list as it is now.
    pub(crate) fn read(&self, store: &dyn Store) -> Result<List, StoreError> {
        let mut before = None;
        loop {
            let Some(pointer) = store.get_pointer(&self.owner().address())? else {
                return Ok(List::default());
            };
            let Target::Chunk(address) = pointer.target() else {
                return Ok(unknown(&pointer, None));
            };
            match store.get_chunk(&address) {
                Ok(chunk) => {
                    let list = self
                        .open(&chunk)
                        .filter(|list| list.counter == pointer.counter());
                    return Ok(match list {
                        Some(list) => List {
                            chunk: Some(address),
                            ..list
                        },
                        None => unknown(&pointer, Some(address)),
                    });
                }
                // The list has changed since the pointer was read. Or it is lost.
                Err(StoreError::Missing { .. } | StoreError::Damaged { .. }) => {
                    if before == Some(pointer.counter()) {
                        return Ok(unknown(&pointer, None));
                    }
                    before = Some(pointer.counter());
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the list is unchanged since: one look-up.
    pub(crate) fn is_as(&self, store: &dyn Store, list: &List) -> Result<bool, StoreError> {
        let pointer = store.get_pointer(&self.owner().address())?;
        let (counter, target) = match &pointer {
            Some(pointer) => (pointer.counter(), Some(pointer.target())),
            None => (0, None),
        };
        Ok(counter == list.counter && target == list.chunk.map(Target::Chunk))
    }

    /// Changes the list; retries with the new list if another computer has changed it. `edit` returns whether there is
    /// anything to change. Returns the list as it is afterwards.
    pub(crate) fn change(
        &self,
        store: &dyn Store,
        mut edit: impl FnMut(&mut List) -> bool,
    ) -> Result<List, StoreError> {
        for attempt in 0..TRIES_MAX {
            let mut list = self.read(store)?;
            let before = list.counter;
            if !edit(&mut list) {
                return Ok(list);
            }
            // The list is for people too: the oldest entries of all are not dropped, no further one is taken.
            if list.entries.len() > ENTRIES_MAX {
                return Err(self.busy(
                    store,
                    "has no room for another computer: see `safe store gc`",
                ));
            }
            list.counter = before.saturating_add(1).min(FINAL_COUNTER - 1);
            let chunk = self.seal(&list)?;
            list.chunk = Some(chunk.address());
            let target = Target::Chunk(chunk.address());
            let pointer = Pointer::sign(self.owner(), list.counter, target)
                .map_err(|_| self.busy(store, "cannot be signed"))?;
            // It goes before what makes room, too.
            store.write_needed(std::slice::from_ref(&chunk))?;
            store.sync()?;
            match store.set_pointer(&pointer, (before > 0).then_some(before)) {
                Ok(()) => return Ok(list),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
            let mut some = [0];
            // Without random numbers everybody waits as long.
            drop(random_bytes(&mut some));
            let wait = u64::from(attempt) * 4 + u64::from(some[0] % 16);
            std::thread::sleep(Duration::from_millis(wait));
        }
        Err(self.busy(store, "changes too quickly"))
    }

    /// The pointer's counter when this was a list, if it is one of this home.
    pub(crate) fn counter_of(&self, chunk: &Chunk) -> Option<u64> {
        self.open(chunk).map(|list| list.counter)
    }

    fn key(&self, salt: &[u8]) -> Key {
        self.home
            .derive(KEY_CONTEXT, &[])
            .derive(SEAL_CONTEXT, salt)
    }

    fn seal(&self, list: &List) -> Result<Chunk, StoreError> {
        let sealed = || {
            let mut salt = [0; SALT_LEN];
            random_bytes(&mut salt)?;
            let mut bytes = vec![VERSION];
            bytes.extend_from_slice(&salt);
            bytes.extend_from_slice(&list.encode());
            self.key(&salt)
                .seal([0; 12], SEAL_CONTEXT.as_bytes(), &mut bytes, 1 + SALT_LEN)?;
            Chunk::new(bytes)
        };
        sealed().map_err(|error: safeos_record::Error| StoreError::Broken {
            url: String::new(),
            why: format!("the list of computers at work cannot be made: {error}"),
        })
    }

    fn open(&self, chunk: &Chunk) -> Option<List> {
        let bytes = chunk.bytes();
        let rest = bytes.strip_prefix(&[VERSION])?;
        let (salt, sealed) = rest.split_first_chunk::<SALT_LEN>()?;
        let mut sealed = sealed.to_vec();
        let plain = self
            .key(salt)
            .open([0; 12], SEAL_CONTEXT.as_bytes(), &mut sealed)
            .ok()?;
        List::decode(plain)
    }

    fn busy(&self, store: &dyn Store, why: &str) -> StoreError {
        StoreError::Unreachable {
            url: store.url().to_owned(),
            why: format!("the list of computers that are at work on this home {why}"),
        }
    }
}

/// A list that was lost: computers may be on it.
fn unknown(pointer: &Pointer, chunk: Option<Address>) -> List {
    List {
        counter: pointer.counter(),
        entries: vec![Entry {
            doing: Doing::Working,
            id: UNKNOWN,
            since: 0,
            renewed: 0,
            computer: "unknown".into(),
        }],
        chunk,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use safeos_store::{Kind, MemoryStore};

    use super::*;

    fn entry(id: u8, doing: Doing) -> Entry {
        Entry {
            doing,
            id: [id; 16],
            since: 5,
            renewed: 7,
            computer: "ana's laptop".into(),
        }
    }

    #[test]
    fn those_who_come_at_the_same_moment_are_all_on_the_list() {
        let store = MemoryStore::default();
        let home = Key::new([3; 32]);
        std::thread::scope(|scope| {
            for id in 0..6 {
                let (store, home) = (&store, &home);
                scope.spawn(move || {
                    Leases::new(home)
                        .change(store, |list| {
                            list.entries.push(entry(id, Doing::Working));
                            true
                        })
                        .unwrap();
                });
            }
        });
        let leases = Leases::new(&home);
        let list = leases.read(&store).unwrap();
        assert_eq!((list.counter, list.entries.len()), (6, 6));
        assert!(leases.is_as(&store, &list).unwrap());
        leases
            .change(&store, |list| list.remove(Doing::Working, &[2; 16]))
            .unwrap();
        assert!(!leases.is_as(&store, &list).unwrap());
        assert_eq!(leases.read(&store).unwrap().others(&[1; 16]).count(), 4);
        // Only this home reads it; it is no list of another home.
        let other = Leases::new(&Key::new([4; 32]));
        assert_eq!(other.read(&store).unwrap(), List::default());
    }

    #[test]
    fn a_list_that_is_lost_counts_as_somebody_at_work() {
        let store = MemoryStore::default();
        let leases = Leases::new(&Key::new([3; 32]));
        let list = leases
            .change(&store, |list| {
                list.entries.push(entry(1, Doing::Working));
                true
            })
            .unwrap();
        store.remove_raw(Kind::Chunk, &list.chunk.unwrap());
        let lost = leases.read(&store).unwrap();
        assert_eq!(lost.entries[0].computer, "unknown");
        let again = leases
            .change(&store, |list| {
                list.entries.push(entry(2, Doing::Working));
                true
            })
            .unwrap();
        assert_eq!(again.others(&[2; 16]).count(), 1);
        assert_eq!(leases.read(&store).unwrap(), again);
    }

    #[test]
    fn the_format_stays() {
        let leases = Leases::new(&Key::new([3; 32]));
        let list = List {
            counter: 9,
            entries: vec![entry(1, Doing::Working), entry(2, Doing::Collecting)],
            chunk: None,
        };
        let bytes = list.encode();
        assert_eq!(bytes.len(), 256);
        assert_eq!(bytes[..11], [9, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1]);
        assert_eq!(bytes[11..27], [1; 16]);
        assert_eq!(
            bytes[27..44],
            [5, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 12]
        );
        assert_eq!(&bytes[44..56], b"ana's laptop");
        assert_eq!(bytes[56], 2);
        assert_eq!(leases.open(&leases.seal(&list).unwrap()), Some(list));
    }

    proptest! {
        #[test]
        fn what_decodes_is_the_one_encoding(mut bytes in prop::collection::vec(prop_oneof![9 => Just(0_u8), 1 => any::<u8>()], 256), count in 0..6_u8) {
            bytes[8] = count;
            bytes[9] = 0;
            if let Some(list) = List::decode(&bytes) {
                prop_assert!(list.entries.iter().any(|entry| entry.computer.len() > COMPUTER_BYTES_MAX) || list.encode() == bytes);
            }
        }
    }
}
