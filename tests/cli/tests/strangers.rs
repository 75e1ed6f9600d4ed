//! Folders and files of others: nothing secret goes into them, and nothing is written through their links.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};

use safeos_cli_tests::{everything_in, refused};
use safeos_suite_tests::computer::{LIMIT, NAME, PASSWORD};
use safeos_suite_tests::test_dir::needs_root;
use safeos_suite_tests::{Computer, TestDir, run_for};

const STRANGER: u32 = 12_345;

#[test]
fn a_state_folder_of_somebody_else_gets_no_password() {
    if !needs_root("a folder of another user is made") {
        return;
    }
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    chown(&computer.state, Some(STRANGER), Some(STRANGER)).unwrap();
    for command in ["signup", "login", "run"] {
        let message = refused(&computer, &[command, NAME], 1, "not_yours");
        assert!(message.contains("user 12345"), "{message}");
        assert!(message.contains("SAFE_STATE"), "{message}");
    }
    // Nor one that lies in such a folder.
    let inner = computer.state.join("inner");
    fs::create_dir(&inner).unwrap();
    let mut command = computer.command();
    command.args(["status"]).env("SAFE_STATE", &inner);
    let done = run_for(&mut command, LIMIT).code(1);
    assert!(done.stderr.contains("user 12345"), "{}", done.stderr);
    assert_eq!(everything_in(&inner), [""; 0]);
}

#[test]
fn a_state_folder_that_everybody_writes_is_refused_with_the_line_to_type() {
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    fs::set_permissions(&computer.state, fs::Permissions::from_mode(0o777)).unwrap();
    let message = refused(&computer, &["login", NAME], 1, "not_yours");
    let line = format!("chmod go-w {}", computer.state.display());
    assert!(message.contains(&line), "{message}");
}

#[test]
fn what_only_looks_like_a_control_file_gets_no_password() {
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    let catcher = place.path().join("catcher");
    fs::write(&catcher, "").unwrap();
    for linked in [false, true] {
        let control = computer.mount.join(".ctl");
        if linked {
            fs::remove_file(&control).unwrap();
            symlink(&catcher, &control).unwrap();
        } else {
            fs::write(&control, "").unwrap();
        }
        let new = place.path().join("new");
        fs::write(&new, "another password").unwrap();
        let mut command = computer.command();
        command.args(["--json", "passwd"]);
        command.env("SAFE_NEW_PASSWORD_FILE", &new);
        let done = run_for(&mut command, LIMIT).code(1);
        let error = safeos_cli_tests::error(&done);
        assert_eq!(error["code"], "not_yours", "{error}");
        for path in [&control, &catcher] {
            assert_eq!(fs::read_to_string(path).unwrap(), "");
        }
    }
}

#[test]
fn a_store_is_not_written_through_a_link_of_somebody_else() {
    if !needs_root("a link of another user is made") {
        return;
    }
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    computer.sign_up();
    let (target, shared) = (place.folder("precious"), place.folder("shared"));
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o1777)).unwrap();
    let link = shared.join("copy");
    symlink(&target, &link).unwrap();
    lchown(&link, Some(STRANGER), Some(STRANGER)).unwrap();
    let (from, to) = (computer.store_url(), format!("file://{}", link.display()));
    let message = refused(&computer, &["store", "copy", &from, &to], 1, "not_yours");
    assert!(message.contains("link that user 12345"), "{message}");
    let pages = link.join("pages");
    let pages = pages.to_str().unwrap();
    refused(&computer, &["man", pages], 1, "not_yours");
    assert_eq!(everything_in(&target), [""; 0]);
    // One's own link is followed.
    fs::remove_file(&link).unwrap();
    symlink(&target, &link).unwrap();
    computer.safe(&["store", "copy", &from, &to]);
}

#[test]
fn a_secret_in_a_file_that_all_can_read_is_told_once_it_has_worked() {
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    let password = place.path().join("exposed");
    fs::write(&password, PASSWORD).unwrap();
    let run = |mode: u32, arguments: &[&str]| {
        fs::set_permissions(&password, fs::Permissions::from_mode(mode)).unwrap();
        let mut command = computer.command();
        command.args(arguments);
        run_for(command.env("SAFE_PASSWORD_FILE", &password), LIMIT)
    };
    let done = run(0o644, &["signup", NAME, "--small-memory"]).ok();
    let line = format!("chmod 600 {}", password.display());
    assert!(done.stderr.contains(&line), "{}", done.stderr);
    assert!(!done.stderr.contains(PASSWORD));
    let check = ["store", "check", "--account", NAME];
    let done = run(0o600, &check).ok();
    assert_eq!(done.stderr, "");
    let done = run(0o644, &[&check[..], &["--json"]].concat()).ok();
    let warning: serde_json::Value = serde_json::from_str(&done.stderr).unwrap();
    assert_eq!(warning["warning"]["code"], "file_exposed");
    // An error stays the one line that it is.
    let done = run(0o644, &["signup", NAME, "--small-memory"]).code(1);
    assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
}
