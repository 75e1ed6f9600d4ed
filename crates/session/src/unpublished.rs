//! Which packs the stage may refer to, and perhaps no tree.

use std::collections::HashSet;

use parking_lot::Mutex;
use safeos_record::Address;

/// What a collection must leave when it could not publish before. Content that was packed and overwritten is in no tree,
/// but a replay of the stage goes through it.
#[derive(Default)]
pub(crate) struct Unpublished(Mutex<Sets>);

#[derive(Default)]
struct Sets {
    /// Since the last publish.
    now: HashSet<Address>,
    /// Since the one before: whoever put a pack then may have told the tree later.
    before: HashSet<Address>,
}

impl Unpublished {
    /// Something that is not published is about to refer to these packs, or does so.
    pub(crate) fn add(&self, packs: impl IntoIterator<Item = Address>) {
        self.0.lock().now.extend(packs);
    }

    /// Everything is published that the stage said until lately.
    pub(crate) fn published(&self) {
        let mut sets = self.0.lock();
        sets.before = std::mem::take(&mut sets.now);
    }

    pub(crate) fn all(&self) -> Vec<Address> {
        let sets = self.0.lock();
        sets.now.union(&sets.before).copied().collect()
    }
}
