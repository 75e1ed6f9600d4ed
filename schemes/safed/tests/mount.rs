//! The front with a model behind it, through the kernel.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::HashSet;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use safeos_session::{Change, FileKind, NewNode, SetAttr, Volume};
use support::{Model, Mount, SNAPSHOT, attach};

fn names(folder: &std::path::Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Waits until `condition` holds: announcements reach the kernel from another thread.
fn soon(condition: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

#[test]
fn the_namespace_is_what_the_contract_says() {
    let mount = Mount::new();
    let all = [".ctl", "home", "public", "snapshots", "status"];
    assert_eq!(names(&mount.root()), all);
    assert_eq!(names(&mount.root().join("snapshots")), [SNAPSHOT]);
    assert!(names(&mount.root().join("public")).is_empty());

    let status = fs::read_to_string(mount.root().join("status")).unwrap();
    assert!(status.contains("account: model\n"), "{status}");
    assert!(
        status.contains("problems: 1\nproblem: two lines\n"),
        "{status}"
    );

    let error = fs::create_dir(mount.root().join("new")).unwrap_err();
    let expected = [libc::EPERM, libc::EACCES];
    assert!(expected.contains(&error.raw_os_error().unwrap()));
    let error = fs::rename(mount.home(), mount.root().join("elsewhere")).unwrap_err();
    assert_ne!(error.raw_os_error(), Some(libc::EIO));
}

#[test]
fn without_a_session_only_the_open_parts_are_there() {
    let mount = Mount::new();
    fs::write(mount.home().join("file"), b"text").unwrap();
    let signed = mount.daemon.signed(safed::process::uid()).unwrap();
    mount.daemon.detach(&signed);
    assert!(soon(|| !mount.home().exists()));
    assert_eq!(names(&mount.root()), [".ctl", "public", "status"]);
    assert!(!mount.home().join("file").exists());
    assert!(!mount.root().join("snapshots").exists());
    let status = fs::read_to_string(mount.root().join("status")).unwrap();
    assert!(status.starts_with("account: none\n"), "{status}");

    // Another session of the same user afterwards is another tree.
    let model = Model::new(safed::process::uid(), 0);
    attach(&mount.daemon, safed::process::uid(), &model);
    assert!(soon(|| mount.home().exists()));
    assert!(names(&mount.home()).is_empty());
    fs::write(mount.home().join("other"), b"other").unwrap();
    assert_eq!(names(&mount.home()), ["other"]);
}

#[test]
fn one_user_does_not_see_another_users_session() {
    if safed::process::uid() != 0 {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: two users at one mount need root"
        );
        return;
    }
    let mount = Mount::new();
    fs::write(mount.home().join("mine"), b"mine").unwrap();
    let (other, third) = (4321, 4322);
    let model = Model::new(other, other);
    attach(&mount.daemon, other, &model);
    let list = |uid: u32, path: &std::path::Path| {
        let output = Command::new("ls").arg(path).uid(uid).gid(uid).output();
        let output = output.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        output.status.success().then_some(text)
    };
    let touched = Command::new("touch")
        .arg(mount.home().join("theirs"))
        .uid(other)
        .gid(other)
        .status();
    assert!(touched.unwrap().success());
    for _ in 0..3 {
        assert_eq!(list(0, &mount.home()).unwrap(), "mine\n");
        assert_eq!(list(other, &mount.home()).unwrap(), "theirs\n");
        assert_eq!(list(third, &mount.home()), None);
        assert_eq!(list(third, &mount.root()).unwrap(), "public\nstatus\n");
        assert_eq!(list(other, &mount.home().join("mine")), None);
    }
    // The same path, two nodes.
    assert_ne!(
        fs::metadata(mount.home()).unwrap().ino(),
        0,
        "a node has a number"
    );
}

#[test]
fn files_do_what_files_do() {
    let mount = Mount::new();
    let home = mount.home();
    fs::write(home.join("a"), b"hello").unwrap();
    fs::hard_link(home.join("a"), home.join("b")).unwrap();
    std::os::unix::fs::symlink("a", home.join("l")).unwrap();
    fs::create_dir(home.join("d")).unwrap();
    fs::rename(home.join("b"), home.join("d/c")).unwrap();
    assert_eq!(fs::read(home.join("d/c")).unwrap(), b"hello");
    assert_eq!(fs::read(home.join("l")).unwrap(), b"hello");
    assert_eq!(fs::metadata(home.join("a")).unwrap().nlink(), 2);
    assert_eq!(fs::metadata(home.join("a")).unwrap().blocks(), 8);
    assert_eq!(fs::metadata(&home).unwrap().nlink(), 3);

    // Deleted while open, it stays until it is closed.
    let open = File::open(home.join("a")).unwrap();
    fs::remove_file(home.join("a")).unwrap();
    fs::remove_file(home.join("d/c")).unwrap();
    assert_eq!(open.metadata().unwrap().nlink(), 0);
    let mut text = String::new();
    (&open).read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
    drop(open);
    // The root, d and l are left.
    assert!(soon(|| mount.model.volume.node_count() == 3));

    let mut options = OpenOptions::new();
    options.append(true).create(true);
    let mut first = options.open(home.join("log")).unwrap();
    let mut second = options.open(home.join("log")).unwrap();
    for _ in 0..3 {
        first.write_all(b"1").unwrap();
        second.write_all(b"2").unwrap();
    }
    assert_eq!(fs::read(home.join("log")).unwrap(), b"121212");
}

#[test]
fn times_modes_and_owners_are_kept() {
    let mount = Mount::new();
    let path = mount.home().join("file");
    fs::write(&path, b"x").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4751)).unwrap();
    let file = File::open(&path).unwrap();
    // A second and a fifth before 1970: nanoseconds count forwards.
    let times = [
        libc::timespec {
            tv_sec: -2,
            tv_nsec: 800_000_000,
        },
        libc::timespec {
            tv_sec: 10_000_000_000,
            tv_nsec: 1,
        },
    ];
    // SAFETY: two whole times that live until the call returns.
    assert_eq!(
        unsafe { libc::futimens(file.as_raw_fd(), times.as_ptr()) },
        0
    );
    let ino = file.metadata().unwrap().ino();
    let kept = mount.model.volume.attr(ino).unwrap();
    assert_eq!(kept.atime, -1_200_000_000);
    assert_eq!(kept.mtime, 10_000_000_000_000_000_001);
    assert_eq!(kept.perm, 0o4751);
    let seen = fs::metadata(&path).unwrap();
    assert_eq!((seen.atime(), seen.atime_nsec()), (-2, 800_000_000));
    assert_eq!((seen.mtime(), seen.mtime_nsec()), (10_000_000_000, 1));
}

