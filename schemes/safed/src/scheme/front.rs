//! The requests, answered by the namespace and the volumes.
//!
//! What always holds here: who may do what is decided by the identity that opened a handle, never by what
//! a request claims of its caller; no lock is held over a call into a volume; the caller's memory is
//! touched only between [`Ticket::commit`] and the answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use safeos_session::{Attr, FileKind, SetAttr, Space};

use super::handles::{Handle, Handles, Held, Key, View, What};
use super::locks::{Locks, Owner};
use super::memory::Memory;
use super::walk::MOUNTED_AT;
use super::wire::{self, Ask, Call, Done, Errno, Lent, Listing};
use super::wire::{
    EACCES, EBADF, EFBIG, EINVAL, EISDIR, ENODEV, ENOTDIR, EOPNOTSUPP, EPERM, ESPIPE, ESRCH, EXDEV,
};
use crate::control::{Control, Conversation};
use crate::daemon::{Daemon, Signed};
use crate::namespace::{Namespace, Place};
use crate::permission::{Who, without_set_id};

/// The most bytes that one read gives; who wants more asks again.
const READ_MAX: usize = 64 << 20;
/// The most bytes of entries that one listing gives.
const LIST_MAX: usize = 1 << 20;

/// The right to answer a request: whoever commits first, the one who works on it or the one who cancels it.
pub trait Ticket {
    /// From here on the request cannot be cancelled; ECANCELED if it was.
    fn commit(&self) -> Result<(), Errno>;
}

/// A read of a conversation that is answered when there is something to read.
pub struct Waiting {
    pub conversation: Arc<Conversation>,
    pub size: usize,
    pub to: Lent,
}

/// What becomes of a request.
pub enum Outcome {
    /// Its answer; what goes to the caller's memory is in the scratch.
    Now(Result<Done, Errno>),
    Later(Waiting),
}

/// Sends what is not an answer.
pub type Notify = Arc<dyn Fn(wire::Cqe) + Send + Sync>;

/// The front's state.
pub struct Front {
    pub(super) namespace: Namespace,
    pub(super) handles: Handles,
    pub(super) control: Arc<Control>,
    pub(super) memory: Memory,
    locks: Locks,
    notify: Notify,
    /// The conversations whose events somebody wants, by handle.
    watched: Arc<Mutex<HashMap<usize, (bool, bool)>>>,
}

fn errno(error: safeos_session::Error) -> Errno {
    error.errno()
}

type Answer<T = Done> = Result<T, Errno>;

const NOTHING: Done = Done::Value(0);

impl Front {
    /// A front of `daemon`; `notify` sends events to the kernel.
    pub fn new(daemon: &Arc<Daemon>, notify: Notify) -> Self {
        Self {
            namespace: Namespace::new(Arc::clone(daemon)),
            handles: Handles::default(),
            control: Control::new(Arc::clone(daemon)),
            memory: Memory::default(),
            locks: Locks::default(),
            notify,
            watched: Arc::default(),
        }
    }

    /// The daemon.
    pub fn daemon(&self) -> &Arc<Daemon> {
        self.namespace.daemon()
    }

    /// The handle that is the root of the scheme.
    pub fn scheme_root(&self) -> Answer<usize> {
        self.handles.insert(Handle {
            who: None,
            view: View::Common,
            what: What::Place(Place::Root),
            read: true,
            write: false,
            append: false.into(),
            nonblock: false.into(),
            path: Box::default(),
            at: None,
            key: None,
        })
    }

    /// Refuses what belongs to a session that has ended.
    pub(super) fn is_signed(&self, signed: &Arc<Signed>) -> Answer<()> {
        match self.namespace.daemon().signed(signed.uid) {
            Some(now) if Arc::ptr_eq(&now, signed) => Ok(()),
            _ => Err(ENODEV),
        }
    }

