//! Large chunks: one file each, in a folder by the first byte of the address.
//!
//! What always holds here: a file under its own name is whole and on the disk before its `put`
//! returns (written under another name, synced, renamed, folder synced); a file that is not what its
//! name says never leaves here as a chunk.

use std::collections::BTreeSet;
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

use super::direct;

/// Files of a crashed `put` are removed when they are older than this.
const ABANDONED: Duration = Duration::from_secs(3600);
/// How many files are kept open for the next part of them: 1 GiB in packs.
const RECENT_MAX: usize = 256;

/// The folder of large chunks.
pub(super) struct Folder {
    chunks: PathBuf,
    incoming: PathBuf,
    /// Files read from lately.
    recent: Mutex<LruCache<Address, Arc<File>>>,
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

    /// Stores chunks, durably.
    pub(super) fn put(&self, chunks: &[&Chunk]) -> Result<(), (PathBuf, io::Error)> {
        let written = in_parallel(chunks, |chunk| self.put_one(chunk));
        let mut folders = BTreeSet::new();
        for (chunk, outcome) in chunks.iter().zip(written) {
            let path = self.path(&chunk.address());
            if outcome.map_err(|error| (path, error))? {
                folders.insert(self.chunks.clone());
            }
            // Also of a chunk that was there: who wrote it may have died before this sync.
            folders.insert(self.shard(&chunk.address()));
        }
        for folder in folders {
            sync_dir(&folder).map_err(|error| (folder, error))?;
        }
        Ok(())
    }

    /// Writes one chunk unless it is there, whole; says whether its folder is new.
    fn put_one(&self, chunk: &Chunk) -> io::Result<bool> {
        let address = chunk.address();
        if let Ok(Some(Found::File(file, len))) = self.find(&address)
            && len == chunk.bytes().len() as u64
            && read_all(&file, len).is_ok_and(|bytes| bytes == chunk.bytes())
        {
            return Ok(false);
        }
        let temporary = self.temporary();
        let written = self.write(&temporary, chunk);
        if written.is_err() {
            // The error that counts is the first one.
            drop(fs::remove_file(&temporary));
        }
        written
    }

    fn write(&self, temporary: &Path, chunk: &Chunk) -> io::Result<bool> {
        direct::create(temporary, chunk.bytes())?;
        let path = self.path(&chunk.address());
        match fs::rename(temporary, &path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_dir(&self.shard(&chunk.address()))?;
                fs::rename(temporary, &path)?;
                Ok(true)
            }
            done => done.map(|()| false),
        }
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
        match fs::remove_file(self.path(address)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
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

/// Does something to every item, on a few threads when there are several: disks like more than one
/// request at a time. The results are in the order of the items.
pub(super) fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    const THREADS_MAX: usize = 4;
    if items.len() < 2 {
        return items.iter().map(work).collect();
    }
    let per_thread = items.len().div_ceil(THREADS_MAX);
    std::thread::scope(|scope| {
        let threads: Vec<_> = items
            .chunks(per_thread)
            .map(|share| {
                let work = &work;
                (
                    share,
                    std::thread::Builder::new()
                        .spawn_scoped(scope, move || share.iter().map(work).collect::<Vec<R>>()),
                )
            })
            .collect();
        let mut results = Vec::with_capacity(items.len());
        for (share, thread) in threads {
            match thread {
                Ok(thread) => match thread.join() {
                    Ok(part) => results.extend(part),
                    Err(panic) => std::panic::resume_unwind(panic),
                },
                // No thread to be had: here, then.
                Err(_) => results.extend(share.iter().map(&work)),
            }
        }
        results
    })
}
