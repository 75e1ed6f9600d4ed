//! File operations of programs, as small as the cases need them.
//!
//! A guest script implements it with the system's own calls.

/// An error number.
pub type Errno = i32;
/// A result with an error number.
pub type Result<T> = std::result::Result<T, Errno>;
/// An open file.
pub type Fd = usize;

/// How to open.
#[derive(Clone, Copy, Default, Debug)]
#[allow(clippy::struct_excessive_bools)]
pub struct How {
    /// For reading.
    pub read: bool,
    /// For writing.
    pub write: bool,
    /// Make it if it is not there.
    pub create: bool,
    /// It must not be there.
    pub new: bool,
    /// Cut it to nothing.
    pub truncate: bool,
    /// Write at the end.
    pub append: bool,
    /// It must be a directory.
    pub directory: bool,
    /// Do not follow a link at the end.
    pub no_follow: bool,
    /// Permissions of a new node.
    pub mode: u16,
}

impl How {
    /// For reading.
    pub const READ: Self = Self {
        read: true,
        write: false,
        create: false,
        new: false,
        truncate: false,
        append: false,
        directory: false,
        no_follow: false,
        mode: 0,
    };
    /// For reading and writing, made if need be.
    pub const WRITE: Self = Self {
        write: true,
        create: true,
        mode: 0o644,
        ..Self::READ
    };
    /// As `File::create`.
    pub const CREATE: Self = Self {
        truncate: true,
        ..Self::WRITE
    };
    /// For adding at the end.
    pub const APPEND: Self = Self {
        append: true,
        ..Self::WRITE
    };
}

/// The kind of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// Anything else.
    Other,
}

/// The attributes that `stat` shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Meta {
    /// Device.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// The node's kind.
    pub kind: Kind,
    /// Permission bits.
    pub perm: u16,
    /// Links.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// Seconds and nanoseconds of the last change.
    pub mtime: (i64, u32),
    /// Seconds and nanoseconds of the last access.
    pub atime: (i64, u32),
}

/// A time to set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// Now.
    Now,
    /// As it is.
    Keep,
    /// Seconds and nanoseconds.
    At(i64, u32),
}

/// A file in memory.
pub trait Mapping {
    /// Copies out of it.
    fn get(&self, at: usize, out: &mut [u8]);
    /// Copies into it.
    fn put(&self, at: usize, data: &[u8]);
    /// Unmaps it.
    fn unmap(self: Box<Self>);
}

/// The file operations of one program.
pub trait Files: Send + Sync {
    /// Opens a path.
    fn open(&self, path: &str, how: How) -> Result<Fd>;
    /// Closes.
    fn close(&self, fd: Fd);
    /// Reads at the descriptor's place and moves it.
    fn read(&self, fd: Fd, buf: &mut [u8]) -> Result<usize>;
    /// Reads at a place.
    fn read_at(&self, fd: Fd, buf: &mut [u8], at: u64) -> Result<usize>;
    /// Writes at the descriptor's place and moves it.
    fn write(&self, fd: Fd, data: &[u8]) -> Result<usize>;
    /// Writes at a place.
    fn write_at(&self, fd: Fd, data: &[u8], at: u64) -> Result<usize>;
    /// Moves the descriptor to the end and says where that is.
    fn seek_end(&self, fd: Fd) -> Result<u64>;
    /// Attributes of an open file.
    fn fstat(&self, fd: Fd) -> Result<Meta>;
    /// Attributes, links followed.
    fn stat(&self, path: &str) -> Result<Meta>;
    /// Attributes of a link itself.
    fn lstat(&self, path: &str) -> Result<Meta>;
    /// The names in a directory, with kinds.
    fn list(&self, path: &str) -> Result<Vec<(String, Kind)>>;
    /// Makes a directory.
    fn mkdir(&self, path: &str, mode: u16) -> Result<()>;
    /// Removes an empty directory.
    fn rmdir(&self, path: &str) -> Result<()>;
    /// Removes a name.
    fn unlink(&self, path: &str) -> Result<()>;
    /// Renames.
    fn rename(&self, from: &str, to: &str) -> Result<()>;
    /// Adds a name.
    fn link(&self, from: &str, to: &str) -> Result<()>;
    /// Makes a symbolic link.
    fn symlink(&self, target: &str, path: &str) -> Result<()>;
    /// Where a link points.
    fn read_link(&self, path: &str) -> Result<String>;
    /// Changes permissions.
    fn chmod(&self, fd: Fd, mode: u16) -> Result<()>;
    /// Changes the owner.
    fn chown(&self, fd: Fd, uid: u32, gid: u32) -> Result<()>;
    /// Sets the length.
    fn truncate(&self, fd: Fd, len: u64) -> Result<()>;
    /// Sets times: access, change.
    fn times(&self, fd: Fd, access: When, change: When) -> Result<()>;
    /// Makes durable.
    fn sync(&self, fd: Fd) -> Result<()>;
    /// Bytes in all, bytes free.
    fn space(&self, fd: Fd) -> Result<(u64, u64)>;
    /// The absolute path of an open file.
    fn path_of(&self, fd: Fd) -> Result<String>;
    /// Changes the current directory.
    fn chdir(&self, path: &str) -> Result<()>;
    /// Maps the first `len` bytes; `shared`: for writing, seen by others.
    fn map(&self, fd: Fd, len: usize, shared: bool) -> Result<Box<dyn Mapping>>;
    /// Locks a range of the file for this process.
    fn lock(&self, fd: Fd, start: u64, len: u64, exclusive: bool) -> Result<()>;
    /// Unlocks a range.
    fn unlock(&self, fd: Fd, start: u64, len: u64) -> Result<()>;
}

/// Everything that is in a file.
pub fn read_all(files: &dyn Files, path: &str) -> Result<Vec<u8>> {
    let fd = files.open(path, How::READ)?;
    let mut all = Vec::new();
    let mut buf = vec![0; 64 * 1024];
    let done = loop {
        match files.read(fd, &mut buf) {
            Ok(0) => break Ok(all),
            Ok(count) => all.extend_from_slice(&buf[..count]),
            Err(errno) => break Err(errno),
        }
    };
    files.close(fd);
    done
}

/// Makes a file with this content.
pub fn write_all(files: &dyn Files, path: &str, data: &[u8]) -> Result<()> {
    let fd = files.open(path, How::CREATE)?;
    let mut rest = data;
    while !rest.is_empty() {
        match files.write(fd, rest) {
            Ok(count) => rest = &rest[count..],
            Err(errno) => {
                files.close(fd);
                return Err(errno);
            }
        }
    }
    files.close(fd);
    Ok(())
}
