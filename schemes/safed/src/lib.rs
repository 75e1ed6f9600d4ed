//! The daemon that serves `safe:`: the signed-in users, the view of each caller, and the fronts that
//! show it to programs.
//!
//! What always holds here: a caller sees the session of its own uid and no other; a front only
//! translates; no lock is held while a volume or a store is at work; nothing a caller sends makes the
//! daemon panic, and if a handler did, that one request fails and the mount lives on.

pub mod control;
mod cursor;
pub mod daemon;
mod errno;
#[cfg(target_os = "linux")]
pub mod fuse;
pub mod insight;
#[cfg(target_os = "redox")]
mod lossy;
pub mod members;
pub mod namespace;
pub mod permission;
pub mod process;
pub mod scheme;
#[cfg(target_os = "linux")]
pub mod socket;
pub mod supervise;
