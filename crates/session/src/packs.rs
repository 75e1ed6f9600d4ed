//! Packs on their way to and from the store.
//!
//! What always holds here: a pack that was put before [`Packs::sync`] returned survives a crash of this
//! computer (it is on a local store, or pinned in the cache until it is uploaded). Nothing is locked
//! while the store is asked, but by a collection, for each pack that it removes.

pub(crate) mod cache;
pub(crate) mod cancellation;
pub(crate) mod downloads;
pub(crate) mod extent;
pub(crate) mod leavable;
pub(crate) mod readahead;
mod suspects;
mod unpublished;

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::lock::Mutex;
use hashlink::LruCache;
use safeos_record::{Address, Chunk};
use safeos_store::{Error as StoreError, Kind, Spent, Store, Upload};
use safeos_tree::{
    Error as TreeError, Keys, ObjectHash, ObjectRef, Objects, PackedObject, directory,
};

use crate::lease::Lease;
use crate::packs::cache::PackCache;
use crate::packs::downloads::{APART_MAX, Downloads};
use crate::packs::extent::{Extent, Piece, Wish};
use crate::packs::suspects::Suspects;
use crate::packs::unpublished::Unpublished;
use crate::{Progress, Result, Step};

/// How many blocks are remembered for deduplication: about 100 bytes each.
const KNOWN_BLOCKS_MAX: usize = 200_000;

/// How many of them wait to be remembered until somebody writes, at most.
const LEARNED_MAX: usize = 65_536;

/// How many packs of its own a session looks after: about 32 GiB.
const OWN_MAX: usize = 8192;
/// How many records a store is asked for with one call.
const HAS_AT_ONCE: usize = 1024;

/// How much of a pack a local store is told to read around a node, in bytes: as many nodes as a file of some 100 MB has.
const NODES_AHEAD: u32 = 128 * 1024;

/// The packs of one home.
pub(crate) struct Packs {
    store: Arc<dyn Store>,
    /// `None` where the store itself is on this computer.
    cache: Option<PackCache>,
    keys: Keys,
    /// Where content is that was seen in this session.
    known: Mutex<LruCache<ObjectHash, ObjectRef>>,
    /// Packs that are still to be put there: a reader does not wait for them.
    learned: Mutex<Vec<ObjectRef>>,
    /// While the store is collected: packs that were put or found since, to which something is about to refer.
    in_use: Mutex<Option<HashSet<Address>>>,
    unpublished: Unpublished,
    /// Packs that wait for their upload because the store has lost them: something published refers to them.
    brought_back: Mutex<HashSet<Address>>,
    /// Packs that could not be read whole.
    suspects: Suspects,
    downloads: Downloads,
    /// Packs of nodes that were put since a head was published.
    fresh_nodes: Mutex<BTreeSet<Address>>,
    /// Packs that this session has brought to a store elsewhere, and may have here.
    own: Mutex<LruCache<Address, ()>>,
    /// Tells other computers that this one may have put records that nothing published refers to.
    lease: Option<Arc<Lease>>,
    records: AtomicU64,
    bytes: AtomicU64,
}

