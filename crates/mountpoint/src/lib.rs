//! The folder that a home is mounted at, on Linux, and the daemon that a program starts for it.
//!
//! What always holds here: only the mount that was examined is unmounted ([`MountPoint`]), whatever was renamed
//! meanwhile; while nothing is mounted on such a folder, nothing can be written below its `home` ([`guard`]).
#![cfg(target_os = "linux")]

pub mod guard;
mod launch;
mod mount_point;
mod table;

pub use launch::{Launched, NotReady, READY_WITHIN};
pub use mount_point::{MountPoint, Seen, clear_dead, is_dead};
pub use table::{Entry, entry};

/// The source that the table of mounts names for a home.
pub const SOURCE: &str = "safe";
/// Mounts and unmounts for users other than root.
pub const HELPER: &str = "fusermount3";
