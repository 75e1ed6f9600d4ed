//! `safe run`: the command's environment, its signals, its code; and the state after its end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::PathBuf;

use safeos_cli_tests::{Running, eventually, everything_in, refused};
use safeos_suite_tests::computer::{LIMIT, NAME, PASSWORD};
use safeos_suite_tests::{Computer, TestDir, run_for, test_dir};

/// A computer with an account, signed out.
fn computer(place: &TestDir) -> Computer {
    let computer = Computer::new(place, "first");
    computer.sign_up();
    computer
}

#[track_caller]
fn nothing_left(computer: &Computer, place: &TestDir) {
    assert!(computer.daemon().is_none(), "a daemon is left");
    assert_eq!(everything_in(computer.temporary()), [""; 0]);
    assert_eq!(test_dir::mounts_in(place.path()), <[PathBuf; 0]>::default());
}

#[test]
fn home_is_where_the_account_is() {
    let place = TestDir::new();
    let computer = computer(&place);
    let script = r#"
        set -e
        test "$PWD" = "$HOME"
        test "$(pwd -P)" = "$HOME"
        test "$HOME" = "$SAFE_MOUNT/home"
        test -z "${SAFE_PASSWORD_FILE+set}"
        test -z "${XDG_CONFIG_HOME+set}"
        test "$(id -u)" = "$(stat -c %u "$HOME")"
        safe status --json
        echo kept > kept
    "#;
    let old = place.folder("old home");
    let mut command = computer.command();
    command
        .args(["run", NAME, "--", "sh", "-c", script])
        .env("HOME", &old)
        .env("XDG_CONFIG_HOME", old.join(".config"));
    let done = run_for(&mut command, LIMIT).ok();
    assert!(
        done.stdout.contains("\"account\":\"ana\""),
        "{}",
        done.stdout
    );
    nothing_left(&computer, &place);
    assert_eq!(everything_in(&old), [""; 0]);
    // Another computer finds it.
    let second = Computer::new(&place, "second");
    let done = second.safe(&["run", NAME, "--", "cat", "kept"]);
    assert_eq!(done.stdout, "kept\n");
}

#[test]
fn codes_and_missing_commands() {
    let place = TestDir::new();
    let computer = computer(&place);
    for (script, code) in [("exit 0", 0), ("exit 42", 42), ("kill -TERM $$", 143)] {
        computer
            .try_safe(&["run", NAME, "--", "sh", "-c", script])
            .code(code);
    }
    let done = computer
        .try_safe(&["run", NAME, "--", "/etc/passwd"])
        .code(126);
    assert!(done.stderr.contains("/etc/passwd"), "{}", done.stderr);
    nothing_left(&computer, &place);
}

#[test]
fn signing_up_on_the_way() {
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    computer.safe(&["run", NAME, "--signup", "--", "touch", "made"]);
    // Once only, and then the command is not run.
    let message = refused(
        &computer,
        &[
            "run",
            NAME,
            "--signup",
            "--",
            "touch",
            place.path().join("ran").to_str().unwrap(),
        ],
        1,
        "account_exists",
    );
    assert!(message.contains(NAME), "{message}");
    assert!(!place.path().join("ran").exists());
    computer.safe(&["run", NAME, "--", "test", "-e", "made"]);
    refused(
        &computer,
        &["run", "nobody", "--", "true"],
        1,
        "unknown_name",
    );
    nothing_left(&computer, &place);
}

#[test]
fn ctrl_c_is_for_the_command() {
    let place = TestDir::new();
    let computer = computer(&place);
    let mut command = computer.command();
    let script =
        "trap 'echo caught > caught; exit 9' INT; echo ready; while :; do sleep 0.05; done";
    command.args(["run", NAME, "--", "sh", "-c", script]);
    let mut running = Running::start(&mut command);
    running.until("ready");
    running.signal_group(libc::SIGINT);
    let (code, _) = running.end();
    assert_eq!(code, Some(9));
    nothing_left(&computer, &place);
    // It was published all the same.
    let second = Computer::new(&place, "second");
    assert_eq!(
        second.safe(&["run", NAME, "--", "cat", "caught"]).stdout,
        "caught\n"
    );
}

#[test]
fn a_termination_is_passed_on() {
    let place = TestDir::new();
    let computer = computer(&place);
    for (signal, name) in [(libc::SIGTERM, "TERM"), (libc::SIGHUP, "HUP")] {
        let mut command = computer.command();
        let script = format!(
            "trap 'echo {name} > got; exit 5' {name}; echo ready; while :; do sleep 0.05; done"
        );
        command.args(["run", NAME, "--", "sh", "-c", &script]);
        let mut running = Running::start(&mut command);
        running.until("ready");
        running.signal(signal);
        let (code, _) = running.end();
        assert_eq!(code, Some(5), "{name}");
        let done = computer.safe(&["run", NAME, "--", "cat", "got"]);
        assert_eq!(done.stdout, format!("{name}\n"));
    }
    nothing_left(&computer, &place);
}

