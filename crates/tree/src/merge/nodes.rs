//! Which content and attributes a node has: the rules of a merge below the names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::Result;
use crate::item::{Block, FileKind, Ino, Inode, Key, ROOT, Tag, Value};

use super::both::items_of;
use super::changes::{Named, NodeChange};
use super::names::inode;
use super::{ConflictKind, Merge};

impl Merge<'_> {
    /// Decides what every node that either side touched, or that gained or lost names, comes to.
    pub(super) fn settle_nodes(&mut self) -> Result<()> {
        // Copies of ours get names of their own first, so that all links can be counted afterwards.
        let both: Vec<Ino> = self
            .t
            .nodes
            .keys()
            .filter(|ino| self.o.nodes.contains_key(ino))
            .copied()
            .collect();
        let mut torn = BTreeSet::new();
        for ino in both {
            if self.names.lives(ino)? && self.is_torn(ino)? {
                torn.insert(ino);
            }
        }
        let names = self.names.find_names(&torn)?;
        for ino in &torn {
            self.copy_ours(*ino, names.get(ino).ok_or_else(Self::torn)?)?;
        }
        let touched: BTreeSet<Ino> = self
            .t
            .nodes
            .keys()
            .chain(self.o.nodes.keys())
            .copied()
            .chain(self.names.touched())
            .collect();
        for ino in touched {
            // Copies are settled already.
            if !self.items.contains_key(&Key::inode(ino)) {
                self.settle(ino, torn.contains(&ino))?;
            }
        }
        for (ours, theirs) in std::mem::take(&mut self.joined) {
            self.join_xattrs(ours, theirs)?;
        }
        Ok(())
    }

    fn settle(&mut self, ino: Ino, torn: bool) -> Result<()> {
        let ours = self.names.inode(ino)?;
        let theirs = inode(self.theirs, self.source, ino)?;
        if !self.names.lives(ino)? {
            return self.settle_nameless(ino, ours, theirs);
        }
        // A node of ours that was deleted and is only open still has no say in the result.
        let ours_named = ours.clone().filter(|ours| ours.nlink > 0);
        let mut result = match (ours_named, &theirs) {
            (Some(ours), Some(theirs)) => self.settle_both(ino, &ours, theirs, torn)?,
            (Some(ours), None) => (*ours).clone(),
            (None, Some(theirs)) => {
                if ours.is_some() {
                    self.remove_items(ino)?;
                }
                for (key, value) in items_of(self.theirs, self.source, ino)? {
                    self.items.insert(key, Some(value));
                }
                (**theirs).clone()
            }
            (None, None) => return Err(Self::torn()),
        };
        if result.kind == FileKind::Directory {
            let links = self.names.subdirectories(ino)?.saturating_add(2);
            result.nlink = u32::try_from(links).unwrap_or(u32::MAX);
            if ino != ROOT
                && let Some(holder) = self.names.holder(ino)?
            {
                result.parent = holder;
            }
        } else {
            result.nlink = u32::try_from(self.names.links(ino)?).unwrap_or(u32::MAX);
            let theirs_parent = theirs.map(|theirs| theirs.parent);
            if let Some(theirs) = theirs_parent
                && self.is_untouched_by_ours(ino)
            {
                result.parent = theirs;
            } else if let Some(parent) = self.parent_hint(ino, result.parent, theirs_parent)? {
                result.parent = parent;
            }
        }
        self.items
            .insert(Key::inode(ino), Some(Value::Inode(Arc::new(result))));
        Ok(())
    }

    fn settle_nameless(
        &mut self,
        ino: Ino,
        ours: Option<Arc<Inode>>,
        theirs: Option<Arc<Inode>>,
    ) -> Result<()> {
        match (ours, theirs) {
            // Deleted while open, here: the session knows when it can go.
            (Some(ours), _) if ours.nlink == 0 => {}
            (Some(ours), _) => {
                if self.naming.in_use(ino) {
                    let mut orphan = (*ours).clone();
                    orphan.nlink = 0;
                    self.items
                        .insert(Key::inode(ino), Some(Value::Inode(Arc::new(orphan))));
                } else {
                    self.remove_items(ino)?;
                }
            }
            // Made and deleted while open, there.
            (None, Some(theirs)) if theirs.nlink == 0 && !self.o.nodes.contains_key(&ino) => {
                for (key, value) in items_of(self.theirs, self.source, ino)? {
                    self.items.insert(key, Some(value));
                }
            }
            (None, _) => {}
        }
        Ok(())
    }

    fn remove_items(&mut self, ino: Ino) -> Result<()> {
        for (key, _) in items_of(self.names.ours, self.source, ino)? {
            self.items.insert(key, None);
        }
        Ok(())
    }

    /// A node that both sides have: content of the side that changed it (theirs if both did), fields and
    /// attributes one by one.
    fn settle_both(&mut self, ino: Ino, ours: &Inode, theirs: &Inode, torn: bool) -> Result<Inode> {
        let Some(change) = self.t.nodes.get(&ino) else {
            return Ok(ours.clone());
        };
        let untouched = NodeChange::default();
        let own = self.o.nodes.get(&ino).unwrap_or(&untouched);
        let before = match (&change.inode, &own.inode) {
            (Some((before, _)), _) | (None, Some((before, _))) => before.clone(),
            (None, None) => Some(Arc::new(ours.clone())),
        };
        let take_content = torn || (change.content() && !own.content());
        let mut result = merge_fields(before.as_deref(), ours, theirs);
        let content = if take_content { theirs } else { ours };
        result.size = content.size;
        result.allocated = content.allocated;
        result.target = content.target.clone();
        result.kind = content.kind;
        result.rdev = content.rdev;
        if torn {
            result.mtime = theirs.mtime;
        }
        if take_content {
            for key in change.blocks.keys().chain(own.blocks.keys()) {
                self.items
                    .insert(key.clone(), value_at(key, change, own).cloned());
            }
        }
        for (key, (_, now)) in &change.xattrs {
            if !own.xattrs.contains_key(key) {
                self.items.insert(key.clone(), now.clone());
            }
        }
        Ok(result)
    }

    /// Whether both sides changed a file's content, and not to the same.
    fn is_torn(&self, ino: Ino) -> Result<bool> {
        let (Some(own), Some(change)) = (self.o.nodes.get(&ino), self.t.nodes.get(&ino)) else {
            return Ok(false);
        };
        if !own.content() || !change.content() {
            return Ok(false);
        }
        let ours = self.names.inode(ino)?;
        let theirs = inode(self.theirs, self.source, ino)?;
        let (Some(ours), Some(theirs)) = (ours, theirs) else {
            return Ok(false);
        };
        if ours.kind == FileKind::Directory && theirs.kind == FileKind::Directory {
            return Ok(false);
        }
        if ours.nlink == 0 || theirs.nlink == 0 {
            return Ok(false);
        }
        if body(&ours) != body(&theirs) {
            return Ok(true);
        }
        Ok(own
            .blocks
            .keys()
            .chain(change.blocks.keys())
            .any(|key| !same_content(value_at(key, own, change), value_at(key, change, own))))
    }

    /// Makes a node of its own of our version of a file, beside it.
    fn copy_ours(&mut self, ino: Ino, at: &Key) -> Result<()> {
        let ours = self.names.inode(ino)?.ok_or_else(Self::torn)?;
        let copy = Named {
            ino: self.naming.fresh_ino()?,
            kind: ours.kind,
        };
        let name = self.place_beside(at, copy)?;
        for (mut key, value) in items_of(self.names.ours, self.source, ino)? {
            key.ino = copy.ino;
            self.items.insert(key, Some(value));
        }
        let mut inode = (*ours).clone();
        inode.nlink = 1;
        inode.parent = name.ino;
        self.items
            .insert(Key::inode(copy.ino), Some(Value::Inode(Arc::new(inode))));
        self.note(at.clone(), Some(name), ConflictKind::BothChanged);
        Ok(())
    }

    fn is_untouched_by_ours(&self, ino: Ino) -> bool {
        !self.o.nodes.contains_key(&ino)
            && self.o.gained(ino).is_empty()
            && self.o.lost(ino).is_empty()
    }

    /// A directory that holds a name of the file, if the hint may be wrong.
    fn parent_hint(&self, ino: Ino, hint: Ino, theirs: Option<Ino>) -> Result<Option<Ino>> {
        let mut holders: Vec<Ino> = self.names.given(ino).map(|key| key.ino).collect();
        for key in self.o.gained(ino) {
            if self.names.get(key)?.is_some_and(|named| named.ino == ino) {
                holders.push(key.ino);
            }
        }
        if let Some(theirs) = theirs.filter(|theirs| holders.contains(theirs)) {
            return Ok(Some(theirs));
        }
        Ok(if holders.contains(&hint) {
            None
        } else {
            holders.first().copied()
        })
    }

    /// Attributes of a directory that became one with another go to it, if it has none of that name.
    fn join_xattrs(&mut self, ours: Ino, theirs: Ino) -> Result<()> {
        for (mut key, value) in items_of(self.names.ours, self.source, ours)? {
            if key.tag != Tag::Xattr {
                continue;
            }
            key.ino = theirs;
            let there = match self.items.get(&key) {
                Some(value) => value.clone(),
                None => self.names.ours.get(self.source, &key)?,
            };
            if there.is_none() {
                self.items.insert(key, Some(value));
            }
        }
        Ok(())
    }

    /// Whether two things are the same but for their times and names.
    pub(super) fn is_same(&self, ours: Named, theirs: Named) -> Result<bool> {
        if ours.kind != theirs.kind || ours.is_directory() {
            return Ok(false);
        }
        let (Some(a), Some(b)) = (
            self.names.inode(ours.ino)?,
            inode(self.theirs, self.source, theirs.ino)?,
        ) else {
            return Ok(false);
        };
        let fields = |inode: &Inode| (inode.perm, inode.uid, inode.gid);
        if body(&a) != body(&b) || fields(&a) != fields(&b) {
            return Ok(false);
        }
        let place = |(key, value): (Key, Value)| ((key.tag, key.number, key.name), value);
        let mut a: BTreeMap<_, _> = items_of(self.names.ours, self.source, ours.ino)?
            .into_iter()
            .map(place)
            .collect();
        let b = items_of(self.theirs, self.source, theirs.ino)?;
        for (at, value) in b.into_iter().map(place) {
            if at.0 != Tag::Inode && !same_content(a.remove(&at).as_ref(), Some(&value)) {
                return Ok(false);
            }
        }
        Ok(a.keys().all(|(tag, ..)| *tag == Tag::Inode))
    }
}

