//! Requests that change names and attributes.
//!
//! What always holds here: a name is made or removed only where the caller may write and search, and from
//! a sticky directory only by an owner; a node of one tree never gets into another (EXDEV).

use std::sync::Arc;

use safeos_session::{Attr, Error, FileKind, RenameMode, SetAttr};

use super::front::Front;
use super::handles::{Handle, Held, What};
use super::walk::{Last, Spot, Walk};
use super::wire::{
    Done, EACCES, EBADF, EEXIST, EFBIG, EINVAL, EISDIR, ENOENT, ENOTDIR, EPERM, EROFS, EXDEV,
    Errno, Time,
};
use crate::daemon::{Tree, TreeKind};
use crate::permission::{EXECUTE, WRITE, Who};

const NOTHING: Done = Done::Value(0);

fn errno(error: Error) -> Errno {
    error.errno()
}

/// A name in a tree's directory that may be changed.
struct Target {
    tree: Arc<Tree>,
    dir: Attr,
    name: String,
    owner: Option<u32>,
    spot: Spot,
}

impl Front {
    /// The user who acts through a handle: the caller where the kernel vouches for it, else the opener. The roots
    /// that logins are given have no user.
    fn actor(&self, handle: &Handle, caller: Option<Who>) -> Result<Who, Errno> {
        caller.or(handle.who).ok_or(EACCES)
    }

    /// The place that a path names for a change; its last name need not exist.
    fn target(&self, base: &Handle, path: &str, who: Who) -> Result<Target, Errno> {
        let mut walk = Walk::new(self, who);
        let start = walk.start(base)?;
        self.target_from(&mut walk, start, path, who)
    }

    fn target_from(
        &self,
        walk: &mut Walk<'_>,
        start: Spot,
        path: &str,
        who: Who,
    ) -> Result<Target, Errno> {
        let (spot, name) = match walk.all_but_last(start, path)? {
            Last::Name { dir, name, .. } => (dir, name),
            // `.`, `..` and roots cannot be changed.
            Last::Node(_) => return Err(EINVAL),
        };
        let Some((tree, dir, owner)) = spot.inner() else {
            // The namespace's own folders stay as they are.
            walk.child(&spot, &name)?;
            return Err(EACCES);
        };
        if tree.kind != TreeKind::Home {
            return Err(EROFS);
        }
        if !who.may(dir, WRITE | EXECUTE) {
            return Err(EACCES);
        }
        Ok(Target {
            tree: Arc::clone(tree),
            dir: *dir,
            name,
            owner,
            spot: spot.clone(),
        })
    }

    /// The node that a target names.
    fn named(&self, target: &Target) -> Result<Attr, Errno> {
        let name = target.name.as_bytes();
        target
            .tree
            .volume
            .lookup(target.dir.ino, name)
            .map_err(errno)
    }

    pub(super) fn unlink(
        &self,
        dir: usize,
        path: &str,
        folder: bool,
        caller: Option<Who>,
    ) -> Result<Done, Errno> {
        let base = self.handles.get(dir)?;
        let who = self.actor(&base, caller)?;
        let target = self.target(&base, path, who)?;
        let attr = self.named(&target)?;
        if !who.may_remove(&target.dir, &attr) {
            return Err(EPERM);
        }
        let name = target.name.as_bytes();
        let volume = &target.tree.volume;
        let done = if folder {
            volume.rmdir(target.dir.ino, name)
        } else if path.ends_with('/') && attr.kind != FileKind::Directory {
            return Err(ENOTDIR);
        } else {
            volume.unlink(target.dir.ino, name)
        };
        done.map(|()| NOTHING).map_err(errno)
    }

    /// `rename` of an open node to a path from the root.
    pub(super) fn rename(&self, id: usize, path: &str) -> Result<Done, Errno> {
        let handle = self.handles.get(id)?;
        let who = self.actor(&handle, None)?;
        let held = handle.held().ok_or(EPERM)?;
        let at = handle.at.as_ref().ok_or(EPERM)?;
        let dir = held.tree.volume.attr(at.dir).map_err(errno)?;
        if !who.may(&dir, WRITE | EXECUTE) {
            return Err(EACCES);
        }
        let mut walk = Walk::new(self, who);
        let root = walk.root(&handle.view);
        let from = Target {
            tree: Arc::clone(&held.tree),
            dir,
            name: at.name.to_string(),
            owner: held.owner,
            spot: root.clone(),
        };
        if self.named(&from)?.ino != held.ino {
            // The name it was opened by means something else by now.
            return Err(ENOENT);
        }
        // The kernel takes any path and drops the scheme's name from it: a path without a parent here was
        // meant for another scheme.
        let to = match self.target_from(&mut walk, root, path, who) {
            Err(ENOENT | ENOTDIR) => return Err(EXDEV),
            to => to?,
        };
        self.move_name(
            &from,
            who,
            &to,
            who,
            RenameMode::Replace,
            path.ends_with('/'),
        )
    }