#[test]
fn what_the_command_leaves_running_is_ended() {
    let place = TestDir::new();
    let computer = computer(&place);
    let script = "(trap 'echo closed > closed; exit' HUP; while :; do sleep 0.05; done) >/dev/null 2>&1 & echo started";
    let done = computer.safe(&["run", NAME, "--", "sh", "-c", script]);
    assert!(done.stdout.contains("started"));
    assert!(
        done.stderr.contains("still in use by"),
        "not said: {}",
        done.stderr
    );
    nothing_left(&computer, &place);
    assert_eq!(
        computer.safe(&["run", NAME, "--", "cat", "closed"]).stdout,
        "closed\n"
    );
}

#[test]
fn a_killed_safe_takes_its_daemon_along() {
    let place = TestDir::new();
    let computer = computer(&place);
    let mut command = computer.command();
    let script = "echo synced > synced; sync; sync synced; echo ready; sleep 60";
    command.args(["run", NAME, "--", "sh", "-c", script]);
    let mut running = Running::start(&mut command);
    running.until("ready");
    running.signal(libc::SIGKILL);
    eventually("the daemon ends with it", || computer.daemon().is_none());
    eventually("the mount goes", || {
        test_dir::mounts_in(place.path()).is_empty()
    });
    running.signal_group(libc::SIGKILL);
    running.end();
    // Synced files are still there.
    let done = computer.safe(&["run", NAME, "--", "cat", "synced"]);
    assert_eq!(done.stdout, "synced\n");
}

#[test]
fn a_shell_on_a_terminal_with_the_password_typed() {
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    // `script` gives a terminal; everything it shows comes out of its standard output.
    let mut command = computer.command();
    let safe = command.get_program().to_owned();
    let line = format!(
        "exec {} run ana --signup",
        safe.to_str().unwrap().replace('\'', "'\\''")
    );
    let variables: Vec<_> = command
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect();
    command = std::process::Command::new("script");
    command
        .args(["-q", "-e", "-f", "-c", &line, "/dev/null"])
        .envs(variables)
        .env("SHELL", "/bin/sh")
        .env("PS1", "in> ")
        .env_remove("ENV")
        .env_remove("SAFE_PASSWORD_FILE");
    let mut terminal = Running::start(&mut command);
    terminal.until("New password for ana: ");
    terminal.write(&format!("{PASSWORD}\n"));
    terminal.until("The same again: ");
    terminal.write(&format!("{PASSWORD}\n"));
    terminal.until("in> ");
    terminal.write("echo typed > typed; echo $((6 * 7)) is the answer\n");
    terminal.until("42 is the answer");
    terminal.write("exit 3\n");
    let (code, seen) = terminal.end();
    assert_eq!(code, Some(3), "{seen}");
    assert!(!seen.contains(PASSWORD), "the password is shown: {seen}");
    nothing_left(&computer, &place);
    assert_eq!(
        computer.safe(&["run", NAME, "--", "cat", "typed"]).stdout,
        "typed\n"
    );
}

#[test]
fn two_that_differ_are_no_password_and_ctrl_c_stops() {
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    let safe = computer.command().get_program().to_owned();
    for (second, code) in [("something else\n", 2), ("\u{3}", 130)] {
        let mut command = std::process::Command::new("script");
        command
            .args(["-q", "-e", "-f", "-c"])
            .arg(format!("exec {} signup ana", safe.to_str().unwrap()))
            .arg("/dev/null")
            .env("SAFE_STATE", &computer.state)
            .env("SAFE_STORE", computer.store_url())
            .env_remove("SAFE_PASSWORD_FILE");
        let mut terminal = Running::start(&mut command);
        terminal.until("New password for ana: ");
        terminal.write("one password\n");
        terminal.until("The same again: ");
        terminal.write(second);
        let (ended, seen) = terminal.end();
        assert_eq!(ended, Some(code), "{seen}");
    }
    assert_eq!(everything_in(&computer.store), [""; 0]);
}

/// Publishing at the end cannot be done: the code says so, and the changes are there the next time.
#[test]
fn when_the_store_goes_away_the_changes_stay_here() {
    let place = TestDir::new();
    let computer = computer(&place);
    let away = place.path().join("away");
    let script = format!(
        "echo late > late; sync late; mv '{}' '{}'; echo > '{}'",
        computer.store.display(),
        away.display(),
        computer.store.display()
    );
    let done = computer.try_safe(&["run", NAME, "--", "sh", "-c", &script]);
    fs::remove_file(&computer.store).unwrap();
    fs::rename(&away, &computer.store).unwrap();
    if done.status.success() {
        // The store's files were open and could still be written: then it is published.
        println!("published in spite of the moved store");
    } else {
        let done = done.code(1);
        assert!(done.stderr.contains("stay"), "{}", done.stderr);
    }
    nothing_left(&computer, &place);
    let done = computer.safe(&["run", NAME, "--", "cat", "late"]);
    assert_eq!(done.stdout, "late\n");
}
