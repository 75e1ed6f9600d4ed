//! Every mount of this run, so that none outlives it: not after an error, not after Ctrl-C.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

static MOUNTS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
static FOLDER: Mutex<Option<PathBuf>> = Mutex::new(None);

const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(120);

/// Says that something is about to be mounted at `mount`.
pub fn remember(mount: &Path) {
    let mut mounts = MOUNTS.lock();
    if !mounts.iter().any(|m| m == mount) {
        mounts.push(mount.to_path_buf());
    }
}

/// Says that nothing is mounted at `mount` any more.
pub fn forget(mount: &Path) {
    MOUNTS.lock().retain(|m| m != mount);
}

/// Makes Ctrl-C and SIGTERM unmount everything and remove `folder` before the program ends.
///
/// The program becomes its own cleaner (`--clean-up`): what was being measured stops at once, instead of
/// going on in a folder that is being removed.
pub fn clean_up_on_signal(folder: &Path) -> Result<(), String> {
    let folder = folder.to_path_buf();
    *FOLDER.lock() = Some(folder.clone());
    ctrlc::set_handler(move || {
        eprintln!("\nstopped: unmounting and cleaning up");
        let failed = match std::env::current_exe() {
            Ok(me) => Command::new(me).arg("--clean-up").arg(&folder).exec(),
            Err(e) => e,
        };
        eprintln!(
            "safeos-bench: {}: not cleaned up: {failed}",
            folder.display()
        );
        std::process::exit(130);
    })
    .map_err(|e| format!("the handler for Ctrl-C: {e}"))
}

/// Unmounts whatever is still mounted and removes the work folder.
pub fn clean_up() {
    MOUNTS.lock().clear();
    let folder = FOLDER.lock().take();
    if let Some(folder) = folder {
        clean_up_folder(&folder);
    }
}

/// Ends the daemons that work in `folder`, unmounts everything in it and removes it.
pub fn clean_up_folder(folder: &Path) {
    let daemons = safe_daemons(folder);
    for signal in [libc::SIGTERM, libc::SIGKILL] {
        for pid in safe_daemons(folder)
            .iter()
            .filter(|pid| daemons.contains(pid))
        {
            // SAFETY: plain system call on a daemon whose state lies in our folder.
            unsafe { libc::kill(*pid, signal) };
        }
        let start = Instant::now();
        while !safe_daemons(folder).is_empty() && start.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    for mount in mounted_under(folder) {
        detach(Path::new(&mount));
    }
    // Never through a mount: if one is still there, the folder stays for the person to look at.
    let inside = mounted_under(folder);
    if !inside.is_empty() {
        eprintln!("left as it is, still mounted: {}", inside.join(", "));
        return;
    }
    for _ in 0..20 {
        if fs::remove_dir_all(folder).is_ok() || !folder.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    eprintln!("left behind: {}", folder.display());
}

/// The daemons of SafeOS whose state lies in `folder`.
pub fn safe_daemons(folder: &Path) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let process = entry.path();
        let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
        let pid = entry.file_name().to_str().and_then(|n| n.parse().ok());
        let (Some(pid), "safed") = (pid, name.trim()) else {
            continue;
        };
        let environment = fs::read(process.join("environ")).unwrap_or_default();
        let state = environment
            .split(|byte| *byte == 0)
            .find_map(|variable| variable.strip_prefix(b"SAFE_STATE="));
        if state.is_some_and(|s| Path::new(OsStr::from_bytes(s)).starts_with(folder)) {
            found.push(pid);
        }
    }
    found
}

/// Unmounts, waiting until nothing uses the mount any more.
pub fn unmount(mount: &Path) -> Result<(), String> {
    let start = Instant::now();
    while is_mounted(mount) {
        let mut last = String::new();
        for program in [&["fusermount3", "-u"][..], &["umount"][..]] {
            let done = Command::new(program[0])
                .args(&program[1..])
                .arg(mount)
                .stdin(Stdio::null())
                .output();
            match done {
                Ok(done) if done.status.success() => break,
                Ok(done) => last = String::from_utf8_lossy(&done.stderr).trim().to_owned(),
                Err(e) => last = format!("{}: {e}", program[0]),
            }
        }
        if start.elapsed() > STOP {
            detach(mount);
            return Err(format!("{} would not unmount: {last}", mount.display()));
        }
        if is_mounted(mount) {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    Ok(())
}

fn detach(mount: &Path) {
    for program in [&["umount", "-l"][..], &["fusermount3", "-u", "-z"][..]] {
        let done = Command::new(program[0])
            .args(&program[1..])
            .arg(mount)
            .stderr(Stdio::null())
            .status();
        if done.is_ok_and(|status| status.success()) {
            return;
        }
    }
}

/// Whether something is mounted at exactly this folder.
pub fn is_mounted(mount: &Path) -> bool {
    mount_points().iter().any(|m| m == mount)
}

fn mounted_under(folder: &Path) -> Vec<String> {
    let points = mount_points();
    let inside = points.iter().filter(|m| m.starts_with(folder));
    inside.map(|m| m.display().to_string()).collect()
}

fn mount_points() -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let fields = table.lines().filter_map(|line| line.split(' ').nth(1));
    fields
        .map(|field| PathBuf::from(field.replace("\\040", " ")))
        .collect()
}

/// A process that serves a mount.
pub struct Daemon {
    child: Child,
}

impl Daemon {
    /// Starts it and waits until the mount is there.
    pub fn start(command: &mut Command, mount: &Path) -> Result<Self, String> {
        let name = command.get_program().to_string_lossy().into_owned();
        remember(mount);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|e| format!("{name}: {e}"))?;
        let mut daemon = Self { child };
        let start = Instant::now();
        while !is_mounted(mount) {
            if let Ok(Some(status)) = daemon.child.try_wait() {
                return Err(format!("{name} did not mount: {status}"));
            }
            if start.elapsed() > START {
                let _ = daemon.child.kill();
                return Err(format!("{name} did not mount within {} s", START.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(daemon)
    }

    /// Waits until it ends, which it does by itself once unmounted.
    pub fn wait(mut self) {
        let start = Instant::now();
        while start.elapsed() < STOP {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
