//! Following paths: `.` and `..`, symbolic links, and permissions on the way.
//!
//! What always holds here: a path never leaves the namespace it started in (a link that would is
//! EXDEV); every directory on the way must let the caller search it; another user's session is as absent
//! as one that never was; the number of links followed is bounded.

use std::sync::Arc;

use safeos_session::{Attr, Error, FileKind, Ino};

use super::front::Front;
use super::handles::{Handle, View, What};
use super::wire::{EACCES, ELOOP, ENODEV, ENOENT, ENOTDIR, EXDEV, Errno};
use crate::daemon::{Signed, Tree, TreeKind};
use crate::namespace::Location;
use crate::permission::{EXECUTE, Who};

/// Symbolic links on one path.
const LINKS_MAX: usize = 40;
/// The longest path while links are followed.
const EXPANDED_MAX: usize = 64 * 1024;
/// Where programs find the scheme.
pub const MOUNTED_AT: &str = "/scheme/safe";
/// The same in the older spelling.
const LEGACY: &str = "safe:";
/// The folder of the sessions' roots.
pub const SESSIONS: &str = "session";

/// A node on a path.
#[derive(Clone)]
pub enum Node {
    /// A place of the namespace that is no tree.
    Location(Location),
    /// The folder of the sessions' roots.
    Sessions,
    /// A node of a tree, and whose session the tree belongs to.
    Inner(Arc<Tree>, Attr, Option<u32>),
}

/// Where a path has led.
#[derive(Clone)]
pub struct Spot {
    pub node: Node,
    pub view: View,
    /// The names that lead here from the root of the view.
    pub path: Vec<String>,
}

/// The last step of a path.
pub enum Last {
    /// The path ends in a node: it had no name of its own (`/`, `.`, `..`).
    Node(Spot),
    /// A name in a directory.
    Name {
        dir: Spot,
        name: String,
        /// Whether a slash came after it.
        slash: bool,
    },
}

/// Follows the paths of one request.
pub struct Walk<'a> {
    front: &'a Front,
    who: Who,
    links: usize,
}

fn errno(error: Error) -> Errno {
    error.errno()
}

impl<'a> Walk<'a> {
    pub fn new(front: &'a Front, who: Who) -> Self {
        Self {
            front,
            who,
            links: 0,
        }
    }

    /// Where a handle is, as a start.
    pub fn start(&self, handle: &Handle) -> Result<Spot, Errno> {
        let view = handle.view.clone();
        if let View::Session(signed) = &view {
            self.may_see(signed.uid)?;
            self.front.is_signed(signed)?;
        }
        let node = match &handle.what {
            What::Location(place) => Node::Location(place.clone()),
            What::Sessions => Node::Sessions,
            What::Node(held) | What::Link(held) | What::Directory(held, _) => {
                if let Some(owner) = held.owner {
                    self.may_see(owner)?;
                }
                let attr = self.front.attr_of(held)?;
                Node::Inner(Arc::clone(&held.tree), attr, held.owner)
            }
            What::Ended => return Err(ENODEV),
            What::NewLink(_) | What::Conversation(_) | What::Text(_) => return Err(ENOTDIR),
        };
        let path = names(&handle.path).map(str::to_owned).collect();
        Ok(Spot { node, view, path })
    }

    /// The root of the view that a spot is in.
    pub fn root(&self, view: &View) -> Spot {
        Spot {
            node: Node::Location(Location::Root),
            view: view.clone(),
            path: Vec::new(),
        }
    }

    /// Only a session's own user may be in it; root may where it was let in by a descriptor.
    fn may_see(&self, owner: u32) -> Result<(), Errno> {
        if self.who.uid == owner || self.who.is_root() {
            Ok(())
        } else {
            Err(EACCES)
        }
    }

