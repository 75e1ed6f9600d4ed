//! Several computers, one account: the second finds what the first left, and two at the same time lose
//! nothing of each other.
// Test support: a failed expectation is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;

use safeos_suite_tests::{Computer, TestDir, tree};
use serde_json::Value;

#[test]
fn a_second_computer_finds_byte_for_byte_the_same_home() {
    let place = TestDir::new();
    let first = Computer::signed_up(&place);
    tree::make(&first.home().join("things"), 1_500, 4);
    let expected = tree::list(&first.home());
    first.logout();
    let second = Computer::new(&place, "second");
    second.login();
    tree::assert_same(&expected, &tree::list(&second.home()));
    // And back, with a change.
    fs::write(second.home().join("reply"), "from the second").unwrap();
    let expected = tree::list(&second.home());
    second.logout();
    first.login();
    tree::assert_same(&expected, &tree::list(&first.home()));
    first.check();
    first.logout();
}

/// Every file's content under `folder`.
fn contents(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for path in tree::list(folder).into_keys() {
        let path = folder.join(path);
        if path.is_file() {
            found.push(fs::read_to_string(path).unwrap());
        }
    }
    found
}

fn conflicts(published: &Value) -> Vec<String> {
    let conflicts = published.get("conflicts").and_then(Value::as_array);
    let names = conflicts.into_iter().flatten().filter_map(Value::as_str);
    names.map(str::to_owned).collect()
}

#[test]
fn two_computers_that_write_at_the_same_time_meet() {
    let place = TestDir::new();
    let first = Computer::signed_up(&place);
    let home = first.home();
    fs::create_dir(home.join("both")).unwrap();
    for name in [
        "same",
        "removed here",
        "removed there",
        "moved",
        "untouched",
    ] {
        fs::write(home.join("both").join(name), format!("{name} at first")).unwrap();
    }
    first.sync();
    let second = Computer::new(&place, "second");
    second.login();
    let (a, b) = (first.home().join("both"), second.home().join("both"));

    for n in 0..50 {
        fs::write(a.join(format!("a{n}")), format!("a{n} of the first")).unwrap();
        fs::write(b.join(format!("b{n}")), format!("b{n} of the second")).unwrap();
    }
    // The same file on both; the same new name on both; removed on one and changed on the other, both ways;
    // moved on one and changed on the other.
    fs::write(a.join("same"), "same, changed by the first").unwrap();
    fs::write(b.join("same"), "same, changed by the second").unwrap();
    fs::write(a.join("new"), "new by the first").unwrap();
    fs::write(b.join("new"), "new by the second").unwrap();
    fs::remove_file(a.join("removed here")).unwrap();
    fs::write(
        b.join("removed here"),
        "removed by the first, changed by the second",
    )
    .unwrap();
    fs::write(
        a.join("removed there"),
        "removed by the second, changed by the first",
    )
    .unwrap();
    fs::remove_file(b.join("removed there")).unwrap();
    fs::rename(a.join("moved"), a.join("moved away")).unwrap();
    fs::write(b.join("moved"), "moved by the first, changed by the second").unwrap();

    first.sync();
    let met = second.sync();
    let named = conflicts(&met);
    assert!(
        named.iter().any(|name| name.contains("same")),
        "the conflict is named: {met}"
    );
    first.sync();
    let expected = [
        "same, changed by the first",
        "same, changed by the second",
        "new by the first",
        "new by the second",
        "removed by the first, changed by the second",
        "removed by the second, changed by the first",
        "moved by the first, changed by the second",
        "untouched at first",
    ];
    let mut wanted: Vec<String> = expected.map(str::to_owned).to_vec();
    for n in 0..50 {
        wanted.push(format!("a{n} of the first"));
        wanted.push(format!("b{n} of the second"));
    }
    // Both see everything without signing in again: the kernel was told what to forget.
    for computer in [&second, &first] {
        let found = contents(&computer.home().join("both"));
        for content in &wanted {
            assert!(
                found.contains(content),
                "{content:?} is lost on {}",
                computer.mount.display()
            );
        }
    }
    tree::assert_same(&tree::list(&first.home()), &tree::list(&second.home()));
    first.logout();
    second.logout();
    let third = Computer::new(&place, "third");
    third.login();
    let found = contents(&third.home().join("both"));
    for content in &wanted {
        assert!(found.contains(content), "{content:?} is lost");
    }
    third.check();
    third.logout();
}

/// Both write and publish again and again, at once; in the end both have everything of both.
#[test]
fn two_computers_publish_against_each_other() {
    let place = TestDir::new();
    let first = Computer::signed_up(&place);
    let second = Computer::new(&place, "second");
    second.login();
    const ROUNDS: usize = 6;
    std::thread::scope(|scope| {
        for (name, computer) in [("one", &first), ("two", &second)] {
            scope.spawn(move || {
                let folder = computer.home().join(name);
                fs::create_dir(&folder).unwrap();
                for round in 0..ROUNDS {
                    for n in 0..10 {
                        fs::write(
                            folder.join(format!("{round}-{n}")),
                            format!("{name} {round} {n}"),
                        )
                        .unwrap();
                    }
                    computer.sync();
                }
            });
        }
    });
    first.sync();
    second.sync();
    first.sync();
    for computer in [&first, &second] {
        for name in ["one", "two"] {
            for round in 0..ROUNDS {
                for n in 0..10 {
                    let path = computer.home().join(name).join(format!("{round}-{n}"));
                    let found = fs::read_to_string(&path)
                        .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                    assert_eq!(found, format!("{name} {round} {n}"));
                }
            }
        }
    }
    tree::assert_same(&tree::list(&first.home()), &tree::list(&second.home()));
    first.logout();
    second.logout();
}
