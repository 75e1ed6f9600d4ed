//! The kernel's requests one by one: each is decoded, handed to the front and replied to.
//!
//! What always holds here: a handler that panics costs that one request (the reply answers EIO when it
//! is dropped), not the mount.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use fuser::{
    BsdFileFlags, Errno, FileHandle, Filesystem, FopenFlags, INodeNo, InitFlags, IoctlFlags,
    KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen,
    ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use safeos_session::{Allocate, FileKind, Seek, SetAttr, Space, XattrMode};
use safeos_telemetry::metrics::SESSIONS;
use safeos_telemetry::span;

use super::broken;
use super::caller::Caller;
use super::convert;
use super::front::Front;
use super::nodes::Node;
use super::reply::{attr, check_xattr_name, empty, entry, from_session, sized, writes};
use crate::namespace::Location;

/// The largest write the kernel sends in one request, and the largest read.
const TRANSFER_MAX: u32 = 1024 * 1024;
/// Requests the kernel may have in flight for read-ahead and write-back.
const BACKGROUND_MAX: u16 = 64;
const STATFS_BLOCK: u64 = 4096;
const NAME_MAX: u32 = 255;

// Not FUSE_ASYNC_DIO: after an asynchronous direct write the kernel does not drop the pages that
// were read into its cache meanwhile, and shows the old content from then on.
const WANTED: [InitFlags; 9] = [
    InitFlags::FUSE_WRITEBACK_CACHE,
    InitFlags::FUSE_PARALLEL_DIROPS,
    InitFlags::FUSE_DO_READDIRPLUS,
    InitFlags::FUSE_READDIRPLUS_AUTO,
    InitFlags::FUSE_EXPORT_SUPPORT,
    InitFlags::FUSE_HANDLE_KILLPRIV_V2,
    InitFlags::FUSE_CACHE_SYMLINKS,
    InitFlags::FUSE_EXPLICIT_INVAL_DATA,
    InitFlags::FUSE_MAX_PAGES,
];

impl Front {
    /// Runs a handler; should it panic, the reply that it drops answers EIO.
    fn guard(&self, what: &'static str, handler: impl FnOnce()) {
        let _span = span!(TRACE, "file", request = what);
        SESSIONS.requests.fetch_add(1, Ordering::Relaxed);
        if broken::guarded(|| catch_unwind(AssertUnwindSafe(handler))).is_err() {
            let line = format!("the request {what} failed inside the daemon; please report this");
            self.namespace.daemon().problem(line);
        }
    }
}

