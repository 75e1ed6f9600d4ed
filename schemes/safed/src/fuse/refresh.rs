//! Telling the kernel the length and the time of a file that another computer has changed.
//!
//! With write-back the kernel believes its own length and modification time of a file for as long as it
//! knows the file: while a program has it open, or while it remembers another of its names. There is no
//! notification that says otherwise. But a program that truncates the file makes the kernel take the
//! length that the daemon answers. So the daemon is such a program: it truncates the file through its own
//! mount and sets its time, and answers these two requests of its own with the file's state.
//!
//! What always holds here: none of this changes a file; writes that the kernel held back are handed over first.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use safeos_session::{Attr, FileKind, Nanos, Volume};

/// The kind of the handles that the kernel makes of a node's id and generation.
const ID_AND_GENERATION: i32 = 0x81;
const NANOS_PER_SECOND: Nanos = 1_000_000_000;

/// Which file the daemon is asking the kernel about, and by which thread.
#[derive(Default)]
pub struct Asking {
    thread: AtomicU64,
    id: AtomicU64,
}

impl Asking {
    /// Whether a change of a node's attributes comes from here: then it is answered with the present attributes.
    pub fn is_own(&self, thread: u32, id: u64) -> bool {
        self.id.load(Ordering::Acquire) == id
            && self.thread.load(Ordering::Acquire) == u64::from(thread)
    }

    fn begin(&self, id: u64) -> Begun<'_> {
        // SAFETY: has no arguments and cannot fail.
        let thread = unsafe { libc::gettid() };
        self.thread
            .store(u64::from(thread.unsigned_abs()), Ordering::Release);
        self.id.store(id, Ordering::Release);
        Begun(self)
    }
}

struct Begun<'a>(&'a Asking);

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.0.id.store(0, Ordering::Release);
    }
}

/// A file that has changed elsewhere.
pub struct Changed<'a> {
    /// The home it is in.
    pub volume: &'a dyn Volume,
    /// Its number there.
    pub ino: u64,
    /// The kernel's id for it.
    pub id: u64,
    /// Its generation.
    pub generation: u32,
}

impl Changed<'_> {
    /// Brings the kernel up to date, if it knows the file. Failing that, it does not before it has forgotten the file.
    pub fn tell(&self, point: &Path, asking: &Asking) {
        if !matches!(self.volume.attr(self.ino), Ok(attr) if attr.kind == FileKind::File) {
            return;
        }
        if let Some(file) = self.open(point) {
            let _own = asking.begin(self.id);
            let _ = self.renew(&file);
        }
    }

    /// By its id, which only root may; the kernel refuses it where it does not know the file. Others by its name.
    fn open(&self, point: &Path) -> Option<File> {
        by_id(point, self.id, self.generation)
            .or_else(|_| {
                let path = self
                    .volume
                    .path(self.ino)
                    .map_err(|error| io::Error::from_raw_os_error(error.errno()))?;
                by_path(&point.join("home").join(OsStr::from_bytes(&path)))
            })
            .ok()
            .filter(|file| file.metadata().is_ok_and(|found| found.ino() == self.id))
    }

    fn renew(&self, file: &File) -> io::Result<()> {
        let now = || -> io::Result<Attr> {
            self.volume
                .attr(self.ino)
                .map_err(|error| io::Error::from_raw_os_error(error.errno()))
        };
        let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        let (seen, attr) = (file.metadata()?, now()?);
        let time = Nanos::from(seen.mtime()) * NANOS_PER_SECOND + Nanos::from(seen.mtime_nsec());
        if seen.len() == attr.size && time == attr.mtime {
            return Ok(());
        }
        // Before a time is set the kernel hands over what it held back.
        set_time(&path, attr.mtime)?;
        let attr = now()?;
        if file.metadata()?.len() == attr.size {
            return Ok(());
        }
        let size = i64::try_from(attr.size).unwrap_or(i64::MAX);
        // SAFETY: `path` is a string that ends with NUL and lives until the call returns.
        if unsafe { libc::truncate(path.as_ptr(), size) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // The kernel took the moment for that of a change.
        set_time(&path, now()?.mtime)
    }
}

fn set_time(path: &CString, mtime: Nanos) -> io::Result<()> {
    let times = [
        libc::timespec {
            tv_sec: 0,
            tv_nsec: libc::UTIME_OMIT,
        },
        libc::timespec {
            tv_sec: mtime.div_euclid(NANOS_PER_SECOND) as libc::time_t,
            tv_nsec: mtime.rem_euclid(NANOS_PER_SECOND) as libc::c_long,
        },
    ];
    // SAFETY: a string that ends with NUL and two whole times, which live until the call returns.
    match unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times.as_ptr(), 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A file handle as `open_by_handle_at` takes it.
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    id_high: u32,
    id_low: u32,
    generation: u32,
}

fn by_id(point: &Path, id: u64, generation: u32) -> io::Result<File> {
    let mount = File::open(point)?;
    let mut handle = Handle {
        bytes: 12,
        kind: ID_AND_GENERATION,
        id_high: (id >> 32) as u32,
        id_low: id as u32,
        generation,
    };
    let flags = libc::O_PATH | libc::O_CLOEXEC;
    // SAFETY: the descriptor is open and the handle is whole until the call returns.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_open_by_handle_at,
            mount.as_raw_fd(),
            std::ptr::from_mut(&mut handle),
            flags,
        )
    };
    match i32::try_from(fd) {
        // SAFETY: the call has just opened it, and only for us.
        Ok(fd) if fd >= 0 => Ok(unsafe { File::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

fn by_path(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_NOFOLLOW)
        .open(path)
}
