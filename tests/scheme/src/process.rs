//! A program on Redox: the file operations of its C library.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use syscall::data::{Stat, StatVfs, TimeSpec};
use syscall::dirent::{DirentHeader, DirentIter};
use syscall::error::EBADF;
use syscall::flag::{
    AT_REMOVEDIR, F_GETFL, MODE_DIR, MODE_FILE, MODE_SYMLINK, MODE_TYPE, MapFlags, MunmapFlags,
    O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_STAT, O_SYMLINK, O_TRUNC,
    O_WRONLY, StdFsCallKind,
};
use syscall::schemev2::{Opcode, SqeFlags};

use crate::files::{Errno, Fd, Files, How, Kind, Mapping, Meta, Result, When};
use crate::kernel::{Answer, Caller, Kernel, Pending};

/// Where the scheme is.
const PREFIX: &str = "/scheme/safe";
const LOCK_MARK: u64 = 1 << 63;

/// The kernel's state of an open file.
#[derive(Clone, Copy, Debug)]
struct Description {
    id: usize,
    offset: u64,
    positioned: bool,
    flags: usize,
}

/// A program.
pub struct Process {
    kernel: Arc<Kernel>,
    /// Its identity, which the kernel vouches for.
    pub caller: Caller,
    /// The handle that the name `safe` stands for in its namespace.
    pub root: usize,
    cwd: Mutex<String>,
    open: Mutex<HashMap<Fd, Description>>,
    next: AtomicUsize,
}

fn address<T>(from: &[T]) -> u64 {
    from.as_ptr() as u64
}

impl Process {
    /// A program of a user whose `safe` is the handle `root`.
    pub fn new(kernel: &Arc<Kernel>, caller: Caller, root: usize) -> Self {
        Self {
            kernel: Arc::clone(kernel),
            caller,
            root,
            cwd: Mutex::new(PREFIX.to_owned()),
            open: Mutex::default(),
            next: AtomicUsize::new(3),
        }
    }

    /// The kernel it runs on.
    pub fn kernel(&self) -> &Arc<Kernel> {
        &self.kernel
    }

    fn ids(&self) -> u64 {
        u64::from(self.caller.uid) | u64::from(self.caller.gid) << 32
    }

    /// A call whose caller the kernel fills in.
    pub fn call(&self, opcode: Opcode, args: [u64; 5]) -> Result<Answer> {
        self.kernel.wait(self.submit(opcode, args))
    }

    /// The same, not waited for.
    pub fn submit(&self, opcode: Opcode, args: [u64; 5]) -> Pending {
        let [a, b, c, d, e] = args;
        let args = [a, b, c, d, e, self.ids()];
        self.kernel
            .submit(opcode, SqeFlags::empty(), args, self.caller.pid)
    }

    /// A standard call through `SYS_CALL`, whose last arguments are the caller's own choice.
    pub fn std_call(
        &self,
        kind: StdFsCallKind,
        id: usize,
        payload: &mut [u8],
        first: u64,
        last: u64,
    ) -> Result<Answer> {
        let args = [
            id as u64,
            payload.as_mut_ptr() as u64,
            payload.len() as u64,
            kind as u64,
            first,
            last,
        ];
        self.kernel.call(Opcode::StdFsCall, args, self.caller.pid)
    }

    /// The same with two handles.
    pub fn std_call_two(
        &self,
        kind: StdFsCallKind,
        ids: (usize, usize),
        payload: &mut [u8],
        first: u64,
    ) -> Result<Answer> {
        let args = [
            ids.0 as u64,
            payload.as_mut_ptr() as u64,
            payload.len() as u64,
            kind as u64,
            first,
            ids.1 as u64,
        ];
        let pending = self.kernel.submit(
            Opcode::StdFsCall,
            SqeFlags::MULTIPLE_IDS,
            args,
            self.caller.pid,
        );
        self.kernel.wait(pending)
    }

    /// Opens from a handle on; the handle's number and whether the kernel keeps a place in it.
    pub fn open_at(&self, dir: usize, path: &str, flags: usize) -> Result<(usize, bool)> {
        let args = [
            dir as u64,
            address(path.as_bytes()),
            path.len() as u64,
            flags as u64,
            0,
        ];
        let answer = self.call(Opcode::OpenAt, args)?;
        Ok((answer.value, answer.extra & 1 != 0))
    }

