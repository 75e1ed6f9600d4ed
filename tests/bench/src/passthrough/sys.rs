//! The system calls of the pass-through, with their results as results.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileHandle, FileType, INodeNo, TimeOrNow};

pub(super) fn c_string(name: &OsStr) -> io::Result<CString> {
    CString::new(name.as_bytes()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

pub(super) fn proc_path(fd: RawFd) -> io::Result<CString> {
    c_string(OsStr::new(&format!("/proc/self/fd/{fd}")))
}

pub(super) fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

pub(super) fn check_len(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

pub(super) fn open_at(dir: RawFd, name: &CString, flags: i32) -> io::Result<OwnedFd> {
    // SAFETY: `name` ends with NUL; nothing is created, so no mode is read.
    let fd = unsafe { libc::openat(dir, name.as_ptr(), flags | libc::O_CLOEXEC) };
    check(fd.min(0))?;
    // SAFETY: just opened and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(super) fn stat_fd(fd: RawFd) -> io::Result<libc::stat> {
    // SAFETY: all zeros is a valid value of this plain struct; the empty path names the descriptor.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        let flags = libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW;
        check(libc::fstatat(fd, c"".as_ptr(), &mut stat, flags))?;
        Ok(stat)
    }
}

pub(super) fn raw(fh: FileHandle) -> RawFd {
    fh.0 as RawFd
}

pub(super) fn handle(fd: OwnedFd) -> FileHandle {
    FileHandle(fd.into_raw_fd() as u64)
}

pub(super) fn timespec(time: Option<TimeOrNow>) -> libc::timespec {
    let (tv_sec, tv_nsec) = match time {
        None => (0, libc::UTIME_OMIT),
        Some(TimeOrNow::Now) => (0, libc::UTIME_NOW),
        Some(TimeOrNow::SpecificTime(time)) => match time.duration_since(UNIX_EPOCH) {
            Ok(since) => (since.as_secs() as i64, i64::from(since.subsec_nanos())),
            Err(e) => {
                // The protocol's nanoseconds count forwards also before 1970; `fuser` takes them away.
                let before = e.duration();
                (-(before.as_secs() as i64), i64::from(before.subsec_nanos()))
            }
        },
    };
    libc::timespec { tv_sec, tv_nsec }
}

pub(super) fn time(sec: i64, nsec: i64) -> SystemTime {
    let nanos = Duration::from_nanos(nsec.unsigned_abs());
    if sec >= 0 {
        UNIX_EPOCH + Duration::from_secs(sec.unsigned_abs()) + nanos
    } else {
        UNIX_EPOCH - Duration::from_secs(sec.unsigned_abs()) + nanos
    }
}

pub(super) fn attr(number: u64, stat: &libc::stat) -> FileAttr {
    FileAttr {
        ino: INodeNo(number),
        size: stat.st_size as u64,
        blocks: stat.st_blocks as u64,
        atime: time(stat.st_atime, stat.st_atime_nsec),
        mtime: time(stat.st_mtime, stat.st_mtime_nsec),
        ctime: time(stat.st_ctime, stat.st_ctime_nsec),
        crtime: UNIX_EPOCH,
        kind: match stat.st_mode & libc::S_IFMT {
            libc::S_IFDIR => FileType::Directory,
            libc::S_IFLNK => FileType::Symlink,
            libc::S_IFIFO => FileType::NamedPipe,
            libc::S_IFSOCK => FileType::Socket,
            libc::S_IFCHR => FileType::CharDevice,
            libc::S_IFBLK => FileType::BlockDevice,
            _ => FileType::RegularFile,
        },
        perm: (stat.st_mode & 0o7777) as u16,
        nlink: stat.st_nlink as u32,
        uid: stat.st_uid,
        gid: stat.st_gid,
        rdev: stat.st_rdev as u32,
        blksize: stat.st_blksize as u32,
        flags: 0,
    }
}

pub(super) fn is_root() -> bool {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Every inode the kernel knows is an open descriptor here: asks for as many as there may be.
pub(super) fn allow_many_descriptors() {
    let most = libc::rlimit {
        rlim_cur: 1 << 20,
        rlim_max: 1 << 20,
    };
    // SAFETY: plain structs of our own. Where the larger limit is refused, the one we have is used up to its end.
    unsafe {
        if libc::setrlimit(libc::RLIMIT_NOFILE, &most) != 0 {
            let mut own = most;
            if libc::getrlimit(libc::RLIMIT_NOFILE, &mut own) == 0 {
                own.rlim_cur = own.rlim_max;
                libc::setrlimit(libc::RLIMIT_NOFILE, &own);
            }
        }
    }
}
