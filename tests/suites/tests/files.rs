//! Files and folders at their limits: holes, the largest length there is, folders of many entries,
//! renames of every form, files without a name, appending from many sides.
// Test support: a failed expectation is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashSet;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use safeos_suite_tests::{Computer, Random, TestDir, tree};

fn seek(file: &File, at: i64, whence: i32) -> io::Result<i64> {
    // SAFETY: plain system call on an open file.
    let found = unsafe { libc::lseek(file.as_raw_fd(), at, whence) };
    if found < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(found)
    }
}

fn allocate(file: &File, mode: i32, at: i64, len: i64) -> io::Result<()> {
    // SAFETY: plain system call on an open file.
    match unsafe { libc::fallocate(file.as_raw_fd(), mode, at, len) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn rename(from: &Path, to: &Path, flags: u32) -> io::Result<()> {
    let from = CString::new(from.as_os_str().as_bytes())?;
    let to = CString::new(to.as_os_str().as_bytes())?;
    let cwd = libc::AT_FDCWD;
    // SAFETY: both paths end with NUL.
    match unsafe { libc::renameat2(cwd, from.as_ptr(), cwd, to.as_ptr(), flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The parts of a file that hold data, as SEEK_DATA and SEEK_HOLE show them.
fn data_parts(file: &File) -> Vec<(i64, i64)> {
    let mut parts = Vec::new();
    let mut at = 0;
    loop {
        match seek(file, at, libc::SEEK_DATA) {
            Ok(from) => {
                let to = seek(file, from, libc::SEEK_HOLE).unwrap();
                assert!(from < to, "an empty part at {from}");
                parts.push((from, to));
                at = to;
            }
            Err(e) => {
                assert_eq!(e.raw_os_error(), Some(libc::ENXIO), "SEEK_DATA: {e}");
                return parts;
            }
        }
    }
}

#[test]
fn a_file_of_the_largest_length_with_a_few_bytes_in_it() {
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    let path = computer.home().join("largest");
    let middle = 1u64 << 45;
    let last = i64::MAX as u64 - 1;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .unwrap();
    file.set_len(i64::MAX as u64).unwrap();
    file.write_all_at(b"middle", middle).unwrap();
    file.write_all_at(b"!", last).unwrap();
    file.sync_all().unwrap();
    let check = |path: &Path| {
        let file = File::open(path).unwrap();
        let meta = file.metadata().unwrap();
        assert_eq!(meta.len(), i64::MAX as u64);
        assert!(
            meta.blocks() < 4096,
            "{} blocks of 512 bytes for a few bytes",
            meta.blocks()
        );
        let mut bytes = [1u8; 8];
        file.read_exact_at(&mut bytes, middle - 1).unwrap();
        assert_eq!(&bytes, b"\0middle\0");
        let mut end = [0u8; 1];
        file.read_exact_at(&mut end, last).unwrap();
        assert_eq!(&end, b"!");
        file.read_exact_at(&mut bytes, 1 << 50).unwrap();
        assert_eq!(bytes, [0; 8]);
        let parts = data_parts(&file);
        assert_eq!(parts.len(), 2, "{parts:?}");
        let around = 1 << 20;
        assert!(
            parts[0].0 <= middle as i64 && parts[0].0 > middle as i64 - around,
            "{parts:?}"
        );
        assert!(
            parts[0].1 >= middle as i64 + 6 && parts[0].1 < middle as i64 + around,
            "{parts:?}"
        );
        assert!(
            parts[1].0 <= last as i64 && parts[1].0 > last as i64 - around,
            "{parts:?}"
        );
    };
    check(&path);
    drop(file);
    computer.logout();
    let second = Computer::new(&place, "second");
    second.login();
    let path = second.home().join("largest");
    check(&path);
    let longer = OpenOptions::new().write(true).open(&path).unwrap();
    longer.set_len(10).unwrap();
    assert_eq!(
        longer.metadata().unwrap().blocks(),
        0,
        "everything was cut off"
    );
    drop(longer);
    second.logout();
}

#[test]
fn holes_are_punched_and_found() {
    const MIB: u64 = 1 << 20;
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    let path = computer.home().join("holes");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .unwrap();
    let mut expected = Random::new(3).bytes(8 * MIB as usize);
    file.write_all_at(&expected, 0).unwrap();
    let keep = libc::FALLOC_FL_KEEP_SIZE;
    allocate(&file, keep, 0, 64 * MIB as i64).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 8 * MIB, "the size is kept");
    allocate(&file, 0, 0, 9 * MIB as i64).unwrap();
    expected.resize(9 * MIB as usize, 0);
    // One hole on block borders, one across them, one in a single block.
    for (at, len) in [(2 * MIB, 2 * MIB), (5 * MIB + 777, MIB + 3), (100, 50)] {
        allocate(
            &file,
            libc::FALLOC_FL_PUNCH_HOLE | keep,
            at as i64,
            len as i64,
        )
        .unwrap();
        expected[at as usize..(at + len) as usize].fill(0);
    }
    allocate(&file, libc::FALLOC_FL_ZERO_RANGE, 7 * MIB as i64, 4096).unwrap();
    expected[7 * MIB as usize..][..4096].fill(0);
    let refused = allocate(&file, libc::FALLOC_FL_COLLAPSE_RANGE, 0, MIB as i64).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EOPNOTSUPP));
    let check = |path: &Path| {
        assert!(fs::read(path).unwrap() == expected, "the content");
        let parts = data_parts(&File::open(path).unwrap());
        for (at, bytes) in expected.chunks(4096).enumerate() {
            let at = at as i64 * 4096;
            let is_data = parts.iter().any(|(from, to)| *from < at + 4096 && at < *to);
            assert!(
                is_data || bytes.iter().all(|b| *b == 0),
                "data at {at} shown as a hole"
            );
        }
        let inside = (2 * MIB + MIB / 2) as i64;
        assert!(
            !parts
                .iter()
                .any(|(from, to)| *from <= inside && inside < *to),
            "the hole of 2 MiB is not shown: {parts:?}"
        );
    };
    check(&path);
    file.sync_all().unwrap();
    check(&path);
    drop(file);
    computer.logout();
    let second = Computer::new(&place, "second");
    second.login();
    check(&second.home().join("holes"));
    second.logout();
}

fn many_entries(count: u64) {
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    let folder = computer.home().join("many");
    fs::create_dir(&folder).unwrap();
    for n in 0..count {
        tree::make_node(
            &folder.join(format!("entry-{n:07}")),
            libc::S_IFREG | 0o644,
            0,
        )
        .unwrap();
    }
    let names = |folder: &Path| -> HashSet<Vec<u8>> {
        let mut seen = HashSet::new();
        for entry in fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().as_bytes().to_vec();
            assert!(seen.insert(name.clone()), "{name:?} twice");
        }
        seen
    };
    assert_eq!(names(&folder).len() as u64, count);
    // Removing while listing: every entry that stays is still listed exactly once.
    let mut seen = HashSet::new();
    for (at, entry) in fs::read_dir(&folder).unwrap().enumerate() {
        let entry = entry.unwrap();
        assert!(
            seen.insert(entry.file_name()),
            "{:?} twice",
            entry.file_name()
        );
        if at % 100 == 0 {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    assert_eq!(seen.len() as u64, count);
    let left = count - count.div_ceil(100);
    computer.logout();
    let second = Computer::new(&place, "second");
    second.login();
    let folder = second.home().join("many");
    assert_eq!(names(&folder).len() as u64, left);
    let mut random = Random::new(1);
    for _ in 0..1_000 {
        let path = folder.join(format!("entry-{:07}", random.below(count)));
        if let Ok(meta) = fs::symlink_metadata(&path) {
            assert_eq!((meta.len(), meta.mode()), (0, libc::S_IFREG | 0o644));
        }
    }
    let absent = fs::symlink_metadata(folder.join("entry-x")).unwrap_err();
    assert_eq!(absent.kind(), io::ErrorKind::NotFound);
    second.logout();
}

#[test]
fn a_folder_of_100_000_entries() {
    many_entries(100_000);
}

#[test]
#[ignore = "takes minutes"]
fn a_folder_of_1_000_000_entries() {
    many_entries(1_000_000);
}

#[test]
fn renames_of_every_form() {
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    let home = computer.home();
    let (a, b) = (home.join("a"), home.join("b"));
    fs::write(&a, "a").unwrap();
    fs::write(&b, "b").unwrap();
    let taken = rename(&a, &b, libc::RENAME_NOREPLACE).unwrap_err();
    assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
    rename(&a, &b, libc::RENAME_EXCHANGE).unwrap();
    assert_eq!(fs::read_to_string(&a).unwrap(), "b");
    assert_eq!(fs::read_to_string(&b).unwrap(), "a");
    rename(&a, &b, 0).unwrap();
    assert_eq!(fs::read_to_string(&b).unwrap(), "b");
    assert!(!a.exists());
    rename(&b, &a, libc::RENAME_NOREPLACE).unwrap();
    // A full folder moves in one step, also against a file.
    let (deep, other) = (home.join("deep/er"), home.join("other"));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), "in it").unwrap();
    fs::create_dir(&other).unwrap();
    rename(&deep, &other.join("moved"), 0).unwrap();
    assert_eq!(
        fs::read_to_string(other.join("moved/file")).unwrap(),
        "in it"
    );
    rename(&other.join("moved"), &a, libc::RENAME_EXCHANGE).unwrap();
    assert_eq!(fs::read_to_string(a.join("file")).unwrap(), "in it");
    let full = rename(&home.join("deep"), &a, 0).unwrap_err();
    assert_eq!(full.raw_os_error(), Some(libc::ENOTEMPTY));
    let into_itself = rename(&a, &a.join("below"), 0).unwrap_err();
    assert_eq!(into_itself.raw_os_error(), Some(libc::EINVAL));
    computer.logout();
    computer.login();
    assert_eq!(fs::read_to_string(a.join("file")).unwrap(), "in it");
    assert_eq!(fs::read_to_string(other.join("moved")).unwrap(), "b");
    computer.logout();
}

#[test]
fn a_removed_file_lives_while_it_is_open_also_across_a_publish() {
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    let path = computer.home().join("gone");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .unwrap();
    file.write_all(&[7; 300_000]).unwrap();
    fs::remove_file(&path).unwrap();
    computer.sync();
    fs::write(&path, "another of the same name").unwrap();
    computer.sync();
    file.write_all_at(b"still here", 299_995).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 300_005);
    assert_eq!(file.metadata().unwrap().nlink(), 0);
    let mut bytes = vec![0; 20];
    let read = file.read_at(&mut bytes, 299_990).unwrap();
    assert_eq!(&bytes[..read], b"\x07\x07\x07\x07\x07still here");
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "another of the same name"
    );
    drop(file);
    computer.logout();
}

