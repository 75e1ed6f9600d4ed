//! Names: making, linking, removing and renaming nodes.

use std::sync::Arc;

use bytes::Bytes;
use safeos_tree::{Batch, FileKind as TreeKind, Inode, Key, Owner, TARGET_BYTES_MAX, Value};

use crate::failure::Fault;
use crate::worktree::home::{Home, now, put_inode};
use crate::worktree::tree_view::{TreeView, check_name};
use crate::{Attr, Error, FileKind, Ino, Nanos, NewNode, RenameMode, Result, SetAttr};

const SET_GROUP_ID: u16 = 0o2000;
/// Items of a removed node that go in one change at most.
const REMOVE_MAX: usize = 4096;
/// Items of a removed node that go together with its name.
const REMOVE_AT_ONCE: usize = 64;
/// The deepest chain of directories that a rename looks up through.
const DEPTH_MAX: usize = 1 << 16;

/// Inodes that a plan changes, each once.
struct Plan<'a> {
    look: TreeView<'a>,
    home: &'a Home,
    now: Nanos,
    inodes: Vec<(Ino, Inode)>,
    batch: Batch,
}

impl<'a> Plan<'a> {
    fn new(look: TreeView<'a>, home: &'a Home) -> Self {
        Self {
            look,
            home,
            now: now(),
            inodes: Vec::new(),
            batch: Batch::new(),
        }
    }

    fn inode(&mut self, ino: Ino) -> Result<&mut Inode, Fault> {
        let index = match self.inodes.iter().position(|(known, _)| *known == ino) {
            Some(index) => index,
            None => {
                let inode = self.look.inode(ino)?.as_ref().clone();
                self.inodes.push((ino, inode));
                self.inodes.len() - 1
            }
        };
        Ok(&mut self.inodes[index].1)
    }

    /// The directory, which gets or loses a name.
    fn edit_directory(&mut self, dir: Ino) -> Result<&mut Inode, Fault> {
        let now = self.now;
        let inode = self.inode(dir)?;
        if inode.kind != TreeKind::Directory {
            return Err(Error::NotDirectory.into());
        }
        if inode.nlink == 0 {
            return Err(Error::NotFound.into());
        }
        inode.mtime = now;
        inode.ctime = now;
        Ok(inode)
    }

    fn set_entry(&mut self, dir: Ino, name: &[u8], node: Option<(Ino, TreeKind)>) {
        let value = node.map(|(ino, kind)| Value::Entry { ino, kind });
        self.batch.push((Key::entry(dir, name), value));
    }

    /// Takes one name from a node; whether that was the last. A small unused node is removed at once.
    fn drop_name(&mut self, ino: Ino) -> Result<bool, Fault> {
        let now = self.now;
        let inode = self.inode(ino)?;
        inode.nlink = match inode.kind {
            TreeKind::Directory => 0,
            _ => inode.nlink.saturating_sub(1),
        };
        inode.ctime = now;
        if inode.nlink > 0 {
            return Ok(false);
        }
        if !self.home.is_pinned(ino) {
            let items = self.look.tree_items(ino, REMOVE_AT_ONCE + 1)?;
            if items.len() <= REMOVE_AT_ONCE {
                self.inodes.retain(|(other, _)| *other != ino);
                self.batch.extend(items.into_iter().map(|key| (key, None)));
            }
        }
        Ok(true)
    }

    fn finish<T>(mut self, answer: T) -> (Batch, T) {
        for (ino, inode) in self.inodes {
            self.batch.push(put_inode(ino, inode));
        }
        (self.batch, answer)
    }
}

