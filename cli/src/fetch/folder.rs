//! A folder that is open: what is in it is named relative to it, so that no path is too long, and no
//! symbolic link leads elsewhere.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RawMode, RenameFlags, Stat, Timespec, Timestamps,
    UTIME_OMIT, chmodat, fchmod, fstat, fstatvfs, futimens, linkat, mkdirat, openat, readlinkat,
    renameat_with, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::{Kind, Seen};

/// An open folder.
#[derive(Debug)]
pub struct Folder(OwnedFd);

const WAY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

fn mode(bits: u32) -> Mode {
    Mode::from_raw_mode(bits as RawMode)
}

impl Folder {
    /// A folder as somebody named it.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(openat(CWD, path, WAY, Mode::empty())?))
    }

    /// A folder in this one.
    pub fn child(&self, name: &OsStr) -> io::Result<Self> {
        let flags = WAY | OFlags::NOFOLLOW;
        Ok(Self(openat(&self.0, name, flags, Mode::empty())?))
    }

    /// The folder that this one is in.
    pub fn parent(&self) -> io::Result<Self> {
        Ok(Self(openat(&self.0, "..", WAY, Mode::empty())?))
    }

    /// What no other folder has.
    pub fn id(&self) -> io::Result<(u64, u64)> {
        let found = fstat(&self.0)?;
        Ok((found.st_dev, found.st_ino))
    }

    /// What is in it.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsStr::from_bytes(name).to_owned());
            }
        }
        Ok(names)
    }

    /// What a name in it is.
    pub fn look(&self, name: &OsStr) -> io::Result<Seen> {
        let found = statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(seen(&found))
    }

    /// What it is itself.
    pub fn look_at_itself(&self) -> io::Result<Seen> {
        Ok(seen(&fstat(&self.0)?))
    }

    /// A file in it, to be read.
    pub fn file(&self, name: &OsStr) -> io::Result<File> {
        // What has become a pipe meanwhile is not waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(File::from(openat(&self.0, name, flags, Mode::empty())?))
    }

    /// A new file in it.
    pub fn make_file(&self, name: &OsStr) -> io::Result<File> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(openat(&self.0, name, flags, mode(0o600))?))
    }

    /// A new folder in it.
    pub fn make_folder(&self, name: &OsStr) -> io::Result<Self> {
        mkdirat(&self.0, name, mode(0o700))?;
        self.child(name)
    }

    /// What a symbolic link in it says.
    pub fn target(&self, name: &OsStr) -> io::Result<OsString> {
        Ok(OsString::from_vec(
            readlinkat(&self.0, name, Vec::new())?.into_bytes(),
        ))
    }

    /// A new symbolic link in it.
    pub fn make_link(&self, target: &OsStr, name: &OsStr) -> io::Result<()> {
        Ok(symlinkat(target, &self.0, name)?)
    }

    /// One more name, in another folder, for a file in this one.
    pub fn name_again(&self, name: &OsStr, to: &Self, new: &OsStr) -> io::Result<()> {
        Ok(linkat(&self.0, name, &to.0, new, AtFlags::empty())?)
    }

    /// Removes something in it.
    pub fn remove(&self, name: &OsStr, folder: bool) -> io::Result<()> {
        let flags = if folder {
            AtFlags::REMOVEDIR
        } else {
            AtFlags::empty()
        };
        Ok(unlinkat(&self.0, name, flags)?)
    }

    /// Moves something in it to a name that is not taken.
    pub fn rename(&self, name: &OsStr, to: &Self, new: &OsStr) -> io::Result<()> {
        match renameat_with(&self.0, name, &to.0, new, RenameFlags::NOREPLACE) {
            // Not all file systems can tell.
            Err(Errno::INVAL | Errno::NOSYS) if to.look(new).is_err() => {
                Ok(rustix::fs::renameat(&self.0, name, &to.0, new)?)
            }
            done => Ok(done?),
        }
    }

    /// Lets its owner into a folder in it.
    pub fn open_up(&self, name: &OsStr) -> io::Result<()> {
        Ok(chmodat(&self.0, name, mode(0o700), AtFlags::empty())?)
    }

    /// Gives it the mode and the time of another.
    pub fn finish(&self, like: &Seen) -> io::Result<()> {
        fchmod(&self.0, mode(like.mode))?;
        let _ = futimens(&self.0, &times(like));
        Ok(())
    }

    /// How much more its disk takes, in bytes.
    pub fn free(&self) -> io::Result<u64> {
        let space = fstatvfs(&self.0)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }
}

/// Gives a file the mode and the time of another.
pub fn finish(file: &File, like: &Seen) -> io::Result<()> {
    fchmod(file, mode(like.mode))?;
    let _ = futimens(file, &times(like));
    Ok(())
}

/// The next part of a file, from `at` on, that is no hole: where it begins and ends. All of it where holes are not known.
pub fn next_data(file: &File, at: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
    use rustix::fs::{SeekFrom, seek};
    let start = match seek(file, SeekFrom::Data(at)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(None),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => at,
        Err(error) => return Err(error.into()),
    };
    if start >= size {
        return Ok(None);
    }
    let end = match seek(file, SeekFrom::Hole(start)) {
        Ok(end) if end > start => end.min(size),
        _ => size,
    };
    Ok(Some((start, end)))
}

fn times(like: &Seen) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: like.time.0,
            tv_nsec: like.time.1 as _,
        },
    }
}

fn seen(found: &Stat) -> Seen {
    let kind = match FileType::from_raw_mode(found.st_mode) {
        FileType::Directory => Kind::Folder,
        FileType::RegularFile => Kind::File,
        FileType::Symlink => Kind::Link,
        FileType::Fifo => Kind::Special("a named pipe"),
        FileType::Socket => Kind::Special("a socket or a device"),
        _ => Kind::Special("a device"),
    };
    Seen {
        kind,
        mode: found.st_mode & super::MODE_TAKEN,
        size: u64::try_from(found.st_size).unwrap_or(0),
        stored: u64::try_from(found.st_blocks)
            .unwrap_or(0)
            .saturating_mul(512),
        ino: found.st_ino,
        shared: found.st_nlink > 1,
        time: (found.st_mtime as _, found.st_mtime_nsec as _),
    }
}
