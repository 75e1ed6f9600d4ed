//! The steps of a child process before its program runs.

use std::io;

/// In a child: a session of its own, and a signal when we end.
pub(super) fn own_session(signal: libc::c_int) -> io::Result<()> {
    // SAFETY: both take numbers and touch no memory of ours.
    unsafe {
        if libc::setsid() < 0 || libc::prctl(libc::PR_SET_PDEATHSIG, signal, 0, 0, 0) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