    pub(super) fn attr_of(&self, held: &Held) -> Answer<Attr> {
        held.tree.volume.attr(held.ino).map_err(errno)
    }

    /// Answers a request. Bytes for the caller's memory are put into `scratch`.
    pub fn perform(&self, call: &Call, ticket: &dyn Ticket, scratch: &mut Vec<u8>) -> Outcome {
        let answer = match &call.ask {
            Ask::Read {
                id,
                to,
                offset,
                nonblock,
            } => {
                return self.read(*id, *to, *offset, *nonblock, scratch);
            }
            Ask::Write {
                id,
                from,
                offset,
                append,
            } => self.write(*id, from, *offset, *append, ticket),
            Ask::Stat { id, .. } => self.stat(*id, scratch),
            Ask::Open { dir, path, flags } => {
                let who = Who {
                    uid: call.uid,
                    gid: call.gid,
                };
                self.open(*dir, path, *flags, who, ticket)
            }
            Ask::List { id, to, header, at } => self.list(*id, to.len(), *header, *at, scratch),
            Ask::Size { id } => self.size(*id),
            Ask::Path { id, to } => self.path(*id, to.len(), scratch),
            Ask::RelativePath { id, dir, to } => self.relative(*id, *dir, to.len(), scratch),
            Ask::Space { id, .. } => self.space(*id, scratch),
            Ask::Events { id, read, write } => self.events(*id, *read, *write),
            Ask::GetFlags { id } => self.handles.get(*id).map(|_| NOTHING),
            Ask::SetFlags {
                id,
                append,
                nonblock,
            } => self.handles.get(*id).map(|handle| {
                handle.append.store(*append, Ordering::Relaxed);
                handle.nonblock.store(*nonblock, Ordering::Relaxed);
                NOTHING
            }),
            Ask::FindLock { id, range, .. } => self.find_lock(*id, call.pid, range, scratch),
            Ask::Refuse(errno) => Err(*errno),
            _ => ticket.commit().and_then(|()| self.change(call)),
        };
        Outcome::Now(answer)
    }

    /// The requests that change something and cannot be taken back.
    fn change(&self, call: &Call) -> Answer {
        match &call.ask {
            Ask::Unlink {
                dir,
                path,
                folder,
                trusted,
            } => {
                let who = trusted.then_some(Who {
                    uid: call.uid,
                    gid: call.gid,
                });
                self.unlink(*dir, path, *folder, who)
            }
            Ask::Dup { id, what } => self.dup(*id, what),
            Ask::Chmod { id, mode } => self.chmod(*id, *mode),
            Ask::Chown { id, uid, gid } => self.chown(*id, *uid, *gid),
            Ask::Rename { id, path } => self.rename(*id, path),
            Ask::RenameAt {
                from,
                to,
                keep,
                exchange,
            } => self.rename_at((from.0, &from.1), (to.0, &to.1), *keep, *exchange),
            Ask::Link { id, path } => self.link(*id, path),
            Ask::LinkAt { id, dir, path } => self.link_at(*id, *dir, path),
            Ask::Sync { id } => self.sync(*id),
            Ask::Truncate { id, len } => self.truncate(*id, *len),
            Ask::Times { id, access, change } => self.times(*id, *access, *change),
            Ask::Map {
                id,
                offset,
                len,
                shared,
                write,
            } => self.map(*id, *offset, *len, *shared, *write),
            Ask::Unmap { id, offset, len } => {
                let key = self.handles.any(*id)?.key.ok_or(EINVAL)?;
                self.memory.unmap(key, *offset, *len).map(|()| NOTHING)
            }
            Ask::Lock { id, range } => {
                let (file, owner) = self.lock_of(*id, call.pid, range)?;
                let handle = self.handles.get(*id)?;
                if !(if range.exclusive {
                    handle.write
                } else {
                    handle.read
                }) {
                    return Err(EBADF);
                }
                self.locks.lock(file, owner, range)?;
                Ok(if range.of_handle {
                    NOTHING
                } else {
                    Done::Watched
                })
            }
            Ask::Unlock { id, range } => {
                let (file, owner) = self.lock_of(*id, call.pid, range)?;
                self.locks.unlock(file, owner, range);
                Ok(NOTHING)
            }
            _ => Err(EOPNOTSUPP),
        }
    }

