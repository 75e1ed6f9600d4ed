//! Read-ahead: what a sequential reader will need next is fetched before it asks.
//!
//! From a store that is elsewhere whole packs; a local one is told which parts of its packs come next. What
//! could not be fetched is no error here; the reader that needs it gets one.

use std::ops::Range;

use hashlink::LruCache;

use crate::Ino;
use crate::lock::{Mutex, MutexGuard};

/// How far ahead of a reader a local store reads, in bytes.
const BYTES_AHEAD: u64 = 4 << 20;
/// A read of so many bytes is one of a sequential reader, whose reads come through several threads: it may be
/// as far as [`STRAY_BYTES`] from where the last one ended.
pub(crate) const LARGE_BYTES: u64 = 128 << 10;
const STRAY_BYTES: u64 = 2 << 20;
/// How many files are watched for sequential reading.
const FILES_MAX: usize = 256;

/// The files that are read in order.
pub(crate) struct ReadAhead {
    reading: Mutex<LruCache<Ino, Reading>>,
    turn: Mutex<()>,
}

/// How a file is read.
#[derive(Clone, Copy)]
struct Reading {
    /// Where the last read ended.
    end: u64,
    /// How far a local store has been told.
    told: u64,
}

impl Default for ReadAhead {
    fn default() -> Self {
        Self {
            reading: Mutex::new(LruCache::new(FILES_MAX)),
            turn: Mutex::default(),
        }
    }
}

impl ReadAhead {
    /// Held while a read is noted and what follows it is prefetched.
    pub(crate) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock()
    }

    /// Notes a read; from which byte on more is read soon, if its file is read in order. Several readers of the start
    /// of a file come in any order: what is before the first to come is wanted too.
    pub(crate) fn goes_on_from(&self, ino: Ino, offset: u64, end: u64) -> Option<u64> {
        let is_first = !self.reading.lock().contains_key(&ino);
        let is_of_start = end - offset >= LARGE_BYTES && offset <= STRAY_BYTES;
        let is_sequential = self.is_sequential(ino, offset, end);
        match is_first && is_of_start && offset > 0 {
            true => Some(0),
            false => is_sequential.then_some(end),
        }
    }

    /// Notes a read; whether its file is read in order.
    pub(crate) fn is_sequential(&self, ino: Ino, offset: u64, end: u64) -> bool {
        let mut reading = self.reading.lock();
        let before = reading.get(&ino).copied();
        let told = before.map_or(0, |before| before.told);
        reading.insert(ino, Reading { end, told });
        drop(reading);
        before.map_or(offset == 0, |before| {
            let stray = if end - offset < LARGE_BYTES {
                0
            } else {
                STRAY_BYTES
            };
            offset == 0 || before.end.abs_diff(offset) <= stray
        })
    }

    /// The part of `end..` that a local store is to be told of now.
    pub(crate) fn untold(&self, ino: Ino, end: u64) -> Option<Range<u64>> {
        let mut reading = self.reading.lock();
        let told = &mut reading.get_mut(&ino)?.told;
        let until = end.saturating_add(BYTES_AHEAD);
        // A part far ahead was told when the file was read in another place.
        let from = if *told > until.saturating_add(STRAY_BYTES) {
            end
        } else {
            end.max(*told)
        };
        // Not a little for each read.
        if until.saturating_sub(from) < BYTES_AHEAD / 2 {
            return None;
        }
        *told = until;
        Some(from..until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn who_reads_on_from_where_he_was_reads_in_order() {
        let ahead = ReadAhead::default();
        assert!(ahead.is_sequential(1, 0, 4096));
        assert!(ahead.is_sequential(1, 4096, 8192));
        assert!(!ahead.is_sequential(1, 4096 * 9, 4096 * 10));
        assert!(!ahead.is_sequential(2, MIB, MIB + 4096), "of another file");
    }

    #[test]
    fn large_reads_may_come_out_of_turn_but_not_from_anywhere() {
        let ahead = ReadAhead::default();
        assert!(ahead.is_sequential(1, 0, MIB));
        assert!(ahead.is_sequential(1, 2 * MIB, 3 * MIB));
        assert!(ahead.is_sequential(1, MIB, 2 * MIB));
        assert!(!ahead.is_sequential(1, 40 * MIB, 41 * MIB));
    }

    #[test]
    fn the_start_of_a_file_may_be_read_in_any_order() {
        let ahead = ReadAhead::default();
        let read = |ino, at| ahead.goes_on_from(ino, at, at + LARGE_BYTES);
        assert_eq!(read(1, LARGE_BYTES), Some(0));
        assert_eq!(read(1, 0), Some(LARGE_BYTES));
        assert_eq!(read(1, 2 * LARGE_BYTES), Some(3 * LARGE_BYTES));
        assert_eq!(read(2, 40 * MIB), None);
        assert_eq!(ahead.goes_on_from(3, 4096, 8192), None);
        assert_eq!(ahead.goes_on_from(4, 0, 4096), Some(4096));
    }

    #[test]
    fn a_local_store_is_told_everything_once_and_not_a_little_for_each_read() {
        let ahead = ReadAhead::default();
        let mut told = Vec::new();
        for turn in 0..64 {
            // Every other pair comes out of turn.
            let at = if turn % 4 < 2 { turn } else { turn ^ 1 };
            ahead.is_sequential(1, at * MIB, (at + 1) * MIB);
            told.extend(ahead.untold(1, (at + 1) * MIB));
        }
        assert_eq!(told[0].start, MIB);
        assert!(
            told.windows(2).all(|pair| pair[0].end == pair[1].start),
            "{told:?}"
        );
        assert!(told.len() < 40, "{} times", told.len());
        // Once more from the start.
        ahead.is_sequential(1, 0, MIB);
        assert_eq!(ahead.untold(1, MIB), Some(MIB..MIB + BYTES_AHEAD));
    }
}
