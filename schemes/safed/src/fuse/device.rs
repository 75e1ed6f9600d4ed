//! The way to the kernel: mounting, by ourselves or through the helper for ordinary users.
//!
//! The FUSE library would mount too. But it unmounts by path when a session ends, also when the path leads to
//! another file system by then, so it only gets the open device.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use safeos_mountpoint::{HELPER, SOURCE};

pub const DEVICE: &str = "/dev/fuse";
/// So much of the helper's words is read.
const WORDS_BYTES: u64 = 4096;

/// How to mount. Permissions are always checked by the kernel.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// Users other than the one who mounts get to the mount.
    pub others: bool,
    /// Device nodes and set-id programs work.
    pub suid_dev: bool,
}

/// Mounts on a folder, which is also named by a path that other programs understand.
pub fn mount(folder: &File, path: &Path, how: How) -> io::Result<OwnedFd> {
    match directly(folder, how) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => by_helper(path, how),
        other => other,
    }
}

fn directly(folder: &File, how: How) -> io::Result<OwnedFd> {
    let device = File::options().read(true).write(true).open(DEVICE)?;
    let others = if how.others { ",allow_other" } else { "" };
    // SAFETY: have no arguments and cannot fail.
    let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
    let options = std::ffi::CString::new(format!(
        "fd={},rootmode={:o},user_id={uid},group_id={gid},default_permissions,subtype={SOURCE}{others}",
        device.as_raw_fd(),
        folder.metadata()?.mode(),
    ))?;
    let source = std::ffi::CString::new(SOURCE)?;
    // Not by its path: that may lead elsewhere by now.
    let target = std::ffi::CString::new(format!("/proc/self/fd/{}", folder.as_raw_fd()))?;
    let flags = if how.suid_dev {
        0
    } else {
        libc::MS_NOSUID | libc::MS_NODEV
    };
    // SAFETY: strings that end with NUL and live until the call returns.
    let done = unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            c"fuse".as_ptr(),
            flags,
            options.as_ptr().cast(),
        )
    };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(device.into())
}

/// The helper mounts for its user, and hands the open device back through a socket.
fn by_helper(path: &Path, how: How) -> io::Result<OwnedFd> {
    let (ours, theirs) = UnixStream::pair()?;
    let others = if how.others { ",allow_other" } else { "" };
    let theirs_fd = theirs.as_raw_fd();
    let mut command = Command::new(HELPER);
    command
        .arg("-o")
        .arg(format!(
            "fsname={SOURCE},subtype={SOURCE},nodev,nosuid,default_permissions{others}"
        ))
        .arg("--")
        .arg(path)
        .env("_FUSE_COMMFD", theirs_fd.to_string())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    // SAFETY: one system call between fork and exec, which allocates nothing.
    unsafe {
        command.pre_exec(move || match libc::fcntl(theirs_fd, libc::F_SETFD, 0) {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
    let mut child = command.spawn()?;
    drop(theirs);
    let device = receive(&ours);
    drop(ours);
    let mut words = String::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = stderr.take(WORDS_BYTES).read_to_string(&mut words);
    }
    child.wait()?;
    device?.ok_or_else(|| {
        let last = words.trim().lines().last().unwrap_or_default();
        let last = last.strip_prefix(HELPER).unwrap_or(last);
        io::Error::other(last.trim_start_matches(": ").to_owned())
    })
}

/// An open file from the other end; `None`: it was closed without one.
fn receive(socket: &UnixStream) -> io::Result<Option<OwnedFd>> {
    let mut byte = 0_u8;
    let mut part = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    // Aligned as its header must be, with room for one file.
    let mut control = [0_u64; 8];
    // SAFETY: plain numbers and pointers for which zero is valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = std::mem::size_of_val(&control) as _;
    loop {
        // SAFETY: all that the message points to lives until the call returns.
        let got =
            unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) };
        match got {
            0 => return Ok(None),
            1.. => break,
            _ => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    }
    // SAFETY: the kernel has filled the control part in; the open files named there are ours alone.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        if header.is_null()
            || (*header).cmsg_level != libc::SOL_SOCKET
            || (*header).cmsg_type != libc::SCM_RIGHTS
        {
            return Ok(None);
        }
        let fd = libc::CMSG_DATA(header)
            .cast::<libc::c_int>()
            .read_unaligned();
        Ok((fd >= 0).then(|| OwnedFd::from_raw_fd(fd)))
    }
}

/// Whether the helper refuses because ordinary users may not let others in here.
pub fn others_refused(error: &io::Error) -> bool {
    error.to_string().contains("user_allow_other")
}
