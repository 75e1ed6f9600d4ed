//! An open session: how it is found, what it says, how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::process::Command;

use safeos_cli_tests::{eventually, refused};
use safeos_suite_tests::computer::{LIMIT, NAME};
use safeos_suite_tests::{Computer, TestDir, run_for, test_dir};

#[test]
fn a_session_without_a_sign_in_screen_cannot_be_locked() {
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    let message = refused(&computer, &["lock"], 1, "no_lock");
    assert!(message.contains("orbital-login"), "{message}");
}

#[test]
fn status_says_how_things_stand() {
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    fs::write(computer.home().join("file"), vec![7; 300_000]).unwrap();
    let file = fs::File::open(computer.home().join("file")).unwrap();
    file.sync_all().unwrap();
    let status = computer.json(&["status"]);
    assert_eq!(status["account"], NAME);
    assert_eq!(status["store"], computer.store_url());
    assert!(status["records"].is_u64(), "{status}");
    assert!(status["unpublished_bytes"].is_u64(), "{status}");
    assert_eq!(status["problems"], serde_json::json!([]));
    assert_eq!(
        status["mount"].as_str().unwrap(),
        computer.mount.to_str().unwrap()
    );
    computer.sync();
    let status = computer.json(&["status"]);
    assert_eq!(status["unpublished_bytes"], 0, "{status}");
    assert!(
        status["used_bytes"].as_u64().unwrap() >= 300_000,
        "{status}"
    );
    let text = computer.safe(&["status"]).stdout;
    for word in [NAME, "unpublished", &computer.store_url()] {
        assert!(text.contains(word), "{text}");
    }
    // Nothing new: nothing to publish.
    assert_eq!(computer.sync()["changed"], false);
    computer.logout();
    refused(&computer, &["status"], 1, "no_session");
    refused(&computer, &["sync"], 1, "no_session");
    refused(&computer, &["logout"], 1, "no_session");
}

/// Without SAFE_MOUNT: at its default place, found again by the note in the state folder.
fn plain(computer: &Computer) -> Command {
    let mut command = computer.command();
    command.env_remove("SAFE_MOUNT").current_dir("/");
    command
}

#[test]
fn a_session_is_found_without_being_told() {
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    computer.sign_up();
    let run = |arguments: &[&str]| run_for(plain(&computer).args(arguments), LIMIT);
    run(&["login", NAME]).ok();
    let home = computer.state.join("mnt/home");
    assert!(home.is_dir());
    fs::write(home.join("a"), "a").unwrap();
    run(&["status"]).ok();
    run(&["login", NAME]).code(1);
    // A second one, elsewhere: then it must be said which.
    let mut other = plain(&computer);
    let folder = place.folder("other mount");
    other.args(["signup", "ben", "--small-memory"]);
    run_for(&mut other, LIMIT).ok();
    run(&["login", "ben", "--mount", folder.to_str().unwrap()]).ok();
    let done = run(&["status"]).code(2);
    assert!(done.stderr.contains("--mount"), "{}", done.stderr);
    let done = run(&["status", "--json", "--mount", folder.to_str().unwrap()]).ok();
    assert!(done.stdout.contains("\"ben\""), "{}", done.stdout);
    run(&["logout", "--mount", folder.to_str().unwrap()]).ok();
    // Now there is one again.
    let done = run(&["status", "--json"]).ok();
    assert!(done.stdout.contains("\"ana\""), "{}", done.stdout);
    run(&["logout"]).ok();
    // The folder stays, and nothing can be written where the home was.
    assert!(!home.exists());
    assert!(fs::create_dir_all(&home).is_err());
    assert_eq!(
        test_dir::mounts_in(place.path()),
        [""; 0].map(std::path::PathBuf::from)
    );
    eventually("the daemons end", || computer.daemon().is_none());
}

#[test]
fn a_folder_with_files_is_not_mounted_over() {
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    computer.sign_up();
    let folder = place.folder("full");
    fs::write(folder.join("file"), "mine").unwrap();
    let done = computer
        .try_safe(&["login", NAME, "--mount", folder.to_str().unwrap()])
        .code(2);
    assert!(done.stderr.contains("not empty"), "{}", done.stderr);
    assert_eq!(fs::read(folder.join("file")).unwrap(), b"mine");
    let done = computer
        .try_safe(&["login", NAME, "--mount", "/proc/nothing"])
        .code(1);
    assert!(done.stderr.contains("/proc/nothing"), "{}", done.stderr);
}

#[test]
fn after_a_killed_daemon_one_signs_in_as_ever() {
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    let path = computer.home().join("synced");
    fs::write(&path, "synced").unwrap();
    fs::File::open(&path).unwrap().sync_all().unwrap();
    computer.kill();
    let done = computer.try_safe(&["status"]).code(1);
    assert!(done.stderr.contains("safe login"), "{}", done.stderr);
    computer.login();
    assert_eq!(fs::read(&path).unwrap(), b"synced");
    computer.logout();
}

#[test]
fn a_program_in_the_home_does_not_hold_the_logout_up() {
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    let mut sleeper = Command::new("sleep")
        .arg("300")
        .current_dir(computer.home())
        .spawn()
        .unwrap();
    let done = computer.safe(&["logout"]);
    assert!(
        done.stderr.contains("sleep"),
        "who holds it is not said: {}",
        done.stderr
    );
    assert!(!computer.home().exists());
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}

#[test]
fn completions_and_pages() {
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    for shell in ["bash", "zsh", "fish"] {
        let text = computer.safe(&["completions", shell]).stdout;
        assert!(text.contains("signup"), "{shell}");
    }
    let pages = place.folder("man");
    let done = computer.json(&["man", pages.to_str().unwrap()]);
    assert!(done["pages"].as_u64().unwrap() > 15, "{done}");
    assert!(pages.join("safe-restore.1").is_file());
    // A reader that goes away is no error.
    let mut command = Command::new("sh");
    command
        .args(["-c", "\"$0\" completions bash | head -n 1"])
        .arg(computer.command().get_program());
    assert_eq!(run_for(&mut command, LIMIT).ok().stderr, "");
}

#[test]
fn wrong_use_is_two_and_help_is_zero() {
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    computer.try_safe(&["frobnicate"]).code(2);
    computer.try_safe(&["login"]).code(2);
    computer.try_safe(&["login", NAME, "--password=x"]).code(2);
    computer.try_safe(&["run", NAME, "ls"]).code(2);
    computer.try_safe(&["get", "http://example"]).code(2);
    computer.safe(&["--help"]);
    computer.safe(&["--version"]);
}
