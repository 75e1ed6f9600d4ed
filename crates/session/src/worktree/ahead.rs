//! Read-ahead in a home: where the blocks are that come next.

use std::ops::{ControlFlow, Range};

use safeos_record::Address;
use safeos_tree::{BLOCK_BYTES, Block, Key, ObjectRef, Source, Tag, Value};

use crate::Ino;
use crate::failure::Fault;
use crate::packs::extent::Extent;
use crate::packs::readahead::LARGE_BYTES;
use crate::worktree::home::Home;

const BLOCK: u64 = BLOCK_BYTES as u64;
/// As many blocks as a pack has, about.
const PACK_BLOCKS: u64 = 128;
/// How many nodes of the tree a reader waits for, at most, before he reads.
const NODES_WAITED_FOR: usize = 2;

/// Where blocks of a file are.
#[derive(Default)]
struct Stored {
    /// Their numbers, and where each is, as far as that is known.
    blocks: Vec<(u64, ObjectRef)>,
    /// The node with those that come next, which is not in memory.
    missing: Option<ObjectRef>,
}

/// The part of a pack that a file has.
struct Group {
    pack: Address,
    /// The number of its first block there.
    first: u64,
    /// From its first byte there up to its last.
    range: Range<u32>,
}

impl Home {
    /// Told of a read: requests the blocks after it.
    pub(crate) fn read_ahead(&self, ino: Ino, offset: u64, end: u64) {
        if self.packs.is_remote() {
            return self.prefetch(ino, offset, end);
        }
        if !self.ahead.is_sequential(ino, offset, end) {
            return;
        }
        if end - offset >= LARGE_BYTES || offset > 0 {
            // The start of a file alone says nothing yet.
            let Some(untold) = self.ahead.untold(ino, end) else {
                return;
            };
            let stored = self.stored(ino, untold.start / BLOCK, untold.end / BLOCK);
            for parts in stored
                .blocks
                .chunk_by(|one, next| one.1.pack == next.1.pack)
            {
                let parts: Vec<ObjectRef> = parts.iter().map(|(_, at)| *at).collect();
                self.packs.read_ahead(&parts);
            }
        }
    }

    /// Has packs fetched from elsewhere, or the file's parts of them.
    fn prefetch(&self, ino: Ino, offset: u64, end: u64) {
        for waited_for in 0..=NODES_WAITED_FOR {
            // Readers of one file take turns, so that no block is requested twice.
            let turn = self.ahead.turn();
            let Some(from) = self.ahead.goes_on_from(ino, offset, end) else {
                return;
            };
            // A read that is too large to be fetched apart is part of what is requested.
            let next = match end - offset > LARGE_BYTES {
                true => from.min(offset) / BLOCK,
                false => from.div_ceil(BLOCK),
            };
            // A little of the start of a file says nothing yet: the rest of its pack follows. Who begins with much goes
            // on.
            let blocks = match offset {
                0 if end < LARGE_BYTES => PACK_BLOCKS / 2,
                _ => self.packs.packs_ahead() as u64 * PACK_BLOCKS,
            };
            let until = next.saturating_add(blocks);
            // One pack more: the file's part of the last one is to be known.
            let stored = self.stored(ino, next, until.saturating_add(PACK_BLOCKS));
            let is_all = stored.missing.is_none()
                && stored
                    .blocks
                    .last()
                    .is_none_or(|(number, _)| *number < until.saturating_add(PACK_BLOCKS - 1));
            // Its packs cannot be asked for before the nodes are here that name them.
            let later = until.saturating_add(blocks);
            if let Some(node) = self.stored(ino, later, later.saturating_add(1)).missing {
                self.prefetch_node(&node);
            }
            self.prefetch_blocks(&stored, until, is_all);
            drop(turn);
            let Some(node) = stored.missing else { return };
            if stored.blocks.len() as u64 >= PACK_BLOCKS {
                self.prefetch_node(&node);
                return;
            }
            // The reader needs it at once. The read that needs it gets the error.
            if waited_for == NODES_WAITED_FOR || self.reader.node(&node).is_err() {
                return;
            }
        }
    }

    fn prefetch_node(&self, node: &ObjectRef) {
        let around = self.reader.around(node);
        if !self.packs.has_part(&node.pack, &around) {
            let extent = Extent::of(&around);
            self.packs.prefetch(node.pack, extent, around);
        }
    }

    fn prefetch_blocks(&self, stored: &Stored, until: u64, is_all: bool) {
        let groups = groups(&stored.blocks);
        let last = stored.blocks.last().map(|(_, at)| at.pack);
        for group in groups {
            if group.first >= until {
                return;
            }
            let is_known = is_all || last != Some(group.pack);
            let extent = match Extent::for_all_of(&group.range) {
                Extent::Span(..) if !is_known => match stored.missing {
                    // Soon more is known.
                    Some(_) => continue,
                    None => Extent::Whole,
                },
                extent => extent,
            };
            if !self.packs.has_part(&group.pack, &group.range) {
                self.packs.prefetch(group.pack, extent, group.range);
            }
        }
    }

    /// Where blocks are. Nodes that are not on this computer are not fetched for this.
    fn stored(&self, ino: Ino, from: u64, to: u64) -> Stored {
        let mut stored = Stored::default();
        loop {
            let from = stored.blocks.last().map_or(from, |(number, _)| number + 1);
            let looked = self.try_look(|look| {
                look.scan(Key::block(ino, from), Tag::Block, &mut |key, value| {
                    if key.number >= to {
                        return ControlFlow::Break(());
                    }
                    if let Value::Block(Block::Stored { at, .. }) = value {
                        stored.blocks.push((key.number, *at));
                    }
                    ControlFlow::Continue(())
                })
            });
            stored.missing = match looked {
                Err(Fault::Missing(node)) => Some(node),
                _ => None,
            };
            let Some(node) = &stored.missing else {
                return stored;
            };
            let range = node.offset..node.offset.saturating_add(node.len);
            if !self.packs.has_part(&node.pack, &range) || self.reader.node(node).is_err() {
                return stored;
            }
        }
    }
}

/// The parts of packs that a file has, in the order of its blocks.
fn groups(blocks: &[(u64, ObjectRef)]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (number, at) in blocks {
        let range = at.offset..at.offset.saturating_add(at.len);
        // A pack's blocks stand together, mostly.
        match groups.iter_mut().rev().find(|group| group.pack == at.pack) {
            Some(group) => {
                let all = &mut group.range;
                *all = all.start.min(range.start)..all.end.max(range.end);
            }
            None => groups.push(Group {
                pack: at.pack,
                first: *number,
                range,
            }),
        }
    }
    groups
}
