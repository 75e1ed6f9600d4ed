//! A tree as a list that can be compared: everything that must survive, byte for byte.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CString, OsString};
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::Random;

/// Everything of one entry that must be the same elsewhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Type and permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Modification time; folders' too.
    pub mtime: (i64, i64),
    /// Device number, of devices only.
    pub device: u64,
    /// Length, and a checksum of the content (of the target, for links).
    pub content: (u64, u64),
    /// Extended attributes.
    pub attributes: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first path of the same inode, when it has several.
    pub same_as: Option<PathBuf>,
}

/// Lists a tree by paths relative to `root`.
pub fn list(root: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut found = BTreeMap::new();
    let mut inodes = HashMap::new();
    walk(root, Path::new(""), &mut found, &mut inodes);
    found
}

fn walk(
    root: &Path,
    at: &Path,
    found: &mut BTreeMap<PathBuf, Entry>,
    inodes: &mut HashMap<u64, PathBuf>,
) {
    let folder = root.join(at);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut names: Vec<OsString> = entries.map(|e| e.unwrap().file_name()).collect();
    names.sort();
    for name in names {
        let relative = at.join(name);
        let path = root.join(&relative);
        let entry = entry(&path, &relative, inodes);
        let is_folder = entry.mode & libc::S_IFMT == libc::S_IFDIR;
        found.insert(relative.clone(), entry);
        if is_folder {
            walk(root, &relative, found, inodes);
        }
    }
}

fn entry(path: &Path, relative: &Path, inodes: &mut HashMap<u64, PathBuf>) -> Entry {
    let meta = fs::symlink_metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let kind = meta.file_type();
    let content = if kind.is_file() {
        let bytes = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(bytes.len() as u64, meta.len(), "{}: length", path.display());
        (meta.len(), checksum(&bytes))
    } else if kind.is_symlink() {
        let target = fs::read_link(path).unwrap();
        (
            target.as_os_str().len() as u64,
            checksum(target.as_os_str().as_bytes()),
        )
    } else {
        (0, 0)
    };
    let mut same_as = None;
    if meta.nlink() > 1 && !kind.is_dir() {
        let first = inodes
            .entry(meta.ino())
            .or_insert_with(|| relative.to_path_buf());
        same_as = Some(first.clone());
    }
    Entry {
        mode: meta.mode(),
        owner: (meta.uid(), meta.gid()),
        mtime: (meta.mtime(), meta.mtime_nsec()),
        device: if kind.is_char_device() || kind.is_block_device() {
            meta.rdev()
        } else {
            0
        },
        content,
        attributes: attributes(path),
        same_as,
    }
}

/// Fails with the first differences when two trees are not the same.
#[track_caller]
pub fn assert_same(expected: &BTreeMap<PathBuf, Entry>, found: &BTreeMap<PathBuf, Entry>) {
    let mut differences = Vec::new();
    for (path, entry) in expected {
        match found.get(path) {
            None => differences.push(format!("{} is missing", path.display())),
            Some(other) if other != entry => {
                differences.push(format!("{}: {entry:?} became {other:?}", path.display()));
            }
            Some(_) => {}
        }
    }
    for path in found.keys().filter(|path| !expected.contains_key(*path)) {
        differences.push(format!("{} is new", path.display()));
    }
    assert!(
        differences.is_empty(),
        "{} differences, the first:\n{}",
        differences.len(),
        differences[..differences.len().min(10)].join("\n")
    );
}

/// FNV-1a over eight bytes at a time, which is enough to see a difference.
pub fn checksum(bytes: &[u8]) -> u64 {
    let mut sum = 0xcbf2_9ce4_8422_2325 ^ bytes.len() as u64;
    for part in bytes.chunks(8) {
        let mut word = [0u8; 8];
        word[..part.len()].copy_from_slice(part);
        sum = (sum ^ u64::from_le_bytes(word)).wrapping_mul(0x0000_0100_0000_01b3);
        sum ^= sum >> 29;
    }
    sum
}

fn attributes(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    let mut names = vec![0u8; 1 << 16];
    // SAFETY: the buffer is as long as said.
    let len = unsafe { libc::llistxattr(path.as_ptr(), names.as_mut_ptr().cast(), names.len()) };
    names.truncate(usize::try_from(len).unwrap_or(0));
    let mut found = BTreeMap::new();
    for name in names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        // Attributes of security modules are the machine's business, not the home's.
        if name.starts_with(b"security.") && name != b"security.capability" {
            continue;
        }
        let c_name = CString::new(name).unwrap();
        let mut value = vec![0u8; 1 << 16];
        // SAFETY: the buffer is as long as said.
        let len = unsafe {
            libc::lgetxattr(
                path.as_ptr(),
                c_name.as_ptr(),
                value.as_mut_ptr().cast(),
                value.len(),
            )
        };
        value.truncate(usize::try_from(len).unwrap_or(0));
        found.insert(name.to_vec(), value);
    }
    found
}

