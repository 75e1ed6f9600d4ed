//! Record locks.
//!
//! What always holds here: two owners never hold overlapping locks of a file unless both are shared; an
//! owner's own locks of a file never overlap; a file without locks is not in the table.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::handles::Key;
use super::wire::{EAGAIN, EMFILE, Errno, LockRange};

/// The locks one file may have.
const LOCKS_MAX: usize = 65_536;

/// Whose lock it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    Process(usize),
    /// An open file.
    Handle(usize),
}

#[derive(Clone, Copy, Debug)]
struct Lock {
    owner: Owner,
    start: u64,
    end: u64,
    exclusive: bool,
}

impl Lock {
    fn overlaps(&self, range: &LockRange) -> bool {
        self.start <= range.end && range.start <= self.end
    }

    fn is_in_the_way(&self, owner: Owner, range: &LockRange) -> bool {
        self.owner != owner && self.overlaps(range) && (self.exclusive || range.exclusive)
    }
}

/// The locks of all files.
#[derive(Default)]
pub struct Locks {
    files: Mutex<HashMap<Key, Vec<Lock>>>,
}

impl Locks {
    /// Locks a range, or EAGAIN where another owner's lock is in the way.
    pub fn lock(&self, file: Key, owner: Owner, range: &LockRange) -> Result<(), Errno> {
        let mut files = self.files.lock();
        let locks = files.entry(file).or_default();
        if locks.iter().any(|lock| lock.is_in_the_way(owner, range)) {
            return Err(EAGAIN);
        }
        // Taking a range away may leave two pieces.
        if locks.len() + 2 > LOCKS_MAX {
            return Err(EMFILE);
        }
        take_away(locks, owner, range);
        let mut new = Lock {
            owner,
            start: range.start,
            end: range.end,
            exclusive: range.exclusive,
        };
        // Neighbours of the same kind become one.
        locks.retain(|lock| {
            let touches = lock.end.checked_add(1) == Some(new.start)
                || new.end.checked_add(1) == Some(lock.start);
            let one = lock.owner == owner && lock.exclusive == new.exclusive && touches;
            if one {
                new.start = new.start.min(lock.start);
                new.end = new.end.max(lock.end);
            }
            !one
        });
        locks.push(new);
        Ok(())
    }

    /// Unlocks a range.
    pub fn unlock(&self, file: Key, owner: Owner, range: &LockRange) {
        let mut files = self.files.lock();
        if let Some(locks) = files.get_mut(&file) {
            take_away(locks, owner, range);
            if locks.is_empty() {
                files.remove(&file);
            }
        }
    }

    /// Unlocks everything that an owner has of a file.
    pub fn unlock_all(&self, file: Key, owner: Owner) {
        let everything = LockRange {
            start: 0,
            end: u64::MAX,
            of_handle: false,
            exclusive: false,
        };
        self.unlock(file, owner, &everything);
    }

    /// The lock that is in the way of one, the first one in the file.
    pub fn find(&self, file: Key, owner: Owner, range: &LockRange) -> Option<(Owner, LockRange)> {
        let files = self.files.lock();
        let lock = files
            .get(&file)?
            .iter()
            .filter(|lock| lock.is_in_the_way(owner, range))
            .min_by_key(|lock| lock.start)?;
        let found = LockRange {
            start: lock.start,
            end: lock.end,
            of_handle: matches!(lock.owner, Owner::Handle(_)),
            exclusive: lock.exclusive,
        };
        Some((lock.owner, found))
    }
}

/// Takes a range away from an owner's locks.
fn take_away(locks: &mut Vec<Lock>, owner: Owner, range: &LockRange) {
    let mut pieces = Vec::new();
    locks.retain(|lock| {
        if lock.owner != owner || !lock.overlaps(range) {
            return true;
        }
        if lock.start < range.start {
            pieces.push(Lock {
                end: range.start - 1,
                ..*lock
            });
        }
        if lock.end > range.end {
            pieces.push(Lock {
                start: range.end + 1,
                ..*lock
            });
        }
        false
    });
    locks.append(&mut pieces);
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Key = (1, 2);
    const A: Owner = Owner::Process(10);
    const B: Owner = Owner::Process(11);

    fn range(start: u64, end: u64, exclusive: bool) -> LockRange {
        LockRange {
            start,
            end,
            of_handle: false,
            exclusive,
        }
    }

    #[test]
    fn shared_locks_share_and_exclusive_ones_do_not() {
        let locks = Locks::default();
        locks.lock(FILE, A, &range(0, 9, false)).unwrap();
        locks.lock(FILE, B, &range(5, 20, false)).unwrap();
        assert_eq!(locks.lock(FILE, A, &range(9, 9, true)), Err(EAGAIN));
        locks.lock(FILE, A, &range(0, 4, true)).unwrap();
        assert_eq!(locks.lock(FILE, B, &range(4, 4, false)), Err(EAGAIN));
        locks.lock((1, 3), B, &range(4, 4, false)).unwrap();
    }

    #[test]
    fn unlocking_the_middle_leaves_both_ends() {
        let locks = Locks::default();
        locks.lock(FILE, A, &range(0, 99, true)).unwrap();
        locks.unlock(FILE, A, &range(10, 19, false));
        locks.lock(FILE, B, &range(10, 19, true)).unwrap();
        assert_eq!(locks.lock(FILE, B, &range(9, 9, false)), Err(EAGAIN));
        let (owner, found) = locks.find(FILE, B, &range(0, u64::MAX, true)).unwrap();
        assert_eq!((owner, found.start, found.end), (A, 0, 9));
        locks.unlock_all(FILE, A);
        locks.unlock_all(FILE, B);
        assert!(locks.files.lock().is_empty());
    }

    #[test]
    fn neighbours_grow_together() {
        let locks = Locks::default();
        for start in [0, 20, 10] {
            locks.lock(FILE, A, &range(start, start + 9, true)).unwrap();
        }
        assert_eq!(locks.files.lock()[&FILE].len(), 1);
        locks
            .lock(FILE, A, &range(0, i64::MAX as u64, false))
            .unwrap();
        assert_eq!(locks.files.lock()[&FILE].len(), 1);
    }
}