    /// Follows all but the last name.
    pub fn all_but_last(&mut self, from: Spot, path: &str) -> Result<Last, Errno> {
        let mut at = from;
        // The names still to be followed, the next one last.
        let mut rest: Vec<String> = names(path).rev().map(str::to_owned).collect();
        let mut slash = path.ends_with('/');
        loop {
            let Some(name) = rest.pop() else {
                return Ok(Last::Node(at));
            };
            if name == "." {
                self.may_search(&at)?;
                continue;
            }
            if name == ".." {
                self.may_search(&at)?;
                at = self.up(at)?;
                continue;
            }
            if rest.is_empty() {
                self.may_search(&at)?;
                return Ok(Last::Name {
                    dir: at,
                    name,
                    slash,
                });
            }
            let next = self.child(&at, &name)?;
            at = match self.link_target(&next.node)? {
                None => next,
                Some(target) => {
                    let ended = target.ends_with('/');
                    let from = self.follow(at, &target, &mut rest)?;
                    slash |= ended && rest.is_empty();
                    from
                }
            };
        }
    }

    /// Goes on with the target of a link that `dir` holds.
    pub fn again(&mut self, dir: Spot, target: &str, slash: bool) -> Result<Last, Errno> {
        let mut rest = Vec::new();
        let from = self.follow(dir, target, &mut rest)?;
        rest.reverse();
        let mut path = rest.join("/");
        if slash || target.ends_with('/') {
            path.push('/');
        }
        self.all_but_last(from, &path)
    }

    /// Puts the names of a link's target before those that are left; says where they start.
    fn follow(&mut self, dir: Spot, target: &str, rest: &mut Vec<String>) -> Result<Spot, Errno> {
        self.links += 1;
        let expanded = target.len() + rest.iter().map(|name| name.len() + 1).sum::<usize>();
        if self.links > LINKS_MAX || expanded > EXPANDED_MAX {
            return Err(ELOOP);
        }
        let (from, target) = match inside(target)? {
            Some(from_root) => (self.root(&dir.view), from_root),
            None => {
                // As many steps up as it takes to leave the scheme are a way out of it.
                let mut depth = dir.path.len();
                for name in names(target) {
                    match name {
                        "." => {}
                        ".." => depth = depth.checked_sub(1).ok_or(EXDEV)?,
                        _ => depth += 1,
                    }
                }
                (dir, target)
            }
        };
        rest.extend(names(target).rev().map(str::to_owned));
        Ok(from)
    }

    /// The target of a link; `None`: it is no link.
    pub fn link_target(&self, node: &Node) -> Result<Option<String>, Errno> {
        match node {
            Node::Inner(tree, attr, _) if attr.kind == FileKind::Symlink => {
                let target = tree.volume.read_link(attr.ino).map_err(errno)?;
                // A target that is not text names nothing here.
                String::from_utf8(target).map(Some).map_err(|_| ENOENT)
            }
            _ => Ok(None),
        }
    }

    fn may_search(&self, at: &Spot) -> Result<(), Errno> {
        if !at.is_directory() {
            return Err(ENOTDIR);
        }
        match &at.node {
            Node::Inner(_, attr, _) if !self.who.may(attr, EXECUTE) => Err(EACCES),
            _ => Ok(()),
        }
    }

    /// The directory above.
    fn up(&self, at: Spot) -> Result<Spot, Errno> {
        let Spot {
            node,
            view,
            mut path,
        } = at;
        path.pop();
        let node = match node {
            Node::Location(_) | Node::Sessions => Node::Location(Location::Root),
            Node::Inner(tree, attr, _) if attr.ino == tree.root => {
                Node::Location(match tree.kind {
                    TreeKind::Home => Location::Root,
                    TreeKind::Snapshot => Location::Snapshots,
                    TreeKind::Public => Location::Public,
                })
            }
            Node::Inner(tree, attr, owner) => {
                let parent = tree.volume.parent(attr.ino).map_err(errno)?;
                let attr = tree.volume.attr(parent).map_err(errno)?;
                Node::Inner(tree, attr, owner)
            }
        };
        Ok(Spot { node, view, path })
    }

