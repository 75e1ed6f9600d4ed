use serde::{Deserialize, Serialize};

/// One of the two kinds of record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Immutable; the address is the hash of the bytes.
    Chunk,
    /// Mutable; signed by its owner.
    Pointer,
}
