//! Packs kept on this computer's disk, for stores that are elsewhere.
//!
//! What always holds here: a file under a pack's name was written whole (under another name, then
//! renamed); what [`PackCache::get`] gives has been checked against its address; a pinned pack is on
//! the disk before [`PackCache::pin`] returns and stays, whatever the limit, until it is unpinned. The
//! bytes are what the store gets: encrypted. No lock is held while the disk works. Cached packs never take the last
//! of a disk, and make room for pinned ones.
//!
//! In the folder: `ab/ADDRESS` cached packs, by the first byte of the address; `ab/ADDRESS.OFFSET` spans of packs of which
//! not everything was wanted, by their first byte; `pinned/ADDRESS` packs that wait for their upload; `incoming/` files that
//! are being written.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::SystemTime;

use crate::lock::Mutex;
use hashlink::LinkedHashMap;
use safeos_record::{Address, Chunk, MAX_CHUNK_SIZE};
use safeos_store::Reserve;

use crate::Result;
use crate::disk::{create, failed, is_full, make_dir, remove, sync_dir, sync_parent};

/// More packs are only cached while the disk has as much as this left, in bytes.
const LEFT_MIN: u64 = 8 * MAX_CHUNK_SIZE as u64;

/// The packs on this computer's disk.
pub(crate) struct PackCache {
    shared: Arc<Shared>,
    /// Looks at what earlier sessions left.
    looking: Option<JoinHandle<()>>,
}

struct Shared {
    dir: PathBuf,
    bytes_max: u64,
    reserve: Arc<Reserve>,
    index: Mutex<Index>,
    /// The session ends; nobody needs to look any further.
    stop: AtomicBool,
    /// Makes the names of files that are being written.
    count: AtomicU64,
}

/// A file of the cache: a pack, or a span of it from a byte on.
type Cached = (Address, Option<u32>);

/// The index of the disk, as far as it was read. The disk is right where they differ.
#[derive(Default)]
struct Index {
    /// Cached packs and spans and their lengths, least recently used first.
    cached: LinkedHashMap<Cached, u64>,
    cached_bytes: u64,
    /// Of packs, the spans among them: first byte and length.
    spans: HashMap<Address, BTreeMap<u32, u64>>,
    pinned: BTreeMap<Address, u64>,
    pinned_bytes: u64,
}

