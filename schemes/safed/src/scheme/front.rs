//! The requests, answered by the namespace and the volumes.
//!
//! What always holds here: permissions are decided by the identity that opened a handle, never by what
//! a request claims of its caller; no lock is held over a call into a volume; the caller's memory is
//! touched only between [`Ticket::commit`] and the answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use safeos_session::{Attr, Error, SetAttr, without_waiting};

use super::handles::{Handle, Handles, Held, Key, View, What};
use super::locks::{Locks, Owner};
use super::memory::Memory;
use super::wire::{self, Call, Done, Errno, Lent, Request};
use super::wire::{EACCES, EAGAIN, EBADF, EFBIG, EINVAL, EISDIR, ENODEV, EOPNOTSUPP, EPERM, ESRCH};
use crate::control::{Control, Conversation};
use crate::daemon::{Daemon, Signed};
use crate::namespace::{Location, Namespace};
use crate::permission::{Who, without_set_id};

/// The most bytes that one read gives; a caller that wants more asks again.
const READ_MAX: usize = 64 << 20;

/// The most fetches for non-blocking reads at a time.
const FETCHING_MAX: usize = 16;

/// The right to answer a request: the first to commit has it, the thread that works on it or the one that cancels it.
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

/// The outcome of a request.
pub enum Outcome {
    /// Its answer; data for the caller's memory is in the scratch.
    Now(Result<Done, Errno>),
    Later(Waiting),
}

/// Sends a message that is not an answer.
pub type Notify = Arc<dyn Fn(wire::Cqe) + Send + Sync>;

/// The front's state.
pub struct Front {
    pub(super) namespace: Namespace,
    pub(super) handles: Handles,
    pub(super) control: Arc<Control>,
    pub(super) memory: Memory,
    locks: Locks,
    notify: Notify,
    fetching: Arc<AtomicUsize>,
    /// The conversations whose events are wanted, by handle.
    watched: Arc<Mutex<HashMap<usize, (bool, bool)>>>,
}

