//! Read-ahead in a home: where the blocks are that come next.

use safeos_tree::{BLOCK_BYTES, Block, ObjectRef};

use crate::Ino;
use crate::packs::readahead::LARGE_BYTES;
use crate::worktree::home::Home;

const BLOCK: u64 = BLOCK_BYTES as u64;
/// As many blocks as a pack has, about.
const PACK_BLOCKS: u64 = 128;

impl Home {
    /// Told of a read: wishes for what comes after it.
    pub(crate) fn read_ahead(&self, ino: Ino, offset: u64, end: u64) {
        if !self.ahead.is_sequential(ino, offset, end) {
            return;
        }
        if self.packs.is_remote() {
            let next = end.div_ceil(BLOCK);
            // The start of a file alone says nothing yet: the rest of its pack follows.
            let blocks = match offset {
                0 => PACK_BLOCKS / 2,
                _ => self.packs.downloads().packs_ahead() as u64 * PACK_BLOCKS,
            };
            let mut last = None;
            for at in self.stored(ino, next, next.saturating_add(blocks)) {
                if last.replace(at.pack) != Some(at.pack) && !self.packs.is_here(&at.pack) {
                    self.packs.downloads().wish_ahead(at.pack);
                }
            }
        } else if end - offset >= LARGE_BYTES || offset > 0 {
            // The start of a file alone says nothing yet.
            let Some(untold) = self.ahead.untold(ino, end) else {
                return;
            };
            let stored = self.stored(ino, untold.start / BLOCK, untold.end / BLOCK);
            for parts in stored.chunk_by(|one, next| one.pack == next.pack) {
                self.packs.read_ahead(parts);
            }
        }
    }

    /// Where blocks are. Nodes that are not in memory are not fetched for this.
    fn stored(&self, ino: Ino, from: u64, to: u64) -> Vec<ObjectRef> {
        let blocks = self.try_look(|look| look.blocks(ino, from, to));
        let blocks = blocks.unwrap_or_default().into_iter();
        let stored = blocks.filter_map(|(_, block)| match block {
            Block::Stored { at, .. } => Some(at),
            Block::Inline(_) => None,
        });
        stored.collect()
    }
}
