//! Looking things up in a tree: the same for the home and for read-only volumes.
//!
//! Nothing here waits unless the [`Source`] given does.

use std::ops::ControlFlow;
use std::sync::Arc;

use safeos_tree::{
    BLOCK_BYTES, Block, Inode, Key, NAME_BYTES_MAX, Source, Tag, Tree, Value, XATTR_BYTES_MAX,
};

use crate::failure::Fault;
use crate::worktree::files::{PAGE_BYTES, Pages, pages};
use crate::worktree::owners::{Owners, is_own_attribute};
use crate::{DirEntry, Error, Ino, Seek};

type Found<T> = Result<T, Fault>;

/// The longest path that is followed upwards, in steps.
const DEPTH_MAX: usize = 4096;

/// A tree and where its nodes come from.
#[derive(Clone, Copy)]
pub(crate) struct TreeView<'a> {
    pub(crate) tree: &'a Tree,
    pub(crate) source: &'a dyn Source,
}

impl TreeView<'_> {
    pub(crate) fn inode(&self, ino: Ino) -> Found<Arc<Inode>> {
        match self.tree.get(self.source, &Key::inode(ino))? {
            Some(Value::Inode(inode)) => Ok(inode),
            _ => Err(Error::NotFound.into()),
        }
    }

    /// An existing entry of `dir` and its inode; [`Error::NotFound`] without one.
    pub(crate) fn named(&self, dir: Ino, name: &[u8]) -> Found<(Ino, Arc<Inode>)> {
        match self.entry(dir, name)? {
            Some((ino, _)) => Ok((ino, self.inode(ino)?)),
            None => {
                self.directory(dir)?;
                Err(Error::NotFound.into())
            }
        }
    }

    /// The target of a symbolic link.
    pub(crate) fn target(&self, ino: Ino) -> Found<Vec<u8>> {
        let inode = self.inode(ino)?;
        match inode.kind {
            safeos_tree::FileKind::Symlink => Ok(inode.target.to_vec()),
            _ => Err(Error::Invalid("this is not a symbolic link").into()),
        }
    }

    pub(crate) fn directory(&self, ino: Ino) -> Found<Arc<Inode>> {
        let inode = self.inode(ino)?;
        match inode.kind {
            safeos_tree::FileKind::Directory => Ok(inode),
            _ => Err(Error::NotDirectory.into()),
        }
    }

    /// The node that `name` in `dir` names. The directory itself is not looked at.
    pub(crate) fn entry(
        &self,
        dir: Ino,
        name: &[u8],
    ) -> Found<Option<(Ino, safeos_tree::FileKind)>> {
        check_name(name)?;
        match self.tree.get(self.source, &Key::entry(dir, name))? {
            Some(Value::Entry { ino, kind }) => Ok(Some((ino, kind))),
            _ => Ok(None),
        }
    }

    pub(crate) fn is_empty(&self, dir: Ino) -> Found<bool> {
        let mut empty = true;
        self.scan(Key::entry(dir, b""), Tag::Entry, &mut |_, _| {
            empty = false;
            ControlFlow::Break(())
        })?;
        Ok(empty)
    }

    /// Visits the items of one kind of an inode, from a key on.
    pub(crate) fn scan(
        &self,
        from: Key,
        tag: Tag,
        visit: &mut dyn FnMut(&Key, &Value) -> ControlFlow<()>,
    ) -> Found<()> {
        let to = Key::after(from.ino, tag);
        Ok(self.tree.scan(self.source, &from, &to, visit)?)
    }

    /// Every item of an inode.
    pub(crate) fn items(&self, ino: Ino) -> Found<Vec<(Key, Value)>> {
        let mut items = Vec::new();
        let to = Key::inode(ino + 1);
        self.tree
            .scan(self.source, &Key::inode(ino), &to, &mut |key, value| {
                items.push((key.clone(), value.clone()));
                ControlFlow::Continue(())
            })?;
        Ok(items)
    }

    /// Names and numbers of a directory's entries after a name.
    pub(crate) fn entries(
        &self,
        dir: Ino,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Found<Vec<(Vec<u8>, Ino)>> {
        let mut entries = Vec::with_capacity(limit.min(1024));
        if limit == 0 {
            return Ok(entries);
        }
        let from = Key::entry(dir, after.unwrap_or(b""));
        self.scan(from, Tag::Entry, &mut |key, value| {
            if let Value::Entry { ino, .. } = value
                && after != Some(&key.name[..])
            {
                entries.push((key.name.to_vec(), *ino));
            }
            if entries.len() < limit {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        Ok(entries)
    }

    /// The directories in a directory.
    pub(crate) fn folders(&self, dir: Ino) -> Found<Vec<Ino>> {
        let mut folders = Vec::new();
        self.scan(Key::entry(dir, b""), Tag::Entry, &mut |_, value| {
            if let Value::Entry { ino, kind } = value
                && *kind == safeos_tree::FileKind::Directory
            {
                folders.push(*ino);
            }
            ControlFlow::Continue(())
        })?;
        Ok(folders)
    }

    /// A block of a file, if it is there.
    pub(crate) fn block(&self, ino: Ino, number: u64) -> Found<Option<Block>> {
        match self.tree.get(self.source, &Key::block(ino, number))? {
            Some(Value::Block(block)) => Ok(Some(block)),
            _ => Ok(None),
        }
    }

    /// The blocks of a file from a number up to another (without).
    pub(crate) fn blocks(&self, ino: Ino, from: u64, to: u64) -> Found<Vec<(u64, Block)>> {
        let mut blocks = Vec::new();
        self.scan(Key::block(ino, from), Tag::Block, &mut |key, value| {
            if key.number >= to {
                return ControlFlow::Break(());
            }
            if let Value::Block(block) = value {
                blocks.push((key.number, block.clone()));
            }
            ControlFlow::Continue(())
        })?;
        Ok(blocks)
    }

    /// The first block at or after `from`: its number, and which of its pages are no holes.
    fn next_block(&self, ino: Ino, from: u64) -> Found<Option<(u64, Pages)>> {
        let mut found = None;
        self.scan(Key::block(ino, from), Tag::Block, &mut |key, value| {
            let len = match value {
                Value::Block(block) => block.len(),
                _ => 0,
            };
            found = Some((key.number, pages(0, len)));
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// See [`crate::Volume::seek`]; `also` gives the first block at or after a number among those that count
    /// in the place of the tree's, as `next_block` does.
    pub(crate) fn seek(
        &self,
        ino: Ino,
        size: u64,
        offset: u64,
        what: Seek,
        also: &dyn Fn(u64) -> Option<(u64, Pages)>,
    ) -> Found<u64> {
        if offset >= size {
            return Err(Error::NoData.into());
        }
        const BLOCK: u64 = BLOCK_BYTES as u64;
        const PAGE: u64 = PAGE_BYTES as u64;
        let mut number = offset / BLOCK;
        loop {
            let stored = self.next_block(ino, number)?;
            let next = match (stored, also(number)) {
                (Some(stored), Some(also)) if stored.0 < also.0 => Some(stored),
                (stored, also) => also.or(stored),
            };
            let Some((found, data)) = next.filter(|(found, _)| found.saturating_mul(BLOCK) < size)
            else {
                return match what {
                    Seek::Data => Err(Error::NoData.into()),
                    Seek::Hole => Ok((number * BLOCK).max(offset)),
                };
            };
            if what == Seek::Hole && number < found {
                return Ok((number * BLOCK).max(offset));
            }
            let wanted = match what {
                Seek::Data => data,
                Seek::Hole => !data,
            };
            // Pages before the one that is asked from do not count.
            let start = found * BLOCK;
            let skip = offset.saturating_sub(start) / PAGE;
            let page = (wanted >> skip).trailing_zeros();
            if page < Pages::BITS {
                let at = offset.max(start + (skip + u64::from(page)) * PAGE);
                return match what {
                    Seek::Data if at >= size => Err(Error::NoData.into()),
                    _ => Ok(at.min(size)),
                };
            }
            number = found + 1;
            if number.saturating_mul(BLOCK) >= size {
                return match what {
                    Seek::Data => Err(Error::NoData.into()),
                    Seek::Hole => Ok(size),
                };
            }
        }
    }

    pub(crate) fn xattr(&self, ino: Ino, name: &[u8]) -> Found<Vec<u8>> {
        check_xattr_name(name)?;
        self.inode(ino)?;
        match self.tree.get(self.source, &Key::xattr(ino, name))? {
            Some(Value::Xattr(value)) => Ok(value.to_vec()),
            _ => Err(Error::NoAttribute.into()),
        }
    }

    pub(crate) fn xattrs(&self, ino: Ino) -> Found<Vec<Vec<u8>>> {
        self.inode(ino)?;
        let mut names = Vec::new();
        self.scan(Key::xattr(ino, b""), Tag::Xattr, &mut |key, _| {
            if !is_own_attribute(&key.name) {
                names.push(key.name.to_vec());
            }
            ControlFlow::Continue(())
        })?;
        Ok(names)
    }

    /// The name that `dir` has for `ino`.
    fn name_in(&self, dir: Ino, ino: Ino) -> Found<Option<Vec<u8>>> {
        let mut name = None;
        self.scan(Key::entry(dir, b""), Tag::Entry, &mut |key, value| {
            if matches!(value, Value::Entry { ino: named, .. } if *named == ino) {
                name = Some(key.name.to_vec());
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        Ok(name)
    }

    /// The path of a node from the root.
    pub(crate) fn path(&self, ino: Ino) -> Found<Vec<u8>> {
        let mut parts = Vec::new();
        let mut at = ino;
        while at != safeos_tree::ROOT {
            let inode = self.inode(at)?;
            let name = match self.name_in(inode.parent, at)? {
                Some(name) => name,
                // One of several names was removed and it was this one: search for another.
                None => {
                    let (parent, name) = self.any_name(at)?.ok_or(Error::NotFound)?;
                    parts.push(name);
                    at = parent;
                    continue;
                }
            };
            parts.push(name);
            at = inode.parent;
            if parts.len() > DEPTH_MAX {
                return Err(Error::NotFound.into());
            }
        }
        parts.reverse();
        Ok(parts.join(&b'/'))
    }

    /// Looks through the whole tree; seldom needed.
    fn any_name(&self, ino: Ino) -> Found<Option<(Ino, Vec<u8>)>> {
        let mut found = None;
        let (from, to) = (Key::inode(safeos_tree::ROOT), Key::inode(Ino::MAX));
        self.tree.scan(self.source, &from, &to, &mut |key, value| {
            if matches!(value, Value::Entry { ino: named, .. } if *named == ino) {
                found = Some((key.ino, key.name.to_vec()));
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// Follows a path of names from the root, without symbolic links.
    pub(crate) fn walk(&self, path: &[u8]) -> Found<Ino> {
        let mut at = safeos_tree::ROOT;
        for name in path.split(|byte| *byte == b'/') {
            if name.is_empty() || name == b"." {
                continue;
            }
            at = self.entry(at, name)?.ok_or(Error::NotFound)?.0;
        }
        Ok(at)
    }

    pub(crate) fn dir_entries(
        &self,
        owners: &Owners,
        dir: Ino,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Found<Vec<DirEntry>> {
        self.directory(dir)?;
        self.entries(dir, after, limit)?
            .into_iter()
            .map(|(name, ino)| {
                Ok(DirEntry {
                    name,
                    attr: owners.attr(*self, ino, &*self.inode(ino)?)?,
                })
            })
            .collect()
    }
}

/// Refuses what cannot be a name.
pub(crate) fn check_name(name: &[u8]) -> Result<(), Error> {
    if name.len() > NAME_BYTES_MAX {
        return Err(Error::NameTooLong);
    }
    if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0)
    {
        return Err(Error::Invalid("this cannot be a file's name"));
    }
    Ok(())
}

pub(crate) fn check_xattr_name(name: &[u8]) -> Result<(), Error> {
    if name.len() > NAME_BYTES_MAX {
        return Err(Error::NameTooLong);
    }
    if name.is_empty() || name.contains(&0) {
        return Err(Error::Invalid("this cannot be an attribute's name"));
    }
    Ok(())
}

pub(crate) fn check_xattr_value(value: &[u8]) -> Result<(), Error> {
    if value.len() > XATTR_BYTES_MAX {
        return Err(Error::ValueTooLarge);
    }
    Ok(())
}