impl Packs {
    pub(crate) fn new(store: Arc<dyn Store>, cache: Option<PackCache>, keys: Keys) -> Self {
        Self {
            store,
            cache,
            keys,
            known: Mutex::new(LruCache::new(KNOWN_BLOCKS_MAX)),
            learned: Mutex::default(),
            in_use: Mutex::default(),
            unpublished: Unpublished::default(),
            brought_back: Mutex::default(),
            suspects: Suspects::default(),
            downloads: Downloads::default(),
            fresh_nodes: Mutex::default(),
            own: Mutex::new(LruCache::new(OWN_MAX)),
            lease: None,
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// The same, for packs that a collection on another computer could take for forgotten ones.
    pub(crate) fn with_lease(self, lease: Arc<Lease>) -> Self {
        Self {
            lease: Some(lease),
            ..self
        }
    }

    /// Before something is put.
    pub(crate) fn hold(&self) -> Result<()> {
        match &self.lease {
            Some(lease) => lease.hold(),
            None => Ok(()),
        }
    }

    /// The same before what makes room on a full disk or store, where there is none for the lease.
    pub(crate) fn hold_anyway(&self) -> Result<()> {
        match self.hold() {
            Err(error) if error.is_of_disk() => Ok(()),
            held => held,
        }
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    pub(crate) fn unpublished(&self) -> &Unpublished {
        &self.unpublished
    }

    pub(crate) fn suspects(&self) -> &Suspects {
        &self.suspects
    }

    /// Whether all of a pack is on the store as it should be.
    fn is_whole(&self, pack: &Address) -> bool {
        self.store.get_chunk(pack).is_ok()
    }

    pub(crate) fn shared_store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    /// Where a block with this content is, if that is known.
    pub(crate) fn find(&self, hash: &ObjectHash) -> Option<ObjectRef> {
        let learned = std::mem::take(&mut *self.learned.lock());
        self.remember(learned);
        let found = self
            .unpublished
            .add_found(|| self.known.lock().get(hash).copied());
        if let (Some(at), Some(in_use)) = (&found, &mut *self.in_use.lock()) {
            in_use.insert(at.pack);
        }
        found
    }

    fn remember(&self, learned: Vec<ObjectRef>) {
        if !learned.is_empty() {
            let mut known = self.known.lock();
            for at in learned {
                known.insert(at.hash, at);
            }
        }
    }

    /// Makes what was put durable. Before anything that refers to it is: a frame of the stage, a head.
    pub(crate) fn sync(&self) -> Result<()> {
        match &self.cache {
            Some(_) => Ok(()),
            None => Ok(self.store.sync()?),
        }
    }

    /// Keeps finished packs and remembers the blocks in them.
    pub(crate) fn put(&self, packs: Vec<(Chunk, Vec<PackedObject>)>) -> Result<()> {
        self.keep(packs, false)
    }

    /// The same. Those that are `needed` to make room go where the others are refused: into what is kept for a full disk.
    fn keep(&self, packs: Vec<(Chunk, Vec<PackedObject>)>, needed: bool) -> Result<()> {
        let chunks: Vec<Chunk> = packs.iter().map(|(chunk, _)| chunk.clone()).collect();
        // Before they are on the store, where a collection would find them.
        if let Some(in_use) = &mut *self.in_use.lock() {
            in_use.extend(chunks.iter().map(Chunk::address));
        }
        self.unpublished.add(chunks.iter().map(Chunk::address));
        match &self.cache {
            Some(cache) => {
                for chunk in &chunks {
                    cache.pin(chunk, needed)?;
                }
            }
            None => {
                match needed {
                    true => self.hold_anyway()?,
                    false => self.hold()?,
                }
                if needed {
                    self.store.write_needed(&chunks)?;
                } else {
                    self.store.write_chunks(&chunks)?;
                }
                self.count(&chunks);
            }
        }
        let mut known = self.known.lock();
        for (chunk, places) in &packs {
            for place in places {
                known.insert(place.hash, place.within(chunk.address()));
            }
        }
        Ok(())
    }

    /// Keeps a pack of nodes.
    pub(crate) fn put_nodes(&self, chunk: Chunk) -> Result<(), TreeError> {
        self.fresh_nodes.lock().insert(chunk.address());
        self.keep(vec![(chunk, Vec::new())], true)
            .map_err(|error| match error {
                crate::Error::Store(error) => TreeError::Store(error),
                other => TreeError::Store(StoreError::Full {
                    url: self.store.url().to_owned(),
                    why: other.to_string(),
                }),
            })
    }

    /// Brings what was put to the store, for good, as far as it is `needed` or was brought back: what was written and is
    /// gone again takes no room there. Interrupted, it goes on where it was.
    pub(crate) fn upload(&self, needed: &BTreeSet<Address>, progress: &dyn Progress) -> Result<()> {
        let Some(cache) = &self.cache else {
            return self.sync();
        };
        let mut waiting = cache.pinned()?;
        let brought_back = self.brought_back.lock().clone();
        waiting.retain(|pack| needed.contains(pack) || brought_back.contains(pack));
        if !waiting.is_empty() {
            self.hold_anyway()?;
        }
        let batch = Waiting {
            packs: self,
            cache,
            progress,
            total: waiting.len() as u64,
        };
        self.store
            .upload(&waiting, &batch)
            .map_err(|error| match error {
                StoreError::Stopped { .. } if progress.stopped() => crate::Error::Stopped,
                error => error.into(),
            })
    }

    /// Counts records that were put.
    pub(crate) fn count(&self, chunks: &[Chunk]) {
        let bytes: usize = chunks.iter().map(|chunk| chunk.bytes().len()).sum();
        self.records
            .fetch_add(chunks.len() as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Begins to take down which packs come into use, for a collection, and forgets where content was seen before:
    /// some of it may be about to go.
    pub(crate) fn watch(&self) -> Watch<'_> {
        *self.in_use.lock() = Some(HashSet::new());
        self.forget_known();
        Watch(self)
    }

    /// Forgets where content was seen.
    pub(crate) fn forget_known(&self) {
        self.learned.lock().clear();
        self.known.lock().clear();
    }

    /// See [`Packs::put_nodes`].
    pub(crate) fn fresh_nodes(&self) -> BTreeSet<Address> {
        self.fresh_nodes.lock().clone()
    }

    /// Takes note that a head refers to everything that was put.
    pub(crate) fn published(&self) {
        self.fresh_nodes.lock().clear();
        self.unpublished.published();
    }

    /// Lets go of packs that wait for an upload nobody needs any more.
    pub(crate) fn let_needless_go(&self) {
        let Some(cache) = &self.cache else { return };
        let Ok(mut pinned) = cache.pinned() else {
            return;
        };
        let brought_back = self.brought_back.lock().clone();
        pinned.retain(|pack| !brought_back.contains(pack));
        self.unpublished.without(pinned, |needless| {
            // Nobody refers to what is in them any more without it being stored again.
            self.known
                .lock()
                .retain(|_, at| !needless.contains(&at.pack));
            for pack in needless {
                cache.unpin(pack);
            }
        });
    }

    /// Sees that a pack stays on this computer, whatever becomes of it on the store; `false` if it is not here.
    pub(crate) fn keep_here(&self, pack: &Address) -> bool {
        let is_kept = self.cache.as_ref().is_some_and(|cache| {
            cache
                .get(pack)
                .is_some_and(|chunk| cache.pin(&chunk, false).is_ok())
        });
        if is_kept {
            // It is not lost when it is gone from there.
            self.own.lock().remove(pack);
        }
        is_kept
    }

    /// Which of these the store has.
    pub(crate) fn has(&self, addresses: &[Address]) -> Result<Vec<bool>> {
        let mut there = Vec::with_capacity(addresses.len());
        for some in addresses.chunks(HAS_AT_ONCE) {
            there.extend(self.store.has_chunks(some)?);
        }
        Ok(there)
    }

    /// The same for the packs of this session: a store that was put back has lost them, perhaps, and somebody else has published
    /// what refers to them before this computer came to know of it.
    pub(crate) fn bring_back_own(&self) -> Result<()> {
        let own: BTreeSet<Address> = self.own.lock().iter().map(|(pack, ())| *pack).collect();
        // A pack that is gone here too is not needed, or the read that needs it says so.
        self.bring_back(&own).map(drop)
    }

    /// Has those of these packs uploaded again that the store has lost and this computer has; the others are the answer.
    pub(crate) fn bring_back(&self, packs: &BTreeSet<Address>) -> Result<BTreeSet<Address>> {
        // Nothing is ever taken from a store where records are paid for.
        if self.store.traits().paid {
            return Ok(BTreeSet::new());
        }
        let waiting: HashSet<Address> = match &self.cache {
            Some(cache) => cache.pinned()?.into_iter().collect(),
            None => HashSet::new(),
        };
        let asked: Vec<Address> = packs
            .iter()
            .filter(|pack| !waiting.contains(pack))
            .copied()
            .collect();
        let mut lost = BTreeSet::new();
        for (pack, there) in asked.iter().zip(self.has(&asked)?) {
            let Some(cache) = self.cache.as_ref().filter(|_| !there) else {
                if !there {
                    lost.insert(*pack);
                }
                continue;
            };
            match cache.get(pack) {
                Some(chunk) => {
                    cache.pin(&chunk, false)?;
                    self.brought_back.lock().insert(*pack);
                }
                None => {
                    lost.insert(*pack);
                }
            }
        }
        Ok(lost)
    }

    /// Counts what was put by other means.
    pub(crate) fn count_others(&self, (records, bytes): (u64, u64)) {
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes of memory that the table of known blocks takes, about.
    pub(crate) fn known_bytes(&self) -> u64 {
        const ENTRY_BYTES: u64 = 104;
        self.known.lock().len() as u64 * ENTRY_BYTES
    }

    /// Records and bytes that this session has put.
    pub(crate) fn counted(&self) -> (u64, u64) {
        (
            self.records.load(Ordering::Relaxed),
            self.bytes.load(Ordering::Relaxed),
        )
    }

    /// The cost of the records so far, in words; empty where nothing is paid.
    pub(crate) fn cost(&self) -> String {
        let spent = self.store.wallet().map(safeos_store::Wallet::spent);
        spent.map_or_else(String::new, |spent| {
            let Spent {
                records, payments, ..
            } = spent;
            if records == 0 {
                return String::new();
            }
            format!(
                "{} for {records} records in {payments} payments",
                spent.money
            )
        })
    }

    /// Bytes of packs that wait for their upload.
    pub(crate) fn waiting_bytes(&self) -> u64 {
        self.cache.as_ref().map_or(0, PackCache::pinned_bytes)
    }

    /// Whether packs come from elsewhere.
    pub(crate) fn is_remote(&self) -> bool {
        self.cache.is_some()
    }

    /// Whether a pack is on this computer.
    pub(crate) fn is_here(&self, pack: &Address) -> bool {
        self.cache.as_ref().is_none_or(|cache| cache.has(pack))
    }

    /// Whether these bytes of a pack are.
    pub(crate) fn has_part(&self, pack: &Address, range: &Range<u32>) -> bool {
        let len = range.end.saturating_sub(range.start);
        self.cache
            .as_ref()
            .is_none_or(|cache| cache.has_part(pack, range.start, len))
    }

    /// The downloads from a remote store.
    pub(crate) const fn downloads(&self) -> &Downloads {
        &self.downloads
    }

    /// Has these bytes of a pack fetched that somebody comes to, and of the pack no more than `extent` says.
    pub(crate) fn wish_ahead(&self, pack: Address, extent: Extent, wanted: Range<u32>) {
        // An object that does not open is fetched with its whole pack.
        let extent = match self.suspects.has(&pack) || !self.store.reads_parts() {
            true => Extent::Whole,
            false => extent,
        };
        self.downloads.wish_ahead(Wish {
            pack,
            extent,
            wanted,
        });
    }

    /// Fetches into the cache what nobody waits for yet, until the session ends.
    pub(crate) fn fetch_wished(&self) {
        let Some(cache) = &self.cache else { return };
        while let Some(job) = self.downloads.next() {
            let Wish { pack, extent, .. } = job.wish.clone();
            job.run(|| self.fetch(cache, &pack, extent));
        }
    }

    /// Tells a local store that these parts of one pack are read soon.
    pub(crate) fn read_ahead(&self, parts: &[ObjectRef]) {
        let start = parts.iter().map(|at| at.offset).min();
        let end = parts
            .iter()
            .map(|at| at.offset.saturating_add(at.len))
            .max();
        if let (Some(at), Some(start), Some(end)) = (parts.first(), start, end) {
            self.store.read_ahead(&at.pack, start, end - start);
        }
    }

    /// The sealed bytes of an object that is not here, with what is `around` it where that costs no more.
    fn far(
        &self,
        cache: &PackCache,
        at: &ObjectRef,
        around: Range<u32>,
    ) -> Result<Vec<u8>, TreeError> {
        let range = at.offset..at.offset.saturating_add(at.len);
        let fetch = |extent| self.fetch(cache, &at.pack, extent);
        // An object that does not open is fetched once more, and then with its whole pack.
        if self.store.reads_parts() && !self.suspects.has(&at.pack) {
            let coming = self.downloads.get_coming(&at.pack, &range, fetch);
            match coming.or_else(|| self.apart(cache, at, around)) {
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
        let piece = self.downloads.get(&at.pack, Extent::Whole, fetch)?;
        piece
            .part(&range)
            .map(<[u8]>::to_vec)
            .ok_or_else(|| no_bytes(at))
    }

    /// A few bytes of a pack that is not here, where they can be had without it.
    fn apart(
        &self,
        cache: &PackCache,
        at: &ObjectRef,
        around: Range<u32>,
    ) -> Option<Result<Piece, StoreError>> {
        let range = at.offset..at.offset.saturating_add(at.len);
        // Then the pack does not follow, and this is a part of what is read.
        let is_read_in_order =
            self.downloads.is_wished(&at.pack) || cache.has_long_span(&at.pack, APART_MAX);
        let fetch = |extent| {
            let piece = self.fetch_span(cache, &at.pack, extent)?;
            if is_read_in_order || extent != Extent::of(&range) {
                cache.put_span(&at.pack, piece.start, &piece.bytes);
            }
            Ok(piece)
        };
        let piece = self
            .downloads
            .get_apart(&at.pack, around, fetch)
            .or_else(|| self.downloads.get_apart(&at.pack, range.clone(), fetch))?;
        if piece.is_ok() && !is_read_in_order {
            self.downloads.wish_behind(at.pack);
        }
        Some(piece)
    }

    /// Fetches a pack from the store into the cache.
    fn fetch(
        &self,
        cache: &PackCache,
        pack: &Address,
        extent: Extent,
    ) -> Result<Piece, StoreError> {
        if extent == Extent::Whole {
            // It may have come while somebody made up his mind.
            let chunk = match cache.get(pack) {
                Some(chunk) => chunk,
                None => self.download(cache, pack)?,
            };
            let bytes = chunk.into_bytes();
            return Ok(Piece { start: 0, bytes });
        }
        let piece = self.fetch_span(cache, pack, extent)?;
        cache.put_span(pack, piece.start, &piece.bytes);
        Ok(piece)
    }

    fn fetch_span(
        &self,
        cache: &PackCache,
        pack: &Address,
        extent: Extent,
    ) -> Result<Piece, StoreError> {
        let (start, len) = match extent {
            Extent::Whole => (0, extent.len()),
            Extent::Span(start, _) => (start, extent.len()),
        };
        let bytes = match cache.part(pack, start, len) {
            Some(here) => here.into(),
            None => self.store.read_part(pack, start, len)?,
        };
        Ok(Piece { start, bytes })
    }

    fn sealed_in(
        &self,
        cache: &PackCache,
        at: &ObjectRef,
        around: Range<u32>,
    ) -> Result<Vec<u8>, TreeError> {
        if let Some(part) = cache.part(&at.pack, at.offset, at.len) {
            return Ok(part);
        }
        match cache.get(&at.pack) {
            Some(chunk) => {
                let piece = Piece {
                    start: 0,
                    bytes: chunk.into_bytes(),
                };
                let range = at.offset..at.offset.saturating_add(at.len);
                let part = piece.part(&range).map(<[u8]>::to_vec);
                part.ok_or_else(|| no_bytes(at))
            }
            None if cancellation::has_none() => Err(TreeError::NotCached(*at)),
            None => self.far(cache, at, around),
        }
    }

    fn download(&self, cache: &PackCache, pack: &Address) -> Result<Chunk, StoreError> {
        let found = self.store.get_chunk(pack);
        let chunk = self.suspects.saw(pack, found, || false)?;
        self.suspects.clear(pack);
        cache.put(&chunk);
        // Blocks that came along may be written again: they are known now, and not stored twice.
        if let Ok(places) = directory(&self.keys, chunk.bytes()) {
            let mut known = self.known.lock();
            for place in places {
                known.insert(place.hash, place.within(*pack));
            }
        }
        Ok(chunk)
    }
}

/// See [`Packs::watch`]; ends when it is dropped.
pub(crate) struct Watch<'a>(&'a Packs);

impl Watch<'_> {
    /// Removes a pack that has not come into use since; `false` if it has. Nobody puts one or finds one meanwhile: the same
    /// content makes the same pack.
    pub(crate) fn unless_in_use(
        &self,
        pack: &Address,
        remove: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<bool, StoreError> {
        let in_use = self.0.in_use.lock();
        if in_use.as_ref().is_some_and(|packs| packs.contains(pack)) {
            return Ok(false);
        }
        remove()?;
        Ok(true)
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        *self.0.in_use.lock() = None;
    }
}

/// Packs on this computer's disk that wait for their upload.
struct Waiting<'a> {
    packs: &'a Packs,
    cache: &'a PackCache,
    progress: &'a dyn Progress,
    total: u64,
}

impl Upload for Waiting<'_> {
    fn load(&self, address: &Address) -> Result<Chunk, StoreError> {
        self.cache.get(address).ok_or_else(|| StoreError::Damaged {
            kind: Kind::Chunk,
            address: *address,
            why: "it waits for its upload and is damaged on this computer's disk".into(),
        })
    }

    fn stored(&self, done: u64) {
        self.progress.step(Step {
            what: "uploading".into(),
            done,
            total: self.total,
            unit: "records".into(),
        });
    }

    fn settled(&self, addresses: &[Address]) {
        let lengths = addresses.iter().filter_map(|a| self.cache.unpin(a));
        let lengths: Vec<u64> = lengths.collect();
        let mut own = self.packs.own.lock();
        let mut brought_back = self.packs.brought_back.lock();
        for address in addresses {
            own.insert(*address, ());
            brought_back.remove(address);
        }
        drop((own, brought_back));
        let records = lengths.len() as u64;
        self.packs.count_others((records, lengths.iter().sum()));
    }

    fn stopped(&self) -> bool {
        self.progress.stopped()
    }
}

fn no_bytes(at: &ObjectRef) -> TreeError {
    TreeError::Store(StoreError::Damaged {
        kind: Kind::Chunk,
        address: at.pack,
        why: format!("it has no bytes {}+{}", at.offset, at.len),
    })
}

impl Objects for Packs {
    fn sealed(&self, at: &ObjectRef) -> Result<Vec<u8>, TreeError> {
        let Some(cache) = &self.cache else {
            let part = self.store.read_part(&at.pack, at.offset, at.len);
            let whole = || self.is_whole(&at.pack);
            return Ok(self.suspects.saw(&at.pack, part, whole)?.into());
        };
        self.sealed_in(cache, at, at.offset..at.offset.saturating_add(at.len))
    }

    fn sealed_node(&self, at: &ObjectRef, around: Range<u32>) -> Result<Vec<u8>, TreeError> {
        match &self.cache {
            Some(cache) => self.sealed_in(cache, at, around),
            None => self.sealed(at),
        }
    }

    fn sealed_once(&self, at: &ObjectRef) -> Result<Vec<u8>, TreeError> {
        match &self.cache {
            Some(_) => self.sealed(at),
            None => {
                let part = self.store.read_once(&at.pack, at.offset, at.len);
                let whole = || self.is_whole(&at.pack);
                Ok(self.suspects.saw(&at.pack, part, whole)?.into())
            }
        }
    }

    fn near(&self, at: &ObjectRef) {
        if self.cache.is_none() {
            let start = at.offset - at.offset % NODES_AHEAD;
            self.store.read_ahead(&at.pack, start, NODES_AHEAD);
        }
    }

    fn suspect(&self, at: &ObjectRef) {
        self.suspects.add(&at.pack);
        if let Some(cache) = &self.cache {
            cache.remove_spans(&at.pack);
            // Checks the whole pack: a damaged file goes, and the store is asked for it.
            drop(cache.get(&at.pack));
        }
    }

    fn learned(&self, blocks: &mut dyn Iterator<Item = ObjectRef>) {
        let mut learned = self.learned.lock();
        learned.extend(blocks);
        if learned.len() > LEARNED_MAX {
            let all = std::mem::take(&mut *learned);
            drop(learned);
            self.remember(all);
        }
    }
}
