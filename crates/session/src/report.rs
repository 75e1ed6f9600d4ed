//! Reports of a session: progress, state, and the outcome of operations.

use serde::{Deserialize, Serialize};

use crate::Ino;

/// A progress report of a long operation.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Step {
    /// The current step: `finding the account`, `uploading`, `checking` …
    pub what: String,
    /// How much of it is done.
    pub done: u64,
    /// How much there is; 0 when not known.
    pub total: u64,
    /// The unit of the counts: `bytes`, `records`, `files`; empty when nothing is counted.
    pub unit: String,
}

/// Receives the progress of a long operation, and may stop it.
pub trait Progress: Send + Sync {
    /// Says what is being done.
    fn step(&self, step: Step);

    /// Whether the person has asked to stop.
    fn stopped(&self) -> bool {
        false
    }

    /// Whether the person wants to go on waiting for a store that does not answer, also where the home opens without
    /// it.
    fn waits(&self) -> bool {
        false
    }
}

/// Ignores all progress.
impl Progress for () {
    fn step(&self, _: Step) {}
}

/// A published state of the home.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its folder under `snapshots/`: the UTC time, as `2026-11-22T10:11:12.123Z`.
    pub name: String,
    /// The address of its head chunk.
    pub head: String,
    /// The computer that made it.
    pub computer: String,
    /// Bytes of records it added.
    pub added_bytes: u64,
}

/// The report of `status` (design section 6).
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The account's name.
    pub account: String,
    /// The store's URL.
    pub store: String,
    /// Whether the store is out of reach now.
    pub offline: bool,
    /// Bytes of all files, as far as known without walking the home.
    pub used_bytes: u64,
    /// Bytes of memory that its caches hold; they have limits.
    #[serde(skip)]
    pub cached_bytes: u64,
    /// Nodes in the home.
    pub nodes: u64,
    /// Bytes written and not published yet.
    pub unpublished_bytes: u64,
    /// How it stands with them; nothing when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// Records this session has put.
    pub records: u64,
    /// Their cost, in words of the store; empty where nothing is paid.
    pub cost: String,
    /// When the newest commit was published, UTC; empty before the first.
    pub published: String,
    /// Errors met in the background or on damaged files, newest last, at most 100.
    pub problems: Vec<String>,
}

/// Changes that wait to be published.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Waiting {
    /// Bytes written and not published yet.
    pub bytes: u64,
    /// When the oldest of them was written, as far as that is known: UTC, `2026-11-22T10:11:12Z`.
    pub since: String,
    /// The obstacle, in words: the failure of the last try, or of one that is under way. Empty when there is none.
    pub why: String,
    /// Tries that have failed, one after the other, without having brought anything to the store.
    pub failed_tries: u32,
    /// When the first of them has failed, UTC; empty if none has.
    pub failing_since: String,
    /// When it is tried again by itself, at the latest, UTC; empty while a try is under way or about to be.
    pub next_try: String,
}

/// How much waits and since when: `8.1 MiB, written since 2026-11-22T10:11:12Z`.
impl std::fmt::Display for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
        let mut size = self.bytes as f64;
        let mut unit = 0;
        while size >= 1024.0 && unit + 1 < UNITS.len() {
            size /= 1024.0;
            unit += 1;
        }
        let digits = usize::from(unit > 0);
        write!(
            f,
            "{size:.digits$} {}, written since {}",
            UNITS.get(unit).copied().unwrap_or_default(),
            self.since
        )
    }
}

/// The outcome of a publish.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Published {
    /// Whether there was anything to publish.
    pub changed: bool,
    /// Records uploaded.
    pub records: u64,
    /// Bytes uploaded.
    pub bytes: u64,
    /// Names given to conflicting versions, when another computer's changes were merged.
    pub conflicts: Vec<String>,
}

impl Published {
    /// The sum of two publishes, one after the other.
    pub(crate) fn and(mut self, later: Self) -> Self {
        self.changed |= later.changed;
        self.records += later.records;
        self.bytes += later.bytes;
        self.conflicts.extend(later.conflicts);
        self
    }
}

/// The outcome of a check.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Checked {
    /// Records read.
    pub records: u64,
    /// Files and folders looked at, in all commits.
    pub nodes: u64,
    /// One line for each damaged or missing thing, with the path it concerns.
    pub damaged: Vec<String>,
}

/// The outcome of a collection.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Collected {
    /// Records removed (or that would be, in a dry run).
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Records that were kept because other computers at work may need them.
    #[serde(default)]
    pub kept_records: u64,
    /// Their bytes.
    #[serde(default)]
    pub kept_bytes: u64,
    /// These computers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at_work: Vec<AtWork>,
}

/// A computer that may have put records that nothing published refers to yet.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct AtWork {
    /// Its name.
    pub computer: String,
    /// Since when, by its own clock: a time in UTC; empty where that is not known.
    pub since: String,
    /// When it was at work last, by its own clock.
    pub last: String,
}

/// The outcome of a copy to another store.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Copied {
    /// Records put.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Records that were there already.
    pub skipped: u64,
}

/// A change in the home that did not come through the front (a merge): caches must forget it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Content or attributes of a node.
    Node(Ino),
    /// The node that a name in a directory names.
    Entry(Ino, Vec<u8>),
}