impl Home {
    pub(crate) fn make(&self, dir: Ino, name: &[u8], node: &NewNode<'_>) -> Result<Attr> {
        check_name(name)?;
        if node.kind == FileKind::Symlink {
            if node.target.is_empty() || node.target.contains(&0) {
                return Err(Error::Invalid("this cannot be a link's target"));
            }
            if node.target.len() > TARGET_BYTES_MAX {
                return Err(Error::NameTooLong);
            }
        }
        let ino = self.number()?;
        self.change(|look| {
            let mut plan = Plan::new(look, self);
            let now = plan.now;
            let parent = plan.edit_directory(dir)?;
            let inherits = parent.perm & SET_GROUP_ID != 0;
            let (uid, gid) = self.owners.maker(node.uid, node.gid);
            let gid = if inherits { parent.gid } else { gid };
            let mut perm = node.perm & 0o7777;
            let directory = node.kind == FileKind::Directory;
            if directory {
                parent.nlink = parent.nlink.checked_add(1).ok_or(Error::TooManyLinks)?;
                if inherits {
                    perm |= SET_GROUP_ID;
                }
            }
            if look.entry(dir, name)?.is_some() {
                return Err(Error::Exists.into());
            }
            let kind = node.kind;
            let symlink = node.kind == FileKind::Symlink;
            let inode = Inode {
                nlink: if directory { 2 } else { 1 },
                rdev: node.rdev,
                size: if symlink { node.target.len() as u64 } else { 0 },
                target: if symlink {
                    Bytes::copy_from_slice(node.target)
                } else {
                    Bytes::new()
                },
                ..empty_inode(kind, perm, (uid, gid), dir, now)
            };
            let made = self.owners.attr(look, ino, &inode)?;
            plan.inodes.push((ino, inode));
            plan.set_entry(dir, name, Some((ino, kind)));
            Ok(plan.finish(made))
        })
    }

    /// Gives an orphan its first name, and `links`. With `replace` the node that has the name loses it and is left to
    /// be cleared away, a directory with everything in it.
    pub(crate) fn adopt(
        &self,
        ino: Ino,
        links: u32,
        dir: Ino,
        name: &[u8],
        replace: bool,
    ) -> Result<Option<Ino>> {
        check_name(name)?;
        self.change(|look| {
            let mut plan = Plan::new(look, self);
            let now = plan.now;
            let there = look.entry(dir, name)?;
            if there.is_some() && !replace {
                return Err(Error::Exists.into());
            }
            let inode = plan.inode(ino)?;
            inode.nlink = links;
            inode.parent = dir;
            inode.ctime = now;
            let kind = inode.kind;
            let parent = plan.edit_directory(dir)?;
            if kind == TreeKind::Directory {
                parent.nlink = parent.nlink.checked_add(1).ok_or(Error::TooManyLinks)?;
            }
            let mut replaced = None;
            if let Some((old, old_kind)) = there {
                if old_kind == TreeKind::Directory {
                    parent.nlink = parent.nlink.saturating_sub(1);
                    // Not with its entries: they are found through it.
                    let inode = plan.inode(old)?;
                    inode.nlink = 0;
                    inode.ctime = now;
                    replaced = Some(old);
                } else if plan.drop_name(old)? {
                    replaced = Some(old);
                }
            }
            plan.set_entry(dir, name, Some((ino, kind)));
            Ok(plan.finish(replaced))
        })
    }

    /// Takes a name out of an orphaned directory, and its node if that was the last name. Of the directory itself
    /// nothing changes: a replay that finds no such directory makes none.
    pub(crate) fn unname(&self, dir: Ino, name: &[u8]) -> Result<()> {
        let last = self.change(|look| {
            let mut plan = Plan::new(look, self);
            let Some((ino, _)) = look.entry(dir, name)? else {
                return Ok((Batch::new(), None));
            };
            plan.set_entry(dir, name, None);
            // A part of a restored tree may have a name before it is there.
            let is_there = look.tree.get(look.source, &Key::inode(ino))?.is_some();
            let last = is_there && plan.drop_name(ino)?;
            Ok(plan.finish(last.then_some(ino)))
        })?;
        self.dispose(last)
    }

