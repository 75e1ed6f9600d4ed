//! An upload that makes no progress: it is told, it can be left, and nothing of it is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::FromRawFd;
use std::process::Stdio;

use safeos_cli_tests::narrow::{Narrow, Way};
use safeos_cli_tests::{Running, error, eventually};
use safeos_suite_tests::computer::NAME;
use safeos_suite_tests::{Computer, TestDir, test_dir};
use serde_json::Value;

/// A gateway on this computer, and where it is.
fn serve(host: &Computer) -> (Running, String) {
    let mut command = host.command();
    command.args(["store", "serve", "--json", "--listen", "127.0.0.1:0"]);
    let mut gateway = Running::start(&mut command);
    gateway.until("\n");
    let ready: Value = serde_json::from_str(gateway.seen().lines().next().unwrap()).unwrap();
    let url = ready["url"].as_str().unwrap().to_owned();
    (gateway, url)
}

/// A gateway, the proxy before it, and a computer that knows only that.
struct World {
    gateway: Running,
    narrow: Narrow,
    computer: Computer,
}

impl World {
    fn new(place: &TestDir) -> Self {
        let host = Computer::new(place, "server");
        let (gateway, url) = serve(&host);
        let narrow = Narrow::before(url.split_once("://").unwrap().1);
        let computer = Computer::with_url(place, "first", &narrow.url());
        computer.sign_up();
        computer.login();
        Self {
            gateway,
            narrow,
            computer,
        }
    }

    /// Writes a file too large for the way, and makes the way so.
    fn write(&self, way: Way) -> Vec<u8> {
        self.narrow.set(way);
        let content = noise(300_000);
        fs::write(self.computer.home().join("large"), &content).unwrap();
        content
    }

    fn waiting(&self) -> Value {
        self.computer.json(&["status"])["waiting"].clone()
    }

    /// Everything is published, and the obstacle is not mentioned any more.
    fn is_published(&self) {
        self.computer.sync();
        let status = self.computer.json(&["status"]);
        assert_eq!(status["unpublished_bytes"], 0, "{status}");
        assert!(status.get("waiting").is_none(), "{status}");
        assert_eq!(status["problems"], serde_json::json!([]), "{status}");
        assert_eq!(status["offline"], false, "{status}");
        let text = self.computer.safe(&["status"]).stdout;
        assert!(!text.contains("waiting"), "{text}");
    }

    /// Another computer has it from the store.
    fn is_there(&self, place: &TestDir, content: &[u8]) {
        let other = Computer::with_url(place, "second", &self.narrow.url());
        other.login();
        assert!(fs::read(other.home().join("large")).unwrap() == content);
        other.check();
        other.logout();
    }

