//! Opening: finding, making, and the rights of a caller.
//!
//! What always holds here: the caller is the one that the kernel names for an open, and is kept with the handle; a
//! node is opened for nothing that its bits do not allow the caller.

use std::sync::Arc;

use parking_lot::Mutex;
use safeos_session::{Attr, Error, FileKind, NewNode, SetAttr};

use super::front::{Front, Ticket};
use super::handles::{At, Handle, Held, Key, NewLink, View, What};
use super::walk::{Last, Node, Spot, Walk};
use super::wire::{Done, EBADF};
use super::wire::{
    EACCES, EEXIST, EINVAL, EISDIR, ELOOP, ENODEV, ENOENT, ENOTDIR, EROFS, Errno, OpenFlags,
};
use crate::control::Conversation;
use crate::daemon::TreeKind;
use crate::namespace::Location;
use crate::permission::{EXECUTE, READ, WRITE, Who, without_set_id};

fn errno(error: Error) -> Errno {
    error.errno()
}

impl Front {
    /// Opens a path from a handle on.
    pub(super) fn open(
        &self,
        dir: usize,
        path: &str,
        flags: OpenFlags,
        who: Who,
        ticket: &dyn Ticket,
    ) -> Result<Done, Errno> {
        let base = self.handles.get(dir)?;
        let mut walk = Walk::new(self, who);
        let start = walk.start(&base)?;
        if path.trim_matches('/').is_empty() {
            if flags.create && flags.exclusive {
                return Err(EEXIST);
            }
            let at = base.at.clone();
            return self.open_node(start, at, flags, who, ticket);
        }
        let mut last = walk.all_but_last(start, path)?;
        loop {
            let (dir, name, slash) = match last {
                Last::Node(spot) => {
                    if flags.create && flags.exclusive {
                        return Err(EEXIST);
                    }
                    return self.open_node(spot, None, flags, who, ticket);
                }
                Last::Name { dir, name, slash } => (dir, name, slash),
            };
            let found = match walk.child(&dir, &name) {
                Err(ENOENT) if flags.create => {
                    match self.create(&dir, &name, slash, flags, who, ticket) {
                        // Another caller was quicker: its node is opened, if that will do.
                        Err(EEXIST) if !flags.exclusive && !flags.symlink => {
                            walk.child(&dir, &name)?
                        }
                        done => return done,
                    }
                }
                found => found?,
            };
            if flags.create && (flags.exclusive || flags.symlink) {
                return Err(EEXIST);
            }
            if let Some(target) = walk.link_target(&found.node)? {
                let itself = flags.symlink || flags.stat && flags.no_follow;
                if itself && !slash {
                    let at = at_of(&dir, &name);
                    return self.open_node(found, at, flags, who, ticket);
                }
                if flags.no_follow && !slash {
                    return Err(ELOOP);
                }
                last = walk.again(dir, &target, slash)?;
                continue;
            }
            if slash && !found.is_directory() {
                return Err(ENOTDIR);
            }
            if flags.symlink {
                return Err(EINVAL);
            }
            let at = at_of(&dir, &name);
            return self.open_node(found, at, flags, who, ticket);
        }
    }

    /// Makes what is not there and opens it.
    fn create(
        &self,
        dir: &Spot,
        name: &str,
        slash: bool,
        flags: OpenFlags,
        who: Who,
        ticket: &dyn Ticket,
    ) -> Result<Done, Errno> {
        let (tree, parent, owner) = dir.inner().ok_or(EACCES)?;
        if tree.kind != TreeKind::Home {
            return Err(EROFS);
        }
        if !who.may(parent, WRITE | EXECUTE) {
            return Err(EACCES);
        }
        let at = at_of(dir, name);
        let mut spot = dir.clone();
        spot.path.push(name.to_owned());
        if flags.symlink {
            let made = NewLink {
                dir: Held::new(Arc::clone(tree), parent.ino, owner),
                name: name.into(),
                made: Mutex::new(None),
            };
            let what = What::NewLink(made);
            return self.keep(
                spot,
                at,
                what,
                None,
                OpenFlags {
                    write: true,
                    ..flags
                },
                who,
            );
        }
        if slash && !flags.directory {
            return Err(EISDIR);
        }
        ticket.commit()?;
        let kind = if flags.directory {
            FileKind::Directory
        } else {
            FileKind::File
        };
        let perm = if flags.directory {
            flags.mode
        } else {
            who.perm_of_new_file(parent, flags.mode)
        };
        let node = NewNode::new(kind, perm, (who.uid, who.gid));
        let attr = tree
            .volume
            .create(parent.ino, name.as_bytes(), &node)
            .map_err(errno)?;
        let held = Held::new(Arc::clone(tree), attr.ino, owner);
        self.keep_held(spot, at, held, &attr, flags, who)
    }

