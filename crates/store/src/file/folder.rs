//! Large chunks: one file each, in a folder by the first digit of the address.
//!
//! What always holds here: a file under its own name is whole and on the disk (it is written under
//! another name and gets its own when it was synced); a file that is not what its name says never
//! leaves here as a chunk.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hashlink::LruCache;
use parking_lot::Mutex;
use rustix::buffer::spare_capacity;
use safeos_record::{Address, Chunk, MAX_CHUNK_SIZE};

use super::direct;
use super::disk::{in_parallel, read_all};
use super::pending_writes::{FILES_DUE, FILES_MAX, Failure, PendingWrites};
use crate::disk::make_dir;

/// Files of a crashed `put` are removed when they are older than this.
const ABANDONED: Duration = Duration::from_secs(3600);
/// How many files are kept open for the next part of them: 1 GiB in packs.
const RECENT_MAX: usize = 512;

/// How many folders there are.
const SHARDS: u8 = 16;

/// How many files are read or written at once.
pub(super) const THREADS_MAX: usize = 4;

/// The folder of large chunks.
pub(super) struct Folder {
    chunks: PathBuf,
    incoming: PathBuf,
    /// Files read from lately.
    recent: Mutex<LruCache<(Address, Way), Arc<File>>>,
    unsynced: Arc<PendingWrites>,
    /// Syncs what waits while more is written.
    syncing: Mutex<Option<JoinHandle<()>>>,
}

/// How a file is read.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Way {
    /// Through the system's page cache.
    Cached,
    /// Past it.
    Direct,
}

/// The entry under a chunk's name.
pub(super) enum Found {
    /// A file of this length.
    File(File, u64),
    /// Something that is no chunk, and why.
    Wrong(String),
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(syncing) = self.syncing.lock().take() {
            // A panic there has been reported by its thread.
            drop(syncing.join());
        }
    }
}