    /// The last descriptor of a handle is gone.
    pub fn close(&self, id: usize) {
        let Some(handle) = self.handles.remove(id) else {
            return;
        };
        if let Some(key) = handle.key {
            self.locks.unlock_all(key, Owner::Handle(id));
        }
        if let What::Conversation(conversation) = &handle.what {
            self.watched.lock().remove(&id);
            conversation.close();
        }
    }

    /// A process has one descriptor of a handle less: its locks of that file go, as POSIX has it.
    pub fn detach(&self, id: usize, pid: usize) {
        if let Ok(handle) = self.handles.any(id)
            && let Some(key) = handle.key
        {
            self.locks.unlock_all(key, Owner::Process(pid));
        }
    }

    /// Whether a tree belongs to a session that has ended.
    fn tree_is_gone(&self, held: &Held) -> bool {
        let daemon = self.namespace.daemon();
        held.owner.is_some_and(|owner| {
            let signed = daemon.signed(owner);
            signed.is_none_or(|signed| !signed.shows(&held.tree))
        })
    }

    /// Whether a handle belongs to a session that has ended.
    pub(super) fn is_gone(&self, handle: &Handle) -> bool {
        handle.is_of(&|held| self.tree_is_gone(held), &|signed| {
            self.is_signed(signed).is_err()
        })
    }

    /// Sessions have come or gone.
    pub fn turned(&self) {
        self.handles.end(&|handle| self.is_gone(handle));
    }

    fn read(
        &self,
        id: usize,
        to: Lent,
        offset: u64,
        nonblock: bool,
        scratch: &mut Vec<u8>,
    ) -> Outcome {
        let handle = match self.handles.get(id) {
            Ok(handle) => handle,
            Err(errno) => return Outcome::Now(Err(errno)),
        };
        if let What::Conversation(conversation) = &handle.what
            && handle.read
        {
            let size = to.len();
            if nonblock || handle.nonblock.load(Ordering::Relaxed) {
                return Outcome::Now(read_now(conversation, size, scratch));
            }
            let conversation = Arc::clone(conversation);
            return Outcome::Later(Waiting {
                conversation,
                size,
                to,
            });
        }
        Outcome::Now(self.read_bytes(&handle, to.len(), offset, scratch))
    }

    fn read_bytes(&self, handle: &Handle, len: usize, offset: u64, out: &mut Vec<u8>) -> Answer {
        match &handle.what {
            What::Place(_) | What::Sessions | What::Directory(..) => return Err(EISDIR),
            _ if !handle.read => return Err(EBADF),
            What::Node(held) => {
                self.memory.sync(held.key())?;
                held.tree
                    .volume
                    .read(held.ino, offset, len.min(READ_MAX), out)
                    .map_err(errno)?;
            }
            What::Link(held) => {
                let target = held.tree.volume.read_link(held.ino).map_err(errno)?;
                part(&target, len, offset, out);
            }
            What::Text(text) => part(text, len, offset, out),
            What::NewLink(_) | What::Conversation(_) => return Err(EBADF),
            What::Ended => return Err(ENODEV),
        }
        Ok(Done::Value(out.len()))
    }

