//! The daemon of the whole computer: it is there or it is not; no command starts or ends it.

use std::path::{Path, PathBuf};

use super::{MountOptions, PLACE};
use crate::dirs::{self, Dirs};
use crate::failure::{Failure, Result};
use crate::output::Output;

/// The running `safed`.
pub struct Daemon;

impl Daemon {
    /// Sees that it is there. The store is said in the request that opens the account.
    pub fn start(_: &Dirs, _: &str, mount: &Path, _bound: bool) -> Result<Self> {
        if dirs::answers(mount) {
            return Ok(Self);
        }
        Err(Failure::new(
            "daemon_missing",
            format!(
                "nothing serves {}: see whether safed runs (ps) and what it said when the computer started (/scheme/sys/log)",
                mount.display()
            ),
        ))
    }

    /// The same; nothing is mounted here, so the options are unused.
    pub fn start_as(
        dirs: &Dirs,
        store: &str,
        mount: &Path,
        bound: bool,
        options: MountOptions,
    ) -> Result<Self> {
        if options != MountOptions::default() {
            return Err(Failure::usage(
                "--allow-root and --suid-dev are for mounts; here the daemon checks who may do what",
            ));
        }
        Self::start(dirs, store, mount, bound)
    }

    /// The same: nothing is mounted here ever.
    pub fn start_unmounted(dirs: &Dirs, store: &str, place: &Path) -> Result<Self> {
        Self::start(dirs, store, place, true)
    }

    /// No process of ours.
    pub fn pid(&self) -> i32 {
        0
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        !dirs::answers(Path::new(PLACE))
    }

    /// Its output goes to the system's log.
    pub fn said(&mut self) -> String {
        "its last words are in the system's log".to_owned()
    }

    /// It serves others too: it stays.
    pub fn end(&mut self) {}
}

/// It serves others too: it stays.
pub fn end_other(_: Option<i32>, _: &Path) -> Result<()> {
    Ok(())
}

/// It serves others too: it stays.
pub fn wait_ended(_: &Path) {}

/// The place is always there.
pub fn prepare(_: &Path, _: Output) -> Result<bool> {
    Ok(false)
}

/// The place is always there.
pub fn unprepare(_: &Path) {}

/// Nothing is started, so no other command is kept from it.
pub struct Starting;

/// See [`Starting`].
pub fn starting(_: &Dirs, _: &Path) -> Result<Starting> {
    Ok(Starting)
}

/// The daemon says whether a session is open; it is never about to start.
pub fn is_starting(_: &Dirs, _: &Path) -> bool {
    false
}

/// The place of a session for the time of one command: the same as any other.
pub struct Temporary;

impl Temporary {
    /// There is nothing to make.
    pub fn new() -> Result<Self> {
        Ok(Self)
    }

    /// Where the scheme is.
    pub fn mount(&self) -> PathBuf {
        PLACE.into()
    }
}
