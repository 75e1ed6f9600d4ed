//! The requests of the kernel, answered by the namespace and the volumes.
//!
//! What always holds here: no lock is held over a call into a volume; every reference the kernel was
//! given is retained exactly once; a node of one tree never gets into another.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fuser::{
    Errno, FileAttr, Generation, INodeNo, Notifier, ReplyDirectoryPlus, ReplyLseek, Request,
};
use parking_lot::Mutex;
use safeos_session::{Attr, DirEntry, Error, FileKind, NewNode, RenameMode, Seek, SetAttr};

use super::caller::Caller;
use super::convert;
use super::nodes::{self, Node, Nodes};
use super::writes::Writes;
use crate::control::{Control, Conversation};
use crate::cursor::Cursor;
use crate::daemon::Tree;
use crate::namespace::{Location, Namespace};
use crate::permission::{Who, without_set_id};

/// How long the kernel may rely on answers about a tree: this mount is its only writer, and
/// changes that come from elsewhere are announced.
pub const LONG: Duration = Duration::from_secs(3600);

/// An answer, or the error number instead.
pub type Answer<T> = Result<T, Errno>;

/// Takes one entry of a directory: the number to continue at, the id, the kind, the name and, for
/// entries of a tree, the entry itself. `false`: no room for this one.
pub type Take<'a> =
    dyn FnMut(u64, u64, FileKind, &[u8], Option<(&Arc<Tree>, &DirEntry)>) -> bool + 'a;

/// The state of an open file of the namespace, or of an open directory.
#[derive(Clone)]
enum Handle {
    /// One conversation on `.ctl`.
    Conversation(Arc<Conversation>),
    /// The text of `status` at the time it was opened.
    Text(Arc<[u8]>),
    /// A directory of a tree.
    Directory(Arc<Mutex<Cursor>>),
    /// A folder of the namespace, as it was when it was opened.
    Folder(Arc<Vec<(String, u64, FileKind)>>),
}

/// An entry for the kernel to keep.
pub struct Found {
    /// The id and the attributes.
    pub attr: FileAttr,
    /// How long the name holds.
    pub name_valid: Duration,
    /// How long the attributes hold.
    pub attr_valid: Duration,
    /// Tells the node from another that may have its id at another mount.
    pub generation: Generation,
}

/// The users that get to the mount, and their view.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shown {
    /// Everybody gets there and sees their own session.
    Everybody,
    /// Only the user who mounted it gets there.
    User,
    /// Root gets there besides, and sees what that user sees.
    UserAndRoot,
}

/// The front's state.
pub struct Front {
    pub(super) namespace: Namespace,
    pub(super) nodes: Arc<Nodes>,
    pub(super) control: Arc<Control>,
    pub(super) writes: Arc<Writes>,
    handles: Mutex<HashMap<u64, Handle>>,
    next_handle: AtomicU64,
    /// Whose session everybody sees; `None`: everybody their own.
    one_user: Option<u32>,
    /// How long the names in the namespace's own folders hold: not at all where what users see
    /// differs.
    names_valid: Duration,
    /// Tells the kernel what it does not learn from an answer. There once the mount is.
    kernel: Arc<OnceLock<Notifier>>,
    shown: Shown,
}

impl From<&Error> for Found {
    /// That there is no such name, for the kernel to remember.
    fn from(_: &Error) -> Self {
        Self {
            attr: convert::attr(0, &ABSENT),
            name_valid: LONG,
            attr_valid: LONG,
            generation: NAMESPACE,
        }
    }
}

/// The namespace's own nodes have the same ids at every mount.
const NAMESPACE: Generation = Generation(0);

const ABSENT: Attr = Attr {
    ino: 0,
    kind: FileKind::File,
    perm: 0,
    nlink: 0,
    uid: 0,
    gid: 0,
    rdev: 0,
    size: 0,
    blocks: 0,
    atime: 0,
    mtime: 0,
    ctime: 0,
    btime: 0,
};

