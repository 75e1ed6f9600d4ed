//! The counters of a gateway, in the text format of Prometheus.
//!
//! What always holds here: no name, address or token is in it; only kinds of request and their number.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use safeos_telemetry::metrics::{Histogram, Text};

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

    /// Its name in metrics and logs.
    pub(crate) fn name(self) -> &'static str {
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
#[derive(Default)]
struct OfEndpoint {
    statuses: [AtomicU64; 4],
    took: Histogram,
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
        counts.took.count(took);
    }

    /// All of it as text; `memory` is what records on their way take, `held` what of it is in half bodies.
    pub(crate) fn text(&self, memory: usize, held: &Held) -> String {
        let mut text = Text::new("safeos_gateway_");
        let value = |count: &AtomicU64| count.load(Ordering::Relaxed);
        text.kind("requests_total", "counter");
        for (endpoint, counts) in Endpoint::ALL.iter().zip(&self.endpoints) {
            for (class, count) in CLASSES.iter().zip(&counts.statuses) {
                let name = endpoint.name();
                text.value(
                    "requests_total",
                    format_args!("{{endpoint=\"{name}\",status=\"{class}\"}}"),
                    value(count),
                );
            }
        }
        text.kind("request_seconds", "histogram");
        for (endpoint, counts) in Endpoint::ALL.iter().zip(&self.endpoints) {
            text.histogram("request_seconds", "endpoint", endpoint.name(), &counts.took);
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
            text.single(name, kind, count);
        }
        text.finish()
    }
}
