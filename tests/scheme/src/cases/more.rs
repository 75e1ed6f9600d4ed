//! Operations of programs beyond reading and writing.

use syscall::error::{EAGAIN, EBADF, EEXIST, EFBIG, EISDIR, ENOENT, ENOTDIR, EPERM, EINVAL};

use super::{file, holds, names_in, open};
use crate::files::{Fd, Files, How, When, read_all};

/// Several writers at the end never overwrite each other.
pub fn append_is_at_the_end(files: &dyn Files, dir: &str) {
    let path = format!("{dir}/log");
    let one = files.open(&path, How::APPEND).unwrap();
    let two = files.open(&path, How::APPEND).unwrap();
    assert_eq!(files.write(one, b"a1;"), Ok(3));
    assert_eq!(files.write(two, b"b1;"), Ok(3));
    assert_eq!(files.write(one, b"a2;"), Ok(3));
    files.close(one);
    files.close(two);
    holds(files, &path, b"a1;b1;a2;");
}

/// New files are new, and opening tells apart what is there.
pub fn open_says_what_is_wrong(files: &dyn Files, dir: &str) {
    let path = format!("{dir}/a");
    let new = How { new: true, ..How::WRITE };
    files.close(files.open(&path, new).unwrap());
    assert_eq!(files.open(&path, new), Err(EEXIST));
    assert_eq!(files.open(&format!("{dir}/b"), How::READ), Err(ENOENT));
    assert_eq!(files.open(&format!("{path}/b"), How::READ), Err(ENOTDIR));
    assert_eq!(files.open(dir, How::WRITE), Err(EISDIR));
    let folder = How { directory: true, ..How::READ };
    assert_eq!(files.open(&path, folder), Err(ENOTDIR));
    let reader = files.open(&path, How::READ).unwrap();
    assert_eq!(files.write(reader, b"x"), Err(EBADF));
    assert_eq!(files.truncate(reader, 0), Err(EINVAL));
    files.close(reader);
    let how = How { read: false, ..How::WRITE };
    let writer = files.open(&path, how).unwrap();
    assert_eq!(files.read(writer, &mut [0; 4]), Err(EBADF));
    files.close(writer);
}

/// The current directory, and paths from it.
pub fn a_shell_is_in_its_directory(files: &dyn Files, dir: &str) {
    files.mkdir(&format!("{dir}/inner"), 0o755).unwrap();
    files.chdir(dir).unwrap();
    files.chdir("inner").unwrap();
    file(files, "here", b"x");
    holds(files, &format!("{dir}/inner/here"), b"x");
    holds(files, "../inner/./here", b"x");
    let fd = files.open(".", How::READ).unwrap();
    assert_eq!(files.path_of(fd).as_deref(), Ok(format!("{dir}/inner").as_str()));
    // It follows a directory that moves.
    files.rename(&format!("{dir}/inner"), &format!("{dir}/moved")).unwrap();
    assert_eq!(files.path_of(fd).as_deref(), Ok(format!("{dir}/moved").as_str()));
    files.close(fd);
    files.chdir("/").unwrap();
}

/// The loader's reads: the head, then segments at their places, past the end too.
pub fn exec_reads_at_places(files: &dyn Files, dir: &str) {
    let data: Vec<u8> = (0..1_000_000_u32).map(|n| (n >> 3) as u8).collect();
    let path = format!("{dir}/program");
    file(files, &path, &data);
    let fd = files.open(&path, How::READ).unwrap();
    for (at, len) in [(0, 64), (64, 56 * 13), (4096, 300_000), (700_001, 299_999)] {
        let mut buf = vec![0; len];
        assert_eq!(files.read_at(fd, &mut buf, at as u64), Ok(len));
        assert!(buf == data[at..at + len]);
    }
    let mut buf = vec![0; 4096];
    assert_eq!(files.read_at(fd, &mut buf, 999_999), Ok(1));
    assert_eq!(files.read_at(fd, &mut buf, 1_000_000), Ok(0));
    files.close(fd);
}

/// A library that is mapped is the file, byte for byte, and zeros behind it.
pub fn a_mapped_file_is_the_file(files: &dyn Files, dir: &str) {
    let data: Vec<u8> = (0..300_001_u32).map(|n| (n * 13 / 4) as u8).collect();
    let path = format!("{dir}/library");
    file(files, &path, &data);
    let fd = files.open(&path, How::READ).unwrap();
    let mapping = files.map(fd, data.len(), false).unwrap();
    let mut seen = vec![1; data.len() + 100];
    mapping.get(0, &mut seen);
    assert!(seen[..data.len()] == data && seen[data.len()..].iter().all(|byte| *byte == 0));
    mapping.unmap();
    files.close(fd);
}

/// Writes to a shared mapping are seen by others: other mappings, readers, and after it the file.
pub fn shared_mappings_are_one(files: &dyn Files, dir: &str) {
    let path = format!("{dir}/shared");
    file(files, &path, &[b'.'; 10_000]);
    let (one, two) = (open(files, &path), open(files, &path));
    let first = files.map(one, 10_000, true).unwrap();
    let second = files.map(two, 10_000, true).unwrap();
    first.put(5000, b"hello");
    let mut seen = [0; 5];
    second.get(5000, &mut seen);
    assert_eq!(&seen, b"hello");
    assert_eq!(files.read_at(two, &mut seen, 5000), Ok(5));
    assert_eq!(&seen, b"hello");
    assert_eq!(files.write_at(two, b"file!", 9000), Ok(5));
    first.get(9000, &mut seen);
    assert_eq!(&seen, b"file!");
    first.put(0, b"first");
    files.sync(one).unwrap();
    second.put(9995, b"last!");
    first.unmap();
    second.unmap();
    files.close(one);
    files.close(two);
    let all = read_all(files, &path).unwrap();
    assert_eq!(all.len(), 10_000);
    assert_eq!((&all[..5], &all[5000..5005]), (&b"first"[..], &b"hello"[..]));
    assert_eq!((&all[9000..9005], &all[9995..]), (&b"file!"[..], &b"last!"[..]));
}