impl Front {
    pub fn new(
        writes: Arc<Writes>,
        namespace: Namespace,
        nodes: Arc<Nodes>,
        control: Arc<Control>,
        shown: Shown,
        kernel: Arc<OnceLock<Notifier>>,
    ) -> Self {
        let one_user = shown != Shown::Everybody;
        Self {
            writes,
            one_user: one_user.then_some(namespace.daemon().uid),
            namespace,
            nodes,
            control,
            handles: Mutex::default(),
            next_handle: AtomicU64::new(1),
            names_valid: if one_user { LONG } else { Duration::ZERO },
            kernel,
            shown,
        }
    }

    /// Whose session a caller sees.
    pub fn viewer(&self, request: &Request) -> u32 {
        self.one_user.unwrap_or(request.uid())
    }

    /// The same with the caller's group.
    pub fn looks(&self, request: &Request) -> Who {
        Who {
            uid: self.viewer(request),
            gid: request.gid(),
        }
    }

    pub fn node(&self, id: u64) -> Answer<Node> {
        self.nodes.find(id).ok_or(Errno::ESTALE)
    }

    /// A node that must lie in a tree to be changed.
    pub fn inner(&self, id: u64) -> Answer<(Arc<Tree>, u64)> {
        match self.node(id)? {
            Node::Inner(tree, ino) => Ok((tree, ino)),
            Node::Location(_) => Err(Errno::EPERM),
        }
    }

    /// An entry of a tree that the kernel keeps from now on.
    pub fn keep(&self, tree: &Arc<Tree>, attr: &Attr) -> Found {
        Found {
            attr: convert::attr(self.nodes.retain(tree, attr.ino), attr),
            name_valid: LONG,
            attr_valid: LONG,
            generation: self.nodes.generation(tree),
        }
    }

    /// A place of the namespace as an entry that the kernel keeps from now on.
    fn keep_place(&self, place: &Location) -> Answer<Found> {
        let attr = self.place_attr(place)?;
        let found = match place {
            Location::Tree(tree) => {
                let mut found = self.keep(tree, &attr);
                found.name_valid = self.names_valid;
                found
            }
            _ => Found {
                attr: convert::attr(Nodes::place_id(place).unwrap_or(nodes::ROOT), &attr),
                name_valid: self.names_valid,
                attr_valid: LONG,
                generation: NAMESPACE,
            },
        };
        Ok(found)
    }

    fn place_attr(&self, place: &Location) -> Answer<Attr> {
        let mut attr = self
            .namespace
            .attr(place)
            .map_err(|error| convert::errno(&error))?;
        // The kernel then lets everybody in and asks us. Answers that it remembers it does not ask for again, so that
        // the first folder on the way keeps others out.
        if matches!(place, Location::Root) && self.shown == Shown::UserAndRoot {
            attr.perm = 0o500;
        }
        Ok(attr)
    }

    pub fn lookup(&self, who: Who, dir: u64, name: &OsStr) -> Answer<Found> {
        match name.as_bytes() {
            b"." => return self.find_again(dir),
            b".." => return self.find_parent(dir),
            _ => {}
        }
        match self.node(dir)? {
            Node::Inner(tree, ino) => match tree.volume.lookup(ino, name.as_bytes()) {
                Ok(attr) => Ok(self.keep(&tree, &attr)),
                Err(error @ Error::NotFound) => Ok(Found::from(&error)),
                Err(error) => Err(convert::errno(&error)),
            },
            Node::Location(place) => match self.namespace.find(&place, name.as_bytes(), who) {
                Ok(place) => self.keep_place(&place),
                Err(error) => Err(convert::errno(&error)),
            },
        }
    }

    /// A node whose id comes out of a stored handle; the kernel has forgotten the node.
    fn find_again(&self, id: u64) -> Answer<Found> {
        // The home may not have been used yet since it was mounted.
        if let [uid] = self.namespace.daemon().uids()[..]
            && let Some(signed) = self.namespace.daemon().signed(uid)
        {
            self.nodes.offer(&signed.home);
        }
        match self.node(id)? {
            Node::Inner(tree, ino) => match tree.volume.attr(ino) {
                Ok(attr) if attr.nlink > 0 => Ok(self.keep(&tree, &attr)),
                Ok(_) | Err(Error::NotFound) => Err(Errno::ESTALE),
                Err(error) => Err(convert::errno(&error)),
            },
            Node::Location(place) => self.keep_place(&place),
        }
    }

