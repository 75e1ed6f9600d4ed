//! A volume: one file tree as programs see it, by inode number.
//!
//! The front ends (FUSE, the Redox scheme) translate their requests into these calls and do nothing
//! else. Permissions are the front's business (the kernel's, where it can); everything else POSIX
//! says about the outcome of a call holds here.

pub use safeos_tree::FileKind;

use crate::{Error, Result};

/// An inode number. Unique within a volume for ever, also across computers.
pub type Ino = u64;

/// A time: nanoseconds since 1970-01-01 UTC, negative before.
pub type Nanos = i128;

/// The attributes that `stat` shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attr {
    /// Inode number.
    pub ino: Ino,
    /// The node's kind.
    pub kind: FileKind,
    /// Permission bits with set-id and sticky: `0o0000..=0o7777`.
    pub perm: u16,
    /// Hard links (for a directory: 2 plus its subdirectories).
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of a device node, as the system encodes it.
    pub rdev: u32,
    /// Bytes; for a symbolic link the length of its target.
    pub size: u64,
    /// Bytes that are not holes, in units of 512.
    pub blocks: u64,
    /// Last access.
    pub atime: Nanos,
    /// Last change of the content.
    pub mtime: Nanos,
    /// Last change of the node.
    pub ctime: Nanos,
    /// Creation.
    pub btime: Nanos,
}

/// The attributes that `chmod`, `chown`, `truncate` and `utimens` change. `None` leaves as it is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SetAttr {
    /// New permission bits.
    pub perm: Option<u16>,
    /// New owner.
    pub uid: Option<u32>,
    /// New group.
    pub gid: Option<u32>,
    /// New length; shorter cuts, longer leaves a hole.
    pub size: Option<u64>,
    /// New access time.
    pub atime: Option<Nanos>,
    /// New modification time.
    pub mtime: Option<Nanos>,
    /// New change time; set to now by any other change when `None`.
    pub ctime: Option<Nanos>,
}

/// A node to be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewNode<'a> {
    /// The new node's kind.
    pub kind: FileKind,
    /// Permission bits, the umask already applied.
    pub perm: u16,
    /// Owner.
    pub uid: u32,
    /// Group; replaced by the directory's when that has the set-group-id bit.
    pub gid: u32,
    /// For devices.
    pub rdev: u32,
    /// For symbolic links: the target. Empty otherwise.
    pub target: &'a [u8],
}

impl NewNode<'_> {
    /// A node that is neither a device nor a symbolic link.
    pub const fn new(kind: FileKind, perm: u16, (uid, gid): (u32, u32)) -> Self {
        Self {
            kind,
            perm,
            uid,
            gid,
            rdev: 0,
            target: b"",
        }
    }
}

/// How a rename treats an existing target (`renameat2`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RenameMode {
    /// Replace it.
    Replace,
    /// [`Error::Exists`] if there is one (RENAME_NOREPLACE).
    NoReplace,
    /// Swap the two (RENAME_EXCHANGE).
    Exchange,
    /// Leave a whiteout under the old name (RENAME_WHITEOUT), in the same step: a character device with the
    /// number 0, by which an overlay knows that a name of the layer below is gone. It has the owner of the
    /// moved node, and only root may do anything with it.
    Whiteout {
        /// Whether to replace an existing target; else [`Error::Exists`].
        replace: bool,
    },
}

impl RenameMode {
    /// Whether a node that has the new name loses it.
    pub(crate) const fn replaces(self) -> bool {
        matches!(self, Self::Replace | Self::Whiteout { replace: true })
    }
}

/// The operation of `fallocate`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Allocate {
    /// Make sure the range can be written; grow the file to its end unless `keep_size`.
    Reserve {
        /// FALLOC_FL_KEEP_SIZE.
        keep_size: bool,
    },
    /// Make the range a hole (FALLOC_FL_PUNCH_HOLE, which keeps the size).
    PunchHole,
    /// Make the range read as zeros (FALLOC_FL_ZERO_RANGE).
    Zero {
        /// FALLOC_FL_KEEP_SIZE.
        keep_size: bool,
    },
}

/// The target of [`Volume::seek`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seek {
    /// SEEK_DATA
    Data,
    /// SEEK_HOLE
    Hole,
}

/// How setting an extended attribute treats one that is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum XattrMode {
    /// Make or replace.
    Any,
    /// XATTR_CREATE
    Create,
    /// XATTR_REPLACE
    Replace,
}

/// One entry of a directory (without `.` and `..`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirEntry {
    /// The name: 1 to 255 bytes, no `/`, no NUL.
    pub name: Vec<u8>,
    /// The attributes of the node named.
    pub attr: Attr,
}

/// The figures that `statfs` shows, in bytes and nodes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Space {
    /// All bytes there are.
    pub total: u64,
    /// Bytes still free.
    pub free: u64,
    /// Nodes in the tree.
    pub nodes: u64,
}