    /// Opens a path with raw flags.
    pub fn open_raw(&self, path: &str, flags: usize) -> Result<Fd> {
        let (id, positioned) = self.open_at(self.root, &self.reference(path), flags)?;
        Ok(self.keep(id, positioned, flags))
    }

    fn keep(&self, id: usize, positioned: bool, flags: usize) -> Fd {
        let fd = self.next.fetch_add(1, Ordering::Relaxed);
        let description = Description {
            id,
            offset: 0,
            positioned,
            flags,
        };
        self.open.lock().insert(fd, description);
        fd
    }

    /// A descriptor of a node that another program handed over.
    pub fn receive(&self, id: usize) -> Fd {
        self.keep(id, true, O_RDONLY)
    }

    fn description(&self, fd: Fd) -> Result<Description> {
        self.open.lock().get(&fd).copied().ok_or(EBADF)
    }

    /// The daemon's number of an open file.
    pub fn id(&self, fd: Fd) -> usize {
        self.description(fd).expect("an open descriptor").id
    }

    /// The part of a path that is the scheme's business, cleaned up as the C library does it.
    fn reference(&self, path: &str) -> String {
        let path = match path.strip_prefix("safe:") {
            Some(rest) => format!("{PREFIX}/{rest}"),
            None if path.starts_with('/') => path.to_owned(),
            None => format!("{}/{path}", self.cwd.lock()),
        };
        let mut names: Vec<&str> = Vec::new();
        for name in path.split('/') {
            match name {
                "" | "." => {}
                ".." => {
                    names.pop();
                }
                name => names.push(name),
            }
        }
        let clean = format!("/{}", names.join("/"));
        let rest = clean.strip_prefix(PREFIX).unwrap_or(&clean);
        rest.trim_start_matches('/').to_owned()
    }

    /// Waits for an answer of a read that was sent with [`Process::submit_read`].
    pub fn submit_read(&self, fd: Fd, buf: &mut [u8], at: u64) -> Pending {
        let id = self.id(fd) as u64;
        let args = [id, buf.as_mut_ptr() as u64, buf.len() as u64, at, 0];
        self.submit(Opcode::Read, args)
    }

    fn transfer(
        &self,
        opcode: Opcode,
        fd: Fd,
        place: (u64, usize),
        at: Option<u64>,
    ) -> Result<usize> {
        let description = self.description(fd)?;
        let offset = match at {
            Some(at) => at,
            None if description.positioned => description.offset,
            None => 0,
        };
        let flags = description.flags & syscall::flag::O_FCNTL_MASK;
        let args = [
            description.id as u64,
            place.0,
            place.1 as u64,
            offset,
            flags as u64,
        ];
        let count = self.call(opcode, args)?.value;
        if at.is_none()
            && let Some(open) = self.open.lock().get_mut(&fd)
        {
            open.offset += count as u64;
        }
        Ok(count)
    }

    fn stat_id(&self, id: usize) -> Result<Meta> {
        let mut bytes = vec![0_u8; size_of::<Stat>()];
        self.std_call(StdFsCallKind::Fstat, id, &mut bytes, 0, 0)?;
        // SAFETY: a Stat is plain numbers, and this many bytes.
        let stat = unsafe { bytes.as_ptr().cast::<Stat>().read_unaligned() };
        Ok(Meta {
            dev: stat.st_dev,
            ino: stat.st_ino,
            kind: match stat.st_mode & MODE_TYPE {
                MODE_FILE => Kind::File,
                MODE_DIR => Kind::Directory,
                MODE_SYMLINK => Kind::Link,
                _ => Kind::Other,
            },
            perm: stat.st_mode & 0o7777,
            nlink: stat.st_nlink,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: stat.st_size,
            mtime: (stat.st_mtime as i64, stat.st_mtime_nsec),
            atime: (stat.st_atime as i64, stat.st_atime_nsec),
        })
    }

