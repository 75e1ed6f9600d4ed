//! The progress of a long operation: a bar on a terminal, nothing anywhere else.

use std::borrow::Cow;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::failure::one_line;

/// Shorter operations show nothing: a bar that flashes by is only unrest.
const QUIET_FOR: Duration = Duration::from_millis(400);

/// How the daemon says what keeps it.
const WAITING: &str = "waiting since ";

/// A bar, a spinner, or silence.
pub struct Progress {
    shown: bool,
    since: Instant,
    bar: Option<ProgressBar>,
    state: (String, u64, String),
    /// The last reason for waiting that was shown.
    why: String,
}

impl Progress {
    /// Shows progress only where a person looks: on a terminal, and not beside JSON.
    pub fn new(json: bool) -> Self {
        Self {
            shown: !json && std::io::stderr().is_terminal(),
            since: Instant::now(),
            bar: None,
            state: Default::default(),
            why: String::new(),
        }
    }

    /// Shows the current step, how much of it is done, of how much (0: not known), and the unit.
    pub fn step(&mut self, what: &str, done: u64, total: u64, unit: &str) {
        if !self.shown || self.since.elapsed() < QUIET_FOR {
            return;
        }
        if what.starts_with(WAITING) {
            return self.waits(what);
        }
        let state = (what.to_owned(), total, unit.to_owned());
        if self.bar.is_none() || self.state != state {
            self.clear();
            let bar = ProgressBar::with_draw_target(
                (total > 0).then_some(total),
                ProgressDrawTarget::stderr(),
            );
            bar.set_style(style(total > 0, unit));
            bar.set_message(Cow::Owned(one_line(what)));
            bar.enable_steady_tick(Duration::from_millis(120));
            self.bar = Some(bar);
            self.state = state;
        }
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
    }

    /// Says, once, what it waits for; the bar goes on.
    fn waits(&mut self, why: &str) {
        if self.why == why {
            return;
        }
        self.why = why.to_owned();
        let line = format!("{} (Ctrl-C: do not wait)", one_line(why));
        match &self.bar {
            Some(bar) => bar.println(line),
            None => eprintln!("{line}"),
        }
    }

    /// Takes the bar away.
    pub fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn style(bounded: bool, unit: &str) -> ProgressStyle {
    let template = match (bounded, unit) {
        (true, "bytes") => "{msg} [{bar:30}] {bytes} of {total_bytes} {bytes_per_sec} {eta}",
        (true, "") => "{msg} [{bar:30}] {percent}%",
        (true, _) => "{msg} [{bar:30}] {human_pos} of {human_len} {eta}",
        (false, "bytes") => "{spinner} {msg} {bytes} {elapsed}",
        (false, "") => "{spinner} {msg} {elapsed}",
        (false, _) => "{spinner} {msg} {human_pos} {elapsed}",
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_shown_beside_json() {
        let mut progress = Progress::new(true);
        progress.since -= QUIET_FOR;
        progress.step("uploading", 1, 2, "bytes");
        assert!(progress.bar.is_none());
    }

    #[test]
    fn every_template_is_valid() {
        for bounded in [true, false] {
            for unit in ["bytes", "", "records"] {
                style(bounded, unit);
            }
        }
    }
}
