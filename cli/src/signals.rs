//! Signals, as a shell treats them.
//!
//! While a command runs, signals of the keyboard (Ctrl-C, Ctrl-\) go to the command alone, and signals
//! sent to `safe` (a closed terminal, a shutdown) are passed on to it. At any other time a signal asks
//! `safe` itself to stop; it then tidies up and ends.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::{Failure, Result};

static ASKED: AtomicI32 = AtomicI32::new(0);
static CHILD: Mutex<Option<Pid>> = Mutex::new(None);
static WATCHING: Once = Once::new();

/// From now on signals are noted or passed on instead of ending `safe` at once.
pub fn watch() -> Result<()> {
    let mut outcome = Ok(());
    WATCHING.call_once(|| {
        let watched = [
            SIGINT,
            SIGQUIT,
            SIGTERM,
            SIGHUP,
            // A limit on the size of files is told by the write that meets it. A handler, and no order to ignore the
            // signal, since a command that `safe` starts would inherit that.
            #[cfg(target_os = "linux")]
            libc::SIGXFSZ,
        ];
        outcome = Signals::new(watched)
            .map(|mut signals| {
                std::thread::spawn(move || signals.forever().for_each(arrived));
            })
            .map_err(|e| Failure::system("signals cannot be watched", &e));
    });
    outcome
}

fn arrived(signal: i32) {
    #[cfg(target_os = "linux")]
    if signal == libc::SIGXFSZ {
        return;
    }
    let child = CHILD.lock().unwrap_or_else(PoisonError::into_inner);
    match (*child, signal) {
        // The terminal sends these to the command as well.
        (Some(_), SIGINT | SIGQUIT) => {}
        (Some(child), _) => {
            if let Some(signal) = Signal::from_named_raw(signal) {
                let _ = kill_process(child, signal);
            }
        }
        (None, _) => ASKED.store(signal, Ordering::SeqCst),
    }
}

/// The signal that asked `safe` to stop, if one has, once.
pub fn asked() -> Option<i32> {
    match ASKED.swap(0, Ordering::SeqCst) {
        0 => None,
        signal => Some(signal),
    }
}

/// Sets the process that signals are passed on to. It must be there and not yet waited for.
pub fn pass_to(child: Option<Pid>) {
    *CHILD.lock().unwrap_or_else(PoisonError::into_inner) = child;
}

/// Asks with no signal under way whether the process has ended; once it has, none is passed on to it.
#[cfg(target_os = "redox")]
pub fn pass_unless<T>(
    ended: impl FnOnce() -> std::io::Result<Option<T>>,
) -> std::io::Result<Option<T>> {
    let mut child = CHILD.lock().unwrap_or_else(PoisonError::into_inner);
    let outcome = ended();
    if !matches!(outcome, Ok(None)) {
        *child = None;
    }
    outcome
}
