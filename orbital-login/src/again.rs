//! How soon the screen is started again when it has died.
//!
//! What always holds here: a fault that ends it at once again and again does not keep the processor busy; one that is over is
//! forgotten.

use std::time::Duration;

/// Each time longer …
const PAUSES: [Duration; 4] = [
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(15),
];
/// … until it has lived for so long.
const WELL_AFTER: Duration = Duration::from_secs(60);

/// The pauses before it is started again.
#[derive(Clone, Copy, Default, Debug)]
pub struct Pauses {
    deaths: usize,
}

impl Pauses {
    /// The next one, for a screen that has lived for so long.
    pub fn next(&mut self, lived: Duration) -> Duration {
        if lived >= WELL_AFTER {
            self.deaths = 0;
        }
        let pause = PAUSES[self.deaths.min(PAUSES.len() - 1)];
        self.deaths = self.deaths.saturating_add(1);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_of_long_ago_are_forgotten() {
        let mut pauses = Pauses::default();
        let at_once = Duration::from_millis(5);
        for pause in PAUSES.iter().chain([&PAUSES[3], &PAUSES[3]]) {
            assert_eq!(pauses.next(at_once), *pause);
        }
        assert_eq!(pauses.next(WELL_AFTER), PAUSES[0]);
        assert_eq!(pauses.next(at_once), PAUSES[1]);
    }
}
