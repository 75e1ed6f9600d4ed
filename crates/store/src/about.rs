//! A store's description of itself and of its records.

use std::time::Instant;

use safeos_record::{Address, Pointer};
use serde::{Deserialize, Serialize};

use crate::{Error, Kind};

/// The properties of a store, for the policies of the layers above.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Traits {
    /// Records are on this computer: reading one is as fast as a local cache, which is then pointless.
    pub local: bool,
    /// Records are paid for: publish seldom.
    pub paid: bool,
}

/// A record as [`Store::list`] shows it. Ordered by kind, then address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Entry {
    /// Chunk or pointer.
    pub kind: Kind,
    /// Where it lives.
    pub address: Address,
    /// Its length in bytes.
    pub len: u64,
}

/// How much a store holds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Stats {
    /// How many chunks.
    pub chunks: u64,
    /// How many pointers.
    pub pointers: u64,
    /// Bytes of all records together.
    pub bytes: u64,
}

/// Requests to a store elsewhere that have failed.
#[derive(Clone, Default, Debug)]
pub struct Failures {
    /// How many, also of those that were tried again and have succeeded then.
    pub count: u64,
    /// The last failure, and its time.
    pub last: Option<(Error, Instant)>,
    /// The start of the oldest awaited request without an answer, as far as that is counted.
    pub unanswered_since: Option<Instant>,
}

/// The outcome of waiting for a pointer to move.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Watched {
    /// It has moved: to this state, signed by its owner, or, without one, as the store says.
    Moved(Option<Pointer>),
    /// It is where it was, as far as can be told.
    Same,
    /// This store cannot tell; it is to be asked now and then.
    Unable,
}
