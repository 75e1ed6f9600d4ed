//! The first steps of a process that holds secrets.

use std::io;
use std::path::PathBuf;

/// So many files are open at most when much is read: packs for the most part.
#[cfg(not(target_os = "redox"))]
const FILES_EXPECTED: libc::c_int = 1024;

/// No core dumps and no reading of this process's memory by others; as many open files as allowed.
#[cfg(not(target_os = "redox"))]
pub fn harden() -> io::Result<()> {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `none` is a whole rlimit that lives until the call returns.
    if unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) } != 0 {
        return Err(io::Error::last_os_error());
    }
    #[cfg(target_os = "linux")]
    // SAFETY: this operation takes one number and touches no memory of ours.
    if unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut files = none;
    // SAFETY: `files` is a whole rlimit that lives until the calls return; the descriptor that is closed is our own.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut files) == 0 {
            files.rlim_cur = files.rlim_max;
            // Refused, we live with the present limit.
            let _ = libc::setrlimit(libc::RLIMIT_NOFILE, &files);
        }
        // The kernel's table of open files grows now: later, with many threads, some request would wait for that.
        let last = libc::fcntl(
            libc::STDERR_FILENO,
            libc::F_DUPFD_CLOEXEC,
            FILES_EXPECTED - 1,
        );
        if last >= 0 {
            let _ = libc::close(last);
        }
    }
    Ok(())
}

/// Nothing to do: Redox writes no cores, lets only root look into processes, and has no such limits.
#[cfg(target_os = "redox")]
pub fn harden() -> io::Result<()> {
    Ok(())
}

/// The signals that ask the process to end, kept for one thread to take.
#[derive(Clone, Copy)]
pub struct Signals(libc::sigset_t);

/// How often a waiting thread looks for another reason to end.
const LOOK_EVERY_MS: i64 = 200;

impl Signals {
    /// Keeps SIGTERM, SIGINT and SIGHUP back. To be called before any thread is started, so that all
    /// of them keep the signals back.
    pub fn block() -> io::Result<Self> {
        // SAFETY: a signal set is plain memory that sigemptyset makes valid; all calls get pointers
        // to it that live until they return.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
                libc::sigaddset(&mut set, signal);
            }
            // Where its starter has a limit on files, a write fails like on a full disk.
            #[cfg(target_os = "linux")]
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            match libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) {
                0 => Ok(Self(set)),
                code => Err(io::Error::from_raw_os_error(code)),
            }
        }
    }

    /// Waits for one of them, or until `or` is true; whether one came.
    pub fn wait(&self, mut or: impl FnMut() -> bool) -> bool {
        let look = libc::timespec {
            tv_sec: 0,
            tv_nsec: LOOK_EVERY_MS * 1_000_000,
        };
        while !or() {
            // SAFETY: the set and the time live until the call returns; no information is asked for.
            let signal = unsafe { libc::sigtimedwait(&self.0, std::ptr::null_mut(), &look) };
            if signal > 0 {
                return true;
            }
        }
        false
    }
}

/// Closes the starter's descriptors, except the three standard files and `kept`: a lock or a
/// pipe's end that is inherited would be held for as long as a session lasts. To be called before anything
/// is opened.
#[cfg(target_os = "linux")]
pub fn close_inherited(kept: Option<std::os::fd::RawFd>) {
    const FIRST: libc::c_uint = libc::STDERR_FILENO as libc::c_uint + 1;
    let kept = kept
        .and_then(|fd| libc::c_uint::try_from(fd).ok())
        .filter(|fd| *fd >= FIRST);
    let close = |first: libc::c_uint, last: libc::c_uint| {
        if first > last {
            return;
        }
        // SAFETY: plain numbers; nothing of this process's own is open yet.
        let done = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        if done != 0 {
            close_each(first, last);
        }
    };
    match kept {
        Some(kept) => {
            close(FIRST, kept - 1);
            close(kept.saturating_add(1), libc::c_uint::MAX);
        }
        None => close(FIRST, libc::c_uint::MAX),
    }
}

/// The same one by one, for kernels before 5.9.
#[cfg(target_os = "linux")]
fn close_each(first: libc::c_uint, last: libc::c_uint) {
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten();
    let numbers: Vec<libc::c_uint> = open
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|fd| (first..=last).contains(fd))
        .collect();
    for fd in numbers {
        // SAFETY: nothing of this process's own is open yet; the folder's own descriptor is closed already.
        unsafe { libc::close(fd as libc::c_int) };
    }
}

/// The uid this process works as.
pub fn uid() -> u32 {
    // SAFETY: has no arguments and cannot fail.
    unsafe { libc::geteuid() }
}

/// Keeps the owner's bits of every file that this process makes: a mask such as 777 would lock the person out of the
/// state folder.
pub fn keep_owner() {
    // SAFETY: cannot fail; no other thread runs yet.
    unsafe {
        let mask = libc::umask(0o777);
        libc::umask(mask & 0o077);
    }
}

/// The default folder for the state and the store of a daemon of the system: it has no home.
const OF_THE_SYSTEM: &str = "/var/lib/safeos";

fn folder(own: &str, base: &str, under_home: &str) -> Result<PathBuf, String> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    if let Some(base) = absolute(base) {
        return Ok(base.join("safeos"));
    }
    if cfg!(target_os = "redox") && uid() == 0 {
        return Ok(PathBuf::from(OF_THE_SYSTEM));
    }
    absolute("HOME")
        .map(|home| home.join(under_home).join("safeos"))
        .ok_or_else(|| format!("neither HOME nor {base} names a folder: set {own}"))
}

/// Where local state lives: `SAFE_STATE`, or the user's state folder.
pub fn default_state() -> Result<PathBuf, String> {
    match std::env::var_os("SAFE_STATE").filter(|path| !path.is_empty()) {
        Some(path) => Ok(path.into()),
        None => folder("SAFE_STATE", "XDG_STATE_HOME", ".local/state"),
    }
}

/// The URL of the store: `SAFE_STORE`, or a folder under the user's data folder.
pub fn default_store() -> Result<String, String> {
    match std::env::var("SAFE_STORE") {
        Ok(url) if !url.is_empty() => Ok(url),
        _ => {
            let folder = folder("SAFE_STORE", "XDG_DATA_HOME", ".local/share")?;
            let path = folder.join("store");
            let path = path
                .to_str()
                .ok_or("the data folder's path is not UTF-8: set SAFE_STORE")?;
            Ok(format!("file://{path}"))
        }
    }
}