    /// The folder that holds a directory.
    fn find_parent(&self, id: u64) -> Answer<Found> {
        match self.node(id)? {
            Node::Inner(tree, ino) if ino != tree.root => {
                let parent = tree.volume.parent(ino);
                match parent.and_then(|parent| tree.volume.attr(parent)) {
                    Ok(attr) => Ok(self.keep(&tree, &attr)),
                    Err(error) => Err(convert::errno(&error)),
                }
            }
            node => match self.node(self.parent(&node)?)? {
                Node::Location(place) => self.keep_place(&place),
                Node::Inner(..) => Err(Errno::ESTALE),
            },
        }
    }

    pub fn attr(&self, id: u64) -> Answer<(FileAttr, Duration)> {
        match self.node(id)? {
            Node::Inner(tree, ino) => match tree.volume.attr(ino) {
                Ok(attr) => Ok((convert::attr(id, &attr), LONG)),
                Err(error) => Err(convert::errno(&error)),
            },
            // The namespace's names may differ between users; the places' attributes do not.
            Node::Location(place) => Ok((convert::attr(id, &self.place_attr(&place)?), LONG)),
        }
    }

    pub fn set_attr(
        &self,
        caller: &Caller,
        id: u64,
        change: SetAttr,
    ) -> Answer<(FileAttr, Duration)> {
        let (tree, ino) = match self.node(id)? {
            Node::Inner(tree, ino) => (tree, ino),
            // `echo … > .ctl` truncates first, as shells do.
            Node::Location(Location::Control | Location::Status) if change.size.is_some() => {
                return self.attr(id);
            }
            Node::Location(_) => return Err(Errno::EPERM),
        };
        let mut change = change;
        // The kernel leaves it to us (FUSE_HANDLE_KILLPRIV_V2): a change of owner takes the set-id
        // bits away, and so does a truncation by any user but root.
        let owner = change.uid.is_some() || change.gid.is_some();
        let cut = change.size.is_some() && !caller.is_root();
        if change.perm.is_none() && (owner || cut) {
            let attr = tree.volume.attr(ino).map_err(|e| convert::errno(&e))?;
            let of_group = |gid| caller.is_root() || caller.is_of_group(gid);
            change.perm = without_set_id(&attr, of_group);
        }
        match tree.volume.set_attr(ino, &change) {
            Ok(attr) => Ok((convert::attr(id, &attr), LONG)),
            Err(error) => Err(convert::errno(&error)),
        }
    }

