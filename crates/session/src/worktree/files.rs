//! Files that were written to: content in memory that the tree does not have yet.
//!
//! What always holds here: a block in memory holds the whole content of that block; bytes beyond a
//! file's size are never in it; `dirty_bytes` is the sum of all of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::lock::Mutex;
use safeos_tree::{BLOCK_BYTES, Inode};

use crate::{Ino, Nanos};

/// Content is logged in pages of this many bytes.
pub(crate) const PAGE_BYTES: usize = 4096;
/// One bit for each page of a block.
pub(crate) type Pages = u8;

/// The place of a block: its file, and its number there.
pub(crate) type BlockAt = (Ino, u64);

/// A block that was written to.
pub(crate) struct Dirty {
    /// Its content up to the last byte written; the rest reads as zeros.
    pub(crate) data: Arc<Vec<u8>>,
    /// Pages that the stage does not have.
    pub(crate) unlogged: Pages,
    /// Whether the stage has any of it.
    pub(crate) logged: bool,
    /// Length of the block that the tree has in this place.
    pub(crate) stored_len: usize,
    /// The number of the batch that moves it, if one does.
    pub(crate) batch: Option<u64>,
}

/// A file in memory.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) loaded: bool,
    pub(crate) size: u64,
    pub(crate) mtime: Option<Nanos>,
    pub(crate) ctime: Option<Nanos>,
    pub(crate) blocks: BTreeMap<u64, Dirty>,
}

impl State {
    pub(crate) fn load(&mut self, inode: &Inode) {
        if !self.loaded {
            self.loaded = true;
            self.size = inode.size;
        }
    }

    /// Whether it says anything that `inode` does not.
    pub(crate) fn is_clean(&self, inode: &Inode) -> bool {
        !self.is_pending() && self.size == inode.size
    }

    /// Whether something of it is not in the tree.
    pub(crate) fn is_pending(&self) -> bool {
        !self.blocks.is_empty() || self.mtime.is_some() || self.ctime.is_some()
    }

    /// How many bytes of the state in memory the stage's log would take, and how many packs would.
    pub(crate) fn bytes_to_sync(&self) -> (usize, usize) {
        self.blocks.values().fold((0, 0), |(log, pack), block| {
            let unlogged = block.unlogged.count_ones() as usize * PAGE_BYTES;
            (log + unlogged, pack + block.data.len())
        })
    }

    /// The inode with the state in memory.
    pub(crate) fn overlay(&self, inode: &Inode) -> Inode {
        let mut inode = inode.clone();
        if self.loaded {
            inode.size = self.size;
            inode.mtime = self.mtime.unwrap_or(inode.mtime);
            inode.ctime = self.ctime.unwrap_or(inode.ctime);
            for block in self.blocks.values() {
                inode.allocated = (inode.allocated + block.data.len() as u64)
                    .saturating_sub(block.stored_len as u64);
            }
        }
        inode
    }
}

/// One file's lock.
#[derive(Default)]
pub(crate) struct File {
    pub(crate) state: Mutex<State>,
}

/// All files that were written to.
#[derive(Default)]
pub(crate) struct Files {
    files: Mutex<HashMap<Ino, Arc<File>>>,
    dirty_bytes: AtomicUsize,
    /// Blocks in the order in which they were first written to.
    queue: Mutex<VecDeque<BlockAt>>,
    /// How many threads move everything of a file, or of all, into packs.
    emptying: AtomicUsize,
}

/// While it lives, a thread moves everything of a file, or of all, into packs.
pub(crate) struct Emptying<'a>(&'a Files);

