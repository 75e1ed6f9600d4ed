//! Items: the parts of a home's tree.
//!
//! Keys sort so that everything of one inode lies together, and a directory's entries in the order of
//! their names. Inode 0 holds what concerns the home as a whole.

use std::sync::Arc;

use bytes::Bytes;
use safeos_record::Address;

use crate::codec::{Reader, Write};
use crate::object_ref::ObjectRef;
use crate::{Error, Result};

/// An inode number.
pub type Ino = u64;

/// The inode number of a tree's root directory.
pub const ROOT: Ino = 2;
/// Where the home's own items are kept.
const HOME: Ino = 0;
/// Content of a file is kept in blocks of this many bytes.
pub const BLOCK_BYTES: usize = 32 * 1024;
/// Blocks up to this length live in the tree itself.
pub const INLINE_BYTES_MAX: usize = 128;
/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 255;
/// The longest value of an extended attribute, in bytes.
pub const XATTR_BYTES_MAX: usize = 64 * 1024;
/// Longest target of a symbolic link, in bytes.
pub const TARGET_BYTES_MAX: usize = 4095;
/// Longest name of a computer, in bytes.
pub(crate) const COMPUTER_BYTES_MAX: usize = 64;

/// The kind of an item of an inode.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Tag {
    /// The node itself.
    Inode = 0,
    /// An extended attribute, by name.
    Xattr = 1,
    /// A directory entry, by name.
    Entry = 2,
    /// A block of content, by its number.
    Block = 3,
    /// A published commit, by time (of [`Key::snapshot`]).
    Snapshot = 4,
    /// A range of inode numbers that a session uses, by its number.
    Range = 5,
}

/// Where an item stands in the tree.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key {
    /// Whose item it is.
    pub ino: Ino,
    /// The kind of the item.
    pub tag: Tag,
    /// For blocks, snapshots and ranges.
    pub number: u64,
    /// For attributes and entries.
    pub name: Arc<[u8]>,
}

impl Key {
    fn numbered(ino: Ino, tag: Tag, number: u64) -> Self {
        Self {
            ino,
            tag,
            number,
            name: Arc::default(),
        }
    }

    fn named(ino: Ino, tag: Tag, name: &[u8]) -> Self {
        Self {
            ino,
            tag,
            number: 0,
            name: name.into(),
        }
    }

    /// The node `ino`.
    pub fn inode(ino: Ino) -> Self {
        Self::numbered(ino, Tag::Inode, 0)
    }

    /// An extended attribute of `ino`. The empty name sorts before all.
    pub fn xattr(ino: Ino, name: &[u8]) -> Self {
        Self::named(ino, Tag::Xattr, name)
    }

    /// An entry of the directory `dir`. The empty name sorts before all.
    pub fn entry(dir: Ino, name: &[u8]) -> Self {
        Self::named(dir, Tag::Entry, name)
    }

    /// A block of the file `ino`.
    pub fn block(ino: Ino, number: u64) -> Self {
        Self::numbered(ino, Tag::Block, number)
    }

    /// A published commit made at this time, in nanoseconds since 1970.
    pub fn snapshot(time: u64) -> Self {
        Self::numbered(HOME, Tag::Snapshot, time)
    }

    /// A range of inode numbers.
    pub fn range(number: u64) -> Self {
        Self::numbered(HOME, Tag::Range, number)
    }

    /// The key after every item of `ino` with this tag.
    pub fn after(ino: Ino, tag: Tag) -> Self {
        match tag {
            Tag::Inode => Self::numbered(ino, Tag::Xattr, 0),
            Tag::Xattr => Self::numbered(ino, Tag::Entry, 0),
            Tag::Entry => Self::numbered(ino, Tag::Block, 0),
            Tag::Block => Self::numbered(ino, Tag::Snapshot, 0),
            Tag::Snapshot => Self::numbered(ino, Tag::Range, 0),
            Tag::Range => Self::inode(ino.saturating_add(1)),
        }
    }

    /// Roughly how many bytes the key takes when it is written.
    pub(crate) fn weight(&self) -> usize {
        6 + self.name.len()
    }
}

/// The kind of a node: the file type bits of POSIX's `st_mode`, shifted right by twelve.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum FileKind {
    /// A named pipe.
    Fifo = 1,
    /// A character device.
    CharDevice = 2,
    /// A directory.
    Directory = 4,
    /// A block device.
    BlockDevice = 6,
    /// A regular file.
    File = 8,
    /// A symbolic link.
    Symlink = 10,
    /// A socket's name.
    Socket = 12,
}

