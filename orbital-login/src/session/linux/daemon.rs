//! The daemon that this program starts.

use std::path::Path;
use std::process::{Command, Stdio};

use safeos_control::Client;
use safeos_mountpoint::{Launched, NotReady, READY_WITHIN, clear_dead};

use super::Options;
use crate::user_error::UserError;

/// A running `safed`. It ends with the thread that started it.
pub(super) struct Daemon(Launched);

impl Daemon {
    /// Starts it and waits until it serves.
    pub(super) fn start(mount: &Path, options: &Options) -> Result<Self, UserError> {
        // A mount that cannot be taken away is told by the daemon.
        let _ = clear_dead(mount);
        let mut command = Command::new(&options.daemon);
        command
            .arg("--mount")
            .arg(mount)
            .arg("--state")
            .arg(&options.state)
            .args(["--store", &options.store])
            .stdin(Stdio::null());
        for name in safeos_control::SECRET_VARIABLES {
            command.env_remove(name);
        }
        let launched = Launched::start(&mut command, mount.to_owned(), true);
        let mut launched = launched.map_err(|error| {
            UserError::new("daemon_missing", format!("safed cannot be run: {error}"))
        })?;
        let ready = launched.wait_ready(|| Client::open(mount).is_ok(), || true);
        ready.map_err(|why| {
            launched.end(|| ());
            let message = match why {
                NotReady::Ended(_, words) if words.is_empty() => "it ended at once".to_owned(),
                NotReady::Ended(_, words) => words.chars().take(500).collect(),
                NotReady::System(error) => error.to_string(),
                NotReady::Late | NotReady::Unwanted => {
                    format!("it was not ready within {} seconds", READY_WITHIN.as_secs())
                }
            };
            UserError::new("daemon_failed", message)
        })?;
        Ok(Self(launched))
    }

    pub(super) fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// Asks it to unmount and end, and makes sure that it has.
    pub(super) fn end(&mut self) {
        self.0.end(|| ());
    }
}