    /// Takes the set-id bits away after a change of content by a caller who may not keep them.
    pub fn drop_set_id(
        &self,
        caller: &Caller,
        id: u64,
        tree: &Tree,
        ino: u64,
    ) -> safeos_session::Result<()> {
        let attr = tree.volume.attr(ino)?;
        if let Some(perm) = without_set_id(&attr, |gid| caller.is_of_group(gid)) {
            let change = SetAttr {
                perm: Some(perm),
                ..SetAttr::default()
            };
            tree.volume.set_attr(ino, &change)?;
            // The answer does not say so, and the kernel runs programs by the mode that it knows. Of
            // attributes alone it can be told at once, as it takes no lock for them that a request holds.
            if let Some(kernel) = self.kernel.get() {
                let _ = kernel.inval_inode(INodeNo(id), -1, 0);
            }
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    pub fn create(
        &self,
        request: &Request,
        dir: u64,
        name: &OsStr,
        kind: FileKind,
        mode: u32,
        rdev: u32,
        target: &[u8],
    ) -> Answer<Found> {
        let (tree, ino) = self.inner(dir)?;
        let node = NewNode {
            kind,
            perm: (mode & 0o7777) as u16,
            uid: request.uid(),
            gid: request.gid(),
            rdev,
            target,
        };
        match tree.volume.create(ino, name.as_bytes(), &node) {
            Ok(attr) => Ok(self.keep(&tree, &attr)),
            Err(error) => Err(convert::errno(&error)),
        }
    }

    pub fn link(&self, id: u64, dir: u64, name: &OsStr) -> Answer<Found> {
        let (tree, ino) = self.inner(id)?;
        let (other, dir) = self.inner(dir)?;
        if tree.key != other.key {
            return Err(Errno::EXDEV);
        }
        match tree.volume.link(ino, dir, name.as_bytes()) {
            Ok(attr) => Ok(self.keep(&tree, &attr)),
            Err(error) => Err(convert::errno(&error)),
        }
    }

    pub fn rename(&self, from: (u64, &OsStr), to: (u64, &OsStr), mode: RenameMode) -> Answer<()> {
        let (tree, from_dir) = self.inner(from.0)?;
        let (other, to_dir) = self.inner(to.0)?;
        if tree.key != other.key {
            return Err(Errno::EXDEV);
        }
        tree.volume
            .rename(
                (from_dir, from.1.as_bytes()),
                (to_dir, to.1.as_bytes()),
                mode,
            )
            .map_err(|error| convert::errno(&error))
    }

    fn keep_handle(&self, handle: Handle) -> u64 {
        let number = self.next_handle.fetch_add(1, Ordering::Relaxed);
        self.handles.lock().insert(number, handle);
        number
    }

    /// Opens a special file of the namespace. `None`: a file of a tree, which needs no handle.
    pub fn open_place(&self, request: &Request, id: u64) -> Answer<Option<u64>> {
        match self.node(id)? {
            Node::Inner(..) => Ok(None),
            Node::Location(Location::Control) => {
                let conversation =
                    Conversation::new(request.uid(), request.gid(), Arc::clone(&self.control));
                Ok(Some(self.keep_handle(Handle::Conversation(conversation))))
            }
            Node::Location(Location::Status) => {
                let text = self
                    .namespace
                    .status(self.viewer(request))
                    .into_bytes()
                    .into();
                Ok(Some(self.keep_handle(Handle::Text(text))))
            }
            Node::Location(_) => Err(Errno::EISDIR),
        }
    }

    pub fn close(&self, handle: u64) {
        let closed = self.handles.lock().remove(&handle);
        if let Some(Handle::Conversation(conversation)) = closed {
            conversation.close();
        }
    }

    pub fn conversation(&self, handle: u64) -> Option<Arc<Conversation>> {
        match self.handles.lock().get(&handle) {
            Some(Handle::Conversation(conversation)) => Some(Arc::clone(conversation)),
            _ => None,
        }
    }

    pub fn text(&self, handle: u64) -> Option<Arc<[u8]>> {
        match self.handles.lock().get(&handle) {
            Some(Handle::Text(text)) => Some(Arc::clone(text)),
            _ => None,
        }
    }

    pub fn open_directory(&self, uid: u32, id: u64) -> Answer<u64> {
        let handle = match self.node(id)? {
            Node::Inner(..) => Handle::Directory(Arc::default()),
            Node::Location(place) => {
                let names = self
                    .namespace
                    .list(&place, uid)
                    .map_err(|error| convert::errno(&error))?;
                let shown = names.into_iter().map(|name| {
                    let id = self.nodes.listed_id(name.place.as_ref());
                    let kind = if name.folder {
                        FileKind::Directory
                    } else {
                        FileKind::File
                    };
                    (name.name, id, kind)
                });
                Handle::Folder(Arc::new(shown.collect()))
            }
        };
        Ok(self.keep_handle(handle))
    }

    /// Lists a directory from number `at` on.
    pub fn list(&self, id: u64, handle: u64, at: u64, take: &mut Take<'_>) -> Answer<()> {
        let node = self.node(id)?;
        let found = self.handles.lock().get(&handle).cloned();
        if at == 0 && !take(1, id, FileKind::Directory, b".", None) {
            return Ok(());
        }
        if at <= 1 {
            let parent = self.parent(&node)?;
            if !take(2, parent, FileKind::Directory, b"..", None) {
                return Ok(());
            }
        }
        match (node, found) {
            (Node::Inner(tree, ino), Some(Handle::Directory(shared))) => {
                // Taken out so that no lock is held while the volume works; a second reader of the
                // same handle meanwhile starts with an empty memory, which is only slower.
                let mut cursor = std::mem::take(&mut *shared.lock());
                let result = cursor.read(&*tree.volume, ino, at, |next, entry| {
                    let id = self.nodes.id(&tree, entry.attr.ino);
                    take(next, id, entry.attr.kind, &entry.name, Some((&tree, entry)))
                });
                *shared.lock() = cursor;
                result.map_err(|error| convert::errno(&error))
            }
            (Node::Location(_), Some(Handle::Folder(names))) => {
                let skip = usize::try_from(at.saturating_sub(2)).unwrap_or(usize::MAX);
                for (index, (name, id, kind)) in names.iter().enumerate().skip(skip) {
                    if !take(index as u64 + 3, *id, *kind, name.as_bytes(), None) {
                        break;
                    }
                }
                Ok(())
            }
            _ => Err(Errno::EBADF),
        }
    }

    /// Adds an entry to a listing with attributes; `true` if there was room.
    pub fn add_plus(
        &self,
        reply: &mut ReplyDirectoryPlus,
        next: u64,
        id: u64,
        kind: FileKind,
        name: &[u8],
        entry: Option<(&Arc<Tree>, &DirEntry)>,
    ) -> bool {
        let name = OsStr::from_bytes(name);
        match entry {
            Some((tree, entry)) => {
                let generation = self.nodes.generation(tree);
                let attr = convert::attr(id, &entry.attr);
                let full = reply.add(INodeNo(id), next, name, &LONG, &attr, generation);
                if !full {
                    self.nodes.retain(tree, entry.attr.ino);
                }
                !full
            }
            None => {
                // `.`, `..` and the namespace's own entries are only named. A size that no file can
                // have makes the kernel leave the attributes alone.
                let mut attr = convert::attr(id, &Attr { kind, ..ABSENT });
                attr.size = u64::MAX;
                !reply.add(INodeNo(id), next, name, &Duration::ZERO, &attr, NAMESPACE)
            }
        }
    }

    /// Answers SEEK_DATA and SEEK_HOLE. The kernel asks without writing back first, so a file that is
    /// open for writing is written back here before its holes are looked for.
    pub fn seek(
        &self,
        id: u64,
        tree: Arc<Tree>,
        ino: u64,
        offset: u64,
        what: Seek,
        reply: ReplyLseek,
    ) {
        let answer = move |reply: ReplyLseek| match tree.volume.seek(ino, offset, what) {
            Ok(at) => reply.offset(i64::try_from(at).unwrap_or(i64::MAX)),
            Err(error) => reply.error(convert::errno(&error)),
        };
        if !self.writes.is_written(id) {
            return answer(reply);
        }
        // Not on this thread: it would wait for writes that it may have to answer itself.
        let daemon = Arc::clone(self.namespace.daemon());
        let job = move || {
            daemon.flush();
            answer(reply);
        };
        let builder = std::thread::Builder::new().name("safed-seek".to_owned());
        // Without a thread the reply is dropped, which answers EIO.
        let _ = builder.spawn(job);
    }

    /// The id of the folder that holds a directory.
    fn parent(&self, node: &Node) -> Answer<u64> {
        match node {
            Node::Location(_) => Ok(nodes::ROOT),
            Node::Inner(tree, ino) if *ino == tree.root => Ok(match tree.kind {
                crate::daemon::TreeKind::Home => nodes::ROOT,
                crate::daemon::TreeKind::Snapshot => nodes::SNAPSHOTS,
                crate::daemon::TreeKind::Public => nodes::PUBLIC,
            }),
            Node::Inner(tree, ino) => match tree.volume.parent(*ino) {
                Ok(parent) => Ok(self.nodes.id(tree, parent)),
                // A directory that was removed while open.
                Err(_) => Ok(nodes::ROOT),
            },
        }
    }
}
