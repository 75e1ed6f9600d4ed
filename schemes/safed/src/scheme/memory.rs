//! Files in memory, for programs that map them.
//!
//! What always holds here: all mappings of a file are one region, so writes of one program are seen by
//! others; writes through a shared mapping reach the volume at `fsync` and when it is unmapped,
//! page by page where it differs; a region stays where it is as long as anything of it is mapped; all
//! regions together are bounded.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use safeos_session::Error;

use super::handles::{Held, Key};
use super::wire::{EINVAL, ENOMEM, Errno, PAGE};

/// All regions together.
const BYTES_MAX: usize = 1 << 30;
/// A region has room for its file to grow by this much at least.
const SLACK_MIN: usize = 1 << 20;
/// How much is read or compared at once.
const STEP: usize = 256 * 1024;

/// Page-aligned memory of this process.
struct Region {
    address: usize,
    len: usize,
}

impl Region {
    fn new(len: usize) -> Result<Self, Errno> {
        // SAFETY: asks for fresh memory, wherever there is room.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(ENOMEM);
        }
        Ok(Self {
            address: address as usize,
            len,
        })
    }

    /// Copies to it.
    fn put(&self, at: usize, data: &[u8]) {
        let count = data.len().min(self.len.saturating_sub(at));
        // SAFETY: the range is within the region, which lives; programs that have it mapped may write at
        // the same time, as with any shared memory, so no reference to it is ever made.
        unsafe {
            std::ptr::copy_nonoverlapping(data.as_ptr(), (self.address + at) as *mut u8, count);
        }
    }

    /// Copies from it.
    fn get(&self, at: usize, out: &mut [u8]) {
        let count = out.len().min(self.len.saturating_sub(at));
        // SAFETY: as above.
        unsafe {
            std::ptr::copy_nonoverlapping(
                (self.address + at) as *const u8,
                out.as_mut_ptr(),
                count,
            );
        }
    }

    fn clear(&self, from: usize, to: usize) {
        let to = to.min(self.len);
        if from < to {
            // SAFETY: as above.
            unsafe { std::ptr::write_bytes((self.address + from) as *mut u8, 0, to - from) };
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and no other mapping of it is left.
        unsafe { libc::munmap(self.address as *mut libc::c_void, self.len) };
    }
}

/// A range that is mapped somewhere.
struct Mapped {
    from: usize,
    to: usize,
    /// Shared, and for writing.
    writable: bool,
}

/// A file that is mapped.
struct File {
    held: Held,
    region: Region,
    /// Up to where the file was read.
    loaded: usize,
    mapped: Vec<Mapped>,
}

impl File {
    /// Reads the file's content into the region up to `to`.
    fn load(&mut self, to: usize) -> Result<(), Errno> {
        let mut data = Vec::new();
        while self.loaded < to {
            let len = STEP.min(to - self.loaded);
            data.clear();
            let volume = &self.held.tree.volume;
            volume
                .read(self.held.ino, self.loaded as u64, len, &mut data)
                .map_err(|error: Error| error.errno())?;
            self.region.put(self.loaded, &data);
            // Bytes beyond the end are zeros, as fresh memory is.
            self.loaded += len;
        }
        Ok(())
    }

    /// Writes what programs changed in `from..to` back.
    fn write_back(&self, from: usize, to: usize) -> Result<(), Errno> {
        let volume = &self.held.tree.volume;
        let fail = |error: Error| error.errno();
        let size = volume.attr(self.held.ino).map_err(fail)?.size;
        let to = to
            .min(self.loaded)
            .min(usize::try_from(size).unwrap_or(usize::MAX));
        let (mut at, mut ours, mut theirs) = (from, Vec::new(), Vec::new());
        while at < to {
            let len = STEP.min(to - at);
            ours.resize(len, 0);
            self.region.get(at, &mut ours);
            theirs.clear();
            volume
                .read(self.held.ino, at as u64, len, &mut theirs)
                .map_err(fail)?;
            theirs.resize(len, 0);
            for (index, (own, other)) in ours.chunks(PAGE).zip(theirs.chunks(PAGE)).enumerate() {
                if own != other {
                    let place = (at + index * PAGE) as u64;
                    volume
                        .write(self.held.ino, Some(place), own)
                        .map_err(fail)?;
                }
            }
            at += len;
        }
        Ok(())
    }

