//! Nodes of the tree as `stat` shows them.

use safeos_tree::Inode;

use crate::{Attr, Ino};

/// The attributes that `stat` shows of a node that belongs to this user and group.
pub(crate) fn attr(ino: Ino, inode: &Inode, (uid, gid): (u32, u32)) -> Attr {
    Attr {
        ino,
        kind: inode.kind,
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