impl PackCache {
    /// Opens the cache in `dir`, which is made if it is not there. Packs of earlier sessions can be
    /// read at once; a thread counts them for the limit of `bytes_max` bytes. Where the disk is full, or can only be
    /// read, it is a cache that may not take more.
    pub(crate) fn open(dir: &Path, bytes_max: u64, reserve: &Arc<Reserve>) -> Result<Self> {
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            bytes_max,
            reserve: reserve.clone(),
            index: Mutex::default(),
            stop: AtomicBool::new(false),
            count: AtomicU64::new(0),
        });
        match shared.prepare().map_err(|error| failed("use", dir, &error)) {
            Err(error) if error.is_of_disk() => {}
            prepared => prepared?,
        }
        shared
            .list_pinned()
            .map_err(|error| failed("read", dir, &error))?;
        let looker = Arc::clone(&shared);
        let looking = std::thread::Builder::new()
            .name("pack cache".into())
            .spawn(move || looker.look())
            .ok();
        Ok(Self { shared, looking })
    }

    /// A pack, checked. A cached file that is damaged is removed; a pinned one stays listed.
    pub(crate) fn get(&self, address: &Address) -> Option<Chunk> {
        let (path, pinned) = self.shared.find(address);
        let chunk = read(&path, address);
        match &chunk {
            Ok(_) => {
                self.shared.used(&(*address, None));
            }
            Err(_) if pinned => {}
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    // If it stays, it is found to be damaged again.
                    drop(remove(&path));
                }
                self.shared.index.lock().remove_cached(&(*address, None));
            }
        }
        chunk.ok()
    }

    /// A part of a pack, not checked: objects authenticate themselves. When one does not, `get` finds
    /// out whether the file is damaged, and removes it then.
    pub(crate) fn part(&self, address: &Address, offset: u32, len: u32) -> Option<Vec<u8>> {
        let count = usize::try_from(len)
            .ok()
            .filter(|len| *len <= MAX_CHUNK_SIZE)?;
        let (path, _) = self.shared.find(address);
        let (file, start, span) = match File::open(path) {
            Ok(file) => (file, 0, None),
            Err(_) => {
                let start = self.shared.index.lock().span(address, offset, len)?;
                let path = self.shared.span_path(address, start);
                (File::open(path).ok()?, start, Some(start))
            }
        };
        let mut bytes = vec![0; count];
        file.read_exact_at(&mut bytes, u64::from(offset - start))
            .ok()?;
        self.shared.used(&(*address, span));
        Some(bytes)
    }

    /// Whether all of a pack is here.
    pub(crate) fn has(&self, address: &Address) -> bool {
        self.shared.find(address).0.exists()
    }

    /// Whether these bytes of a pack are.
    pub(crate) fn has_part(&self, address: &Address, offset: u32, len: u32) -> bool {
        self.has(address)
            || self
                .shared
                .index
                .lock()
                .span(address, offset, len)
                .is_some()
    }

    /// Whether a span of a pack is here that is longer than this.
    pub(crate) fn has_long_span(&self, address: &Address, len: u32) -> bool {
        let index = self.shared.index.lock();
        let mut spans = index.spans.get(address).into_iter().flatten();
        spans.any(|(_, there)| *there > u64::from(len))
    }

    /// Keeps a pack as long as there is room; the least recently used ones make it.
    pub(crate) fn put(&self, chunk: &Chunk) {
        let address = chunk.address();
        self.keep((address, None), chunk.bytes());
        if self.has(&address) {
            // They are in it.
            self.remove_spans(&address);
        }
    }

    /// The same for a span of a pack. Not checked; see [`PackCache::part`].
    pub(crate) fn put_span(&self, address: &Address, start: u32, bytes: &[u8]) {
        self.keep((*address, Some(start)), bytes);
    }

    fn keep(&self, file: Cached, bytes: &[u8]) {
        let len = bytes.len() as u64;
        if len > self.shared.bytes_max || self.shared.used(&file) {
            return;
        }
        if self
            .shared
            .reserve
            .room()
            .is_some_and(|room| room.free < LEFT_MIN)
        {
            return;
        }
        // Without the copy on disk the store is asked again.
        if self
            .shared
            .write(bytes, &self.shared.path(&file), false)
            .is_ok()
        {
            self.shared.index.lock().add_cached(file, len);
            self.shared.evict();
        }
    }

    /// Removes the spans of a pack: it is here, or something in them does not open.
    pub(crate) fn remove_spans(&self, address: &Address) {
        let spans = self.shared.index.lock().remove_spans(address);
        for start in spans {
            // One that stays is found to be damaged again.
            drop(remove(&self.shared.span_path(address, start)));
        }
    }

    /// Keeps a pack until it is unpinned; on the disk when this returns. On a full disk cached packs make room for it,
    /// and for one that is `needed` what is kept back.
    pub(crate) fn pin(&self, chunk: &Chunk, needed: bool) -> Result<()> {
        let address = chunk.address();
        let path = self.shared.pinned_path(&address);
        if self.shared.index.lock().pinned.contains_key(&address) && read(&path, &address).is_ok() {
            return Ok(());
        }
        let write = || self.shared.write(chunk.bytes(), &path, true);
        let mut written = write();
        while written.as_ref().is_err_and(is_full) && self.shared.evict_one() {
            written = write();
        }
        if needed && written.as_ref().is_err_and(is_full) && self.shared.reserve.give_back() {
            written = write();
        }
        written.map_err(|error| failed("write", &path, &error))?;
        let was_cached = {
            let mut index = self.shared.index.lock();
            index.add_pinned(address, chunk.bytes().len() as u64);
            index.remove_cached(&(address, None))
        };
        if was_cached {
            // A second copy takes room, no more.
            drop(remove(&self.shared.cached_path(&address)));
        }
        self.shared.evict();
        Ok(())
    }

    /// The pinned packs, also those of earlier sessions.
    pub(crate) fn pinned(&self) -> Result<Vec<Address>> {
        Ok(self.shared.index.lock().pinned.keys().copied().collect())
    }

    /// Bytes of them.
    pub(crate) fn pinned_bytes(&self) -> u64 {
        self.shared.index.lock().pinned_bytes
    }

    /// The length of a pinned pack.
    pub(crate) fn pinned_len(&self, address: &Address) -> Option<u64> {
        self.shared.index.lock().pinned.get(address).copied()
    }

    /// Makes a pinned pack an ordinary cached one; its length, if it was pinned.
    pub(crate) fn unpin(&self, address: &Address) -> Option<u64> {
        if !self.shared.index.lock().pinned.contains_key(address) {
            return None;
        }
        let (from, to) = (
            self.shared.pinned_path(address),
            self.shared.cached_path(address),
        );
        let moved = in_folder(&to, || fs::rename(&from, &to)).is_ok();
        if !moved {
            // Uploading it once more after a restart would do no harm either.
            drop(remove(&from));
        }
        let len = {
            let mut index = self.shared.index.lock();
            let len = index.remove_pinned(address);
            if moved {
                index.add_cached((*address, None), len);
            }
            len
        };
        self.shared.evict();
        Some(len)
    }

    /// Bytes of all packs, as far as they have been counted.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> u64 {
        let index = self.shared.index.lock();
        index.cached_bytes + index.pinned_bytes
    }

    /// Waits until the packs of earlier sessions are counted.
    #[cfg(test)]
    fn counted(&mut self) {
        if let Some(looking) = self.looking.take() {
            looking.join().unwrap();
        }
    }
}