fn errno(error: Error) -> Errno {
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
            fetching: Arc::default(),
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
            what: What::Location(Location::Root),
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

    /// Whose request it is, as far as that can be believed.
    pub fn user(&self, call: &Call) -> u32 {
        let handle = call.ask.handle().and_then(|id| self.handles.any(id).ok());
        let who = handle.and_then(|handle| handle.who);
        who.map_or(call.uid, |who| who.uid)
    }

    /// Answers a request. Bytes for the caller's memory are put into `scratch`.
    pub fn perform(&self, call: &Call, ticket: &dyn Ticket, scratch: &mut Vec<u8>) -> Outcome {
        let answer = match &call.ask {
            Request::Read {
                id,
                to,
                offset,
                nonblock,
            } => {
                return self.read(*id, *to, *offset, *nonblock, scratch);
            }
            Request::Write {
                id,
                from,
                offset,
                append,
            } => self.write(*id, from, *offset, *append, ticket),
            Request::Stat { id, .. } => self.stat(*id, scratch),
            Request::Open { dir, path, flags } => {
                let who = Who {
                    uid: call.uid,
                    gid: call.gid,
                };
                self.open(*dir, path, *flags, who, ticket)
            }
            Request::List { id, to, header, at } => self.list(*id, to.len(), *header, *at, scratch),
            Request::Size { id } => self.size(*id),
            Request::Path { id, to } => self.path(*id, to.len(), scratch),
            Request::RelativePath { id, dir, to } => self.relative(*id, *dir, to.len(), scratch),
            Request::Space { id, .. } => self.space(*id, scratch),
            Request::Events { id, read, write } => self.events(*id, *read, *write),
            Request::GetFlags { id } => self.handles.get(*id).map(|_| NOTHING),
            Request::SetFlags {
                id,
                append,
                nonblock,
            } => self.handles.get(*id).map(|handle| {
                handle.append.store(*append, Ordering::Relaxed);
                handle.nonblock.store(*nonblock, Ordering::Relaxed);
                NOTHING
            }),
            Request::FindLock { id, range, .. } => self.find_lock(*id, call.pid, range, scratch),
            Request::Refuse(errno) => Err(*errno),
            _ => ticket.commit().and_then(|()| self.change(call)),
        };
        Outcome::Now(answer)
    }

    /// The requests that change something and cannot be taken back.
    fn change(&self, call: &Call) -> Answer {
        match &call.ask {
            Request::Unlink {
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
            Request::Dup { id, what } => self.dup(*id, what),
            Request::Chmod { id, mode } => self.chmod(*id, *mode),
            Request::Chown { id, uid, gid } => self.chown(*id, *uid, *gid),
            Request::Rename { id, path } => self.rename(*id, path),
            Request::RenameAt {
                from,
                to,
                keep,
                exchange,
            } => self.rename_at((from.0, &from.1), (to.0, &to.1), *keep, *exchange),
            Request::Link { id, path } => self.link(*id, path),
            Request::LinkAt { id, dir, path } => self.link_at(*id, *dir, path),
            Request::Sync { id } => self.sync(*id),
            Request::Truncate { id, len } => self.truncate(*id, *len),
            Request::Times { id, access, change } => self.times(*id, *access, *change),
            Request::Map {
                id,
                offset,
                len,
                shared,
                write,
            } => self.map(*id, *offset, *len, *shared, *write),
            Request::Unmap { id, offset, len } => {
                let key = self.handles.any(*id)?.key.ok_or(EINVAL)?;
                self.memory.unmap(key, *offset, *len).map(|()| NOTHING)
            }
            Request::Lock { id, range } => {
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
            Request::Unlock { id, range } => {
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
        let nonblock = nonblock || handle.nonblock.load(Ordering::Relaxed);
        if let What::Conversation(conversation) = &handle.what
            && handle.read
        {
            let size = to.len();
            if nonblock {
                return Outcome::Now(read_now(conversation, size, scratch));
            }
            let conversation = Arc::clone(conversation);
            return Outcome::Later(Waiting {
                conversation,
                size,
                to,
            });
        }
        let len = to.len();
        if !nonblock {
            return Outcome::Now(self.read_bytes(&handle, len, offset, scratch));
        }
        let answer = without_waiting(|| self.read_bytes(&handle, len, offset, scratch));
        if answer == Err(EAGAIN) {
            scratch.clear();
            self.fetch(&handle, len, offset);
        }
        Outcome::Now(answer)
    }

    /// Reads the data of a non-blocking read, so that it is there when it is asked for again.
    fn fetch(&self, handle: &Arc<Handle>, len: usize, offset: u64) {
        let fetching = Arc::clone(&self.fetching);
        if fetching.fetch_add(1, Ordering::AcqRel) >= FETCHING_MAX {
            fetching.fetch_sub(1, Ordering::AcqRel);
            return;
        }
        let handle = Arc::clone(handle);
        let thread = std::thread::Builder::new().name("safed-fetch".to_owned());
        let started = thread.spawn({
            let fetching = Arc::clone(&fetching);
            move || {
                if let What::Node(held) = &handle.what {
                    let mut data = Vec::new();
                    // An error comes again with the next read.
                    let len = len.min(READ_MAX);
                    let _ = held.tree.volume.read(held.ino, offset, len, &mut data);
                }
                fetching.fetch_sub(1, Ordering::AcqRel);
            }
        });
        if started.is_err() {
            fetching.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn read_bytes(&self, handle: &Handle, len: usize, offset: u64, out: &mut Vec<u8>) -> Answer {
        match &handle.what {
            What::Location(_) | What::Sessions | What::Directory(..) => return Err(EISDIR),
            _ if !handle.read => return Err(EBADF),
            What::Node(held) => {
                let len = len.min(READ_MAX);
                self.memory.sync_range(held.key(), offset, len)?;
                held.tree
                    .volume
                    .read(held.ino, offset, len, out)
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
                    self.drop_set_id(held, handle.who)?;
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
    fn drop_set_id(&self, held: &Held, who: Option<Who>) -> Answer<()> {
        let of_group = |gid| who.is_some_and(|who| who.is_of_group(gid));
        if let Some(perm) = without_set_id(&self.attr_of(held)?, of_group) {
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

/// The output that a conversation has at once.
fn read_now(conversation: &Arc<Conversation>, size: usize, out: &mut Vec<u8>) -> Answer {
    let (sender, receiver) = std::sync::mpsc::channel();
    let answer = Box::new(move |answer: Result<&[u8], Errno>| {
        let _ = sender.send(answer.map(<[u8]>::to_vec));
    });
    // Not waiting, it is answered before this returns.
    conversation.read(size, false, answer);
    let data = receiver.try_recv().map_err(|_| EAGAIN)??;
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