    fn write(
        &self,
        id: usize,
        from: &Lent,
        offset: u64,
        append: bool,
        ticket: &dyn Ticket,
    ) -> Answer {
        let handle = self.handles.get(id)?;
        if !handle.write {
            return Err(EBADF);
        }
        ticket.commit()?;
        // SAFETY: the request is committed and not answered yet.
        let data = unsafe { from.bytes() };
        match &handle.what {
            What::Node(held) => {
                let append = append || handle.append.load(Ordering::Relaxed);
                let offset = (!append).then_some(offset);
                let end = offset.unwrap_or(0).checked_add(data.len() as u64);
                if end.is_none_or(|end| end > i64::MAX as u64) {
                    return Err(EFBIG);
                }
                let volume = &held.tree.volume;
                let at = volume.write(held.ino, offset, data).map_err(errno)?;
                if handle.who.is_none_or(|who| !who.is_root()) {
                    self.drop_set_id(held)?;
                }
                self.memory.wrote(held.key(), at, data);
            }
            What::Conversation(conversation) => conversation.write(data)?,
            What::NewLink(link) => self.make_link(link, &handle, data)?,
            What::Ended => return Err(ENODEV),
            _ => return Err(EBADF),
        }
        Ok(Done::Value(data.len()))
    }

    /// Takes the set-id bits away, as any write but root's does.
    fn drop_set_id(&self, held: &Held) -> Answer<()> {
        if let Some(perm) = without_set_id(&self.attr_of(held)?) {
            let change = SetAttr {
                perm: Some(perm),
                ..SetAttr::default()
            };
            held.tree
                .volume
                .set_attr(held.ino, &change)
                .map_err(errno)?;
        }
        Ok(())
    }

    /// The attributes of what is open, and the number of its tree.
    pub(super) fn attr(&self, handle: &Handle) -> Answer<(u64, Attr)> {
        let place = |place: &Place| self.namespace.attr(place).map_err(errno);
        Ok(match &handle.what {
            What::Node(held) | What::Link(held) | What::Directory(held, _) => {
                (held.tree.key, self.attr_of(held)?)
            }
            What::Place(at) => {
                if let View::Session(signed) = &handle.view {
                    self.is_signed(signed)?;
                }
                (
                    0,
                    Attr {
                        ino: place_number(at),
                        ..place(at)?
                    },
                )
            }
            What::Sessions => (
                0,
                Attr {
                    perm: 0o111,
                    ..place(&Place::Public)?
                },
            ),
            What::Conversation(_) => (
                0,
                Attr {
                    ino: place_number(&Place::Control),
                    ..place(&Place::Control)?
                },
            ),
            What::Text(text) => {
                let attr = place(&Place::Status)?;
                let size = text.len() as u64;
                (
                    0,
                    Attr {
                        ino: place_number(&Place::Status),
                        size,
                        ..attr
                    },
                )
            }
            What::NewLink(link) => match *link.made.lock() {
                Some(ino) => {
                    let attr = link.dir.tree.volume.attr(ino).map_err(errno)?;
                    (link.dir.tree.key, attr)
                }
                None => {
                    let kind = FileKind::Symlink;
                    (
                        link.dir.tree.key,
                        Attr {
                            kind,
                            perm: 0o777,
                            ..place(&Place::Status)?
                        },
                    )
                }
            },
            What::Ended => return Err(ENODEV),
        })
    }

    fn stat(&self, id: usize, out: &mut Vec<u8>) -> Answer {
        let handle = self.handles.get(id)?;
        let (tree, attr) = self.attr(&handle)?;
        wire::stat_bytes(tree, &attr, out);
        Ok(NOTHING)
    }

    fn size(&self, id: usize) -> Answer {
        let handle = self.handles.get(id)?;
        if matches!(handle.what, What::Conversation(_)) {
            return Err(ESPIPE);
        }
        let (_, attr) = self.attr(&handle)?;
        Ok(Done::Value(
            usize::try_from(attr.size).unwrap_or(usize::MAX >> 1),
        ))
    }

