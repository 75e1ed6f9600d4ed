//! How much room a disk has.

use std::path::Path;

/// The bytes of the place where something is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    /// All of them.
    pub total: u64,
    /// Those that can still be had.
    pub free: u64,
}

impl Room {
    /// The room of the disk that `path` is on, or would be on: the nearest folder above it that is there says so.
    /// `None` where the system does not know.
    pub fn of_disk(path: &Path) -> Option<Self> {
        path.ancestors().find_map(|place| {
            let found = rustix::fs::statvfs(place).ok()?;
            let room = Self {
                total: found.f_blocks.saturating_mul(found.f_frsize),
                free: found.f_bavail.saturating_mul(found.f_frsize),
            };
            (room.total > 0).then_some(room)
        })
    }

    /// The smaller one of two places that both have to hold the same.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if other.free < self.free { other } else { self }
    }
}