/// Sets an extended attribute.
pub fn set_attribute(path: &Path, name: &str, value: &[u8]) -> std::io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let name = CString::new(name)?;
    // SAFETY: the value is as long as said.
    let done = unsafe {
        libc::lsetxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            0,
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

/// Sets access and modification times, nanoseconds and all, of the node at `path` itself.
pub fn set_times(path: &Path, seconds: i64, nanos: i64) {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    let time = libc::timespec {
        tv_sec: seconds,
        tv_nsec: nanos,
    };
    let times = [time, time];
    // SAFETY: two times are passed, as the call reads.
    let done = unsafe {
        libc::utimensat(
            libc::AT_FDCWD,
            path.as_ptr(),
            times.as_ptr(),
            libc::AT_SYMLINK_NOFOLLOW,
        )
    };
    assert_eq!(done, 0, "utimensat: {}", std::io::Error::last_os_error());
}

/// Makes a tree of about `files` files with everything in it that a home can hold: modes, owners
/// (as root), times before 1970 and after 2038, hard and symbolic links, holes, fifos, sockets,
/// extended attributes, names of any bytes.
pub fn make(root: &Path, files: u64, seed: u64) {
    let mut random = Random::new(seed);
    fs::create_dir_all(root).unwrap();
    let mut folders = vec![root.to_path_buf()];
    let mut last: Option<PathBuf> = None;
    for n in 0..files {
        if n % 17 == 0 {
            let parent = &folders[random.below(folders.len() as u64) as usize];
            let folder = parent.join(format!("folder {n}"));
            fs::create_dir(&folder).unwrap();
            folders.push(folder);
        }
        let folder = folders[random.below(folders.len() as u64) as usize].clone();
        let path = folder.join(format!("file-{n}.txt"));
        match random.below(40) {
            0 => symlink(format!("../somewhere/{n}"), &path).unwrap(),
            1 if last.is_some() => fs::hard_link(last.as_ref().unwrap(), &path).unwrap(),
            2 => sparse(&path, &mut random),
            _ => {
                let len = match random.below(60) {
                    0 => 300_000 + random.below(900_000),
                    1..=12 => random.below(100_000),
                    _ => random.below(6_000),
                };
                fs::write(&path, random.bytes(len as usize)).unwrap();
                let mode = [0o644, 0o600, 0o755, 0o444, 0o4711][random.below(5) as usize];
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
                if random.below(10) == 0 {
                    let len = random.below(200) as usize + 1;
                    let value = random.bytes(len);
                    set_attribute(&path, "user.note", &value).unwrap();
                }
                last = Some(path.clone());
            }
        }
        if random.below(3) == 0 {
            let seconds = random.below(4_000_000_000) as i64 - 500_000_000;
            set_times(&path, seconds, random.below(1_000_000_000) as i64);
        }
    }
    odd_ones(root, &mut random);
    for (n, folder) in folders.iter().enumerate().rev() {
        set_times(folder, 1_600_000_000 + n as i64, 123_456_789);
    }
}

fn sparse(path: &Path, random: &mut Random) {
    use std::os::unix::fs::FileExt;
    let file = fs::File::create(path).unwrap();
    file.set_len(5_000_000).unwrap();
    let at = random.below(4_000_000);
    file.write_all_at(&random.bytes(5_000), at).unwrap();
}

fn odd_ones(root: &Path, random: &mut Random) {
    use std::ffi::OsStr;
    let odd = root.join("odd");
    fs::create_dir(&odd).unwrap();
    let longest = "n".repeat(255);
    let names: [&[u8]; 6] = [
        b"with\nline\tand tab",
        b"\xff\xfe not UTF-8 \x80",
        "Gr\u{fc}\u{df}e \u{1f30d}".as_bytes(),
        longest.as_bytes(),
        b"-rf",
        b" ",
    ];
    for name in names {
        let mut file = fs::File::create(odd.join(OsStr::from_bytes(name))).unwrap();
        file.write_all(name).unwrap();
    }
    fs::write(odd.join("empty"), b"").unwrap();
    make_node(&odd.join("fifo"), libc::S_IFIFO | 0o640, 0).unwrap();
    make_socket(&odd);
    let sticky = odd.join("sticky");
    fs::create_dir(&sticky).unwrap();
    fs::set_permissions(&sticky, fs::Permissions::from_mode(0o1777)).unwrap();
    set_attribute(&sticky, "user.folder", b"yes").unwrap();
    // SAFETY: takes nothing and cannot fail.
    if unsafe { libc::geteuid() } == 0 {
        make_node(
            &odd.join("null"),
            libc::S_IFCHR | 0o666,
            libc::makedev(1, 3),
        )
        .unwrap();
        let owned = odd.join("owned");
        fs::write(&owned, random.bytes(100)).unwrap();
        std::os::unix::fs::lchown(&owned, Some(1234), Some(5678)).unwrap();
        std::os::unix::fs::symlink("owned", odd.join("owned link")).unwrap();
        std::os::unix::fs::lchown(odd.join("owned link"), Some(4321), Some(8765)).unwrap();
    }
}

/// Makes a socket. Their addresses are short, paths here are not: by way of the folder's descriptor.
fn make_socket(folder: &Path) {
    use std::os::fd::AsRawFd;
    let handle = fs::File::open(folder).unwrap();
    let path = format!("/proc/self/fd/{}/socket", handle.as_raw_fd());
    drop(std::os::unix::net::UnixListener::bind(path).unwrap());
}

/// Makes a fifo or a device.
pub fn make_node(path: &Path, mode: u32, device: u64) -> std::io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path ends with NUL.
    match unsafe { libc::mknod(path.as_ptr(), mode, device) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}
