//! Mounts whose daemon was killed.

use std::path::Path;

/// Takes a mount away whose daemon was killed; whether there was one.
#[cfg(not(target_os = "redox"))]
pub fn clear_dead(mount: &Path) -> bool {
    safeos_mountpoint::clear_dead(mount).unwrap_or(false)
}

/// No mount outlives the one daemon there: it serves others too.
#[cfg(target_os = "redox")]
pub fn clear_dead(_: &Path) -> bool {
    false
}
