//! Counts, in the text format of Prometheus.
//!
//! What always holds here: only kinds of things and their number; no name, address, URL or token.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of a histogram, in milliseconds.
const BUCKETS_MS: [u64; 8] = [1, 5, 20, 100, 500, 2_000, 10_000, 60_000];

/// How long something took, each time.
#[derive(Default, Debug)]
pub struct Histogram {
    /// Not yet summed up; the last is what took longer.
    buckets: [AtomicU64; BUCKETS_MS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    /// An empty one.
    pub const fn new() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; BUCKETS_MS.len() + 1],
            micros: AtomicU64::new(0),
        }
    }

    /// Counts one.
    pub fn count(&self, took: Duration) {
        let millis = took.as_millis() as u64;
        let bucket = BUCKETS_MS.partition_point(|bound| *bound < millis);
        if let Some(count) = self.buckets.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.micros
            .fetch_add(took.as_micros() as u64, Ordering::Relaxed);
    }
}

/// Metrics as text.
pub struct Text {
    prefix: &'static str,
    text: String,
}

impl Text {
    /// With names that begin so.
    pub fn new(prefix: &'static str) -> Self {
        let text = String::with_capacity(8 * 1024);
        Self { prefix, text }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.text.write_fmt(line);
        self.text.push('\n');
    }

    /// Begins a metric: `counter`, `gauge` or `histogram`.
    pub fn kind(&mut self, name: &str, kind: &str) {
        let prefix = self.prefix;
        self.line(format_args!("# TYPE {prefix}{name} {kind}"));
    }

    /// One value; the labels as `{a="b"}`, or nothing.
    pub fn value(&mut self, name: &str, labels: std::fmt::Arguments<'_>, value: u64) {
        let prefix = self.prefix;
        self.line(format_args!("{prefix}{name}{labels} {value}"));
    }

    /// A metric with one value and no labels.
    pub fn single(&mut self, name: &str, kind: &str, value: u64) {
        self.kind(name, kind);
        self.value(name, format_args!(""), value);
    }

    /// One label's histogram.
    pub fn histogram(&mut self, name: &str, label: &str, of: &str, histogram: &Histogram) {
        let prefix = self.prefix;
        let mut sum = 0;
        for (number, count) in histogram.buckets.iter().enumerate() {
            sum += count.load(Ordering::Relaxed);
            let bound = BUCKETS_MS
                .get(number)
                .map_or_else(|| "+Inf".to_owned(), |ms| (*ms as f64 / 1000.0).to_string());
            self.line(format_args!(
                "{prefix}{name}_bucket{{{label}=\"{of}\",le=\"{bound}\"}} {sum}"
            ));
        }
        let seconds = histogram.micros.load(Ordering::Relaxed) as f64 / 1e6;
        self.line(format_args!(
            "{prefix}{name}_sum{{{label}=\"{of}\"}} {seconds}"
        ));
        self.line(format_args!(
            "{prefix}{name}_count{{{label}=\"{of}\"}} {sum}"
        ));
    }

    /// All of it.
    pub fn finish(self) -> String {
        self.text
    }
}

/// A kind of call to a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Call {
    /// Chunks were put.
    Put,
    /// Chunks were made durable.
    Sync,
    /// Chunks were fetched.
    Get,
    /// A part of a chunk was read.
    Read,
    /// It was asked whether chunks are there.
    Has,
    /// A pointer was asked for.
    Pointer,
    /// A pointer was moved.
    SetPointer,
    /// Records were listed.
    List,
    /// Chunks were removed.
    Delete,
    /// Records were counted.
    Stats,
}

impl Call {
    const ALL: [Self; 10] = [
        Self::Put,
        Self::Sync,
        Self::Get,
        Self::Read,
        Self::Has,
        Self::Pointer,
        Self::SetPointer,
        Self::List,
        Self::Delete,
        Self::Stats,
    ];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Sync => "sync",
            Self::Get => "get",
            Self::Read => "read",
            Self::Has => "has",
            Self::Pointer => "pointer",
            Self::SetPointer => "set_pointer",
            Self::List => "list",
            Self::Delete => "delete",
            Self::Stats => "stats",
        }
    }
}

