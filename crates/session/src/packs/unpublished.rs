//! Which packs the stage may refer to, and perhaps no tree.

use std::collections::HashSet;

use crate::lock::Mutex;
use safeos_record::Address;
use safeos_tree::ObjectRef;

/// The packs that a collection must leave when it could not publish before. Content that was packed and overwritten is in no tree,
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

    /// Adds the pack in which something is found, before anybody can take it for needless.
    pub(crate) fn add_found(&self, find: impl FnOnce() -> Option<ObjectRef>) -> Option<ObjectRef> {
        let mut sets = self.0.lock();
        let found = find();
        sets.now.extend(found.map(|at| at.pack));
        found
    }

    /// Passes those of these packs on that are not here; none is added meanwhile.
    pub(crate) fn without(&self, packs: Vec<Address>, forget: impl FnOnce(&HashSet<Address>)) {
        let sets = self.0.lock();
        let is_needless = |pack: &Address| !sets.now.contains(pack) && !sets.before.contains(pack);
        let needless: HashSet<Address> = packs.into_iter().filter(is_needless).collect();
        if !needless.is_empty() {
            forget(&needless);
        }
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
