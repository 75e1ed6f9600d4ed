//! The kernel's requests in our own terms.
//!
//! What always holds here: nothing of the kernel's own types is in it; memory of a caller is touched only
//! through `unsafe` functions, whose callers vouch for it.

use safeos_session::Nanos;

pub use crate::errno::Errno;

/// The longest path, as the kernel has it: one page.
pub const PATH_MAX: usize = 4096;
/// Bytes of a page of memory.
pub const PAGE: usize = 4096;

/// Memory of the caller that a request lends.
#[derive(Clone, Copy)]
pub struct Lent {
    pub(super) address: usize,
    pub(super) len: usize,
}

// SAFETY: it is an address that means the same to every thread; its user vouches for the time.
unsafe impl Send for Lent {}

impl Lent {
    /// How many bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The bytes.
    ///
    /// # Safety
    /// The request must not have been answered, nor be answered while the slice is used.
    pub unsafe fn bytes(&self) -> &[u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: the kernel maps this memory until the request is answered (the caller's promise).
        unsafe { std::slice::from_raw_parts(self.address as *const u8, self.len) }
    }

    /// Copies as much of `bytes` to it as there is room for.
    ///
    /// # Safety
    /// As with [`Lent::bytes`], and the request must be one that lends memory to be written to.
    pub unsafe fn fill(&self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.len);
        if count > 0 {
            // SAFETY: see above; the memory is the caller's and overlaps none of ours.
            unsafe {
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.address as *mut u8, count);
            }
        }
        count
    }
}

/// How to open.
#[derive(Clone, Copy, Default, Debug)]
#[allow(clippy::struct_excessive_bools)]
pub struct OpenFlags {
    pub read: bool,
    pub write: bool,
    pub append: bool,
    pub nonblock: bool,
    pub create: bool,
    pub exclusive: bool,
    pub truncate: bool,
    pub directory: bool,
    /// The link itself, or with `create` a new link.
    pub symlink: bool,
    /// Only to look at.
    pub stat: bool,
    pub no_follow: bool,
    /// Permission bits of a new node, the umask applied.
    pub mode: u16,
}

/// One of the two times of `futimens`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Time {
    Now,
    Keep,
    At(Nanos),
}

/// A range of a file that a record lock is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LockRange {
    pub start: u64,
    /// The last byte.
    pub end: u64,
    /// Belongs to the open file, not to the process.
    pub of_handle: bool,
    pub exclusive: bool,
}

/// A request.
pub enum Request {
    Open {
        dir: usize,
        path: String,
        flags: OpenFlags,
    },
    /// `trusted`: the kernel names the caller.
    Unlink {
        dir: usize,
        path: String,
        folder: bool,
        trusted: bool,
    },
    Dup {
        id: usize,
        what: Vec<u8>,
    },
    Read {
        id: usize,
        to: Lent,
        offset: u64,
        nonblock: bool,
    },
    Write {
        id: usize,
        from: Lent,
        offset: u64,
        append: bool,
    },
    Size {
        id: usize,
    },
    Chmod {
        id: usize,
        mode: u16,
    },
    Chown {
        id: usize,
        uid: Option<u32>,
        gid: Option<u32>,
    },
    GetFlags {
        id: usize,
    },
    SetFlags {
        id: usize,
        append: bool,
        nonblock: bool,
    },
    Events {
        id: usize,
        read: bool,
        write: bool,
    },
    Path {
        id: usize,
        to: Lent,
    },
    RelativePath {
        id: usize,
        dir: usize,
        to: Lent,
    },
    Rename {
        id: usize,
        path: String,
    },
    RenameAt {
        from: (usize, String),
        to: (usize, String),
        keep: bool,
        exchange: bool,
    },
    Link {
        id: usize,
        path: String,
    },
    LinkAt {
        id: usize,
        dir: usize,
        path: String,
    },
    Stat {
        id: usize,
        to: Lent,
    },
    Space {
        id: usize,
        to: Lent,
    },
    Sync {
        id: usize,
    },
    Truncate {
        id: usize,
        len: u64,
    },
    Times {
        id: usize,
        access: Time,
        change: Time,
    },
    List {
        id: usize,
        to: Lent,
        header: u16,
        at: u64,
    },
    Map {
        id: usize,
        offset: u64,
        len: usize,
        shared: bool,
        write: bool,
    },
    Unmap {
        id: usize,
        offset: u64,
        len: usize,
    },
    Lock {
        id: usize,
        range: LockRange,
    },
    Unlock {
        id: usize,
        range: LockRange,
    },
    FindLock {
        id: usize,
        range: LockRange,
        to: Lent,
    },
    /// An operation that this scheme does not have, with the error.
    Refuse(Errno),
}

/// A request that waits for its answer.
pub struct Call {
    pub tag: u32,
    pub pid: usize,
    /// The caller, where the kernel names it; else the caller's own claim.
    pub uid: u32,
    pub gid: u32,
    pub ask: Request,
}

/// A message from the kernel.
pub enum Message {
    Call(Call),
    /// The caller of this tag does not want to wait any longer.
    Cancel(u32),
    Close(usize),
    /// One of the descriptors of an open file is gone from a process.
    Detach {
        id: usize,
        pid: usize,
    },
    /// Nothing that needs doing.
    Nothing,
}

impl Request {
    /// The handle that it is about.
    pub fn handle(&self) -> Option<usize> {
        match self {
            Self::Open { .. } | Self::Refuse(_) => None,
            Self::Unlink { dir: id, .. }
            | Self::RenameAt { from: (id, _), .. }
            | Self::Dup { id, .. }
            | Self::Read { id, .. }
            | Self::Write { id, .. }
            | Self::Size { id }
            | Self::Chmod { id, .. }
            | Self::Chown { id, .. }
            | Self::GetFlags { id }
            | Self::SetFlags { id, .. }
            | Self::Events { id, .. }
            | Self::Path { id, .. }
            | Self::RelativePath { id, .. }
            | Self::Rename { id, .. }
            | Self::Link { id, .. }
            | Self::LinkAt { id, .. }
            | Self::Stat { id, .. }
            | Self::Space { id, .. }
            | Self::Sync { id }
            | Self::Truncate { id, .. }
            | Self::Times { id, .. }
            | Self::List { id, .. }
            | Self::Map { id, .. }
            | Self::Unmap { id, .. }
            | Self::Lock { id, .. }
            | Self::Unlock { id, .. }
            | Self::FindLock { id, .. } => Some(*id),
        }
    }

    /// The memory that the answer's bytes go to.
    pub fn output(&self) -> Option<Lent> {
        match self {
            Self::Read { to, .. }
            | Self::Path { to, .. }
            | Self::RelativePath { to, .. }
            | Self::Stat { to, .. }
            | Self::Space { to, .. }
            | Self::List { to, .. }
            | Self::FindLock { to, .. } => Some(*to),
            _ => None,
        }
    }
}

/// The result of a successful call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Done {
    /// A number.
    Value(usize),
    /// A new handle; `positioned`: the kernel keeps the place in it.
    Opened { id: usize, positioned: bool },
    /// Done, and the kernel is to say when the descriptor is gone from its process.
    Watched,
}