impl Drop for PackCache {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(looking) = self.looking.take() {
            // A panic there has been reported by its thread.
            drop(looking.join());
        }
    }
}

impl Shared {
    fn cached_path(&self, address: &Address) -> PathBuf {
        self.dir
            .join(format!("{:02x}", address.as_bytes()[0]))
            .join(address.to_string())
    }

    fn span_path(&self, address: &Address, start: u32) -> PathBuf {
        self.cached_path(address)
            .with_file_name(format!("{address}.{start:x}"))
    }

    fn path(&self, (address, start): &Cached) -> PathBuf {
        match start {
            None => self.cached_path(address),
            Some(start) => self.span_path(address, *start),
        }
    }

    fn pinned_path(&self, address: &Address) -> PathBuf {
        self.dir.join("pinned").join(address.to_string())
    }

    /// Where a pack is, if it is anywhere, and whether it is pinned.
    fn find(&self, address: &Address) -> (PathBuf, bool) {
        let pinned = self.index.lock().pinned.contains_key(address);
        let path = if pinned {
            self.pinned_path(address)
        } else {
            self.cached_path(address)
        };
        (path, pinned)
    }

    /// Makes the folders, sweeps what a crash left.
    fn prepare(&self) -> io::Result<()> {
        let (pinned, incoming) = (self.dir.join("pinned"), self.dir.join("incoming"));
        let make = |path: &Path| self.reserve.spend(is_full, || make_dir(path));
        if !pinned.is_dir() {
            make(&self.dir)?;
            make(&pinned)?;
            sync_dir(&self.dir)?;
            sync_parent(&self.dir)?;
        }
        make(&incoming)?;
        for entry in fs::read_dir(&incoming)? {
            remove(&entry?.path())?;
        }
        Ok(())
    }

    fn list_pinned(&self) -> io::Result<()> {
        let entries = match fs::read_dir(self.dir.join("pinned")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        let mut index = self.index.lock();
        for entry in entries {
            let entry = entry?;
            if let Some(address) = address_of(&entry) {
                index.add_pinned(address, entry.metadata()?.len());
            }
        }
        Ok(())
    }

    /// Counts what earlier sessions left, the oldest file as the least recently used.
    fn look(&self) {
        let mut found: Vec<(SystemTime, Cached, u64)> = Vec::new();
        for first in 0..=u8::MAX {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let Ok(entries) = fs::read_dir(self.dir.join(format!("{first:02x}"))) else {
                continue;
            };
            found.extend(entries.flatten().filter_map(|entry| {
                let about = entry.metadata().ok()?;
                let when = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                Some((when, cached_of(&entry)?, about.len()))
            }));
        }
        found.sort_unstable();
        {
            let mut index = self.index.lock();
            // Newest first, each to the front: what this session has used stays behind them all.
            for (_, file, len) in found.into_iter().rev() {
                if !index.cached.contains_key(&file) && !index.pinned.contains_key(&file.0) {
                    index.add_cached(file, len);
                    index.cached.to_front(&file);
                }
            }
        }
        self.evict();
    }

    /// Notes that a file is used; whether it is there.
    fn used(&self, file: &Cached) -> bool {
        let mut index = self.index.lock();
        index.cached.to_back(file).is_some() || index.pinned.contains_key(&file.0)
    }

    /// Writes a file under another name, then gives it its own.
    fn write(&self, bytes: &[u8], path: &Path, durable: bool) -> io::Result<()> {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let incoming = self.dir.join("incoming").join(format!("{count:x}"));
        let written = (|| {
            let mut file = create(&incoming)?;
            file.write_all(bytes)?;
            if durable {
                file.sync_data()?;
            }
            in_folder(path, || fs::rename(&incoming, path))?;
            if durable {
                sync_parent(path)?;
            }
            Ok(())
        })();
        if written.is_err() {
            // The error that counts is the first one.
            drop(remove(&incoming));
        }
        written
    }

    /// Removes the least recently used files above the limit.
    fn evict(&self) {
        loop {
            let index = self.index.lock();
            let is_above = index.cached_bytes + index.pinned_bytes > self.bytes_max;
            drop(index);
            if !is_above || !self.evict_one() {
                return;
            }
        }
    }

    /// Removes the least recently used file; whether there was one.
    fn evict_one(&self) -> bool {
        let victim = {
            let mut index = self.index.lock();
            let Some((file, _)) = index.cached.front().map(|(file, len)| (*file, *len)) else {
                return false;
            };
            index.remove_cached(&file);
            file
        };
        // One that cannot be removed is counted again by the next session.
        drop(remove(&self.path(&victim)));
        true
    }
}

impl Index {
    fn add_cached(&mut self, file: Cached, len: u64) {
        let old = self.cached.insert(file, len).unwrap_or(0);
        self.cached_bytes = self.cached_bytes - old + len;
        if let (address, Some(start)) = file {
            self.spans.entry(address).or_default().insert(start, len);
        }
    }

