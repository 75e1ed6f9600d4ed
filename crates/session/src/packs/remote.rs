//! Packs of a store that is elsewhere: from the cache, or fetched into it.

use std::ops::Range;
use std::sync::Arc;

use safeos_record::{Address, Chunk};
use safeos_store::{Error as StoreError, Kind, Store};
use safeos_tree::{Error as TreeError, Keys, ObjectRef, directory};

use crate::packs::cache::PackCache;
use crate::packs::cancellation;
use crate::packs::downloads::part_budget::PART_BYTES_MAX;
use crate::packs::downloads::prefetch::Prefetch;
use crate::packs::downloads::{Downloads, FETCHERS};
use crate::packs::extent::{Extent, Piece};
use crate::packs::known_blocks::KnownBlocks;
use crate::packs::suspects::Suspects;

/// Connections that are made when a session begins, before a reader waits for them.
const DIALED_AHEAD: usize = 8;

/// See the module.
pub(super) struct RemotePacks {
    store: Arc<dyn Store>,
    cache: PackCache,
    keys: Keys,
    known: Arc<KnownBlocks>,
    suspects: Arc<Suspects>,
    downloads: Downloads,
}

impl RemotePacks {
    pub(super) fn new(
        store: Arc<dyn Store>,
        cache: PackCache,
        keys: Keys,
        known: Arc<KnownBlocks>,
        suspects: Arc<Suspects>,
    ) -> Self {
        Self {
            downloads: Downloads::of(store.clone()),
            store,
            cache,
            keys,
            known,
            suspects,
        }
    }

    pub(super) const fn cache(&self) -> &PackCache {
        &self.cache
    }

    /// The sealed bytes of an object; of what is not here, with what is `around` it where that costs no more.
    pub(super) fn sealed(&self, at: &ObjectRef, around: Range<u32>) -> Result<Vec<u8>, TreeError> {
        if let Some(part) = self.cache.part(&at.pack, at.offset, at.len) {
            return Ok(part);
        }
        match self.cache.get(&at.pack) {
            Some(chunk) => part_of(&Piece::new(0, chunk.into_bytes()), at),
            None if cancellation::has_none() => Err(TreeError::NotCached(*at)),
            None => self.fetch_object(at, around),
        }
    }

    /// Something in a pack does not open.
    pub(super) fn suspect(&self, pack: &Address) {
        self.cache.remove_spans(pack);
        // Checks the whole pack: a damaged file goes, and the store is asked for it.
        drop(self.cache.get(pack));
    }

    /// Has these bytes of a pack fetched that somebody comes to, and of the pack no more than `extent` says.
    pub(super) fn prefetch(&self, pack: Address, extent: Extent, wanted: Range<u32>) {
        // An object that does not open is fetched with its whole pack.
        let extent = match self.comes_in_parts(&pack) {
            true => extent,
            false => Extent::Whole,
        };
        self.downloads.prefetch(Prefetch::new(pack, extent, wanted));
    }

    /// How many packs ahead of a reader are to be under way.
    pub(super) fn packs_ahead(&self) -> usize {
        self.downloads.packs_ahead()
    }

    /// Prefetches may be made from now on, in so many threads.
    pub(super) fn begin_prefetches(&self) -> usize {
        self.downloads.begin();
        // Whoever signs in reads soon.
        if let Some(transport) = self.store.transport() {
            transport.dial_ahead(DIALED_AHEAD);
        }
        FETCHERS
    }

    /// Fetches into the cache what nobody waits for yet, until [`Self::end_prefetches`].
    pub(super) fn run_prefetches(&self) {
        while let Some(job) = self.downloads.next() {
            job.run(|pack, extent| self.fetch(pack, extent));
        }
    }

    pub(super) fn end_prefetches(&self) {
        self.downloads.end();
    }

    fn comes_in_parts(&self, pack: &Address) -> bool {
        self.store.reads_parts() && !self.suspects.has(pack)
    }