    fn write_back_all(&self) -> Result<(), Errno> {
        let mut first = Ok(());
        for range in self.mapped.iter().filter(|range| range.writable) {
            first = first.and(self.write_back(range.from, range.to));
        }
        first
    }
}

type Files = HashMap<Key, Arc<Mutex<File>>>;

/// All files that are mapped.
#[derive(Default)]
pub struct Memory {
    files: Mutex<Files>,
    bytes: AtomicUsize,
    count: AtomicUsize,
}

fn page_up(len: usize) -> Option<usize> {
    len.checked_next_multiple_of(PAGE)
}

impl Memory {
    fn find(&self, key: Key) -> Option<Arc<Mutex<File>>> {
        // Most of the time nothing is mapped: reads and writes ask for every file.
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.files.lock().get(&key).cloned()
    }

    /// The address of `len` bytes of a file from `offset` on.
    pub fn map(
        &self,
        held: &Held,
        offset: u64,
        len: usize,
        writable: bool,
    ) -> Result<usize, Errno> {
        let from = usize::try_from(offset).map_err(|_| EINVAL)?;
        if from % PAGE != 0 || len == 0 {
            return Err(EINVAL);
        }
        let to = from.checked_add(len).and_then(page_up).ok_or(EINVAL)?;
        if to > BYTES_MAX {
            return Err(ENOMEM);
        }
        loop {
            let file = self.get_or_make(held, to)?;
            let mut file = file.lock();
            if file.mapped.is_empty() && !self.is_there(held.key(), &file) {
                // Its last mapping went in between.
                continue;
            }
            if to > file.region.len {
                // It cannot grow where it is; only where nothing is mapped a new one takes its place.
                return Err(ENOMEM);
            }
            if let Err(errno) = file.load(to) {
                self.forget_unused(held.key(), &file);
                return Err(errno);
            }
            file.mapped.push(Mapped { from, to, writable });
            return Ok(file.region.address + from);
        }
    }

    fn is_there(&self, key: Key, file: &File) -> bool {
        let files = self.files.lock();
        let there = files.get(&key);
        there.is_some_and(|there| std::ptr::eq(there.data_ptr(), file))
    }

    fn get_or_make(&self, held: &Held, to: usize) -> Result<Arc<Mutex<File>>, Errno> {
        if let Some(file) = self.files.lock().get(&held.key()) {
            return Ok(Arc::clone(file));
        }
        let size = held
            .tree
            .volume
            .attr(held.ino)
            .map_err(|error| error.errno())?
            .size;
        let size = usize::try_from(size)
            .unwrap_or(usize::MAX)
            .min(BYTES_MAX / 2);
        let whole = page_up(size.max(to)).ok_or(ENOMEM)?;
        let mut len = whole.saturating_add((whole / 2).max(SLACK_MIN)) / PAGE * PAGE;
        if self.reserve(len).is_err() {
            // Without room to grow, then.
            len = to;
            self.reserve(len)?;
        }
        let made = Region::new(len).map(|region| {
            Arc::new(Mutex::new(File {
                held: Held::new(Arc::clone(&held.tree), held.ino, held.owner),
                region,
                loaded: 0,
                mapped: Vec::new(),
            }))
        });
        let made = made.inspect_err(|_| self.give_back(len))?;
        let mut files = self.files.lock();
        if let Some(file) = files.get(&held.key()).cloned() {
            drop(files);
            self.give_back(len);
            return Ok(file);
        }
        files.insert(held.key(), Arc::clone(&made));
        self.count.fetch_add(1, Ordering::AcqRel);
        Ok(made)
    }