#[test]
fn holes_are_found_also_in_a_file_that_is_being_written() {
    let mount = Mount::new();
    let path = mount.home().join("sparse");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    // Still in the kernel's memory when the holes are looked for.
    file.write_all_at(b"data", 1 << 20).unwrap();
    file.write_all_at(b"more", 8 << 20).unwrap();
    let seek = |from: i64, what: i32| {
        // SAFETY: plain numbers.
        unsafe { libc::lseek(file.as_raw_fd(), from, what) }
    };
    assert_eq!(seek(0, libc::SEEK_DATA), 1 << 20);
    assert_eq!(seek(1 << 20, libc::SEEK_HOLE), (1 << 20) + 4096);
    assert_eq!(seek((1 << 20) + 4096, libc::SEEK_DATA), 8 << 20);
    assert_eq!(seek(8 << 20, libc::SEEK_HOLE), (8 << 20) + 4);
    assert_eq!(seek(9 << 20, libc::SEEK_DATA), -1);

    let allocate = |mode: i32, from: i64, len: i64| {
        // SAFETY: plain numbers.
        unsafe { libc::fallocate(file.as_raw_fd(), mode, from, len) }
    };
    let punch = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    assert_eq!(allocate(punch, 1 << 20, 4096), 0);
    assert_eq!(seek(0, libc::SEEK_DATA), 8 << 20);
    assert_eq!(allocate(0, 0, 16 << 20), 0);
    assert_eq!(file.metadata().unwrap().len(), 16 << 20);
    assert_eq!(allocate(libc::FALLOC_FL_COLLAPSE_RANGE, 0, 4096), -1);
    let mut four = [0; 4];
    file.read_exact_at(&mut four, 8 << 20).unwrap();
    assert_eq!(&four, b"more");
}

