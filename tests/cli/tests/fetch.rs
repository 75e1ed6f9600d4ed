//! `safe publish` and `safe get`, before a person's eyes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use safeos_cli_tests::{everything_in, limit_files, refused};
use safeos_suite_tests::computer::LIMIT;
use safeos_suite_tests::{Computer, TestDir, run_for};

fn published(computer: &Computer, path: &str) -> String {
    let answer = computer.json(&["publish", path]);
    answer["url"].as_str().unwrap().to_owned()
}

fn get(computer: &Computer, at: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = computer.command();
    command.arg("get").args(arguments).current_dir(at);
    let done = run_for(&mut command, LIMIT);
    (
        done.status.code(),
        format!("{}{}", done.stdout, done.stderr),
    )
}

#[test]
fn a_record_that_says_it_is_large_takes_no_room() {
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    let folder = computer.home().join("folder");
    fs::create_dir(&folder).unwrap();
    let sparse = fs::File::create(folder.join("sparse")).unwrap();
    sparse.set_len(58 << 30).unwrap();
    sparse.write_all_at(b"the end", (58 << 30) - 7).unwrap();
    drop(sparse);
    assert!(
        Command::new("mkfifo")
            .arg(folder.join("pipe"))
            .status()
            .unwrap()
            .success()
    );
    let url = published(&computer, "folder");
    let here = place.folder("here");
    let (code, said) = get(&computer, &here, &[&url]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("58.0 GiB") && said.contains("holes"),
        "{said}"
    );
    assert!(said.contains("left out: pipe is a named pipe"), "{said}");
    // One folder of its own, and nothing beside it.
    let names = everything_in(&here);
    let top: Vec<_> = fs::read_dir(&here).unwrap().map(Result::unwrap).collect();
    assert_eq!(top.len(), 1, "{names:?}");
    let copy = fs::metadata(top[0].path().join("sparse")).unwrap();
    assert_eq!(copy.len(), 58 << 30);
    assert!(copy.blocks() < 1000, "{}", copy.blocks());
    let (code, said) = get(&computer, &here, &[&url]);
    assert_eq!(code, Some(1));
    assert!(said.contains("is there already"), "{said}");
    computer.logout();
}

#[test]
fn what_does_not_fit_is_said_before_and_leaves_nothing() {
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    let folder = computer.home().join("folder");
    fs::create_dir(&folder).unwrap();
    let noise: Vec<u8> = (0..3_000_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    fs::write(folder.join("large"), &noise).unwrap();
    let url = published(&computer, "folder");
    // A small disk, which root can have.
    let small = place.folder("small");
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
        .arg(&small)
        .status();
    if mounted.is_ok_and(|status| status.success()) {
        let (code, said) = get(&computer, &small, &[&url]);
        let left = everything_in(&small);
        let _ = Command::new("umount").arg(&small).status();
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("2.9 MiB do not fit"), "{said}");
        assert_eq!(left, Vec::<String>::new());
    }
    computer.logout();
}

/// A limit on the size of files is told like a full disk, and nothing partial stays.
#[test]
fn what_a_limit_on_files_stops_leaves_nothing() {
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    fs::write(computer.home().join("large"), vec![7; 1_000_000]).unwrap();
    let url = published(&computer, "large");
    computer.logout();
    let here = place.folder("here");
    let mut command = computer.command();
    command.args(["get", &url]).current_dir(&here);
    limit_files(&mut command, 100 * 1024);
    let done = run_for(&mut command, LIMIT).code(1);
    assert!(done.stderr.contains("large"), "{}", done.stderr);
    assert_eq!(everything_in(&here), Vec::<String>::new());
}

#[test]
fn another_file_of_that_name_is_not_mistaken_for_the_one_in_the_home() {
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    fs::write(computer.home().join("notes"), "in the home").unwrap();
    let elsewhere = place.folder("elsewhere");
    let publish = |path: &str| {
        let mut command = computer.command();
        run_for(
            command.args(["publish", path]).current_dir(&elsewhere),
            LIMIT,
        )
    };
    // There is one only.
    publish("notes").ok();
    fs::write(elsewhere.join("notes"), "not in the home").unwrap();
    for path in ["notes", "./notes"] {
        let refused = publish(path).code(2);
        assert!(
            refused.stderr.contains("in this folder too") && refused.stdout.is_empty(),
            "{refused:?}"
        );
    }
    publish(computer.home().join("notes").to_str().unwrap()).ok();
    computer.logout();
}

#[test]
fn an_address_with_a_wrong_letter_is_said_to_be_one() {
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    fs::write(computer.home().join("notes"), "in the home").unwrap();
    let url = published(&computer, "notes");
    let (start, last) = url.split_at(url.len() - 2);
    let other = if last.starts_with('a') { "bb" } else { "aa" };
    let (code, said) = get(&computer, place.path(), &[&format!("{start}{other}")]);
    assert_ne!(code, Some(0), "{said}");
    assert!(said.contains("address"), "{said}");
    computer.logout();
    let (code, said) = get(&computer, place.path(), &[&format!("{start}{other}")]);
    assert_ne!(code, Some(0), "{said}");
    assert!(said.contains("address"), "{said}");
}

#[test]
fn a_whole_home_is_published_only_on_purpose() {
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    fs::write(computer.home().join("file"), b"1").unwrap();
    // Without a terminal no question can be asked.
    let home = computer.home();
    for path in [".", home.to_str().unwrap()] {
        let mut command = Command::new("setsid");
        let safe = computer.command();
        command
            .arg("-w")
            .arg(safe.get_program())
            .args(["publish", path])
            .current_dir(&home);
        for (name, value) in safe.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let done = run_for(&mut command, LIMIT);
        assert_eq!(done.status.code(), Some(1), "{}", done.stderr);
        assert!(done.stderr.contains("--yes"), "{}", done.stderr);
    }
    refused(
        &computer,
        &["publish", home.to_str().unwrap()],
        1,
        "not_confirmed",
    );
    let url = computer.json(&["publish", "--yes", home.to_str().unwrap()]);
    let there = place.path().join("there");
    let url = url["url"].as_str().unwrap();
    let (code, said) = get(&computer, place.path(), &[url, there.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(fs::read(there.join("file")).unwrap(), b"1");
    computer.logout();
}

#[test]
fn nobody_gets_rights_from_a_stranger() {
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    let folder = computer.home().join("folder");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("program"), b"#!/bin/sh\n").unwrap();
    let program = fs::Permissions::from_mode(0o6777);
    fs::set_permissions(folder.join("program"), program).unwrap();
    let url = published(&computer, "folder");
    let shown = computer.mount.join("public").join(&url["safe://".len()..]);
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(mode(&shown.join("program")), 0o777);
    let to = place.path().join("to");
    let (code, said) = get(&computer, place.path(), &[&url, to.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(mode(&to.join("program")), 0o755);
    computer.logout();
}