    /// Whether it was there.
    fn remove_cached(&mut self, file: &Cached) -> bool {
        let old = self.cached.remove(file);
        self.cached_bytes -= old.unwrap_or(0);
        if let (address, Some(start)) = file
            && let Some(spans) = self.spans.get_mut(address)
        {
            spans.remove(start);
            if spans.is_empty() {
                self.spans.remove(address);
            }
        }
        old.is_some()
    }

    /// The first byte of a span that has all of this.
    fn span(&self, address: &Address, offset: u32, len: u32) -> Option<u32> {
        let before = self.spans.get(address)?.range(..=offset).rev();
        let end = u64::from(offset) + u64::from(len);
        before
            .filter(|(start, len)| u64::from(**start) + **len >= end)
            .map(|(start, _)| *start)
            .next()
    }

    /// Where they begin.
    fn remove_spans(&mut self, address: &Address) -> Vec<u32> {
        let spans = self.spans.get(address);
        let starts: Vec<u32> = spans
            .map(|spans| spans.keys().copied().collect())
            .unwrap_or_default();
        for start in &starts {
            self.remove_cached(&(*address, Some(*start)));
        }
        starts
    }

    fn add_pinned(&mut self, address: Address, len: u64) {
        let old = self.pinned.insert(address, len).unwrap_or(0);
        self.pinned_bytes = self.pinned_bytes - old + len;
    }

    /// Its length.
    fn remove_pinned(&mut self, address: &Address) -> u64 {
        let old = self.pinned.remove(address).unwrap_or(0);
        self.pinned_bytes -= old;
        old
    }
}

fn address_of(entry: &fs::DirEntry) -> Option<Address> {
    entry.file_name().to_str()?.parse().ok()
}

fn cached_of(entry: &fs::DirEntry) -> Option<Cached> {
    let name = entry.file_name();
    match name.to_str()?.split_once('.') {
        None => Some((address_of(entry)?, None)),
        Some((address, start)) => Some((
            address.parse().ok()?,
            Some(u32::from_str_radix(start, 16).ok()?),
        )),
    }
}

/// Reads and checks a pack.
fn read(path: &Path, address: &Address) -> io::Result<Chunk> {
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    if let Ok(len) = usize::try_from(file.metadata()?.len())
        && len <= MAX_CHUNK_SIZE
    {
        bytes.reserve_exact(len);
    }
    file.take(MAX_CHUNK_SIZE as u64 + 1)
        .read_to_end(&mut bytes)?;
    Chunk::verify(*address, bytes)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Does something to a file; makes its folder if that is what is missing.
fn in_folder(path: &Path, mut work: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    match (work(), path.parent()) {
        (Err(error), Some(folder))
            if error.kind() == io::ErrorKind::NotFound && !folder.is_dir() =>
        {
            make_dir(folder)?;
            work()
        }
        (done, _) => done,
    }
}
