//! The launcher that is waited for on one thread, and can be ended from another.
//!
//! What always holds here: a signal goes to the launcher or to nobody: its number is given away only after it was forgotten
//! here.

use std::io;
use std::process::{Child, ExitStatus};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// It is asked to end, and gets so long.
const ASKED_FOR: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The number of the running launcher.
#[derive(Default)]
pub(super) struct Launcher(Mutex<Option<libc::pid_t>>);

impl Launcher {
    /// Waits for its end; calls `started` when it can be ended from elsewhere.
    pub(super) fn wait_for(
        &self,
        mut child: Child,
        started: &mut dyn FnMut(),
    ) -> io::Result<ExitStatus> {
        let pid = child.id() as libc::pid_t;
        self.set(Some(pid));
        started();
        // Its number stays its own until it is waited for in earnest.
        // SAFETY: a `siginfo_t` is plain numbers, for which zero is valid; it lives until the call returns.
        let waited = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            loop {
                let options = libc::WEXITED | libc::WNOWAIT;
                let done = libc::waitid(libc::P_PID, pid as libc::id_t, &raw mut info, options);
                let error = io::Error::last_os_error();
                if done == 0 {
                    break Ok(());
                } else if error.kind() != io::ErrorKind::Interrupted {
                    break Err(error);
                }
            }
        };
        self.set(None);
        waited.and_then(|()| child.wait())
    }

    /// Asks it to end, and ends it if it does not.
    pub(super) fn end(&self) {
        for signal in [libc::SIGHUP, libc::SIGTERM] {
            self.tell(signal);
        }
        let start = Instant::now();
        while self.is_running() && start.elapsed() < ASKED_FOR {
            std::thread::sleep(LOOK_EVERY);
        }
        self.tell(libc::SIGKILL);
    }

    fn tell(&self, signal: libc::c_int) {
        let pid = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = *pid {
            // SAFETY: plain system call; the launcher leads a group of its own, which has its number.
            unsafe { libc::kill(-pid, signal) };
        }
    }

    fn is_running(&self) -> bool {
        let pid = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pid.is_some()
    }

    fn set(&self, pid: Option<libc::pid_t>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = pid;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::Command;
    use std::sync::Arc;

    use super::super::programs::tests::CHILDREN;
    use super::*;

    #[test]
    fn it_ends_when_it_is_told_also_when_it_does_not_listen() {
        let _alone = CHILDREN.lock();
        for script in ["sleep 60", "trap '' HUP TERM; sleep 60; sleep 60"] {
            let launcher = Arc::new(Launcher::default());
            // There is none yet: nobody is told.
            launcher.end();
            let child = Command::new("sh")
                .args(["-c", script])
                .process_group(0)
                .spawn()
                .unwrap();
            let other = Arc::clone(&launcher);
            let mut thread = None;
            let mut started = || {
                let other = Arc::clone(&other);
                thread = Some(std::thread::spawn(move || other.end()));
            };
            let status = launcher.wait_for(child, &mut started).unwrap();
            assert!(status.signal().is_some(), "{status}");
            thread.unwrap().join().unwrap();
            assert!(!launcher.is_running());
        }
    }
}