impl Filesystem for Front {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for flag in WANTED {
            // An older kernel works without it.
            let _ = config.add_capabilities(flag);
        }
        let _ = config.set_max_write(TRANSFER_MAX);
        if let Err(most) = config.set_max_readahead(TRANSFER_MAX) {
            let _ = config.set_max_readahead(most);
        }
        let _ = config.set_max_background(BACKGROUND_MAX);
        Ok(())
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.guard("lookup", || {
            entry(
                reply,
                Front::lookup(self, self.looks(request), parent.0, name),
            );
        });
    }

    fn forget(&self, _: &Request, ino: INodeNo, count: u64) {
        self.guard("forget", || self.nodes.forget(ino.0, count));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        self.guard("getattr", || attr(reply, self.attr(ino.0)));
    }

    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        ctime: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        self.guard("setattr", || {
            let change = SetAttr {
                perm: mode.map(|mode| (mode & 0o7777) as u16),
                uid,
                gid,
                size,
                atime: atime.map(convert::time_or_now),
                mtime: mtime.map(convert::time_or_now),
                ctime: ctime.map(convert::nanos),
            };
            if self.nodes.asking.is_own(request.pid(), ino.0) {
                return attr(reply, self.attr(ino.0));
            }
            attr(reply, self.set_attr(&Caller::of(request), ino.0, change));
        });
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        self.guard("readlink", || {
            let target = self
                .inner(ino.0)
                .and_then(|(tree, ino)| from_session(tree.volume.read_link(ino)));
            match target {
                Ok(target) => reply.data(&target),
                Err(error) => reply.error(error),
            }
        });
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        self.guard("mknod", || {
            let found = convert::kind_of_mode(mode)
                .ok_or(Errno::EINVAL)
                .and_then(|kind| self.create(request, parent.0, name, kind, mode, rdev, b""));
            entry(reply, found);
        });
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        reply: ReplyEntry,
    ) {
        self.guard("mkdir", || {
            let kind = FileKind::Directory;
            entry(
                reply,
                self.create(request, parent.0, name, kind, mode, 0, b""),
            );
        });
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.guard("unlink", || {
            let done = self
                .inner(parent.0)
                .and_then(|(tree, dir)| from_session(tree.volume.unlink(dir, name.as_bytes())));
            empty(reply, done);
        });
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.guard("rmdir", || {
            let done = self
                .inner(parent.0)
                .and_then(|(tree, dir)| from_session(tree.volume.rmdir(dir, name.as_bytes())));
            empty(reply, done);
        });
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        self.guard("symlink", || {
            let target = target.as_os_str().as_bytes();
            let kind = FileKind::Symlink;
            entry(
                reply,
                self.create(request, parent.0, name, kind, 0o777, 0, target),
            );
        });
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        self.guard("rename", || {
            let done = convert::rename_mode(flags).and_then(|mode| {
                Front::rename(self, (parent.0, name), (new_parent.0, new_name), mode)
            });
            empty(reply, done);
        });
    }

    fn link(
        &self,
        _: &Request,
        ino: INodeNo,
        new_parent: INodeNo,
        new_name: &OsStr,
        reply: ReplyEntry,
    ) {
        self.guard("link", || {
            entry(reply, Front::link(self, ino.0, new_parent.0, new_name));
        });
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        self.guard("open", || match self.open_place(request, ino.0) {
            Ok(None) => {
                if writes(flags.0) {
                    self.writes.writer_came(ino.0);
                }
                reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
            }
            Ok(Some(handle)) => {
                let mut how = FopenFlags::FOPEN_DIRECT_IO;
                if self.conversation(handle).is_some() {
                    how |= FopenFlags::FOPEN_NONSEEKABLE | FopenFlags::FOPEN_STREAM;
                }
                reply.opened(FileHandle(handle), how);
            }
            Err(error) => reply.error(error),
        });
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        self.guard("create", || {
            let kind = FileKind::File;
            match Front::create(self, request, parent.0, name, kind, mode, 0, b"") {
                Ok(found) => {
                    if writes(flags) {
                        self.writes.writer_came(found.attr.ino.0);
                    }
                    reply.created(
                        &found.attr_valid,
                        &found.attr,
                        found.generation,
                        FileHandle(0),
                        FopenFlags::FOPEN_KEEP_CACHE,
                    );
                }
                Err(error) => reply.error(error),
            }
        });
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.guard("read", || match self.node(ino.0) {
            Ok(Node::Inner(tree, ino)) => {
                let mut data = Vec::new();
                match tree.volume.read(ino, offset, size as usize, &mut data) {
                    Ok(()) => reply.data(&data),
                    Err(error) => reply.error(convert::errno(&error)),
                }
            }
            Ok(Node::Location(Location::Control)) => match self.conversation(handle.0) {
                Some(conversation) => {
                    let wait = flags.0 & libc::O_NONBLOCK == 0;
                    let answer = Box::new(move |answer: Result<&[u8], i32>| match answer {
                        Ok(data) => reply.data(data),
                        Err(errno) => reply.error(Errno::from_i32(errno)),
                    });
                    conversation.read(size as usize, wait, answer);
                }
                None => reply.error(Errno::EBADF),
            },
            Ok(Node::Location(Location::Status)) => match self.text(handle.0) {
                Some(text) => {
                    let from = usize::try_from(offset)
                        .unwrap_or(usize::MAX)
                        .min(text.len());
                    let to = from.saturating_add(size as usize).min(text.len());
                    reply.data(&text[from..to]);
                }
                None => reply.error(Errno::EBADF),
            },
            Ok(Node::Location(_)) => reply.error(Errno::EISDIR),
            Err(error) => reply.error(error),
        });
    }

    fn write(
        &self,
        request: &Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        how: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        self.guard("write", || {
            let _under_way = self.writes.begin();
            let written = match self.node(ino.0) {
                Ok(Node::Inner(tree, inner)) => {
                    // Of what its cache held back the kernel sends the times by itself.
                    let done = if how.contains(WriteFlags::FUSE_WRITE_CACHE) {
                        tree.volume.write_back(inner, offset, data)
                    } else {
                        tree.volume.write(inner, Some(offset), data).map(drop)
                    };
                    let done = done.and_then(|()| {
                        if how.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID) {
                            self.drop_set_id(&Caller::of(request), ino.0, &tree, inner)?;
                        }
                        Ok(())
                    });
                    from_session(done)
                }
                Ok(Node::Location(Location::Control)) => {
                    let taken = self
                        .conversation(handle.0)
                        .ok_or(Errno::EBADF)
                        .and_then(|conversation| conversation.write(data).map_err(Errno::from_i32));
                    wipe(data);
                    taken
                }
                Ok(Node::Location(_)) => Err(Errno::EBADF),
                Err(error) => Err(error),
            };
            match written {
                Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
                Err(error) => reply.error(error),
            }
        });
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // The kernel writes back before it asks; once told so it asks no more.
        reply.error(Errno::ENOSYS);
    }

    fn release(
        &self,
        _: &Request,
        ino: INodeNo,
        handle: FileHandle,
        flags: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.guard("release", || {
            if handle.0 != 0 {
                self.close(handle.0);
            } else if writes(flags.0) {
                self.writes.writer_went(ino.0);
            }
            reply.ok();
        });
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.guard("fsync", || {
            let done = match self.node(ino.0) {
                Ok(Node::Inner(tree, ino)) => from_session(tree.volume.sync(ino)),
                Ok(Node::Location(_)) => Ok(()),
                Err(error) => Err(error),
            };
            empty(reply, done);
        });
    }

    fn opendir(&self, request: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.guard("opendir", || {
            match self.open_directory(self.viewer(request), ino.0) {
                Ok(handle) => reply.opened(FileHandle(handle), FopenFlags::empty()),
                Err(error) => reply.error(error),
            }
        });
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        self.guard("readdir", || {
            let listed = self.list(ino.0, handle.0, offset, &mut |next, id, kind, name, _| {
                let name = OsStr::from_bytes(name);
                !reply.add(INodeNo(id), next, convert::kind(kind), name)
            });
            match listed {
                Ok(()) => reply.ok(),
                Err(error) => reply.error(error),
            }
        });
    }

    fn readdirplus(
        &self,
        _: &Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        self.guard("readdirplus", || {
            let listed = self.list(
                ino.0,
                handle.0,
                offset,
                &mut |next, id, kind, name, entry| {
                    self.add_plus(&mut reply, next, id, kind, name, entry)
                },
            );
            match listed {
                Ok(()) => reply.ok(),
                Err(error) => reply.error(error),
            }
        });
    }

    fn releasedir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.guard("releasedir", || {
            self.close(handle.0);
            reply.ok();
        });
    }

    fn fsyncdir(
        &self,
        request: &Request,
        ino: INodeNo,
        handle: FileHandle,
        datasync: bool,
        reply: ReplyEmpty,
    ) {
        self.fsync(request, ino, handle, datasync, reply);
    }

    fn statfs(&self, request: &Request, ino: INodeNo, reply: ReplyStatfs) {
        self.guard("statfs", || {
            let space = match self.node(ino.0) {
                Ok(Node::Inner(tree, _)) => from_session(tree.volume.space()),
                Ok(Node::Location(_)) => match self.namespace.daemon().signed(self.viewer(request))
                {
                    Some(signed) => from_session(signed.home.volume.space()),
                    None => Ok(Space::default()),
                },
                Err(error) => Err(error),
            };
            match space {
                Ok(space) => {
                    let free = space.free / STATFS_BLOCK;
                    reply.statfs(
                        space.total / STATFS_BLOCK,
                        free,
                        free,
                        space.nodes.saturating_add(free),
                        free,
                        STATFS_BLOCK as u32,
                        NAME_MAX,
                        STATFS_BLOCK as u32,
                    );
                }
                Err(error) => reply.error(error),
            }
        });
    }

    fn setxattr(
        &self,
        _: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _: u32,
        reply: ReplyEmpty,
    ) {
        self.guard("setxattr", || {
            let mode = match flags {
                0 => Ok(XattrMode::Any),
                libc::XATTR_CREATE => Ok(XattrMode::Create),
                libc::XATTR_REPLACE => Ok(XattrMode::Replace),
                _ => Err(Errno::EINVAL),
            };
            let done = mode.and_then(|mode| {
                let name = check_xattr_name(name)?;
                let (tree, ino) = self.inner(ino.0)?;
                from_session(tree.volume.set_xattr(ino, name, value, mode))
            });
            empty(reply, done);
        });
    }

    fn getxattr(&self, _: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        self.guard("getxattr", || {
            let value = check_xattr_name(name).and_then(|name| match self.node(ino.0)? {
                Node::Inner(tree, ino) => from_session(tree.volume.xattr(ino, name)),
                Node::Location(_) => Err(Errno::ENODATA),
            });
            sized(reply, value, size);
        });
    }

    fn listxattr(&self, request: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        self.guard("listxattr", || {
            let names = self.node(ino.0).and_then(|node| match node {
                Node::Inner(tree, ino) => from_session(tree.volume.xattrs(ino)),
                Node::Location(_) => Ok(Vec::new()),
            });
            let list = names.map(|names| {
                let mut list = Vec::new();
                for name in names {
                    if request.uid() == 0 || !name.starts_with(b"trusted.") {
                        list.extend_from_slice(&name);
                        list.push(0);
                    }
                }
                list
            });
            sized(reply, list, size);
        });
    }

    fn removexattr(&self, _: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.guard("removexattr", || {
            let done = check_xattr_name(name).and_then(|name| {
                let (tree, ino) = self.inner(ino.0)?;
                from_session(tree.volume.remove_xattr(ino, name))
            });
            empty(reply, done);
        });
    }

    fn ioctl(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: IoctlFlags,
        _: u32,
        _: &[u8],
        _: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Errno::ENOTTY);
    }

    fn fallocate(
        &self,
        request: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        len: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        self.guard("fallocate", || {
            let keep_size = mode & libc::FALLOC_FL_KEEP_SIZE != 0;
            let what = match mode & !libc::FALLOC_FL_KEEP_SIZE {
                0 => Ok(Allocate::Reserve { keep_size }),
                libc::FALLOC_FL_PUNCH_HOLE if keep_size => Ok(Allocate::PunchHole),
                libc::FALLOC_FL_ZERO_RANGE => Ok(Allocate::Zero { keep_size }),
                _ => Err(Errno::EOPNOTSUPP),
            };
            let done = what.and_then(|what| {
                let (tree, inner) = self.inner(ino.0)?;
                from_session(tree.volume.allocate(inner, offset, len, what))?;
                let caller = Caller::of(request);
                // Unlike with a write, the kernel does not say whether it has to be done.
                if caller.is_root() {
                    return Ok(());
                }
                from_session(self.drop_set_id(&caller, ino.0, &tree, inner))
            });
            empty(reply, done);
        });
    }

    fn lseek(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        self.guard("lseek", || {
            let what = match whence {
                libc::SEEK_DATA => Ok(Seek::Data),
                libc::SEEK_HOLE => Ok(Seek::Hole),
                _ => Err(Errno::EINVAL),
            };
            let (what, offset) = match (what, u64::try_from(offset)) {
                (Ok(what), Ok(offset)) => (what, offset),
                (Err(error), _) => return reply.error(error),
                (_, Err(_)) => return reply.error(Errno::ENXIO),
            };
            match self.inner(ino.0) {
                Ok((tree, inner)) => {
                    self.seek(ino.0, Arc::clone(&tree), inner, offset, what, reply)
                }
                Err(error) => reply.error(error),
            }
        });
    }
}

/// Wipes what was read of a request in `fuser`'s buffer, which keeps it until a request as long comes to the same
/// thread.
fn wipe(data: &[u8]) {
    // SAFETY: the bytes lie in the buffer that `fuser` has the kernel write requests to, in the part that holds this
    // one's data. That part is not read after its handler, and the handler has read it; the function that writes is
    // opaque to the compiler, as the kernel is.
    unsafe { libc::explicit_bzero(data.as_ptr().cast_mut().cast(), data.len()) };
}
