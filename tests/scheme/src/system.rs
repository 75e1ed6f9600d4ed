//! The system's own file operations: the cases run on it where there is a mounted file system or, on
//! Redox, the scheme itself. Here it also shows that the cases ask for nothing that systems do not give.
//!
//! The current directory is the whole process's: one [`System`] at a time.

use std::ffi::CString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, RawFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, PermissionsExt};

use crate::files::{Errno, Fd, Files, How, Kind, Mapping, Meta, Result, When};

/// The system under this process.
pub struct System;

fn errno(error: io::Error) -> Errno {
    error.raw_os_error().unwrap_or(libc::EINVAL)
}

fn checked(result: libc::c_int) -> Result<libc::c_int> {
    if result < 0 {
        Err(errno(io::Error::last_os_error()))
    } else {
        Ok(result)
    }
}

/// The descriptor as a file that is not closed with it.
fn file(fd: Fd) -> ManuallyDrop<File> {
    // SAFETY: the descriptor is open for as long as a case uses it, and not closed here.
    ManuallyDrop::new(unsafe { File::from_raw_fd(fd as RawFd) })
}

fn meta(from: &fs::Metadata) -> Meta {
    Meta {
        dev: from.dev(),
        ino: from.ino(),
        kind: kind(from.file_type()),
        perm: (from.mode() & 0o7777) as u16,
        nlink: from.nlink() as u32,
        uid: from.uid(),
        gid: from.gid(),
        size: from.size(),
        mtime: (from.mtime(), from.mtime_nsec() as u32),
        atime: (from.atime(), from.atime_nsec() as u32),
    }
}

fn kind(from: fs::FileType) -> Kind {
    match from {
        kind if kind.is_file() => Kind::File,
        kind if kind.is_dir() => Kind::Directory,
        kind if kind.is_symlink() => Kind::Link,
        _ => Kind::Other,
    }
}

/// `struct flock`, which the `libc` crate lacks for Redox; there and on Linux it is this.
#[repr(C)]
struct RecordLock {
    kind: libc::c_short,
    whence: libc::c_short,
    start: libc::off_t,
    len: libc::off_t,
    pid: libc::pid_t,
}

/// `F_RDLCK`, `F_WRLCK` and `F_UNLCK`.
const SHARED: libc::c_short = 0;
const EXCLUSIVE: libc::c_short = 1;
const UNLOCKED: libc::c_short = 2;

fn record_lock(fd: Fd, kind: libc::c_short, start: u64, len: u64) -> Result<()> {
    let lock = RecordLock {
        kind,
        whence: libc::SEEK_SET as _,
        start: start as _,
        len: len as _,
        pid: 0,
    };
    // SAFETY: the lock lives until the call returns.
    checked(unsafe { libc::fcntl(fd as RawFd, libc::F_SETLK, &raw const lock) }).map(drop)
}

impl Files for System {
    fn open(&self, path: &str, how: How) -> Result<Fd> {
        let mut flags = match (how.read, how.write) {
            (true, true) => libc::O_RDWR,
            (false, true) => libc::O_WRONLY,
            _ => libc::O_RDONLY,
        };
        for (wanted, flag) in [
            (how.create, libc::O_CREAT),
            (how.new, libc::O_EXCL),
            (how.truncate, libc::O_TRUNC),
            (how.append, libc::O_APPEND),
            (how.directory, libc::O_DIRECTORY),
            (how.no_follow, libc::O_NOFOLLOW),
        ] {
            if wanted {
                flags |= flag;
            }
        }
        let path = CString::new(path).map_err(|_| libc::EINVAL)?;
        let flags = flags | libc::O_CLOEXEC;
        // SAFETY: the path lives until the call returns.
        let fd = unsafe { libc::open(path.as_ptr(), flags, libc::c_uint::from(how.mode)) };
        checked(fd).map(|fd| fd as Fd)
    }

    fn close(&self, fd: Fd) {
        drop(ManuallyDrop::into_inner(file(fd)));
    }

    fn read(&self, fd: Fd, buf: &mut [u8]) -> Result<usize> {
        io::Read::read(&mut &*file(fd), buf).map_err(errno)
    }

    fn read_at(&self, fd: Fd, buf: &mut [u8], at: u64) -> Result<usize> {
        file(fd).read_at(buf, at).map_err(errno)
    }

    fn write(&self, fd: Fd, data: &[u8]) -> Result<usize> {
        io::Write::write(&mut &*file(fd), data).map_err(errno)
    }

    fn write_at(&self, fd: Fd, data: &[u8], at: u64) -> Result<usize> {
        file(fd).write_at(data, at).map_err(errno)
    }

    fn seek_end(&self, fd: Fd) -> Result<u64> {
        io::Seek::seek(&mut &*file(fd), io::SeekFrom::End(0)).map_err(errno)
    }

    fn fstat(&self, fd: Fd) -> Result<Meta> {
        file(fd).metadata().map(|found| meta(&found)).map_err(errno)
    }

    fn stat(&self, path: &str) -> Result<Meta> {
        fs::metadata(path).map(|found| meta(&found)).map_err(errno)
    }

    fn lstat(&self, path: &str) -> Result<Meta> {
        let found = fs::symlink_metadata(path);
        found.map(|found| meta(&found)).map_err(errno)
    }

    fn list(&self, path: &str) -> Result<Vec<(String, Kind)>> {
        fs::read_dir(path)
            .map_err(errno)?
            .map(|entry| {
                let entry = entry.map_err(errno)?;
                let name = entry.file_name().to_string_lossy().into_owned();
                Ok((name, kind(entry.file_type().map_err(errno)?)))
            })
            .collect()
    }