/// Work of sessions that may fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Work {
    /// Publishing.
    Publish,
    /// Another computer's changes were merged.
    Merge,
    /// A collection.
    Collect,
}

impl Work {
    const ALL: [Self; 3] = [Self::Publish, Self::Merge, Self::Collect];

    fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Merge => "merge",
            Self::Collect => "collect",
        }
    }
}

/// Each outcome's count, and how long it took.
#[derive(Debug)]
struct Done {
    good: AtomicU64,
    failed: AtomicU64,
    took: Histogram,
}

impl Done {
    const fn new() -> Self {
        Self {
            good: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            took: Histogram::new(),
        }
    }

    fn count(&self, good: bool, took: Duration) {
        let count = if good { &self.good } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
        self.took.count(took);
    }
}

/// The counts of the sessions in this process.
#[derive(Debug)]
pub struct Sessions {
    calls: [Done; Call::ALL.len()],
    work: [Done; Work::ALL.len()],
    /// Bytes of records that were put.
    pub sent: AtomicU64,
    /// Bytes of records that were fetched.
    pub received: AtomicU64,
    /// Requests of the system for files.
    pub requests: AtomicU64,
}

/// The one of this process.
pub static SESSIONS: Sessions = Sessions {
    calls: [const { Done::new() }; Call::ALL.len()],
    work: [const { Done::new() }; Work::ALL.len()],
    sent: AtomicU64::new(0),
    received: AtomicU64::new(0),
    requests: AtomicU64::new(0),
};

impl Sessions {
    /// A call of a store has ended.
    pub fn called(&self, call: Call, good: bool, took: Duration) {
        if let Some(done) = self.calls.get(call as usize) {
            done.count(good, took);
        }
    }

    /// Work has ended.
    pub fn worked(&self, work: Work, good: bool, took: Duration) {
        if let Some(done) = self.work.get(work as usize) {
            done.count(good, took);
        }
    }

    /// All of it as text.
    pub fn write(&self, text: &mut Text) {
        let calls = Call::ALL.iter().map(|call| call.name()).zip(&self.calls);
        family(
            text,
            ["store_calls_total", "store_call_seconds"],
            "call",
            calls,
        );
        let work = Work::ALL.iter().map(|work| work.name()).zip(&self.work);
        family(text, ["work_total", "work_seconds"], "kind", work);
        for (name, count) in [
            ("store_bytes_sent_total", &self.sent),
            ("store_bytes_received_total", &self.received),
            ("file_requests_total", &self.requests),
        ] {
            text.single(name, "counter", count.load(Ordering::Relaxed));
        }
    }
}

fn family<'a>(
    text: &mut Text,
    [total, seconds]: [&str; 2],
    label: &str,
    all: impl Iterator<Item = (&'static str, &'a Done)> + Clone,
) {
    text.kind(total, "counter");
    for (of, done) in all.clone() {
        for (outcome, count) in [("done", &done.good), ("failed", &done.failed)] {
            text.value(
                total,
                format_args!("{{{label}=\"{of}\",outcome=\"{outcome}\"}}"),
                count.load(Ordering::Relaxed),
            );
        }
    }
    text.kind(seconds, "histogram");
    for (of, done) in all {
        text.histogram(seconds, label, of, &done.took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_upwards() {
        let histogram = Histogram::new();
        for millis in [1, 3, 70_000] {
            histogram.count(Duration::from_millis(millis));
        }
        let mut text = Text::new("a_");
        text.histogram("b", "c", "d", &histogram);
        let text = text.finish();
        for line in [
            "a_b_bucket{c=\"d\",le=\"0.001\"} 1\n",
            "a_b_bucket{c=\"d\",le=\"0.005\"} 2\n",
            "a_b_bucket{c=\"d\",le=\"60\"} 2\n",
            "a_b_bucket{c=\"d\",le=\"+Inf\"} 3\n",
            "a_b_sum{c=\"d\"} 70.004\n",
            "a_b_count{c=\"d\"} 3\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }
}
