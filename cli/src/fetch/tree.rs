//! A published tree as it is on the store: for computers without a mount to read it through.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;

use safeos_session::{Attr, Error, FileKind, Ino, Seek, Volume};

use super::seen::{Kind, Seen};

/// Entries of a folder asked for at once.
const PAGE: usize = 1024;
const NANOS: i128 = 1_000_000_000;

/// A folder or a file of it.
#[derive(Clone)]
pub struct Tree {
    volume: Arc<dyn Volume>,
    ino: Ino,
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tree({})", self.ino)
    }
}

impl Tree {
    /// Its top folder.
    pub fn new(volume: Arc<dyn Volume>) -> Self {
        let ino = volume.root();
        Self { volume, ino }
    }

    fn at(&self, ino: Ino) -> Self {
        Self {
            volume: Arc::clone(&self.volume),
            ino,
        }
    }

    fn find(&self, name: &OsStr) -> io::Result<Attr> {
        self.volume.lookup(self.ino, name.as_bytes()).map_err(error)
    }

    /// Something in this folder.
    pub fn child(&self, name: &OsStr) -> io::Result<Self> {
        if name == "." {
            return Ok(self.clone());
        }
        Ok(self.at(self.find(name)?.ino))
    }

    /// The folder that this one is in.
    pub fn parent(&self) -> io::Result<Self> {
        Ok(self.at(self.volume.parent(self.ino).map_err(error)?))
    }

    /// The folder's unique identity in the tree.
    pub fn id(&self) -> (u64, u64) {
        (0, self.ino)
    }

    /// The names in it.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names: Vec<OsString> = Vec::new();
        loop {
            let after = names.last().map(|name| name.as_bytes());
            let page = self.volume.read_dir(self.ino, after, PAGE).map_err(error)?;
            let more = page.len() == PAGE;
            for entry in page {
                // No kernel stands between a stranger's names and this computer's folders.
                let name = entry.name;
                if matches!(&*name, b"" | b"." | b"..")
                    || name.iter().any(|b| matches!(b, b'/' | 0))
                {
                    return Err(io::Error::other("a name in it can be none of a file"));
                }
                names.push(OsString::from_vec(name));
            }
            if !more {
                return Ok(names);
            }
        }
    }

    /// The attributes of a name in it.
    pub fn look(&self, name: &OsStr) -> io::Result<Seen> {
        self.find(name).map(|attr| seen(&attr))
    }

    /// Its own attributes.
    pub fn look_at_itself(&self) -> io::Result<Seen> {
        let attr = self.volume.attr(self.ino).map_err(error)?;
        Ok(seen(&attr))
    }

    /// The target of a symbolic link in it.
    pub fn target(&self, name: &OsStr) -> io::Result<OsString> {
        let link = self.find(name)?.ino;
        self.volume
            .read_link(link)
            .map(OsString::from_vec)
            .map_err(error)
    }

    /// Reads of a file; how much.
    pub fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let mut read = Vec::with_capacity(buffer.len());
        self.volume
            .read(self.ino, at, buffer.len(), &mut read)
            .map_err(error)?;
        let len = read.len().min(buffer.len());
        buffer[..len].copy_from_slice(&read[..len]);
        Ok(len)
    }

    /// The next part of a file that is no hole.
    pub fn next_data(&self, at: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
        let start = match self.volume.seek(self.ino, at, Seek::Data) {
            Ok(start) => start,
            Err(Error::NoData) => return Ok(None),
            Err(other) => return Err(error(other)),
        };
        if start >= size {
            return Ok(None);
        }
        let end = self
            .volume
            .seek(self.ino, start, Seek::Hole)
            .map_err(error)?;
        Ok(Some((
            start,
            if end > start { end.min(size) } else { size },
        )))
    }
}

fn error(error: Error) -> io::Error {
    match error {
        Error::NotFound => io::ErrorKind::NotFound.into(),
        Error::NotDirectory => io::ErrorKind::NotADirectory.into(),
        other => io::Error::other(other.to_string()),
    }
}

fn seen(attr: &Attr) -> Seen {
    let kind = match attr.kind {
        FileKind::Directory => Kind::Folder,
        FileKind::File => Kind::File,
        FileKind::Symlink => Kind::Link,
        FileKind::Fifo => Kind::Special("a named pipe"),
        FileKind::Socket => Kind::Special("a socket or a device"),
        FileKind::CharDevice | FileKind::BlockDevice => Kind::Special("a device"),
    };
    let time = attr.mtime;
    Seen {
        kind,
        mode: u32::from(attr.perm) & super::seen::MODE_TAKEN,
        size: attr.size,
        stored: attr.blocks.saturating_mul(512),
        ino: attr.ino,
        shared: attr.nlink > 1,
        time: (
            i64::try_from(time.div_euclid(NANOS)).unwrap_or(0),
            i64::try_from(time.rem_euclid(NANOS)).unwrap_or(0),
        ),
    }
}
