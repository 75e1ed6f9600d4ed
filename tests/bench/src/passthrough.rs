//! The floor: a plain pass-through FUSE mount, which is what any FUSE file system costs before it does
//! anything of its own.
//!
//! It does what a good ordinary pass-through does (the choices of libfuse's `passthrough_hp`): several
//! threads, each with its own channel; every inode is an `O_PATH` descriptor, so no paths are put
//! together; readdirplus; the kernel's write-back cache; names, attributes and pages kept by the
//! kernel for a day, as nothing changes the folder behind its back; writes of up to 1 MiB. It does not
//! use the kernel's own pass-through of open files (`FUSE_PASSTHROUGH`): nothing that encrypts could, so
//! that would be no floor.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, InitFlags, KernelConfig, LockOwner, MountOption, OpenFlags, RenameFlags,
    ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry,
    ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, SessionACL, TimeOrNow,
    WriteFlags,
};
use parking_lot::Mutex;

mod answer;
mod state;
mod sys;

use answer::{answer, answer_attr, answer_entry, answer_xattr};
use state::{Listing, Node, Nodes, PassThrough};
use sys::{
    allow_many_descriptors, attr, c_string, check, check_len, handle, is_root, open_at, raw,
    stat_fd, timespec,
};

const KEPT: Duration = Duration::from_secs(86_400);
const WRITE_BYTES_MAX: u32 = 1 << 20;

/// Mounts `folder` at `mount` and serves it until it is unmounted.
pub fn serve(folder: &Path, mount: &Path, writeback: bool) -> io::Result<()> {
    allow_many_descriptors();
    let root = open_at(libc::AT_FDCWD, &c_string(folder.as_os_str())?, libc::O_PATH)?;
    let stat = stat_fd(root.as_raw_fd())?;
    let mut nodes = Nodes {
        newest: 1,
        ..Nodes::default()
    };
    let key = (stat.st_dev, stat.st_ino);
    nodes.by_number.insert(
        1,
        Node {
            fd: Arc::new(root),
            key,
            lookups: u64::MAX / 2,
        },
    );
    nodes.by_key.insert(key, 1);
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName("passthrough".into()),
        MountOption::DefaultPermissions,
    ];
    if is_root() {
        config.acl = SessionACL::All;
    }
    config.n_threads = Some(std::thread::available_parallelism().map_or(2, |n| n.get().max(2)));
    config.clone_fd = true;
    fuser::mount(
        PassThrough {
            nodes: Mutex::new(nodes),
            listings: Mutex::default(),
            writeback,
        },
        mount,
        &config,
    )
}

