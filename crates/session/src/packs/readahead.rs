//! Read-ahead: what a sequential reader will need next is fetched before it asks.
//!
//! From a store that is elsewhere whole packs; a local one is told which parts of its packs come next. What
//! could not be fetched is no error here; the reader that needs it gets one.

use std::ops::Range;

use hashlink::LruCache;
use parking_lot::Mutex;

use crate::Ino;

/// How far ahead of a reader a local store reads, in bytes.
const BYTES_AHEAD: u64 = 4 << 20;
/// A read of so many bytes is one of a sequential reader, whose reads come through several threads: it may be
/// as far as [`STRAY_BYTES`] from where the last one ended.
pub(crate) const LARGE_BYTES: u64 = 128 << 10;
const STRAY_BYTES: u64 = 2 << 20;
/// How many files are watched for sequential reading.
const FILES_MAX: usize = 256;

/// Who reads what in order.
pub(crate) struct ReadAhead {
    reading: Mutex<LruCache<Ino, Reading>>,
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
        }
    }
}

impl ReadAhead {
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

    /// What of `end..` a local store is to be told of now.
    pub(crate) fn untold(&self, ino: Ino, end: u64) -> Option<Range<u64>> {
        let mut reading = self.reading.lock();
        let told = &mut reading.get_mut(&ino)?.told;
        let until = end.saturating_add(BYTES_AHEAD);
        // What lies far ahead was told when the file was read in another place.
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
