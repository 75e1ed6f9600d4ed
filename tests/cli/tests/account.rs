//! Signing up, in and out; and every way to fail at it, each with its own code and a way out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;

use safeos_cli_tests::{everything_in, refused};
use safeos_suite_tests::computer::{LIMIT, NAME, PASSWORD};
use safeos_suite_tests::{Computer, TestDir, run_for};

#[test]
fn an_account_is_made_once() {
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    let made = computer.json(&["signup", NAME, "--small-memory"]);
    assert_eq!(made["account"], NAME);
    assert_eq!(made["store"], computer.store_url());
    assert!(made.get("secret_key").is_none());
    assert!(computer.daemon().is_none(), "signup leaves a daemon");
    refused(
        &computer,
        &["signup", NAME, "--small-memory"],
        1,
        "account_exists",
    );
    // The same name for people.
    let message = refused(
        &computer,
        &["signup", "  ANA ", "--small-memory"],
        1,
        "account_exists",
    );
    assert!(message.contains("sign in"), "{message}");
    assert_eq!(everything_in(computer.temporary()), [""; 0]);
}

/// Its disk may not be mounted: an empty store in its place would say that there is no such account.
#[test]
fn a_store_that_is_away_is_not_made_anew() {
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    computer.sign_up();
    let there = place.path().join("store");
    let away = place.path().join("away");
    fs::rename(&there, &away).unwrap();
    for arguments in [
        &["login", NAME][..],
        &["run", NAME, "--", "true"],
        &["store", "stats"],
    ] {
        let done = run_for(computer.command().args(arguments), LIMIT).code(1);
        assert!(
            done.stderr.contains("there is no store at") && done.stderr.contains("mounted"),
            "{}",
            done.stderr
        );
        assert!(!there.exists(), "{arguments:?} made a store");
    }
    fs::rename(&away, &there).unwrap();
    computer.login();
    computer.logout();
}

#[test]
fn wrong_password_and_unknown_name_are_told_apart() {
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    computer.sign_up();
    let wrong = place.path().join("wrong");
    fs::write(&wrong, "not the password").unwrap();
    let mut command = computer.command();
    command
        .args(["login", NAME])
        .env("SAFE_PASSWORD_FILE", &wrong);
    let done = run_for(&mut command, LIMIT).code(1);
    assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
    assert!(
        done.stderr.starts_with("safe: wrong password"),
        "{}",
        done.stderr
    );
    refused(&computer, &["login", "nobody"], 1, "unknown_name");
    refused(&computer, &["login", ""], 1, "bad_name");
    refused(&computer, &["signup", ".."], 1, "bad_name");
    assert!(
        computer.daemon().is_none(),
        "a failed login leaves a daemon"
    );
    assert!(!computer.home().exists());
    // And the right one still works.
    computer.login();
    computer.logout();
}

#[test]
fn an_empty_password_is_wrong_use() {
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    let empty = place.path().join("empty");
    fs::write(&empty, "\n").unwrap();
    for command in ["signup", "login", "run"] {
        let mut line = computer.command();
        line.args([command, NAME]).env("SAFE_PASSWORD_FILE", &empty);
        let done = run_for(&mut line, LIMIT).code(2);
        assert!(done.stderr.contains("is empty"), "{}", done.stderr);
    }
    assert_eq!(everything_in(&computer.store), [""; 0]);
}

#[test]
fn the_password_can_come_from_standard_input() {
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    computer.sign_up();
    let script = format!("printf '%s\\nrest of it\\n' '{PASSWORD}' | \"$@\"");
    let safe = computer.command().get_program().to_owned();
    let mut command = computer.command();
    // The same environment, with a shell before it.
    let variables: Vec<_> = command
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect();
    command = std::process::Command::new("sh");
    command
        .args(["-c", &script, "sh"])
        .arg(safe)
        .args(["run", NAME, "--password-stdin", "--", "cat"])
        .envs(variables)
        .env_remove("SAFE_PASSWORD_FILE");
    let done = run_for(&mut command, LIMIT).ok();
    // Input after the line belongs to the command.
    assert_eq!(done.stdout, "rest of it\n");
}