/// The parts of a node's content, its blocks apart.
fn body(inode: &Inode) -> (FileKind, u64, u32, &[u8]) {
    (inode.kind, inode.size, inode.rdev, &inode.target)
}

/// Blocks may be stored in different packs and be the same.
fn same_content(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a, b) {
        (
            Some(Value::Block(Block::Stored { at: a, len: a_len })),
            Some(Value::Block(Block::Stored { at: b, len: b_len })),
        ) => (a.hash, a_len) == (b.hash, b_len),
        _ => a == b,
    }
}

/// The value that one side has at a key that one of the two changed.
fn value_at<'a>(key: &Key, side: &'a NodeChange, other: &'a NodeChange) -> Option<&'a Value> {
    match (side.blocks.get(key), other.blocks.get(key)) {
        (Some((_, now)), _) => now.as_ref(),
        (None, Some((before, _))) => before.as_ref(),
        (None, None) => None,
    }
}

/// Field by field: the change of one side; if both changed it, ours, and of times the newer.
fn merge_fields(before: Option<&Inode>, ours: &Inode, theirs: &Inode) -> Inode {
    fn pick<T: PartialEq + Copy>(before: Option<T>, ours: T, theirs: T) -> T {
        if before == Some(ours) { theirs } else { ours }
    }
    fn newer(before: Option<i128>, ours: i128, theirs: i128) -> i128 {
        if before == Some(ours) {
            theirs
        } else if before == Some(theirs) {
            ours
        } else {
            ours.max(theirs)
        }
    }
    let mut result = ours.clone();
    result.perm = pick(before.map(|b| b.perm), ours.perm, theirs.perm);
    result.uid = pick(before.map(|b| b.uid), ours.uid, theirs.uid);
    result.gid = pick(before.map(|b| b.gid), ours.gid, theirs.gid);
    result.atime = newer(before.map(|b| b.atime), ours.atime, theirs.atime);
    result.mtime = newer(before.map(|b| b.mtime), ours.mtime, theirs.mtime);
    result.ctime = newer(before.map(|b| b.ctime), ours.ctime, theirs.ctime);
    result.btime = pick(before.map(|b| b.btime), ours.btime, theirs.btime);
    result
}
