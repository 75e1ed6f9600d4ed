//! A store of one's own, served to other computers by `safe store serve`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use safeos_cli_tests::{Running, error, refused};
use safeos_suite_tests::computer::NAME;
use safeos_suite_tests::{Computer, TestDir, tree};
use serde_json::Value;

/// A gateway of the command, and the computer it runs on.
struct Gateway {
    host: Computer,
    running: Option<Running>,
    address: String,
}

impl Gateway {
    fn start(place: &TestDir, arguments: &[&str]) -> Self {
        let mut gateway = Self {
            host: Computer::new(place, "server"),
            running: None,
            address: "127.0.0.1:0".into(),
        };
        gateway.run(arguments);
        gateway
    }

    /// Starts it, again at the same address if it was there before.
    fn run(&mut self, arguments: &[&str]) {
        let listen = self.address.clone();
        let mut command = self.host.command();
        command
            .args(["store", "serve", "--json", "--listen", &listen])
            .args(arguments);
        let mut running = Running::start(&mut command);
        running.until("\n");
        let ready: Value = serde_json::from_str(running.seen().lines().next().unwrap()).unwrap();
        assert_eq!(ready["ready"], true, "{ready}");
        assert_eq!(ready["store"], self.host.store_url());
        let url = ready["url"].as_str().unwrap();
        self.address = url.split_once("://").unwrap().1.to_owned();
        self.running = Some(running);
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// As a power cut would.
    fn kill(&mut self) {
        let running = self.running.take().unwrap();
        running.signal(libc::SIGKILL);
        running.end();
    }

    fn stop(mut self) {
        let running = self.running.take().unwrap();
        running.signal(libc::SIGTERM);
        assert_eq!(running.end().0, Some(0));
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.signal(libc::SIGKILL);
        }
    }
}

#[test]
fn a_home_at_a_gateway_is_the_same_on_every_computer() {
    let place = TestDir::new();
    let mut gateway = Gateway::start(&place, &[]);
    let first = Computer::with_url(&place, "first", &gateway.url());
    first.sign_up();
    first.login();
    tree::make(&first.home().join("things"), 300, 4);
    first.sync();
    // Gone in the middle of work, and there again.
    gateway.kill();
    fs::write(first.home().join("meanwhile"), "written while it was away").unwrap();
    refused(&first, &["sync"], 1, "store_unreachable");
    gateway.run(&[]);
    let expected = tree::list(&first.home());
    first.logout();

    let second = Computer::with_url(&place, "second", &gateway.url());
    second.login();
    tree::assert_same(&expected, &tree::list(&second.home()));
    second.check();
    fs::write(second.home().join("reply"), "from the second").unwrap();
    second.logout();

    // The store behind it is an ordinary one: it is read without the gateway as well.
    let at_home = Computer::new(&place, "at-home");
    at_home.login();
    assert_eq!(
        fs::read(at_home.home().join("reply")).unwrap(),
        b"from the second"
    );
    at_home.logout();
    let stats = second.json(&["store", "stats"]);
    assert_eq!(stats["store"], gateway.url());
    let there = at_home.json(&["store", "stats"]);
    for name in ["chunks", "pointers", "bytes"] {
        assert_eq!(stats[name], there[name], "{name}");
    }
    gateway.stop();
}

#[test]
fn a_home_moves_between_stores_through_a_gateway_and_back() {
    let place = TestDir::new();
    let first = Computer::signed_up(&place);
    tree::make(&first.home().join("things"), 200, 9);
    let expected = tree::list(&first.home());
    first.logout();
    let folder = |name: &str| format!("file://{}", place.path().join(name).display());

    let other = TestDir::new();
    let mut gateway = Gateway::start(&other, &[]);
    let url = gateway.url();
    let records = |computer: &Computer, url: &str| {
        let stats = computer.json(&["store", "stats", "--store", url]);
        stats["chunks"].as_u64().unwrap() + stats["pointers"].as_u64().unwrap()
    };
    let all = records(&first, &first.store_url());
    let copied = first.json(&["store", "copy", &first.store_url(), &url]);
    assert_eq!(copied["records"], all, "{copied}");
    gateway.kill();
    let done = first.try_safe(&["--json", "store", "copy", &url, &folder("back")]);
    assert_eq!(error(&done.code(1))["code"], "store_unreachable");
    gateway.run(&[]);
    // Again: nothing is sent twice.
    let copied = first.json(&["store", "copy", &first.store_url(), &url]);
    assert_eq!(
        (copied["records"].as_u64(), copied["skipped"].as_u64()),
        (Some(0), Some(all))
    );
    let checked = first.json(&["store", "check", "--records", "--store", &url]);
    assert_eq!(checked["records"], all);
    assert_eq!(checked["damaged"], serde_json::json!([]));
    let checked = first.json(&["store", "check", "--account", NAME, "--store", &url]);
    assert_eq!(checked["damaged"], serde_json::json!([]));

    let copied = first.json(&["store", "copy", &url, &folder("back")]);
    assert_eq!(copied["records"], all, "{copied}");
    let second = Computer::with_url(&place, "second", &folder("back"));
    second.login();
    tree::assert_same(&expected, &tree::list(&second.home()));
    second.check();
    second.logout();
    // Of an account only, by its session: as many records again, to a third place.
    let copied = first.json(&["store", "copy", "--account", NAME, &url, &folder("third")]);
    assert!(copied["records"].as_u64().unwrap() > 3, "{copied}");
    gateway.stop();
}