    /// Makes the link that a handle was opened for.
    pub(super) fn make_link(
        &self,
        link: &NewLink,
        handle: &Handle,
        target: &[u8],
    ) -> Result<(), Errno> {
        let who = handle.who.ok_or(EBADF)?;
        let mut made = link.made.lock();
        if made.is_some() {
            return Err(EEXIST);
        }
        let node = NewNode {
            kind: FileKind::Symlink,
            perm: 0o777,
            uid: who.uid,
            gid: who.gid,
            rdev: 0,
            target,
        };
        let volume = &link.dir.tree.volume;
        let attr = volume
            .create(link.dir.ino, link.name.as_bytes(), &node)
            .map_err(errno)?;
        *made = Some(attr.ino);
        Ok(())
    }

    /// Opens what is there.
    fn open_node(
        &self,
        spot: Spot,
        at: Option<At>,
        flags: OpenFlags,
        who: Who,
        ticket: &dyn Ticket,
    ) -> Result<Done, Errno> {
        let what = match &spot.node {
            Node::Inner(tree, attr, owner) => {
                let held = Held::new(Arc::clone(tree), attr.ino, *owner);
                // Held now, it may still have gone just before.
                let attr = self.attr_of(&held)?;
                self.may_open(&held, &attr, flags, who)?;
                if flags.truncate && attr.kind == FileKind::File && !flags.stat {
                    ticket.commit()?;
                    self.cut(&held, &attr, 0, who)?;
                }
                return self.keep_held(spot, at, held, &attr, flags, who);
            }
            Node::Sessions => What::Sessions,
            Node::Location(place @ (Location::Control | Location::Status)) => {
                if flags.directory {
                    return Err(ENOTDIR);
                }
                match place {
                    _ if flags.stat => What::Location(place.clone()),
                    Location::Control => {
                        let control = Arc::clone(&self.control);
                        What::Conversation(Conversation::new(who.uid, who.gid, control))
                    }
                    _ if flags.write => return Err(EACCES),
                    _ => What::Text(self.namespace.status(who.uid).into_bytes().into()),
                }
            }
            Node::Location(place) => What::Location(place.clone()),
        };
        if spot.is_directory() && flags.write && !flags.stat {
            return Err(EISDIR);
        }
        self.keep(spot, at, what, None, flags, who)
    }

    fn may_open(&self, held: &Held, attr: &Attr, flags: OpenFlags, who: Who) -> Result<(), Errno> {
        let folder = attr.kind == FileKind::Directory;
        if flags.directory && !folder {
            return Err(ENOTDIR);
        }
        if flags.stat {
            return Ok(());
        }
        let writes = flags.write || flags.truncate;
        if folder && writes {
            return Err(EISDIR);
        }
        if attr.kind == FileKind::Symlink {
            return if writes { Err(EACCES) } else { Ok(()) };
        }
        let mut wanted = 0;
        if flags.read {
            wanted |= READ;
        }
        if writes {
            wanted |= WRITE;
        }
        if !who.may(attr, wanted) {
            return Err(EACCES);
        }
        if writes && held.tree.kind != TreeKind::Home {
            return Err(EROFS);
        }
        Ok(())
    }

