//! Open handles.
//!
//! What always holds here: a number is given out once and never again; a handle keeps its opener and
//! which session it belongs to; a node lives as long as a handle of it; when a session has ended its
//! handles become [`What::Ended`], and nothing of the session is kept alive by them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};
use safeos_session::Ino;

use super::wire::{EBADF, EMFILE, ENODEV, Errno};
use crate::control::Conversation;
use crate::cursor::Cursor;
use crate::daemon::{Signed, Tree};
use crate::namespace::Location;
use crate::permission::Who;

/// Parts of the table with a lock each.
const SHARDS: usize = 32;
/// How many handles there may be at once.
const HANDLES_MAX: usize = 1 << 20;

/// The identity of a node: the number of its tree, and its own.
pub type Key = (u64, Ino);

/// Which namespace a handle is in.
#[derive(Clone)]
pub enum View {
    /// The one that shows every caller its own session.
    Common,
    /// The one of a session, as a login has it under the name `safe`.
    Session(Arc<Signed>),
}

/// A node of a tree that stays while this does.
pub struct Held {
    pub tree: Arc<Tree>,
    pub ino: Ino,
    /// The user whose session the tree belongs to; published trees have none.
    pub owner: Option<u32>,
}

impl Held {
    pub fn new(tree: Arc<Tree>, ino: Ino, owner: Option<u32>) -> Self {
        tree.volume.retain(ino);
        Self { tree, ino, owner }
    }

    /// See [`Key`].
    pub fn key(&self) -> Key {
        (self.tree.key, self.ino)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.tree.volume.release(self.ino, 1);
    }
}

/// A name in a directory.
#[derive(Clone)]
pub struct At {
    pub dir: Ino,
    pub name: Box<str>,
}

/// A symbolic link to be: the first write says where it points.
pub struct NewLink {
    pub dir: Held,
    pub name: Box<str>,
    /// The link, once it is there.
    pub made: Mutex<Option<Ino>>,
}

/// The object of a handle.
pub enum What {
    /// A folder of the namespace.
    Location(Location),
    /// The folder that holds the sessions' roots. It is searched, never listed.
    Sessions,
    /// Something in a tree that is no directory.
    Node(Held),
    /// A symbolic link itself.
    Link(Held),
    Directory(Held, Mutex<Cursor>),
    NewLink(NewLink),
    Conversation(Arc<Conversation>),
    /// The text of `status` at the time it was opened.
    Text(Arc<[u8]>),
    /// Something of a session that has ended.
    Ended,
}

/// Something open.
pub struct Handle {
    /// Its opener. `None`: a root that the kernel or a login hands out.
    pub who: Option<Who>,
    pub view: View,
    pub what: What,
    pub read: bool,
    pub write: bool,
    pub append: AtomicBool,
    pub nonblock: AtomicBool,
    /// Where it was found, from the root of its namespace, without a leading slash.
    pub path: Box<str>,
    /// Its name there, if that is in a tree.
    pub at: Option<At>,
    /// Whose pages and locks it may have, also after its session has ended.
    pub key: Option<Key>,
}

impl Handle {
    /// The node in a tree.
    pub fn held(&self) -> Option<&Held> {
        match &self.what {
            What::Node(held) | What::Link(held) | What::Directory(held, _) => Some(held),
            _ => None,
        }
    }

    /// Whether it belongs to a session for which `gone` holds.
    pub fn is_of(
        &self,
        gone: &dyn Fn(&Held) -> bool,
        view_gone: &dyn Fn(&Arc<Signed>) -> bool,
    ) -> bool {
        let held = match &self.what {
            What::NewLink(link) => Some(&link.dir),
            _ => self.held(),
        };
        held.is_some_and(gone) || matches!(&self.view, View::Session(signed) if view_gone(signed))
    }
}

type Shard = RwLock<HashMap<usize, Arc<Handle>>>;

/// Everything that is open.
pub struct Handles {
    shards: [Shard; SHARDS],
    next: AtomicUsize,
    count: AtomicUsize,
}

impl Default for Handles {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Shard::default()),
            next: AtomicUsize::new(1),
            count: AtomicUsize::new(0),
        }
    }
}

impl Handles {
    fn shard(&self, number: usize) -> &Shard {
        &self.shards[number % SHARDS]
    }

    /// The number of a new handle.
    pub fn insert(&self, handle: Handle) -> Result<usize, Errno> {
        if self.count.fetch_add(1, Ordering::Relaxed) >= HANDLES_MAX {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return Err(EMFILE);
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.shard(number).write().insert(number, Arc::new(handle));
        Ok(number)
    }

    /// The handle of a number, whether its session lives or not.
    pub fn any(&self, number: usize) -> Result<Arc<Handle>, Errno> {
        self.shard(number).read().get(&number).cloned().ok_or(EBADF)
    }

    /// The handle of a number.
    pub fn get(&self, number: usize) -> Result<Arc<Handle>, Errno> {
        let handle = self.any(number)?;
        match handle.what {
            What::Ended => Err(ENODEV),
            _ => Ok(handle),
        }
    }

    /// Takes a handle away.
    pub fn remove(&self, number: usize) -> Option<Arc<Handle>> {
        let handle = self.shard(number).write().remove(&number);
        if handle.is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        handle
    }

    /// Lets go of handles that belong to sessions that are gone.
    pub fn end(&self, gone: &dyn Fn(&Handle) -> bool) {
        // Dropped with no lock held: this calls a volume.
        let mut ended = Vec::new();
        for shard in &self.shards {
            for handle in shard.write().values_mut() {
                if gone(handle) {
                    let empty = Arc::new(Handle {
                        who: handle.who,
                        view: View::Common,
                        what: What::Ended,
                        read: false,
                        write: false,
                        append: AtomicBool::new(false),
                        nonblock: AtomicBool::new(false),
                        path: Box::default(),
                        at: None,
                        key: handle.key,
                    });
                    ended.push(std::mem::replace(handle, empty));
                }
            }
        }
    }
}
