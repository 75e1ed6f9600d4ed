//! Messages that come again and again: each is logged once a minute, with how often it came.
//!
//! What always holds here: a bounded number of messages is remembered; none is dropped without being counted.

use std::time::{Duration, Instant};

/// How long a message is not logged again.
const QUIET: Duration = Duration::from_secs(60);
/// How many different messages are remembered.
const MESSAGES_MAX: usize = 16;

#[derive(Default)]
pub(crate) struct Repeats(Vec<Repeat>);

struct Repeat {
    message: String,
    logged: Instant,
    /// How often it has come since.
    times: u64,
}

impl Repeat {
    fn line(&self) -> Option<String> {
        (self.times > 0).then(|| format!("{} (again, {} times)", self.message, self.times))
    }
}

impl Repeats {
    /// The lines to log for a message that comes now.
    pub(crate) fn lines(&mut self, message: &str, now: Instant) -> Vec<String> {
        let mut lines = Vec::new();
        // Messages that are old are let go, and the count of those not logged is logged.
        let quiet = |repeat: &Repeat| now.duration_since(repeat.logged) < QUIET;
        for repeat in self.0.extract_if(.., |repeat| !quiet(repeat)) {
            lines.extend(repeat.line());
        }
        if let Some(repeat) = self.0.iter_mut().find(|repeat| repeat.message == message) {
            repeat.times += 1;
            return lines;
        }
        if self.0.len() == MESSAGES_MAX {
            lines.extend(self.0.remove(0).line());
        }
        self.0.push(Repeat {
            message: message.to_owned(),
            logged: now,
            times: 0,
        });
        lines.push(message.to_owned());
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_logged_once_a_minute_and_counted() {
        let mut repeats = Repeats::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(repeats.lines("full", at(0)), ["full"]);
        assert!(repeats.lines("full", at(1)).is_empty());
        assert!(repeats.lines("full", at(59)).is_empty());
        assert_eq!(repeats.lines("away", at(59)), ["away"]);
        assert_eq!(
            repeats.lines("full", at(60)),
            ["full (again, 2 times)", "full"]
        );
        assert_eq!(repeats.lines("other", at(200)), ["other"]);
    }

    #[test]
    fn few_messages_are_remembered() {
        let mut repeats = Repeats::default();
        let now = Instant::now();
        for number in 0..1000 {
            assert_eq!(repeats.lines(&number.to_string(), now).len(), 1);
        }
        assert_eq!(repeats.0.len(), MESSAGES_MAX);
    }
}
