//! Packs on their way to and from the store.
//!
//! What always holds here: a pack that was put before [`Packs::sync`] returned survives a crash of this
//! computer (it is on a local store, or pinned in the cache until it is uploaded). Nothing is locked
//! while the store is asked, but by a collection, for each pack that it removes.

pub(crate) mod cache;
pub(crate) mod cancellation;
mod counts;
mod downloads;
pub(crate) mod extent;
pub(crate) mod in_use;
mod known_blocks;
pub(crate) mod leavable;
pub(crate) mod readahead;
mod remote;
mod suspects;
mod unpublished;
mod uploads;

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::sync::Arc;

use crate::lock::Mutex;
use safeos_record::{Address, Chunk};
use safeos_store::{Error as StoreError, Spent, Store};
use safeos_tree::{Error as TreeError, Keys, ObjectHash, ObjectRef, Objects, PackedObject};

use crate::lease::Lease;
use crate::packs::cache::PackCache;
use crate::packs::counts::Counts;
use crate::packs::extent::Extent;
use crate::packs::in_use::{InUse, Watch};
use crate::packs::known_blocks::KnownBlocks;
use crate::packs::remote::RemotePacks;
use crate::packs::suspects::Suspects;
use crate::packs::unpublished::Unpublished;
use crate::packs::uploads::Uploads;
use crate::{Progress, Result};

/// How many records a store is asked for with one call.
const HAS_AT_ONCE: usize = 1024;

/// How much of a pack a local store is told to read around a node, in bytes: as many nodes as a file of some 100 MB has.
const NODES_AHEAD: u32 = 128 * 1024;

/// The packs of one home.
pub(crate) struct Packs {
    store: Arc<dyn Store>,
    /// `None` where the store itself is on this computer.
    remote: Option<RemotePacks>,
    known: Arc<KnownBlocks>,
    in_use: InUse,
    unpublished: Unpublished,
    uploads: Uploads,
    /// Packs that could not be read whole.
    suspects: Arc<Suspects>,
    /// Packs of nodes that were put since a head was published.
    fresh_nodes: Mutex<BTreeSet<Address>>,
    /// Tells other computers that this one may have put records that nothing published refers to.
    lease: Option<Arc<Lease>>,
    counts: Counts,
}