impl FileKind {
    fn from_bits(bits: u32) -> Result<Self> {
        Ok(match bits {
            1 => Self::Fifo,
            2 => Self::CharDevice,
            4 => Self::Directory,
            6 => Self::BlockDevice,
            8 => Self::File,
            10 => Self::Symlink,
            12 => Self::Socket,
            _ => return Err(Error::Format("a node is of an unknown kind")),
        })
    }
}

/// Whose a node is, or which group's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Owner {
    /// The person whose home it is, whatever their number is on a computer.
    Person,
    /// A number of users or groups of a computer, and nothing else.
    Number(u32),
    /// A number as it was kept before there was [`Owner::Person`]: means the person where the root folder of
    /// then has the same, and is a number otherwise.
    Early(u32),
}

/// The number that says [`Owner::Person`]. It is `(uid_t) -1`, "leave as it is", which no user of any computer can
/// have.
const PERSON: u32 = u32::MAX;

impl Owner {
    const fn encoded(self) -> u32 {
        match self {
            Self::Person => PERSON,
            Self::Number(number) | Self::Early(number) => number,
        }
    }

    const fn decoded(number: u32, only_number: bool) -> Self {
        match (number, only_number) {
            (PERSON, _) => Self::Person,
            (_, true) => Self::Number(number),
            (_, false) => Self::Early(number),
        }
    }
}

/// A time: nanoseconds since 1970-01-01 UTC, negative before.
pub type Nanos = i128;
const SECOND: i128 = 1_000_000_000;

/// A node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inode {
    /// The kind of the node.
    pub kind: FileKind,
    /// Permission, set-id and sticky bits.
    pub perm: u16,
    /// Hard links; for a directory 2 and one for each subdirectory.
    pub nlink: u32,
    /// Owner.
    pub uid: Owner,
    /// Group.
    pub gid: Owner,
    /// Device number.
    pub rdev: u32,
    /// Bytes.
    pub size: u64,
    /// Bytes of the blocks that are there.
    pub allocated: u64,
    /// Last access.
    pub atime: Nanos,
    /// Last change of content.
    pub mtime: Nanos,
    /// Last change of the node.
    pub ctime: Nanos,
    /// Creation.
    pub btime: Nanos,
    /// A directory that has an entry for it (the newest made).
    pub parent: Ino,
    /// Target of a symbolic link.
    pub target: Bytes,
}

/// A block of a file: its bytes up to the last that is not zero; the rest of the block reads as zeros.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Block {
    /// Here, at most [`INLINE_BYTES_MAX`] bytes.
    Inline(Bytes),
    /// In a pack; `len` bytes of content.
    Stored {
        /// Where.
        at: ObjectRef,
        /// Length of the content, in bytes.
        len: u32,
    },
}

impl Block {
    /// Length of the content, in bytes.
    pub const fn len(&self) -> usize {
        match self {
            Self::Inline(bytes) => bytes.len(),
            Self::Stored { len, .. } => *len as usize,
        }
    }

    /// Whether it holds nothing.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A published commit, as later commits remember it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SnapshotItem {
    /// Its head chunk.
    pub head: Address,
    /// The computer that made it.
    pub computer: Arc<str>,
    /// Bytes of the records it added.
    pub added_bytes: u64,
}

/// The value of an item.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// With [`Tag::Inode`].
    Inode(Arc<Inode>),
    /// With [`Tag::Xattr`].
    Xattr(Bytes),
    /// With [`Tag::Entry`]: the node named.
    Entry {
        /// Its number.
        ino: Ino,
        /// Its kind.
        kind: FileKind,
    },
    /// With [`Tag::Block`].
    Block(Block),
    /// With [`Tag::Snapshot`].
    Snapshot(Arc<SnapshotItem>),
    /// With [`Tag::Range`]: which session uses the range.
    Range([u8; 16]),
}

impl Value {
    /// Roughly how many bytes the value takes when it is written.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Inode(inode) => 48 + inode.target.len(),
            Self::Xattr(bytes) | Self::Block(Block::Inline(bytes)) => 3 + bytes.len(),
            Self::Entry { .. } => 8,
            Self::Block(Block::Stored { .. }) => 28,
            Self::Snapshot(item) => 40 + item.computer.len(),
            Self::Range(_) => 16,
        }
    }
}

/// How references to packs are written: the tree's nodes number the packs they refer to, the stage's
/// log writes addresses.
pub(crate) trait RefWriter {
    fn write(&mut self, at: &ObjectRef, out: &mut Vec<u8>);
}