#[test]
fn appending_from_many_sides_loses_nothing() {
    const WRITERS: u64 = 4;
    const LINES: u64 = 500;
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    let path = computer.home().join("log");
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let path = &path;
            scope.spawn(move || {
                let mut file = OpenOptions::new()
                    .append(true)
                    .create(true)
                    .open(path)
                    .unwrap();
                for line in 0..LINES {
                    file.write_all(format!("{writer} {line}\n").as_bytes())
                        .unwrap();
                }
            });
        }
    });
    let mut text = String::new();
    File::open(&path)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    let lines: HashSet<&str> = text.lines().collect();
    assert_eq!(lines.len() as u64, WRITERS * LINES);
    for writer in 0..WRITERS {
        let mine = text
            .lines()
            .filter(|line| line.starts_with(&format!("{writer} ")));
        let numbers: Vec<u64> = mine.map(|line| line[2..].parse().unwrap()).collect();
        assert!(numbers.is_sorted(), "the lines of {writer} in their order");
    }
    computer.logout();
}

#[test]
fn a_snapshot_shows_the_home_as_it_was() {
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    let path = computer.home().join("letter");
    fs::write(&path, "first version").unwrap();
    computer.sync();
    let snapshots = computer.mount.join("snapshots");
    let names = |snapshots: &Path| -> Vec<String> {
        let entries = fs::read_dir(snapshots).unwrap();
        let mut names: Vec<String> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let first = names(&snapshots).pop().expect("a snapshot after a publish");
    fs::write(&path, "second version").unwrap();
    fs::write(computer.home().join("other"), "new").unwrap();
    computer.sync();
    let old = snapshots.join(&first);
    assert_eq!(
        fs::read_to_string(old.join("letter")).unwrap(),
        "first version"
    );
    assert!(!old.join("other").exists());
    let refused = fs::write(old.join("letter"), "x").unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EROFS));
    computer.safe(&["restore", &first, "letter", "--to", "old letter"]);
    assert_eq!(
        fs::read_to_string(computer.home().join("old letter")).unwrap(),
        "first version"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "second version");
    computer.logout();
    computer.login();
    assert!(
        names(&snapshots).contains(&first),
        "history outlives the session"
    );
    computer.logout();
}
