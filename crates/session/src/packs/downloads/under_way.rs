//! Which downloads are under way.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use safeos_record::Address;

use crate::packs::downloads::download::Download;
use crate::packs::downloads::part_budget::PART_BYTES_MAX;
use crate::packs::downloads::prefetch::Prefetch;
use crate::packs::extent::{Extent, covers, union};

/// The downloads under way, by what they bring.
#[derive(Default)]
pub(super) struct UnderWay(HashMap<(Address, Extent), Entry>);

struct Entry {
    /// The part of it that a reader in order comes to.
    wanted: Range<u32>,
    download: Arc<Download>,
}

impl UnderWay {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The download that brings what a reader in order has come to.
    pub(super) fn coming(&self, pack: &Address, range: &Range<u32>) -> Option<Arc<Download>> {
        let mut all = self.0.iter();
        all.find(|((of, _), entry)| of == pack && covers(&entry.wanted, range))
            .map(|(_, entry)| entry.download.clone())
    }

    /// A download of at most `len_max` bytes that has all of this. A reader comes to what is `wanted`, too.
    pub(super) fn join(
        &mut self,
        pack: &Address,
        extent: Extent,
        wanted: &Range<u32>,
        len_max: u32,
    ) -> Option<Arc<Download>> {
        let mut all = self.0.iter_mut();
        let (_, entry) =
            all.find(|((of, what), _)| of == pack && what.has(extent) && what.len() <= len_max)?;
        entry.wanted = union(&entry.wanted, wanted);
        Some(entry.download.clone())
    }

    pub(super) fn begin(&mut self, what: (Address, Extent), wanted: &Range<u32>) -> Arc<Download> {
        let download = Arc::<Download>::default();
        let entry = Entry {
            wanted: wanted.clone(),
            download: download.clone(),
        };
        self.0.insert(what, entry);
        download
    }

    pub(super) fn end(&mut self, what: &(Address, Extent)) {
        self.0.remove(what);
    }

    /// What is to be fetched of this beside what comes already; `None`: nothing.
    pub(super) fn rest_of(&mut self, mut prefetch: Prefetch) -> Option<Prefetch> {
        for ((pack, extent), entry) in &mut self.0 {
            if pack != prefetch.pack() {
                continue;
            }
            if extent.has(prefetch.extent()) {
                entry.wanted = union(&entry.wanted, prefetch.wanted());
                return None;
            }
            prefetch = prefetch.without(*extent)?;
        }
        Some(prefetch)
    }

    /// Whether a reader in order comes to something of a pack.
    pub(super) fn is_ahead(&self, pack: &Address) -> bool {
        let mut all = self.0.iter();
        // A part that is fetched alone is wanted for itself.
        all.any(|((of, extent), entry)| {
            of == pack && !entry.wanted.is_empty() && extent.len() > PART_BYTES_MAX
        })
    }
}
