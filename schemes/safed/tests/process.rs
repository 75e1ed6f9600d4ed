//! The daemon as a program: how it starts, what it says when it cannot, and how it ends.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/program.rs"]
mod program;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use program::{command, wait_ready};
use tempfile::TempDir;

fn start(folder: &TempDir, point: &Path) -> Child {
    command(folder, point, &[]).spawn().unwrap()
}

/// A daemon that serves, its folder and its mount point.
fn started() -> (TempDir, PathBuf, Child) {
    let folder = tempfile::tempdir().unwrap();
    let point = folder.path().join("safe");
    fs::create_dir(&point).unwrap();
    let mut daemon = start(&folder, &point);
    wait_ready(&mut daemon);
    (folder, point, daemon)
}

fn complaint(mut daemon: Child) -> String {
    assert_eq!(daemon.wait().unwrap().code(), Some(1));
    let mut text = String::new();
    daemon
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

fn terminate(daemon: &Child, signal: i32) {
    // SAFETY: plain numbers; the child was not waited for, so the id is still its own.
    assert_eq!(unsafe { libc::kill(daemon.id() as i32, signal) }, 0);
}

fn mounted(point: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    mounts.contains(point.to_str().unwrap())
}

/// Asks on the control file and gives the last line of the answer.
fn ask(point: &Path, request: &str) -> String {
    let mut control = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(point.join(".ctl"))
        .unwrap();
    control.write_all(request.as_bytes()).unwrap();
    control.write_all(b"\n").unwrap();
    let mut last = String::new();
    for line in BufReader::new(control).lines() {
        last = line.unwrap();
        if !last.starts_with("{\"progress\"") {
            break;
        }
    }
    last
}

/// Of a local network, as `safe devnet` writes it; nothing listens there.
const MANIFEST: &str = r#"{"base_port":9,"node_count":7,"bootstrap":["/ip4/127.0.0.1/udp/9/quic"],
"data_dir":"/nowhere","created_at":"0","evm":{"rpc_url":"http://127.0.0.1:9/","wallet_private_key":"",
"payment_token_address":"0x5FbDB2315678afecb367f032d93F642f64180aa3",
"payment_vault_address":"0x5FbDB2315678afecb367f032d93F642f64180aa3"}}"#;
const SIGN_UP: &str = r#"{"sign_up":{"name":"ana","password":"a long enough password"}}"#;
const SIGN_IN: &str = r#"{"sign_in":{"name":"ana","password":"a long enough password"}}"#;

#[test]
fn it_ends_cleanly_when_asked_and_nothing_written_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let point = folder.path().join("safe");
    fs::create_dir(&point).unwrap();

    let mut daemon = start(&folder, &point);
    wait_ready(&mut daemon);
    assert!(ask(&point, SIGN_UP).starts_with("{\"ok\""));
    assert!(ask(&point, SIGN_IN).contains("in_use"));
    fs::write(point.join("home/file"), b"kept").unwrap();
    terminate(&daemon, libc::SIGTERM);
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
    assert!(!mounted(&point));

    let mut daemon = start(&folder, &point);
    wait_ready(&mut daemon);
    assert!(!point.join("home").exists());
    let wrong = SIGN_IN.replace("long", "wrong");
    assert!(ask(&point, &wrong).contains("\"error\""));
    assert!(ask(&point, SIGN_IN).starts_with("{\"ok\""));
    assert_eq!(fs::read(point.join("home/file")).unwrap(), b"kept");

    // Busy: a program's working folder is in it. It ends all the same.
    fs::write(point.join("home/second"), b"kept too").unwrap();
    let mut busy = Command::new("sleep")
        .arg("60")
        .current_dir(point.join("home"))
        .spawn()
        .unwrap();
    terminate(&daemon, libc::SIGINT);
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
    assert!(!mounted(&point));
    busy.kill().unwrap();
    busy.wait().unwrap();

    let mut daemon = start(&folder, &point);
    wait_ready(&mut daemon);
    assert!(ask(&point, SIGN_IN).starts_with("{\"ok\""));
    assert_eq!(fs::read(point.join("home/second")).unwrap(), b"kept too");
    assert!(ask(&point, "\"sign_out\"").starts_with("{\"ok\""));
    assert!(!point.join("home").exists());
    assert!(ask(&point, "\"sync\"").contains("no_session"));
    // Unmounted by another program, it ends too.
    let unmounted = Command::new("fusermount3").arg("-u").arg(&point).status();
    assert!(unmounted.unwrap().success());
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
}

