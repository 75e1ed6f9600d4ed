//! FlushScheduler: which thread moves which blocks out of memory.
//!
//! What always holds here: a block is in one batch at most, so that nothing is packed twice; a batch that
//! ends, in whatever way, gives back what it has not moved.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::lock::{Condvar, Mutex};
use safeos_record::MAX_CHUNK_SIZE;
use safeos_tree::{BLOCK_BYTES, trim};

use crate::Ino;
use crate::worktree::files::{BlockAt, Files};

/// How many packs a batch fills. While one thread waits for the disk another seals.
pub(crate) const PACKS_PER_BATCH: usize = 2;
/// How many whole blocks a batch takes: as many as its packs hold, sealed and listed, and no more, which would make one
/// more pack, a small one. Every pack is a record, and where records are paid for that counts.
pub(crate) const BLOCKS_PER_BATCH: usize = PACKS_PER_BATCH * 126;
/// The bytes that sealing and the pack's list add to an object, at most: its codec, a tag for every page, an entry.
const SEALED_BYTES: usize = 1 + BLOCK_BYTES / 4096 * 16 + 21;
/// The largest that a block gets in a pack.
const BLOCK_BYTES_MAX: usize = BLOCK_BYTES + SEALED_BYTES;
/// The same in bytes: counted in blocks, small files would make small packs.
const BATCH_BYTES: usize = BLOCKS_PER_BATCH * BLOCK_BYTES_MAX;
// Room for the part of a pack that cannot be filled.
const _: () = assert!(BATCH_BYTES + BLOCK_BYTES_MAX < PACKS_PER_BATCH * MAX_CHUNK_SIZE);

/// A block on its way into a pack.
pub(crate) struct Moving {
    pub(crate) ino: Ino,
    pub(crate) number: u64,
    /// Its content when the batch began.
    pub(crate) data: Arc<Vec<u8>>,
}

/// Which batches are under way.
#[derive(Default)]
pub(crate) struct FlushScheduler {
    running: Mutex<Running>,
    ended: Condvar,
}

#[derive(Default)]
struct Running {
    next: u64,
    numbers: BTreeSet<u64>,
}

impl FlushScheduler {
    /// A batch with as many of the blocks as it holds. Neighbours in a file stay neighbours.
    pub(crate) fn take<'a>(
        &'a self,
        files: &'a Files,
        from: &mut dyn Iterator<Item = BlockAt>,
    ) -> FlushBatch<'a> {
        let mut batch = FlushBatch {
            scheduler: self,
            files,
            number: self.start(),
            blocks: Vec::new(),
            elsewhere: Vec::new(),
        };
        batch.fill(from);
        batch
    }

    fn start(&self) -> u64 {
        let mut running = self.running.lock();
        let number = running.next;
        running.next += 1;
        running.numbers.insert(number);
        number
    }

    fn end(&self, number: u64) {
        self.running.lock().numbers.remove(&number);
        self.ended.notify_all();
    }

    /// Waits for the batches that are under way now. Whether there were any.
    pub(crate) fn wait(&self) -> bool {
        let mut running = self.running.lock();
        let next = running.next;
        let mut waited = false;
        while running.numbers.first().is_some_and(|first| *first < next) {
            waited = true;
            self.ended.wait(&mut running);
        }
        waited
    }
}

/// Blocks that one thread moves into packs.
pub(crate) struct FlushBatch<'a> {
    scheduler: &'a FlushScheduler,
    files: &'a Files,
    number: u64,
    pub(crate) blocks: Vec<Moving>,
    /// Blocks that were asked for and are in other batches.
    pub(crate) elsewhere: Vec<BlockAt>,
}

impl FlushBatch<'_> {
    fn fill(&mut self, from: &mut dyn Iterator<Item = BlockAt>) {
        let mut bytes = 0;
        while bytes + BLOCK_BYTES_MAX <= BATCH_BYTES
            && let Some((ino, number)) = from.next()
        {
            let Some(file) = self.files.get(ino) else {
                continue;
            };
            let mut state = file.state.lock();
            let Some(block) = state.blocks.get_mut(&number) else {
                continue;
            };
            if block.batch.is_some() {
                self.elsewhere.push((ino, number));
                continue;
            }
            block.batch = Some(self.number);
            bytes += trim(&block.data).len() + SEALED_BYTES;
            let data = block.data.clone();
            self.blocks.push(Moving { ino, number, data });
        }
    }
}

impl Drop for FlushBatch<'_> {
    fn drop(&mut self) {
        for Moving { ino, number, .. } in &self.blocks {
            if let Some(file) = self.files.get(*ino)
                && let Some(block) = file.state.lock().blocks.get_mut(number)
                // Written again since, a block can be in a later batch.
                && block.batch == Some(self.number)
            {
                block.batch = None;
                self.files.queue(*ino, *number);
            }
        }
        self.scheduler.end(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worktree::files::Dirty;

    const AT: BlockAt = (7, 3);

    fn write(files: &Files) {
        let dirty = Dirty {
            data: Arc::new(vec![1; 100]),
            unlogged: 0,
            logged: false,
            stored_len: 0,
            batch: None,
        };
        let file = files.get_or_make(AT.0);
        file.state.lock().blocks.insert(AT.1, dirty);
    }

    #[test]
    fn a_turn_that_ends_leaves_a_block_that_is_in_another_alone() {
        let (files, batches) = (Files::default(), FlushScheduler::default());
        write(&files);
        let mut earlier = Some(batches.take(&files, &mut std::iter::once(AT)));
        assert_eq!(earlier.as_ref().map(|batch| batch.blocks.len()), Some(1));

        // The file is cut and written to again, and the earlier batch ends while the later one is filled.
        files.get_or_make(AT.0).state.lock().blocks.clear();
        write(&files);
        let mut from = std::iter::once(AT).chain(std::iter::once_with(|| {
            drop(earlier.take());
            AT
        }));
        let later = batches.take(&files, &mut from);
        assert_eq!(later.blocks.len(), 1, "a block is in one batch, and once");
        assert_eq!(later.elsewhere, [AT]);
    }

    #[test]
    fn a_turn_that_ends_gives_back_what_it_has_not_moved() {
        let (files, batches) = (Files::default(), FlushScheduler::default());
        write(&files);
        drop(batches.take(&files, &mut std::iter::once(AT)));
        assert_eq!(files.oldest(), Some(AT));
        let again = batches.take(&files, &mut std::iter::once(AT));
        assert_eq!(again.blocks.len(), 1);
    }
}