#[test]
fn tokens_are_asked_for_and_taken_from_a_file() {
    let place = TestDir::new();
    let tokens = place.path().join("tokens");
    fs::write(
        &tokens,
        "read  only-for-reading-000\nwrite for-both-0123456789\n",
    )
    .unwrap();
    let gateway = Gateway::start(&place, &["--token-file", tokens.to_str().unwrap()]);
    let computer = Computer::with_url(&place, "first", &gateway.url());
    let message = refused(
        &computer,
        &["signup", NAME, "--small-memory"],
        1,
        "store_refused",
    );
    assert!(message.contains("SAFE_TOKEN_FILE"), "{message}");
    let token = place.path().join("token");
    let safe = |token_text: &str, arguments: &[&str]| {
        fs::write(&token, token_text).unwrap();
        let mut command = computer.command();
        // By a relative path: the daemon works in another folder.
        command
            .current_dir(place.path())
            .env("SAFE_TOKEN_FILE", "token");
        safeos_suite_tests::run_for(command.args(arguments), safeos_suite_tests::computer::LIMIT)
    };
    let signup = ["signup", NAME, "--small-memory", "--json"];
    let done = safe("not-a-token-of-theirs\n", &signup).code(1);
    assert!(
        error(&done)["message"]
            .as_str()
            .unwrap()
            .contains("does not accept")
    );
    let done = safe("only-for-reading-000\n", &signup).code(1);
    assert!(
        error(&done)["message"]
            .as_str()
            .unwrap()
            .contains("may write"),
        "{}",
        done.stderr
    );
    safe("for-both-0123456789\n", &signup).ok();
    safe(
        "for-both-0123456789\n",
        &["run", NAME, "--", "sh", "-c", "echo hello >file"],
    )
    .ok();
    let done = safe("only-for-reading-000\n", &["store", "stats", "--json"]).ok();
    for text in [&done.stdout, &done.stderr] {
        assert!(!text.contains("only-for"), "{text}");
    }
    // Its health is not secret; the rest is.
    assert!(plain(&gateway.address, "/health").starts_with("HTTP/1.1 200"));
    assert!(plain(&gateway.address, "/metrics").starts_with("HTTP/1.1 401"));
    gateway.stop();
}

/// The answer to a plain request.
fn plain(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_mirror_has_what_the_store_has() {
    let place = TestDir::new();
    let mirror = format!("file://{}", place.path().join("mirror").display());
    let gateway = Gateway::start(&place, &["--mirror", &mirror]);
    let first = Computer::with_url(&place, "first", &gateway.url());
    first.sign_up();
    first.login();
    tree::make(&first.home().join("things"), 50, 3);
    let expected = tree::list(&first.home());
    first.logout();
    gateway.stop();
    let second = Computer::with_url(&place, "second", &mirror);
    second.login();
    tree::assert_same(&expected, &tree::list(&second.home()));
    second.check();
    second.logout();
}

#[test]
fn a_gateway_that_cannot_be_started_says_why() {
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    let nowhere = place.path().join("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    for arguments in [
        &["--listen", "nonsense"][..],
        &["--listen", "192.0.2.1:80"],
        &["--token-file", nowhere],
        &["--tls-cert", nowhere, "--tls-key", nowhere],
    ] {
        let message = refused(
            &computer,
            &[&["store", "serve"], arguments].concat(),
            1,
            "gateway_failed",
        );
        assert!(message.contains(arguments[1]), "{message}");
    }
    let same = computer.store_url();
    refused(
        &computer,
        &["store", "serve", "--mirror", &same],
        2,
        "usage",
    );
    computer
        .try_safe(&["store", "serve", "--tls-cert", nowhere])
        .code(2);
}
