//! The kernel's messages, in and out of our own terms.
//!
//! What always holds here: this is the only file of the front that knows the types of
//! `redox_syscall`; nothing in a message is believed before it was checked (lengths, UTF-8, alignment,
//! kinds), so no message can make the daemon panic or touch memory that is not the message's. Paths
//! and lists of times are copied out at once; only the bytes of a read's or write's buffer stay
//! where the kernel has mapped them, and they are there until the request is answered.

use safeos_session::{Attr, FileKind, Nanos, Space};
use syscall::dirent::{DirEntry, DirentBuf, DirentKind};
use syscall::error::Error;
pub use syscall::error::{
    EACCES, EAGAIN, EBADF, ECANCELED, EEXIST, EFBIG, EINVAL, EIO, EISDIR, ELOOP, EMFILE,
    ENAMETOOLONG, ENODEV, ENOENT, ENOMEM, ENOSYS, ENOTDIR, EOPNOTSUPP, EPERM, EROFS, ESPIPE, ESRCH,
    EXDEV,
};
use syscall::flag;
pub use syscall::schemev2::{Cqe, Sqe};
use syscall::schemev2::{CqeOpcode, NewFdFlags, Opcode, SqeFlags};
use syscall::{Stat, StatVfs, StdFsCallKind, TimeSpec};

pub use super::request::{
    Call, Done, Errno, Lent, LockRange, Message, OpenFlags, PAGE, PATH_MAX, Request, Time,
};

/// The value for "leave the owner as it is".
const UNCHANGED: u32 = u32::MAX;
/// Raw nanoseconds that mean "now" and "leave it": of the C library now, and of earlier ones.
const UTIME_NOW: [i32; 2] = [-1, (1 << 30) - 1];
const UTIME_OMIT: [i32; 2] = [-2, (1 << 30) - 2];
/// Marks the owner (start) and the kind (length) of a record lock.
const LOCK_MARK: u64 = 1 << 63;
const RENAME_NOREPLACE: u64 = 1;
const RENAME_EXCHANGE: u64 = 2;
const BLOCK_SIZE: u32 = 4096;
/// The devices of this scheme: this, and the number of the tree.
const DEVICE: u64 = 0x5afe << 32;

/// Decodes a message.
///
/// # Safety
/// The addresses in the message must be mapped as its lengths say, until it is answered. So the kernel
/// does.
pub unsafe fn decode(sqe: &Sqe) -> Message {
    let id = sqe.args[0] as usize;
    match Opcode::try_from_raw(sqe.opcode) {
        Some(Opcode::Cancel) => return Message::Cancel(sqe.tag),
        Some(Opcode::CloseMsg) => return Message::Close(id),
        Some(Opcode::Detach) => {
            let pid = sqe.caller as usize;
            return Message::Detach { id, pid };
        }
        _ if sqe.sqe_flags.contains(SqeFlags::ONEWAY) => return Message::Nothing,
        _ => {}
    }
    // SAFETY: the caller's promise is the same.
    let ask = unsafe { ask(sqe) }.unwrap_or_else(Request::Refuse);
    Message::Call(Call {
        tag: sqe.tag,
        pid: sqe.caller as usize,
        uid: sqe.args[5] as u32,
        gid: (sqe.args[5] >> 32) as u32,
        ask,
    })
}