/// A price is shown before any payment, and where nothing is paid there is none.
#[test]
fn it_says_what_an_account_costs() {
    let (folder, point, mut daemon) = started();
    let price = |key: &str, store: &str| {
        let store = if store.is_empty() {
            String::new()
        } else {
            format!(r#","store":"{store}""#)
        };
        ask(
            &point,
            &format!(r#"{{"price":{{"wallet_key":"{key}"{store}}}}}"#),
        )
    };
    let key = format!("0x{}", "1".repeat(64));
    assert_eq!(price(&key, ""), r#"{"ok":{}}"#);
    assert!(price(&key, "nonsense").contains("bad_store_url"));
    let missing = folder.path().join("no/manifest.json");
    let missing = format!("autonomi://{}", missing.display());
    assert!(price(&key, &missing).contains("store_unreachable"));

    // A network and a chain that do not answer: a wrong key is reported all the same.
    let manifest = folder.path().join("manifest.json");
    fs::write(&manifest, MANIFEST).unwrap();
    let store = format!("autonomi://{}", manifest.display());
    for wrong in ["", "ff", &"z".repeat(64), &"0".repeat(64)] {
        let answer = price(wrong, &store);
        assert!(answer.contains("bad_wallet_key"), "{wrong}: {answer}");
    }
    // Nothing of it is a session.
    assert!(ask(&point, "\"status\"").contains("no_session"));
    assert!(ask(&point, SIGN_UP).starts_with("{\"ok\""));
    assert!(price(&key, "").contains("in_use"));
    terminate(&daemon, libc::SIGTERM);
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
}

#[test]
fn what_a_killed_daemon_left_is_cleared_away() {
    let (folder, point, mut daemon) = started();
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    // Its attributes the kernel may remember, a listing it may not.
    let error = fs::read_dir(&point).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOTCONN));

    let mut daemon = start(&folder, &point);
    wait_ready(&mut daemon);
    assert!(point.join(".ctl").exists());
    // A second one at the same place is refused.
    let text = complaint(start(&folder, &point));
    assert!(text.contains("mounted on it already"), "{text}");
    terminate(&daemon, libc::SIGTERM);
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
}

/// The daemon under a supervisor, when there is one other than `before`.
fn child_of(supervisor: &Child, before: u32) -> u32 {
    let children = format!("/proc/{0}/task/{0}/children", supervisor.id());
    loop {
        let text = fs::read_to_string(&children).unwrap();
        if let Some(child) = text.split_whitespace().next().map(|id| id.parse().unwrap())
            && child != before
        {
            return child;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_supervisor_starts_it_again_with_what_was_synced() {
    let folder = tempfile::tempdir().unwrap();
    let point = folder.path().join("safe");
    fs::create_dir(&point).unwrap();
    let mut supervisor = command(&folder, &point, &["--supervise"]).spawn().unwrap();
    wait_ready(&mut supervisor);
    assert!(ask(&point, SIGN_UP).starts_with("{\"ok\""));
    let mut daemon = child_of(&supervisor, 0);
    for turn in 0..3 {
        let file = fs::File::create(point.join(format!("home/{turn}"))).unwrap();
        file.sync_all().unwrap();
        drop(file);
        // SAFETY: plain numbers; the supervisor has not waited for its child yet.
        assert_eq!(unsafe { libc::kill(daemon as i32, libc::SIGKILL) }, 0);
        daemon = child_of(&supervisor, daemon);
        while !point.join("status").exists() {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(!point.join("home").exists());
        assert!(ask(&point, SIGN_IN).starts_with("{\"ok\""));
        for turn in 0..=turn {
            assert!(point.join(format!("home/{turn}")).exists(), "{turn}");
        }
    }
    terminate(&supervisor, libc::SIGTERM);
    assert_eq!(supervisor.wait().unwrap().code(), Some(0));
    assert!(!mounted(&point));
}

#[test]
fn a_supervisor_gives_up_what_never_serves() {
    let folder = tempfile::tempdir().unwrap();
    let none = folder.path().join("none");
    let mut supervisor = command(&folder, &none, &["--supervise"]).spawn().unwrap();
    assert_eq!(supervisor.wait().unwrap().code(), Some(1));
    let mut text = String::new();
    supervisor
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text.matches("does not exist").count(), 3, "{text}");
    let last = text.lines().last().unwrap();
    assert!(last.contains("gave up after 3 tries"), "{text}");
}

#[test]
fn a_bad_mount_point_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let text = complaint(start(&folder, &folder.path().join("none")));
    assert!(text.contains("does not exist"), "{text}");
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let text = complaint(start(&folder, &file));
    assert!(text.contains("is not a folder"), "{text}");
}

#[test]
fn a_request_that_the_library_cannot_decode_ends_the_mount_but_hangs_nobody() {
    use std::os::fd::AsRawFd;
    let (folder, point, mut daemon) = started();
    assert!(ask(&point, SIGN_UP).starts_with("{\"ok\""));
    fs::write(point.join("home/file"), b"kept").unwrap();
    let file = fs::File::open(point.join("home/file")).unwrap();
    let first = libc::timespec {
        tv_sec: i64::MIN,
        tv_nsec: 5,
    };
    let times = [first, first];
    // SAFETY: two whole times that live until the call returns.
    let answer = unsafe { libc::futimens(file.as_raw_fd(), times.as_ptr()) };
    drop(file);
    // A library without that fault keeps the time.
    if answer != 0 {
        assert_eq!(daemon.wait().unwrap().code(), Some(1));
        daemon = start(&folder, &point);
        wait_ready(&mut daemon);
        assert!(ask(&point, SIGN_IN).starts_with("{\"ok\""));
    }
    assert_eq!(fs::read(point.join("home/file")).unwrap(), b"kept");
    terminate(&daemon, libc::SIGTERM);
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
}

#[test]
fn its_memory_is_closed_to_others() {
    let (_folder, _, mut daemon) = started();
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.id())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let fields: Vec<_> = core.unwrap().split_whitespace().collect();
    assert_eq!(&fields[4..6], ["0", "0"]);
    terminate(&daemon, libc::SIGTERM);
    daemon.wait().unwrap();
}
