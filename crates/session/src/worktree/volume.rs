//! The home as a volume: the calls of a front, one by one.

use bytes::Bytes;
use safeos_tree::{FileKind as TreeKind, Inode};

use crate::worktree::home::Home;
use crate::worktree::tree_view::{check_xattr_name, check_xattr_value};
use crate::{
    Allocate, Attr, DirEntry, Error, Ino, NewNode, RenameMode, Result, Seek, SetAttr, Space,
    Volume, XattrMode,
};

/// The free space that `statfs` shows where it is unknown: 16 TiB.
const SPACE_BYTES: u64 = 1 << 44;

impl Home {
    fn attributes(&self, ino: Ino) -> Result<Attr> {
        self.shown(ino, &self.inode(ino)?)
    }

    fn shown(&self, ino: Ino, inode: &Inode) -> Result<Attr> {
        match self.owners.attr_at_once(ino, inode) {
            Some(attr) => Ok(attr),
            None => self.look(|look| self.owners.attr(look, ino, inode)),
        }
    }

    /// No space can be set aside; but a range that does not fit now is refused before a program relies on it.
    fn check_room(&self, ino: Ino, len: u64) -> Result<()> {
        let held = self.attributes(ino)?.blocks.saturating_mul(512);
        let free = self.space()?.free;
        if len > free.saturating_add(held) {
            return Err(Error::Full(format!(
                "no room for {len} bytes: {free} are free"
            )));
        }
        Ok(())
    }
}

impl Volume for Home {
    fn root(&self) -> Ino {
        safeos_tree::ROOT
    }

    fn lookup(&self, dir: Ino, name: &[u8]) -> Result<Attr> {
        let found = self.look(|look| look.named(dir, name));
        let (ino, inode) = self.explain(dir, found)?;
        if inode.kind == TreeKind::File && self.files.get(ino).is_some() {
            return self.attributes(ino);
        }
        let shown = self.shown(ino, &inode);
        self.explain(ino, shown)
    }

    fn attr(&self, ino: Ino) -> Result<Attr> {
        self.explain(ino, self.attributes(ino))
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
        let read = self.read_content(ino, offset, len, out);
        self.explain(ino, read)
    }

    fn read_dir(&self, dir: Ino, after: Option<&[u8]>, limit: usize) -> Result<Vec<DirEntry>> {
        let entries = self.look(|look| look.dir_entries(&self.owners, dir, after, limit));
        let mut entries = self.explain(dir, entries)?;
        for entry in &mut entries {
            if self.files.get(entry.attr.ino).is_some()
                && let Ok(attr) = self.attributes(entry.attr.ino)
            {
                entry.attr = attr;
            }
        }
        Ok(entries)
    }

    fn seek(&self, ino: Ino, offset: u64, what: Seek) -> Result<u64> {
        self.seek_content(ino, offset, what)
    }

    fn xattr(&self, ino: Ino, name: &[u8]) -> Result<Vec<u8>> {
        self.look(|look| look.xattr(ino, name))
    }

    fn xattrs(&self, ino: Ino) -> Result<Vec<Vec<u8>>> {
        self.look(|look| look.xattrs(ino))
    }

    fn space(&self) -> Result<Space> {
        self.alive()?;
        let totals = self.work.read().tree.totals();
        let dirty = self.files.dirty_bytes() as u64;
        // Data that is still in memory is going to take some of it.
        let free = self
            .room()
            .map_or(SPACE_BYTES, |room| room.free)
            .saturating_sub(dirty);
        Ok(Space {
            total: (totals.bytes + dirty).saturating_add(free),
            free,
            nodes: totals.nodes,
        })
    }

    fn retain(&self, ino: Ino) {
        self.pin(ino);
    }

    fn release(&self, ino: Ino, count: u64) {
        self.release_node(ino, count);
    }

    fn set_attr(&self, ino: Ino, change: &SetAttr) -> Result<Attr> {
        let _changing = self.shrinking()?;
        let done = self.set_attributes(ino, change);
        self.explain(ino, done)?;
        self.attributes(ino)
    }

    fn create(&self, dir: Ino, name: &[u8], node: &NewNode<'_>) -> Result<Attr> {
        let _changing = self.growing()?;
        self.make(dir, name, node)
    }

    fn link(&self, ino: Ino, dir: Ino, name: &[u8]) -> Result<Attr> {
        let _changing = self.growing()?;
        self.link_node(ino, dir, name)?;
        self.attributes(ino)
    }

    fn unlink(&self, dir: Ino, name: &[u8]) -> Result<()> {
        let _changing = self.shrinking()?;
        self.unlink_name(dir, name)
    }

    fn rmdir(&self, dir: Ino, name: &[u8]) -> Result<()> {
        let _changing = self.shrinking()?;
        self.remove_directory(dir, name)
    }

    fn rename(&self, from: (Ino, &[u8]), to: (Ino, &[u8]), mode: RenameMode) -> Result<()> {
        let _changing = self.shrinking()?;
        self.rename_node(from, to, mode)
    }

    fn write(&self, ino: Ino, offset: Option<u64>, data: &[u8]) -> Result<u64> {
        let _changing = self.growing()?;
        let written = self.write_content(ino, offset, data);
        self.explain(ino, written)
    }

    fn write_back(&self, ino: Ino, offset: u64, data: &[u8]) -> Result<()> {
        let _changing = self.growing()?;
        let written = self.put_content(ino, Some(offset), data, false);
        self.explain(ino, written.map(drop))
    }

    fn allocate(&self, ino: Ino, offset: u64, len: u64, what: Allocate) -> Result<()> {
        let _changing = match what {
            Allocate::PunchHole => self.shrinking()?,
            _ => self.growing()?,
        };
        if matches!(what, Allocate::Reserve { .. }) {
            self.check_room(ino, len)?;
        }
        let done = self.allocate_content(ino, offset, len, what);
        self.explain(ino, done)
    }

    fn set_xattr(&self, ino: Ino, name: &[u8], value: &[u8], mode: XattrMode) -> Result<()> {
        let _changing = self.growing()?;
        check_xattr_name(name)?;
        check_xattr_value(value)?;
        let value = Bytes::copy_from_slice(value);
        self.change_xattr(ino, name, |old| match (mode, old) {
            (XattrMode::Create, Some(_)) => Err(Error::Exists),
            (XattrMode::Replace, None) => Err(Error::NoAttribute),
            _ => Ok(Some(value.clone())),
        })
    }

    fn remove_xattr(&self, ino: Ino, name: &[u8]) -> Result<()> {
        let _changing = self.shrinking()?;
        check_xattr_name(name)?;
        self.change_xattr(ino, name, |old| match old {
            Some(_) => Ok(None),
            None => Err(Error::NoAttribute),
        })
    }

    fn sync(&self, ino: Ino) -> Result<()> {
        if self.stage.refusal().is_some() {
            // Nothing was changed here.
            return self.alive();
        }
        let _changing = self.changing()?;
        self.sync_node(ino)
    }
}
