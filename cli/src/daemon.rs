//! The daemon `safed`, as the commands see it.
//!
//! Where homes are mounted, a command starts a daemon of its own for a mount point and ends it again. On
//! Redox there is one for the whole computer: init starts it, it serves the scheme `safe`, and commands
//! only talk to it.

#[cfg(not(target_os = "redox"))]
mod managed_daemon;
#[cfg(target_os = "redox")]
mod system;

#[cfg(not(target_os = "redox"))]
pub use managed_daemon::{
    Daemon, Temporary, end_other, is_starting, prepare, starting, unprepare, wait_ended,
};
#[cfg(target_os = "redox")]
pub use system::{
    Daemon, Temporary, end_other, is_starting, prepare, starting, unprepare, wait_ended,
};

/// The options of a mount.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct MountOptions {
    /// Root gets in too.
    pub allow_root: bool,
    /// Set-id programs and device nodes work, for root alone.
    pub suid_dev: bool,
}

/// Whether one daemon serves the whole computer, at a place that is always there.
pub const SHARED: bool = cfg!(target_os = "redox");

/// Where `safe:` is when one daemon serves the whole computer.
pub const PLACE: &str = "/scheme/safe";