/// The reading side of [`RefWriter`].
pub(crate) trait RefReader {
    fn read(&self, reader: &mut Reader<'_>) -> Result<ObjectRef>;
}

/// References with the whole address.
pub(crate) struct Absolute;

impl RefWriter for Absolute {
    fn write(&mut self, at: &ObjectRef, out: &mut Vec<u8>) {
        out.extend_from_slice(&at.pack.0);
        write_place(at, out);
    }
}

impl RefReader for Absolute {
    fn read(&self, reader: &mut Reader<'_>) -> Result<ObjectRef> {
        let pack = Address(reader.array()?);
        read_place(pack, reader)
    }
}

pub(crate) fn write_place(at: &ObjectRef, out: &mut Vec<u8>) {
    out.number(u64::from(at.offset));
    out.number(u64::from(at.len));
    out.extend_from_slice(&at.hash);
}

pub(crate) fn read_place(pack: Address, reader: &mut Reader<'_>) -> Result<ObjectRef> {
    Ok(ObjectRef {
        pack,
        offset: reader.number32()?,
        len: reader.number32()?,
        hash: reader.array()?,
    })
}

/// Writes a key; `previous` is the inode number of the key before it (keys are sorted).
pub(crate) fn write_key(key: &Key, previous: Ino, out: &mut Vec<u8>) {
    out.number(key.ino.wrapping_sub(previous));
    out.push(key.tag as u8);
    match key.tag {
        Tag::Inode => {}
        Tag::Xattr | Tag::Entry => out.bytes(&key.name),
        Tag::Block | Tag::Snapshot | Tag::Range => out.number(key.number),
    }
}

pub(crate) fn read_key(previous: Ino, reader: &mut Reader<'_>) -> Result<Key> {
    let ino = previous
        .checked_add(reader.number()?)
        .ok_or(Error::Format("an inode number is too large"))?;
    Ok(match reader.byte()? {
        0 => Key::inode(ino),
        1 => Key::xattr(ino, reader.bytes(NAME_BYTES_MAX)?),
        2 => Key::entry(ino, reader.bytes(NAME_BYTES_MAX)?),
        3 => Key::block(ino, reader.number()?),
        tag @ (4 | 5) => {
            if ino != HOME {
                return Err(Error::Format("an item of the home stands elsewhere"));
            }
            let number = reader.number()?;
            if tag == 4 {
                Key::snapshot(number)
            } else {
                Key::range(number)
            }
        }
        _ => return Err(Error::Format("an item is of an unknown kind")),
    })
}

const SAME_MTIME: u8 = 1;
const SAME_CTIME: u8 = 2;
const SAME_BTIME: u8 = 4;
/// The owner's number is a number whatever it was in earlier homes.
const NUMBER_OWNER: u8 = 8;
/// The same for the group's.
const NUMBER_GROUP: u8 = 16;

/// Writes a value under its key.
pub(crate) fn write_value(key: &Key, value: &Value, refs: &mut dyn RefWriter, out: &mut Vec<u8>) {
    match value {
        Value::Inode(inode) => write_inode(key.ino, inode, out),
        Value::Xattr(bytes) => out.bytes(bytes),
        Value::Entry { ino, kind } => {
            out.number(*ino);
            out.push(*kind as u8);
        }
        Value::Block(Block::Inline(bytes)) => {
            out.number(0);
            out.bytes(bytes);
        }
        Value::Block(Block::Stored { at, len }) => {
            out.number(u64::from(*len));
            refs.write(at, out);
        }
        Value::Snapshot(item) => {
            out.extend_from_slice(&item.head.0);
            out.bytes(item.computer.as_bytes());
            out.number(item.added_bytes);
        }
        Value::Range(session) => out.extend_from_slice(session),
    }
}

pub(crate) fn read_value(
    key: &Key,
    refs: &dyn RefReader,
    reader: &mut Reader<'_>,
) -> Result<Value> {
    Ok(match key.tag {
        Tag::Inode => Value::Inode(Arc::new(read_inode(key.ino, reader)?)),
        Tag::Xattr => Value::Xattr(Bytes::copy_from_slice(reader.bytes(XATTR_BYTES_MAX)?)),
        Tag::Entry => Value::Entry {
            ino: reader.number()?,
            kind: FileKind::from_bits(u32::from(reader.byte()?))?,
        },
        Tag::Block => {
            let len = reader.number32()?;
            if len == 0 {
                let bytes = reader.bytes(INLINE_BYTES_MAX)?;
                Value::Block(Block::Inline(Bytes::copy_from_slice(bytes)))
            } else if len as usize <= BLOCK_BYTES {
                let at = refs.read(reader)?;
                Value::Block(Block::Stored { at, len })
            } else {
                return Err(Error::Format("a block is too long"));
            }
        }
        Tag::Snapshot => {
            let head = Address(reader.array()?);
            let computer = read_text(reader, COMPUTER_BYTES_MAX)?;
            let added_bytes = reader.number()?;
            Value::Snapshot(Arc::new(SnapshotItem {
                head,
                computer: computer.into(),
                added_bytes,
            }))
        }
        Tag::Range => Value::Range(reader.array()?),
    })
}

pub(crate) fn read_text<'a>(reader: &mut Reader<'a>, max: usize) -> Result<&'a str> {
    std::str::from_utf8(reader.bytes(max)?).map_err(|_| Error::Format("a text is not UTF-8"))
}

