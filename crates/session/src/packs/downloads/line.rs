//! The line to a store, as measured so far.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use safeos_record::MAX_CHUNK_SIZE;

/// How many packs are fetched ahead at once: what a line of 1 Gbit/s and 200 ms holds. Each is in memory.
pub(crate) const FETCHERS: usize = 8;
/// The same where nothing is known of the line yet.
const FETCHERS_FIRST: usize = 3;

/// Delay and rate.
#[derive(Default)]
pub(super) struct Line {
    /// How long a small request takes, in nanoseconds; 0: none was made.
    delay: AtomicU64,
    /// Bytes a second of all downloads together; 0: none has ended.
    rate: AtomicU64,
}

impl Line {
    /// Takes note of a small request.
    pub(super) fn saw_request(&self, time: Duration) {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1);
        let before = self.delay.load(Ordering::Relaxed);
        // The shortest counts, and is forgotten slowly: what else is under way makes requests wait, the line does not.
        let now = match before {
            0 => time,
            _ if time <= before => time,
            _ => before + (time - before) / 16,
        };
        self.delay.store(now, Ordering::Relaxed);
    }

    /// Takes note of what came in this time, of all downloads together.
    pub(super) fn saw_download(&self, bytes: u64, time: Duration) {
        let rate = (bytes as f64 / time.as_secs_f64().max(1e-6)) as u64;
        let before = self.rate.load(Ordering::Relaxed);
        let now = match before {
            0 => rate,
            _ => before / 4 * 3 + rate / 4,
        };
        self.rate.store(now.max(1), Ordering::Relaxed);
    }

    /// How many packs are to be under way: what the line holds, and one that is ready.
    pub(super) fn packs(&self) -> usize {
        let delay = self.delay.load(Ordering::Relaxed);
        let rate = self.rate.load(Ordering::Relaxed);
        if delay == 0 || rate == 0 {
            return FETCHERS_FIRST;
        }
        let bytes = rate as f64 * (delay as f64 / 1e9);
        let packs = (bytes / MAX_CHUNK_SIZE as f64).ceil() as usize;
        packs.saturating_add(1).clamp(2, FETCHERS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_packs_are_under_way_as_the_line_holds() {
        let packs = |delay_ms: u64, mbit: u64| {
            let line = Line::default();
            line.saw_request(Duration::from_millis(delay_ms));
            let bytes = mbit * 1_000_000 / 8;
            line.saw_download(bytes, Duration::from_secs(1));
            line.packs()
        };
        assert_eq!(Line::default().packs(), FETCHERS_FIRST);
        assert_eq!(packs(50, 20), 2);
        assert_eq!(packs(200, 100), 2);
        assert_eq!(packs(50, 1000), 3);
        assert_eq!(packs(200, 1000), 7);
        assert_eq!(packs(1000, 10_000), FETCHERS);
    }
}