#[test]
fn without_a_terminal_it_does_not_wait_for_a_password() {
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    let mut command = std::process::Command::new("setsid");
    command
        .arg("--wait")
        .arg(computer.command().get_program())
        .args(["login", NAME])
        .env("SAFE_STATE", &computer.state)
        .env("SAFE_STORE", computer.store_url())
        .env("SAFE_MOUNT", &computer.mount)
        .env_remove("SAFE_PASSWORD_FILE");
    let done = run_for(&mut command, LIMIT).code(2);
    assert!(
        done.stderr.contains("SAFE_PASSWORD_FILE"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_store_that_is_away_is_said_to_be() {
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    computer.sign_up();
    for url in ["ftp://x", "nonsense", "file://relative"] {
        let done = computer.try_safe(&["login", NAME, "--store", url]).code(1);
        assert!(
            done.stderr.contains(url) && done.stderr.lines().count() == 1,
            "{url}: {}",
            done.stderr
        );
    }
    // A file where the store's folder should be.
    let file = place.path().join("file");
    fs::write(&file, "").unwrap();
    let url = format!("file://{}", file.display());
    let done = computer.try_safe(&["login", NAME, "--store", &url]).code(1);
    assert!(done.stderr.contains(&url), "{}", done.stderr);
    assert!(computer.daemon().is_none());
}

#[test]
fn a_secret_key_is_needed_where_there_is_one() {
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    let made = computer.json(&["signup", NAME, "--small-memory", "--secret-key"]);
    let key = made["secret_key"].as_str().unwrap();
    assert_eq!(key.len(), 35, "{key}");
    refused(&computer, &["login", NAME], 1, "wrong_password");
    let file = place.path().join("key");
    fs::write(&file, key.to_lowercase()).unwrap();
    let login = |path: &std::path::Path| {
        let mut command = computer.command();
        command
            .args(["login", NAME, "--secret-key"])
            .env("SAFE_SECRET_KEY_FILE", path);
        run_for(&mut command, LIMIT)
    };
    login(&file).ok();
    assert!(computer.home().is_dir());
    computer.logout();
    let wrong = place.path().join("wrong");
    fs::write(&wrong, key.replace(&key[..1], "#")).unwrap();
    let done = login(&wrong).code(1);
    assert!(done.stderr.contains("secret key"), "{}", done.stderr);
    assert!(!done.stderr.contains(&key[6..]), "an error shows the key");
}

#[test]
fn a_changed_password_changes_it_everywhere() {
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    fs::write(computer.home().join("kept"), "kept").unwrap();
    let new = place.path().join("new");
    fs::write(&new, "another password for tests").unwrap();
    let wrong = place.path().join("wrong");
    fs::write(&wrong, "no such password").unwrap();
    let passwd = |old: Option<&std::path::Path>| {
        let mut command = computer.command();
        command.arg("passwd").env("SAFE_NEW_PASSWORD_FILE", &new);
        if let Some(old) = old {
            command.env("SAFE_PASSWORD_FILE", old);
        }
        run_for(&mut command, LIMIT)
    };
    let done = passwd(Some(&wrong)).code(1);
    assert!(done.stderr.contains("password"), "{}", done.stderr);
    passwd(None).ok();
    computer.logout();
    let second = Computer::new(&place, "second");
    let done = second.try_safe(&["login", NAME]).code(1);
    assert!(done.stderr.contains("password"), "{}", done.stderr);
    let mut command = second.command();
    command
        .args(["login", NAME])
        .env("SAFE_PASSWORD_FILE", &new);
    run_for(&mut command, LIMIT).ok();
    assert_eq!(fs::read(second.home().join("kept")).unwrap(), b"kept");
    second.logout();
}

#[test]
fn a_session_whose_password_was_changed_elsewhere_is_told_the_way_out() {
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    let other = Computer::new(&place, "other");
    other.login();
    let new = place.path().join("new");
    fs::write(&new, "another password for tests").unwrap();
    let mut passwd = other.command();
    passwd.arg("passwd").env("SAFE_NEW_PASSWORD_FILE", &new);
    run_for(&mut passwd, LIMIT).ok();

    fs::write(computer.home().join("waits"), "not lost").unwrap();
    for command in ["sync", "logout"] {
        let message = refused(&computer, &[command], 1, "retired");
        assert!(
            message.contains("safe logout --later") && !message.contains("try again"),
            "{command}: {message}"
        );
    }
    run_for(computer.command().args(["logout", "--later"]), LIMIT).ok();
    let mut login = computer.command();
    login.args(["login", NAME]).env("SAFE_PASSWORD_FILE", &new);
    run_for(&mut login, LIMIT).ok();
    computer.logout();
    other.sync();
    assert_eq!(fs::read(other.home().join("waits")).unwrap(), b"not lost");
    other.logout();
}
