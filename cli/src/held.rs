//! Signals that are held while the terminal is not as it was: a prompt for hidden text restores it first.
//!
//! What always holds here: while a [`Held`] lives, a signal that would end or stop `safe` is noted and wakes the waiter
//! in [`Held::or_readable`]; afterwards signals do what they did before. Ignored signals (`nohup`) stay ignored. One
//! lives at a time.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use libc::c_int;

/// Those that a keyboard, a shell or a system sends to end a program, and Ctrl-Z.
const SIGNALS: [c_int; 5] = [
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGHUP,
    libc::SIGTSTP,
];

static CAUGHT: AtomicI32 = AtomicI32::new(0);
static WAKE: AtomicI32 = AtomicI32::new(-1);

/// Signals are held until this is dropped.
pub struct Held {
    before: Vec<(c_int, libc::sigaction)>,
    woken: UnixStream,
    _wake: UnixStream,
}

extern "C" fn caught(signal: c_int) {
    // The first one counts.
    let _ = CAUGHT.compare_exchange(0, signal, Ordering::AcqRel, Ordering::Acquire);
    let wake = WAKE.load(Ordering::Acquire);
    if wake >= 0 {
        // SAFETY: write may be called from a handler; the descriptor is open while the handler is installed, and cannot
        // block for long: an unread socket takes some bytes and then refuses. The error number is put back.
        unsafe {
            let before = *libc::__errno_location();
            let _ = libc::write(wake, [1_u8].as_ptr().cast(), 1);
            *libc::__errno_location() = before;
        }
    }
}

impl Held {
    /// Holds them from now on.
    pub fn new() -> io::Result<Self> {
        let (woken, wake) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        CAUGHT.store(0, Ordering::Release);
        WAKE.store(wake.as_raw_fd(), Ordering::Release);
        let mut held = Self {
            before: Vec::with_capacity(SIGNALS.len()),
            woken,
            _wake: wake,
        };
        for signal in SIGNALS {
            let mut before = MaybeUninit::<libc::sigaction>::uninit();
            // SAFETY: both structures live until the calls return, and the first is whole: zeroes are an empty set of
            // signals and no flags. The handler does only what handlers may.
            unsafe {
                if libc::sigaction(signal, ptr::null(), before.as_mut_ptr()) != 0 {
                    return Err(io::Error::last_os_error());
                }
                let before = before.assume_init();
                if before.sa_sigaction == libc::SIG_IGN {
                    continue;
                }
                let mut ours: libc::sigaction = std::mem::zeroed();
                ours.sa_sigaction = caught as *const () as libc::sighandler_t;
                libc::sigemptyset(&mut ours.sa_mask);
                if libc::sigaction(signal, &ours, ptr::null_mut()) != 0 {
                    return Err(io::Error::last_os_error());
                }
                held.before.push((signal, before));
            }
        }
        Ok(held)
    }

    /// The signal that came, if one has.
    pub fn signal(&self) -> Option<i32> {
        match CAUGHT.load(Ordering::Acquire) {
            0 => None,
            signal => Some(signal),
        }
    }

    /// As if this signal had come.
    pub fn note(&self, signal: i32) {
        CAUGHT.store(signal, Ordering::Release);
    }

    /// Waits until there is something to read from `file`; false if a signal comes first.
    pub fn or_readable(&self, file: RawFd) -> io::Result<bool> {
        let wait = |fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        loop {
            if self.signal().is_some() {
                return Ok(false);
            }
            let mut files = [wait(file), wait(self.woken.as_raw_fd())];
            // SAFETY: the array lives until the call returns and is as long as it says.
            let ready = unsafe { libc::poll(files.as_mut_ptr(), 2, -1) };
            if ready < 0 {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            } else if files[0].revents != 0 && self.signal().is_none() {
                return Ok(true);
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for (signal, before) in self.before.drain(..) {
            // SAFETY: the structure is the one that the system gave for this signal.
            unsafe { libc::sigaction(signal, &before, ptr::null_mut()) };
        }
        WAKE.store(-1, Ordering::Release);
    }
}

/// Stops this process as Ctrl-Z does, until it is continued. Without a shell that could continue it, the system does
/// nothing.
pub fn stop_here() {
    // SAFETY: has no pointers.
    unsafe { libc::raise(libc::SIGTSTP) };
}
