//! The attributes of one node in a published tree.

/// The permission bits that are taken over: no write permission for others.
pub const MODE_TAKEN: u32 = 0o755;

/// The kind of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Folder,
    File,
    Link,
    /// Nothing to read; its kind, in words.
    Special(&'static str),
}

/// The attributes that `stat` shows.
#[derive(Clone, Debug)]
pub struct Seen {
    pub kind: Kind,
    pub mode: u32,
    pub size: u64,
    /// How much of it is stored, as the tree says.
    pub stored: u64,
    pub ino: u64,
    /// Whether it has more names than this one.
    pub shared: bool,
    /// Seconds and nanoseconds of the last modification.
    pub time: (i64, i64),
}