/// A program's own locks never hinder it, and closing a file gives them up.
pub fn record_locks_of_one_program(files: &dyn Files, dir: &str) {
    let path = format!("{dir}/data");
    file(files, &path, b"0123456789");
    let fd = open(files, &path);
    files.lock(fd, 0, 5, true).unwrap();
    files.lock(fd, 3, 4, false).unwrap();
    files.unlock(fd, 0, 0).unwrap();
    let reader = files.open(&path, How::READ).unwrap();
    assert_eq!(files.lock(reader, 0, 1, true), Err(EBADF));
    files.lock(reader, 0, 0, false).unwrap();
    assert_ne!(files.lock(fd, 0, 1, true), Err(EAGAIN));
    files.close(reader);
    files.close(fd);
}

/// Lengths: shorter, longer with zeros, and no longer than files can be.
pub fn ftruncate_cuts_and_grows(files: &dyn Files, dir: &str) {
    let path = format!("{dir}/a");
    file(files, &path, b"0123456789");
    let fd = open(files, &path);
    files.truncate(fd, 4).unwrap();
    files.truncate(fd, 8).unwrap();
    holds(files, &path, b"0123\0\0\0\0");
    files.truncate(fd, 1 << 40).unwrap();
    assert_eq!(files.seek_end(fd), Ok(1 << 40));
    // Systems differ in the error.
    assert!(matches!(files.truncate(fd, u64::MAX), Err(EFBIG | EINVAL)));
    files.truncate(fd, 0).unwrap();
    assert_eq!(files.fstat(fd).unwrap().size, 0);
    files.close(fd);
}

/// Times as they are set: to the nanosecond, before 1970, now, or left.
pub fn futimens_sets_times(files: &dyn Files, dir: &str) {
    let path = format!("{dir}/a");
    file(files, &path, b"x");
    let fd = open(files, &path);
    let times = |fd: Fd| {
        let meta = files.fstat(fd).unwrap();
        (meta.atime, meta.mtime)
    };
    files.times(fd, When::At(12, 345), When::At(-7, 999_999_999)).unwrap();
    assert_eq!(times(fd), ((12, 345), (-7, 999_999_999)));
    files.times(fd, When::Keep, When::At(99, 1)).unwrap();
    assert_eq!(times(fd), ((12, 345), (99, 1)));
    files.times(fd, When::Now, When::Keep).unwrap();
    let (access, change) = times(fd);
    assert!(access.0 > 1_700_000_000 && change == (99, 1));
    assert_eq!(files.times(fd, When::At(1, -5_i32 as u32), When::Keep), Err(EINVAL));
    files.close(fd);
}

/// Permissions are kept, and set-id bits go from a file that is written to.
pub fn fchmod_is_kept(files: &dyn Files, dir: &str) {
    let path = format!("{dir}/a");
    file(files, &path, b"x");
    let fd = open(files, &path);
    files.chmod(fd, 0o4751).unwrap();
    assert_eq!(files.fstat(fd).unwrap().perm, 0o4751);
    files.write(fd, b"y").unwrap();
    let written = files.fstat(fd).unwrap();
    // Root's writes leave the set-id bits.
    let left = if written.uid == 0 { 0o4751 } else { 0o0751 };
    assert_eq!(written.perm, left);
    files.close(fd);
    let meta = files.stat(&path).unwrap();
    let fd = open(files, &path);
    files.chown(fd, meta.uid, meta.gid).unwrap();
    // On Redox the kernel lets only root leave the owner as it is.
    assert!(matches!(files.chown(fd, u32::MAX, u32::MAX), Ok(()) | Err(EPERM)));
    files.close(fd);
}

/// Making durable, and how much room there is.
pub fn fsync_and_statvfs(files: &dyn Files, dir: &str) {
    let fd = open(files, &format!("{dir}/a"));
    files.write(fd, b"durable").unwrap();
    files.sync(fd).unwrap();
    let (total, free) = files.space(fd).unwrap();
    // The space of the store's disk: a guest's may be small.
    assert!(
        total > 64 << 20 && (1..=total).contains(&free),
        "{free} of {total} bytes are free"
    );
    files.close(fd);
    let folder = files.open(dir, How::READ).unwrap();
    files.sync(folder).unwrap();
    files.close(folder);
}

/// A file that was removed while open can be used until it is closed.
pub fn removed_files_stay_while_open(files: &dyn Files, dir: &str) {
    let path = format!("{dir}/a");
    let fd = open(files, &path);
    files.write(fd, b"still").unwrap();
    files.unlink(&path).unwrap();
    let mut buf = [0; 5];
    assert_eq!(files.read_at(fd, &mut buf, 0), Ok(5));
    assert_eq!(files.write_at(fd, b"here!", 5), Ok(5));
    assert_eq!(files.fstat(fd).unwrap().nlink, 0);
    files.close(fd);
    assert!(names_in(files, dir).is_empty());
}

/// A directory with very many entries is listed whole, each name once.
pub fn a_hundred_thousand_entries(files: &dyn Files, dir: &str) {
    const COUNT: usize = 100_000;
    let new = How { new: true, ..How::WRITE };
    for index in 0..COUNT {
        files.close(files.open(&format!("{dir}/{index:06}"), new).unwrap());
    }
    let names = names_in(files, dir);
    assert_eq!(names.len(), COUNT);
    assert!(names.iter().enumerate().all(|(index, (name, _))| *name == format!("{index:06}")));
}
