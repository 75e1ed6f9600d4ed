//! The daemon that this program starts.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::Options;
use super::child::own_session;
use crate::user_error::UserError;

const READY_WITHIN: Duration = Duration::from_secs(30);
const ENDS_WITHIN: Duration = Duration::from_secs(20);
/// What of its last words is read.
const WORDS_BYTES: u64 = 4096;

/// A running `safed`.
pub(super) struct Daemon {
    child: Child,
    mount: PathBuf,
}

impl Daemon {
    /// Starts it and waits until it serves.
    pub(super) fn start(mount: &Path, options: &Options) -> Result<Self, UserError> {
        unmount_dead(mount);
        let mut command = Command::new(&options.daemon);
        command
            .arg("--mount")
            .arg(mount)
            .arg("--state")
            .arg(&options.state)
            .args(["--store", &options.store])
            .current_dir("/")
            .env_remove("SAFE_PASSWORD_FILE")
            .env_remove("SAFE_NEW_PASSWORD_FILE")
            .env_remove("SAFE_SECRET_KEY_FILE")
            .env_remove("SAFE_RECOVERY_KEY_FILE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // SAFETY: between fork and exec only system calls are made, which allocate nothing.
        unsafe { command.pre_exec(|| own_session(libc::SIGTERM)) };
        let mut child = command.spawn().map_err(|error| {
            UserError::new("daemon_missing", format!("safed cannot be run: {error}"))
        })?;
        let (said, hear) = mpsc::channel();
        let stdout = child.stdout.take();
        let stderr = child.stderr.take();
        let listening = std::thread::Builder::new()
            .name("safed".to_owned())
            .spawn(move || {
                let mut line = String::new();
                let ready = stdout.is_some_and(|out| {
                    BufReader::new(out.take(WORDS_BYTES))
                        .read_line(&mut line)
                        .is_ok_and(|count| count > 0)
                });
                let _ = said.send(ready);
                // Its words are read to the end, so that it is never kept waiting; the last line is kept.
                let mut last = String::new();
                for line in stderr
                    .into_iter()
                    .flat_map(|err| BufReader::new(err).lines())
                {
                    match line {
                        Ok(line) => last = line.chars().take(500).collect(),
                        Err(_) => break,
                    }
                }
                last
            });
        let mut daemon = Self {
            child,
            mount: mount.to_owned(),
        };
        match hear.recv_timeout(READY_WITHIN) {
            Ok(true) => Ok(daemon),
            answer => {
                daemon.end();
                let last = listening
                    .ok()
                    .and_then(|thread| thread.join().ok())
                    .unwrap_or_default();
                let message = match (answer, last.strip_prefix("safed: ").unwrap_or(&last)) {
                    (Err(_), _) => {
                        format!("it was not ready within {} seconds", READY_WITHIN.as_secs())
                    }
                    (Ok(_), "") => "it ended at once".to_owned(),
                    (Ok(_), last) => last.to_owned(),
                };
                Err(UserError::new("daemon_failed", message))
            }
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to unmount and end, and makes sure that it has.
    pub(super) fn end(&mut self) {
        // SAFETY: a signal to a child that was not waited for, so the number is still its own.
        unsafe { libc::kill(self.child.id() as libc::pid_t, libc::SIGTERM) };
        let start = Instant::now();
        while start.elapsed() < ENDS_WITHIN {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return unmount_dead(&self.mount);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        unmount_dead(&self.mount);
    }
}

/// Takes away the mount of a daemon that was killed.
fn unmount_dead(mount: &Path) {
    // What cannot be taken away is told by the next daemon.
    let _ = safeos_mountpoint::clear_dead(mount);
}
