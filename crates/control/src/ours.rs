//! Whose control file it is: a password goes to a daemon of ours or of root's, and to nothing that only looks like one.
//!
//! What always holds here: the opened file is examined, not the path; links at the control file itself are not
//! followed.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Opens a control file, which may be a socket.
pub(crate) fn open(path: &Path) -> Result<File, Refused> {
    system::open(path)
}

/// Why it was not opened.
pub(crate) enum Refused {
    /// It is not ours, or none at all: the kind found.
    NotOurs(String),
    /// The system said no.
    System(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// Not `create`: a plain file of this name where no daemon is would only look like one.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    options
}

#[cfg(target_os = "linux")]
mod system {
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::peer;

    pub fn open(path: &Path) -> Result<File, Refused> {
        let kind = path.symlink_metadata()?.file_type();
        if kind.is_symlink() {
            return Err(Refused::NotOurs("it is a link".to_owned()));
        }
        if kind.is_socket() {
            return socket(path);
        }
        // No terminal becomes ours by looking, and no pipe is waited for.
        let file = options()
            .custom_flags(libc::O_NOFOLLOW | libc::O_NOCTTY)
            .open(path)?;
        let device = file.metadata()?.dev();
        let mounts = std::fs::read("/proc/self/mountinfo")?;
        mount_is_ours(&mounts, device, uid())
            .map(|()| file)
            .map_err(Refused::NotOurs)
    }

    /// A daemon without a mount listens at a socket; the kernel names the listener.
    fn socket(path: &Path) -> Result<File, Refused> {
        let stream = UnixStream::connect(path)?;
        let (theirs, _) = peer(&stream)?;
        if theirs != uid() && theirs != 0 {
            let whose = format!("it is the socket of a program of user {theirs}");
            return Err(Refused::NotOurs(whose));
        }
        Ok(File::from(OwnedFd::from(stream)))
    }

    fn uid() -> u32 {
        // SAFETY: has no arguments and cannot fail.
        unsafe { libc::geteuid() }
    }

    /// Whether the mount of this device is one of SafeOS that this user, or root, has made.
    pub fn mount_is_ours(mounts: &[u8], device: u64, uid: u32) -> Result<(), String> {
        let number = format!("{}:{}", libc::major(device), libc::minor(device));
        let mounts = String::from_utf8_lossy(mounts);
        let mount = mounts.lines().find_map(|line| {
            let mut fields = line.split(' ');
            let found = fields.nth(2) == Some(number.as_str());
            // After the optional fields: the type, the source, the options of the file system.
            found.then(|| {
                let mut after = fields.skip_while(|field| *field != "-").skip(1);
                let mut next = || after.next().unwrap_or_default();
                (next(), next(), next())
            })
        });
        let Some((kind, source, options)) = mount else {
            return Err("it lies on no file system that is mounted here".to_owned());
        };
        if !matches!(kind, "fuse" | "fuse.safe") || source != "safe" {
            return Err("it is a file, and no SafeOS is mounted there".to_owned());
        }
        let owner = options
            .split(',')
            .find_map(|option| option.strip_prefix("user_id="))
            .and_then(|uid| uid.parse::<u32>().ok());
        match owner {
            Some(owner) if owner == uid || owner == 0 => Ok(()),
            Some(owner) => Err(format!("user {owner} has mounted it")),
            None => Err("nobody knows who has mounted it".to_owned()),
        }
    }
}

/// The scheme is the kernel's to give, and root's daemon has it.
#[cfg(not(target_os = "linux"))]
mod system {
    use super::*;

    const SCHEME: &str = "/scheme/safe";

    pub fn open(path: &Path) -> Result<File, Refused> {
        let plain = path
            .components()
            .all(|part| !matches!(part, std::path::Component::ParentDir));
        if !plain || !path.starts_with(SCHEME) {
            let what = format!("the control file of this system is in {SCHEME}");
            return Err(Refused::NotOurs(what));
        }
        Ok(options().open(path)?)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::system::mount_is_ours;
    use super::*;

    const MOUNTS: &[u8] = b"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
        90 22 0:50 / /home/ana/safe rw,nosuid,nodev shared:7 master:1 - fuse.safe safe rw,user_id=1500,group_id=1500,default_permissions\n\
        91 22 0:51 / /safe rw - fuse safe rw,user_id=0,group_id=0,default_permissions,allow_other\n\
        92 22 0:52 / /x rw - fuse.sshfs safe: rw,user_id=1500,group_id=1500\n\
        93 22 0:53 / /y rw - fuse.safe other rw,user_id=1500\n\
        94 22 0:54 / /z rw - fuse.safe safe rw\n";

    #[test]
    fn only_a_mount_of_ones_own_or_of_root_is_talked_to() {
        let asked = |minor, uid| mount_is_ours(MOUNTS, libc::makedev(0, minor), uid);
        asked(50, 1500).unwrap();
        asked(51, 1500).unwrap();
        asked(51, 0).unwrap();
        for (minor, uid, says) in [
            (50, 1600, "user 1500 has mounted it"),
            (50, 0, "user 1500 has mounted it"),
            (52, 1500, "no SafeOS"),
            (53, 1500, "no SafeOS"),
            (54, 1500, "nobody knows"),
            (5, 1500, "no file system"),
        ] {
            let why = asked(minor, uid).unwrap_err();
            assert!(why.contains(says), "{why}");
        }
        assert!(mount_is_ours(MOUNTS, libc::makedev(8, 1), 0).is_err());
        assert!(mount_is_ours(b"\n- \n1 2\n", libc::makedev(8, 1), 0).is_err());
    }

    #[test]
    fn what_only_looks_like_a_control_file_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: &Path| match open(path) {
            Err(Refused::NotOurs(why)) => why,
            Err(Refused::System(error)) => panic!("{error}"),
            Ok(_) => panic!("opened"),
        };
        let file = folder.path().join("file");
        std::fs::write(&file, b"").unwrap();
        assert!(refused(&file).contains("no SafeOS is mounted"));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/tty", &link).unwrap();
        assert!(refused(&link).contains("a link"));
        // A socket of this very user is one of ours.
        let socket = folder.path().join("socket");
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(open(&socket).is_ok());
        drop(listener);
        assert!(matches!(open(&socket), Err(Refused::System(_))));
    }
}