impl Packs {
    pub(crate) fn new(store: Arc<dyn Store>, cache: Option<PackCache>, keys: Keys) -> Self {
        let known = Arc::<KnownBlocks>::default();
        let suspects = Arc::<Suspects>::default();
        let waits = |cache: &PackCache| cache.pinned_bytes() > 0;
        let uploads = Uploads::new(cache.as_ref().is_some_and(waits));
        let remote = cache.map(|cache| {
            RemotePacks::new(store.clone(), cache, keys, known.clone(), suspects.clone())
        });
        Self {
            store,
            remote,
            known,
            in_use: InUse::default(),
            unpublished: Unpublished::default(),
            uploads,
            suspects,
            fresh_nodes: Mutex::default(),
            lease: None,
            counts: Counts::default(),
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

    fn cache(&self) -> Option<&PackCache> {
        self.remote.as_ref().map(RemotePacks::cache)
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
        self.known.add_learned();
        let found = self.unpublished.add_found(|| self.known.get(hash));
        self.in_use.add(found.map(|at| at.pack));
        found
    }

    /// Makes what was put durable. Before anything that refers to it is: a frame of the stage, a head.
    pub(crate) fn sync(&self) -> Result<()> {
        match &self.remote {
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
        self.in_use.add(chunks.iter().map(Chunk::address));
        self.unpublished.add(chunks.iter().map(Chunk::address));
        match self.cache() {
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
        self.known.add(packs.iter().flat_map(|(chunk, objects)| {
            let pack = chunk.address();
            objects.iter().map(move |object| object.within(pack))
        }));
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
        let Some(cache) = self.cache() else {
            return self.sync();
        };
        let waiting = self.uploads.waiting(cache, needed)?;
        if !waiting.is_empty() {
            self.hold_anyway()?;
        }
        self.uploads
            .run(&*self.store, cache, &waiting, &self.counts, progress)
    }

    /// The bytes that [`Packs::upload`] would bring to the store.
    pub(crate) fn upload_bytes(&self, needed: &BTreeSet<Address>) -> Result<u64> {
        let Some(cache) = self.cache() else {
            return Ok(0);
        };
        let waiting = self.uploads.waiting(cache, needed)?;
        Ok(waiting
            .iter()
            .filter_map(|pack| cache.pinned_len(pack))
            .sum())
    }

    /// Counts records that were put.
    pub(crate) fn count(&self, chunks: &[Chunk]) {
        self.counts.add_chunks(chunks);
    }

    /// Begins to take down which packs come into use, for a collection, and forgets where content was seen before:
    /// some of it may be about to go.
    pub(crate) fn watch(&self) -> Watch<'_> {
        let watch = self.in_use.watch();
        self.forget_known();
        watch
    }

    /// Forgets where content was seen.
    pub(crate) fn forget_known(&self) {
        self.known.forget();
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
        let Some(cache) = self.cache() else { return };
        let Ok(waiting) = self.uploads.not_brought_back(cache) else {
            return;
        };
        self.unpublished.without(waiting, |needless| {
            // Nobody refers to what is in them any more without it being stored again.
            self.known.forget_packs(needless);
            for pack in needless {
                cache.unpin(pack);
            }
        });
    }

    /// Sees that a pack stays on this computer, whatever becomes of it on the store; `false` if it is not here.
    pub(crate) fn keep_here(&self, pack: &Address) -> bool {
        let is_kept = self.cache().is_some_and(|cache| {
            cache
                .get(pack)
                .is_some_and(|chunk| cache.pin(&chunk, false).is_ok())
        });
        if is_kept {
            self.uploads.disown(pack);
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
        // A pack that is gone here too is not needed, or the read that needs it says so.
        self.bring_back(&self.uploads.own()).map(drop)
    }

    /// Has those of these packs uploaded again that the store has lost and this computer has; the others are the answer.
    pub(crate) fn bring_back(&self, packs: &BTreeSet<Address>) -> Result<BTreeSet<Address>> {
        // Nothing is ever taken from a store where records are paid for.
        if self.store.traits().paid {
            return Ok(BTreeSet::new());
        }
        let waiting: HashSet<Address> = match self.cache() {
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
            if there {
                continue;
            }
            let here = self
                .cache()
                .and_then(|cache| Some((cache, cache.get(pack)?)));
            match here {
                Some((cache, chunk)) => self.uploads.bring_back(cache, &chunk)?,
                None => {
                    lost.insert(*pack);
                }
            }
        }
        Ok(lost)
    }

    /// Counts what was put by other means.
    pub(crate) fn count_others(&self, counted: (u64, u64)) {
        self.counts.add(counted);
    }

    /// Bytes of memory that the table of known blocks takes, about.
    pub(crate) fn known_bytes(&self) -> u64 {
        self.known.bytes()
    }

    /// Records and bytes that this session has put.
    pub(crate) fn counted(&self) -> (u64, u64) {
        self.counts.get()
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
        self.cache().map_or(0, PackCache::pinned_bytes)
    }

    /// Whether packs come from elsewhere.
    pub(crate) fn is_remote(&self) -> bool {
        self.remote.is_some()
    }

    /// Whether a pack is on this computer.
    pub(crate) fn is_here(&self, pack: &Address) -> bool {
        self.cache().is_none_or(|cache| cache.has(pack))
    }

    /// Whether these bytes of a pack are.
    pub(crate) fn has_part(&self, pack: &Address, range: &Range<u32>) -> bool {
        let len = range.end.saturating_sub(range.start);
        self.cache()
            .is_none_or(|cache| cache.has_part(pack, range.start, len))
    }

    /// Has these bytes of a pack fetched that somebody comes to, and of the pack no more than `extent` says.
    pub(crate) fn prefetch(&self, pack: Address, extent: Extent, wanted: Range<u32>) {
        if let Some(remote) = &self.remote {
            remote.prefetch(pack, extent, wanted);
        }
    }

    /// How many packs ahead of a reader are to be under way.
    pub(crate) fn packs_ahead(&self) -> usize {
        self.remote.as_ref().map_or(0, RemotePacks::packs_ahead)
    }

    /// Prefetches may be made from now on; in how many threads.
    pub(crate) fn begin_prefetches(&self) -> usize {
        self.remote
            .as_ref()
            .map_or(0, RemotePacks::begin_prefetches)
    }

    /// Fetches into the cache what nobody waits for yet, until [`Packs::end_prefetches`].
    pub(crate) fn run_prefetches(&self) {
        if let Some(remote) = &self.remote {
            remote.run_prefetches();
        }
    }

    pub(crate) fn end_prefetches(&self) {
        if let Some(remote) = &self.remote {
            remote.end_prefetches();
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
}

impl Objects for Packs {
    fn sealed(&self, at: &ObjectRef) -> Result<Vec<u8>, TreeError> {
        let Some(remote) = &self.remote else {
            let part = self.store.read_part(&at.pack, at.offset, at.len);
            let whole = || self.is_whole(&at.pack);
            return Ok(self.suspects.saw(&at.pack, part, whole)?.into());
        };
        remote.sealed(at, at.offset..at.offset.saturating_add(at.len))
    }

    fn sealed_node(&self, at: &ObjectRef, around: Range<u32>) -> Result<Vec<u8>, TreeError> {
        match &self.remote {
            Some(remote) => remote.sealed(at, around),
            None => self.sealed(at),
        }
    }

    fn sealed_once(&self, at: &ObjectRef) -> Result<Vec<u8>, TreeError> {
        match &self.remote {
            Some(_) => self.sealed(at),
            None => {
                let part = self.store.read_once(&at.pack, at.offset, at.len);
                let whole = || self.is_whole(&at.pack);
                Ok(self.suspects.saw(&at.pack, part, whole)?.into())
            }
        }
    }

    fn near(&self, at: &ObjectRef) {
        if self.remote.is_none() {
            let start = at.offset - at.offset % NODES_AHEAD;
            self.store.read_ahead(&at.pack, start, NODES_AHEAD);
        }
    }

    fn suspect(&self, at: &ObjectRef) {
        self.suspects.add(&at.pack);
        if let Some(remote) = &self.remote {
            remote.suspect(&at.pack);
        }
    }

    fn learned(&self, blocks: &mut dyn Iterator<Item = ObjectRef>) {
        self.known.learn(blocks);
    }
}
