//! A folder of one test, and nothing of it left afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::run::say;

// Short, as are all names here: the path of a socket has 107 bytes, and the suites make some.
const PREFIX: &str = "sfs-";

/// A new folder for one test. Dropping it ends the daemons that work in it, unmounts what is
/// mounted in it and removes it.
pub struct TestDir {
    path: PathBuf,
}

impl TestDir {
    /// Makes one in the temporary folder.
    pub fn new() -> Self {
        static SWEEP: Once = Once::new();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let parent = std::env::temp_dir().canonicalize().unwrap();
        SWEEP.call_once(|| sweep(&parent));
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("{PREFIX}{}-{count}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self { path }
    }

    /// Makes one on a tmpfs of its own of at most `bytes`, so that a program that runs wild in it cannot fill the
    /// machine. Needs root; see [`needs_root`].
    pub fn capped(bytes: u64) -> Self {
        let place = Self::new();
        let done = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={bytes},mode=755"),
                "tmpfs",
            ])
            .arg(&place.path)
            .status()
            .unwrap();
        assert!(done.success(), "mounting a tmpfs of {bytes} bytes failed");
        place
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder in it, made if it is not there.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.path.join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }
}

impl Default for TestDir {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

fn remove(path: &Path) {
    for pid in processes_of(path) {
        // SAFETY: plain system call; the process names our own folder as its state.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
    let start = Instant::now();
    while !processes_of(path).is_empty() && start.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(5));
    }
    // Innermost first.
    let mut mounts = mounts_in(path);
    mounts.sort_by_key(|mount| std::cmp::Reverse(mount.as_os_str().len()));
    for mount in mounts {
        detach(&mount);
    }
    if mounts_in(path).is_empty() {
        // A mount point without a mount cannot be written by its owner, who then cannot empty it either.
        let _ = Command::new("chmod")
            .args(["-R", "u+w"])
            .arg(path)
            .stderr(Stdio::null())
            .status();
        let _ = fs::remove_dir_all(path);
    }
}

/// Removes what tests left behind that were killed.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| {
            name.strip_prefix(PREFIX)?
                .split('-')
                .next()?
                .parse::<u32>()
                .ok()
        });
        if let Some(pid) = pid
            && !Path::new(&format!("/proc/{pid}")).exists()
        {
            remove(&entry.path());
        }
    }
}

/// The daemons whose `SAFE_STATE` lies in `folder`.
pub fn processes_of(folder: &Path) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|n| n.parse::<i32>().ok())
        else {
            continue;
        };
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if name.trim() != "safed" {
            continue;
        }
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        let state = environment
            .split(|byte| *byte == 0)
            .find_map(|variable| variable.strip_prefix(b"SAFE_STATE="));
        if let Some(state) = state
            && Path::new(&*String::from_utf8_lossy(state)).starts_with(folder)
        {
            found.push(pid);
        }
    }
    found
}

/// Takes a mount away, whatever still uses it.
pub fn detach(mount: &Path) {
    for program in [&["umount", "-l"][..], &["fusermount3", "-u", "-z"][..]] {
        let done = Command::new(program[0])
            .args(&program[1..])
            .arg(mount)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if done.is_ok_and(|status| status.success()) {
            return;
        }
    }
}

/// Everything mounted at or under `folder`.
pub fn mounts_in(folder: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mounts = table.lines().filter_map(|line| line.split(' ').nth(1));
    mounts
        .map(|mount| PathBuf::from(mount.replace("\\040", " ")))
        .filter(|mount| mount.starts_with(folder))
        .collect()
}

/// Whether this is root; if not, says on standard error that the test `what` is skipped.
pub fn needs_root(what: &str) -> bool {
    // SAFETY: takes nothing and cannot fail.
    let root = unsafe { libc::geteuid() == 0 };
    if !root {
        say(&format!("SKIPPED: {what} needs root"));
    }
    root
}