/// # Safety
/// As with [`decode`].
unsafe fn ask(sqe: &Sqe) -> Result<Request, Errno> {
    let [id, second, third, ..] = sqe.args.map(|argument| argument as usize);
    let lent = Lent {
        address: second,
        len: third,
    };
    // SAFETY: requests with a path have it in the second and third argument.
    let path = || unsafe { path(lent) };
    let opcode = Opcode::try_from_raw(sqe.opcode).ok_or(ENOSYS)?;
    Ok(match opcode {
        Opcode::OpenAt => Request::Open {
            dir: id,
            path: path()?,
            flags: open_flags(sqe.args[3] as usize, sqe.args[4] as usize),
        },
        Opcode::UnlinkAt => Request::Unlink {
            dir: id,
            path: path()?,
            folder: sqe.args[3] as usize & flag::AT_REMOVEDIR != 0,
            trusted: true,
        },
        Opcode::Dup => Request::Dup {
            id,
            // SAFETY: the memory is the request's.
            what: unsafe { lent.bytes() }
                .iter()
                .take(PATH_MAX)
                .copied()
                .collect(),
        },
        Opcode::Read => Request::Read {
            id,
            to: lent,
            offset: sqe.args[3],
            nonblock: is_nonblock(sqe.args[4]),
        },
        Opcode::Write => Request::Write {
            id,
            from: lent,
            offset: sqe.args[3],
            append: sqe.args[4] as usize & flag::O_APPEND != 0,
        },
        Opcode::Fsize => Request::Size { id },
        Opcode::Fchmod => Request::Chmod {
            id,
            mode: second as u16 & flag::MODE_PERM,
        },
        Opcode::Fchown => chown(id, second as u64, third as u64),
        Opcode::Fcntl => match second {
            flag::F_GETFL => Request::GetFlags { id },
            flag::F_SETFL => Request::SetFlags {
                id,
                append: third & flag::O_APPEND != 0,
                nonblock: third & flag::O_NONBLOCK != 0,
            },
            _ => return Err(EINVAL),
        },
        Opcode::Fevent => {
            let wanted = flag::EventFlags::from_bits_retain(second);
            Request::Events {
                id,
                read: wanted.contains(flag::EventFlags::EVENT_READ),
                write: wanted.contains(flag::EventFlags::EVENT_WRITE),
            }
        }
        Opcode::Fpath => Request::Path { id, to: lent },
        Opcode::Frename => Request::Rename { id, path: path()? },
        Opcode::Flink => Request::Link { id, path: path()? },
        Opcode::Fstat => Request::Stat {
            id,
            to: exactly(lent, size_of::<Stat>(), true)?,
        },
        Opcode::Fstatvfs => Request::Space {
            id,
            to: exactly(lent, size_of::<StatVfs>(), true)?,
        },
        Opcode::Fsync => Request::Sync { id },
        Opcode::Ftruncate => Request::Truncate {
            id,
            len: sqe.args[1],
        },
        // SAFETY: the memory is the request's.
        Opcode::Futimens => unsafe { times(id, lent)? },
        Opcode::Getdents => Request::List {
            id,
            to: lent,
            header: sqe.args[3] as u16,
            at: sqe.args[4],
        },
        Opcode::MmapPrep => {
            let flags = flag::MapFlags::from_bits_retain(third);
            Request::Map {
                id,
                offset: sqe.args[3],
                len: second,
                shared: flags.contains(flag::MapFlags::MAP_SHARED),
                write: flags.contains(flag::MapFlags::PROT_WRITE),
            }
        }
        Opcode::Munmap => Request::Unmap {
            id,
            offset: sqe.args[3],
            len: second,
        },
        // SAFETY: the caller's promise is the same.
        Opcode::StdFsCall => unsafe { std_fs_call(sqe, lent)? },
        // Calls of a program's own invention, and sent descriptors: there are none here.
        Opcode::Call | Opcode::Sendfd | Opcode::Recvfd => return Err(EOPNOTSUPP),
        _ => return Err(ENOSYS),
    })
}

