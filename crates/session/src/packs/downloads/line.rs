//! The line to a store, as measured so far.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use safeos_record::MAX_CHUNK_SIZE;

/// How many packs are fetched ahead at once at most: a little more than a line of 1 Gbit/s and 200 ms holds, since
/// those under way share it and end about together. Each is in memory.
pub(crate) const FETCHERS: usize = 12;
/// The same where nothing is known of the line's rate.
const FETCHERS_FIRST: usize = 3;
/// The same on a long line, until the first bytes come.
const FETCHERS_FIRST_FAR: usize = 4;
/// A small request that takes longer than this goes over a long line.
const FAR: Duration = Duration::from_millis(30);
const PACK: u64 = MAX_CHUNK_SIZE as u64;

/// Delay and rate.
#[derive(Default)]
pub(super) struct Line {
    /// How long a small request takes, in nanoseconds; 0: none was made.
    delay: AtomicU64,
    /// Bytes a second of all downloads together; 0: nothing has come.
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

    /// Takes note of how many bytes a second come. Returns `true` when nothing was known of that.
    pub(super) fn saw_rate(&self, rate: u64) -> bool {
        let before = self.rate.load(Ordering::Relaxed);
        let now = match before {
            _ if rate >= before => rate,
            _ => before - (before - rate) / 4,
        };
        self.rate.store(now.max(1), Ordering::Relaxed);
        before == 0
    }

    /// Takes note of what came in this time, of all downloads together.
    pub(super) fn saw_download(&self, bytes: u64, time: Duration) {
        self.saw_rate((bytes as f64 / time.as_secs_f64().max(1e-6)) as u64);
    }

    /// How many bytes may be asked for that have not come: what the line holds and half of it more, and two packs so
    /// that one is ready.
    pub(super) fn window(&self) -> u64 {
        let delay = self.delay.load(Ordering::Relaxed);
        let rate = self.rate.load(Ordering::Relaxed);
        if rate == 0 {
            let packs = match self.is_far() {
                true => FETCHERS_FIRST_FAR,
                false => FETCHERS_FIRST,
            };
            return packs as u64 * PACK;
        }
        let holds = rate as f64 * (delay as f64 / 1e9);
        ((holds * 1.5) as u64).saturating_add(2 * PACK)
    }

    /// How many packs ahead of a reader are asked for or wait for that.
    pub(super) fn packs(&self) -> usize {
        // The first bytes show how many of them are needed.
        if self.rate.load(Ordering::Relaxed) == 0 && self.is_far() {
            return FETCHERS;
        }
        usize::try_from(self.window() / PACK).map_or(FETCHERS, |packs| packs.clamp(2, FETCHERS))
    }

    fn is_far(&self) -> bool {
        u128::from(self.delay.load(Ordering::Relaxed)) > FAR.as_nanos()
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
        assert_eq!(packs(50, 1000), 4);
        assert_eq!(packs(200, 1000), 10);
        assert_eq!(packs(1000, 10_000), FETCHERS);
    }

    #[test]
    fn on_a_long_line_of_unknown_rate_more_waits_than_is_asked_for() {
        let line = Line::default();
        line.saw_request(Duration::from_millis(200));
        assert_eq!(line.window(), FETCHERS_FIRST_FAR as u64 * PACK);
        assert_eq!(line.packs(), FETCHERS);
        // The first bytes show a slow one.
        line.saw_rate(2_500_000);
        assert_eq!(line.packs(), 2);
    }
}