fn write_inode(ino: Ino, inode: &Inode, out: &mut Vec<u8>) {
    out.number(u64::from(inode.kind as u32) << 12 | u64::from(inode.perm));
    out.number(u64::from(inode.nlink));
    out.number(u64::from(inode.uid.encoded()));
    out.number(u64::from(inode.gid.encoded()));
    out.number(u64::from(inode.rdev));
    out.number(inode.size);
    out.number(inode.allocated);
    let mut same = 0;
    for (bit, time) in [
        (SAME_MTIME, inode.mtime),
        (SAME_CTIME, inode.ctime),
        (SAME_BTIME, inode.btime),
    ] {
        if time == inode.atime {
            same |= bit;
        }
    }
    for (bit, owner) in [(NUMBER_OWNER, inode.uid), (NUMBER_GROUP, inode.gid)] {
        if matches!(owner, Owner::Number(_)) {
            same |= bit;
        }
    }
    out.push(same);
    write_time(inode.atime, out);
    for (bit, time) in [
        (SAME_MTIME, inode.mtime),
        (SAME_CTIME, inode.ctime),
        (SAME_BTIME, inode.btime),
    ] {
        if same & bit == 0 {
            write_time(time, out);
        }
    }
    out.signed(inode.parent.wrapping_sub(ino) as i64);
    out.bytes(&inode.target);
}

fn read_inode(ino: Ino, reader: &mut Reader<'_>) -> Result<Inode> {
    let mode = reader.number32()?;
    let kind = FileKind::from_bits(mode >> 12)?;
    let perm = (mode & 0o7777) as u16;
    let nlink = reader.number32()?;
    let uid = reader.number32()?;
    let gid = reader.number32()?;
    let rdev = reader.number32()?;
    let size = reader.number()?;
    if size > i64::MAX as u64 {
        return Err(Error::Format("a file is larger than 2^63-1 bytes"));
    }
    let allocated = reader.number()?;
    let same = reader.byte()?;
    let uid = Owner::decoded(uid, same & NUMBER_OWNER != 0);
    let gid = Owner::decoded(gid, same & NUMBER_GROUP != 0);
    let atime = read_time(reader)?;
    let mut time = |bit| {
        if same & bit != 0 {
            Ok(atime)
        } else {
            read_time(reader)
        }
    };
    let mtime = time(SAME_MTIME)?;
    let ctime = time(SAME_CTIME)?;
    let btime = time(SAME_BTIME)?;
    let parent = ino.wrapping_add(reader.signed()? as u64);
    let target = Bytes::copy_from_slice(reader.bytes(TARGET_BYTES_MAX)?);
    Ok(Inode {
        kind,
        perm,
        nlink,
        uid,
        gid,
        rdev,
        size,
        allocated,
        atime,
        mtime,
        ctime,
        btime,
        parent,
        target,
    })
}

fn write_time(time: Nanos, out: &mut Vec<u8>) {
    let seconds = time
        .div_euclid(SECOND)
        .clamp(i64::MIN.into(), i64::MAX.into());
    out.signed(seconds as i64);
    out.number(time.rem_euclid(SECOND) as u64);
}

fn read_time(reader: &mut Reader<'_>) -> Result<Nanos> {
    let seconds = reader.signed()?;
    let nanos = reader.number()?;
    if nanos >= SECOND as u64 {
        return Err(Error::Format("a time has too many nanoseconds"));
    }
    Ok(i128::from(seconds) * SECOND + i128::from(nanos))
}