/// The calls that come as `SYS_CALL`. Nothing in them identifies the caller reliably.
///
/// # Safety
/// As with [`decode`].
unsafe fn std_fs_call(sqe: &Sqe, lent: Lent) -> Result<Request, Errno> {
    let id = sqe.args[0] as usize;
    let kind = StdFsCallKind::try_from_raw(sqe.args[3] as u8).ok_or(EOPNOTSUPP)?;
    let first = sqe.args[4];
    let last = sqe.args[5];
    let two = sqe.sqe_flags.contains(SqeFlags::MULTIPLE_IDS);
    let wants_two = matches!(
        kind,
        StdFsCallKind::Relpathat | StdFsCallKind::Frenameat | StdFsCallKind::Flinkat
    );
    if two != wants_two {
        return Err(EINVAL);
    }
    let other = last as usize;
    // SAFETY: the payload is the request's.
    let path = || unsafe { path(lent) };
    Ok(match kind {
        StdFsCallKind::Fchmod => Request::Chmod {
            id,
            mode: first as u16 & flag::MODE_PERM,
        },
        StdFsCallKind::Fchown => chown(id, first, last),
        StdFsCallKind::Getdents => Request::List {
            id,
            to: lent,
            header: last as u16,
            at: first,
        },
        StdFsCallKind::Fstat => Request::Stat {
            id,
            to: exactly(lent, size_of::<Stat>(), false)?,
        },
        StdFsCallKind::Fstatvfs => Request::Space {
            id,
            to: exactly(lent, size_of::<StatVfs>(), false)?,
        },
        StdFsCallKind::Fsync => Request::Sync { id },
        StdFsCallKind::Ftruncate => Request::Truncate { id, len: first },
        // SAFETY: the payload is the request's.
        StdFsCallKind::Futimens => unsafe { times(id, lent)? },
        StdFsCallKind::Unlinkat => Request::Unlink {
            dir: id,
            path: path()?,
            folder: first as usize & flag::AT_REMOVEDIR != 0,
            trusted: false,
        },
        StdFsCallKind::Relpathat => Request::RelativePath {
            id,
            dir: other,
            to: lent,
        },
        StdFsCallKind::Lock => Request::Lock {
            id,
            range: lock_range(first, last)?,
        },
        StdFsCallKind::Unlock => Request::Unlock {
            id,
            range: lock_range(first, last)?,
        },
        StdFsCallKind::GetLock => Request::FindLock {
            id,
            range: lock_range(first, last)?,
            to: exactly(lent, 2 * size_of::<u64>(), false)?,
        },
        StdFsCallKind::Frenameat => {
            if lent.len > 2 * PATH_MAX + 1 {
                return Err(ENAMETOOLONG);
            }
            // SAFETY: the payload is the request's.
            let both = unsafe { lent.bytes() };
            let middle = both.iter().position(|byte| *byte == 0).ok_or(EINVAL)?;
            if first & !(RENAME_NOREPLACE | RENAME_EXCHANGE) != 0 {
                return Err(EINVAL);
            }
            Request::RenameAt {
                from: (id, text(&both[..middle])?),
                to: (other, text(&both[middle + 1..])?),
                keep: first & RENAME_NOREPLACE != 0,
                exchange: first & RENAME_EXCHANGE != 0,
            }
        }
        StdFsCallKind::Flinkat => Request::LinkAt {
            id,
            dir: other,
            path: path()?,
        },
    })
}

/// Memory that has to hold a structure.
fn exactly(lent: Lent, len: usize, or_more: bool) -> Result<Lent, Errno> {
    if lent.len == len || or_more && lent.len > len {
        Ok(Lent { len, ..lent })
    } else {
        Err(EINVAL)
    }
}

/// # Safety
/// As with [`decode`].
unsafe fn path(lent: Lent) -> Result<String, Errno> {
    if lent.len > PATH_MAX {
        return Err(ENAMETOOLONG);
    }
    // SAFETY: the caller's promise is the same.
    text(unsafe { lent.bytes() })
}

fn text(bytes: &[u8]) -> Result<String, Errno> {
    let text = std::str::from_utf8(bytes).map_err(|_| EINVAL)?;
    if text.len() > PATH_MAX {
        return Err(ENAMETOOLONG);
    }
    if text.contains('\0') {
        return Err(EINVAL);
    }
    Ok(text.to_owned())
}

fn open_flags(flags: usize, more: usize) -> OpenFlags {
    let has = |bit| flags & bit != 0;
    OpenFlags {
        read: has(flag::O_RDONLY),
        write: has(flag::O_WRONLY),
        append: (flags | more) & flag::O_APPEND != 0,
        nonblock: (flags | more) & flag::O_NONBLOCK != 0,
        create: has(flag::O_CREAT),
        exclusive: has(flag::O_EXCL),
        truncate: has(flag::O_TRUNC),
        directory: has(flag::O_DIRECTORY),
        symlink: has(flag::O_SYMLINK),
        stat: has(flag::O_STAT),
        no_follow: has(flag::O_NOFOLLOW),
        mode: flags as u16 & flag::MODE_PERM,
    }
}

