//! Where content is that was seen in this session, so that it is not stored twice.

use std::collections::HashSet;

use crate::lock::Mutex;
use hashlink::LruCache;
use safeos_record::Address;
use safeos_tree::{ObjectHash, ObjectRef};

/// How many blocks are remembered.
const KNOWN_MAX: usize = 200_000;
/// How many bytes each of them takes, about.
const ENTRY_BYTES: u64 = 104;
/// How many of them wait to be remembered until somebody writes, at most.
const LEARNED_MAX: usize = 65_536;

/// See the module.
pub(super) struct KnownBlocks {
    known: Mutex<LruCache<ObjectHash, ObjectRef>>,
    /// Blocks that are still to be put there: a reader does not wait for them.
    learned: Mutex<Vec<ObjectRef>>,
}

impl Default for KnownBlocks {
    fn default() -> Self {
        Self {
            known: Mutex::new(LruCache::new(KNOWN_MAX)),
            learned: Mutex::default(),
        }
    }
}

impl KnownBlocks {
    /// Remembers blocks.
    pub(super) fn add(&self, blocks: impl IntoIterator<Item = ObjectRef>) {
        let mut known = self.known.lock();
        for at in blocks {
            known.insert(at.hash, at);
        }
    }

    /// Remembers blocks soon.
    pub(super) fn learn(&self, blocks: &mut dyn Iterator<Item = ObjectRef>) {
        let mut learned = self.learned.lock();
        learned.extend(blocks);
        if learned.len() > LEARNED_MAX {
            let all = std::mem::take(&mut *learned);
            drop(learned);
            self.add(all);
        }
    }

    /// Remembers what was learned until now.
    pub(super) fn add_learned(&self) {
        let learned = std::mem::take(&mut *self.learned.lock());
        if !learned.is_empty() {
            self.add(learned);
        }
    }

    /// Where a block with this content is.
    pub(super) fn get(&self, hash: &ObjectHash) -> Option<ObjectRef> {
        self.known.lock().get(hash).copied()
    }

    pub(super) fn forget(&self) {
        self.learned.lock().clear();
        self.known.lock().clear();
    }

    /// Forgets the blocks in these packs.
    pub(super) fn forget_packs(&self, packs: &HashSet<Address>) {
        self.known.lock().retain(|_, at| !packs.contains(&at.pack));
    }

    /// Bytes of memory that this takes, about.
    pub(super) fn bytes(&self) -> u64 {
        self.known.lock().len() as u64 * ENTRY_BYTES
    }
}
