//! Read-ahead: packs that a sequential reader will need next are fetched before it asks.
//!
//! Only where the store is elsewhere: a local one is read ahead by the system. A pack that could not be
//! fetched is no error here; the reader that needs it gets one.

use std::collections::VecDeque;

use hashlink::LruCache;
use parking_lot::{Condvar, Mutex};
use safeos_record::Address;
use safeos_tree::{BLOCK_BYTES, Block};

use crate::Ino;
use crate::home::Home;

/// How far ahead is looked, in blocks: four packs.
const BLOCKS_AHEAD: u64 = 512;
/// How many files are watched for sequential reading.
const FILES_MAX: usize = 256;
/// How many packs wait to be fetched at most; older wishes are given up.
const WAITING_MAX: usize = 16;

/// Who reads what in order, and the packs wished for.
pub(crate) struct ReadAhead {
    /// Where each file's last read ended.
    ends: Mutex<LruCache<Ino, u64>>,
    wishes: Mutex<Wishes>,
    wished: Condvar,
}

#[derive(Default)]
struct Wishes {
    packs: VecDeque<Address>,
    ended: bool,
}

impl Default for ReadAhead {
    fn default() -> Self {
        Self {
            ends: Mutex::new(LruCache::new(FILES_MAX)),
            wishes: Mutex::default(),
            wished: Condvar::new(),
        }
    }
}

impl ReadAhead {
    fn is_sequential(&self, ino: Ino, offset: u64, end: u64) -> bool {
        self.ends.lock().insert(ino, end) == Some(offset) || offset == 0
    }

    fn wish(&self, pack: Address) {
        let mut wishes = self.wishes.lock();
        if wishes.packs.contains(&pack) {
            return;
        }
        if wishes.packs.len() == WAITING_MAX {
            wishes.packs.pop_front();
        }
        wishes.packs.push_back(pack);
        drop(wishes);
        self.wished.notify_one();
    }

    /// The next pack to be fetched; `None` when the session ends.
    pub(crate) fn next(&self) -> Option<Address> {
        let mut wishes = self.wishes.lock();
        loop {
            if wishes.ended {
                return None;
            }
            if let Some(pack) = wishes.packs.pop_front() {
                return Some(pack);
            }
            self.wished.wait(&mut wishes);
        }
    }

    pub(crate) fn begin(&self) {
        self.wishes.lock().ended = false;
    }

    pub(crate) fn end(&self) {
        self.wishes.lock().ended = true;
        self.wished.notify_all();
    }
}

impl Home {
    /// Told of a read: wishes for what comes after it.
    pub(crate) fn read_ahead(&self, ino: Ino, offset: u64, end: u64) {
        if !self.packs.is_remote() || !self.ahead.is_sequential(ino, offset, end) {
            return;
        }
        let next = end / BLOCK_BYTES as u64;
        // Nodes that are not in memory are not fetched for this.
        let blocks =
            self.try_look(|look| look.blocks(ino, next, next.saturating_add(BLOCKS_AHEAD)));
        let mut last = None;
        for (_, block) in blocks.unwrap_or_default() {
            if let Block::Stored { at, .. } = block
                && last != Some(at.pack)
            {
                last = Some(at.pack);
                if !self.packs.has(&at.pack) {
                    self.ahead.wish(at.pack);
                }
            }
        }
    }
}
