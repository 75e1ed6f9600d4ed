//! Large chunks: one file each, in a folder by the first byte of the address.
//!
//! What always holds here: a file under its own name is whole and on the disk (it is written under
//! another name and gets its own when it was synced); a file that is not what its name says never
//! leaves here as a chunk.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hashlink::LruCache;
use parking_lot::Mutex;
use safeos_record::{Address, Chunk, MAX_CHUNK_SIZE};

use super::unsynced::{Failure, Unsynced};

/// Files of a crashed `put` are removed when they are older than this.
const ABANDONED: Duration = Duration::from_secs(3600);
/// How many files are kept open for the next part of them: 1 GiB in packs.
const RECENT_MAX: usize = 512;

/// How many files are read or written at once.
pub(super) const THREADS_MAX: usize = 4;

/// The folder of large chunks.
pub(super) struct Folder {
    chunks: PathBuf,
    incoming: PathBuf,
    /// Files read from lately.
    recent: Mutex<LruCache<Address, Arc<File>>>,
    unsynced: Unsynced,
}

/// What is under a chunk's name.
pub(super) enum Found {
    /// A file of this length.
    File(File, u64),
    /// Something that is no chunk, and why.
    Wrong(String),
}

impl Folder {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            chunks: root.join("chunks"),
            incoming: root.join("incoming"),
            recent: Mutex::new(LruCache::new(RECENT_MAX)),
            unsynced: Unsynced::default(),
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

    fn shard(&self, address: &Address) -> PathBuf {
        self.chunks.join(format!("{:02x}", address.as_bytes()[0]))
    }

    pub(super) fn path(&self, address: &Address) -> PathBuf {
        self.shard(address).join(address.to_string())
    }

    /// Writes chunks; [`Folder::sync`] makes them durable.
    pub(super) fn write(&self, chunks: &[&Chunk]) -> Result<(), Failure> {
        let written = in_parallel(chunks, THREADS_MAX, |chunk| {
            self.write_one(chunk)
                .map_err(|error| (self.path(&chunk.address()), error))
        });
        written.into_iter().collect::<Result<(), Failure>>()?;
        if self.unsynced.is_full() {
            self.sync()?;
        }
        Ok(())
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
            // Who wrote it may have died before its name was on the disk.
            self.unsynced.folder(self.shard(&address));
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

    /// The file of a chunk; `None` when there is none.
    pub(super) fn find(&self, address: &Address) -> io::Result<Option<Found>> {
        if let Some(place) = self.unsynced.place(address)
            && let Ok(file) = File::open(place)
        {
            let len = file.metadata()?.len();
            return Ok(Some(Found::File(file, len)));
        }
        let path = self.path(address);
        let about = match fs::metadata(&path) {
            Ok(about) => about,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // Checked before it is opened: opening a pipe would wait for ever.
        if !about.is_file() {
            return Ok(Some(Found::Wrong(format!(
                "{} is not a file",
                path.display()
            ))));
        }
        match File::open(&path) {
            Ok(file) => {
                let len = file.metadata()?.len();
                if len > MAX_CHUNK_SIZE as u64 {
                    return Ok(Some(Found::Wrong(format!(
                        "{} has {len} bytes, more than a chunk may",
                        path.display()
                    ))));
                }
                Ok(Some(Found::File(file, len)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A part of a chunk's file that was read from lately, if it has that part.
    pub(super) fn read_recent(&self, address: &Address, offset: u32, len: u32) -> Option<Bytes> {
        let file = self.recent.lock().get(address)?.clone();
        read_part(&file, offset, len).ok()
    }

    /// Keeps a file open for the next part of it.
    pub(super) fn keep(&self, address: Address, file: File) {
        only_what_is_asked_for(&file);
        self.recent.lock().insert(address, Arc::new(file));
    }

    /// Addresses and lengths after `after`, in order, at most `limit`.
    pub(super) fn list(
        &self,
        after: Option<Address>,
        limit: usize,
    ) -> io::Result<Vec<(Address, u64)>> {
        let mut found = Vec::new();
        let first = after.map_or(0, |address| address.as_bytes()[0]);
        for shard in first..=u8::MAX {
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

    /// The chunks in one of the 256 folders, in no order. Files with other names are not ours.
    fn names(&self, shard: u8) -> io::Result<Vec<Address>> {
        let entries = match fs::read_dir(self.chunks.join(format!("{shard:02x}"))) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let address = name.to_str().and_then(|name| name.parse::<Address>().ok());
            names.extend(address.filter(|address| address.as_bytes()[0] == shard));
        }
        Ok(names)
    }

    /// How many chunks and how many bytes.
    pub(super) fn stats(&self) -> io::Result<(u64, u64)> {
        let mut count = 0;
        let mut bytes = 0;
        for shard in 0..=u8::MAX {
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
    /// next collection, so nothing is synced.
    pub(super) fn delete(&self, address: &Address) -> io::Result<bool> {
        self.recent.lock().remove(address);
        let unsynced = self.unsynced.forget(address);
        match fs::remove_file(self.path(address)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(unsynced),
            Err(error) => Err(error),
        }
    }
}

/// The bytes of a file of at most a chunk's length.
pub(super) fn read_all(file: &File, len: u64) -> io::Result<Bytes> {
    let len = len.min(MAX_CHUNK_SIZE as u64);
    let mut bytes = Vec::with_capacity(len as usize + 1);
    file.take(len + 1).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// A part of a file; the caller has checked that it has so many bytes.
pub(super) fn read_part(file: &File, offset: u32, len: u32) -> io::Result<Bytes> {
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, u64::from(offset))?;
    Ok(bytes.into())
}

/// Keeps the system from reading ahead in a file: the parts of a pack that belong together are asked for
/// together, and around a block at a random place as much again would be read four times over.
fn only_what_is_asked_for(file: &File) {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;
        // SAFETY: the descriptor is open until the call returns, which touches no memory of ours.
        // Advice that is not taken changes nothing.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_RANDOM) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}

/// Makes a folder that only its owner may enter; one that is there is left as it is.
pub(super) fn make_dir(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        done => done,
    }
}

/// Makes the names in a folder durable. Redox has no such call (`EBADF`); its file system orders them.
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    if cfg!(target_os = "redox") {
        return Ok(());
    }
    File::open(path)?.sync_all()
}

/// Does something to every item, on this thread and a few others when there are several: disks like more
/// than one request at a time. The results are in the order of the items.
pub(super) fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    threads_max: usize,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let per_thread = items.len().div_ceil(threads_max).max(1);
    let (own, others) = items.split_at(per_thread.min(items.len()));
    let some = |share: &[T]| share.iter().map(&work).collect::<Vec<R>>();
    std::thread::scope(|scope| {
        let some = &some;
        let threads: Vec<_> = others
            .chunks(per_thread)
            .map(|share| {
                let thread = std::thread::Builder::new().spawn_scoped(scope, move || some(share));
                (share, thread)
            })
            .collect();
        let mut results = some(own);
        for (share, thread) in threads {
            match thread {
                Ok(thread) => match thread.join() {
                    Ok(part) => results.extend(part),
                    Err(panic) => std::panic::resume_unwind(panic),
                },
                // No thread to be had: here, then.
                Err(_) => results.extend(some(share)),
            }
        }
        results
    })
}