    fn mkdir(&self, path: &str, mode: u16) -> Result<()> {
        let mut builder = DirBuilder::new();
        builder.mode(mode.into()).create(path).map_err(errno)
    }

    fn rmdir(&self, path: &str) -> Result<()> {
        fs::remove_dir(path).map_err(errno)
    }

    fn unlink(&self, path: &str) -> Result<()> {
        fs::remove_file(path).map_err(errno)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        fs::rename(from, to).map_err(errno)
    }

    fn link(&self, from: &str, to: &str) -> Result<()> {
        fs::hard_link(from, to).map_err(errno)
    }

    fn symlink(&self, target: &str, path: &str) -> Result<()> {
        std::os::unix::fs::symlink(target, path).map_err(errno)
    }

    fn read_link(&self, path: &str) -> Result<String> {
        let target = fs::read_link(path).map_err(errno)?;
        Ok(target.to_string_lossy().into_owned())
    }

    fn chmod(&self, fd: Fd, mode: u16) -> Result<()> {
        let permissions = fs::Permissions::from_mode(mode.into());
        file(fd).set_permissions(permissions).map_err(errno)
    }

    fn chown(&self, fd: Fd, uid: u32, gid: u32) -> Result<()> {
        // SAFETY: takes numbers only.
        checked(unsafe { libc::fchown(fd as RawFd, uid as _, gid as _) }).map(drop)
    }

    fn truncate(&self, fd: Fd, len: u64) -> Result<()> {
        file(fd).set_len(len).map_err(errno)
    }

    fn times(&self, fd: Fd, access: When, change: When) -> Result<()> {
        let times = [access, change].map(|when| {
            let (seconds, nanos) = match when {
                When::Now => (0, libc::UTIME_NOW as libc::c_long),
                When::Keep => (0, libc::UTIME_OMIT as libc::c_long),
                When::At(seconds, nanos) => (seconds, libc::c_long::from(nanos as i32)),
            };
            libc::timespec {
                tv_sec: seconds,
                tv_nsec: nanos,
            }
        });
        // SAFETY: the two times live until the call returns.
        checked(unsafe { libc::futimens(fd as RawFd, times.as_ptr()) }).map(drop)
    }

    fn sync(&self, fd: Fd) -> Result<()> {
        file(fd).sync_all().map_err(errno)
    }

    fn space(&self, fd: Fd) -> Result<(u64, u64)> {
        // SAFETY: plain numbers, for which zeros will do, that live until the call returns.
        let space = unsafe {
            let mut space: libc::statvfs = std::mem::zeroed();
            checked(libc::fstatvfs(fd as RawFd, &raw mut space))?;
            space
        };
        let block = space.f_bsize as u64;
        Ok((space.f_blocks as u64 * block, space.f_bavail as u64 * block))
    }

    #[cfg(target_os = "redox")]
    fn path_of(&self, fd: Fd) -> Result<String> {
        let mut buf = [0; 4096];
        let len = libredox::call::fpath(fd, &mut buf).map_err(|error| error.errno())?;
        String::from_utf8(buf[..len].to_vec()).map_err(|_| libc::EINVAL)
    }

    #[cfg(not(target_os = "redox"))]
    fn path_of(&self, fd: Fd) -> Result<String> {
        let before = std::env::current_dir().map_err(errno)?;
        // SAFETY: takes a number only.
        checked(unsafe { libc::fchdir(fd as RawFd) })?;
        let here = std::env::current_dir().map_err(errno);
        std::env::set_current_dir(before).map_err(errno)?;
        here.map(|here| here.to_string_lossy().into_owned())
    }

    fn chdir(&self, path: &str) -> Result<()> {
        std::env::set_current_dir(path).map_err(errno)
    }

    fn map(&self, fd: Fd, len: usize, shared: bool) -> Result<Box<dyn Mapping>> {
        let (protection, flags) = if shared {
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED)
        } else {
            (libc::PROT_READ, libc::MAP_PRIVATE)
        };
        // SAFETY: asks for new memory wherever there is room.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, fd as RawFd, 0) };
        if start == libc::MAP_FAILED {
            return Err(errno(io::Error::last_os_error()));
        }
        Ok(Box::new(Mapped {
            start: start as usize,
            len,
        }))
    }

    fn lock(&self, fd: Fd, start: u64, len: u64, exclusive: bool) -> Result<()> {
        let kind = if exclusive { EXCLUSIVE } else { SHARED };
        record_lock(fd, kind, start, len)
    }

    fn unlock(&self, fd: Fd, start: u64, len: u64) -> Result<()> {
        record_lock(fd, UNLOCKED, start, len)
    }
}

/// Mapped memory.
struct Mapped {
    start: usize,
    len: usize,
}

impl Mapped {
    /// The address of a range that lies in the mapped pages.
    fn range(&self, at: usize, len: usize) -> usize {
        assert!(at + len <= self.len.next_multiple_of(4096));
        self.start + at
    }
}

impl Mapping for Mapped {
    fn get(&self, at: usize, out: &mut [u8]) {
        let from = self.range(at, out.len()) as *const u8;
        // SAFETY: the range was checked, and is mapped until it is unmapped.
        unsafe { std::ptr::copy_nonoverlapping(from, out.as_mut_ptr(), out.len()) };
    }

    fn put(&self, at: usize, data: &[u8]) {
        let to = self.range(at, data.len()) as *mut u8;
        // SAFETY: as above; cases write only to mappings for writing.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), to, data.len()) };
    }

    fn unmap(self: Box<Self>) {
        // SAFETY: it was mapped with this length and is not used any more.
        unsafe { libc::munmap(self.start as *mut libc::c_void, self.len) };
    }
}
