//! What is fetched before somebody waits for it.

use std::ops::Range;

use safeos_record::Address;

use crate::packs::extent::{Extent, covers, union};

/// An extent to fetch that nobody waits for yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Prefetch {
    pack: Address,
    extent: Extent,
    /// A reader in order comes to it, and waits for it then.
    wanted: Range<u32>,
}

impl Prefetch {
    /// An extent of which a reader in order comes to the bytes `wanted`.
    pub(crate) const fn new(pack: Address, extent: Extent, wanted: Range<u32>) -> Self {
        Self {
            pack,
            extent,
            wanted,
        }
    }

    /// A pack that may be read, and that nobody comes to.
    pub(super) const fn behind(pack: Address) -> Self {
        Self::new(pack, Extent::Whole, 0..0)
    }

    pub(super) const fn pack(&self) -> &Address {
        &self.pack
    }

    pub(super) const fn extent(&self) -> Extent {
        self.extent
    }

    pub(super) const fn wanted(&self) -> &Range<u32> {
        &self.wanted
    }

    /// Whether a reader in order comes to these bytes.
    pub(super) fn comes_to(&self, pack: &Address, range: &Range<u32>) -> bool {
        self.pack == *pack && covers(&self.wanted, range)
    }

    /// Takes in another one of the same pack.
    pub(super) fn add(&mut self, other: &Self) {
        self.extent = self.extent.with(other.extent);
        self.wanted = union(&self.wanted, &other.wanted);
    }

    /// The rest beside an extent that comes already; `None`: nothing that is in one piece.
    pub(super) fn without(mut self, coming: Extent) -> Option<Self> {
        self.extent = self.extent.without(coming)?;
        if let Extent::Span(start, end) = self.extent {
            self.wanted = self.wanted.start.max(start)..self.wanted.end.min(end);
        }
        Some(self)
    }
}