#[test]
fn shared_mappings_are_written_back() {
    let mount = Mount::new();
    let path = mount.home().join("mapped");
    fs::write(&path, vec![0; 8192]).unwrap();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    // SAFETY: a fresh mapping of a file of that length; written inside its bounds, then unmapped.
    unsafe {
        let flags = libc::PROT_READ | libc::PROT_WRITE;
        let fd = file.as_raw_fd();
        let at = libc::mmap(std::ptr::null_mut(), 8192, flags, libc::MAP_SHARED, fd, 0);
        assert_ne!(at, libc::MAP_FAILED);
        at.cast::<u8>().add(5000).write(7);
        assert_eq!(libc::msync(at, 8192, libc::MS_SYNC), 0);
        libc::munmap(at, 8192);
    }
    let ino = file.metadata().unwrap().ino();
    let mut kept = Vec::new();
    mount.model.volume.read(ino, 5000, 1, &mut kept).unwrap();
    assert_eq!(kept, [7]);
}

#[test]
fn a_large_directory_is_listed_whole_and_removed_whole() {
    let mount = Mount::new();
    let folder = mount.home().join("many");
    fs::create_dir(&folder).unwrap();
    let count = 3000;
    for index in 0..count {
        File::create(folder.join(format!("a file with quite a long name {index:05}"))).unwrap();
    }
    let seen: HashSet<_> = names(&folder).into_iter().collect();
    assert_eq!(seen.len(), count);
    // Deletes while it reads.
    fs::remove_dir_all(&folder).unwrap();
    assert!(!folder.exists());
}

#[test]
fn extended_attributes_follow_the_rules() {
    let mount = Mount::new();
    let path = mount.home().join("file");
    fs::write(&path, b"x").unwrap();
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    let errno = || std::io::Error::last_os_error().raw_os_error().unwrap();
    let set = |name: &str, value: &[u8], flags: i32| {
        let name = CString::new(name).unwrap();
        // SAFETY: strings that end with NUL, a value with its length.
        unsafe {
            let value_at = value.as_ptr().cast();
            libc::setxattr(path.as_ptr(), name.as_ptr(), value_at, value.len(), flags)
        }
    };
    let get = |name: &str, size: usize| {
        let name = CString::new(name).unwrap();
        let mut value = vec![0_u8; size];
        // SAFETY: strings that end with NUL, a buffer with its length.
        let len = unsafe {
            let value_at = value.as_mut_ptr().cast();
            libc::getxattr(path.as_ptr(), name.as_ptr(), value_at, size)
        };
        usize::try_from(len).map(|len| (len, value))
    };
    assert_eq!(set("user.a", b"value", 0), 0);
    assert_eq!(get("user.a", 0).unwrap().0, 5);
    assert_eq!(&get("user.a", 10).unwrap().1[..5], b"value");
    assert!(get("user.a", 3).is_err());
    assert_eq!(errno(), libc::ERANGE);
    assert_eq!(set("user.a", b"", libc::XATTR_CREATE), -1);
    assert_eq!(errno(), libc::EEXIST);
    assert_eq!(set("user.b", b"", libc::XATTR_REPLACE), -1);
    assert_eq!(errno(), libc::ENODATA);
    assert_eq!(set("user.large", &vec![1; 65_536], 0), 0);
    assert_eq!(get("user.large", 65_536).unwrap().0, 65_536);
    assert!(get("system.posix_acl_access", 100).is_err());
    assert_eq!(errno(), libc::EOPNOTSUPP);
}

#[test]
fn changes_from_elsewhere_are_seen_when_announced() {
    let mount = Mount::new();
    let volume = &mount.model.volume;
    let path = mount.home().join("file");
    assert!(!path.exists());
    fs::write(&path, b"from here").unwrap();
    let ino = fs::metadata(&path).unwrap().ino();
    assert_eq!(fs::read(&path).unwrap(), b"from here");

    volume
        .write(ino, Some(0), b"from there, and longer")
        .unwrap();
    mount.model.announce(Change::Node(ino));
    assert!(soon(
        || fs::read(&path).unwrap() == b"from there, and longer"
    ));

    let node = NewNode::new(FileKind::File, 0o644, (0, 0));
    let other = mount.home().join("other");
    assert!(!other.exists());
    volume.create(volume.root(), b"other", &node).unwrap();
    mount
        .model
        .announce(Change::Entry(volume.root(), b"other".to_vec()));
    assert!(soon(|| other.exists()));
    volume.unlink(volume.root(), b"other").unwrap();
    mount
        .model
        .announce(Change::Entry(volume.root(), b"other".to_vec()));
    assert!(soon(|| !other.exists()));
}