    fn fetch_object(&self, at: &ObjectRef, around: Range<u32>) -> Result<Vec<u8>, TreeError> {
        let range = range_of(at);
        let fetch = |extent| self.fetch(&at.pack, extent);
        // An object that does not open is fetched once more, and then with its whole pack.
        if self.comes_in_parts(&at.pack) {
            let coming = self.downloads.get_coming(&at.pack, &range, fetch);
            match coming.or_else(|| self.fetch_part(at, around)) {
                None => {}
                Some(Ok(piece)) => {
                    if let Some(part) = piece.part(&range) {
                        return Ok(part.to_vec());
                    }
                }
                // The whole tells what is wrong.
                Some(Err(StoreError::Missing { .. } | StoreError::Damaged { .. })) => {}
                Some(Err(error)) => return Err(error.into()),
            }
        }
        // It may have come with what another reader asked for.
        if let Some(part) = self.cache.part(&at.pack, at.offset, at.len)
            && !self.suspects.has(&at.pack)
        {
            return Ok(part);
        }
        let piece = self.downloads.get(&at.pack, Extent::Whole, fetch)?;
        part_of(&piece, at)
    }

    /// A few bytes of a pack that is not here, where they can be had without it.
    fn fetch_part(&self, at: &ObjectRef, around: Range<u32>) -> Option<Result<Piece, StoreError>> {
        let (pack, range) = (&at.pack, range_of(at));
        // Then the pack does not follow, and this is a part of what is read.
        let is_read_in_order =
            self.downloads.is_ahead(pack) || self.cache.has_long_span(pack, PART_BYTES_MAX);
        // It is kept, for the session may end before the pack has followed.
        let fetch = |extent| self.fetch(pack, extent);
        let piece = self
            .downloads
            .get_part(pack, around, fetch)
            .or_else(|| self.downloads.get_part(pack, range.clone(), fetch))?;
        if piece.is_ok() && !is_read_in_order {
            self.downloads.prefetch_behind(*pack);
        }
        Some(piece)
    }

    /// Fetches a pack from the store into the cache.
    fn fetch(&self, pack: &Address, extent: Extent) -> Result<Piece, StoreError> {
        if extent == Extent::Whole {
            // It may have come while somebody made up his mind.
            let chunk = match self.cache.get(pack) {
                Some(chunk) => chunk,
                None => self.download(pack)?,
            };
            return Ok(Piece::new(0, chunk.into_bytes()));
        }
        let piece = self.fetch_span(pack, extent)?;
        self.cache.put_span(pack, piece.start(), piece.bytes());
        Ok(piece)
    }

    fn fetch_span(&self, pack: &Address, extent: Extent) -> Result<Piece, StoreError> {
        let (start, len) = match extent {
            Extent::Whole => (0, extent.len()),
            Extent::Span(start, _) => (start, extent.len()),
        };
        let bytes = match self.cache.part(pack, start, len) {
            Some(here) => here.into(),
            None => self.store.read_part(pack, start, len)?,
        };
        Ok(Piece::new(start, bytes))
    }

    fn download(&self, pack: &Address) -> Result<Chunk, StoreError> {
        let found = self.store.get_chunk(pack);
        let chunk = self.suspects.saw(pack, found, || false)?;
        self.suspects.clear(pack);
        self.cache.put(&chunk);
        // Blocks that came along may be written again: they are known now, and not stored twice.
        if let Ok(places) = directory(&self.keys, chunk.bytes()) {
            let blocks = places.into_iter().map(|place| place.within(*pack));
            self.known.add(blocks);
        }
        Ok(chunk)
    }
}

fn range_of(at: &ObjectRef) -> Range<u32> {
    at.offset..at.offset.saturating_add(at.len)
}

fn part_of(piece: &Piece, at: &ObjectRef) -> Result<Vec<u8>, TreeError> {
    let part = piece.part(&range_of(at)).map(<[u8]>::to_vec);
    part.ok_or_else(|| {
        TreeError::Store(StoreError::Damaged {
            kind: Kind::Chunk,
            address: at.pack,
            why: format!("it has no bytes {}+{}", at.offset, at.len),
        })
    })
}
