//! A parent that starts the daemon again when it dies, for systems whose init does not.
//!
//! What always holds here: readiness is told once, when the first daemon serves; a daemon that ended in
//! order, or was told to end, is not started again; one that never came to serve is given up after a few
//! tries, so that a mistake in its settings ends in a message and not in a loop.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::process::Signals;

/// Tries of a daemon that never served.
const TRIES: u32 = 3;
/// The first pause before another start; it doubles with each death.
const PAUSE_MIN: Duration = Duration::from_millis(250);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A daemon that lived for so long died of something new.
const LONG_LIFE: Duration = Duration::from_secs(60);

/// Keeps a daemon running until a signal asks for the end or the daemon ends in order. `command` makes the
/// daemon's command line, which gets the open file to tell its readiness to; `ready` runs once.
pub fn supervise(
    signals: &Signals,
    command: impl Fn(RawFd) -> Command,
    ready: impl Fn() + Send + Sync + 'static,
) -> Result<(), String> {
    let served = Arc::new(AtomicBool::new(false));
    let ready = Arc::new(ready);
    let mut pause = PAUSE_MIN;
    let mut tries = 0;
    loop {
        let begun = Instant::now();
        let mut child = start(&command, &served, &ready)
            .map_err(|error| format!("cannot start the daemon: {error}"))?;
        let Some(status) = wait(signals, &mut child).map_err(|error| {
            format!("waiting for the daemon failed: {error}; it goes on by itself")
        })?
        else {
            return end(signals, &mut child);
        };
        if status.success() {
            return Ok(());
        }
        tries += 1;
        if !served.load(Ordering::Acquire) && tries >= TRIES {
            return Err(format!(
                "gave up after {TRIES} tries: the daemon never came to serve ({status})"
            ));
        }
        if begun.elapsed() > LONG_LIFE {
            pause = PAUSE_MIN;
        }
        let _ = writeln!(
            io::stderr(),
            "safed: the daemon died ({status}); starting it again in {} ms",
            pause.as_millis()
        );
        let until = Instant::now() + pause;
        if signals.wait(|| Instant::now() >= until) {
            return Ok(());
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Starts a daemon; a thread passes on that it serves.
fn start(
    command: &impl Fn(RawFd) -> Command,
    served: &Arc<AtomicBool>,
    ready: &Arc<impl Fn() + Send + Sync + 'static>,
) -> io::Result<Child> {
    let (mut hears, says) = io::pipe()?;
    // SAFETY: changes a flag of a descriptor that is open until the call returns.
    if unsafe { libc::fcntl(says.as_raw_fd(), libc::F_SETFD, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let child = command(says.as_raw_fd()).spawn()?;
    // The daemon's end is the only one now: it closes when the daemon dies.
    drop(says);
    let (served, ready) = (Arc::clone(served), Arc::clone(ready));
    std::thread::Builder::new()
        .name("safed-ready".to_owned())
        .spawn(move || {
            let heard = hears.read_exact(&mut [0]).is_ok();
            if heard && !served.swap(true, Ordering::AcqRel) {
                ready();
            }
        })?;
    Ok(child)
}

/// Waits for the daemon to end; `None`: a signal asks for it.
fn wait(signals: &Signals, child: &mut Child) -> io::Result<Option<ExitStatus>> {
    let mut ended = Ok(None);
    signals.wait(|| {
        ended = child.try_wait();
        !matches!(ended, Ok(None))
    });
    ended
}

/// Tells the daemon to end, and waits until it has published or kept what there is. Signals that come meanwhile are passed on:
/// the second one is for a daemon that waits for its store.
fn end(signals: &Signals, child: &mut Child) -> Result<(), String> {
    loop {
        // SAFETY: plain numbers; the child was not waited for, so the id is still its own.
        unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGTERM) };
        match wait(signals, child) {
            Ok(None) => {}
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("the daemon ended with {status}")),
            Err(error) => return Err(format!("waiting for the daemon to end failed: {error}")),
        }
    }
}
