//! Which programs still use a mount: by an open file, a mapped one, or as their folder.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use crate::dirs::MOUNT;

/// A program that uses the mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountUser {
    /// Its process id.
    pub pid: i32,
    /// Its name.
    pub name: String,
    /// Whether it has a file there open for writing.
    pub writes: bool,
    /// Whether it was started inside the session: it has the session's SAFE_MOUNT.
    pub ours: bool,
}

/// Every program of this user (of everybody, for root) that uses something under `mount`.
pub fn find(mount: &Path) -> Vec<MountUser> {
    let own = std::process::id();
    // As the kernel names it.
    let mount = &mount.canonicalize().unwrap_or_else(|_| mount.to_owned());
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<i32>().ok())
        else {
            continue;
        };
        if u32::try_from(pid) == Ok(own) {
            continue;
        }
        let process = entry.path();
        if uses(&process, mount) {
            found.push(MountUser {
                pid,
                writes: writes(&process, mount),
                name: fs::read_to_string(process.join("comm"))
                    .map(|name| name.trim_end().to_owned())
                    .unwrap_or_default(),
                ours: started_inside(&process, mount),
            });
        }
    }
    found.sort_by_key(|holder| holder.pid);
    found
}

/// Sends a signal to those of them that were started inside the session.
pub fn signal(holders: &[MountUser], signal: Signal) {
    for holder in holders.iter().filter(|holder| holder.ours) {
        if let Some(pid) = Pid::from_raw(holder.pid) {
            let _ = kill_process(pid, signal);
        }
    }
}

/// “git (1234), bash (1250)”.
pub fn names(holders: &[MountUser]) -> String {
    const SHOWN_MAX: usize = 5;
    let mut text = holders
        .iter()
        .take(SHOWN_MAX)
        .map(|holder| format!("{} ({})", holder.name, holder.pid))
        .collect::<Vec<_>>()
        .join(", ");
    if holders.len() > SHOWN_MAX {
        text.push_str(&format!(" and {} more", holders.len() - SHOWN_MAX));
    }
    text
}

fn uses(process: &Path, mount: &Path) -> bool {
    let link = |name: &str| fs::read_link(process.join(name)).is_ok_and(|to| to.starts_with(mount));
    if link("cwd") || link("root") || link("exe") {
        return true;
    }
    let open = fs::read_dir(process.join("fd"))
        .into_iter()
        .flatten()
        .flatten()
        .any(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.starts_with(mount)));
    open || fs::read_dir(process.join("map_files"))
        .into_iter()
        .flatten()
        .flatten()
        .any(|map| fs::read_link(map.path()).is_ok_and(|to| to.starts_with(mount)))
}

fn writes(process: &Path, mount: &Path) -> bool {
    fs::read_dir(process.join("fd"))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.starts_with(mount)))
        .any(|fd| {
            let about = fs::read_to_string(process.join("fdinfo").join(fd.file_name()));
            let flags = about.ok().and_then(|about| {
                let line = about.lines().find_map(|line| line.strip_prefix("flags:"))?;
                u32::from_str_radix(line.trim(), 8).ok()
            });
            // The last two bits are 0 where it can only be read.
            flags.is_some_and(|flags| flags & 3 != 0)
        })
}

fn started_inside(process: &Path, mount: &Path) -> bool {
    let mut wanted = OsString::from(MOUNT);
    wanted.push("=");
    wanted.push(mount);
    fs::read(process.join("environ"))
        .is_ok_and(|all| all.split(|b| *b == 0).any(|one| one == wanted.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_program_in_the_folder_is_found_and_can_be_ended() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        assert_eq!(find(&folder), []);
        let mut child = Command::new("sleep")
            .arg("60")
            .current_dir(&folder)
            .env(MOUNT, &folder)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_secs(10);
        let found = loop {
            let found = find(&folder);
            if found.first().is_some_and(|holder| holder.ours) || Instant::now() > until {
                break found;
            }
        };
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].pid, i32::try_from(child.id()).unwrap());
        assert!(found[0].ours);
        assert!(names(&found).contains("sleep"));
        signal(&found, Signal::TERM);
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn a_program_from_elsewhere_is_not_ended() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let mut child = Command::new("sleep")
            .arg("60")
            .current_dir(&folder)
            .env_remove(MOUNT)
            .spawn()
            .unwrap();
        let found = find(&folder);
        signal(&found, Signal::TERM);
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(found.iter().filter(|holder| holder.ours).count(), 0);
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
