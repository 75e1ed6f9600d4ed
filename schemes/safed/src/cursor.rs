//! Reading a directory in steps.
//!
//! Volumes continue after a *name*, kernels continue at a *number*. A cursor numbers the entries
//! as it hands them out and remembers which name has which number: exactly for the last few
//! thousand, every thousandth before. So `seekdir` finds its place again, and a directory of any
//! size costs bounded memory.
//!
//! What always holds here: entry 0 is `.`, 1 is `..` (a front that lists neither begins with 2); the number that goes
//! with an entry is where to continue after it.

use std::collections::VecDeque;

use safeos_session::{DirEntry, Ino, Result, Volume};

/// The last names remembered one by one.
const RECENT_MAX: usize = 4096;
/// Before those, one name in so many.
const CHECKPOINT_EVERY: u64 = 1024;
/// How many entries are asked for at once. Left-over ones are thrown away: their attributes might be
/// old by the time the next request comes.
const STEP: usize = 64;

/// Where in a directory a reader is.
#[derive(Default)]
pub struct Cursor {
    /// The name of entry `recent_end - 1` is the last one, and so on backwards.
    recent: VecDeque<Vec<u8>>,
    recent_end: u64,
    /// Entry number and name.
    checkpoints: Vec<(u64, Vec<u8>)>,
}

impl Cursor {
    /// Hands `(number to continue at, entry)` to `take` from number `at` (at least 2) on, until `take`
    /// says `false`, which refuses that entry.
    pub fn read(
        &mut self,
        volume: &dyn Volume,
        dir: Ino,
        at: u64,
        mut take: impl FnMut(u64, &DirEntry) -> bool,
    ) -> Result<()> {
        let mut at = at.max(2);
        let mut after = self.name_before(volume, dir, at)?;
        loop {
            let entries = volume.read_dir(dir, after.as_deref(), STEP)?;
            for entry in &entries {
                if !take(at.saturating_add(1), entry) {
                    return Ok(());
                }
                self.remember(at, &entry.name);
                at = at.saturating_add(1);
            }
            if entries.len() < STEP {
                return Ok(());
            }
            after = entries.into_iter().next_back().map(|entry| entry.name);
        }
    }

    /// The name of entry `at - 1`, after which entry `at` is to be found.
    fn name_before(&mut self, volume: &dyn Volume, dir: Ino, at: u64) -> Result<Option<Vec<u8>>> {
        let Some(wanted) = at.checked_sub(1).filter(|wanted| *wanted >= 2) else {
            return Ok(None);
        };
        let recent_start = self.recent_end - self.recent.len() as u64;
        if let Some(index) = wanted.checked_sub(recent_start)
            && let Some(name) = self.recent.get(index as usize)
        {
            return Ok(Some(name.clone()));
        }
        // Walk there from the nearest remembered name.
        let nearest = self
            .checkpoints
            .partition_point(|(number, _)| *number <= wanted);
        let (mut number, mut name) = match nearest.checked_sub(1) {
            Some(index) => {
                let (number, name) = &self.checkpoints[index];
                (*number, Some(name.clone()))
            }
            None => (1, None),
        };
        while number < wanted {
            let step = STEP.min((wanted - number) as usize);
            let entries = volume.read_dir(dir, name.as_deref(), step)?;
            number += entries.len() as u64;
            let ended = entries.len() < step;
            if let Some(last) = entries.into_iter().next_back() {
                name = Some(last.name);
            }
            if ended {
                break;
            }
        }
        Ok(name)
    }

    fn remember(&mut self, number: u64, name: &[u8]) {
        if number != self.recent_end {
            // The reader jumped: entries are remembered from here on.
            self.recent.clear();
        }
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(name.to_vec());
        self.recent_end = number + 1;
        if number.is_multiple_of(CHECKPOINT_EVERY)
            && self
                .checkpoints
                .last()
                .is_none_or(|(last, _)| *last < number)
        {
            self.checkpoints.push((number, name.to_vec()));
        }
    }
}

#[cfg(test)]
mod tests {
    use safeos_session::model::ModelVolume;
    use safeos_session::{FileKind, NewNode};

    use super::*;

    fn directory(count: usize) -> ModelVolume {
        let volume = ModelVolume::new(0, 0);
        for index in 0..count {
            let node = NewNode::new(FileKind::File, 0o644, (0, 0));
            let name = format!("{index:06}");
            volume
                .create(volume.root(), name.as_bytes(), &node)
                .unwrap();
        }
        volume
    }

    /// Up to `count` names from `at` on, with the numbers to continue at.
    fn read(
        cursor: &mut Cursor,
        volume: &ModelVolume,
        at: u64,
        count: usize,
    ) -> Vec<(u64, String)> {
        let mut got = Vec::new();
        cursor
            .read(volume, volume.root(), at, |next, entry| {
                if got.len() == count {
                    return false;
                }
                got.push((next, String::from_utf8(entry.name.clone()).unwrap()));
                true
            })
            .unwrap();
        got
    }

    #[test]
    fn steps_add_up_to_the_whole() {
        let volume = directory(1000);
        let mut cursor = Cursor::default();
        let mut at = 0;
        let mut names = Vec::new();
        loop {
            let got = read(&mut cursor, &volume, at, 7);
            let Some((next, _)) = got.last() else { break };
            at = *next;
            names.extend(got.into_iter().map(|(_, name)| name));
        }
        assert_eq!(names.len(), 1000);
        assert!(names.is_sorted());
        assert_eq!(at, 1002);
    }

    #[test]
    fn any_earlier_place_is_found_again() {
        let volume = directory(12_000);
        let mut cursor = Cursor::default();
        let all = read(&mut cursor, &volume, 2, usize::MAX);
        assert_eq!(all.len(), 12_000);
        for at in [2_u64, 3, 500, 1025, 1026, 5000, 9000, 11_999, 12_001] {
            let got = read(&mut cursor, &volume, at, 3);
            assert_eq!(got[0], all[at as usize - 2], "at {at}");
        }
        assert!(read(&mut cursor, &volume, 12_002, 3).is_empty());
        assert!(read(&mut cursor, &volume, u64::MAX, 3).is_empty());
    }

    #[test]
    fn removing_what_was_read_skips_nothing() {
        let volume = directory(3000);
        let mut cursor = Cursor::default();
        let mut at = 0;
        let mut removed = 0;
        loop {
            let got = read(&mut cursor, &volume, at, 100);
            let Some((next, _)) = got.last() else { break };
            at = *next;
            for (_, name) in got {
                volume.unlink(volume.root(), name.as_bytes()).unwrap();
                removed += 1;
            }
        }
        assert_eq!(removed, 3000);
    }

    #[test]
    fn memory_is_bounded() {
        let volume = directory(20_000);
        let mut cursor = Cursor::default();
        read(&mut cursor, &volume, 2, usize::MAX);
        assert!(cursor.recent.len() <= RECENT_MAX);
        assert!(cursor.checkpoints.len() <= 20_000 / CHECKPOINT_EVERY as usize + 1);
    }
}