#[allow(clippy::too_many_arguments)]
impl Filesystem for PassThrough {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let mut wanted = vec![
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_ASYNC_READ,
            InitFlags::FUSE_ATOMIC_O_TRUNC,
            InitFlags::FUSE_CACHE_SYMLINKS,
        ];
        if self.writeback {
            wanted.push(InitFlags::FUSE_WRITEBACK_CACHE);
        }
        for flag in wanted {
            // A kernel without one of them still makes a good floor.
            let _ = config.add_capabilities(flag);
        }
        let _ = config.set_max_write(WRITE_BYTES_MAX);
        let _ = config.set_max_readahead(WRITE_BYTES_MAX);
        let _ = config.set_max_background(64);
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self
            .fd(parent)
            .and_then(|dir| self.find(dir.as_raw_fd(), &c_string(name)?));
        answer_entry(found, reply);
    }

    fn forget(&self, _req: &Request, ino: INodeNo, nlookup: u64) {
        self.forget_times(ino.0, nlookup);
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, fh: Option<FileHandle>, reply: ReplyAttr) {
        let stat = match fh {
            Some(fh) => stat_fd(raw(fh)),
            None => self.fd(ino).and_then(|fd| stat_fd(fd.as_raw_fd())),
        };
        answer_attr(stat.map(|stat| attr(ino.0, &stat)), reply);
    }

    fn setattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let change = || -> io::Result<FileAttr> {
            let (fd, path) = self.path(ino)?;
            if let Some(mode) = mode {
                // SAFETY: `path` ends with NUL and outlives the call, here and below.
                check(unsafe { libc::chmod(path.as_ptr(), mode) })?;
            }
            if uid.is_some() || gid.is_some() {
                let (uid, gid) = (uid.unwrap_or(u32::MAX), gid.unwrap_or(u32::MAX));
                // SAFETY: the empty path names the descriptor itself.
                check(unsafe {
                    libc::fchownat(
                        fd.as_raw_fd(),
                        c"".as_ptr(),
                        uid,
                        gid,
                        libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW,
                    )
                })?;
            }
            if let Some(size) = size {
                let size = size as libc::off_t;
                check(match fh {
                    // SAFETY: the handle is a descriptor this process keeps open.
                    Some(fh) => unsafe { libc::ftruncate(raw(fh), size) },
                    // SAFETY: as above.
                    None => unsafe { libc::truncate(path.as_ptr(), size) },
                })?;
            }
            if atime.is_some() || mtime.is_some() {
                let times = [timespec(atime), timespec(mtime)];
                // SAFETY: two times are passed, as the call reads.
                check(match fh {
                    Some(fh) => unsafe { libc::futimens(raw(fh), times.as_ptr()) },
                    None => unsafe {
                        libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times.as_ptr(), 0)
                    },
                })?;
            }
            Ok(attr(ino.0, &stat_fd(fd.as_raw_fd())?))
        };
        answer_attr(change(), reply);
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        let mut target = vec![0u8; libc::PATH_MAX as usize + 1];
        let read = self.fd(ino).and_then(|fd| {
            // SAFETY: the buffer is as long as said.
            check_len(unsafe {
                libc::readlinkat(
                    fd.as_raw_fd(),
                    c"".as_ptr(),
                    target.as_mut_ptr().cast(),
                    target.len(),
                )
            })
        });
        match read {
            Ok(len) => reply.data(&target[..len]),
            Err(e) => reply.error(e.into()),
        }
    }

    fn mknod(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        let made = self.made(req, parent, name, |dir, name| {
            // SAFETY: `name` ends with NUL.
            unsafe { libc::mknodat(dir, name.as_ptr(), mode & !umask, u64::from(rdev)) }
        });
        answer_entry(made, reply);
    }

    fn mkdir(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let made = self.made(req, parent, name, |dir, name| {
            // SAFETY: `name` ends with NUL.
            unsafe { libc::mkdirat(dir, name.as_ptr(), mode & !umask) }
        });
        answer_entry(made, reply);
    }

    fn symlink(
        &self,
        req: &Request,
        parent: INodeNo,
        link_name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let made = c_string(target.as_os_str()).and_then(|target| {
            self.made(req, parent, link_name, |dir, name| {
                // SAFETY: both end with NUL.
                unsafe { libc::symlinkat(target.as_ptr(), dir, name.as_ptr()) }
            })
        });
        answer_entry(made, reply);
    }

    fn link(
        &self,
        _req: &Request,
        ino: INodeNo,
        newparent: INodeNo,
        newname: &OsStr,
        reply: ReplyEntry,
    ) {
        let link = || -> io::Result<FileAttr> {
            let (_fd, from) = self.path(ino)?;
            let dir = self.fd(newparent)?;
            let name = c_string(newname)?;
            // SAFETY: both paths end with NUL.
            check(unsafe {
                libc::linkat(
                    libc::AT_FDCWD,
                    from.as_ptr(),
                    dir.as_raw_fd(),
                    name.as_ptr(),
                    libc::AT_SYMLINK_FOLLOW,
                )
            })?;
            self.find(dir.as_raw_fd(), &name)
        };
        answer_entry(link(), reply);
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(self.remove(parent, name, 0), reply);
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(self.remove(parent, name, libc::AT_REMOVEDIR), reply);
    }

    fn rename(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let rename = || -> io::Result<()> {
            let (from, to) = (self.fd(parent)?, self.fd(newparent)?);
            let (name, newname) = (c_string(name)?, c_string(newname)?);
            // SAFETY: both names end with NUL.
            check(unsafe {
                libc::renameat2(
                    from.as_raw_fd(),
                    name.as_ptr(),
                    to.as_raw_fd(),
                    newname.as_ptr(),
                    flags.bits(),
                )
            })
        };
        answer(rename(), reply);
    }

    fn open(&self, _req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let opened = self
            .path(ino)
            .and_then(|(_fd, path)| open_at(libc::AT_FDCWD, &path, self.open_flags(flags.0)));
        match opened {
            Ok(fd) => reply.opened(handle(fd), FopenFlags::FOPEN_KEEP_CACHE),
            Err(e) => reply.error(e.into()),
        }
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let create = || -> io::Result<(FileAttr, OwnedFd)> {
            let dir = self.fd(parent)?;
            let name = c_string(name)?;
            let kept = flags & (libc::O_CREAT | libc::O_EXCL);
            let flags =
                self.open_flags(flags) | kept | libc::O_CREAT | libc::O_NOFOLLOW | libc::O_CLOEXEC;
            // SAFETY: `name` ends with NUL.
            let fd = unsafe { libc::openat(dir.as_raw_fd(), name.as_ptr(), flags, mode & !umask) };
            check(fd.min(0))?;
            // SAFETY: just opened and owned by nobody else.
            let fd = unsafe { OwnedFd::from_raw_fd(fd) };
            self.own(req, dir.as_raw_fd(), &name)?;
            Ok((self.find(dir.as_raw_fd(), &name)?, fd))
        };
        match create() {
            Ok((attr, fd)) => reply.created(
                &KEPT,
                &attr,
                Generation(0),
                handle(fd),
                FopenFlags::FOPEN_KEEP_CACHE,
            ),
            Err(e) => reply.error(e.into()),
        }
    }

    fn read(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut buffer: Vec<u8> = Vec::with_capacity(size as usize);
        // SAFETY: the buffer has room for `size` bytes; only what was written is made its length.
        let read = check_len(unsafe {
            libc::pread(
                raw(fh),
                buffer.as_mut_ptr().cast(),
                size as usize,
                offset as libc::off_t,
            )
        });
        match read {
            Ok(len) => {
                // SAFETY: `pread` filled this many bytes.
                unsafe { buffer.set_len(len) };
                reply.data(&buffer);
            }
            Err(e) => reply.error(e.into()),
        }
    }

    fn write(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        // SAFETY: the data is as long as said.
        let written = check_len(unsafe {
            libc::pwrite(
                raw(fh),
                data.as_ptr().cast(),
                data.len(),
                offset as libc::off_t,
            )
        });
        match written {
            Ok(len) => reply.written(len as u32),
            Err(e) => reply.error(e.into()),
        }
    }

    fn flush(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        // Nothing is held back here. Saying that the call does not exist saves the kernel the next ones.
        reply.error(Errno::ENOSYS);
    }

    fn release(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        // SAFETY: the descriptor was given to the kernel by `open` or `create` and comes back once.
        drop(unsafe { OwnedFd::from_raw_fd(raw(fh)) });
        reply.ok();
    }

    fn fsync(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        datasync: bool,
        reply: ReplyEmpty,
    ) {
        // SAFETY: the handle is an open descriptor.
        let done = check(unsafe {
            if datasync {
                libc::fdatasync(raw(fh))
            } else {
                libc::fsync(raw(fh))
            }
        });
        answer(done, reply);
    }

    fn opendir(&self, _req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let list = || -> io::Result<Listing> {
            let (_fd, path) = self.path(ino)?;
            let path = Path::new(OsStr::from_bytes(path.as_bytes()));
            let mut entries = Vec::new();
            for entry in std::fs::read_dir(path)? {
                let entry = entry?;
                let kind = FileType::from_std(entry.file_type()?).unwrap_or(FileType::RegularFile);
                entries.push((entry.file_name().as_bytes().to_vec(), kind));
            }
            Ok(Listing { entries })
        };
        match list() {
            Ok(listing) => {
                let listing = Arc::new(listing);
                let number = Arc::as_ptr(&listing) as u64;
                self.listings.lock().insert(number, listing);
                reply.opened(FileHandle(number), FopenFlags::empty());
            }
            Err(e) => reply.error(e.into()),
        }
    }

    fn readdir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let Some(listing) = self.listings.lock().get(&fh.0).cloned() else {
            reply.error(Errno::EBADF);
            return;
        };
        for (at, (name, kind)) in listing.entries.iter().enumerate().skip(offset as usize) {
            // The number is only a hint here: programs that need it call `stat`.
            if reply.add(
                INodeNo(u64::MAX),
                at as u64 + 1,
                *kind,
                OsStr::from_bytes(name),
            ) {
                break;
            }
        }
        reply.ok();
    }

    fn readdirplus(
        &self,
        _req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let listing = self.listings.lock().get(&fh.0).cloned();
        let (Some(listing), Ok(dir)) = (listing, self.fd(ino)) else {
            reply.error(Errno::EBADF);
            return;
        };
        for (at, (name, _kind)) in listing.entries.iter().enumerate().skip(offset as usize) {
            let name = OsStr::from_bytes(name);
            let Ok(attr) = c_string(name).and_then(|c| self.find(dir.as_raw_fd(), &c)) else {
                continue; // removed since
            };
            if reply.add(attr.ino, at as u64 + 1, name, &KEPT, &attr, Generation(0)) {
                self.forget_times(attr.ino.0, 1);
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.listings.lock().remove(&fh.0);
        reply.ok();
    }

    fn fsyncdir(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        let sync = || -> io::Result<()> {
            let (_fd, path) = self.path(ino)?;
            let fd = open_at(libc::AT_FDCWD, &path, libc::O_RDONLY | libc::O_DIRECTORY)?;
            // SAFETY: just opened.
            check(unsafe { libc::fsync(fd.as_raw_fd()) })
        };
        answer(sync(), reply);
    }

    fn statfs(&self, _req: &Request, ino: INodeNo, reply: ReplyStatfs) {
        // SAFETY: all zeros is a valid value of this plain struct.
        let mut s: libc::statvfs = unsafe { std::mem::zeroed() };
        let done = self
            .fd(ino)
            // SAFETY: the descriptor is open, the struct is ours.
            .and_then(|fd| check(unsafe { libc::fstatvfs(fd.as_raw_fd(), &mut s) }));
        match done {
            Ok(()) => reply.statfs(
                s.f_blocks,
                s.f_bfree,
                s.f_bavail,
                s.f_files,
                s.f_ffree,
                s.f_bsize as u32,
                s.f_namemax as u32,
                s.f_frsize as u32,
            ),
            Err(e) => reply.error(e.into()),
        }
    }

    fn getxattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let mut value = vec![0u8; size.min(1 << 16) as usize];
        let got = self.path(ino).and_then(|(_fd, path)| {
            let name = c_string(name)?;
            // SAFETY: the buffer is as long as said; a length of 0 asks for the size.
            check_len(unsafe {
                libc::getxattr(
                    path.as_ptr(),
                    name.as_ptr(),
                    value.as_mut_ptr().cast(),
                    value.len(),
                )
            })
        });
        answer_xattr(got, size, &value, reply);
    }

    fn listxattr(&self, _req: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        let mut names = vec![0u8; size.min(1 << 16) as usize];
        let got = self.path(ino).and_then(|(_fd, path)| {
            // SAFETY: as in `getxattr`.
            check_len(unsafe {
                libc::listxattr(path.as_ptr(), names.as_mut_ptr().cast(), names.len())
            })
        });
        answer_xattr(got, size, &names, reply);
    }

    fn setxattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        let set = self.path(ino).and_then(|(_fd, path)| {
            let name = c_string(name)?;
            // SAFETY: the value is as long as said.
            check(unsafe {
                libc::setxattr(
                    path.as_ptr(),
                    name.as_ptr(),
                    value.as_ptr().cast(),
                    value.len(),
                    flags,
                )
            })
        });
        answer(set, reply);
    }

    fn removexattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self.path(ino).and_then(|(_fd, path)| {
            let name = c_string(name)?;
            // SAFETY: both end with NUL.
            check(unsafe { libc::removexattr(path.as_ptr(), name.as_ptr()) })
        });
        answer(removed, reply);
    }

    fn fallocate(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        // SAFETY: the handle is an open descriptor.
        let done = check(unsafe {
            libc::fallocate(raw(fh), mode, offset as libc::off_t, length as libc::off_t)
        });
        answer(done, reply);
    }

    fn lseek(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        // SAFETY: the handle is an open descriptor.
        let at = unsafe { libc::lseek(raw(fh), offset, whence) };
        if at < 0 {
            reply.error(io::Error::last_os_error().into());
        } else {
            reply.offset(at);
        }
    }
}
