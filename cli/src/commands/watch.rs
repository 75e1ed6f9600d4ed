//! `safe status --watch` and `--metrics`: current activity, with rates.

use std::path::Path;
use std::time::{Duration, Instant};

use safeos_control::Request;
use serde_json::{Value, json};

use super::Context;
use super::session::Status;
use crate::conversation::{ask, ask_for};
use crate::failure::Result;
use crate::output::bytes;
use crate::signals;

const EVERY: Duration = Duration::from_secs(1);
/// How often it looks for a signal.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Prints the daemon's metrics, as Prometheus reads them.
pub fn metrics(context: &Context) -> Result<()> {
    let value = ask(
        &context.dirs.session()?,
        Request::Metrics,
        context.output.json,
    )?;
    let text = text_of(&value).trim_end().to_owned();
    context.output.answer(&value, || text)
}

/// Prints a line each second, until a signal says to end.
pub fn watch(context: &Context) -> Result<()> {
    let mount = context.dirs.session()?;
    signals::watch()?;
    let mut before = Seen::now(&mount, context)?;
    loop {
        let until = Instant::now() + EVERY;
        while Instant::now() < until {
            if signals::asked().is_some() {
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        let now = Seen::now(&mount, context)?;
        let rates = now.rates_since(&before);
        let line = json!({ "status": now.status, "rates": rates.to_json() });
        context
            .output
            .answer(&line, || rates.line(&now.known, now.memory))?;
        before = now;
    }
}

/// How things stand at one moment.
struct Seen {
    when: Instant,
    known: Status,
    status: Value,
    /// Of [`COUNTS`].
    counts: [u64; COUNTS.len()],
    memory: u64,
}

/// The counters that are shown as rates.
const COUNTS: [&str; 4] = [
    "file_requests_total",
    "store_bytes_sent_total",
    "store_bytes_received_total",
    "store_calls_total",
];

impl Seen {
    fn now(mount: &Path, context: &Context) -> Result<Self> {
        let json = context.output.json;
        let (known, status) = ask_for::<Status>(mount, Request::Status, json)?;
        let metrics = ask(mount, Request::Metrics, json)?;
        let text = text_of(&metrics);
        Ok(Self {
            when: Instant::now(),
            known,
            status,
            counts: COUNTS.map(|name| count(text, name)),
            memory: count(text, "memory_bytes"),
        })
    }

    fn rates_since(&self, before: &Self) -> Rates {
        let seconds = self.when.duration_since(before.when).as_secs_f64();
        let mut rates = [0.0; COUNTS.len()];
        for ((rate, now), then) in rates.iter_mut().zip(self.counts).zip(before.counts) {
            *rate = now.saturating_sub(then) as f64 / seconds.max(0.001);
        }
        Rates(rates)
    }
}

/// So much a second, of [`COUNTS`].
struct Rates([f64; COUNTS.len()]);

impl Rates {
    fn to_json(&self) -> Value {
        let pairs = COUNTS.iter().zip(self.0);
        pairs
            .map(|(name, rate)| (name.trim_end_matches("_total").to_owned(), json!(rate)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    fn line(&self, status: &Status, memory: u64) -> String {
        let [requests, sent, received, calls] = self.0;
        let mut line = format!(
            "{requests:.0} file requests/s, {calls:.0} store calls/s, {}/s sent, {}/s received, {} unpublished, {} of memory",
            bytes(sent as u64),
            bytes(received as u64),
            bytes(status.unpublished_bytes),
            bytes(memory),
        );
        if let Some(why) = status.keeps_waiting() {
            line.push_str(&format!("; waiting: {why}"));
        }
        line
    }
}

fn text_of(metrics: &Value) -> &str {
    metrics["text"].as_str().unwrap_or_default()
}

/// The sum of a metric over its labels.
fn count(text: &str, name: &str) -> u64 {
    let of_it = |line: &str| {
        let rest = line.strip_prefix("safeos_daemon_")?.strip_prefix(name)?;
        let is_it = rest.starts_with([' ', '{']);
        is_it.then(|| rest.rsplit(' ').next()?.parse::<u64>().ok())?
    };
    text.lines().filter_map(of_it).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels() {
        let text = "# TYPE safeos_daemon_a_total counter\nsafeos_daemon_a_total{b=\"c\"} 2\nsafeos_daemon_a_total{b=\"d\"} 3\nsafeos_daemon_a_total_more 7\nsafeos_daemon_memory_bytes 5\n";
        assert_eq!(count(text, "a_total"), 5);
        assert_eq!(count(text, "memory_bytes"), 5);
        assert_eq!(count(text, "none"), 0);
    }

    #[test]
    fn a_line_has_what_goes_on() {
        let line = Rates([12.4, 2048.0, 0.0, 3.0]).line(&Status::default(), 1 << 20);
        assert!(
            line.starts_with("12 file requests/s, 3 store calls/s, 2.0 KiB/s sent"),
            "{line}"
        );
        assert!(!line.contains("waiting"), "{line}");
    }
}