    pub(super) fn rename_at(
        &self,
        from: (usize, &str),
        to: (usize, &str),
        keep: bool,
        exchange: bool,
    ) -> Result<Done, Errno> {
        let mode = match (keep, exchange) {
            (false, false) => RenameMode::Replace,
            (true, false) => RenameMode::NoReplace,
            (false, true) => RenameMode::Exchange,
            (true, true) => return Err(EINVAL),
        };
        let (from_base, to_base) = (self.handles.get(from.0)?, self.handles.get(to.0)?);
        let from_who = self.actor(&from_base, None)?;
        let to_who = self.actor(&to_base, None)?;
        let source = self.target(&from_base, from.1, from_who)?;
        self.named(&source)?;
        let target = self.target(&to_base, to.1, to_who)?;
        let slash = to.1.ends_with('/') || from.1.ends_with('/');
        self.move_name(&source, from_who, &target, to_who, mode, slash)
    }

    fn move_name(
        &self,
        from: &Target,
        from_who: Who,
        to: &Target,
        to_who: Who,
        mode: RenameMode,
        slash: bool,
    ) -> Result<Done, Errno> {
        if from.tree.key != to.tree.key || from.owner != to.owner {
            return Err(EXDEV);
        }
        if from.tree.kind != TreeKind::Home {
            return Err(EROFS);
        }
        let moved = self.named(from)?;
        let folder = moved.kind == FileKind::Directory;
        if slash && !folder {
            return Err(ENOTDIR);
        }
        if !from_who.may_remove(&from.dir, &moved) {
            return Err(EPERM);
        }
        // Its `..` changes.
        if folder && from.dir.ino != to.dir.ino && !from_who.may(&moved, WRITE) {
            return Err(EACCES);
        }
        match self.named(to) {
            Ok(there) if !to_who.may_remove(&to.dir, &there) => return Err(EPERM),
            Ok(_) | Err(ENOENT) => {}
            Err(errno) => return Err(errno),
        }
        from.tree
            .volume
            .rename(
                (from.dir.ino, from.name.as_bytes()),
                (to.dir.ino, to.name.as_bytes()),
                mode,
            )
            .map(|()| NOTHING)
            .map_err(errno)
    }

    /// One more name for an open node, at a path from the root.
    pub(super) fn link(&self, id: usize, path: &str) -> Result<Done, Errno> {
        let handle = self.handles.get(id)?;
        let who = self.actor(&handle, None)?;
        let mut walk = Walk::new(self, who);
        let root = walk.root(&handle.view);
        let to = match self.target_from(&mut walk, root, path, who) {
            Err(ENOENT | ENOTDIR) => return Err(EXDEV),
            to => to?,
        };
        self.add_name(&handle, &to)
    }

    pub(super) fn link_at(&self, id: usize, dir: usize, path: &str) -> Result<Done, Errno> {
        let handle = self.handles.get(id)?;
        let base = self.handles.get(dir)?;
        let who = self.actor(&base, None)?;
        let to = self.target(&base, path, who)?;
        self.add_name(&handle, &to)
    }

    fn add_name(&self, handle: &Handle, to: &Target) -> Result<Done, Errno> {
        let held = match &handle.what {
            What::Node(held) | What::Link(held) => held,
            What::Directory(..) => return Err(EPERM),
            _ => return Err(EXDEV),
        };
        if held.tree.key != to.tree.key {
            return Err(EXDEV);
        }
        if to.spot.is_same(&held.tree, held.ino) || self.named(to).is_ok() {
            return Err(EEXIST);
        }
        held.tree
            .volume
            .link(held.ino, to.dir.ino, to.name.as_bytes())
            .map(|_| NOTHING)
            .map_err(errno)
    }

