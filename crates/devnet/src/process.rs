//! Processes that end with this one.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::{Error, Result};

const LOOK_EVERY: Duration = Duration::from_millis(20);
const LOG_SHOWN: usize = 600;

/// A process and its log.
pub(crate) struct Process {
    what: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts `command` with only the needed part of our environment, and its output in a file.
    pub fn start(what: &str, mut command: Command, home: &Path, log: &Path) -> Result<Self> {
        let failed = |why: String| Error::Process {
            what: what.to_owned(),
            why,
        };
        let output = File::create(log)
            .and_then(|file| Ok((file.try_clone()?, file)))
            .map_err(|error| failed(format!("no log {}: {error}", log.display())))?;
        command
            .env_clear()
            .env("HOME", home)
            // A node's own program looks for newer versions of itself; nothing here reaches the internet.
            .env("HTTPS_PROXY", "http://127.0.0.1:9")
            .current_dir(home)
            .stdin(Stdio::null())
            .stdout(output.0)
            .stderr(output.1);
        let parent = std::process::id();
        // SAFETY: between fork and exec only system calls are made, which allocate nothing.
        unsafe {
            command.pre_exec(move || {
                // Ctrl-C is for us; we end them in order.
                libc::setsid();
                if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
                // Our parent may have gone before that.
                if u32::try_from(libc::getppid()) != Ok(parent) {
                    libc::_exit(1);
                }
                Ok(())
            });
        }
        let child = command.spawn().map_err(|error| {
            failed(format!(
                "{} cannot be run: {error}; SAFE_NODE and SAFE_ANVIL name the programs",
                Path::new(command.get_program()).display()
            ))
        })?;
        Ok(Self {
            what: what.to_owned(),
            log: log.to_owned(),
            child,
        })
    }

    /// An error if it has ended.
    pub fn check(&mut self) -> Result<()> {
        let ended = self.child.try_wait();
        match ended {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.ended(status)),
            Err(error) => Err(Error::Process {
                what: self.what.clone(),
                why: error.to_string(),
            }),
        }
    }

    fn ended(&self, status: ExitStatus) -> Error {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let tail: String = log.trim().chars().rev().take(LOG_SHOWN).collect();
        let tail: String = tail.chars().rev().collect();
        Error::Process {
            what: self.what.clone(),
            why: format!("it ended ({status}); its log ends with: {tail}"),
        }
    }

    /// Asks it to end.
    pub fn ask_to_end(&mut self) {
        self.signal(libc::SIGTERM);
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        self.signal(libc::SIGKILL);
        // It cannot refuse.
        let _ = self.child.wait();
    }

    /// Waits for its end; kills it after `limit`.
    pub fn end(&mut self, limit: Duration) {
        let start = Instant::now();
        while let Ok(None) = self.child.try_wait() {
            if start.elapsed() > limit {
                self.kill();
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn signal(&mut self, signal: i32) {
        if let (Ok(None), Ok(pid)) = (self.child.try_wait(), i32::try_from(self.child.id())) {
            // SAFETY: a plain system call; the child was not waited for yet, so the number is still its own.
            unsafe { libc::kill(pid, signal) };
        }
    }
}

/// A port of the loopback that is free now.
pub(crate) fn free_port() -> Result<u16> {
    // Free for UDP (nodes) and TCP (the chain) alike.
    let found = (0..64).find_map(|_| {
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").ok()?;
        let address = udp.local_addr().ok()?;
        std::net::TcpListener::bind(address).ok()?;
        Some(address.port())
    });
    found.ok_or_else(|| Error::NotReady("no port of 127.0.0.1 is free".into()))
}