/// With write-back the kernel trusts its own length of a file that it knows by another name or that is open.
#[test]
fn a_change_from_elsewhere_is_seen_by_every_name_and_in_open_files() {
    let mount = Mount::new();
    let volume = &mount.model.volume;
    let (path, twin) = (mount.home().join("file"), mount.home().join("twin"));
    fs::write(&path, vec![b'a'; 10_000]).unwrap();
    fs::hard_link(&path, &twin).unwrap();
    let mut open = OpenOptions::new()
        .read(true)
        .append(true)
        .open(&twin)
        .unwrap();
    let ino = open.metadata().unwrap().ino();
    let time = 1_234_567_890_123_456_789_i128;
    // As long, longer, shorter, empty: a merge may leave any of these.
    for content in [
        vec![b'b'; 10_000],
        vec![b'c'; 50_000],
        b"short".to_vec(),
        Vec::new(),
    ] {
        let change = SetAttr {
            size: Some(content.len() as u64),
            ..SetAttr::default()
        };
        volume.set_attr(ino, &change).unwrap();
        volume.write(ino, Some(0), &content).unwrap();
        let change = SetAttr {
            mtime: Some(time),
            ..SetAttr::default()
        };
        volume.set_attr(ino, &change).unwrap();
        mount.model.announce(Change::Node(ino));
        for name in [&path, &twin] {
            assert!(soon(|| fs::read(name).unwrap() == content), "{name:?}");
        }
        let told = || {
            let seen = open.metadata().unwrap();
            let time = (seen.mtime(), seen.mtime_nsec());
            seen.len() == content.len() as u64 && time == (1_234_567_890, 123_456_789)
        };
        assert!(soon(told), "{:?}", open.metadata());
        let kept = volume.attr(ino).unwrap();
        assert_eq!((kept.size, kept.mtime), (content.len() as u64, time));
        // Appended data comes after it, and overwrites nothing.
        open.write_all(b"more").unwrap();
        open.sync_all().unwrap();
        let mut all = Vec::new();
        volume.read(ino, 0, 100_000, &mut all).unwrap();
        assert!(all == [&content[..], b"more"].concat());
    }
}

#[test]
fn every_open_of_the_control_file_is_its_own_conversation() {
    let mount = Mount::new();
    let open = || {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(mount.root().join(".ctl"))
            .unwrap()
    };
    let (mut first, mut second) = (open(), open());
    first.write_all(b"\"sta").unwrap();
    second.write_all(b"{\"fly\":{}}\n").unwrap();
    let mut text = [0; 4096];
    let len = second.read(&mut text).unwrap();
    let answer = String::from_utf8_lossy(&text[..len]).into_owned();
    assert!(
        answer.contains("bad_request") && answer.contains("fly"),
        "{answer}"
    );
    first.write_all(b"tus\"\n").unwrap();
    let len = first.read(&mut text).unwrap();
    let answer = String::from_utf8_lossy(&text[..len]).into_owned();
    // A model is no session that requests could be made to.
    assert!(answer.contains("no_session"), "{answer}");
    // Nothing asked, nothing to read: no waiting for ever.
    assert_eq!(second.read(&mut text).unwrap(), 0);
    assert!(second.seek(SeekFrom::Start(0)).is_err());
}

#[test]
fn the_daemons_own_files_are_no_files_of_the_home() {
    let mount = Mount::new();
    let flags = libc::O_TRUNC;
    let control = mount.root().join(".ctl");
    let opened = OpenOptions::new()
        .write(true)
        .custom_flags(flags)
        .open(&control);
    assert!(opened.is_ok(), "shells truncate what they write to");
    for path in [control, mount.root().join("status")] {
        let error = fs::remove_file(&path).unwrap_err().raw_os_error();
        assert!([Some(libc::EPERM), Some(libc::EACCES)].contains(&error));
        let error = fs::hard_link(&path, mount.home().join("link")).unwrap_err();
        assert_ne!(error.raw_os_error(), Some(libc::EIO));
    }
}
