//! How much of each pack is fetched by objects before the pack itself is waited for.

use hashlink::LruCache;
use safeos_record::Address;

/// How much that is, in bytes: a reader of a few small files has them soon, and one that reads all of a pack gets 4 %
/// more than there is. A program's first read of 128 KiB, sealed, fits, and nodes beside it.
pub(crate) const PART_BYTES_MAX: u32 = 160 * 1024;
/// The same in objects, each of which costs a round trip.
pub(super) const PARTS_MAX: u32 = 16;
/// From so many objects of a pack on, more of it is likely to be read.
pub(super) const NEAR_OBJECTS: u32 = 5;
/// For how many packs this is known.
const PACKS_MAX: usize = 4096;

/// Of each pack, what was fetched apart: bytes, and objects.
pub(super) struct PartBudget(LruCache<Address, (u32, u32)>);

impl Default for PartBudget {
    fn default() -> Self {
        Self(LruCache::new(PACKS_MAX))
    }
}

impl PartBudget {
    /// Takes an object of so many bytes; `None` if that is too much.
    pub(super) fn take(&mut self, pack: &Address, len: u32) -> Option<()> {
        let (bytes, objects) = self.0.get(pack).copied().unwrap_or_default();
        if objects >= PARTS_MAX {
            return None;
        }
        let after = bytes
            .checked_add(len)
            .filter(|sum| *sum <= PART_BYTES_MAX)?;
        self.0.insert(*pack, (after, objects + 1));
        Some(())
    }

    /// Whether more of a pack is likely to be read.
    pub(super) fn is_near(&mut self, pack: &Address) -> bool {
        self.0
            .get(pack)
            .is_some_and(|(_, objects)| *objects >= NEAR_OBJECTS)
    }

    /// The whole pack has come: if it goes again, its parts may be fetched anew.
    pub(super) fn forget(&mut self, pack: &Address) {
        self.0.remove(pack);
    }
}