fn is_nonblock(flags: u64) -> bool {
    flags as usize & flag::O_NONBLOCK != 0
}

fn chown(id: usize, uid: u64, gid: u64) -> Request {
    let changed = |number: u64| Some(number as u32).filter(|number| *number != UNCHANGED);
    Request::Chown {
        id,
        uid: changed(uid),
        gid: changed(gid),
    }
}

/// # Safety
/// As with [`decode`].
unsafe fn times(id: usize, lent: Lent) -> Result<Request, Errno> {
    const LEN: usize = size_of::<TimeSpec>();
    if lent.len == 0 {
        return Ok(Request::Times {
            id,
            access: Time::Now,
            change: Time::Now,
        });
    }
    if lent.len != 2 * LEN {
        return Err(EINVAL);
    }
    let one = |index: usize| {
        // SAFETY: there are two of them, at any alignment; every bit pattern is one.
        let raw = unsafe { ((lent.address + index * LEN) as *const TimeSpec).read_unaligned() };
        match raw.tv_nsec {
            now if UTIME_NOW.contains(&now) => Ok(Time::Now),
            keep if UTIME_OMIT.contains(&keep) => Ok(Time::Keep),
            0..1_000_000_000 => Ok(Time::At(
                Nanos::from(raw.tv_sec) * 1_000_000_000 + Nanos::from(raw.tv_nsec),
            )),
            _ => Err(EINVAL),
        }
    };
    Ok(Request::Times {
        id,
        access: one(0)?,
        change: one(1)?,
    })
}

fn lock_range(first: u64, last: u64) -> Result<LockRange, Errno> {
    let (start, len) = (first & !LOCK_MARK, last & !LOCK_MARK);
    let end = match len.checked_sub(1) {
        None => i64::MAX as u64,
        Some(more) => start
            .checked_add(more)
            .filter(|end| *end <= i64::MAX as u64)
            .ok_or(EINVAL)?,
    };
    Ok(LockRange {
        start,
        end,
        of_handle: first & LOCK_MARK != 0,
        exclusive: last & LOCK_MARK != 0,
    })
}

/// The bytes that say which lock is in the way.
pub fn lock_bytes(range: &LockRange) -> [u8; 16] {
    let len = if range.end == i64::MAX as u64 {
        0
    } else {
        range.end - range.start + 1
    };
    let mark = if range.exclusive { LOCK_MARK } else { 0 };
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&range.start.to_ne_bytes());
    bytes[8..].copy_from_slice(&(len | mark).to_ne_bytes());
    bytes
}

/// The answer to a call.
pub fn answer(tag: u32, outcome: Result<Done, Errno>) -> Cqe {
    let (opcode, extra, result) = match outcome {
        Ok(Done::Value(value)) => (CqeOpcode::RespondRegular, 0, Ok(value)),
        Ok(Done::Opened { id, positioned }) => {
            let flags = if positioned {
                NewFdFlags::POSITIONED
            } else {
                NewFdFlags::empty()
            };
            (CqeOpcode::RespondRegular, flags.bits(), Ok(id))
        }
        Ok(Done::Watched) => (CqeOpcode::RespondAndNotifyOnDetach, 0, Ok(0)),
        Err(errno) => (CqeOpcode::RespondRegular, 0, Err(Error::new(errno))),
    };
    Cqe {
        flags: opcode as u8,
        extra_raw: [extra, 0, 0],
        tag,
        result: Error::mux(result) as u64,
    }
}

/// Says to the kernel that a handle can be read or written.
pub fn event(id: usize, read: bool, write: bool) -> Cqe {
    Cqe {
        flags: CqeOpcode::SendFevent as u8,
        extra_raw: [0; 3],
        tag: event_bits(read, write) as u32,
        result: id as u64,
    }
}

/// The bits of readiness.
pub fn event_bits(read: bool, write: bool) -> usize {
    let mut flags = flag::EventFlags::empty();
    flags.set(flag::EventFlags::EVENT_READ, read);
    flags.set(flag::EventFlags::EVENT_WRITE, write);
    flags.bits()
}

