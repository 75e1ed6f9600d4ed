//! A running daemon's facts about itself: metrics, and the contents of a fault report.
//!
//! What always holds here: numbers and the program's own words; no name, path, URL or secret. So it can be given away.

use safeos_session::Status;
use safeos_store::Parsed;
use safeos_telemetry::log;
use safeos_telemetry::metrics::{SESSIONS, Text};
use serde_json::{Value, json};

use crate::daemon::Daemon;

/// How the names of the metrics begin.
const PREFIX: &str = "safeos_daemon_";

/// The daemon's metrics, in the text format of Prometheus.
pub fn metrics(daemon: &Daemon) -> String {
    let all: Vec<Status> = statuses(daemon);
    let sum = |of: fn(&Status) -> u64| all.iter().map(of).sum::<u64>();
    let mut text = Text::new(PREFIX);
    SESSIONS.write(&mut text);
    for (name, kind, value) in [
        ("sessions", "gauge", all.len() as u64),
        ("home_bytes", "gauge", sum(|status| status.used_bytes)),
        ("home_nodes", "gauge", sum(|status| status.nodes)),
        ("cached_bytes", "gauge", sum(|status| status.cached_bytes)),
        (
            "unpublished_bytes",
            "gauge",
            sum(|status| status.unpublished_bytes),
        ),
        ("records_put_total", "counter", sum(|status| status.records)),
        (
            "offline_sessions",
            "gauge",
            sum(|status| u64::from(status.offline)),
        ),
        (
            "problems",
            "gauge",
            sum(|status| status.problems.len() as u64) + daemon.problems().len() as u64,
        ),
        ("uptime_seconds", "gauge", daemon.uptime().as_secs()),
    ] {
        text.single(name, kind, value);
    }
    for (name, value) in process() {
        text.single(name, "gauge", value);
    }
    text.finish()
}

/// The contents of a fault report: none of its text is personal.
pub fn doctor(daemon: &Daemon) -> Value {
    let sessions: Vec<Value> = statuses(daemon)
        .iter()
        .map(|status| {
            let waiting = status.waiting.as_ref();
            json!({
                "store": kind(&status.store),
                "offline": status.offline,
                "nodes": status.nodes,
                "used_bytes": status.used_bytes,
                "unpublished_bytes": status.unpublished_bytes,
                "failed_tries": waiting.map_or(0, |waiting| waiting.failed_tries),
                "failing_since": waiting.map_or("", |waiting| &waiting.failing_since),
                "records": status.records,
                "published": status.published,
                "problems": status.problems.len(),
            })
        })
        .collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "system": std::env::consts::OS,
        "machine": std::env::consts::ARCH,
        "uptime_seconds": daemon.uptime().as_secs(),
        "default_store": kind(&daemon.store),
        "problems": daemon.problems().len(),
        "sessions": sessions,
        "metrics": metrics(daemon),
        "log": log::recent(),
    })
}

fn statuses(daemon: &Daemon) -> Vec<Status> {
    daemon
        .uids()
        .into_iter()
        .filter_map(|uid| daemon.signed(uid))
        .map(|signed| signed.member.status())
        .collect()
}

/// The kind of a store's URL, without its address.
fn kind(url: &str) -> String {
    match safeos_store::parse(url) {
        Ok(Parsed::File(_)) => "file".to_owned(),
        Ok(Parsed::Http(gateways)) => {
            let kinds: Vec<&str> = gateways
                .iter()
                .map(|gateway| match gateway.starts_with("https:") {
                    true => "https",
                    false => "http",
                })
                .collect();
            kinds.join(",")
        }
        Ok(Parsed::Autonomi(named)) => match (named.manifest, named.head) {
            (None, None) => "autonomi",
            (Some(_), None) => "autonomi, local",
            (None, Some(_)) => "autonomi, its head elsewhere",
            (Some(_), Some(_)) => "autonomi, local, its head elsewhere",
        }
        .to_owned(),
        Err(_) => "unknown".to_owned(),
    }
}

/// The resources of this process, where the system reports them.
fn process() -> Vec<(&'static str, u64)> {
    let count = |folder: &str| {
        let entries = std::fs::read_dir(folder).ok()?;
        Some(entries.count() as u64)
    };
    let resident = || {
        let text = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kibibytes * 1024)
    };
    [
        ("memory_bytes", resident()),
        ("allocated_bytes", safeos_store::allocated_bytes()),
        ("open_files", count("/proc/self/fd")),
        ("threads", count("/proc/self/task")),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect()
}
