//! The namespace of a session: which schemes its programs see.
//!
//! What always holds here: `safe` in it is the root of that session, not of the daemon; whoever is in it can list
//! it and change nothing of it.

use std::fs;
use std::io;

use ioslice::IoSlice;
use libredox::Fd;
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

/// Makes the namespace; with the session of `uid` as `safe`, or without any. Its descriptor is one of Redox's own, whose
/// numbers a C library's `int` does not hold.
pub(super) fn of_session(uid: Option<u32>) -> io::Result<Fd> {
    let text = fs::read_to_string(SCHEMES_FILE).unwrap_or_default();
    let listed = tables::schemes_of(&text, MODEL_USER)
        .unwrap_or_else(|| DEFAULT.iter().map(|&name| name.to_owned()).collect());
    let names: Vec<IoSlice<'_>> = listed
        .iter()
        .filter(|name| *name != SAFE)
        .map(|name| IoSlice::new(name.as_bytes()))
        .collect();
    let full = Fd::new(call::mkns(&names).map_err(system)?);
    if let Some(uid) = uid {
        let path = format!("/scheme/{SAFE}/session/{uid}");
        let root = call::open(path, flag::O_DIRECTORY | flag::O_CLOEXEC, 0).map_err(system)?;
        // Takes the root, whether it succeeds or not.
        call::register_scheme_to_ns(full.raw(), SAFE, root).map_err(system)?;
    }
    let mut request = [0; 2 * size_of::<usize>()];
    let (kind, permissions) = request.split_at_mut(size_of::<usize>());
    kind.copy_from_slice(&(NsDup::ShrinkPermissions as usize).to_ne_bytes());
    permissions.copy_from_slice(&NsPermissions::LIST.bits().to_ne_bytes());
    let namespace = Fd::new(full.dup(&request).map_err(system)?);
    // Only the child that enters it keeps it.
    namespace
        .fcntl(libc::F_SETFD as usize, libc::FD_CLOEXEC as usize)
        .map_err(system)?;
    Ok(namespace)
}

/// Enters it for good: with the old namespace's descriptor open, the launcher could go back.
pub(super) fn enter(namespace: usize) -> io::Result<()> {
    let old = call::setns(namespace).map_err(system)?;
    call::close(old).map_err(system)
}
