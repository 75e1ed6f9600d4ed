//! The bytes of the downloads under way, and how fast they come.

use std::time::{Duration, Instant};

use crate::packs::downloads::line::Line;

/// How long the rate is measured for at least, and with how many bytes: less than that comes in bursts.
const SAMPLE_TIME: Duration = Duration::from_millis(15);
const SAMPLE_BYTES: u64 = 512 << 10;
/// A measurement in which so little happened is begun anew.
const SAMPLE_TIME_MAX: Duration = Duration::from_secs(1);

/// What was asked for since nothing was under way. A store that does not count what comes in has received what has
/// ended.
#[derive(Default)]
pub(super) struct Flow {
    /// Downloads under way.
    count: usize,
    /// Their bytes.
    asked: u64,
    /// Bytes of those that have ended.
    ended: u64,
    /// What the store had received before the first of them.
    before: u64,
    sample: Option<(Instant, u64)>,
}

impl Flow {
    /// A download of so many bytes begins. `received`: what the store has counted until now.
    pub(super) fn begins(&mut self, len: u32, received: Option<u64>) {
        if self.count == 0 {
            *self = Self {
                before: received.unwrap_or(0),
                sample: received.map(|bytes| (Instant::now(), bytes)),
                ..Self::default()
            };
        }
        self.count += 1;
        self.asked += u64::from(len);
    }

    /// A download ends that was thought to have `len` bytes and has brought `brought`.
    pub(super) fn ends(&mut self, len: u32, brought: usize) {
        self.count = self.count.saturating_sub(1);
        self.asked = self.asked.saturating_sub(u64::from(len));
        self.ended += brought as u64;
    }

    /// Bytes that were asked for and have not come.
    pub(super) fn outstanding(&self, received: Option<u64>) -> u64 {
        let come = received.map_or(0, |bytes| {
            bytes.saturating_sub(self.before).saturating_sub(self.ended)
        });
        self.asked.saturating_sub(come)
    }

    /// Tells the line how fast bytes come. Returns `true` when that is known for the first time.
    pub(super) fn measure(&mut self, received: Option<u64>, line: &Line) -> bool {
        let (Some(bytes), Some((since, from))) = (received, self.sample) else {
            return false;
        };
        let (time, new) = (since.elapsed(), bytes.saturating_sub(from));
        let is_measured = new >= SAMPLE_BYTES && time >= SAMPLE_TIME;
        if !is_measured && new > 0 && time < SAMPLE_TIME_MAX {
            return false;
        }
        // Waiting for the first byte is no part of it.
        self.sample = Some((Instant::now(), bytes));
        is_measured && line.saw_rate((new as f64 / time.as_secs_f64()) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_come_is_not_outstanding() {
        let mut flow = Flow::default();
        flow.begins(1000, Some(50));
        flow.begins(1000, Some(50));
        assert_eq!(flow.outstanding(Some(50)), 2000);
        assert_eq!(flow.outstanding(Some(650)), 1400);
        // Half of what has come was of the one that ends.
        flow.ends(1000, 1000);
        assert_eq!(flow.outstanding(Some(1250)), 800);
        flow.ends(1000, 1000);
        assert_eq!(flow.outstanding(Some(9999)), 0);
        flow.begins(1000, Some(9999));
        assert_eq!(flow.outstanding(Some(9999)), 1000);
    }

    #[test]
    fn a_store_that_does_not_count_has_received_what_has_ended() {
        let mut flow = Flow::default();
        flow.begins(1000, None);
        flow.begins(500, None);
        assert_eq!(flow.outstanding(None), 1500);
        flow.ends(1000, 0);
        assert_eq!(flow.outstanding(None), 500);
    }
}