impl Folder {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            chunks: root.join("chunks"),
            incoming: root.join("incoming"),
            recent: Mutex::new(LruCache::new(RECENT_MAX)),
            unsynced: Arc::default(),
            syncing: Mutex::default(),
        }
    }

    /// Makes the folders.
    pub(super) fn create(&self) -> io::Result<()> {
        make_dir(&self.chunks)?;
        make_dir(&self.incoming)
    }

    /// Removes what crashed `put`s have left behind.
    pub(super) fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.incoming) else {
            return;
        };
        for entry in entries.flatten() {
            let age = entry
                .metadata()
                .and_then(|about| about.modified())
                .ok()
                .and_then(|then| SystemTime::now().duration_since(then).ok());
            if age.is_some_and(|age| age > ABANDONED) {
                // Only space is lost when it stays.
                drop(fs::remove_file(entry.path()));
            }
        }
    }

    /// Few folders: each is a place of its own on the disk, that has to be read before a file in it is
    /// found, and synced after one came to it.
    fn shard(&self, number: u8) -> PathBuf {
        self.chunks.join(format!("{number:x}"))
    }

    pub(super) fn path(&self, address: &Address) -> PathBuf {
        self.shard(shard_of(address)).join(address.to_string())
    }

    /// Writes chunks; [`Folder::sync`] makes them durable.
    pub(super) fn write(&self, chunks: &[&Chunk]) -> Result<(), Failure> {
        let written = in_parallel(chunks, THREADS_MAX, |chunk| {
            self.write_one(chunk)
                .map_err(|error| (self.path(&chunk.address()), error))
        });
        written.into_iter().collect::<Result<(), Failure>>()?;
        match self.unsynced.waiting() {
            waiting if waiting > FILES_MAX => self.sync(),
            waiting if waiting > FILES_DUE => {
                self.sync_soon();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Has a thread of its own sync what waits, unless one does.
    fn sync_soon(&self) {
        let mut syncing = self.syncing.lock();
        if syncing.as_ref().is_none_or(JoinHandle::is_finished) {
            let unsynced = self.unsynced.clone();
            *syncing = std::thread::Builder::new()
                .name("store sync".into())
                // A failed sync stays pending, and the next caller that relies on it gets the error.
                .spawn(move || drop(unsynced.sync()))
                .ok();
        }
    }

    /// Waits until what was written is on the disk.
    pub(super) fn sync(&self) -> Result<(), Failure> {
        self.unsynced.sync()
    }

    /// Writes one chunk unless it is there, whole.
    fn write_one(&self, chunk: &Chunk) -> io::Result<()> {
        let address = chunk.address();
        if let Ok(Some(Found::File(file, len))) = self.find(&address)
            && len == chunk.bytes().len() as u64
            && read_all(&file, len).is_ok_and(|bytes| bytes == chunk.bytes())
        {
            // Its writer may have died before its name was on the disk.
            self.unsynced.folder(self.shard(shard_of(&address)));
            return Ok(());
        }
        self.unsynced
            .write(chunk, self.temporary(), self.path(&address))
    }

    /// A name no other thread or process uses.
    fn temporary(&self) -> PathBuf {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let moment = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos());
        self.incoming.join(format!(
            "{}-{moment:x}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        ))
    }

    /// Opens the file of a chunk; `None` when there is none.
    pub(super) fn find(&self, address: &Address) -> io::Result<Option<Found>> {
        if let Some(place) = self.unsynced.place(address)
            && let Ok(file) = File::open(place)
        {
            let len = file.metadata()?.len();
            return Ok(Some(Found::File(file, len)));
        }
        let path = self.path(address);
        let wrong = |why| Ok(Some(Found::Wrong(format!("{} {why}", path.display()))));
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(direct::NOT_WAITING)
            .open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // An entry that cannot be opened at all, such as a socket.
            Err(_) if fs::metadata(&path).is_ok_and(|about| !about.is_file()) => {
                return wrong("is not a file".to_owned());
            }
            Err(error) => return Err(error),
        };
        let about = file.metadata()?;
        let len = about.len();
        if !about.is_file() {
            wrong("is not a file".to_owned())
        } else if len > MAX_CHUNK_SIZE as u64 {
            wrong(format!("has {len} bytes, more than a chunk may"))
        } else {
            Ok(Some(Found::File(file, len)))
        }
    }

    /// A part of a chunk's file that was read from lately, if it has that part.
    pub(super) fn read_recent(&self, address: &Address, offset: u32, len: u32) -> Option<Bytes> {
        let file = self.recently(address, Way::Cached)?;
        read_part(&file, offset, len).ok()
    }

    /// Fills `out` with a part of such a chunk, if the system has it in memory.
    pub(super) fn read_now(&self, address: &Address, offset: u32, out: &mut [u8]) -> bool {
        self.recently(address, Way::Cached)
            .is_some_and(|file| read_at_once(&file, offset, out))
    }

    fn recently(&self, address: &Address, way: Way) -> Option<Arc<File>> {
        self.recent.lock().get(&(*address, way)).cloned()
    }

    /// A part of a chunk's file past the system's cache; `None` where that does not work.
    pub(super) fn read_direct(&self, address: &Address, offset: u32, len: u32) -> Option<Bytes> {
        let file = match self.recently(address, Way::Direct) {
            Some(file) => file,
            None => {
                let place = self.unsynced.place(address);
                let file = direct::open(&place.unwrap_or_else(|| self.path(address))).ok()?;
                if !file.metadata().ok()?.is_file() {
                    return None;
                }
                let file = Arc::new(file);
                self.recent
                    .lock()
                    .insert((*address, Way::Direct), file.clone());
                file
            }
        };
        direct::read(&file, offset, len).ok()
    }

    /// Keeps a file open for the next part of it.
    pub(super) fn keep(&self, address: Address, file: File) -> Arc<File> {
        // The parts of a pack that belong together are asked for together, and around a block at a random
        // place as much again would be read four times over.
        only_what_is_asked_for(&file);
        let file = Arc::new(file);
        self.recent
            .lock()
            .insert((address, Way::Cached), file.clone());
        file
    }

    /// Has the system begin to read a part.
    pub(super) fn read_ahead(&self, address: &Address, offset: u32, len: u32) {
        let file = match self.recently(address, Way::Cached) {
            Some(file) => file,
            None => match self.find(address) {
                Ok(Some(Found::File(file, _))) => self.keep(*address, file),
                _ => return,
            },
        };
        read_soon(&file, offset, len);
    }

    /// Addresses and lengths after `after`, in order, at most `limit`.
    pub(super) fn list(
        &self,
        after: Option<Address>,
        limit: usize,
    ) -> io::Result<Vec<(Address, u64)>> {
        let mut found = Vec::new();
        let first = after.map_or(0, |address| shard_of(&address));
        for shard in first..SHARDS {
            if found.len() >= limit {
                break;
            }
            let mut names = self.names(shard)?;
            names.retain(|name| Some(*name) > after);
            names.sort_unstable();
            for address in names.into_iter().take(limit - found.len()) {
                match fs::metadata(self.path(&address)) {
                    Ok(about) => found.push((address, about.len())),
                    // Deleted meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(found)
    }

    /// The chunks in one of the folders, in no order. Files with other names are not ours.
    fn names(&self, shard: u8) -> io::Result<Vec<Address>> {
        let entries = match fs::read_dir(self.shard(shard)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let address = name.to_str().and_then(|name| name.parse::<Address>().ok());
            names.extend(address.filter(|address| shard_of(address) == shard));
        }
        Ok(names)
    }

    /// How many chunks and how many bytes.
    pub(super) fn stats(&self) -> io::Result<(u64, u64)> {
        let mut count = 0;
        let mut bytes = 0;
        for shard in 0..SHARDS {
            for address in self.names(shard)? {
                match fs::metadata(self.path(&address)) {
                    Ok(about) => {
                        count += 1;
                        bytes += about.len();
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok((count, bytes))
    }

    /// Removes a chunk; false when there is none. A removal that a crash undoes is done again by the
    /// next collection, so it is not synced.
    pub(super) fn delete(&self, address: &Address) -> io::Result<bool> {
        for way in [Way::Cached, Way::Direct] {
            self.recent.lock().remove(&(*address, way));
        }
        let unsynced = self.unsynced.forget(address);
        match fs::remove_file(self.path(address)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(unsynced),
            Err(error) => Err(error),
        }
    }
}

/// The number of the folder that a chunk is in.
const fn shard_of(address: &Address) -> u8 {
    address.as_bytes()[0] >> 4
}

/// A part of a file; the caller has checked that it has so many bytes.
pub(super) fn read_part(file: &File, offset: u32, len: u32) -> io::Result<Bytes> {
    let len = len as usize;
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let at = u64::from(offset) + bytes.len() as u64;
        // Into memory that was not zeroed first: a read is as long as a pack.
        match rustix::io::pread(file, spare_capacity(&mut bytes), at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bytes.truncate(len);
    Ok(bytes.into())
}

/// Fills `out` from the system's cache of a file; whether it had all of it.
fn read_at_once(file: &File, offset: u32, out: &mut [u8]) -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::io::{ReadWriteFlags, preadv2};
        let len = out.len();
        let parts = &mut [io::IoSliceMut::new(out)];
        preadv2(file, parts, offset.into(), ReadWriteFlags::NOWAIT) == Ok(len)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (file, offset, out);
        false
    }
}

/// Keeps the system from reading more of a file than is asked for.
fn only_what_is_asked_for(file: &File) {
    #[cfg(target_os = "linux")]
    // Advice that is not taken changes nothing.
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::Random);
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}

/// Has the system begin to read a part of a file.
fn read_soon(file: &File, offset: u32, len: u32) {
    #[cfg(target_os = "linux")]
    let _ = rustix::fs::fadvise(
        file,
        offset.into(),
        std::num::NonZeroU64::new(len.into()),
        rustix::fs::Advice::WillNeed,
    );
    #[cfg(not(target_os = "linux"))]
    let _ = (file, offset, len);
}
