//! Programs that a session has left running.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// They are asked to end, and get so long.
const ASKED_FOR: Duration = Duration::from_secs(3);
/// Then they are ended, which takes effect within this.
const KILLED_WITHIN: Duration = Duration::from_secs(2);

/// Ends all that descend from this program, except one and what descends from it.
pub(super) fn end_all(except: impl Fn(libc::pid_t) -> bool) {
    for (signals, within) in [
        (&[libc::SIGHUP, libc::SIGTERM][..], ASKED_FOR),
        (&[libc::SIGKILL][..], KILLED_WITHIN),
    ] {
        let start = Instant::now();
        let mut told = Vec::new();
        loop {
            let left = descendants(&except);
            if left.is_empty() {
                return;
            }
            if start.elapsed() > within {
                break;
            }
            for pid in left {
                if !told.contains(&pid) {
                    told.push(pid);
                    for signal in signals {
                        // SAFETY: plain system call; the process descends from us, and those that have
                        // ended keep their number until we wait for them.
                        unsafe { libc::kill(pid, *signal) };
                    }
                }
                // SAFETY: asks for one child of ours that has ended, for no status.
                unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) };
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The numbers of all processes below this one.
fn descendants(except: &dyn Fn(libc::pid_t) -> bool) -> Vec<libc::pid_t> {
    let mut parents: HashMap<libc::pid_t, libc::pid_t> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        if let Some(pid) = pid
            && let Some(parent) = parent(pid)
        {
            parents.insert(pid, parent);
        }
    }
    let own = std::process::id() as libc::pid_t;
    let below = |pid: libc::pid_t| {
        let mut at = pid;
        // No chain of parents is longer than there are processes.
        for _ in 0..parents.len() {
            if except(at) {
                return false;
            }
            match parents.get(&at) {
                Some(parent) if *parent == own => return true,
                Some(parent) => at = *parent,
                None => return false,
            }
        }
        false
    };
    parents.keys().copied().filter(|pid| below(*pid)).collect()
}

/// Whether this process runs that program.
pub(super) fn runs(pid: libc::pid_t, program: &Path) -> bool {
    let runs = fs::read_link(format!("/proc/{pid}/exe"));
    runs.is_ok_and(|runs| program.canonicalize().is_ok_and(|program| program == runs))
}

/// The parent, from `/proc/PID/stat`: the second field after the name, which stands in parentheses and
/// may itself hold some.
fn parent(pid: libc::pid_t) -> Option<libc::pid_t> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest = &stat[stat.rfind(')')? + 1..];
    rest.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
pub(super) mod tests {
    use std::process::{Command, Stdio};
    use std::sync::Mutex;

    use super::*;

    /// Children of the test program are everybody's: one test at a time has some.
    pub(in crate::session::linux) static CHILDREN: Mutex<()> = Mutex::new(());

    #[test]
    fn children_and_their_children_are_found_and_ended() {
        let _alone = CHILDREN.lock();
        let mut child = Command::new("sh")
            .args(["-c", "trap '' TERM HUP; sleep 60 & sleep 60; true"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id() as libc::pid_t;
        let start = Instant::now();
        while descendants(&|_| false).len() < 3 && start.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(descendants(&|_| false).contains(&pid));
        assert!(descendants(&|other| other == pid).is_empty());
        let shell = Path::new("/bin/sh");
        assert!(runs(pid, shell) && !runs(pid, Path::new("/bin/sleep")));
        assert!(descendants(&|other| runs(other, shell)).is_empty());
        end_all(|_| false);
        assert!(child.try_wait().is_err() || child.wait().is_ok());
        assert!(!descendants(&|_| false).contains(&pid));
    }
}