    fn with<T>(
        &self,
        path: &str,
        flags: usize,
        run: impl FnOnce(&Self, Fd) -> Result<T>,
    ) -> Result<T> {
        let fd = self.open_raw(path, flags)?;
        let done = run(self, fd);
        self.close(fd);
        done
    }

    fn path_call(&self, opcode: Opcode, id: usize, path: &str, more: u64) -> Result<()> {
        let reference = self.reference(path);
        let place = (address(reference.as_bytes()), reference.len() as u64);
        self.call(opcode, [id as u64, place.0, place.1, more, 0])
            .map(drop)
    }

    /// One step of a listing: entries with the number to go on after each.
    pub fn list_step(&self, id: usize, buf: &mut [u8], at: u64) -> Result<Vec<(String, u8, u64)>> {
        let header = size_of::<DirentHeader>() as u64;
        let len = self
            .std_call(StdFsCallKind::Getdents, id, buf, at, header)?
            .value;
        Ok(DirentIter::new(&buf[..len])
            .map(|entry| {
                let (header, name) = entry.expect("a whole entry");
                let end = name
                    .iter()
                    .position(|byte| *byte == 0)
                    .unwrap_or(name.len());
                let name = String::from_utf8(name[..end].to_vec()).expect("a name in UTF-8");
                (name, header.kind, header.next_opaque_id)
            })
            .collect())
    }
}

impl Files for Process {
    fn open(&self, path: &str, how: How) -> Result<Fd> {
        let mut flags = usize::from(how.mode);
        for (wanted, flag) in [
            (how.read, O_RDONLY),
            (how.write, O_WRONLY),
            (how.create, O_CREAT),
            (how.new, O_EXCL),
            (how.truncate, O_TRUNC),
            (how.append, O_APPEND),
            (how.directory, O_DIRECTORY),
            (how.no_follow, O_NOFOLLOW),
        ] {
            if wanted {
                flags |= flag;
            }
        }
        self.open_raw(path, flags)
    }

    fn close(&self, fd: Fd) {
        if let Some(description) = self.open.lock().remove(&fd) {
            self.kernel.detach(description.id, self.caller.pid);
            self.kernel.close(description.id);
        }
    }

    fn read(&self, fd: Fd, buf: &mut [u8]) -> Result<usize> {
        let place = (buf.as_mut_ptr() as u64, buf.len());
        self.transfer(Opcode::Read, fd, place, None)
    }

    fn read_at(&self, fd: Fd, buf: &mut [u8], at: u64) -> Result<usize> {
        let place = (buf.as_mut_ptr() as u64, buf.len());
        self.transfer(Opcode::Read, fd, place, Some(at))
    }

    fn write(&self, fd: Fd, data: &[u8]) -> Result<usize> {
        self.transfer(Opcode::Write, fd, (address(data), data.len()), None)
    }

    fn write_at(&self, fd: Fd, data: &[u8], at: u64) -> Result<usize> {
        self.transfer(Opcode::Write, fd, (address(data), data.len()), Some(at))
    }

    fn seek_end(&self, fd: Fd) -> Result<u64> {
        let id = self.id(fd) as u64;
        let end = self.call(Opcode::Fsize, [id, 0, 0, 0, 0])?.value as u64;
        if let Some(open) = self.open.lock().get_mut(&fd) {
            open.offset = end;
        }
        Ok(end)
    }

    fn fstat(&self, fd: Fd) -> Result<Meta> {
        self.stat_id(self.description(fd)?.id)
    }

    fn stat(&self, path: &str) -> Result<Meta> {
        self.with(path, O_STAT, Self::fstat)
    }

    fn lstat(&self, path: &str) -> Result<Meta> {
        self.with(path, O_STAT | O_NOFOLLOW, Self::fstat)
    }

    fn list(&self, path: &str) -> Result<Vec<(String, Kind)>> {
        self.with(path, O_RDONLY | O_DIRECTORY, |this, fd| {
            let mut all = Vec::new();
            let mut buf = vec![0; 4096];
            let mut at = 0;
            loop {
                let step = this.list_step(this.id(fd), &mut buf, at)?;
                let Some((.., next)) = step.last() else {
                    return Ok(all);
                };
                at = *next;
                all.extend(step.into_iter().map(|(name, kind, _)| {
                    let kind = match kind {
                        4 => Kind::Directory,
                        8 => Kind::File,
                        10 => Kind::Link,
                        _ => Kind::Other,
                    };
                    (name, kind)
                }));
            }
        })
    }