    /// The open node in a tree that may be changed, and the user who changes it.
    fn changeable<'a>(&self, handle: &'a Handle) -> Result<(&'a Held, Who), Errno> {
        let held = handle.held().ok_or(EPERM)?;
        if held.tree.kind != TreeKind::Home {
            return Err(EROFS);
        }
        Ok((held, self.actor(handle, None)?))
    }

    fn set(&self, held: &Held, change: &SetAttr) -> Result<Done, Errno> {
        let set = held.tree.volume.set_attr(held.ino, change);
        set.map(|_| NOTHING).map_err(errno)
    }

    pub(super) fn chmod(&self, id: usize, mode: u16) -> Result<Done, Errno> {
        let handle = self.handles.get(id)?;
        let (held, who) = self.changeable(&handle)?;
        let attr = self.attr_of(held)?;
        if !who.owns(&attr) {
            return Err(EPERM);
        }
        let perm = Some(who.allowed_perm(&attr, mode));
        self.set(
            held,
            &SetAttr {
                perm,
                ..SetAttr::default()
            },
        )
    }

    pub(super) fn chown(
        &self,
        id: usize,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> Result<Done, Errno> {
        let handle = self.handles.get(id)?;
        let (held, who) = self.changeable(&handle)?;
        let attr = self.attr_of(held)?;
        let keeps_owner = uid.is_none_or(|uid| uid == attr.uid);
        let own_group = gid.is_none_or(|gid| gid == attr.gid || gid == who.gid);
        if !(who.is_root() || who.uid == attr.uid && keeps_owner && own_group) {
            return Err(EPERM);
        }
        let perm = crate::permission::without_set_id(&attr, |gid| who.is_of_group(gid));
        self.set(
            held,
            &SetAttr {
                perm,
                uid,
                gid,
                ..SetAttr::default()
            },
        )
    }

    pub(super) fn truncate(&self, id: usize, len: u64) -> Result<Done, Errno> {
        let handle = self.handles.get(id)?;
        match &handle.what {
            What::Directory(..) | What::Location(_) | What::Sessions => return Err(EISDIR),
            // `echo … > .ctl` truncates first, as shells do.
            What::Conversation(_) => return Ok(NOTHING),
            _ if !handle.write => return Err(EINVAL),
            _ => {}
        }
        let What::Node(held) = &handle.what else {
            return Err(EBADF);
        };
        if len > i64::MAX as u64 {
            return Err(EFBIG);
        }
        let who = self.actor(&handle, None)?;
        let attr = self.attr_of(held)?;
        self.cut(held, &attr, len, who).map(|()| NOTHING)
    }

    pub(super) fn times(&self, id: usize, access: Time, change: Time) -> Result<Done, Errno> {
        let handle = self.handles.get(id)?;
        let (held, who) = self.changeable(&handle)?;
        let attr = self.attr_of(held)?;
        let both_now = access == Time::Now && change == Time::Now;
        let nothing = access == Time::Keep && change == Time::Keep;
        let may_touch = handle.write || who.may(&attr, WRITE);
        if !(nothing || who.owns(&attr) || both_now && may_touch) {
            return Err(if both_now { EACCES } else { EPERM });
        }
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos() as safeos_session::Nanos);
        let at = |time| match time {
            Time::Now => Some(now),
            Time::Keep => None,
            Time::At(nanos) => Some(nanos),
        };
        let (atime, mtime) = (at(access), at(change));
        if atime.is_none() && mtime.is_none() {
            return Ok(NOTHING);
        }
        self.set(
            held,
            &SetAttr {
                atime,
                mtime,
                ..SetAttr::default()
            },
        )
    }

    /// The path of an open node from the root of its namespace: the one it was opened by, unless that
    /// means something else by now.
    pub(super) fn path_in_tree(&self, handle: &Handle, held: &Held) -> Result<String, Errno> {
        let tree = &held.tree;
        let above = match tree.kind {
            TreeKind::Home => 1,
            TreeKind::Snapshot | TreeKind::Public => 2,
        };
        let mut names = super::walk::names(&handle.path);
        let place: Vec<&str> = names.by_ref().take(above).collect();
        let mut at = tree.root;
        let mut there = true;
        for name in names {
            match tree.volume.lookup(at, name.as_bytes()) {
                Ok(attr) => at = attr.ino,
                Err(Error::NotFound | Error::NotDirectory) => {
                    there = false;
                    break;
                }
                Err(error) => return Err(errno(error)),
            }
        }
        if there && at == held.ino {
            return Ok(handle.path.to_string());
        }
        let inner = tree.volume.path(held.ino).map_err(errno)?;
        let inner = String::from_utf8(inner).map_err(|_| ENOENT)?;
        let mut path = place.join("/");
        if !inner.is_empty() {
            path.push('/');
            path.push_str(&inner);
        }
        Ok(path)
    }
}
