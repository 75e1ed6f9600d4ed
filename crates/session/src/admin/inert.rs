//! Parts of a tree that a published tree must not contain.
//!
//! The reader of a public tree reads a stranger's: any program may have made it, also one that is not
//! this one. So anything that could give its reader rights, or a device, is left out twice: when a
//! tree is published, and whenever one is shown.

use std::sync::Arc;

use safeos_tree::{FileKind as TreeKind, Inode};

use crate::{Attr, DirEntry, Error, FileKind, Ino, Result, Seek, Space, Volume};

/// Set-user-id and set-group-id.
const SET_ID: u16 = 0o6000;

/// The only attributes that no system gives a meaning to.
const HARMLESS: &[u8] = b"user.";

/// Whether an attribute may go along: no capabilities, labels or access lists.
pub(crate) fn is_harmless(name: &[u8]) -> bool {
    name.starts_with(HARMLESS)
}

/// The published kind: for a device a socket without a listener. Opening that fails, nothing answers
/// behind it, and a copy of the tree still shows that there is something that is no file.
pub(crate) const fn kind(kind: TreeKind) -> TreeKind {
    match kind {
        TreeKind::CharDevice | TreeKind::BlockDevice => TreeKind::Socket,
        other => other,
    }
}

/// Makes a node ready to be published.
pub(crate) fn disarm(inode: &mut Inode) {
    inode.kind = kind(inode.kind);
    inode.perm &= !SET_ID;
    inode.rdev = 0;
}

/// A published tree as it is shown.
pub(crate) struct Inert(pub(crate) Arc<dyn Volume>);

impl Volume for Inert {
    fn root(&self) -> Ino {
        self.0.root()
    }

    fn lookup(&self, dir: Ino, name: &[u8]) -> Result<Attr> {
        self.0.lookup(dir, name).map(shown)
    }

    fn attr(&self, ino: Ino) -> Result<Attr> {
        self.0.attr(ino).map(shown)
    }

    fn parent(&self, dir: Ino) -> Result<Ino> {
        self.0.parent(dir)
    }

    fn path(&self, ino: Ino) -> Result<Vec<u8>> {
        self.0.path(ino)
    }

    fn read_link(&self, ino: Ino) -> Result<Vec<u8>> {
        self.0.read_link(ino)
    }

    fn read(&self, ino: Ino, offset: u64, len: usize, out: &mut Vec<u8>) -> Result<()> {
        self.0.read(ino, offset, len, out)
    }

    fn read_dir(&self, dir: Ino, after: Option<&[u8]>, limit: usize) -> Result<Vec<DirEntry>> {
        let mut entries = self.0.read_dir(dir, after, limit)?;
        for entry in &mut entries {
            entry.attr = shown(entry.attr);
        }
        Ok(entries)
    }

    fn seek(&self, ino: Ino, offset: u64, what: Seek) -> Result<u64> {
        self.0.seek(ino, offset, what)
    }

    fn xattr(&self, ino: Ino, name: &[u8]) -> Result<Vec<u8>> {
        if is_harmless(name) {
            self.0.xattr(ino, name)
        } else {
            Err(Error::NoAttribute)
        }
    }

    fn xattrs(&self, ino: Ino) -> Result<Vec<Vec<u8>>> {
        let mut names = self.0.xattrs(ino)?;
        names.retain(|name| is_harmless(name));
        Ok(names)
    }

    fn space(&self) -> Result<Space> {
        self.0.space()
    }

    fn retain(&self, ino: Ino) {
        self.0.retain(ino);
    }

    fn release(&self, ino: Ino, count: u64) {
        self.0.release(ino, count);
    }
}

/// A node as it is shown.
fn shown(mut attr: Attr) -> Attr {
    if matches!(attr.kind, FileKind::CharDevice | FileKind::BlockDevice) {
        attr.kind = FileKind::Socket;
    }
    attr.perm &= !SET_ID;
    attr.rdev = 0;
    attr
}
