//! Nodes of the tree as `stat` shows them.

use safeos_tree::Inode;

use crate::{Attr, FileKind, Ino};

/// What `stat` shows of a node that belongs to this user and group.
pub(crate) fn attr(ino: Ino, inode: &Inode, (uid, gid): (u32, u32)) -> Attr {
    Attr {
        ino,
        kind: kind(inode.kind),
        perm: inode.perm,
        nlink: inode.nlink,
        uid,
        gid,
        rdev: inode.rdev,
        size: inode.size,
        blocks: inode.allocated.div_ceil(512),
        atime: inode.atime,
        mtime: inode.mtime,
        ctime: inode.ctime,
        btime: inode.btime,
    }
}

pub(crate) const fn kind(kind: safeos_tree::FileKind) -> FileKind {
    match kind {
        safeos_tree::FileKind::File => FileKind::File,
        safeos_tree::FileKind::Directory => FileKind::Directory,
        safeos_tree::FileKind::Symlink => FileKind::Symlink,
        safeos_tree::FileKind::Fifo => FileKind::Fifo,
        safeos_tree::FileKind::Socket => FileKind::Socket,
        safeos_tree::FileKind::CharDevice => FileKind::CharDevice,
        safeos_tree::FileKind::BlockDevice => FileKind::BlockDevice,
    }
}

pub(crate) const fn tree_kind(kind: FileKind) -> safeos_tree::FileKind {
    match kind {
        FileKind::File => safeos_tree::FileKind::File,
        FileKind::Directory => safeos_tree::FileKind::Directory,
        FileKind::Symlink => safeos_tree::FileKind::Symlink,
        FileKind::Fifo => safeos_tree::FileKind::Fifo,
        FileKind::Socket => safeos_tree::FileKind::Socket,
        FileKind::CharDevice => safeos_tree::FileKind::CharDevice,
        FileKind::BlockDevice => safeos_tree::FileKind::BlockDevice,
    }
}
