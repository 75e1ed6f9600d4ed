//! A `safed` that a program starts for itself, waits for and ends.
//!
//! What always holds here: its words go to memory, not to a file, for they may name files of the home; it keeps
//! no folder busy, and ends with nobody's terminal.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The time that a daemon has to begin to serve.
pub const READY_WITHIN: Duration = Duration::from_secs(30);
const ENDS_WITHIN: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(5);
const WORDS_BYTES: u64 = 4096;

/// A running `safed`.
pub struct Launched {
    child: Child,
    words: Option<File>,
    place: PathBuf,
}

/// The reason why a daemon is not ready.
pub enum NotReady {
    /// It has ended; its last line on stderr, without its name in front.
    Ended(ExitStatus, String),
    /// It has not begun to serve within [`READY_WITHIN`].
    Late,
    /// The caller does not want it any more.
    Unwanted,
    /// The system said no.
    System(io::Error),
}

impl Launched {
    /// Starts a daemon that serves at `place`, which its arguments name. In a session of its own: Ctrl-C and a closed
    /// terminal are not for it. `dies`: it gets SIGTERM when the thread that started it ends.
    pub fn start(command: &mut Command, place: PathBuf, dies: bool) -> io::Result<Self> {
        let words = memory().ok();
        let stderr = words.as_ref().and_then(|words| words.try_clone().ok());
        command
            .current_dir("/")
            .stdout(Stdio::null())
            .stderr(stderr.map_or_else(Stdio::null, Stdio::from));
        // SAFETY: between fork and exec only these calls are made, which take numbers and allocate nothing.
        unsafe {
            command.pre_exec(move || {
                let signal = libc::SIGTERM;
                if libc::setsid() < 0
                    || (dies && libc::prctl(libc::PR_SET_PDEATHSIG, signal, 0, 0, 0) != 0)
                {
                    return Err(io::Error::last_os_error());
                }
                Ok(())
            });
        }
        Ok(Self {
            child: command.spawn()?,
            words,
            place,
        })
    }

    /// Waits until it serves, or for as long as it is wanted.
    pub fn wait_ready(
        &mut self,
        serves: impl Fn() -> bool,
        wanted: impl Fn() -> bool,
    ) -> Result<(), NotReady> {
        let start = Instant::now();
        while !serves() {
            if let Some(status) = self.child.try_wait().map_err(NotReady::System)? {
                let words = self.last_words();
                let words = words.strip_prefix("safed: ").unwrap_or(&words).to_owned();
                return Err(NotReady::Ended(status, words));
            }
            if !wanted() {
                return Err(NotReady::Unwanted);
            }
            if start.elapsed() > READY_WITHIN {
                return Err(NotReady::Late);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// The last line it said on stderr.
    pub fn last_words(&mut self) -> String {
        let Some(words) = &mut self.words else {
            return String::new();
        };
        let mut text = Vec::new();
        let len = words.metadata().map_or(0, |meta| meta.len());
        let from = SeekFrom::Start(len.saturating_sub(WORDS_BYTES));
        let read = words
            .seek(from)
            .and_then(|_| words.take(WORDS_BYTES).read_to_end(&mut text));
        if read.is_err() {
            return String::new();
        }
        let text = String::from_utf8_lossy(&text);
        let last = text.lines().rev().find(|line| !line.trim().is_empty());
        last.unwrap_or_default().to_owned()
    }

    /// Asks it to unmount and end, waits, and makes sure that it has; `force` comes before it is killed. A mount that it
    /// left is taken away.
    pub fn end(&mut self, force: impl FnOnce()) {
        // SAFETY: a signal to a child that was not waited for, so the number is still its own.
        unsafe { libc::kill(self.child.id() as libc::pid_t, libc::SIGTERM) };
        let start = Instant::now();
        while !self.has_ended() {
            if start.elapsed() > ENDS_WITHIN {
                force();
                let _ = self.child.kill();
                let _ = self.child.wait();
                break;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        // A mount that cannot be taken away is told by the next daemon.
        let _ = crate::clear_dead(&self.place);
    }
}

/// A file without a name, in memory.
fn memory() -> io::Result<File> {
    // SAFETY: the name is a string that ends; the call touches nothing else.
    let fd = unsafe { libc::memfd_create(c"safed".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was made by this call and belongs to nothing else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) }.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn shell(script: &str) -> Launched {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null());
        let place = tempfile::tempdir().unwrap().path().to_owned();
        Launched::start(&mut command, place, true).unwrap()
    }

    #[test]
    fn the_last_words_of_one_that_ends_are_told() {
        let mut daemon = shell("echo more >&2; echo 'safed: no room' >&2; echo >&2; exit 3");
        match daemon.wait_ready(|| false, || true) {
            Err(NotReady::Ended(status, words)) => {
                assert_eq!((status.code(), words.as_str()), (Some(3), "no room"));
            }
            _ => panic!("it has ended"),
        }
        assert!(daemon.has_ended());
        daemon.end(|| panic!("nothing is to be forced"));
    }

    #[test]
    fn one_that_is_wanted_no_more_is_not_waited_for() {
        let mut daemon = shell("sleep 60");
        let waited = daemon.wait_ready(|| false, || false);
        assert!(matches!(waited, Err(NotReady::Unwanted)));
        assert!(!daemon.has_ended());
        daemon.end(|| panic!("it ends by itself"));
        assert!(daemon.has_ended());
    }
}
