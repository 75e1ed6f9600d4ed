//! A folder by its path, where the system cannot name things relative to an open one.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink,
};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::seen::{Kind, Seen};

/// A folder.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A folder named by the caller.
    pub fn open(path: &Path) -> io::Result<Self> {
        fs::read_dir(path)?;
        Ok(Self(path.to_owned()))
    }

    /// A folder in this one.
    pub fn child(&self, name: &OsStr) -> io::Result<Self> {
        match self.look(name)?.kind {
            Kind::Folder => Ok(Self(self.0.join(name))),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// The folder that this one is in.
    pub fn parent(&self) -> io::Result<Self> {
        let parent = self.0.parent().ok_or(io::ErrorKind::NotFound)?;
        Ok(Self(parent.to_owned()))
    }

    /// The folder's unique identity.
    pub fn id(&self) -> io::Result<(u64, u64)> {
        let found = fs::symlink_metadata(&self.0)?;
        Ok((found.dev(), found.ino()))
    }

    /// The names in it.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        fs::read_dir(&self.0)?
            .map(|entry| Ok(entry?.file_name()))
            .collect()
    }

    /// The attributes of a name in it.
    pub fn look(&self, name: &OsStr) -> io::Result<Seen> {
        Ok(seen(&fs::symlink_metadata(self.0.join(name))?))
    }

    /// Its own attributes.
    pub fn look_at_itself(&self) -> io::Result<Seen> {
        Ok(seen(&fs::metadata(&self.0)?))
    }

    /// A file in it, to be read.
    pub fn file(&self, name: &OsStr) -> io::Result<File> {
        match self.look(name)?.kind {
            Kind::File => File::open(self.0.join(name)),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// A new file in it.
    pub fn make_file(&self, name: &OsStr) -> io::Result<File> {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.0.join(name))
    }

    /// A new folder in it.
    pub fn make_folder(&self, name: &OsStr) -> io::Result<Self> {
        let path = self.0.join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// The target of a symbolic link in it.
    pub fn target(&self, name: &OsStr) -> io::Result<OsString> {
        Ok(fs::read_link(self.0.join(name))?.into_os_string())
    }

    /// A new symbolic link in it.
    pub fn make_link(&self, target: &OsStr, name: &OsStr) -> io::Result<()> {
        symlink(target, self.0.join(name))
    }

    /// One more name, in another folder, for a file in this one.
    pub fn name_again(&self, name: &OsStr, to: &Self, new: &OsStr) -> io::Result<()> {
        fs::hard_link(self.0.join(name), to.0.join(new))
    }

    /// Removes something in it.
    pub fn remove(&self, name: &OsStr, folder: bool) -> io::Result<()> {
        let path = self.0.join(name);
        if folder {
            fs::remove_dir(path)
        } else {
            fs::remove_file(path)
        }
    }

    /// Moves something in it to a name that is not taken.
    pub fn rename(&self, name: &OsStr, to: &Self, new: &OsStr) -> io::Result<()> {
        if to.look(new).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::rename(self.0.join(name), to.0.join(new))
    }

    /// Lets its owner into a folder in it.
    pub fn open_up(&self, name: &OsStr) -> io::Result<()> {
        fs::set_permissions(self.0.join(name), Permissions::from_mode(0o700))
    }

    /// Gives it the mode of another.
    pub fn finish(&self, like: &Seen) -> io::Result<()> {
        fs::set_permissions(&self.0, Permissions::from_mode(like.mode))
    }

    /// How much more its disk takes, in bytes: that is not to be had here.
    #[allow(clippy::unnecessary_wraps)]
    pub fn free(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

/// Gives a file the mode and the time of another.
pub fn finish(file: &File, like: &Seen) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(like.mode))?;
    let seconds = Duration::from_secs(u64::try_from(like.time.0).unwrap_or(0));
    let nanos = Duration::from_nanos(u64::try_from(like.time.1).unwrap_or(0));
    let _ = file.set_modified(SystemTime::UNIX_EPOCH + seconds + nanos);
    Ok(())
}

/// The next part of a file, from `at` on, that is no hole: all of it, as holes are not known here.
#[allow(clippy::unnecessary_wraps)]
pub fn next_data(_: &File, at: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
    Ok((at < size).then_some((at, size)))
}

fn seen(found: &fs::Metadata) -> Seen {
    let kind = found.file_type();
    let kind = if kind.is_dir() {
        Kind::Folder
    } else if kind.is_file() {
        Kind::File
    } else if kind.is_symlink() {
        Kind::Link
    } else if kind.is_fifo() {
        Kind::Special("a named pipe")
    } else if kind.is_socket() {
        Kind::Special("a socket or a device")
    } else {
        Kind::Special("a device")
    };
    Seen {
        kind,
        mode: found.mode() & super::seen::MODE_TAKEN,
        size: found.len(),
        stored: found.blocks().saturating_mul(512),
        ino: found.ino(),
        shared: found.nlink() > 1,
        time: (found.mtime(), found.mtime_nsec()),
    }
}