    fn mkdir(&self, path: &str, mode: u16) -> Result<()> {
        let flags = O_CREAT | O_EXCL | O_DIRECTORY | O_RDONLY | usize::from(mode);
        self.with(path, flags, |_, _| Ok(()))
    }

    fn rmdir(&self, path: &str) -> Result<()> {
        self.path_call(Opcode::UnlinkAt, self.root, path, AT_REMOVEDIR as u64)
    }

    fn unlink(&self, path: &str) -> Result<()> {
        self.path_call(Opcode::UnlinkAt, self.root, path, 0)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.with(from, O_NOFOLLOW | O_STAT, |this, fd| {
            this.path_call(Opcode::Frename, this.id(fd), to, 0)
        })
    }

    fn link(&self, from: &str, to: &str) -> Result<()> {
        self.with(from, O_NOFOLLOW | O_STAT, |this, fd| {
            this.path_call(Opcode::Flink, this.id(fd), to, 0)
        })
    }

    fn symlink(&self, target: &str, path: &str) -> Result<()> {
        self.with(path, O_SYMLINK | O_CREAT | O_WRONLY | 0o777, |this, fd| {
            this.write(fd, target.as_bytes()).map(drop)
        })
    }

    fn read_link(&self, path: &str) -> Result<String> {
        self.with(path, O_RDONLY | O_SYMLINK, |this, fd| {
            let mut buf = vec![0; 4096];
            let len = this.read(fd, &mut buf)?;
            buf.truncate(len);
            Ok(String::from_utf8(buf).expect("a target in UTF-8"))
        })
    }

    fn chmod(&self, fd: Fd, mode: u16) -> Result<()> {
        let id = self.id(fd);
        self.std_call(StdFsCallKind::Fchmod, id, &mut [], u64::from(mode), 0)
            .map(drop)
    }

    fn chown(&self, fd: Fd, uid: u32, gid: u32) -> Result<()> {
        let id = self.id(fd) as u64;
        self.call(Opcode::Fchown, [id, uid.into(), gid.into(), 0, 0])
            .map(drop)
    }

    fn truncate(&self, fd: Fd, len: u64) -> Result<()> {
        let id = self.id(fd);
        self.std_call(StdFsCallKind::Ftruncate, id, &mut [], len, 0)
            .map(drop)
    }

    fn times(&self, fd: Fd, access: When, change: When) -> Result<()> {
        let spec = |when| match when {
            When::Now => TimeSpec {
                tv_sec: 0,
                tv_nsec: -1,
            },
            When::Keep => TimeSpec {
                tv_sec: 0,
                tv_nsec: -2,
            },
            When::At(seconds, nanos) => TimeSpec {
                tv_sec: seconds,
                tv_nsec: nanos as i32,
            },
        };
        let mut bytes = Vec::new();
        for when in [access, change] {
            let spec = spec(when);
            bytes.extend_from_slice(&spec.tv_sec.to_ne_bytes());
            bytes.extend_from_slice(&spec.tv_nsec.to_ne_bytes());
            bytes.extend_from_slice(&[0; 4]);
        }
        let id = self.id(fd);
        self.std_call(StdFsCallKind::Futimens, id, &mut bytes, 0, 0)
            .map(drop)
    }

    fn sync(&self, fd: Fd) -> Result<()> {
        self.std_call(StdFsCallKind::Fsync, self.id(fd), &mut [], 0, 0)
            .map(drop)
    }

    fn space(&self, fd: Fd) -> Result<(u64, u64)> {
        let mut bytes = vec![0_u8; size_of::<StatVfs>()];
        self.std_call(StdFsCallKind::Fstatvfs, self.id(fd), &mut bytes, 0, 0)?;
        // SAFETY: a StatVfs is plain numbers, and this many bytes.
        let space = unsafe { bytes.as_ptr().cast::<StatVfs>().read_unaligned() };
        let block = u64::from(space.f_bsize);
        Ok((space.f_blocks * block, space.f_bfree * block))
    }

