//! Where a program of the session asks that the session be covered (`safe lock`).
//!
//! What always holds here: it lies in a folder where only whoever runs this makes entries; a connection says nothing but that it
//! is there, and gets one line: `ok`, or why not.

use std::io::{self, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use crate::state::{Event, Tell};

/// The socket in its folder.
pub(super) const NAME: &str = "lock";
/// The window answers sooner, unless it is not there any more.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// Listens on a thread of its own; where.
pub(super) fn listen(folder: &Path, tell: Tell) -> io::Result<PathBuf> {
    let path = folder.join(NAME);
    let listener = UnixListener::bind(&path)?;
    let thread = std::thread::Builder::new().name("knock".to_owned());
    thread.spawn(move || {
        for asks in listener.incoming().flatten() {
            // Whoever has gone away needs no answer.
            let _ = answer(asks, &tell);
        }
    })?;
    Ok(path)
}

fn answer(mut asks: UnixStream, tell: &Tell) -> io::Result<()> {
    let (sender, hears) = mpsc::channel();
    tell(Event::LockWanted(Some(sender)));
    let line = match hears.recv_timeout(ANSWERS_WITHIN) {
        Ok(Ok(())) => "ok".to_owned(),
        Ok(Err(why)) => why,
        Err(_) => "the sign-in screen does not answer".to_owned(),
    };
    // Redox has no such time limit for these sockets; there a line never waits.
    if cfg!(not(target_os = "redox")) {
        asks.set_write_timeout(Some(ANSWERS_WITHIN))?;
    }
    writeln!(asks, "{line}")
}
