//! Telemetry of a session: a log and a report without names and secrets, metrics, and rates.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use safeos_cli_tests::{LIMIT, Running, error};
use safeos_suite_tests::computer::PASSWORD;
use safeos_suite_tests::{Computer, Finished, TestDir, run_for};

const ACCOUNT: &str = "zaphodbeeblebrox";
const FILE: &str = "Liebesbrief an Trillian.txt";
const RENAMED: &str = "Einkaufszettel.txt";
const FOLDER: &str = "Geheimes Vorhaben";
const CONTENT: &str = "die Antwort ist zweiundvierzig";
const ATTRIBUTE: &str = "user.merkmal.heimlich";
const NEW_PASSWORD: &str = "ein ganz neues Losungswort";

/// A computer whose `safe` and `safed` log everything into one file.
struct Talkative {
    computer: Computer,
    log: PathBuf,
}

impl Talkative {
    fn try_safe(&self, arguments: &[&str]) -> Finished {
        let mut command = self.computer.command();
        command
            .env("SAFE_LOG", "trace")
            .arg("--log")
            .arg(&self.log)
            .args(arguments);
        run_for(&mut command, LIMIT)
    }

    fn safe(&self, arguments: &[&str]) -> Finished {
        self.try_safe(arguments).ok()
    }
}

/// Where any of the secrets stands in a text.
fn found(text: &str, secrets: &[String]) -> Vec<String> {
    let small = text.to_lowercase();
    secrets
        .iter()
        .filter(|secret| small.contains(&secret.to_lowercase()))
        .cloned()
        .collect()
}

#[test]
fn no_name_and_no_secret_is_in_a_log_or_a_report() {
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    let log = place.path().join("all of it.log");
    let talkative = Talkative { computer, log };
    talkative.safe(&["signup", ACCOUNT, "--small-memory"]);
    let wrong = place.path().join("wrong");
    fs::write(&wrong, "not the password").unwrap();
    fs::set_permissions(&wrong, fs::Permissions::from_mode(0o600)).unwrap();
    let mut refused = talkative.computer.command();
    refused
        .env("SAFE_LOG", "trace")
        .env("SAFE_PASSWORD_FILE", &wrong)
        .arg("--log")
        .arg(&talkative.log)
        .args(["login", ACCOUNT]);
    run_for(&mut refused, LIMIT).code(1);
    talkative.safe(&["login", ACCOUNT]);

    let home = talkative.computer.home();
    fs::create_dir(home.join(FOLDER)).unwrap();
    let file = home.join(FOLDER).join(FILE);
    fs::write(&file, CONTENT).unwrap();
    safeos_suite_tests::tree::set_attribute(&file, ATTRIBUTE, CONTENT.as_bytes()).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), CONTENT);
    talkative.safe(&["sync"]);
    fs::rename(&file, home.join(FOLDER).join(RENAMED)).unwrap();
    talkative.safe(&["sync"]);
    let published = talkative.safe(&["publish", home.join(FOLDER).to_str().unwrap()]);
    let shared = published
        .stdout
        .trim()
        .rsplit('/')
        .next()
        .unwrap()
        .to_owned();
    let snapshots = talkative.safe(&["log", "--json"]).stdout;
    let snapshots: serde_json::Value = serde_json::from_str(&snapshots).unwrap();
    let first = snapshots["snapshots"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|snapshot| snapshot["name"].as_str())
        .min()
        .unwrap()
        .to_owned();
    // There is no such path then: an error that names it.
    let missing = format!("{FOLDER}/{FILE}");
    talkative.try_safe(&["restore", &first, &missing]).code(1);
    talkative.safe(&["store", "check"]);
    talkative.safe(&["store", "gc"]);
    let new = place.path().join("new");
    fs::write(&new, NEW_PASSWORD).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    let mut changed = talkative.computer.command();
    changed
        .env("SAFE_LOG", "trace")
        .env("SAFE_NEW_PASSWORD_FILE", &new)
        .arg("--log")
        .arg(&talkative.log)
        .arg("passwd");
    run_for(&mut changed, LIMIT).ok();
    let report = place.path().join("report.txt");
    talkative.safe(&["doctor", report.to_str().unwrap()]);
    talkative.safe(&["logout"]);

    let log = fs::read_to_string(&talkative.log).unwrap();
    let report = fs::read_to_string(&report).unwrap();
    // The events are in it.
    for event in [
        "the daemon begins",
        "request{name=\"sync\"}",
        "published",
        "store{call=\"put\"",
        "file{request=\"rename\"}",
        "collected",
        "error=\"wrong_",
        "the daemon ends",
    ] {
        assert!(log.contains(event), "{event} is not in the log:\n{log}");
    }
    for part in [
        "== daemon",
        "sessions",
        "safeos_daemon_store_calls_total",
        "published",
    ] {
        assert!(
            report.contains(part),
            "{part} is not in the report:\n{report}"
        );
    }
    let mode = fs::metadata(&talkative.log).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "others can read the log");

    let place = place.path().to_str().unwrap().to_owned();
    let mut secrets: Vec<String> = [
        ACCOUNT,
        FILE,
        "Trillian",
        RENAMED,
        FOLDER,
        "Geheimes",
        CONTENT,
        ATTRIBUTE,
        PASSWORD,
        NEW_PASSWORD,
        "not the password",
        &shared,
        &place,
        "/sfs-",
    ]
    .map(str::to_owned)
    .to_vec();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    // One of a few letters stands in other words too.
    secrets.extend((host.trim().len() > 7).then(|| host.trim().to_owned()));
    for (what, text) in [("the log", &log), ("the report", &report)] {
        assert_eq!(found(text, &secrets), Vec::<String>::new(), "in {what}");
    }
    // It would be found.
    assert_eq!(found(&format!("x {RENAMED} y"), &secrets), [RENAMED]);
}

