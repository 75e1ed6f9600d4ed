//! History, and sharing by address.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use safeos_cli_tests::{eventually, refused};
use safeos_suite_tests::computer::LIMIT;
use safeos_suite_tests::{Computer, TestDir, run_for};
use serde_json::Value;

fn names(computer: &Computer) -> Vec<String> {
    let log = computer.json(&["log"]);
    let list = log["snapshots"].as_array().unwrap();
    list.iter()
        .map(|one| one["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn what_was_can_be_brought_back() {
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    let letter = computer.home().join("docs/letter");
    fs::create_dir(computer.home().join("docs")).unwrap();
    fs::write(&letter, "first").unwrap();
    computer.sync();
    let first = names(&computer)[0].clone();
    fs::write(&letter, "second").unwrap();
    computer.sync();
    let all = names(&computer);
    assert!(all.len() >= 2 && all[0] > first, "newest first: {all:?}");
    assert!(all.contains(&first));
    let one = computer.json(&["log", "-n", "1"]);
    assert_eq!(one["snapshots"].as_array().map(Vec::len), Some(1));
    assert_eq!(one["snapshots"][0]["name"], all[0]);
    let text = computer.safe(&["log"]).stdout;
    assert_eq!(text.lines().count(), all.len());

    // Not over what is there, unless told to.
    let done = computer
        .try_safe(&["restore", &first, "docs/letter"])
        .code(1);
    assert!(done.stderr.contains("replace"), "{}", done.stderr);
    assert_eq!(fs::read(&letter).unwrap(), b"second");
    computer.safe(&["restore", &first, "docs/letter", "--to", "docs/old"]);
    assert_eq!(
        fs::read(computer.home().join("docs/old")).unwrap(),
        b"first"
    );
    computer.safe(&["restore", &first, "docs/letter", "--replace"]);
    // The kernel is told to forget what it knows; that takes a moment.
    eventually("the old content is there", || {
        fs::read(&letter).is_ok_and(|text| text == b"first")
    });
    // By a path through the mount, and relative to where one is.
    fs::remove_file(&letter).unwrap();
    computer.safe(&["restore", &first, letter.to_str().unwrap()]);
    fs::remove_file(&letter).unwrap();
    let mut command = computer.command();
    command
        .args(["restore", &first, "letter"])
        .current_dir(computer.home().join("docs"));
    run_for(&mut command, LIMIT).ok();
    assert_eq!(fs::read(&letter).unwrap(), b"first");

    refused(
        &computer,
        &["restore", "1999", "docs/letter"],
        1,
        "not_found",
    );
    refused(&computer, &["restore", &first, "no/such"], 1, "not_found");
    refused(&computer, &["restore", &first, "../etc"], 2, "usage");
    // A snapshot is a folder, too.
    let path = computer
        .mount
        .join("snapshots")
        .join(&first)
        .join("docs/letter");
    assert_eq!(fs::read(path).unwrap(), b"first");
    computer.logout();
}

#[test]
fn what_is_published_can_be_fetched_by_its_address() {
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    let folder = computer.home().join("shared");
    fs::create_dir_all(folder.join("sub")).unwrap();
    fs::write(folder.join("sub/program"), vec![42; 300_000]).unwrap();
    fs::set_permissions(
        folder.join("sub/program"),
        fs::Permissions::from_mode(0o755),
    )
    .unwrap();
    std::os::unix::fs::symlink("sub/program", folder.join("link")).unwrap();
    fs::write(computer.home().join("private"), "not this").unwrap();
    let answer = computer.json(&["publish", "shared"]);
    let url = answer["url"].as_str().unwrap().to_owned();
    assert!(url.starts_with("safe://"), "{url}");
    let message = refused(&computer, &["publish", "no such thing"], 1, "not_found");
    assert!(message.contains("no such thing"), "{message}");
    // Under public/, in the session.
    let address = url.strip_prefix("safe://").unwrap();
    let public = computer.mount.join("public").join(address);
    assert_eq!(
        fs::read(public.join("sub/program")).unwrap(),
        vec![42; 300_000]
    );
    let here = place.folder("here");
    computer.safe(&["get", &url, here.to_str().unwrap()]);
    computer.logout();

    // Without a session, on another computer; and a part of it only.
    let second = Computer::new(&place, "second");
    let there = place.path().join("there");
    let got = second.json(&["get", &url, there.to_str().unwrap()]);
    assert_eq!(got["bytes"], 300_000);
    for folder in [&here, &there] {
        assert_eq!(fs::read(folder.join("link")).unwrap(), vec![42; 300_000]);
        let mode = fs::metadata(folder.join("sub/program")).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o755);
        assert!(!folder.join("private").exists());
    }
    let part = place.path().join("part");
    second.safe(&["get", &format!("{url}/sub/program"), part.to_str().unwrap()]);
    assert!(part.join("program").is_file());
    // Nothing is overwritten.
    refused(
        &second,
        &["get", &url, there.to_str().unwrap()],
        1,
        "exists",
    );
    let wrong = format!("safe://{}", "0".repeat(address.len()));
    let done = second
        .try_safe(&["get", &wrong, place.path().join("no").to_str().unwrap()])
        .code(1);
    assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
    assert!(second.daemon().is_none());
}

#[test]
fn stores_are_counted_checked_and_copied() {
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    fs::write(computer.home().join("file"), vec![1; 5_000_000]).unwrap();
    computer.sync();
    let stats = computer.json(&["store", "stats"]);
    for name in ["chunks", "pointers", "bytes"] {
        assert!(stats[name].as_u64().unwrap() > 0, "{stats}");
    }
    // With a session: the home.
    let checked = computer.json(&["store", "check"]);
    assert_eq!(checked["damaged"], serde_json::json!([]));
    assert!(checked["nodes"].as_u64().unwrap() >= 2, "{checked}");
    let gc = computer.json(&["store", "gc", "--dry-run"]);
    assert!(gc["records"].is_u64(), "{gc}");
    let before = computer.json(&["store", "stats"]);
    computer.safe(&["store", "gc"]);
    computer.check();
    computer.logout();
    // Without one: the records.
    let checked = computer.json(&["store", "check"]);
    assert_eq!(
        checked["records"].as_u64().unwrap(),
        {
            let now = computer.json(&["store", "stats"]);
            now["chunks"].as_u64().unwrap() + now["pointers"].as_u64().unwrap()
        },
        "{before}"
    );
    // By account, with a session for the time of the command.
    let checked = computer.json(&["store", "check", "--account", "ana"]);
    assert!(checked["nodes"].as_u64().unwrap() >= 2, "{checked}");
    assert!(computer.daemon().is_none());

    let copy = place.folder("copy");
    let to = format!("file://{}", copy.display());
    let done: Value = computer.json(&["store", "copy", &computer.store_url(), &to]);
    assert!(done["records"].as_u64().unwrap() > 2, "{done}");
    let again = computer.json(&["store", "copy", &computer.store_url(), &to]);
    assert_eq!(again["records"], 0, "{again}");
    let second = Computer::with_store(&place, "second", &copy);
    second.login();
    assert_eq!(
        fs::read(second.home().join("file")).unwrap(),
        vec![1; 5_000_000]
    );
    second.logout();
    let only = place.folder("only ana");
    let to = format!("file://{}", only.display().to_string().replace(' ', "%20"));
    computer.safe(&[
        "store",
        "copy",
        &computer.store_url(),
        &to,
        "--account",
        "ana",
    ]);
    let third = Computer::with_store(&place, "third", &only);
    let mut login = third.command();
    login.args(["login", "ana", "--store", &to]);
    run_for(&mut login, LIMIT).ok();
    assert_eq!(
        fs::read(third.home().join("file")).unwrap(),
        vec![1; 5_000_000]
    );
    third.logout();
}

#[test]
fn a_damaged_record_is_found_and_named() {
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    // Nothing that compresses: it must fill a chunk of its own.
    let mut noise = vec![0; 3_000_000];
    fs::File::open("/dev/urandom")
        .and_then(|mut source| std::io::Read::read_exact(&mut source, &mut noise))
        .unwrap();
    fs::write(computer.home().join("file"), noise).unwrap();
    computer.logout();
    // The largest file of the store holds file data.
    let find = Command::new("find")
        .arg(&computer.store)
        .args(["-type", "f", "-printf", "%s %p\n"])
        .output()
        .unwrap();
    let listing = String::from_utf8(find.stdout).unwrap();
    let mut largest: Vec<(u64, &str)> = listing
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(_, path)| path.contains("/chunks/"))
        .filter_map(|(size, path)| Some((size.parse().ok()?, path)))
        .collect();
    largest.sort();
    let Some((_, path)) = largest.last() else {
        panic!("no chunk of its own file in {listing}")
    };
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
    let done = computer.try_safe(&["store", "check", "--json"]).code(1);
    let found: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(
        found["damaged"].as_array().map(Vec::len),
        Some(1),
        "{found}"
    );
    assert_eq!(safeos_cli_tests::error(&done)["code"], "damaged");
}

#[test]
fn a_store_that_is_not_there_is_not_made_by_looking() {
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    let missing = place.path().join("missing");
    let url = format!("file://{}", missing.display());
    for what in ["stats", "check"] {
        let message = refused(
            &computer,
            &["store", what, "--store", &url],
            1,
            "store_unreachable",
        );
        assert!(message.contains(&url), "{message}");
    }
    assert!(!missing.exists());
}