/// The bytes of a `Stat`. `tree` tells apart what has equal inode numbers.
pub fn stat_bytes(tree: u64, attr: &Attr, out: &mut Vec<u8>) {
    let kind = match attr.kind {
        FileKind::File => flag::MODE_FILE,
        FileKind::Directory => flag::MODE_DIR,
        FileKind::Symlink => flag::MODE_SYMLINK,
        FileKind::Fifo => flag::MODE_FIFO,
        FileKind::Socket => flag::MODE_SOCK,
        FileKind::CharDevice => flag::MODE_CHR,
        // Redox has no name for it; the number is POSIX's.
        FileKind::BlockDevice => 0x6000,
    };
    let time = |nanos: Nanos| {
        let seconds = nanos
            .div_euclid(1_000_000_000)
            .clamp(i64::MIN.into(), i64::MAX.into()) as i64;
        (seconds as u64, nanos.rem_euclid(1_000_000_000) as u32)
    };
    let ((mtime, mtime_nsec), (atime, atime_nsec), (ctime, ctime_nsec)) =
        (time(attr.mtime), time(attr.atime), time(attr.ctime));
    let stat = Stat {
        st_dev: DEVICE | tree,
        st_ino: attr.ino,
        st_mode: kind | attr.perm & flag::MODE_PERM,
        st_nlink: attr.nlink,
        st_uid: attr.uid,
        st_gid: attr.gid,
        st_size: attr.size,
        st_blksize: BLOCK_SIZE,
        st_blocks: attr.blocks,
        st_mtime: mtime,
        st_mtime_nsec: mtime_nsec,
        st_atime: atime,
        st_atime_nsec: atime_nsec,
        st_ctime: ctime,
        st_ctime_nsec: ctime_nsec,
    };
    append_struct(out, &stat);
}

/// The bytes of a `StatVfs`.
pub fn space_bytes(space: &Space, out: &mut Vec<u8>) {
    let free = space.free / u64::from(BLOCK_SIZE);
    let space = StatVfs {
        f_bsize: BLOCK_SIZE,
        f_blocks: space.total / u64::from(BLOCK_SIZE),
        f_bfree: free,
        f_bavail: free,
    };
    append_struct(out, &space);
}

/// Appends a structure's bytes, those between its fields as zeros.
fn append_struct<T: Copy + Default>(out: &mut Vec<u8>, value: &T) {
    let start = out.len();
    out.resize(start + size_of::<T>(), 0);
    // SAFETY: the room was just made; alignment does not matter. The structures are plain numbers.
    unsafe {
        out[start..]
            .as_mut_ptr()
            .cast::<T>()
            .write_unaligned(*value)
    };
}

/// A listing for the kernel, as far as there is room.
pub struct Listing<'a> {
    entries: DirentBuf<&'a mut [u8]>,
    any: bool,
}

impl<'a> Listing<'a> {
    /// A listing in `room`, whose entries have heads of `header` bytes.
    pub fn new(room: &'a mut [u8], header: u16) -> Result<Self, Errno> {
        let entries = DirentBuf::new(room, header).ok_or(EINVAL)?;
        Ok(Self {
            entries,
            any: false,
        })
    }

    /// Adds an entry; `false` when there is no room for it.
    pub fn add(&mut self, next: u64, ino: u64, kind: FileKind, name: &str) -> bool {
        let kind = match kind {
            FileKind::File => DirentKind::Regular,
            FileKind::Directory => DirentKind::Directory,
            FileKind::Symlink => DirentKind::Symlink,
            FileKind::Socket => DirentKind::Socket,
            FileKind::CharDevice => DirentKind::CharDev,
            FileKind::BlockDevice => DirentKind::BlockDev,
            FileKind::Fifo => DirentKind::Unspecified,
        };
        let entry = DirEntry {
            inode: ino,
            next_opaque_id: next,
            name,
            kind,
        };
        let added = self.entries.entry(entry).is_ok();
        self.any |= added;
        added
    }

    /// How many bytes were written.
    pub fn finish(self) -> usize {
        self.entries.finalize()
    }

    /// Whether an entry was added.
    pub fn is_empty(&self) -> bool {
        !self.any
    }
}