    pub(crate) fn link_node(&self, ino: Ino, dir: Ino, name: &[u8]) -> Result<()> {
        check_name(name)?;
        self.change(|look| {
            let mut plan = Plan::new(look, self);
            let now = plan.now;
            plan.edit_directory(dir)?;
            let inode = plan.inode(ino)?;
            if inode.kind == TreeKind::Directory {
                return Err(Error::NotPermitted.into());
            }
            if inode.nlink == 0 {
                return Err(Error::NotFound.into());
            }
            inode.nlink = inode.nlink.checked_add(1).ok_or(Error::TooManyLinks)?;
            inode.ctime = now;
            inode.parent = dir;
            let kind = inode.kind;
            if look.entry(dir, name)?.is_some() {
                return Err(Error::Exists.into());
            }
            plan.set_entry(dir, name, Some((ino, kind)));
            Ok(plan.finish(()))
        })
    }

    pub(crate) fn unlink_name(&self, dir: Ino, name: &[u8]) -> Result<()> {
        let last = self.change(|look| {
            let mut plan = Plan::new(look, self);
            plan.edit_directory(dir)?;
            let (ino, kind) = look.entry(dir, name)?.ok_or(Error::NotFound)?;
            if kind == TreeKind::Directory {
                return Err(Error::IsDirectory.into());
            }
            let last = plan.drop_name(ino)?;
            plan.set_entry(dir, name, None);
            Ok(plan.finish(last.then_some(ino)))
        })?;
        self.dispose(last)
    }

    pub(crate) fn remove_directory(&self, dir: Ino, name: &[u8]) -> Result<()> {
        let gone = self.change(|look| {
            let mut plan = Plan::new(look, self);
            let parent = plan.edit_directory(dir)?;
            parent.nlink = parent.nlink.saturating_sub(1);
            let (ino, kind) = look.entry(dir, name)?.ok_or(Error::NotFound)?;
            if kind != TreeKind::Directory {
                return Err(Error::NotDirectory.into());
            }
            if !look.is_empty(ino)? {
                return Err(Error::NotEmpty.into());
            }
            plan.drop_name(ino)?;
            plan.set_entry(dir, name, None);
            Ok(plan.finish(ino))
        })?;
        self.dispose(Some(gone))
    }

    pub(crate) fn rename_node(
        &self,
        from: (Ino, &[u8]),
        to: (Ino, &[u8]),
        mode: RenameMode,
    ) -> Result<()> {
        check_name(from.1)?;
        check_name(to.1)?;
        // As ext4 does: a file that takes the place of another brings its content along, so that a
        // crash right after leaves the old or the new, never an empty one.
        if mode.replaces()
            && let Ok(Some((ino, _))) = self.look(|look| look.entry(from.0, from.1))
        {
            self.log_file(ino)?;
        }
        let whiteout = match mode {
            RenameMode::Whiteout { .. } => Some(self.number()?),
            _ => None,
        };
        let gone = self.change(|look| rename(Plan::new(look, self), from, to, mode, whiteout))?;
        self.dispose(gone)
    }

    /// Removes a node without names, now or when it is no longer in use.
    pub(crate) fn dispose(&self, ino: Option<Ino>) -> Result<()> {
        match ino {
            Some(ino) if !self.is_pinned(ino) => self.reap(ino),
            _ => Ok(()),
        }
    }

    /// Removes everything of an orphan.
    pub(crate) fn reap(&self, ino: Ino) -> Result<()> {
        self.files.drop_file(ino);
        while self.work.read().orphans.contains(&ino) {
            self.change(|look| {
                let mut items = look.tree_items(ino, REMOVE_MAX + 1)?;
                if items.len() > REMOVE_MAX {
                    // The inode comes first among its items: it goes last.
                    items.truncate(REMOVE_MAX);
                    items.remove(0);
                }
                Ok((items.into_iter().map(|key| (key, None)).collect(), ()))
            })?;
        }
        Ok(())
    }

    /// Takes pins from a node, which goes if it has no name and this was the last.
    pub(crate) fn release_node(&self, ino: Ino, count: u64) {
        if self.unpin(ino, count)
            && self.work.read().orphans.contains(&ino)
            && let Err(error) = self.clear(ino)
            && !matches!(error, Error::Ended)
        {
            self.problems
                .add(format!("a removed file could not be freed: {error}"));
        }
    }

