//! Guarantees to programs that only the kernel and the front together can keep.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::ffi::{CString, c_long};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Error, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use safeos_session::{Attr, FileKind, NewNode, Volume};
use support::gate::Gate;
use support::{Model, Mount, SNAPSHOT};

fn is_root() -> bool {
    let root = safed::process::uid() == 0;
    if !root {
        let _ = writeln!(
            io::stderr(),
            "SKIPPED: a test of owners, handles or overlays needs root"
        );
    }
    root
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

/// The mode alone. For that, as when it runs a program, the kernel asks only where it was told that what it knows
/// is old; for all attributes it asks after any write.
fn known_mode(path: &Path) -> u32 {
    let path = c_path(path);
    // SAFETY: all zeros are a value of it.
    let mut found: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: a string that ends with NUL, and room for the answer.
    let done = unsafe {
        libc::statx(
            libc::AT_FDCWD,
            path.as_ptr(),
            0,
            libc::STATX_MODE,
            &mut found,
        )
    };
    assert_eq!(done, 0);
    u32::from(found.stx_mode) & 0o7777
}

/// A buffer that direct writes take.
#[repr(align(4096))]
struct Aligned([u8; 4096]);

/// A change of a file's content.
#[derive(Clone, Copy, Debug)]
enum Touch {
    Write,
    Direct,
    Cut,
    Allocate(i32),
}

impl Touch {
    fn run(self, path: &CString) -> io::Result<()> {
        let direct = match self {
            Self::Direct => libc::O_DIRECT,
            _ => 0,
        };
        let data = Aligned([7; 4096]);
        // SAFETY: plain calls on a descriptor of its own, a string that ends with NUL and a buffer with its length.
        let done = unsafe {
            let fd = libc::open(path.as_ptr(), libc::O_RDWR | direct);
            if fd < 0 {
                return Err(Error::last_os_error());
            }
            match self {
                Self::Write => libc::pwrite(fd, data.0.as_ptr().cast(), 3, 0) == 3,
                Self::Direct => libc::pwrite(fd, data.0.as_ptr().cast(), 4096, 0) == 4096,
                Self::Cut => libc::ftruncate(fd, 100) == 0,
                Self::Allocate(mode) => libc::fallocate(fd, mode, 0, 8192) == 0,
            }
        };
        if done {
            Ok(())
        } else {
            Err(Error::last_os_error())
        }
    }
}

/// Changes a file as a user with groups.
fn touch_as(path: &Path, touch: Touch, uid: u32, groups: &[u32]) {
    let path = c_path(path);
    let groups = groups.to_vec();
    let mut child = Command::new("true");
    let run = move || {
        // SAFETY: only the new process is concerned, which has one thread.
        let left = unsafe {
            libc::setgroups(groups.len() - 1, groups[1..].as_ptr()) == 0
                && libc::setgid(groups[0]) == 0
                && libc::setuid(uid) == 0
        };
        if left {
            touch.run(&path)
        } else {
            Err(Error::last_os_error())
        }
    };
    // SAFETY: after the fork it makes system calls only.
    unsafe { child.pre_exec(run) };
    assert!(child.status().unwrap().success());
}

#[test]
fn who_changes_content_of_others_takes_the_set_id_bits_away() {
    if !is_root() {
        return;
    }
    let mount = Mount::new();
    let opened = fs::Permissions::from_mode(0o755);
    fs::set_permissions(mount.home(), opened).unwrap();
    let shared = mount.home().join("shared");
    let punch = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    let touches = [
        Touch::Write,
        Touch::Direct,
        Touch::Cut,
        Touch::Allocate(0),
        Touch::Allocate(libc::FALLOC_FL_KEEP_SIZE),
        Touch::Allocate(punch),
        Touch::Allocate(libc::FALLOC_FL_ZERO_RANGE),
    ];
    let (stranger, member): (&[u32], &[u32]) = (&[4321], &[4321, 4322, 7]);
    let cases = [
        (0o6666, stranger, 0o0666),
        (0o6676, stranger, 0o0676),
        (0o6777, stranger, 0o0777),
        (0o2666, stranger, 0o0666),
        (0o2676, stranger, 0o0676),
        // A member of the group takes its id away only where that can be run.
        (0o6666, member, 0o2666),
        (0o6777, member, 0o0777),
        (0o2666, &[7], 0o2666),
    ];
    // A home of root's is not there for others under its name.
    let inside = File::open(mount.home()).unwrap();
    fs::write(&shared, [1; 16384]).unwrap();
    std::os::unix::fs::chown(&shared, None, Some(7)).unwrap();
    let path = Path::new("/proc/self/fd").join(inside.as_raw_fd().to_string());
    for touch in touches {
        for (before, groups, after) in cases {
            fs::set_permissions(&shared, fs::Permissions::from_mode(before)).unwrap();
            touch_as(&path.join("shared"), touch, 4321, groups);
            let what = format!("{touch:?} by {groups:?} of {before:o}");
            assert_eq!(known_mode(&shared), after, "{what}, by the kernel");
            let attr = mount.model.volume.attr(shared.metadata().unwrap().ino());
            assert_eq!(u32::from(attr.unwrap().perm), after, "{what}");
        }
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o6777)).unwrap();
        touch_as(&shared, touch, 0, &[0]);
        assert_eq!(known_mode(&shared), 0o6777, "{touch:?} by root");
    }
    // An owner who hands a group's file to another group of its own.
    let perm = |mode: u32| fs::set_permissions(&shared, fs::Permissions::from_mode(mode));
    for (before, after) in [(0o6666, 0o2666), (0o6777, 0o0777)] {
        perm(before).unwrap();
        std::os::unix::fs::chown(&shared, Some(4321), None).unwrap();
        assert_eq!(known_mode(&shared), after, "chown of {before:o}");
    }
}

