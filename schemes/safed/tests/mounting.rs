//! The daemon as a program: how it mounts, what it takes away again, and what it keeps of its starter.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/program.rs"]
mod program;

use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use program::{command, wait_ready};
use tempfile::TempDir;

/// A daemon that serves.
fn start(mut command: Command) -> Child {
    let mut daemon = command.spawn().unwrap();
    wait_ready(&mut daemon);
    daemon
}

fn end(mut daemon: Child) {
    // SAFETY: plain numbers; the child was not waited for, so the id is still its own.
    assert_eq!(unsafe { libc::kill(daemon.id() as i32, libc::SIGTERM) }, 0);
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
}

fn complaint(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

/// The options of a mount at a path, the file system's own after them.
fn options(point: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = table
        .lines()
        .rfind(|line| line.split(' ').nth(4) == point.to_str())
        .unwrap_or_else(|| panic!("nothing is mounted at {}", point.display()));
    let fields: Vec<&str> = line.split(' ').collect();
    let all = format!("{},{}", fields[5], fields[fields.len() - 1]);
    all.split(',').map(ToOwned::to_owned).collect()
}

fn is_mounted(point: &Path) -> bool {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    table
        .lines()
        .any(|line| line.split(' ').nth(4) == point.to_str())
}

fn root() -> bool {
    safed::process::uid() == 0
}

/// The same for a test that can do nothing without it.
fn needs_root(what: &str) -> bool {
    if !root() {
        let _ = writeln!(std::io::stderr(), "SKIPPED: {what} needs root");
    }
    root()
}

/// A small file system of its own.
fn mount_tmpfs(at: &Path) {
    let done = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(at)
        .status();
    assert!(done.unwrap().success());
}

/// A place whose folders others may enter, as its path is without links.
fn place() -> (TempDir, std::path::PathBuf) {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = folder.path().canonicalize().unwrap();
    (folder, path)
}

#[test]
fn no_mount_brings_set_id_programs_or_devices_unless_root_asks_for_itself() {
    let (folder, path) = place();
    let point = path.join("safe");
    fs::create_dir(&point).unwrap();
    let daemon = start(command(&folder, &point, &[]));
    let found = options(&point);
    for option in ["nosuid", "nodev", "default_permissions"] {
        assert!(found.iter().any(|one| one == option), "{option}: {found:?}");
    }
    assert_eq!(found.iter().any(|one| one == "allow_other"), root());
    end(daemon);

    let asked = command(&folder, &point, &["--suid-dev"]);
    if !root() {
        let text = complaint(asked);
        assert!(text.contains("only root"), "{text}");
        return;
    }
    let daemon = start(asked);
    let found = options(&point);
    for option in ["nosuid", "nodev", "allow_other"] {
        assert!(found.iter().all(|one| one != option), "{option}: {found:?}");
    }
    // No other user gets in, whatever the modes of the folders say.
    let other = Command::new("ls").arg(&point).uid(4321).gid(4321).output();
    assert!(!other.unwrap().status.success());
    end(daemon);
}

#[test]
fn what_was_mounted_below_is_mounted_afterwards() {
    if !needs_root("a mount below the home's mount") {
        return;
    }
    let (folder, path) = place();
    let point = path.join("safe");
    fs::create_dir(&point).unwrap();
    mount_tmpfs(&point);
    let daemon = start(command(&folder, &point, &[]));
    assert!(point.join(".ctl").exists());
    end(daemon);
    assert!(options(&point).iter().any(|one| one.starts_with("size=")));
    let done = Command::new("umount").arg(&point).status();
    assert!(done.unwrap().success());
}

#[test]
fn a_renamed_folder_above_leads_to_no_other_mount() {
    if !needs_root("a renamed folder above a mount") {
        return;
    }
    let (folder, path) = place();
    for name in ["own", "other"] {
        fs::create_dir_all(path.join(name).join("safe")).unwrap();
    }
    let (own, other) = (path.join("own"), path.join("other"));
    mount_tmpfs(&other.join("safe"));
    for busy in [false, true] {
        let daemon = start(command(&folder, &own.join("safe"), &[]));
        fs::rename(&own, path.join("away")).unwrap();
        fs::rename(&other, &own).unwrap();
        let held = busy.then(|| fs::File::open(path.join("away/safe")).unwrap());
        end(daemon);
        assert!(is_mounted(&own.join("safe")), "somebody else's is gone");
        assert!(!is_mounted(&path.join("away/safe")), "the own one stays");
        drop(held);
        fs::rename(&own, &other).unwrap();
        fs::rename(path.join("away"), &own).unwrap();
    }
    let done = Command::new("umount").arg(other.join("safe")).status();
    assert!(done.unwrap().success());
}

#[test]
fn another_dead_file_system_is_not_cleared_away() {
    if !needs_root("a dead file system of another program") {
        return;
    }
    let (_folder, path) = place();
    let point = path.join("other");
    fs::create_dir(&point).unwrap();
    // A connection without a server, as of any other FUSE file system whose program died.
    let device = fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/fuse")
        .unwrap();
    let options = format!(
        "fd={},rootmode=40755,user_id=0,group_id=0\0",
        device.as_raw_fd()
    );
    let target = std::ffi::CString::new(point.to_str().unwrap()).unwrap();
    // SAFETY: strings that end with NUL and live until the call returns.
    let done = unsafe {
        libc::mount(
            c"somebody".as_ptr(),
            target.as_ptr(),
            c"fuse".as_ptr(),
            0,
            options.as_ptr().cast(),
        )
    };
    assert_eq!(done, 0);
    drop(device);
    assert!(safeos_mountpoint::is_dead(&point));
    assert!(!safeos_mountpoint::clear_dead(&point).unwrap());
    assert!(is_mounted(&point));
    let done = Command::new("umount").arg("-l").arg(&point).status();
    assert!(done.unwrap().success());
}

#[test]
fn nothing_is_kept_open_of_whoever_started_it() {
    let (folder, path) = place();
    let point = path.join("safe");
    fs::create_dir(&point).unwrap();
    let (mut hears, says) = std::io::pipe().unwrap();
    let handed_down = says.as_raw_fd();
    let mut with_it = command(&folder, &point, &[]);
    // SAFETY: a system call that may be made between fork and exec.
    unsafe {
        with_it.pre_exec(move || {
            // Low and high, and without the mark that closes it by itself.
            for to in [57, 900] {
                if libc::dup2(handed_down, to) != to {
                    return Err(std::io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
    let daemon = start(with_it);
    drop(says);
    let mut ready = libc::pollfd {
        fd: hears.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one whole pollfd that lives until the call returns.
    let closed = unsafe { libc::poll(&mut ready, 1, 10_000) };
    end(daemon);
    assert_eq!(closed, 1, "the daemon holds it");
    assert_eq!(hears.read(&mut [0]).unwrap(), 0);
}

#[test]
fn nothing_can_be_written_there_while_nobody_is_signed_in() {
    let (folder, path) = place();
    let point = path.join("safe");
    fs::create_dir(&point).unwrap();
    let refuses = || {
        assert!(!is_mounted(&point));
        assert!(fs::create_dir_all(point.join("home/log")).is_err());
        assert!(fs::write(point.join("home/file"), b"private").is_err());
        assert!(fs::write(point.join("home"), b"private").is_err());
        let why = fs::read_to_string(point.join(safeos_mountpoint::guard::NOTE)).unwrap();
        assert!(why.contains("safe login"), "{why}");
        root() || fs::write(point.join("file"), b"private").is_err()
    };
    let daemon = start(command(&folder, &point, &[]));
    end(daemon);
    assert!(refuses());
    // And after a crash.
    let mut daemon = start(command(&folder, &point, &[]));
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert!(safeos_mountpoint::clear_dead(&point).unwrap());
    assert!(refuses());
    // Existing files under a mount are left as they are.
    let full = path.join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("mine"), b"mine").unwrap();
    end(start(command(&folder, &full, &[])));
    assert_eq!(fs::read_dir(&full).unwrap().count(), 1);
    fs::write(full.join("mine"), b"mine again").unwrap();
    safeos_mountpoint::guard::remove(&point).unwrap();
}

#[test]
fn bound_to_whoever_started_it_it_ends_with_it() {
    let (folder, path) = place();
    let point = path.join("safe");
    fs::create_dir(&point).unwrap();
    let mut bound = command(&folder, &point, &["--bound"]);
    bound.stdin(Stdio::piped());
    let mut daemon = start(bound);
    daemon.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    assert!(point.join(".ctl").exists());
    drop(daemon.stdin.take());
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
    assert!(!is_mounted(&point));
}
