//! Read-only volumes: snapshots and public trees.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use safeos_tree::{Reader, Tree};

use crate::failure::Fault;
use crate::worktree::content::read_frozen;
use crate::worktree::owners::Owners;
use crate::worktree::tree_view::TreeView;
use crate::{Attr, DirEntry, Error, Ino, Result, Seek, Space, Volume};

/// A tree that does not change.
pub(crate) struct Frozen {
    pub(crate) tree: Tree,
    pub(crate) reader: Arc<Reader>,
    pub(crate) owners: Owners,
    /// Whether the session it belongs to has ended; public trees have none.
    pub(crate) ended: Option<Arc<AtomicBool>>,
}

impl Frozen {
    fn look<T>(&self, look: impl Fn(TreeView<'_>) -> Result<T, Fault>) -> Result<T> {
        if self
            .ended
            .as_ref()
            .is_some_and(|ended| ended.load(Ordering::SeqCst))
        {
            return Err(Error::Ended);
        }
        Ok(look(TreeView {
            tree: &self.tree,
            source: &*self.reader,
        })?)
    }
}

impl Volume for Frozen {
    fn root(&self) -> Ino {
        safeos_tree::ROOT
    }

    fn lookup(&self, dir: Ino, name: &[u8]) -> Result<Attr> {
        self.look(|look| {
            let (ino, inode) = look.named(dir, name)?;
            self.owners.attr(look, ino, &inode)
        })
    }

    fn attr(&self, ino: Ino) -> Result<Attr> {
        self.look(|look| self.owners.attr(look, ino, &*look.inode(ino)?))
    }

    fn parent(&self, dir: Ino) -> Result<Ino> {
        self.look(|look| Ok(look.directory(dir)?.parent))
    }

    fn path(&self, ino: Ino) -> Result<Vec<u8>> {
        self.look(|look| look.path(ino))
    }

    fn read_link(&self, ino: Ino) -> Result<Vec<u8>> {
        self.look(|look| look.target(ino))
    }

    fn read(&self, ino: Ino, offset: u64, len: usize, out: &mut Vec<u8>) -> Result<()> {
        self.look(|_| Ok(()))?;
        let look = TreeView {
            tree: &self.tree,
            source: &*self.reader,
        };
        read_frozen(look, &self.reader, ino, (offset, len), out)
    }

    fn read_dir(&self, dir: Ino, after: Option<&[u8]>, limit: usize) -> Result<Vec<DirEntry>> {
        self.look(|look| look.dir_entries(&self.owners, dir, after, limit))
    }

    fn seek(&self, ino: Ino, offset: u64, what: Seek) -> Result<u64> {
        self.look(|look| {
            let size = look.inode(ino)?.size;
            look.seek(ino, size, offset, what, &|_| None)
        })
    }

    fn xattr(&self, ino: Ino, name: &[u8]) -> Result<Vec<u8>> {
        self.look(|look| look.xattr(ino, name))
    }

    fn xattrs(&self, ino: Ino) -> Result<Vec<Vec<u8>>> {
        self.look(|look| look.xattrs(ino))
    }

    fn space(&self) -> Result<Space> {
        let totals = self.tree.totals();
        Ok(Space {
            total: totals.bytes,
            free: 0,
            nodes: totals.nodes,
        })
    }

    fn retain(&self, _: Ino) {}

    fn release(&self, _: Ino, _: u64) {}
}