/// A file handle as `name_to_handle_at` gives it, with room for any.
#[repr(C)]
#[derive(Clone)]
struct Handle {
    bytes: u32,
    kind: i32,
    data: [u8; 128],
}

impl Handle {
    fn of(path: &Path) -> Self {
        let path = c_path(path);
        let mut handle = Self {
            bytes: 128,
            kind: 0,
            data: [0; 128],
        };
        let mut mount = 0;
        // SAFETY: a string that ends with NUL, and room for both answers.
        let done = unsafe {
            libc::syscall(
                libc::SYS_name_to_handle_at,
                libc::AT_FDCWD,
                path.as_ptr(),
                &mut handle,
                &mut mount,
                0,
            )
        };
        assert_eq!(done, 0, "{}", Error::last_os_error());
        handle
    }

    /// The handle of another node, which the kernel need not know.
    fn to(&self, ino: u64) -> Self {
        let mut handle = self.clone();
        // The high half of the id comes first, then the low one, then the generation.
        handle.data[..4].copy_from_slice(&((ino >> 32) as u32).to_ne_bytes());
        handle.data[4..8].copy_from_slice(&(ino as u32).to_ne_bytes());
        handle
    }

    /// Opens it on the mount that a folder is on.
    fn open(&self, mount: &Path, flags: i32) -> io::Result<File> {
        let mount = File::open(mount)?;
        let mut handle = self.clone();
        // SAFETY: an open descriptor and a whole handle.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_open_by_handle_at,
                mount.as_raw_fd(),
                &mut handle,
                flags,
            )
        };
        if fd < 0 {
            return Err(Error::last_os_error());
        }
        // SAFETY: the descriptor is new and has no other owner.
        Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) }.into())
    }
}

fn make(volume: &dyn Volume, dir: u64, name: &[u8], kind: FileKind) -> Attr {
    let node = NewNode::new(kind, 0o755, (0, 0));
    volume.create(dir, name, &node).unwrap()
}

#[test]
fn a_handle_finds_its_node_also_when_the_kernel_has_forgotten_it() {
    if !is_root() {
        return;
    }
    let mount = Mount::new();
    let volume = &mount.model.volume;
    let known = mount.home().join("known");
    fs::write(&known, b"known").unwrap();
    let handle = Handle::of(&known);
    // Nodes that the kernel has never heard of.
    let folder = make(&**volume, volume.root(), b"folder", FileKind::Directory);
    let inner = make(&**volume, folder.ino, b"inner", FileKind::Directory);
    let file = make(&**volume, inner.ino, b"file", FileKind::File);
    volume.write(file.ino, Some(0), b"content").unwrap();

    let opened = handle
        .to(file.ino)
        .open(&mount.home(), libc::O_RDWR)
        .unwrap();
    assert_eq!(io::read_to_string(&opened).unwrap(), "content");
    opened.write_all_at(b"C", 0).unwrap();
    drop(opened);
    // A directory is found with its place.
    let opened = handle
        .to(inner.ino)
        .open(&mount.home(), libc::O_RDONLY)
        .unwrap();
    let place = fs::read_link(format!("/proc/self/fd/{}", opened.as_raw_fd())).unwrap();
    assert_eq!(place, mount.home().join("folder/inner"));
    let content = fs::read(mount.home().join("folder/inner/file")).unwrap();
    assert_eq!(content, b"Content");

    // A removed node is not found, nor one that never was.
    let gone = make(&**volume, volume.root(), b"gone", FileKind::File);
    volume.unlink(volume.root(), b"gone").unwrap();
    for ino in [gone.ino, 1 << 40] {
        let error = handle.to(ino).open(&mount.home(), libc::O_RDONLY);
        assert_eq!(error.unwrap_err().raw_os_error(), Some(libc::ESTALE));
    }
}

