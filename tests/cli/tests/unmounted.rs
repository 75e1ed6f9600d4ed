//! Commands that need no mount, where there can be none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use safeos_cli_tests::everything_in;
use safeos_suite_tests::computer::{LIMIT, NAME};
use safeos_suite_tests::test_dir::needs_root;
use safeos_suite_tests::{Computer, Finished, TestDir, run_for};
use serde_json::Value;

/// `safe` where `/dev/fuse` is something else.
fn without_fuse(computer: &Computer, files: &[(&str, &PathBuf)], arguments: &[&str]) -> Finished {
    let inner = computer.command();
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c"])
        .arg("mount --bind /dev/null /dev/fuse && exec \"$0\" \"$@\"")
        .arg(inner.get_program())
        .args(arguments)
        .envs(
            inner
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .envs(files.iter().map(|(name, path)| (*name, path.as_os_str())));
    run_for(&mut command, LIMIT)
}

#[test]
fn accounts_are_made_checked_changed_and_recovered() {
    if !needs_root("/dev/fuse is hidden in a mount namespace") {
        return;
    }
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    let file = |name: &str, text: &str| {
        let path = place.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    // A command that needs a mount fails and says why.
    let refused = without_fuse(&computer, &[], &["run", "ana", "--signup", "--", "true"]).code(1);
    assert!(
        refused.stderr.contains("is not the kernel's FUSE device"),
        "{}",
        refused.stderr
    );

    let answer = |done: Finished| -> Value { serde_json::from_str(&done.ok().stdout).unwrap() };
    let made = answer(without_fuse(
        &computer,
        &[],
        &[
            "--json",
            "signup",
            "ben",
            "--small-memory",
            "--recovery-sheet",
        ],
    ));
    let check = ["--json", "store", "check", "--account", "ben"];
    let checked = answer(without_fuse(&computer, &[], &check));
    assert_eq!(checked["damaged"], serde_json::json!([]));
    let new = file("new", "another password");
    let files = [("SAFE_NEW_PASSWORD_FILE", &new)];
    without_fuse(&computer, &files, &["passwd", "--account", "ben"]).ok();
    let words = file("words", made["recovery_key"].as_str().unwrap());
    let third = file("third", "a third password");
    let files = [
        ("SAFE_RECOVERY_KEY_FILE", &words),
        ("SAFE_NEW_PASSWORD_FILE", &third),
    ];
    without_fuse(&computer, &files, &["recover"]).ok();
    let files = [("SAFE_PASSWORD_FILE", &third)];
    let published = answer(without_fuse(
        &computer,
        &files,
        &["--json", "publish", "/", "--yes", "--account", "ben"],
    ));
    assert!(published["url"].as_str().unwrap().starts_with("safe://"));
    // Neither a daemon nor a place of its own is left.
    assert!(computer.daemon().is_none());
    assert_eq!(everything_in(computer.temporary()), [""; 0]);
}

#[test]
fn what_was_published_is_fetched() {
    if !needs_root("/dev/fuse is hidden in a mount namespace") {
        return;
    }
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    let shared = computer.home().join("shared");
    fs::create_dir_all(shared.join("sub/deep")).unwrap();
    fs::write(shared.join("sub/deep/file"), "12345".repeat(100_000)).unwrap();
    let sparse = fs::File::create(shared.join("sparse")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"end", 1 << 30).unwrap();
    drop(sparse);
    std::os::unix::fs::symlink("sub/deep/file", shared.join("link")).unwrap();
    let published = computer.json(&["publish", shared.to_str().unwrap()]);
    let url = published["url"].as_str().unwrap().to_owned();
    computer.logout();

    let to = place.path().join("fetched");
    let target = to.to_str().unwrap();
    without_fuse(&computer, &[], &["get", &url, target]).ok();
    let text = fs::read_to_string(to.join("link")).unwrap();
    assert_eq!(text, "12345".repeat(100_000));
    let sparse = fs::metadata(to.join("sparse")).unwrap();
    assert_eq!(sparse.len(), (1 << 30) + 3);
    assert!(std::os::unix::fs::MetadataExt::blocks(&sparse) < 1000);
    // A part of it, by its path.
    let part = place.path().join("part");
    let inside = format!("{url}/sub/deep/file");
    without_fuse(&computer, &[], &["get", &inside, part.to_str().unwrap()]).ok();
    assert_eq!(fs::read_to_string(part.join("file")).unwrap(), text);
    let missing = format!("{url}/sub/none");
    let done = without_fuse(&computer, &[], &["--json", "get", &missing, target]).code(1);
    assert_eq!(safeos_cli_tests::error(&done)["code"], "not_found");
}

#[test]
fn keys_are_shown_before_the_store_is_asked() {
    let place = TestDir::new();
    let computer = Computer::with_url(&place, "first", "http://127.0.0.1:1");
    let done = computer
        .try_safe(&[
            "signup",
            NAME,
            "--small-memory",
            "--secret-key",
            "--recovery-sheet",
        ])
        .code(1);
    for shown in ["The secret key of ana", " 1. ", "12. "] {
        assert!(done.stdout.contains(shown), "{}", done.stdout);
    }
    assert!(!done.stdout.contains("is made on"), "{}", done.stdout);
    assert!(done.stderr.contains("keep the keys"), "{}", done.stderr);
    let done = computer
        .try_safe(&[
            "--json",
            "signup",
            NAME,
            "--small-memory",
            "--recovery-sheet",
        ])
        .code(1);
    assert_eq!(done.stdout, "");
    let first: Value = serde_json::from_str(done.stderr.lines().next().unwrap()).unwrap();
    assert!(first["keys"]["recovery_key"].is_string(), "{first}");
}