impl Drop for Emptying<'_> {
    fn drop(&mut self) {
        self.0.emptying.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Files {
    pub(crate) fn get(&self, ino: Ino) -> Option<Arc<File>> {
        self.files.lock().get(&ino).cloned()
    }

    pub(crate) fn get_or_make(&self, ino: Ino) -> Arc<File> {
        self.files.lock().entry(ino).or_default().clone()
    }

    /// Those of them that are in memory, in their order.
    pub(crate) fn of(&self, inos: &BTreeSet<Ino>) -> Vec<Arc<File>> {
        let files = self.files.lock();
        inos.iter()
            .filter_map(|ino| files.get(ino).cloned())
            .collect()
    }

    /// Whether [`Files::of`] would return these. Does not wait, since the holder of the list may wait for the tree:
    /// returns `false` if the list is locked.
    pub(crate) fn are(&self, inos: &BTreeSet<Ino>, these: &[Arc<File>]) -> bool {
        self.files.try_lock().is_some_and(|files| {
            let there = inos.iter().filter_map(|ino| files.get(ino));
            there.map(Arc::as_ptr).eq(these.iter().map(Arc::as_ptr))
        })
    }

    /// Forgets files that are not in use and have no changes beyond the tree.
    pub(crate) fn tidy(&self, ino: Ino, clean: impl FnOnce(&State) -> bool) {
        let mut files = self.files.lock();
        if let Some(file) = files.get(&ino)
            && Arc::strong_count(file) == 1
            && file.state.try_lock().is_some_and(|state| clean(&state))
        {
            files.remove(&ino);
        }
    }

    /// Forgets a file with its changes.
    pub(crate) fn drop_file(&self, ino: Ino) {
        let file = self.files.lock().remove(&ino);
        if let Some(file) = file {
            let mut state = file.state.lock();
            for block in std::mem::take(&mut state.blocks).into_values() {
                self.forgot(block.data.len());
            }
        }
    }

    pub(crate) fn all(&self) -> Vec<Ino> {
        self.files.lock().keys().copied().collect()
    }

    /// The same, without waiting: the holder of the list may wait for the tree.
    pub(crate) fn try_all(&self) -> Option<Vec<Ino>> {
        Some(self.files.try_lock()?.keys().copied().collect())
    }

    pub(crate) fn dirty_bytes(&self) -> usize {
        self.dirty_bytes.load(Ordering::Relaxed)
    }

    /// To be held while everything is moved into packs.
    pub(crate) fn start_emptying(&self) -> Emptying<'_> {
        self.emptying.fetch_add(1, Ordering::Relaxed);
        Emptying(self)
    }

    /// Whether a thread does that. A second one would only make one more pack that is not full.
    pub(crate) fn is_being_emptied(&self) -> bool {
        self.emptying.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn grew(&self, bytes: usize) {
        self.dirty_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn forgot(&self, bytes: usize) {
        self.dirty_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn queue(&self, ino: Ino, number: u64) {
        self.queue.lock().push_back((ino, number));
    }

    /// The block that was written to first.
    pub(crate) fn oldest(&self) -> Option<BlockAt> {
        self.queue.lock().pop_front()
    }
}

/// The pages that the bytes `from..to` of a block touch.
pub(crate) fn pages(from: usize, to: usize) -> Pages {
    if from >= to {
        return 0;
    }
    let first = from / PAGE_BYTES;
    let last = (to - 1) / PAGE_BYTES;
    let count = last - first + 1;
    (Pages::MAX >> (Pages::BITS as usize - count)) << first
}

/// The pages of a block that have anything but zeros.
pub(crate) fn pages_with_data(block: &[u8]) -> Pages {
    let zeros = |page: &[u8]| page.iter().all(|byte| *byte == 0);
    let with_data = block
        .chunks(PAGE_BYTES)
        .enumerate()
        .map(|(index, page)| if zeros(page) { 0 } else { 1 << index });
    with_data.fold(0, |all: Pages, page: Pages| all | page)
}

/// Runs of pages in a mask, as byte ranges.
pub(crate) fn runs(mut mask: Pages) -> impl Iterator<Item = std::ops::Range<usize>> {
    let mut base = 0;
    std::iter::from_fn(move || {
        if mask == 0 {
            return None;
        }
        let skip = mask.trailing_zeros() as usize;
        let shifted = mask >> skip;
        let len = shifted.trailing_ones() as usize;
        let start = base + skip;
        mask = shifted.checked_shr(len as u32).unwrap_or(0);
        base = start + len;
        Some(start * PAGE_BYTES..base * PAGE_BYTES)
    })
}

const _: () = assert!(BLOCK_BYTES / PAGE_BYTES == Pages::BITS as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_zeros_have_no_data() {
        let mut block = vec![0; 3 * PAGE_BYTES + 1];
        assert_eq!(pages_with_data(&block), 0);
        block[PAGE_BYTES - 1] = 1;
        block[3 * PAGE_BYTES] = 1;
        assert_eq!(pages_with_data(&block), 0b1001);
        assert_eq!(pages_with_data(&[1; BLOCK_BYTES]), Pages::MAX);
        assert_eq!(pages_with_data(&[]), 0);
    }

    #[test]
    fn masks_and_runs_agree() {
        assert_eq!(pages(0, BLOCK_BYTES), Pages::MAX);
        assert_eq!(pages(0, 1), 1);
        assert_eq!(pages(4095, 4097), 3);
        assert_eq!(pages(BLOCK_BYTES - 1, BLOCK_BYTES), 1 << 7);
        for mask in Pages::MIN..=Pages::MAX {
            let again = runs(mask).fold(0, |all, run| all | pages(run.start, run.end));
            assert_eq!(again, mask);
        }
    }
}