    fn reserve(&self, len: usize) -> Result<(), Errno> {
        let before = self.bytes.fetch_add(len, Ordering::AcqRel);
        if before.checked_add(len).is_none_or(|all| all > BYTES_MAX) {
            self.give_back(len);
            return Err(ENOMEM);
        }
        Ok(())
    }

    fn give_back(&self, len: usize) {
        self.bytes.fetch_sub(len, Ordering::AcqRel);
    }

    /// A range is mapped once less; changes of it are written back.
    pub fn unmap(&self, key: Key, offset: u64, len: usize) -> Result<(), Errno> {
        let found = self.find(key).ok_or(EINVAL)?;
        let from = usize::try_from(offset).map_err(|_| EINVAL)?;
        let to = from.checked_add(len).and_then(page_up).ok_or(EINVAL)?;
        let mut file = found.lock();
        let place = file
            .mapped
            .iter()
            .position(|range| range.from == from && range.to == to)
            .or_else(|| {
                file.mapped
                    .iter()
                    .position(|range| range.from <= from && to <= range.to)
            })
            .ok_or(EINVAL)?;
        let whole = file.mapped.swap_remove(place);
        let written = if whole.writable {
            file.write_back(from, to)
        } else {
            Ok(())
        };
        let writable = whole.writable;
        if whole.from < from {
            file.mapped.push(Mapped {
                from: whole.from,
                to: from,
                writable,
            });
        }
        if to < whole.to {
            file.mapped.push(Mapped {
                from: to,
                to: whole.to,
                writable,
            });
        }
        self.forget_unused(key, &file);
        written
    }

    /// Lets a file without mappings go.
    fn forget_unused(&self, key: Key, file: &File) {
        if file.mapped.is_empty() && self.files.lock().remove(&key).is_some() {
            self.count.fetch_sub(1, Ordering::AcqRel);
            self.give_back(file.region.len);
        }
    }

    /// Writes back the changes of a range of a file made through mappings: a read of it follows.
    pub fn sync_range(&self, key: Key, offset: u64, len: usize) -> Result<(), Errno> {
        let Some(file) = self.find(key) else {
            return Ok(());
        };
        let Ok(from) = usize::try_from(offset) else {
            return Ok(());
        };
        let (from, end) = (from / PAGE * PAGE, from.saturating_add(len));
        let file = file.lock();
        for range in file.mapped.iter().filter(|range| range.writable) {
            let to = page_up(end).unwrap_or(usize::MAX).min(range.to);
            file.write_back(from.max(range.from), to)?;
        }
        Ok(())
    }

    /// Writes everything of a file back.
    pub fn sync(&self, key: Key) -> Result<(), Errno> {
        match self.find(key) {
            Some(file) => file.lock().write_back_all(),
            None => Ok(()),
        }
    }

    /// Writes everything back, as well as it goes.
    pub fn sync_all(&self) {
        let files: Vec<_> = self.files.lock().values().cloned().collect();
        for file in files {
            let _ = file.lock().write_back_all();
        }
    }

    /// A file was written to by other means: shows it to programs that have it mapped.
    pub fn wrote(&self, key: Key, at: u64, data: &[u8]) {
        if let Some(file) = self.find(key)
            && let Ok(at) = usize::try_from(at)
        {
            let file = file.lock();
            let end = at.saturating_add(data.len()).min(file.loaded);
            if at < end {
                file.region.put(at, &data[..end - at]);
            }
        }
    }

    /// A file has another length: bytes beyond it read as zeros.
    pub fn cut(&self, key: Key, size: u64) {
        if let Some(file) = self.find(key) {
            let file = file.lock();
            let from = usize::try_from(size).unwrap_or(usize::MAX);
            file.region.clear(from, file.loaded);
        }
    }

    /// A file changed without our doing: reads it again.
    pub fn changed(&self, key: Key) {
        if let Some(file) = self.find(key) {
            let mut file = file.lock();
            let to = std::mem::take(&mut file.loaded);
            file.region.clear(0, to);
            let _ = file.load(to);
        }
    }
}
