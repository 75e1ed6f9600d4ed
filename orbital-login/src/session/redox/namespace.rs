//! The namespace of a session: which schemes its programs see.
//!
//! What always holds here: `safe` in it is the root of that session, not of the daemon; whoever is in it can list
//! it and change nothing of it.

use std::fs;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use ioslice::IoSlice;
use libredox::call;
use libredox::error::Error;
use libredox::flag;
use libredox::protocol::{NsDup, NsPermissions};

use crate::session::tables;

const SCHEMES_FILE: &str = "/etc/login_schemes.toml";
/// The user of the desktop image: what its programs may see, a session's may.
const MODEL_USER: &str = "user";
/// Where the file says nothing.
const DEFAULT: &[&str] = &[
    "debug",
    "event",
    "memory",
    "pipe",
    "serio",
    "irq",
    "time",
    "sys",
    "rand",
    "null",
    "zero",
    "log",
    "ip",
    "icmp",
    "tcp",
    "udp",
    "netcfg",
    "shm",
    "chan",
    "uds_stream",
    "uds_dgram",
    "file",
    "display.vesa",
    "display*",
    "pty",
    "audio",
    "orbital",
];
const SAFE: &str = "safe";

fn system(error: Error) -> io::Error {
    io::Error::from_raw_os_error(error.errno())
}

fn owned(fd: usize) -> io::Result<OwnedFd> {
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the caller has just been given the descriptor, and hands it over.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes the namespace; with the session of `uid` as `safe`, or without any.
pub(super) fn of_session(uid: Option<u32>) -> io::Result<OwnedFd> {
    let text = fs::read_to_string(SCHEMES_FILE).unwrap_or_default();
    let listed = tables::schemes_of(&text, MODEL_USER)
        .unwrap_or_else(|| DEFAULT.iter().map(|&name| name.to_owned()).collect());
    let names: Vec<IoSlice<'_>> = listed
        .iter()
        .filter(|name| *name != SAFE)
        .map(|name| IoSlice::new(name.as_bytes()))
        .collect();
    let full = call::mkns(&names).map_err(system)?;
    let full_owned = owned(full)?;
    if let Some(uid) = uid {
        let path = format!("/scheme/{SAFE}/session/{uid}");
        let root = call::open(path, flag::O_DIRECTORY | flag::O_CLOEXEC, 0).map_err(system)?;
        // Takes the root, whether it succeeds or not.
        call::register_scheme_to_ns(full, SAFE, root).map_err(system)?;
    }
    let mut request = [0; 2 * size_of::<usize>()];
    let (kind, permissions) = request.split_at_mut(size_of::<usize>());
    kind.copy_from_slice(&(NsDup::ShrinkPermissions as usize).to_ne_bytes());
    permissions.copy_from_slice(&NsPermissions::LIST.bits().to_ne_bytes());
    let namespace = owned(call::dup(full, request).map_err(system)?)?;
    drop(full_owned);
    // Only the child that enters it keeps it.
    // SAFETY: sets a flag of a descriptor of ours.
    if unsafe {
        libc::fcntl(
            std::os::fd::AsRawFd::as_raw_fd(&namespace),
            libc::F_SETFD,
            libc::FD_CLOEXEC,
        )
    } < 0
    {
        return Err(io::Error::last_os_error());
    }
    Ok(namespace)
}

/// Enters it for good: with the old namespace's descriptor open, the launcher could go back.
pub(super) fn enter(namespace: RawFd) -> io::Result<()> {
    let namespace =
        usize::try_from(namespace).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    let old = call::setns(namespace).map_err(system)?;
    call::close(old).map_err(system)
}