    fn space(&self, id: usize, out: &mut Vec<u8>) -> Answer {
        let handle = self.handles.get(id)?;
        let uid = match &handle.view {
            View::Session(signed) => Some(signed.uid),
            View::Common => handle.who.map(|who| who.uid),
        };
        let space = match handle.held() {
            Some(held) => held.tree.volume.space().map_err(errno)?,
            None => match uid.and_then(|uid| self.namespace.daemon().signed(uid)) {
                Some(signed) => signed.home.volume.space().map_err(errno)?,
                None => Space::default(),
            },
        };
        wire::space_bytes(&space, out);
        Ok(NOTHING)
    }

    /// Where a handle is, as an absolute path that opens it again.
    fn full_path(&self, handle: &Handle) -> Answer<String> {
        let inside = match handle.held() {
            Some(held) => self.path_in_tree(handle, held)?,
            None => handle.path.to_string(),
        };
        let mut path = MOUNTED_AT.to_owned();
        if !inside.is_empty() {
            path.push('/');
            path.push_str(&inside);
        }
        Ok(path)
    }

    fn path(&self, id: usize, room: usize, out: &mut Vec<u8>) -> Answer {
        let handle = self.handles.get(id)?;
        let path = self.full_path(&handle)?;
        out.extend_from_slice(path.as_bytes());
        out.truncate(room);
        Ok(Done::Value(out.len()))
    }

    fn relative(&self, id: usize, dir: usize, room: usize, out: &mut Vec<u8>) -> Answer {
        let path = self.full_path(&*self.handles.get(id)?)?;
        let base = self.full_path(&*self.handles.get(dir)?)?;
        let rest = path.strip_prefix(&base).ok_or(EXDEV)?;
        let rest = match rest.strip_prefix('/') {
            Some(rest) => rest,
            None if rest.is_empty() => "",
            None => return Err(EXDEV),
        };
        if rest.len() > room {
            return Err(EINVAL);
        }
        out.extend_from_slice(rest.as_bytes());
        Ok(Done::Value(out.len()))
    }

    fn events(&self, id: usize, read: bool, write: bool) -> Answer {
        let handle = self.handles.get(id)?;
        let What::Conversation(conversation) = &handle.what else {
            // Files are always ready; the kernel knows this answer.
            return Err(EPERM);
        };
        self.watched.lock().insert(id, (read, write));
        let (watched, notify) = (Arc::clone(&self.watched), Arc::clone(&self.notify));
        conversation.watch(Box::new(move || {
            let wanted = watched.lock().get(&id).copied();
            if let Some((true, _)) = wanted {
                notify(wire::event(id, true, false));
            }
        }));
        let readable = read && conversation.is_readable();
        Ok(Done::Value(wire::event_bits(readable, write)))
    }

    fn list(&self, id: usize, room: usize, header: u16, at: u64, out: &mut Vec<u8>) -> Answer {
        let handle = self.handles.get(id)?;
        out.resize(room.min(LIST_MAX), 0);
        let mut listing = Listing::new(out, header)?;
        // Whether an entry did not fit.
        let mut full = false;
        match &handle.what {
            What::Directory(held, shared) => {
                if !handle.read {
                    return Err(EBADF);
                }
                // Taken out so that no lock is held while the volume works; a second reader of the same
                // handle meanwhile starts with an empty memory, which is only slower.
                let mut cursor = std::mem::take(&mut *shared.lock());
                let volume = &*held.tree.volume;
                let result = cursor.read(volume, held.ino, at, |next, entry| {
                    // A name that is no text cannot be said here, nor asked for.
                    let Ok(name) = std::str::from_utf8(&entry.name) else {
                        return true;
                    };
                    full = !listing.add(next, entry.attr.ino, entry.attr.kind, name);
                    !full
                });
                *shared.lock() = cursor;
                // What was listed before an error stands.
                if let Err(error) = result
                    && listing.is_empty()
                {
                    return Err(errno(error));
                }
            }
            What::Place(place) if !matches!(place, Place::Control | Place::Status) => {
                let uid = match &handle.view {
                    View::Session(signed) => {
                        self.is_signed(signed)?;
                        signed.uid
                    }
                    View::Common => handle.who.ok_or(EACCES)?.uid,
                };
                let names = self.namespace.list(place, uid).map_err(errno)?;
                let skip = usize::try_from(at).unwrap_or(usize::MAX);
                for (index, name) in names.iter().enumerate().skip(skip) {
                    let kind = if name.folder {
                        FileKind::Directory
                    } else {
                        FileKind::File
                    };
                    let number = name.place.as_ref().map_or(u64::MAX, place_number);
                    full = !listing.add(index as u64 + 1, number, kind, &name.name);
                    if full {
                        break;
                    }
                }
            }
            What::Sessions => return Err(EACCES),
            What::Ended => return Err(ENODEV),
            _ => return Err(ENOTDIR),
        }
        if full && listing.is_empty() {
            return Err(EINVAL);
        }
        let written = listing.finish();
        out.truncate(written);
        Ok(Done::Value(written))
    }

