//! The state of the pass-through: the nodes the kernel was told of, each an `O_PATH` descriptor.

use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use fuser::{FileAttr, FileType, INodeNo, Request};
use parking_lot::Mutex;

use super::sys::{attr, c_string, check, is_root, open_at, proc_path, stat_fd};

/// One inode the kernel knows: its descriptor and how often the kernel was told of it.
pub(super) struct Node {
    pub(super) fd: Arc<OwnedFd>,
    pub(super) key: (u64, u64),
    pub(super) lookups: u64,
}

#[derive(Default)]
pub(super) struct Nodes {
    pub(super) by_number: HashMap<u64, Node>,
    pub(super) by_key: HashMap<(u64, u64), u64>,
    pub(super) newest: u64,
}

/// An open directory: its entries as they were when it was opened.
pub(super) struct Listing {
    pub(super) entries: Vec<(Vec<u8>, FileType)>,
}

pub(super) struct PassThrough {
    pub(super) nodes: Mutex<Nodes>,
    pub(super) listings: Mutex<HashMap<u64, Arc<Listing>>>,
    pub(super) writeback: bool,
}

impl PassThrough {
    pub(super) fn fd(&self, ino: INodeNo) -> io::Result<Arc<OwnedFd>> {
        let nodes = self.nodes.lock();
        let node = nodes.by_number.get(&ino.0);
        node.map(|node| node.fd.clone())
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ESTALE))
    }

    /// The path through which calls that take no `O_PATH` descriptor reach the node.
    pub(super) fn path(&self, ino: INodeNo) -> io::Result<(Arc<OwnedFd>, CString)> {
        let fd = self.fd(ino)?;
        let path = proc_path(fd.as_raw_fd())?;
        Ok((fd, path))
    }

    /// Looks a name up and tells the kernel of it once more.
    pub(super) fn find(&self, dir: RawFd, name: &CString) -> io::Result<FileAttr> {
        let fd = open_at(dir, name, libc::O_PATH | libc::O_NOFOLLOW)?;
        let stat = stat_fd(fd.as_raw_fd())?;
        let key = (stat.st_dev, stat.st_ino);
        let mut nodes = self.nodes.lock();
        let number = match nodes.by_key.get(&key) {
            Some(&number) => number,
            None => {
                nodes.newest += 1;
                let number = nodes.newest;
                let fd = Arc::new(fd);
                nodes.by_key.insert(key, number);
                nodes.by_number.insert(
                    number,
                    Node {
                        fd,
                        key,
                        lookups: 0,
                    },
                );
                number
            }
        };
        if let Some(node) = nodes.by_number.get_mut(&number) {
            node.lookups += 1;
        }
        Ok(attr(number, &stat))
    }

    pub(super) fn forget_times(&self, ino: u64, times: u64) {
        let mut nodes = self.nodes.lock();
        let Some(node) = nodes.by_number.get_mut(&ino) else {
            return;
        };
        node.lookups = node.lookups.saturating_sub(times);
        if node.lookups == 0
            && let Some(node) = nodes.by_number.remove(&ino)
        {
            nodes.by_key.remove(&node.key);
        }
    }

    /// Gives what was made to its maker, when that is somebody else than this process.
    pub(super) fn own(&self, req: &Request, dir: RawFd, name: &CString) -> io::Result<()> {
        if is_root() && (req.uid() != 0 || req.gid() != 0) {
            // SAFETY: `name` ends with NUL and outlives the call.
            check(unsafe {
                libc::fchownat(
                    dir,
                    name.as_ptr(),
                    req.uid(),
                    req.gid(),
                    libc::AT_SYMLINK_NOFOLLOW,
                )
            })?;
        }
        Ok(())
    }

    pub(super) fn made(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        make: impl FnOnce(RawFd, &CString) -> libc::c_int,
    ) -> io::Result<FileAttr> {
        let dir = self.fd(parent)?;
        let name = c_string(name)?;
        check(make(dir.as_raw_fd(), &name))?;
        self.own(req, dir.as_raw_fd(), &name)?;
        self.find(dir.as_raw_fd(), &name)
    }

    /// The write-back cache reads pages that are written in part, and places appended bytes itself.
    pub(super) fn open_flags(&self, flags: i32) -> i32 {
        let mut flags = flags & !libc::O_NOFOLLOW & !libc::O_CREAT & !libc::O_EXCL;
        if self.writeback {
            if flags & libc::O_ACCMODE == libc::O_WRONLY {
                flags = (flags & !libc::O_ACCMODE) | libc::O_RDWR;
            }
            flags &= !libc::O_APPEND;
        }
        flags
    }

    pub(super) fn remove(&self, parent: INodeNo, name: &OsStr, flags: i32) -> io::Result<()> {
        let dir = self.fd(parent)?;
        let name = c_string(name)?;
        // SAFETY: `name` ends with NUL.
        check(unsafe { libc::unlinkat(dir.as_raw_fd(), name.as_ptr(), flags) })
    }
}
