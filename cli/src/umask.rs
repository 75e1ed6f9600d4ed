//! The file mode creation mask. A mask that takes the owner's own bits away (`umask 777`) would lock the person out of
//! the state folder and the store that are made here, so it holds for the group and for others only. The command of
//! `safe run` gets the mask of its caller.

use std::sync::OnceLock;

use rustix::fs::Mode;
use rustix::process::umask;

static OF_CALLER: OnceLock<Mode> = OnceLock::new();

/// Keeps the owner's bits of every file that this process makes, and of those of the daemon that it starts.
pub fn keep_owner() {
    let callers = umask(Mode::RWXU | Mode::RWXG | Mode::RWXO);
    umask(callers - Mode::RWXU);
    let _ = OF_CALLER.set(callers);
}

/// Does `work` with the mask of the caller: processes started there inherit it.
pub fn as_called<T>(work: impl FnOnce() -> T) -> T {
    let Some(callers) = OF_CALLER.get() else {
        return work();
    };
    let own = umask(*callers);
    let done = work();
    umask(own);
    done
}