    fn sync(&self) -> Running {
        let mut command = self.computer.command();
        command.args(["sync", "--json"]);
        Running::start(&mut command)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.narrow.set(Way::Open);
        self.gateway.signal(libc::SIGKILL);
    }
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

#[test]
fn who_keeps_what_could_not_be_published_hears_that_it_waits() {
    let place = TestDir::new();
    let world = World::new(&place);
    let content = world.write(Way::Away);
    let done = world.computer.safe(&["logout", "--keep"]);
    assert!(done.stdout.contains("waits, encrypted"), "{}", done.stdout);
    world.narrow.set(Way::Open);
    world.computer.login();
    world.is_published();
    let done = world.computer.safe(&["logout", "--keep"]);
    assert!(!done.stdout.contains("waits"), "{}", done.stdout);
    world.is_there(&place, &content);
}

#[test]
fn what_is_not_taken_is_told_until_it_is() {
    let place = TestDir::new();
    let world = World::new(&place);
    let content = world.write(Way::TooSlow);
    for (way, says) in [
        (Way::TooSlow, "did not come in|came in too slowly"),
        (Way::Resets, "reset"),
        (Way::Away, "reset|ended in the middle"),
    ] {
        world.narrow.set(way);
        let done = world.computer.try_safe(&["--json", "sync"]).code(1);
        let error = error(&done);
        assert_eq!(error["code"], "store_unreachable", "{way:?}: {error}");
        assert_eq!(error["retry"], true, "{way:?}: {error}");
        let message = error["message"].as_str().unwrap();
        // The waiting changes, since when, why, and what to type.
        for part in [
            " KiB, written since 20",
            &world.narrow.url(),
            "safe status",
            "safe logout --later",
        ] {
            assert!(message.contains(part), "{way:?}: {message}");
        }
        assert!(
            says.split('|').any(|says| message.contains(says)),
            "{way:?}: {message}"
        );
        let waiting = world.waiting();
        assert!(waiting["bytes"].as_u64().unwrap() >= 300_000, "{waiting}");
        for name in ["since", "failing_since"] {
            let time = waiting[name].as_str().unwrap();
            assert!(
                time.starts_with("20") && time.ends_with('Z') && time.len() == 20,
                "{waiting}"
            );
        }
        let why = waiting["why"].as_str().unwrap();
        assert!(
            says.split('|').any(|says| why.contains(says)),
            "{way:?}: {why}"
        );
        assert!(waiting["failed_tries"].as_u64().unwrap() >= 1, "{waiting}");
        let text = world.computer.safe(&["status"]).stdout;
        let line = text.lines().find(|line| line.starts_with("waiting "));
        let line = line.unwrap_or_else(|| panic!("{text}"));
        assert!(
            line.contains("failed") && line.contains("try is"),
            "{way:?}: {line}"
        );
        assert!(text.contains(", written since 20"), "{text}");
        // Once is enough.
        assert!(!text.contains("problem      publishing"), "{text}");
        assert!(world.computer.status_text().contains("waiting because: "));
    }
    // A gateway that answers what is small is not out of reach.
    world.narrow.set(Way::TooSlow);
    eventually(
        "it is tried again by itself, and is not called offline",
        || {
            let status = world.computer.json(&["status"]);
            status["offline"] == false && status["waiting"]["failed_tries"].as_u64() >= Some(4)
        },
    );
    world.narrow.set(Way::Open);
    world.is_published();
    world.is_there(&place, &content);
    world.computer.logout();
}

#[test]
fn what_was_away_is_published_by_itself_when_it_is_back() {
    let place = TestDir::new();
    let world = World::new(&place);
    let content = world.write(Way::Away);
    eventually("it is tried again", || {
        world.waiting()["failed_tries"].as_u64() >= Some(3)
    });
    assert_eq!(world.computer.json(&["status"])["offline"], true);
    world.narrow.set(Way::Open);
    eventually("it is published", || {
        let status = world.computer.json(&["status"]);
        status["unpublished_bytes"] == 0 && status["problems"] == serde_json::json!([])
    });
    world.is_there(&place, &content);
    world.computer.logout();
}

#[test]
fn who_hangs_is_left_and_what_waits_goes_on_from_the_next_sign_in() {
    let place = TestDir::new();
    let world = World::new(&place);
    let content = world.write(Way::Hangs);
    let sync = world.sync();
    eventually("an upload hangs", || world.narrow.refused() > 0);
    // Ctrl-C ends the command, and the session is as it was.
    sync.signal(libc::SIGINT);
    assert_eq!(sync.end().0, None);
    let mut command = world.computer.command();
    let logout = Running::start(command.args(["logout"]));
    let before = world.narrow.refused();
    eventually("the next one hangs", || world.narrow.refused() > before);
    logout.signal(libc::SIGINT);
    assert_eq!(logout.end().0, Some(130));
    assert_eq!(
        fs::read(world.computer.home().join("large")).unwrap(),
        content
    );
    // A hanging publish, in a sign-out even, does not keep a person who wants to leave.
    let before = world.narrow.refused();
    let mut command = world.computer.command();
    let logout = Running::start(command.args(["logout"]));
    eventually("one more hangs", || world.narrow.refused() > before);
    world.computer.safe(&["logout", "--later"]);
    logout.end();
    assert!(test_dir::mounts_in(&world.computer.mount).is_empty());
    assert_eq!(world.narrow.url(), world.computer.store_url());

    world.computer.login();
    assert_eq!(
        fs::read(world.computer.home().join("large")).unwrap(),
        content
    );
    let waiting = world.waiting();
    assert!(waiting["bytes"].as_u64().unwrap() >= 300_000, "{waiting}");
    world.narrow.set(Way::Open);
    world.is_published();
    world.is_there(&place, &content);
    world.computer.logout();
}

/// Told to end once, a daemon tries to publish; told again, it keeps what waits and ends.
#[test]
fn a_daemon_that_is_told_twice_to_end_waits_for_no_server() {
    let place = TestDir::new();
    let world = World::new(&place);
    let content = world.write(Way::Hangs);
    eventually("an upload hangs", || world.narrow.refused() > 0);
    let daemon = world.computer.daemon().unwrap();
    let before = world.narrow.refused();
    // SAFETY: a signal to the daemon of this test's computer.
    let tell = || unsafe { libc::kill(daemon, libc::SIGTERM) };
    tell();
    // What was under way is tried once more, and the publish of the end begins.
    eventually("it tries to publish", || {
        world.narrow.refused() >= before + 2
    });
    let before = world.narrow.refused();
    tell();
    eventually("it ends", || world.computer.daemon().is_none());
    assert_eq!(world.narrow.refused(), before, "it has gone on trying");
    assert!(test_dir::mounts_in(&world.computer.mount).is_empty());
    world.computer.login();
    let kept = fs::read(world.computer.home().join("large")).unwrap();
    assert!(kept == content);
    world.narrow.set(Way::Open);
    world.is_published();
    world.is_there(&place, &content);
    world.computer.logout();
}

#[test]
fn who_waits_for_one_that_hangs_hears_why_and_is_not_kept_for_ever() {
    let place = TestDir::new();
    let world = World::new(&place);
    let content = world.write(Way::Hangs);
    let (mut terminal, theirs) = terminal();
    let mut command = world.computer.command();
    let sync = command.arg("sync").stderr(theirs);
    let mut sync = sync.stdin(Stdio::null()).spawn().unwrap();
    drop(command);
    let mut seen = String::new();
    let mut is_told = false;
    let mut bytes = [0; 4096];
    // Until the other end is closed.
    while let Ok(count @ 1..) = terminal.read(&mut bytes) {
        seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        if !is_told && seen.contains("waiting since 20") {
            is_told = true;
            let waiting = world.waiting();
            assert!(
                waiting["why"].as_str().unwrap().contains("no answer"),
                "{waiting}"
            );
            assert_eq!(waiting["next_try"], "", "{waiting}");
        }
    }
    assert_eq!(sync.wait().unwrap().code(), Some(1));
    for part in [
        "waiting since 20",
        "no answer in time",
        "Ctrl-C",
        " KiB, written since 20",
        "safe logout --later",
    ] {
        assert!(seen.contains(part), "{part}: {seen}");
    }
    // Once, not every second.
    assert!(seen.matches("Ctrl-C").count() <= 3, "{seen}");
    assert!(
        world.waiting()["why"]
            .as_str()
            .unwrap()
            .contains("no answer")
    );
    world.narrow.set(Way::Open);
    world.is_published();
    world.is_there(&place, &content);
    world.computer.logout();
}

/// A terminal: our end, and the program's.
fn terminal() -> (File, File) {
    let (mut ours, mut theirs) = (0, 0);
    let size = libc::winsize {
        ws_row: 24,
        ws_col: 80,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the numbers and the size live until the call returns; a name and settings are not asked for.
    let made = unsafe {
        libc::openpty(
            &mut ours,
            &mut theirs,
            std::ptr::null_mut(),
            std::ptr::null(),
            &size,
        )
    };
    assert_eq!(made, 0);
    // SAFETY: both were made just now and have no other owner.
    unsafe { (File::from_raw_fd(ours), File::from_raw_fd(theirs)) }
}

#[test]
fn who_signs_in_without_the_store_is_told_so() {
    let place = TestDir::new();
    let world = World::new(&place);
    let computer = &world.computer;
    fs::write(computer.home().join("small"), "something").unwrap();
    computer.logout();
    let opened = computer.json(&["login", NAME, "--remember"]);
    assert_eq!(opened["offline"], false, "{opened}");
    assert_eq!(
        fs::read(computer.home().join("small")).unwrap(),
        b"something"
    );
    computer.logout();
    world.narrow.set(Way::Away);
    let done = computer.safe(&["login", NAME, "--remember"]);
    assert!(done.stdout.contains("out of reach"), "{}", done.stdout);
    assert_eq!(
        fs::read(computer.home().join("small")).unwrap(),
        b"something"
    );
    computer.safe(&["logout", "--later"]);
    world.narrow.set(Way::Open);
    computer.login();
    computer.logout();
}

#[test]
fn a_command_in_a_home_that_cannot_be_published_ends_and_says_so() {
    let place = TestDir::new();
    let world = World::new(&place);
    world.computer.logout();
    world.narrow.set(Way::TooSlow);
    let script = "head -c 300000 /dev/urandom >large";
    let run = ["run", NAME, "--", "sh", "-c", script];
    let done = world.computer.try_safe(&run).code(1);
    assert!(done.stderr.contains("written since 20"), "{}", done.stderr);
    assert!(done.stderr.contains("encrypted stage"), "{}", done.stderr);
    assert!(test_dir::mounts_in(&world.computer.mount).is_empty());
    world.narrow.set(Way::Open);
    world.computer.login();
    assert_eq!(
        fs::read(world.computer.home().join("large")).unwrap().len(),
        300_000
    );
    world.is_published();
    world.computer.logout();
}

/// The output of a program on a terminal until it has said `text`.
fn says_on_a_terminal(command: &mut std::process::Command, text: &str) -> std::process::Child {
    let (mut terminal, theirs) = terminal();
    let mut running = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(theirs)
        .spawn()
        .unwrap();
    // The copy of the other end that the command has goes with its next use.
    command.stderr(Stdio::null());
    let mut seen = String::new();
    let mut bytes = [0; 4096];
    while !seen.contains(text) {
        match terminal.read(&mut bytes) {
            Ok(count @ 1..) => seen.push_str(&String::from_utf8_lossy(&bytes[..count])),
            _ => panic!("never {text:?}: {seen} ({:?})", running.wait()),
        }
    }
    std::thread::spawn(move || {
        // An unread terminal would block its writer.
        while matches!(terminal.read(&mut [0; 4096]), Ok(1..)) {}
    });
    running
}

/// Ctrl-C; how it ends, as a shell has it.
fn interrupted(mut running: std::process::Child) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt;
    // SAFETY: a signal to a child that was not waited for.
    unsafe { libc::kill(running.id() as i32, libc::SIGINT) };
    let ended = running.wait().unwrap();
    ended.code().or(ended.signal().map(|signal| 128 + signal))
}

#[test]
fn a_server_that_says_nothing_holds_nobody() {
    let place = TestDir::new();
    let host = Computer::new(&place, "server");
    let (gateway, url) = serve(&host);
    let first = Computer::with_url(&place, "first", &url);
    first.sign_up();
    let login = |more: &[&str]| first.json(&[&["login", NAME, "--remember"], more].concat());
    login(&[]);
    fs::write(first.home().join("kept"), "kept").unwrap();
    first.sync();
    first.logout();
    // Frozen: the system takes connections for it.
    gateway.signal(libc::SIGSTOP);
    assert_eq!(login(&[])["offline"], true);
    assert_eq!(fs::read(first.home().join("kept")).unwrap(), b"kept");
    fs::write(first.home().join("later"), "later").unwrap();
    // A publish reports the reason of its wait, and can be left.
    let sync = says_on_a_terminal(first.command().arg("sync"), "no answer yet");
    assert_eq!(interrupted(sync), Some(130));
    first.safe(&["logout", "--later"]);
    // A sign-in with `--wait` waits, and says so; others are not kept out by it.
    let waits = says_on_a_terminal(
        first.command().args(["login", NAME, "--wait"]),
        "no answer yet",
    );
    assert_eq!(interrupted(waits), Some(130));
    // Changes left behind are there, and are published when the server answers again.
    assert_eq!(login(&[])["offline"], true);
    gateway.signal(libc::SIGCONT);
    eventually("it is published", || {
        first.json(&["status"])["unpublished_bytes"] == 0
    });
    first.logout();
    let second = Computer::with_url(&place, "second", &url);
    second.login();
    assert_eq!(fs::read(second.home().join("later")).unwrap(), b"later");
    second.logout();
    gateway.signal(libc::SIGTERM);
    gateway.end();
}