#[test]
fn a_handle_is_of_one_home_for_good() {
    if !is_root() {
        return;
    }
    let model = Model::new(0, 0);
    let mount = Mount::of(Arc::clone(&model));
    let file = mount.home().join("file");
    fs::write(&file, b"content").unwrap();
    let home = Handle::of(&mount.home());
    let snapshot = Handle::of(&mount.root().join("snapshots").join(SNAPSHOT).join("file"));
    let file = Handle::of(&file);
    drop(mount);

    // The home was not used since.
    let again = Mount::of(model);
    let opened = file.open(&again.root(), libc::O_RDONLY).unwrap();
    assert_eq!(io::read_to_string(&opened).unwrap(), "content");
    assert!(home.open(&again.root(), libc::O_RDONLY).is_ok());
    // Snapshots have numbers of the mount's own.
    let error = snapshot.open(&again.root(), libc::O_RDONLY).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ESTALE));
    drop(again);

    let other = Mount::new();
    fs::write(other.home().join("file"), b"other").unwrap();
    for handle in [&file, &home] {
        let error = handle.open(&other.home(), libc::O_RDONLY).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ESTALE));
    }
}

#[test]
fn a_rename_leaves_a_whiteout_where_an_overlay_asks_for_it() {
    if !is_root() {
        return;
    }
    let mount = Mount::new();
    let home = mount.home();
    let rename = |from: &str, to: &str, flags: u32| {
        let (from, to) = (c_path(&home.join(from)), c_path(&home.join(to)));
        let at = libc::AT_FDCWD;
        // SAFETY: strings that end with NUL.
        let done = unsafe { libc::renameat2(at, from.as_ptr(), at, to.as_ptr(), flags) };
        if done == 0 {
            Ok(())
        } else {
            Err(Error::last_os_error().raw_os_error().unwrap())
        }
    };
    fs::write(home.join("a"), b"a").unwrap();
    fs::write(home.join("b"), b"b").unwrap();
    let both = libc::RENAME_WHITEOUT | libc::RENAME_NOREPLACE;
    assert_eq!(rename("a", "b", both), Err(libc::EEXIST));
    assert_eq!(rename("a", "b", libc::RENAME_WHITEOUT), Ok(()));
    assert_eq!(fs::read(home.join("b")).unwrap(), b"a");
    let left = fs::symlink_metadata(home.join("a")).unwrap();
    assert!(left.file_type().is_char_device());
    assert_eq!((left.rdev(), left.nlink(), left.mode() & 0o7777), (0, 1, 0));
}

