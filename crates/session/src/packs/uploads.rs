//! Packs on their way from this computer's disk to a store elsewhere, and those that a session has brought there.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::lock::Mutex;
use hashlink::LruCache;
use safeos_record::{Address, Chunk};
use safeos_store::{Error as StoreError, Kind, Store, Upload};

use crate::packs::cache::PackCache;
use crate::packs::cancellation::{self, Cancellation};
use crate::packs::counts::Counts;
use crate::{Error, Progress, Result, Step};

/// How many packs of its own a session looks after: about 32 GiB.
const OWN_MAX: usize = 8192;

/// See the module.
pub(super) struct Uploads {
    /// Packs that wait for their upload because the store has lost them: something published refers to them.
    brought_back: Mutex<HashSet<Address>>,
    /// Packs that this session has brought to a store elsewhere, and may have here.
    own: Mutex<LruCache<Address, ()>>,
    /// Whether an upload may have been begun and not ended.
    interrupted: AtomicBool,
}

impl Uploads {
    /// `interrupted`: packs of an earlier session wait, and some may have arrived.
    pub(super) fn new(interrupted: bool) -> Self {
        Self {
            brought_back: Mutex::default(),
            own: Mutex::new(LruCache::new(OWN_MAX)),
            interrupted: AtomicBool::new(interrupted),
        }
    }

    /// The packs that wait for their upload, and are `needed` or were brought back.
    pub(super) fn waiting(
        &self,
        cache: &PackCache,
        needed: &BTreeSet<Address>,
    ) -> Result<Vec<Address>> {
        let mut waiting = cache.pinned()?;
        let brought_back = self.brought_back.lock();
        waiting.retain(|pack| needed.contains(pack) || brought_back.contains(pack));
        Ok(waiting)
    }

    /// The packs that wait for their upload, and were not brought back.
    pub(super) fn not_brought_back(&self, cache: &PackCache) -> Result<Vec<Address>> {
        let mut waiting = cache.pinned()?;
        let brought_back = self.brought_back.lock();
        waiting.retain(|pack| !brought_back.contains(pack));
        Ok(waiting)
    }

    /// Brings packs to the store.
    pub(super) fn run(
        &self,
        store: &dyn Store,
        cache: &PackCache,
        waiting: &[Address],
        counts: &Counts,
        progress: &dyn Progress,
    ) -> Result<()> {
        if waiting.is_empty() {
            return Ok(());
        }
        let batch = Waiting {
            uploads: self,
            cache,
            counts,
            progress,
            total: waiting.len() as u64,
            may_be_there: self.interrupted.swap(true, Ordering::Relaxed)
                || !self.brought_back.lock().is_empty(),
            cancellation: cancellation::cancellation(),
        };
        let uploaded = store.upload(waiting, &batch).map_err(|error| match error {
            StoreError::Stopped { .. } if progress.stopped() => Error::Stopped,
            error => error.into(),
        });
        if uploaded.is_ok() {
            self.interrupted.store(false, Ordering::Relaxed);
        }
        uploaded
    }

    /// The packs that this session has brought to the store.
    pub(super) fn own(&self) -> BTreeSet<Address> {
        self.own.lock().iter().map(|(pack, ())| *pack).collect()
    }

    /// Lets go of a pack that this session has brought to the store: it is not lost when it is gone from there.
    pub(super) fn disown(&self, pack: &Address) {
        self.own.lock().remove(pack);
    }

    /// Has a pack uploaded again that the store has lost.
    pub(super) fn bring_back(&self, cache: &PackCache, chunk: &Chunk) -> Result<()> {
        cache.pin(chunk, false)?;
        self.brought_back.lock().insert(chunk.address());
        Ok(())
    }

    fn arrived(&self, packs: &[Address]) {
        let mut own = self.own.lock();
        let mut brought_back = self.brought_back.lock();
        for pack in packs {
            own.insert(*pack, ());
            brought_back.remove(pack);
        }
    }
}

/// Packs on this computer's disk that wait for their upload.
struct Waiting<'a> {
    uploads: &'a Uploads,
    cache: &'a PackCache,
    counts: &'a Counts,
    progress: &'a dyn Progress,
    total: u64,
    may_be_there: bool,
    /// Of the thread that uploads.
    cancellation: Option<Cancellation>,
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
        self.uploads.arrived(addresses);
        let records = lengths.len() as u64;
        self.counts.add((records, lengths.iter().sum()));
    }

    fn stopped(&self) -> bool {
        self.progress.stopped()
    }

    fn may_be_there(&self) -> bool {
        self.may_be_there
    }

    fn in_thread(&self, work: &mut dyn FnMut()) {
        match &self.cancellation {
            Some(cancellation) => cancellation.inherited(work),
            None => work(),
        }
    }
}
