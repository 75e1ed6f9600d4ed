//! One folder, held by the folder above it.
//!
//! A path is looked up again each time: a user who may rename a folder on the way can have it lead somewhere else. So
//! the folder above is held open, the name below it cannot be renamed while something is mounted there, and the mount
//! is compared with the one seen before, before it is unmounted.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{HELPER, entry};

/// A folder to mount at.
#[derive(Debug)]
pub struct MountPoint {
    above: OwnedFd,
    name: CString,
}

/// The identity of a mount: its number and its file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The mount's number.
    pub mount: u64,
    device: (u32, u32),
}

impl MountPoint {
    /// Holds the folder at `path`, which need not answer.
    pub fn open(path: &Path) -> io::Result<Self> {
        let whole = match path.canonicalize() {
            Ok(whole) => whole,
            // A dead mount: its folder is there all the same.
            Err(_) => {
                let above = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
                let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
                above.canonicalize()?.join(name)
            }
        };
        let (Some(above), Some(name)) = (whole.parent(), whole.file_name()) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the root of the file system cannot be mounted on",
            ));
        };
        Ok(Self {
            above: open_at(libc::AT_FDCWD, &text(above.as_os_str())?, libc::O_PATH)?,
            name: text(name)?,
        })
    }

    /// The folder itself, as it is now: the mount there, or the folder below once something is mounted later.
    pub fn folder(&self) -> io::Result<std::fs::File> {
        open_at(self.above.as_raw_fd(), &self.name, libc::O_RDONLY).map(Into::into)
    }

    /// A path that leads there in this process, whatever was renamed.
    pub fn path(&self) -> PathBuf {
        let name = OsStr::from_bytes(self.name.as_bytes());
        PathBuf::from(format!("/proc/self/fd/{}", self.above.as_raw_fd())).join(name)
    }

    /// The folder's path as it is now, for other programs.
    pub fn path_now(&self) -> io::Result<PathBuf> {
        let above = std::fs::read_link(format!("/proc/self/fd/{}", self.above.as_raw_fd()))?;
        Ok(above.join(OsStr::from_bytes(self.name.as_bytes())))
    }

    /// The present mount. Asks no daemon.
    pub fn seen(&self) -> io::Result<Seen> {
        // SAFETY: plain numbers for which zero is valid.
        let mut found: libc::statx = unsafe { std::mem::zeroed() };
        let how = libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT | libc::AT_STATX_DONT_SYNC;
        // SAFETY: an open folder, a string that ends with NUL, and room for the answer.
        let done = unsafe {
            libc::statx(
                self.above.as_raw_fd(),
                self.name.as_ptr(),
                how,
                0,
                &mut found,
            )
        };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Seen {
            // 0 on kernels before 5.8, which leaves the device to compare.
            mount: found.stx_mnt_id,
            device: (found.stx_dev_major, found.stx_dev_minor),
        })
    }

    /// Unmounts what was `seen` here, and nothing else. With `busy` it is taken out of sight although programs use it.
    pub fn unmount(&self, seen: &Seen, busy: bool) -> io::Result<()> {
        if self.seen()? != *seen {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "another file system is mounted there now",
            ));
        }
        let path = text(self.path().as_os_str())?;
        let flags = libc::UMOUNT_NOFOLLOW | if busy { libc::MNT_DETACH } else { 0 };
        // SAFETY: a string that ends with NUL and lives until the call returns.
        if unsafe { libc::umount2(path.as_ptr(), flags) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::EPERM) {
            return Err(error);
        }
        // The helper unmounts for its user only what this user has mounted.
        let done = Command::new(HELPER)
            .args(["-u", "-q"])
            .args(busy.then_some("-z"))
            .arg("--")
            .arg(self.path_now()?)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if done.success() {
            Ok(())
        } else {
            Err(io::ErrorKind::ResourceBusy.into())
        }
    }
}

/// Whether a home is mounted at `path` whose daemon is dead: everything that asks the daemon answers ENOTCONN. The
/// attributes of the folder do not ask it, the kernel remembers them.
pub fn is_dead(path: &Path) -> bool {
    std::fs::read_dir(path)
        .err()
        .and_then(|error| error.raw_os_error())
        == Some(libc::ENOTCONN)
}

/// Takes the mount of a home away whose daemon is dead; whether there was one.
pub fn clear_dead(path: &Path) -> io::Result<bool> {
    if !is_dead(path) {
        return Ok(false);
    }
    let place = MountPoint::open(path)?;
    let seen = place.seen()?;
    // Another dead file system is not ours to clear.
    if entry(seen.mount).is_some_and(|entry| !entry.is_home()) {
        return Ok(false);
    }
    place.unmount(&seen, true)?;
    Ok(true)
}

fn open_at(above: i32, name: &CString, how: libc::c_int) -> io::Result<OwnedFd> {
    let how = how | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: a string that ends with NUL; the new descriptor has no other owner.
    unsafe {
        match libc::openat(above, name.as_ptr(), how) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}

fn text(name: &OsStr) -> io::Result<CString> {
    CString::new(name.as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn mount(at: &Path) -> bool {
        Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
            .arg(at)
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    #[test]
    fn a_renamed_folder_above_leads_to_no_other_mount() {
        let folder = tempfile::tempdir().unwrap();
        let (own, other) = (folder.path().join("own"), folder.path().join("other"));
        for above in [&own, &other] {
            std::fs::create_dir_all(above.join("safe")).unwrap();
        }
        let place = MountPoint::open(&own.join("safe")).unwrap();
        // Needs the right to mount.
        if !mount(&own.join("safe")) {
            return;
        }
        assert!(mount(&other.join("safe")));
        let seen = place.seen().unwrap();
        std::fs::rename(&own, folder.path().join("away")).unwrap();
        std::fs::rename(&other, &own).unwrap();
        assert_ne!(
            MountPoint::open(&own.join("safe")).unwrap().seen().unwrap(),
            seen
        );

        // By its path it would have been the other one.
        let wrong = MountPoint::open(&own.join("safe")).unwrap();
        assert!(wrong.unmount(&seen, true).is_err());
        place.unmount(&seen, false).unwrap();
        assert!(place.unmount(&seen, false).is_err(), "it is gone");
        let left = wrong.seen().unwrap();
        assert!(entry(left.mount).is_some(), "the other one is not");
        wrong.unmount(&left, false).unwrap();
    }

    #[test]
    fn a_place_is_found_again_after_a_rename() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(folder.join("a/safe")).unwrap();
        let place = MountPoint::open(&folder.join("a/safe")).unwrap();
        std::fs::rename(folder.join("a"), folder.join("b")).unwrap();
        assert_eq!(place.path_now().unwrap(), folder.join("b/safe"));
        assert!(place.path().is_dir());
        assert!(!is_dead(&place.path()) && !clear_dead(&place.path()).unwrap());
    }
}