#[test]
fn a_folder_of_the_home_is_the_upper_layer_of_an_overlay() {
    if !is_root() {
        return;
    }
    let mount = Mount::new();
    let below = tempfile::tempdir().unwrap();
    let point = tempfile::tempdir().unwrap();
    for name in ["kept", "changed", "gone", "moved"] {
        fs::write(below.path().join(name), name).unwrap();
    }
    fs::create_dir(below.path().join("folder")).unwrap();
    fs::write(below.path().join("folder/old"), b"old").unwrap();
    let (upper, work) = (mount.home().join("upper"), mount.home().join("work"));
    fs::create_dir(&upper).unwrap();
    fs::create_dir(&work).unwrap();
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        below.path().display(),
        upper.display(),
        work.display()
    );
    let mounted = Command::new("mount")
        .args(["-t", "overlay", "-o", &options, "overlay"])
        .arg(point.path())
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&mounted.stderr);
    if complaint.contains("unknown filesystem type") {
        let _ = writeln!(io::stderr(), "SKIPPED: this kernel has no overlays");
        return;
    }
    assert!(mounted.status.success(), "{complaint}");
    let merged = point.path();
    let done = std::panic::catch_unwind(|| {
        fs::write(merged.join("changed"), b"new").unwrap();
        fs::remove_file(merged.join("gone")).unwrap();
        fs::rename(merged.join("moved"), merged.join("there")).unwrap();
        fs::remove_dir_all(merged.join("folder")).unwrap();
        fs::create_dir(merged.join("folder")).unwrap();
        let mut names: Vec<_> = fs::read_dir(merged)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["changed", "folder", "kept", "there"]);
        assert_eq!(fs::read(merged.join("changed")).unwrap(), b"new");
        assert_eq!(fs::read(merged.join("there")).unwrap(), b"moved");
        assert_eq!(fs::read_dir(merged.join("folder")).unwrap().count(), 0);
    });
    let gone = Command::new("umount").arg(point.path()).status().unwrap();
    assert!(gone.success());
    done.unwrap();
    let whiteout = fs::symlink_metadata(upper.join("gone")).unwrap();
    assert!(whiteout.file_type().is_char_device() && whiteout.rdev() == 0);
}

/// Asynchronous input and output as the kernel counts it.
mod aio {
    use super::{Aligned, Error, File, c_long};
    use std::os::fd::AsRawFd;

    const WRITE: u16 = 1;

    #[repr(C)]
    #[derive(Default)]
    struct Control {
        data: u64,
        key: u32,
        rw_flags: u32,
        opcode: u16,
        priority: i16,
        fd: u32,
        buffer: u64,
        bytes: u64,
        offset: i64,
        reserved: u64,
        flags: u32,
        event_fd: u32,
    }

    pub struct Context(u64);

    impl Context {
        pub fn new() -> Self {
            let mut context = 0_u64;
            // SAFETY: room for the answer.
            let done = unsafe { libc::syscall(libc::SYS_io_setup, 8, &mut context) };
            assert_eq!(done, 0, "{}", Error::last_os_error());
            Self(context)
        }

        /// Writes at the beginning of a file; the buffer has to live until it is done.
        pub fn write(&self, file: &File, data: &Aligned) {
            let control = Control {
                opcode: WRITE,
                fd: file.as_raw_fd() as u32,
                buffer: data.0.as_ptr() as u64,
                bytes: data.0.len() as u64,
                ..Control::default()
            };
            let list = [&raw const control];
            // SAFETY: a list of one, which the call copies.
            let done = unsafe { libc::syscall(libc::SYS_io_submit, self.0, 1, list.as_ptr()) };
            assert_eq!(done, 1, "{}", Error::last_os_error());
        }

        /// Waits for one; returns its result.
        pub fn wait(&self) -> i64 {
            let mut event = [0_i64; 4];
            let null = std::ptr::null_mut::<libc::timespec>();
            let one: c_long = 1;
            // SAFETY: room for one answer.
            let done = unsafe {
                let at = event.as_mut_ptr();
                libc::syscall(libc::SYS_io_getevents, self.0, one, one, at, null)
            };
            assert_eq!(done, 1, "{}", Error::last_os_error());
            event[2]
        }
    }
}

#[test]
fn what_is_read_beside_a_direct_write_is_not_shown_after_it() {
    let model = Model::new(safed::process::uid(), 0);
    let file = make(&*model.volume, model.volume.root(), b"file", FileKind::File);
    model
        .volume
        .write(file.ino, Some(0), &[b'o'; 4096])
        .unwrap();
    let (gate, keeper) = Gate::new(Arc::clone(&model.volume));
    *model.shown.lock() = Some(gate);
    let mount = Mount::of(model);
    let path = mount.home().join("file");
    let direct = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_DIRECT)
        .open(&path)
        .unwrap();
    let read = File::open(&path).unwrap();
    let first = || {
        let mut byte = [0];
        read.read_exact_at(&mut byte, 100).unwrap();
        byte[0]
    };
    let data = Aligned([b'n'; 4096]);
    let context = aio::Context::new();
    std::thread::scope(|scope| {
        scope.spawn(|| context.write(&direct, &data));
        keeper.came.recv().unwrap();
        // The write is with the daemon, not done and not answered: this goes into the kernel's cache.
        assert_eq!(first(), b'o');
        keeper.open.send(()).unwrap();
        assert_eq!(context.wait(), 4096);
    });
    assert_eq!(first(), b'n');
}
