//! A folder that is open: its entries are named relative to it, so that no path is too long, and no
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

use super::seen::{Kind, Seen};
use super::tree::Tree;

/// An open folder.
#[derive(Debug)]
pub enum Folder {
    /// Of this computer, or of a mount.
    Disk(OwnedFd),
    /// Of a published tree that is not mounted: it can only be read.
    Tree(Tree),
}

/// A file that is read.
pub enum Content {
    /// Of this computer, or of a mount.
    Disk(File),
    /// Of a tree.
    Tree(Tree),
}

impl Content {
    /// Reads; how much.
    pub fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        match self {
            Self::Disk(file) => std::os::unix::fs::FileExt::read_at(file, buffer, at),
            Self::Tree(tree) => tree.read_at(buffer, at),
        }
    }
}

const WAY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

fn mode(bits: u32) -> Mode {
    Mode::from_raw_mode(bits as RawMode)
}

impl Folder {
    /// A folder named by the caller.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self::Disk(openat(CWD, path, WAY, Mode::empty())?))
    }

    fn disk(&self) -> io::Result<&OwnedFd> {
        match self {
            Self::Disk(folder) => Ok(folder),
            Self::Tree(_) => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
        }
    }

    /// A folder in this one.
    pub fn child(&self, name: &OsStr) -> io::Result<Self> {
        let flags = WAY | OFlags::NOFOLLOW;
        match self {
            Self::Disk(folder) => Ok(Self::Disk(openat(folder, name, flags, Mode::empty())?)),
            Self::Tree(tree) => tree.child(name).map(Self::Tree),
        }
    }

    /// The folder that this one is in.
    pub fn parent(&self) -> io::Result<Self> {
        match self {
            Self::Disk(folder) => Ok(Self::Disk(openat(folder, "..", WAY, Mode::empty())?)),
            Self::Tree(tree) => tree.parent().map(Self::Tree),
        }
    }

    /// The folder's unique identity.
    pub fn id(&self) -> io::Result<(u64, u64)> {
        if let Self::Tree(tree) = self {
            return Ok(tree.id());
        }
        let found = fstat(self.disk()?)?;
        Ok((found.st_dev, found.st_ino))
    }

    /// The names in it.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        if let Self::Tree(tree) = self {
            return tree.names();
        }
        let mut names = Vec::new();
        for entry in Dir::read_from(self.disk()?)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsStr::from_bytes(name).to_owned());
            }
        }
        Ok(names)
    }

    /// The attributes of a name in it.
    pub fn look(&self, name: &OsStr) -> io::Result<Seen> {
        if let Self::Tree(tree) = self {
            return tree.look(name);
        }
        let found = statat(self.disk()?, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(seen(&found))
    }

    /// Its own attributes.
    pub fn look_at_itself(&self) -> io::Result<Seen> {
        match self {
            Self::Disk(folder) => Ok(seen(&fstat(folder)?)),
            Self::Tree(tree) => tree.look_at_itself(),
        }
    }

    /// A file in it, to be read.
    pub fn file(&self, name: &OsStr) -> io::Result<Content> {
        if let Self::Tree(tree) = self {
            return tree.child(name).map(Content::Tree);
        }
        // A pipe that took the place meanwhile is not waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(self.disk()?, name, flags, Mode::empty())?;
        Ok(Content::Disk(File::from(file)))
    }

    /// A new file in it.
    pub fn make_file(&self, name: &OsStr) -> io::Result<File> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(openat(self.disk()?, name, flags, mode(0o600))?))
    }

    /// A new folder in it.
    pub fn make_folder(&self, name: &OsStr) -> io::Result<Self> {
        mkdirat(self.disk()?, name, mode(0o700))?;
        self.child(name)
    }

    /// The target of a symbolic link in it.
    pub fn target(&self, name: &OsStr) -> io::Result<OsString> {
        if let Self::Tree(tree) = self {
            return tree.target(name);
        }
        Ok(OsString::from_vec(
            readlinkat(self.disk()?, name, Vec::new())?.into_bytes(),
        ))
    }

    /// A new symbolic link in it.
    pub fn make_link(&self, target: &OsStr, name: &OsStr) -> io::Result<()> {
        Ok(symlinkat(target, self.disk()?, name)?)
    }

    /// One more name, in another folder, for a file in this one.
    pub fn name_again(&self, name: &OsStr, to: &Self, new: &OsStr) -> io::Result<()> {
        Ok(linkat(
            self.disk()?,
            name,
            to.disk()?,
            new,
            AtFlags::empty(),
        )?)
    }

    /// Removes something in it.
    pub fn remove(&self, name: &OsStr, folder: bool) -> io::Result<()> {
        let flags = if folder {
            AtFlags::REMOVEDIR
        } else {
            AtFlags::empty()
        };
        Ok(unlinkat(self.disk()?, name, flags)?)
    }

    /// Moves something in it to a name that is not taken.
    pub fn rename(&self, name: &OsStr, to: &Self, new: &OsStr) -> io::Result<()> {
        match renameat_with(self.disk()?, name, to.disk()?, new, RenameFlags::NOREPLACE) {
            // Not all file systems can tell.
            Err(Errno::INVAL | Errno::NOSYS) if to.look(new).is_err() => {
                Ok(rustix::fs::renameat(self.disk()?, name, to.disk()?, new)?)
            }
            done => Ok(done?),
        }
    }

    /// Lets its owner into a folder in it.
    pub fn open_up(&self, name: &OsStr) -> io::Result<()> {
        Ok(chmodat(self.disk()?, name, mode(0o700), AtFlags::empty())?)
    }

    /// Gives it the mode and the time of another.
    pub fn finish(&self, like: &Seen) -> io::Result<()> {
        fchmod(self.disk()?, mode(like.mode))?;
        let _ = futimens(self.disk()?, &times(like));
        Ok(())
    }

    /// How much more its disk takes, in bytes.
    pub fn free(&self) -> io::Result<u64> {
        let space = fstatvfs(self.disk()?)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }
}

/// Gives a file the mode and the time of another.
pub fn finish(file: &File, like: &Seen) -> io::Result<()> {
    fchmod(file, mode(like.mode))?;
    let _ = futimens(file, &times(like));
    Ok(())
}

/// The next part of a file, from `at` on, that is no hole: where it begins and ends. All of it where holes are not
/// known.
pub fn next_data(file: &Content, at: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
    let file = match file {
        Content::Disk(file) => file,
        Content::Tree(tree) => return tree.next_data(at, size),
    };
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
        mode: found.st_mode & super::seen::MODE_TAKEN,
        size: u64::try_from(found.st_size).unwrap_or(0),
        stored: u64::try_from(found.st_blocks)
            .unwrap_or(0)
            .saturating_mul(512),
        ino: found.st_ino,
        shared: found.st_nlink > 1,
        time: (found.st_mtime as _, found.st_mtime_nsec as _),
    }
}