    pub(crate) fn set_attributes(&self, ino: Ino, change: &SetAttr) -> Result<()> {
        if let Some(size) = change.size {
            self.resize(ino, size)?;
        }
        let others = SetAttr {
            size: None,
            ..*change
        };
        if others == SetAttr::default() {
            return Ok(());
        }
        // Times of writes that are still in memory must not come later and win.
        if let Some(file) = self.files.get(ino) {
            let mut state = file.state.lock();
            if let Some(mtime) = state.mtime.take()
                && change.mtime.is_none()
            {
                state.mtime = Some(mtime);
            }
            state.ctime = None;
        }
        self.change(|look| {
            let mut plan = Plan::new(look, self);
            let now = plan.now;
            let inode = plan.inode(ino)?;
            inode.perm = change.perm.map_or(inode.perm, |perm| perm & 0o7777);
            inode.atime = change.atime.unwrap_or(inode.atime);
            inode.mtime = change.mtime.unwrap_or(inode.mtime);
            inode.ctime = change.ctime.unwrap_or(now);
            let given = (change.uid, change.gid);
            let besides = self.owners.give(look, ino, inode, given)?;
            plan.batch.extend(besides);
            Ok(plan.finish(()))
        })
    }

    pub(crate) fn change_xattr(
        &self,
        ino: Ino,
        name: &[u8],
        mut plan_value: impl FnMut(Option<&[u8]>) -> Result<Option<Bytes>>,
    ) -> Result<()> {
        self.change(|look| {
            let mut plan = Plan::new(look, self);
            let now = plan.now;
            plan.inode(ino)?.ctime = now;
            let key = Key::xattr(ino, name);
            let old = match look.tree.get(look.source, &key)? {
                Some(Value::Xattr(value)) => Some(value),
                _ => None,
            };
            let value = plan_value(old.as_deref())?;
            plan.batch.push((key, value.map(Value::Xattr)));
            Ok(plan.finish(()))
        })
    }
}

impl TreeView<'_> {
    /// The keys of the first items of an inode.
    fn tree_items(&self, ino: Ino, limit: usize) -> Result<Vec<Key>, Fault> {
        let mut keys = Vec::new();
        let to = Key::inode(ino + 1);
        self.tree
            .scan(self.source, &Key::inode(ino), &to, &mut |key, _| {
                keys.push(key.clone());
                if keys.len() < limit {
                    std::ops::ControlFlow::Continue(())
                } else {
                    std::ops::ControlFlow::Break(())
                }
            })?;
        Ok(keys)
    }

    /// Whether `dir` is `above` or below it.
    fn is_within(&self, dir: Ino, above: Ino) -> Result<bool, Fault> {
        let mut at = dir;
        for _ in 0..DEPTH_MAX {
            if at == above {
                return Ok(true);
            }
            if at == safeos_tree::ROOT {
                return Ok(false);
            }
            at = self.inode(at)?.parent;
        }
        Err(Error::Invalid("the folders are nested too deeply").into())
    }
}

