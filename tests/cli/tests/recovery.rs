//! A forgotten password: the recovery sheet, made, used, replaced, copied; and every way to get it wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use safeos_cli_tests::{everything_in, refused};
use safeos_suite_tests::computer::{LIMIT, NAME};
use safeos_suite_tests::{Computer, Finished, TestDir, run_for};

const NEW: &str = "another password for tests";
const THIRD: &str = "a third password for tests";

fn written(place: &TestDir, name: &str, text: &str) -> PathBuf {
    let path = place.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

fn with(computer: &Computer, arguments: &[&str], files: &[(&str, &Path)]) -> Finished {
    let mut command = computer.command();
    command.arg("--json").args(arguments);
    for (variable, path) in files {
        command.env(variable, path);
    }
    run_for(&mut command, LIMIT)
}

fn recover(computer: &Computer, place: &TestDir, words: &str, new: &str) -> Finished {
    let files = [
        ("SAFE_RECOVERY_KEY_FILE", written(place, "words", words)),
        ("SAFE_NEW_PASSWORD_FILE", written(place, "new", new)),
    ];
    let files = files.each_ref().map(|(name, path)| (*name, path.as_path()));
    with(computer, &["recover"], &files)
}

fn login(computer: &Computer, place: &TestDir, password: &str) -> Finished {
    let path = written(place, "password", password);
    with(computer, &["login", NAME], &[("SAFE_PASSWORD_FILE", &path)])
}

fn code(done: Finished) -> String {
    let error = safeos_cli_tests::error(&done.code(1));
    error["code"].as_str().unwrap().to_owned()
}

fn value(done: Finished) -> serde_json::Value {
    serde_json::from_str(&done.ok().stdout).unwrap()
}

#[test]
fn a_forgotten_password_is_replaced_on_another_computer() {
    let place = TestDir::new();
    let first = Computer::new(&place, "first");
    let made = first.json(&["signup", NAME, "--small-memory", "--recovery-sheet"]);
    let words = made["recovery_key"].as_str().unwrap().to_owned();
    assert_eq!(words.split(' ').count(), 12, "{words}");
    assert_eq!(everything_in(first.temporary()), [""; 0]);
    first.login();
    fs::write(first.home().join("kept"), "kept").unwrap();
    first.logout();

    let second = Computer::new(&place, "second");
    // A mistyped word is reported before the store is asked.
    let typed: Vec<&str> = words.split(' ').collect();
    let mistyped = words.replacen(typed[2], "qqqq", 1);
    let done = recover(&second, &place, &mistyped, NEW);
    assert!(
        done.stderr.contains("word 3") && !done.stderr.contains("qqqq"),
        "{}",
        done.stderr
    );
    assert_eq!(code(done), "bad_recovery_key");
    assert_eq!(
        code(recover(&second, &place, &typed[1..].join(" "), NEW)),
        "bad_recovery_key"
    );
    assert_eq!(
        code(recover(&second, &place, &words, "short")),
        "weak_password"
    );
    let other = "legal winner thank year wave sausage worth useful legal winner thank yellow";
    assert_eq!(
        code(recover(&second, &place, other, NEW)),
        "unknown_recovery_key"
    );

    let done = value(recover(&second, &place, &words.to_uppercase(), NEW));
    assert_eq!(done["account"], NAME);
    assert_eq!(everything_in(second.temporary()), [""; 0]);
    assert!(second.daemon().is_none());
    refused(&first, &["login", NAME], 1, "retired");
    value(login(&second, &place, NEW));
    assert_eq!(fs::read(second.home().join("kept")).unwrap(), b"kept");

    // The sheet outlives a change of password.
    let (old, new) = (written(&place, "old", NEW), written(&place, "third", THIRD));
    let files = [
        ("SAFE_PASSWORD_FILE", &*old),
        ("SAFE_NEW_PASSWORD_FILE", &*new),
    ];
    with(&second, &["passwd"], &files).ok();
    second.logout();
    value(recover(&first, &place, &words, "the fourth password"));
    assert_eq!(code(login(&first, &place, THIRD)), "retired");
    value(login(&first, &place, "the fourth password"));
    first.check();
    first.logout();
}

#[test]
fn a_sheet_is_made_later_and_replaced() {
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    let wrong = written(&place, "wrong", "no such password");
    let done = with(
        &computer,
        &["recovery-sheet"],
        &[("SAFE_PASSWORD_FILE", &wrong)],
    );
    assert_eq!(code(done), "wrong_password");
    let sheet = || {
        let made = computer.json(&["recovery-sheet"]);
        made["recovery_key"].as_str().unwrap().to_owned()
    };
    let (first, second) = (sheet(), sheet());
    assert_ne!(first, second);
    // For people: the words stand in rows.
    let text = computer.safe(&["recovery-sheet"]).stdout;
    assert!(text.contains(" 1. ") && text.contains("12. "), "{text}");
    fs::write(computer.home().join("kept"), "kept").unwrap();
    computer.check();

    let third = sheet();
    computer.logout();
    for replaced in [&first, &second] {
        assert_eq!(
            code(recover(&computer, &place, replaced, NEW)),
            "recovery_key_replaced"
        );
    }
    // The copy of an account has it too.
    let copy = Computer::with_store(&place, "copy", &place.folder("other"));
    let (from, to) = (computer.store_url(), copy.store_url());
    computer.safe(&["store", "copy", &from, &to, "--account", NAME]);
    value(recover(&copy, &place, &third, THIRD));
    value(login(&copy, &place, THIRD));
    assert_eq!(fs::read(copy.home().join("kept")).unwrap(), b"kept");
    copy.logout();

    value(recover(&computer, &place, &third, NEW));
    value(login(&computer, &place, NEW));
    assert_eq!(fs::read(computer.home().join("kept")).unwrap(), b"kept");
    computer.logout();
}

#[test]
fn words_and_password_come_from_standard_input_and_a_secret_key_is_shown_again() {
    use std::io::Write;
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    let made = computer.json(&[
        "signup",
        NAME,
        "--small-memory",
        "--recovery-sheet",
        "--secret-key",
    ]);
    let words = made["recovery_key"].as_str().unwrap();
    let mut command = computer.command();
    command.args(["--json", "recover", "--password-stdin"]);
    command.env_remove("SAFE_PASSWORD_FILE");
    command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    write!(input, "{words}\n{NEW}\n").unwrap();
    drop(input);
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success());
    let answer: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(answer["secret_key"], made["secret_key"]);
    assert_eq!(code(login(&computer, &place, NEW)), "wrong_password");
}

#[test]
fn nothing_is_set_while_a_session_is_open_here() {
    let place = TestDir::new();
    let first = Computer::new(&place, "first");
    let made = first.json(&["signup", NAME, "--small-memory", "--recovery-sheet"]);
    let words = made["recovery_key"].as_str().unwrap().to_owned();
    first.login();
    assert_eq!(code(recover(&first, &place, &words, NEW)), "in_use");
    // The session goes on, and the password is the one of before.
    fs::write(first.home().join("kept"), "kept").unwrap();
    first.sync();
    first.logout();
    let second = Computer::new(&place, "second");
    second.login();
    assert_eq!(fs::read(second.home().join("kept")).unwrap(), b"kept");
    second.logout();
    value(recover(&first, &place, &words, NEW));
    value(login(&second, &place, NEW));
    second.logout();
}
