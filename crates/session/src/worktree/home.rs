//! The home: the tree that is being worked on.
//!
//! What always holds here: a change of the tree is appended to the stage while the tree is locked, so
//! the stage's order is the tree's; no lock is held while the store is asked (a node that is not in
//! memory is fetched with everything unlocked, then the call starts again). Locks are taken in this
//! order: a file's, the tree's, the stage's.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::lock::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use safeos_record::random_bytes;
use safeos_store::{Reserve, Room};
use safeos_tree::{Batch, Inode, Key, Reader, Source, Tag, Tree, Value, encode_batch};

pub(crate) use crate::clock::now;
use crate::failure::Fault;
use crate::journal::{Frame, Stage};
use crate::packs::Packs;
use crate::packs::readahead::ReadAhead;
use crate::worktree::files::Files;
use crate::worktree::flush_scheduler::FlushScheduler;
use crate::worktree::owners::Owners;
use crate::worktree::problems::Problems;
use crate::worktree::tree_view::TreeView;
use crate::{Error, Ino, Limits, Result};

/// Inode numbers are a range of 39 random bits, drawn by each session, and a count of 24 bits in it:
/// two sessions that start at the same moment draw the same range once in 2^39 times, and a range that
/// the home knows already is not drawn again.
const RANGE_SHIFT: u32 = 24;
/// Lower numbers are left to the fronts.
const RANGE_MIN: u64 = 1 << 8;
const RANGE_MAX: u64 = 1 << 39;
/// With less than this left of a disk, in bytes, nothing more is taken.
const ROOM_MIN: u64 = 256 * 1024;