    fn keep_held(
        &self,
        spot: Spot,
        at: Option<At>,
        held: Held,
        attr: &Attr,
        flags: OpenFlags,
        who: Who,
    ) -> Result<Done, Errno> {
        let key = held.key();
        let what = match attr.kind {
            FileKind::Directory => What::Directory(held, Mutex::default()),
            FileKind::File => What::Node(held),
            // Its target, with the flags that say so.
            FileKind::Symlink => {
                let flags = OpenFlags {
                    read: !flags.stat,
                    write: false,
                    ..flags
                };
                return self.keep(spot, at, What::Link(held), Some(key), flags, who);
            }
            _ if flags.stat => What::Node(held),
            // Pipes, sockets and devices of other systems: kept, listed, and nothing else.
            _ => return Err(ENODEV),
        };
        self.keep(spot, at, what, Some(key), flags, who)
    }

    /// The number of a new handle.
    fn keep(
        &self,
        spot: Spot,
        at: Option<At>,
        what: What,
        key: Option<Key>,
        flags: OpenFlags,
        who: Who,
    ) -> Result<Done, Errno> {
        let positioned = !matches!(what, What::Conversation(_));
        // The root folder that root hands to a login as its `safe` must not act as root there.
        let handed_out = matches!(spot.view, View::Session(_))
            && matches!(what, What::Location(Location::Root))
            && who.is_root();
        let id = self.handles.insert(Handle {
            who: (!handed_out).then_some(who),
            view: spot.view,
            what,
            read: flags.read && !flags.stat,
            write: flags.write && !flags.stat,
            append: flags.append.into(),
            nonblock: flags.nonblock.into(),
            path: spot.path.join("/").into(),
            at,
            key,
        })?;
        // A session that ended meanwhile has not seen this handle when it let go of its own.
        if let Ok(handle) = self.handles.get(id)
            && self.is_gone(&handle)
        {
            self.turned();
        }
        Ok(Done::Opened { id, positioned })
    }

    /// Sets a file's length, with the other effects of that.
    pub(super) fn cut(&self, held: &Held, attr: &Attr, len: u64, who: Who) -> Result<(), Errno> {
        let perm = if who.is_root() {
            None
        } else {
            without_set_id(attr, |gid| who.is_of_group(gid))
        };
        let change = SetAttr {
            size: Some(len),
            perm,
            ..SetAttr::default()
        };
        self.memory.sync(held.key())?;
        held.tree
            .volume
            .set_attr(held.ino, &change)
            .map_err(errno)?;
        self.memory.cut(held.key(), len);
        Ok(())
    }

    /// One more handle of the same.
    pub(super) fn dup(&self, id: usize, what: &[u8]) -> Result<Done, Errno> {
        let handle = self.handles.get(id)?;
        // The kernel duplicates descriptors by itself; it asks only for something else by name.
        if !what.is_empty() {
            return Err(EINVAL);
        }
        let spot = Spot {
            node: Node::Sessions,
            view: handle.view.clone(),
            path: super::walk::names(&handle.path)
                .map(str::to_owned)
                .collect(),
        };
        let copy = |held: &Held| Held::new(Arc::clone(&held.tree), held.ino, held.owner);
        let copied = match &handle.what {
            What::Location(place) => What::Location(place.clone()),
            What::Sessions => What::Sessions,
            What::Node(held) => What::Node(copy(held)),
            What::Link(held) => What::Link(copy(held)),
            What::Directory(held, _) => What::Directory(copy(held), Mutex::default()),
            What::Text(text) => What::Text(Arc::clone(text)),
            // These are one thing for one opener.
            What::NewLink(_) | What::Conversation(_) => return Err(EINVAL),
            What::Ended => return Err(ENODEV),
        };
        let who = handle.who.ok_or(EACCES)?;
        let flags = OpenFlags {
            read: handle.read,
            write: handle.write,
            append: handle.append.load(std::sync::atomic::Ordering::Relaxed),
            nonblock: handle.nonblock.load(std::sync::atomic::Ordering::Relaxed),
            ..OpenFlags::default()
        };
        self.keep(spot, handle.at.clone(), copied, handle.key, flags, who)
    }
}

/// A name in a tree's directory.
fn at_of(dir: &Spot, name: &str) -> Option<At> {
    dir.inner().map(|(_, attr, _)| At {
        dir: attr.ino,
        name: name.into(),
    })
}
