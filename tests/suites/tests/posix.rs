//! The suites of others: pjdfstest and fsx. No failure is allowed in either.
//!
//! They run in homes whose store and state lie in a tmpfs of limited size, so that a program that runs wild
//! cannot fill the machine.
// Test support: a failed expectation is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use safeos_suite_tests::random::seed;
use safeos_suite_tests::run::{say, tail};
use safeos_suite_tests::test_dir::{detach, needs_root};
use safeos_suite_tests::{Computer, TestDir, run_for, tools};

const GIB: u64 = 1 << 30;

/// The rewrite of pjdfstest in Rust, from the registry.
#[test]
fn pjdfstest() {
    if !needs_root("pjdfstest (it changes owners and users)") {
        return;
    }
    let program = tools::installed("pjdfstest", "0.2.2");
    let place = TestDir::capped(GIB);
    let computer = Computer::signed_up(&place);
    let folder = open_to_all(&place, &computer);
    // Users that every Debian has. The features are those that Linux has.
    let settings = place.path().join("pjdfstest.toml");
    fs::write(
        &settings,
        "[features]\nposix_fallocate = {}\nrename_ctime = {}\nutimensat = {}\nutime_now = {}\n\
         \n[settings]\nnaptime = 0.01\n\n\
         [dummy_auth]\nentries = [[\"nobody\", \"nogroup\"], [\"daemon\", \"daemon\"]]\n",
    )
    .unwrap();
    let mut command = Command::new(program);
    command.env("NO_COLOR", "1").env("CLICOLOR", "0");
    command.arg("-c").arg(&settings).arg("-p").arg(&folder);
    command.arg("-s").arg(place.folder("elsewhere"));
    let done = run_for(&mut command, Duration::from_secs(600));
    let summary = done
        .stdout
        .lines()
        .rev()
        .find(|line| line.contains("Summary"));
    let summary =
        summary.unwrap_or_else(|| panic!("no summary:\n{}\n{}", tail(&done.stdout), done.stderr));
    let [failed, skipped, passed] =
        ["failed", "skipped", "passed"].map(|what| count(summary, what));
    say(&format!(
        "pjdfstest: {passed} passed, {failed} failed, {skipped} skipped"
    ));
    let failures: Vec<&str> = done
        .stdout
        .lines()
        .filter(|line| line.contains("FAILED"))
        .collect();
    assert!(
        failed == 0 && done.status.success(),
        "{summary}\n{}\n{}",
        failures.join("\n"),
        tail(&done.stdout)
    );
    assert!(passed >= 100, "only {passed} passed: {summary}");
    detach(&folder);
    computer.logout();
}

/// The number before a word of the summary.
fn count(summary: &str, what: &str) -> u64 {
    let mut words = summary.split([' ', ',']).filter(|word| !word.is_empty());
    let mut last = "";
    for word in words.by_ref() {
        if word == what {
            return last.parse().unwrap_or_else(|_| panic!("{summary:?}"));
        }
        last = word;
    }
    panic!("{summary:?} says nothing of {what}");
}

/// The C original with its 8,798 assertions, where `SAFEOS_PJDFSTEST_C` names a folder with it, built.
#[test]
fn pjdfstest_in_c() {
    let Some(original) = std::env::var_os("SAFEOS_PJDFSTEST_C") else {
        say("SKIPPED: SAFEOS_PJDFSTEST_C names no folder with the C original of pjdfstest");
        return;
    };
    if !needs_root("pjdfstest in C") {
        return;
    }
    let place = TestDir::capped(GIB);
    let computer = Computer::signed_up(&place);
    let folder = open_to_all(&place, &computer);
    let mut command = Command::new("prove");
    command
        .args(["--recurse", "--jobs", "2"])
        .arg(Path::new(&original).join("tests"));
    command.current_dir(&folder);
    let done = run_for(&mut command, Duration::from_secs(1800));
    let totals = done
        .stdout
        .lines()
        .rev()
        .find(|line| line.starts_with("Files="));
    say(&format!(
        "pjdfstest in C: {}",
        totals.unwrap_or("no totals")
    ));
    let report = done
        .stdout
        .find("Test Summary Report")
        .map_or("", |at| &done.stdout[at..]);
    assert!(done.status.success(), "{report}\n{}", tail(&done.stdout));
    let assertions = totals.and_then(|line| {
        line.split("Tests=")
            .nth(1)?
            .split(',')
            .next()?
            .parse::<u64>()
            .ok()
    });
    assert!(assertions.is_some_and(|n| n > 8_000), "{totals:?}");
    detach(&folder);
    computer.logout();
}

/// A folder of the home that other users can walk to, as the suites switch users.
///
/// A home is invisible to other users by its very name, so root shows it to them under another: as a bind mount.
fn open_to_all(place: &TestDir, computer: &Computer) -> PathBuf {
    let inside = computer.home().join("pjd");
    fs::create_dir(&inside).unwrap();
    fs::set_permissions(&inside, fs::Permissions::from_mode(0o755)).unwrap();
    let shown = place.folder("p");
    let mut mount = Command::new("mount");
    mount.arg("--bind").arg(&inside).arg(&shown);
    run_for(&mut mount, Duration::from_secs(10)).ok();
    shown
}

const OPERATIONS: &str = "flen = {flen}\n[opsize]\nmax = {max}\n[weights]\nclose_open = 2\nread = 10\nwrite = 10\nmapread = 10\n\
                          mapwrite = 10\ninvalidate = 1\ntruncate = 5\nfsync = 1\nfdatasync = 1\npunch_hole = 5\n\
                          posix_fallocate = 3\ncopy_file_range = 3\nsendfile = 2\n";

/// Runs fsx with files of up to `flen` bytes.
fn fsx(flen: u64, max: u64, operations: u64) {
    let program = tools::installed("fsx", "0.3.2");
    let place = match needs_root("the limit on fsx's folder") {
        true => TestDir::capped(GIB),
        false => TestDir::new(),
    };
    let computer = Computer::signed_up(&place);
    let settings = place.path().join("fsx.toml");
    let text = OPERATIONS
        .replace("{flen}", &flen.to_string())
        .replace("{max}", &max.to_string());
    fs::write(&settings, text).unwrap();
    let seed = seed();
    let mut command = Command::new(program);
    command.arg("-f").arg(&settings).arg("-P").arg(place.path());
    command.args([
        "-N",
        &operations.to_string(),
        "-S",
        &(seed % (1 << 31)).to_string(),
    ]);
    command.arg(computer.home().join("fsx"));
    say(&format!(
        "fsx: seed {}, {operations} operations on up to {flen} bytes",
        seed % (1 << 31)
    ));
    let done = run_for(&mut command, Duration::from_secs(300));
    let log = tail(&done.stdout);
    assert!(
        done.status.success() && done.stdout.contains("All operations completed"),
        "seed {seed}: {log}\n{}",
        tail(&done.stderr)
    );
    let content = fs::read(computer.home().join("fsx")).unwrap();
    computer.logout();
    let second = Computer::new(&place, "second");
    second.login();
    assert!(
        fs::read(second.home().join("fsx")).unwrap() == content,
        "another computer finds the same file"
    );
    second.logout();
}

#[test]
fn fsx_on_a_small_file() {
    fsx(256 << 10, 64 << 10, 10_000);
}

#[test]
fn fsx_on_a_file_of_many_blocks() {
    fsx(8 << 20, 512 << 10, 2_000);
}
