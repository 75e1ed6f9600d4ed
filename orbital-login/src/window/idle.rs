//! The time until nobody is there any more, by the keys that were pressed.

use std::time::{Duration, Instant};

/// Counts from the last key, and not from before what was typed could be left standing: a sign-in may take longer than a
/// person is waited for, and its answer is to be read.
#[derive(Default)]
pub struct Idle {
    since: Option<Instant>,
}

impl Idle {
    /// How long it still lasts where `after` is given; call it whenever that may have changed.
    pub fn left(
        &mut self,
        after: Option<Duration>,
        last_key: Instant,
        now: Instant,
    ) -> Option<Duration> {
        let Some(after) = after else {
            self.since = None;
            return None;
        };
        let since = last_key.max(*self.since.get_or_insert(now));
        Some(after.saturating_sub(now.saturating_duration_since(since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_who_waited_has_the_whole_time_to_read_the_answer() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let minute = Some(Duration::from_secs(60));
        let left = |idle: &mut Idle, after, key, now| {
            idle.left(after, at(key), at(now))
                .map(|left| left.as_secs())
        };
        let mut idle = Idle::default();
        assert_eq!(left(&mut idle, minute, 0, 0), Some(60));
        assert_eq!(left(&mut idle, minute, 10, 30), Some(40));
        // Signing in takes 200 s; then the form is there again.
        assert_eq!(left(&mut idle, None, 30, 31), None);
        assert_eq!(left(&mut idle, minute, 30, 231), Some(60));
        assert_eq!(left(&mut idle, minute, 30, 281), Some(10));
        assert_eq!(left(&mut idle, minute, 285, 290), Some(55));
        assert_eq!(left(&mut idle, minute, 285, 400), Some(0));
    }
}
