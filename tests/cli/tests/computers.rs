//! Changes of another computer, or losses of a store, as one computer shows them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use safeos_cli_tests::eventually;
use safeos_suite_tests::{Computer, TestDir};

#[test]
fn a_change_by_another_computer_is_seen_under_each_name_and_in_an_open_file() {
    let place = TestDir::new();
    let first = Computer::signed_up(&place);
    let (log, twin) = (first.home().join("log"), first.home().join("twin"));
    fs::write(&log, vec![b'a'; 100_000]).unwrap();
    fs::hard_link(&log, &twin).unwrap();
    first.sync();
    let second = Computer::new(&place, "second");
    second.login();
    let mut open = fs::File::options()
        .read(true)
        .append(true)
        .open(&twin)
        .unwrap();
    // Longer, then shorter.
    for content in [vec![b'b'; 300_000], b"rotated\n".to_vec()] {
        fs::write(second.home().join("log"), &content).unwrap();
        second.sync();
        let time = fs::metadata(second.home().join("log")).unwrap();
        first.sync();
        for name in [&log, &twin] {
            eventually("the new content is there", || {
                fs::read(name).is_ok_and(|found| found == content)
            });
        }
        eventually("the open file has its length and time", || {
            open.metadata().is_ok_and(|found| {
                found.len() == content.len() as u64
                    && (found.mtime(), found.mtime_nsec()) == (time.mtime(), time.mtime_nsec())
            })
        });
        open.write_all(b"more\n").unwrap();
        open.sync_all().unwrap();
        first.sync();
        second.sync();
        let expected = [&content[..], b"more\n"].concat();
        for home in [first.home(), second.home()] {
            eventually("what was appended comes last", || {
                fs::read(home.join("log")).is_ok_and(|found| found == expected)
            });
        }
    }
    drop(open);
    second.logout();
    first.logout();
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Wherever a store is damaged: either a sign-in says so, or the home's own folder can be read.
#[test]
fn who_is_signed_in_sees_a_folder() {
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    // So many that the folder is not in the head itself.
    for n in 0..1500 {
        fs::write(computer.home().join(format!("a file with number {n}")), b"").unwrap();
    }
    computer.logout();
    let mut all = Vec::new();
    files(&computer.store, &mut all);
    let mut refused = 0;
    for path in all {
        let good = fs::read(&path).unwrap();
        if good.len() < 20_000 {
            continue;
        }
        // Everything in it but its beginning and its end.
        let file = fs::File::options().write(true).open(&path).unwrap();
        for at in (4096..good.len() - 4096).step_by(1024) {
            file.write_all_at(&[good[at] ^ 1], at as u64).unwrap();
        }
        let done =
            computer.try_safe(&["login", "ana", "--mount", computer.mount.to_str().unwrap()]);
        if done.status.success() {
            let names = fs::read_dir(computer.home()).unwrap();
            assert_eq!(
                names.map(Result::unwrap).count(),
                1500,
                "{}",
                path.display()
            );
            computer.safe(&["logout", "--later"]);
        } else {
            refused += 1;
            assert!(!done.stderr.is_empty());
        }
        fs::write(&path, good).unwrap();
    }
    assert!(refused > 0);
    computer.login();
    computer.logout();
}
