//! What a gateway counts, in the text format of Prometheus.
//!
//! What always holds here: no name, address or token is in it; only kinds of request and their number.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::halves::Held;

/// A kind of request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub(crate) enum Endpoint {
    Chunk,
    Has,
    Get,
    Put,
    Body,
    Pointer,
    /// Waits for a pointer to move.
    Watch,
    List,
    Stats,
    About,
    None,
}

impl Endpoint {
    const ALL: [Self; 11] = [
        Self::Chunk,
        Self::Has,
        Self::Get,
        Self::Put,
        Self::Body,
        Self::Pointer,
        Self::Watch,
        Self::List,
        Self::Stats,
        Self::About,
        Self::None,
    ];

    /// By the path of the request.
    pub(crate) fn of(path: &str) -> Self {
        match path {
            "/v1/chunks/has" => Self::Has,
            "/v1/chunks/get" => Self::Get,
            "/v1/chunks/put" => Self::Put,
            "/v1/list" => Self::List,
            "/v1/stats" => Self::Stats,
            "/health" | "/metrics" | "/" => Self::About,
            _ if path.starts_with("/v1/chunks/") => Self::Chunk,
            _ if path.starts_with("/v1/bodies/") => Self::Body,
            _ if path.starts_with("/v1/pointers/") => Self::Pointer,
            _ => Self::None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Chunk => "chunk",
            Self::Has => "has",
            Self::Get => "get",
            Self::Put => "put",
            Self::Body => "body",
            Self::Pointer => "pointer",
            Self::Watch => "watch",
            Self::List => "list",
            Self::Stats => "stats",
            Self::About => "about",
            Self::None => "none",
        }
    }
}

const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];
/// Upper bounds of the histogram, in milliseconds.
const BUCKETS_MS: [u64; 8] = [1, 5, 20, 100, 500, 2_000, 10_000, 60_000];

#[derive(Default)]
struct OfEndpoint {
    statuses: [AtomicU64; 4],
    /// Not yet summed up; the last is what took longer.
    buckets: [AtomicU64; BUCKETS_MS.len() + 1],
    micros: AtomicU64,
}

/// The counts.
#[derive(Default)]
pub(crate) struct Metrics {
    endpoints: [OfEndpoint; Endpoint::ALL.len()],
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) in_flight: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) refused_connections: AtomicU64,
    pub(crate) ended_connections: AtomicU64,
    pub(crate) refused_rate: AtomicU64,
    pub(crate) refused_access: AtomicU64,
    pub(crate) store_failures: AtomicU64,
}

impl Metrics {
    /// A request that was answered.
    pub(crate) fn answered(&self, endpoint: Endpoint, status: u16, took: Duration) {
        let Some(counts) = self.endpoints.get(endpoint as usize) else {
            return;
        };
        let class = usize::from(status / 100).saturating_sub(2);
        if let Some(count) = counts.statuses.get(class.min(CLASSES.len() - 1)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let millis = took.as_millis() as u64;
        let bucket = BUCKETS_MS.partition_point(|bound| *bound < millis);
        if let Some(count) = counts.buckets.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        counts
            .micros
            .fetch_add(took.as_micros() as u64, Ordering::Relaxed);
    }

    /// All of it as text; `memory` is what records on their way take, `held` what of it is in half bodies.
    pub(crate) fn text(&self, memory: usize, held: &Held) -> String {
        let mut out = String::with_capacity(8 * 1024);
        self.write(&mut out, memory, held);
        out
    }

    fn write(&self, out: &mut String, memory: usize, held: &Held) {
        // Writing to a string does not fail.
        let mut line = |text: std::fmt::Arguments<'_>| {
            let _ = out.write_fmt(text);
            out.push('\n');
        };
        let value = |count: &AtomicU64| count.load(Ordering::Relaxed);
        line(format_args!("# TYPE safeos_gateway_requests_total counter"));
        for (endpoint, counts) in Endpoint::ALL.iter().zip(&self.endpoints) {
            for (class, count) in CLASSES.iter().zip(&counts.statuses) {
                let name = endpoint.name();
                line(format_args!(
                    "safeos_gateway_requests_total{{endpoint=\"{name}\",status=\"{class}\"}} {}",
                    value(count)
                ));
            }
        }
        line(format_args!(
            "# TYPE safeos_gateway_request_seconds histogram"
        ));
        for (endpoint, counts) in Endpoint::ALL.iter().zip(&self.endpoints) {
            let name = endpoint.name();
            let mut sum = 0;
            for (number, count) in counts.buckets.iter().enumerate() {
                sum += value(count);
                let bound = BUCKETS_MS
                    .get(number)
                    .map_or_else(|| "+Inf".to_owned(), |ms| (*ms as f64 / 1000.0).to_string());
                line(format_args!(
                    "safeos_gateway_request_seconds_bucket{{endpoint=\"{name}\",le=\"{bound}\"}} {sum}"
                ));
            }
            line(format_args!(
                "safeos_gateway_request_seconds_sum{{endpoint=\"{name}\"}} {}",
                value(&counts.micros) as f64 / 1e6
            ));
            line(format_args!(
                "safeos_gateway_request_seconds_count{{endpoint=\"{name}\"}} {sum}"
            ));
        }
        for (name, kind, count) in [
            ("bytes_received_total", "counter", value(&self.bytes_in)),
            ("bytes_sent_total", "counter", value(&self.bytes_out)),
            ("rate_refusals_total", "counter", value(&self.refused_rate)),
            (
                "access_refusals_total",
                "counter",
                value(&self.refused_access),
            ),
            (
                "store_failures_total",
                "counter",
                value(&self.store_failures),
            ),
            (
                "connection_refusals_total",
                "counter",
                value(&self.refused_connections),
            ),
            (
                "connections_ended_for_others_total",
                "counter",
                value(&self.ended_connections),
            ),
            ("bodies_in_parts_total", "counter", held.taken),
            ("half_bodies_forgotten_total", "counter", held.forgotten),
            ("half_bodies", "gauge", held.count),
            ("half_bodies_bytes", "gauge", held.bytes),
            ("requests_in_flight", "gauge", value(&self.in_flight)),
            ("connections", "gauge", value(&self.connections)),
            ("memory_bytes", "gauge", memory as u64),
        ] {
            line(format_args!("# TYPE safeos_gateway_{name} {kind}"));
            line(format_args!("safeos_gateway_{name} {count}"));
        }
    }
}