    fn path_of(&self, fd: Fd) -> Result<String> {
        let mut buf = vec![0; 4096];
        let id = self.id(fd) as u64;
        let place = (buf.as_mut_ptr() as u64, buf.len() as u64);
        let len = self
            .call(Opcode::Fpath, [id, place.0, place.1, 0, 0])?
            .value;
        buf.truncate(len);
        Ok(String::from_utf8(buf).expect("a path in UTF-8"))
    }

    fn chdir(&self, path: &str) -> Result<()> {
        // As the C library does it: opens the directory and asks where it is.
        self.with(path, O_STAT | O_DIRECTORY, |this, fd| {
            let path = this.path_of(fd)?;
            *this.cwd.lock() = path;
            Ok(())
        })
    }

    fn map(&self, fd: Fd, len: usize, shared: bool) -> Result<Box<dyn Mapping>> {
        let id = self.id(fd);
        let flags = if shared {
            MapFlags::MAP_SHARED | MapFlags::PROT_READ | MapFlags::PROT_WRITE
        } else {
            MapFlags::MAP_PRIVATE | MapFlags::PROT_READ
        };
        let len = len.next_multiple_of(4096);
        let args = [id as u64, len as u64, flags.bits() as u64, 0, 0];
        let start = self.call(Opcode::MmapPrep, args)?.value;
        assert_eq!(start % 4096, 0);
        Ok(Box::new(Mapped {
            kernel: Arc::clone(&self.kernel),
            caller: self.caller,
            id,
            start,
            len,
            shared,
        }))
    }

    fn lock(&self, fd: Fd, start: u64, len: u64, exclusive: bool) -> Result<()> {
        let mark = if exclusive { LOCK_MARK } else { 0 };
        self.std_call(StdFsCallKind::Lock, self.id(fd), &mut [], start, len | mark)
            .map(drop)
    }

    fn unlock(&self, fd: Fd, start: u64, len: u64) -> Result<()> {
        self.std_call(StdFsCallKind::Unlock, self.id(fd), &mut [], start, len)
            .map(drop)
    }
}

impl Process {
    /// Asks for the flags of a descriptor, which the kernel asks the daemon about too.
    pub fn get_flags(&self, fd: Fd) -> Result<usize> {
        let id = self.id(fd) as u64;
        Ok(self
            .call(Opcode::Fcntl, [id, F_GETFL as u64, 0, 0, 0])?
            .value)
    }
}

/// Memory of the daemon that a program has mapped.
struct Mapped {
    kernel: Arc<Kernel>,
    caller: Caller,
    id: usize,
    start: usize,
    len: usize,
    shared: bool,
}

impl Mapping for Mapped {
    fn get(&self, at: usize, out: &mut [u8]) {
        assert!(at + out.len() <= self.len);
        // SAFETY: the daemon keeps this memory until it is unmapped.
        unsafe {
            std::ptr::copy_nonoverlapping(
                (self.start + at) as *const u8,
                out.as_mut_ptr(),
                out.len(),
            );
        }
    }

    fn put(&self, at: usize, data: &[u8]) {
        assert!(self.shared && at + data.len() <= self.len);
        // SAFETY: as above.
        unsafe {
            std::ptr::copy_nonoverlapping(data.as_ptr(), (self.start + at) as *mut u8, data.len());
        }
    }

    fn unmap(self: Box<Self>) {
        let flags = if self.shared {
            MunmapFlags::NEEDS_SYNC
        } else {
            MunmapFlags::empty()
        };
        let ids = u64::from(self.caller.uid) | u64::from(self.caller.gid) << 32;
        let args = [
            self.id as u64,
            self.len as u64,
            flags.bits() as u64,
            0,
            0,
            ids,
        ];
        let done: std::result::Result<Answer, Errno> =
            self.kernel.call(Opcode::Munmap, args, self.caller.pid);
        assert_eq!(done.map(|answer| answer.value), Ok(0));
    }
}