/// A file tree. Every method may be called from several threads and may wait for the store.
///
/// Read-only volumes (snapshots, public trees) leave the writing methods at their default, which
/// refuses with [`Error::ReadOnly`].
pub trait Volume: Send + Sync {
    /// The root directory.
    fn root(&self) -> Ino;

    /// The node that `name` in `dir` names; [`Error::NotFound`] if none. `.` and `..` are names like others here and
    /// never exist.
    fn lookup(&self, dir: Ino, name: &[u8]) -> Result<Attr>;

    /// The attributes of a node.
    fn attr(&self, ino: Ino) -> Result<Attr>;

    /// The directory that holds `dir` (the root holds itself).
    fn parent(&self, dir: Ino) -> Result<Ino>;

    /// The path of a node from the root, without a leading `/`; one of them if it has several.
    fn path(&self, ino: Ino) -> Result<Vec<u8>>;

    /// The target of a symbolic link.
    fn read_link(&self, ino: Ino) -> Result<Vec<u8>>;

    /// Appends up to `len` bytes from `offset` to `out`; fewer only at the end of the file.
    fn read(&self, ino: Ino, offset: u64, len: usize, out: &mut Vec<u8>) -> Result<()>;

    /// Entries in name order that come after the name `after` (`None`: from the start), at most `limit`; fewer than
    /// `limit` means the end was reached.
    fn read_dir(&self, dir: Ino, after: Option<&[u8]>, limit: usize) -> Result<Vec<DirEntry>>;

    /// The next data or hole at or after `offset`; [`Error::NoData`] past the end of the file. The end counts as a
    /// hole.
    fn seek(&self, ino: Ino, offset: u64, what: Seek) -> Result<u64>;

    /// The value of an extended attribute; [`Error::NoAttribute`].
    fn xattr(&self, ino: Ino, name: &[u8]) -> Result<Vec<u8>>;

    /// The names of a node's extended attributes.
    fn xattrs(&self, ino: Ino) -> Result<Vec<Vec<u8>>>;

    /// How much room there is.
    fn space(&self) -> Result<Space>;

    /// Says that a front refers to `ino` once more: a node without names lives until it is released
    /// as often as it was retained.
    fn retain(&self, ino: Ino);

    /// Takes back `count` [`Volume::retain`]s.
    fn release(&self, ino: Ino, count: u64);

    /// Changes attributes and returns the new ones.
    fn set_attr(&self, ino: Ino, change: &SetAttr) -> Result<Attr> {
        let _ = (ino, change);
        Err(Error::ReadOnly)
    }

    /// Makes a node; [`Error::Exists`] if the name is taken.
    fn create(&self, dir: Ino, name: &[u8], node: &NewNode<'_>) -> Result<Attr> {
        let _ = (dir, name, node);
        Err(Error::ReadOnly)
    }

    /// One more name for a node.
    fn link(&self, ino: Ino, dir: Ino, name: &[u8]) -> Result<Attr> {
        let _ = (ino, dir, name);
        Err(Error::ReadOnly)
    }

    /// Removes a name of something that is no directory.
    fn unlink(&self, dir: Ino, name: &[u8]) -> Result<()> {
        let _ = (dir, name);
        Err(Error::ReadOnly)
    }

    /// Removes an empty directory.
    fn rmdir(&self, dir: Ino, name: &[u8]) -> Result<()> {
        let _ = (dir, name);
        Err(Error::ReadOnly)
    }

    /// Renames.
    fn rename(&self, from: (Ino, &[u8]), to: (Ino, &[u8]), mode: RenameMode) -> Result<()> {
        let _ = (from, to, mode);
        Err(Error::ReadOnly)
    }

    /// Writes all of `data` at `offset` (`None`: at the end, atomically) and says where it went.
    fn write(&self, ino: Ino, offset: Option<u64>, data: &[u8]) -> Result<u64> {
        let _ = (ino, offset, data);
        Err(Error::ReadOnly)
    }

    /// Like [`Volume::write`], for bytes that a front's cache held back: when they were written the
    /// front says by itself, so no time changes here.
    fn write_back(&self, ino: Ino, offset: u64, data: &[u8]) -> Result<()> {
        self.write(ino, Some(offset), data).map(drop)
    }

    /// `fallocate`.
    fn allocate(&self, ino: Ino, offset: u64, len: u64, what: Allocate) -> Result<()> {
        let _ = (ino, offset, len, what);
        Err(Error::ReadOnly)
    }

    /// Sets an extended attribute (value at most 64 KiB).
    fn set_xattr(&self, ino: Ino, name: &[u8], value: &[u8], mode: XattrMode) -> Result<()> {
        let _ = (ino, name, value, mode);
        Err(Error::ReadOnly)
    }

    /// Removes an extended attribute.
    fn remove_xattr(&self, ino: Ino, name: &[u8]) -> Result<()> {
        let _ = (ino, name);
        Err(Error::ReadOnly)
    }

    /// Makes a node durable on this computer: its content and every change of names so far.
    fn sync(&self, ino: Ino) -> Result<()> {
        let _ = ino;
        Ok(())
    }
}