    fn sync(&self, id: usize) -> Answer {
        let handle = self.handles.get(id)?;
        if let Some(held) = handle.held() {
            self.memory.sync(held.key())?;
            held.tree.volume.sync(held.ino).map_err(errno)?;
        }
        Ok(NOTHING)
    }

    fn map(&self, id: usize, offset: u64, len: usize, shared: bool, write: bool) -> Answer {
        let handle = self.handles.get(id)?;
        let What::Node(held) = &handle.what else {
            return Err(ENODEV);
        };
        if !handle.read || shared && write && !handle.write {
            return Err(EACCES);
        }
        self.memory
            .map(held, offset, len, shared && write)
            .map(Done::Value)
    }

    /// The file that a lock is of, and its owner.
    fn lock_of(&self, id: usize, pid: usize, range: &wire::LockRange) -> Answer<(Key, Owner)> {
        let handle = self.handles.get(id)?;
        let What::Node(held) = &handle.what else {
            return Err(EINVAL);
        };
        let owner = if range.of_handle {
            Owner::Handle(id)
        } else {
            Owner::Process(pid)
        };
        Ok((held.key(), owner))
    }

    fn find_lock(
        &self,
        id: usize,
        pid: usize,
        range: &wire::LockRange,
        out: &mut Vec<u8>,
    ) -> Answer {
        let (file, owner) = self.lock_of(id, pid, range)?;
        let (other, found) = self.locks.find(file, owner, range).ok_or(ESRCH)?;
        out.extend_from_slice(&wire::lock_bytes(&found));
        Ok(Done::Value(match other {
            Owner::Process(pid) => pid,
            Owner::Handle(_) => 0,
        }))
    }
}

/// What a conversation has to say at once.
fn read_now(conversation: &Arc<Conversation>, size: usize, out: &mut Vec<u8>) -> Answer {
    let (sender, receiver) = std::sync::mpsc::channel();
    let answer = Box::new(move |answer: Result<&[u8], Errno>| {
        let _ = sender.send(answer.map(<[u8]>::to_vec));
    });
    // Not waiting, it is answered before this returns.
    conversation.read(size, false, answer);
    let data = receiver.try_recv().map_err(|_| wire::EAGAIN)??;
    out.extend_from_slice(&data);
    Ok(Done::Value(out.len()))
}

/// Appends the part of `data` that a read asks for.
fn part(data: &[u8], len: usize, offset: u64, out: &mut Vec<u8>) {
    let from = usize::try_from(offset)
        .unwrap_or(usize::MAX)
        .min(data.len());
    let to = from.saturating_add(len).min(data.len());
    out.extend_from_slice(&data[from..to]);
}

/// The number that a place of the namespace shows.
fn place_number(place: &Place) -> u64 {
    match place {
        Place::Root => 1,
        Place::Control => 2,
        Place::Status => 3,
        Place::Snapshots => 4,
        Place::Public => 5,
        Place::Tree(tree) => tree.root,
    }
}