#[test]
fn metrics_and_rates_are_told() {
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    fs::write(computer.home().join("file"), vec![7; 100_000]).unwrap();
    computer.sync();
    let text = computer.safe(&["status", "--metrics"]).stdout;
    for line in [
        "# TYPE safeos_daemon_store_call_seconds histogram",
        "safeos_daemon_sessions 1",
        "safeos_daemon_work_total{kind=\"publish\",outcome=\"failed\"} 0",
        "safeos_daemon_unpublished_bytes 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let value = |name: &str| -> u64 {
        let prefix = format!("safeos_daemon_{name} ");
        let found = text.lines().find_map(|line| line.strip_prefix(&prefix));
        found
            .unwrap_or_else(|| panic!("{name}\n{text}"))
            .parse()
            .unwrap()
    };
    assert!(value("store_bytes_sent_total") > 1000);
    assert!(value("file_requests_total") > 0);
    assert!(value("memory_bytes") > 1 << 20 && value("threads") > 1);

    let mut command = computer.command();
    command.args(["status", "--watch", "--json"]);
    let mut watching = Running::start(&mut command);
    watching.until("file_requests");
    watching.signal(libc::SIGINT);
    let (code, seen) = watching.end();
    assert_eq!(code, Some(0));
    let line: serde_json::Value = serde_json::from_str(seen.lines().next().unwrap()).unwrap();
    assert_eq!(
        line["status"]["account"],
        safeos_suite_tests::computer::NAME
    );
    assert!(line["rates"]["store_calls"].is_number(), "{line}");
    computer.logout();
}

#[test]
fn what_is_no_level_is_refused() {
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    for wrong in ["loud", "hyper=debug"] {
        let mut command = computer.command();
        command.env("SAFE_LOG", wrong).args(["--json", "status"]);
        let done = run_for(&mut command, LIMIT).code(1);
        let error = error(&done);
        assert_eq!(error["code"], "no_log");
        assert!(
            error["message"].as_str().unwrap().contains(wrong),
            "{error}"
        );
    }
    assert!(!Path::new(&computer.state).join("log").exists());
}