/// Plans a rename: the node that has lost its last name by it. The number `whiteout` is for the whiteout at the old
/// name.
fn rename(
    mut plan: Plan<'_>,
    from: (Ino, &[u8]),
    to: (Ino, &[u8]),
    mode: RenameMode,
    whiteout: Option<Ino>,
) -> Result<(Batch, Option<Ino>), Fault> {
    let look = plan.look;
    plan.edit_directory(from.0)?;
    plan.edit_directory(to.0)?;
    let (ino, kind) = look.entry(from.0, from.1)?.ok_or(Error::NotFound)?;
    let target = look.entry(to.0, to.1)?;
    let directory = kind == TreeKind::Directory;
    if directory && look.is_within(to.0, ino)? {
        return Err(Error::Invalid("a folder cannot be moved into itself").into());
    }
    let now = plan.now;
    if mode == RenameMode::Exchange {
        let (other, other_kind) = target.ok_or(Error::NotFound)?;
        let other_directory = other_kind == TreeKind::Directory;
        if other_directory && look.is_within(from.0, other)? {
            return Err(Error::Invalid("a folder cannot be moved into itself").into());
        }
        if ino == other {
            return Ok((Batch::new(), None));
        }
        plan.set_entry(from.0, from.1, Some((other, other_kind)));
        plan.set_entry(to.0, to.1, Some((ino, kind)));
        for (node, parent) in [(ino, to.0), (other, from.0)] {
            let inode = plan.inode(node)?;
            inode.ctime = now;
            inode.parent = parent;
        }
        if directory != other_directory {
            let (loses, gains) = if directory {
                (from.0, to.0)
            } else {
                (to.0, from.0)
            };
            move_link(&mut plan, loses, gains)?;
        }
        return Ok(plan.finish(None));
    }
    let mut gone = None;
    if let Some((other, other_kind)) = target {
        if !mode.replaces() {
            return Err(Error::Exists.into());
        }
        if other == ino {
            return Ok((Batch::new(), None));
        }
        let other_directory = other_kind == TreeKind::Directory;
        match (directory, other_directory) {
            (true, false) => return Err(Error::NotDirectory.into()),
            (false, true) => return Err(Error::IsDirectory.into()),
            _ => {}
        }
        if other_directory {
            if !look.is_empty(other)? {
                return Err(Error::NotEmpty.into());
            }
            let parent = plan.inode(to.0)?;
            parent.nlink = parent.nlink.saturating_sub(1);
        }
        if plan.drop_name(other)? {
            gone = Some(other);
        }
    }
    plan.set_entry(to.0, to.1, Some((ino, kind)));
    let inode = plan.inode(ino)?;
    inode.ctime = now;
    inode.parent = to.0;
    let owner = (inode.uid, inode.gid);
    let left = whiteout.map(|number| {
        let kind = TreeKind::CharDevice;
        plan.inodes
            .push((number, whiteout_inode(from.0, owner, now)));
        (number, kind)
    });
    plan.set_entry(from.0, from.1, left);
    if directory {
        move_link(&mut plan, from.0, to.0)?;
    }
    Ok(plan.finish(gone))
}

/// A subdirectory's `..` counts as a link of the directory it is in.
fn move_link(plan: &mut Plan<'_>, loses: Ino, gains: Ino) -> Result<(), Fault> {
    if loses != gains {
        let parent = plan.inode(loses)?;
        parent.nlink = parent.nlink.saturating_sub(1);
        let parent = plan.inode(gains)?;
        parent.nlink = parent.nlink.checked_add(1).ok_or(Error::TooManyLinks)?;
    }
    Ok(())
}

/// The node that an overlay takes for the absence of a name.
fn whiteout_inode(dir: Ino, owner: (Owner, Owner), now: Nanos) -> Inode {
    empty_inode(TreeKind::CharDevice, 0, owner, dir, now)
}

/// The root directory of a new home.
pub(crate) fn root_inode() -> Inode {
    let owner = (Owner::Person, Owner::Person);
    Inode {
        nlink: 2,
        ..empty_inode(TreeKind::Directory, 0o700, owner, safeos_tree::ROOT, now())
    }
}

/// A node with one name and nothing in it.
fn empty_inode(
    kind: TreeKind,
    perm: u16,
    (uid, gid): (Owner, Owner),
    parent: Ino,
    now: Nanos,
) -> Inode {
    Inode {
        kind,
        perm,
        nlink: 1,
        uid,
        gid,
        rdev: 0,
        size: 0,
        allocated: 0,
        atime: now,
        mtime: now,
        ctime: now,
        btime: now,
        parent,
        target: Bytes::new(),
    }
}

/// The batch that makes the root directory.
pub(crate) fn root_batch() -> Batch {
    vec![(
        Key::inode(safeos_tree::ROOT),
        Some(Value::Inode(Arc::new(root_inode()))),
    )]
}