/// Looks at the tree and returns the changes and the answer.
pub(crate) type Plan<'a, T> = &'a mut dyn FnMut(TreeView<'_>) -> Result<(Batch, T), Fault>;

/// The state that changes while the session works.
pub(crate) struct Work {
    pub(crate) tree: Tree,
    /// Nodes without a name that are still in use. They are never published.
    pub(crate) orphans: HashSet<Ino>,
}

impl Work {
    /// Makes a change, and keeps account of the nodes without names.
    pub(crate) fn apply(&mut self, source: &dyn Source, batch: Batch) -> safeos_tree::Result<()> {
        let (gone, orphans) = nameless(&batch);
        self.tree.apply(source, batch)?;
        for ino in gone {
            self.orphans.remove(&ino);
        }
        self.orphans.extend(orphans);
        Ok(())
    }
}

/// A home that is open for reading and writing.
pub(crate) struct Home {
    pub(super) reader: Arc<Reader>,
    pub(super) packs: Arc<Packs>,
    pub(super) owners: Owners,
    pub(super) stage: Stage,
    pub(super) work: RwLock<Work>,
    pub(super) files: Files,
    pub(super) scheduler: FlushScheduler,
    pub(super) problems: Problems,
    pub(super) ahead: ReadAhead,
    pub(super) limits: Limits,
    /// The reserve on the disk that holds the stage.
    reserve: Arc<Reserve>,
    /// Whether only what is kept back is left of a disk that this home is on.
    short: AtomicBool,
    /// How often fronts refer to a node.
    pins: Mutex<HashMap<Ino, u64>>,
    numbers: Mutex<Numbers>,
    /// Whether changes are refused. See [`Home::close`].
    closed: AtomicBool,
    /// Held during a change.
    changing: RwLock<()>,
    /// See [`Home::building`].
    pub(super) building: RwLock<()>,
    ended: AtomicBool,
    /// Grows with every change.
    changes: AtomicU64,
}

#[derive(Default)]
struct Numbers {
    range: Option<u64>,
    used: u64,
}

impl Home {
    pub(crate) fn new(
        reader: Arc<Reader>,
        packs: Arc<Packs>,
        stage: Stage,
        tree: Tree,
        owners: Owners,
        limits: Limits,
        reserve: Arc<Reserve>,
    ) -> Self {
        let referred_to = packs.clone();
        stage.write_after(move || referred_to.sync());
        Self {
            reader,
            packs,
            owners,
            stage,
            work: RwLock::new(Work {
                tree,
                orphans: HashSet::new(),
            }),
            files: Files::default(),
            scheduler: FlushScheduler::default(),
            problems: Problems::default(),
            ahead: ReadAhead::default(),
            limits,
            reserve,
            short: AtomicBool::new(false),
            pins: Mutex::default(),
            numbers: Mutex::default(),
            closed: AtomicBool::new(false),
            changing: RwLock::default(),
            building: RwLock::default(),
            ended: AtomicBool::new(false),
            changes: AtomicU64::new(0),
        }
    }

    /// Reads what is stored.
    pub(crate) fn reader(&self) -> &Arc<Reader> {
        &self.reader
    }

    /// Where packs come from and go to.
    pub(crate) fn packs(&self) -> &Arc<Packs> {
        &self.packs
    }

    /// The changes that are synced and not published.
    pub(crate) fn stage(&self) -> &Stage {
        &self.stage
    }

    /// The problems that `status` reports.
    pub(crate) fn problems(&self) -> &Problems {
        &self.problems
    }

    /// To be held while a part of the home is built that has no name yet: it is neither published nor merged before.
    pub(crate) fn building(&self) -> RwLockReadGuard<'_, ()> {
        self.building.read()
    }

    /// Has what is being built wait, when it has a name.
    pub(crate) fn hold_building(&self) -> RwLockWriteGuard<'_, ()> {
        self.building.write()
    }

    /// The owners that another tree of this person shows.
    pub(crate) fn owners_of_another_tree(&self) -> Owners {
        self.owners.of_another_tree()
    }

    /// Forgets the cached owners, so that they are looked up again.
    pub(crate) fn forget_owners(&self) {
        self.owners.forget();
    }

    /// After how long what was written is logged unasked.
    pub(crate) fn log_after(&self) -> Duration {
        self.limits.log_after
    }

    /// Refuses changes from now on, and waits for those that are under way: a publish after this has
    /// every change that was reported as done.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        drop(self.changing.write());
    }

    /// Takes changes again.
    pub(crate) fn reopen(&self) {
        self.closed.store(false, Ordering::SeqCst);
    }

    /// Has changes wait, when those that are under way are made, as long as this is held.
    pub(crate) fn hold_changes(&self) -> RwLockWriteGuard<'_, ()> {
        self.changing.write()
    }

    /// Held while a caller's change is made.
    pub(crate) fn changing(&self) -> Result<RwLockReadGuard<'_, ()>> {
        let refuse = || {
            let closed = self.closed.load(Ordering::SeqCst);
            if closed { Err(Error::Ended) } else { Ok(()) }
        };
        // Before it waits for a close: some fronts have one thread only.
        refuse()?;
        let changing = self.changing.read();
        refuse()?;
        Ok(changing)
    }

    /// [`Home::changing`] for changes that take room: not when only the reserve is left of the disk, nor when the
    /// frames that it does not take have become many.
    pub(crate) fn growing(&self) -> Result<RwLockReadGuard<'_, ()>> {
        let changing = self.changing()?;
        self.stage.accept(1)?;
        if self.short.load(Ordering::Relaxed) {
            return Err(Error::Full(
                "the rest of the disk is kept for deleting and collecting; free some space on it"
                    .into(),
            ));
        }
        Ok(changing)
    }

    /// [`Home::changing`] for changes that take no room, or free some: it goes on for longer.
    pub(crate) fn shrinking(&self) -> Result<RwLockReadGuard<'_, ()>> {
        let changing = self.changing()?;
        self.stage.accept(2)?;
        Ok(changing)
    }

    /// How much room there is for more, of the disks that this home needs.
    pub(crate) fn room(&self) -> Option<Room> {
        let here = self.reserve.room();
        match (here, self.packs.store().room()) {
            (Some(here), Some(there)) => Some(here.and(there)),
            (here, there) => here.or(there),
        }
    }

    /// Looks whether there is room, and takes back what was kept if so. To be called every now and then.
    pub(crate) fn look_for_room(&self) {
        if self.stage.refusal().is_some() {
            return;
        }
        self.reserve.keep();
        let is_short = self.room().is_some_and(|room| room.free < ROOM_MIN);
        self.short.store(is_short, Ordering::Relaxed);
    }

    /// Refuses everything from now on.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    pub(crate) fn alive(&self) -> Result<()> {
        if self.ended.load(Ordering::SeqCst) {
            return Err(Error::Ended);
        }
        Ok(())
    }

    /// A number that grows with every change of the home.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    pub(crate) fn touched(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Looks at the tree as it is now.
    pub(crate) fn look<T>(&self, look: impl Fn(TreeView<'_>) -> Result<T, Fault>) -> Result<T> {
        self.alive()?;
        loop {
            let answer = look(TreeView {
                tree: &self.work.read().tree,
                source: &self.reader.cached(),
            });
            match answer {
                Err(Fault::Missing(at)) => {
                    self.reader.node(&at)?;
                }
                other => return Ok(other?),
            }
        }
    }

    /// Plans a change on the tree as it is and makes it, in one step for everybody else. The plan may be
    /// made more than once.
    pub(crate) fn change<T>(
        &self,
        mut plan: impl FnMut(TreeView<'_>) -> Result<(Batch, T), Fault>,
    ) -> Result<T> {
        self.alive()?;
        loop {
            match self.try_change(&mut plan) {
                Err(Fault::Missing(at)) => {
                    self.reader.node(&at)?;
                }
                other => return Ok(other?),
            }
        }
    }

    /// The same, but gives up when a node is missing: for callers that hold a lock of their own.
    pub(crate) fn try_change<T>(&self, plan: Plan<'_, T>) -> Result<T, Fault> {
        let source = self.reader.cached();
        let mut work = self.work.write();
        let (batch, answer) = plan(TreeView {
            tree: &work.tree,
            source: &source,
        })?;
        if !batch.is_empty() {
            let mut bytes = Vec::with_capacity(batch.len() * 64);
            encode_batch(&batch, &mut bytes);
            work.apply(&source, batch)?;
            self.stage.append(Frame::Batch(&bytes));
            // With the tree still locked: a reader of both sees both.
            self.touched();
        }
        Ok(answer)
    }

    /// Names the file in an error about its records, and keeps the error for `status`.
    pub(crate) fn explain<T>(&self, ino: Ino, result: Result<T>) -> Result<T> {
        let Err(Error::Damaged(why)) = result else {
            return result;
        };
        let path = self.look(|look| look.path(ino)).map_or_else(
            |_| format!("inode {ino}"),
            |path| String::from_utf8_lossy(&path).into_owned(),
        );
        let message = format!("{path}: {why}");
        self.forget_solved();
        self.problems.add_damage(message.clone());
        Err(Error::Damaged(message))
    }

    /// Takes back what was told of records that can be read again.
    pub(crate) fn forget_solved(&self) {
        let whole = self.packs.suspects().cleared();
        if !whole.is_empty() {
            self.problems.whole_again(&whole);
        }
    }

    pub(crate) fn pin(&self, ino: Ino) {
        *self.pins.lock().entry(ino).or_insert(0) += 1;
    }

    /// Takes pins away; whether none is left.
    pub(crate) fn unpin(&self, ino: Ino, count: u64) -> bool {
        let mut pins = self.pins.lock();
        match pins.get_mut(&ino) {
            Some(left) if *left > count => {
                *left -= count;
                false
            }
            Some(_) => {
                pins.remove(&ino);
                true
            }
            None => true,
        }
    }

    pub(crate) fn is_pinned(&self, ino: Ino) -> bool {
        self.pins.lock().contains_key(&ino)
    }

    /// A fresh inode number.
    pub(crate) fn number(&self) -> Result<Ino> {
        loop {
            {
                let mut numbers = self.numbers.lock();
                if let Some(range) = numbers.range
                    && numbers.used < 1 << RANGE_SHIFT
                {
                    numbers.used += 1;
                    return Ok(range << RANGE_SHIFT | (numbers.used - 1));
                }
            }
            // Two threads may draw at once; the range of one is not used then.
            let range = Some(self.draw()?);
            *self.numbers.lock() = Numbers { range, used: 0 };
        }
    }

    fn draw(&self) -> Result<u64> {
        let mut owner = [0; 16];
        random_bytes(&mut owner)?;
        loop {
            let mut bytes = [0; 8];
            random_bytes(&mut bytes)?;
            let range = u64::from_le_bytes(bytes) % RANGE_MAX;
            if range < RANGE_MIN {
                continue;
            }
            let key = Key::range(range);
            let free = self.change(|look| {
                if look.tree.get(look.source, &key)?.is_some() {
                    return Ok((Batch::new(), false));
                }
                Ok((vec![(key.clone(), Some(Value::Range(owner)))], true))
            })?;
            if free {
                return Ok(range);
            }
        }
    }

    /// How many bytes wait to be published, about.
    pub(crate) fn unpublished(&self) -> u64 {
        self.files.dirty_bytes() as u64
    }
}

/// Inodes that a batch removes or gives a name, and those that it leaves without one.
fn nameless(batch: &Batch) -> (Vec<Ino>, Vec<Ino>) {
    let mut gone = Vec::new();
    let mut orphans = Vec::new();
    for (key, value) in batch {
        match (key.tag, value) {
            (Tag::Inode, Some(Value::Inode(inode))) if inode.nlink == 0 => orphans.push(key.ino),
            (Tag::Inode, _) => gone.push(key.ino),
            _ => {}
        }
    }
    (gone, orphans)
}

/// Whether a batch leaves an inode without a name.
pub(crate) fn leaves_nameless(batch: &Batch) -> bool {
    !nameless(batch).1.is_empty()
}

/// A change of one inode.
pub(crate) fn put_inode(ino: Ino, inode: Inode) -> (Key, Option<Value>) {
    (Key::inode(ino), Some(Value::Inode(Arc::new(inode))))
}

#[cfg(test)]
mod tests;
