//! Keeps a home and its store the same: the home, the state published last, and the right to publish.
//!
//! What always holds here: one publishes at a time, the thread that holds the sync base. It knows nothing of sessions:
//! how they begin and end is above.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::lock::{Mutex, MutexGuard, RwLock};
use safeos_account::Account;
use safeos_record::Pointer;
use safeos_tree::Commit;

use crate::computer::computer;
use crate::lease::Lease;
use crate::local::Local;
use crate::sync::attempt::Attempt;
use crate::sync::backlog::Backlog;
use crate::sync::news::News;
use crate::sync::sync_base::SyncBase;
use crate::time::snapshot_name;
use crate::worktree::home::Home;
use crate::{Change, Nanos, Result, Snapshot, Waiting};

type Listener = Box<dyn Fn(Change) + Send + Sync>;
type Flusher = Box<dyn Fn() + Send + Sync>;

/// A home that is kept the same as the account's on the store.
pub(crate) struct Synchronizer {
    pub(super) account: RwLock<Arc<Account>>,
    pub(super) home: Arc<Home>,
    pub(super) sync_base: Mutex<SyncBase>,
    pub(super) local: Arc<Local>,
    pub(super) lease: Arc<Lease>,
    pub(super) computer: String,
    pub(super) remember: bool,
    /// The facts that `status` shows without waiting for a publish that is going on.
    pub(super) facts: Mutex<Facts>,
    listeners: RwLock<Vec<Listener>>,
    flushers: RwLock<Vec<Flusher>>,
    /// The attempt of the thread that holds the sync base.
    pub(super) trying: Mutex<Option<Arc<Attempt>>>,
    pub(super) backlog: Backlog,
    pub(super) news: News,
    /// How many want to leave without waiting for anything.
    pub(super) left: AtomicUsize,
}

/// See [`Synchronizer::leave`].
pub(crate) struct Leave<'a>(&'a AtomicUsize);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// See [`Synchronizer::facts`].
pub(crate) struct Facts {
    /// The newest head, and the counter of the pointer to it.
    pub(crate) newest: Snapshot,
    pub(crate) pointer: Pointer,
    pub(crate) published: Nanos,
    changes: u64,
    pub(crate) offline: bool,
}

impl Facts {
    pub(super) fn of(sync_base: &SyncBase, offline: bool) -> Result<Self> {
        let commit = Commit::decode(sync_base.head.commit())?;
        Ok(Self {
            newest: Snapshot {
                name: snapshot_name(commit.time),
                head: sync_base.head.address().to_string(),
                computer: commit.computer,
                added_bytes: commit.added_bytes,
            },
            pointer: sync_base.head.pointer().clone(),
            published: Nanos::from(commit.time),
            changes: sync_base.changes,
            offline,
        })
    }

    /// Whether nothing has changed since the newest commit.
    pub(crate) fn are_newest(&self, changes: u64) -> bool {
        self.changes == changes
    }
}

impl Synchronizer {
    pub(crate) fn new(
        account: Arc<Account>,
        home: Home,
        sync_base: SyncBase,
        local: Arc<Local>,
        lease: Arc<Lease>,
        remember: bool,
    ) -> Result<Arc<Self>> {
        let facts = Facts::of(&sync_base, false)?;
        Ok(Arc::new(Self {
            account: RwLock::new(account),
            home: Arc::new(home),
            sync_base: Mutex::new(sync_base),
            local,
            lease,
            computer: computer(),
            remember,
            facts: Mutex::new(facts),
            listeners: RwLock::default(),
            flushers: RwLock::default(),
            trying: Mutex::default(),
            backlog: Backlog::default(),
            news: News::default(),
            left: AtomicUsize::new(0),
        }))
    }

    /// The home that is kept the same.
    pub(crate) fn home(&self) -> &Arc<Home> {
        &self.home
    }

    /// Whose home it is.
    pub(crate) fn account(&self) -> &RwLock<Arc<Account>> {
        &self.account
    }

    /// The lease that keeps records of this computer from being collected.
    pub(crate) fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }

    /// This computer's files.
    pub(crate) fn local(&self) -> &Arc<Local> {
        &self.local
    }

    /// The facts that `status` shows without waiting for a publish that is going on.
    pub(crate) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock()
    }

    /// Takes note of whether the store is out of reach.
    pub(crate) fn set_offline(&self, offline: bool) {
        self.facts.lock().offline = offline;
    }

    /// The report of changes that wait to be published, for `status`.
    pub(crate) fn report_backlog(&self, bytes: u64) -> Waiting {
        self.backlog.report(bytes, self.trouble())
    }

    /// Whether this computer keeps what signs in without the store.
    pub(crate) fn remembers(&self) -> bool {
        self.remember
    }

    /// Has everything that waits for the store be given up, as long as the answer is held.
    pub(crate) fn leave(&self) -> Leave<'_> {
        self.left.fetch_add(1, Ordering::AcqRel);
        Leave(&self.left)
    }

    /// The sync base, before any other thread can publish.
    pub(crate) fn first_sync_base(&self) -> MutexGuard<'_, SyncBase> {
        self.sync_base.lock()
    }

    /// Calls `listener` for every change that did not come through the home's own methods.
    pub(crate) fn on_change(&self, listener: Box<dyn Fn(Change) + Send + Sync>) {
        self.listeners.write().push(listener);
    }

    /// Calls `flusher` when writes that a system keeps back are to be in the home: before another computer's
    /// changes are merged, over which they would come later, and before the session ends.
    pub(crate) fn on_flush(&self, flusher: Box<dyn Fn() + Send + Sync>) {
        self.flushers.write().push(flusher);
    }

    /// Has fronts hand over what a system keeps back.
    pub(crate) fn flush(&self) {
        for flusher in self.flushers.read().iter() {
            flusher();
        }
    }

    /// Says to the front that something changed without its doing.
    pub(crate) fn tell(&self, change: Change) {
        for listener in self.listeners.read().iter() {
            listener(change.clone());
        }
    }

    /// Takes note of since when something waits to be published, for `status`.
    pub(crate) fn look_at_backlog(&self, at_least: Option<Nanos>) {
        let waits = !self.facts.lock().are_newest(self.home.changes());
        self.backlog.look(waits, at_least);
    }

    /// The obstacle of the publish that is under way, if there is one.
    pub(crate) fn trouble(&self) -> Option<String> {
        let trying = self.trying.lock().clone();
        trying.and_then(|attempt| attempt.why_it_waits(self.home.packs().store()))
    }

    /// Whether a sign-out wants to leave without waiting for work that is under way.
    pub(crate) fn is_left(&self) -> bool {
        self.left.load(Ordering::Acquire) > 0
    }

    /// Asks the store for something small; whether it was spoken to.
    pub(crate) fn is_store_there(&self) -> bool {
        let address = self.account.read().address();
        let answer = self.home.packs().store().get_pointer(&address);
        let is_there = !matches!(answer, Err(error) if error.is_away());
        self.facts.lock().offline = !is_there;
        is_there
    }

    /// Whether the pointer is where this computer knows it to be: looked at while more changes are waited for.
    pub(crate) fn is_newest_there(&self) -> bool {
        let address = self.account.read().address();
        let there = self.home.packs().store().get_pointer(&address);
        let known = &self.facts.lock().pointer;
        there.is_ok_and(|there| there.as_ref() == Some(known))
    }

    /// Shows this as what was published last.
    pub(crate) fn show(&self, sync_base: &SyncBase, offline: bool) -> Result<()> {
        *self.facts.lock() = Facts::of(sync_base, offline)?;
        Ok(())
    }
}