    /// The node of `name` in a directory.
    pub fn child(&self, at: &Spot, name: &str) -> Result<Spot, Errno> {
        self.may_search(at)?;
        let mut view = at.view.clone();
        let mut path = at.path.clone();
        path.push(name.to_owned());
        let node = match (&at.node, &at.view) {
            (Node::Inner(tree, attr, owner), _) => {
                let found = tree
                    .volume
                    .lookup(attr.ino, name.as_bytes())
                    .map_err(errno)?;
                Node::Inner(Arc::clone(tree), found, *owner)
            }
            (Node::Location(Location::Root), View::Common) if name == SESSIONS => Node::Sessions,
            (Node::Sessions, _) => {
                view = View::Session(self.session(name)?);
                path.clear();
                Node::Location(Location::Root)
            }
            (Node::Location(place), view) => {
                let viewer = match view {
                    View::Common => self.who,
                    View::Session(signed) => {
                        self.front.is_signed(signed)?;
                        Who {
                            uid: signed.uid,
                            ..self.who
                        }
                    }
                };
                let found = self
                    .front
                    .namespace
                    .find(place, name.as_bytes(), viewer)
                    .map_err(errno)?;
                match found {
                    Location::Tree(tree) => {
                        let attr = tree.volume.attr(tree.root).map_err(errno)?;
                        let owner = (tree.kind != TreeKind::Public).then_some(viewer.uid);
                        Node::Inner(tree, attr, owner)
                    }
                    place => Node::Location(place),
                }
            }
        };
        Ok(Spot { node, view, path })
    }

    /// The session of the uid that `name` says, for itself and for root.
    fn session(&self, name: &str) -> Result<Arc<Signed>, Errno> {
        let uid: u32 = name.parse().map_err(|_| ENOENT)?;
        self.may_see(uid).map_err(|_| ENOENT)?;
        self.front.namespace.daemon().signed(uid).ok_or(ENOENT)
    }
}

impl Spot {
    pub fn is_directory(&self) -> bool {
        match &self.node {
            Node::Location(place) => !matches!(place, Location::Control | Location::Status),
            Node::Sessions => true,
            Node::Inner(_, attr, _) => attr.kind == FileKind::Directory,
        }
    }

    /// The directory in a tree that a name is to be made or removed in.
    pub fn inner(&self) -> Option<(&Arc<Tree>, &Attr, Option<u32>)> {
        match &self.node {
            Node::Inner(tree, attr, owner) => Some((tree, attr, *owner)),
            _ => None,
        }
    }

    /// The same, as tree and number.
    pub fn is_same(&self, tree: &Tree, ino: Ino) -> bool {
        matches!(&self.node, Node::Inner(own, attr, _) if own.key == tree.key && attr.ino == ino)
    }
}

/// The names of a path.
pub fn names(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty())
}

/// The part of a link's target from the root of the scheme; `None` where it is relative. EXDEV where it
/// leads out of the scheme.
fn inside(target: &str) -> Result<Option<&str>, Errno> {
    if let Some(rest) = target.strip_prefix(LEGACY) {
        return Ok(Some(rest));
    }
    match target.strip_prefix(MOUNTED_AT) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => Ok(Some(rest)),
        _ if target.starts_with('/') => Err(EXDEV),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_inside_or_not() {
        assert_eq!(inside("/scheme/safe/home/a"), Ok(Some("/home/a")));
        assert_eq!(inside("/scheme/safe"), Ok(Some("")));
        assert_eq!(inside("safe:home"), Ok(Some("home")));
        assert_eq!(inside("/scheme/safer/x"), Err(EXDEV));
        assert_eq!(inside("/etc/passwd"), Err(EXDEV));
        assert_eq!(inside("../a"), Ok(None));
    }
}
