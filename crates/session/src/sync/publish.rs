//! Publishing: from this computer to the store, and other computers' changes from there.
//!
//! What always holds here: the pointer moves last, when everything it leads to is on the store; the
//! stage's segments go only when the store has what they say. A head that another computer has moved
//! is merged first.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use safeos_account::{Error as AccountError, Head, PreparedHead};
use safeos_record::{Address, Chunk, MAX_CHUNK_SIZE};
use safeos_store::Store;
use safeos_telemetry::metrics::{SESSIONS, Work};
use safeos_telemetry::{event, failpoint, span};
use safeos_tree::{
    Batch, Commit, Key, Naming, PackSink, PackedObject, SnapshotItem, Tag, Tree, Value, diff,
    merge, seal_tree,
};

use crate::clock::precise;
use crate::local::Seen;
use crate::packs::Packs;
use crate::sync::alongside::alongside;
use crate::sync::publisher::Publisher;
use crate::sync::sync_base::{Ours, SyncBase};
use crate::time::utc;
use crate::worktree::Checkpoint;
use crate::worktree::home::Home;
use crate::{Change, Error, Ino, Progress, Published, Result, Step};

/// How often a head that keeps moving is merged before the next timer has its turn.
const TRIES_MAX: usize = 16;
/// After so many merges that other writes overtook, writers are blocked during the next.
const QUICK_TRIES_MAX: usize = 8;
/// How often data written meanwhile is packed too before a commit is made.
const FLUSHES_MAX: usize = 4;
/// How often a tree is sealed of which the store has lost nodes.
const SEALS_MAX: usize = 3;

/// A head's chunk that was put longer ago is looked for before the pointer moves.
const HEAD_AGE_MAX: Duration = Duration::from_secs(20);

/// What is known of the account's pointer before a publish.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing that may be relied on: it is looked up.
    Nothing,
    /// What the store has told since is true enough.
    Told,
    /// The same, and it was looked at just now and had not moved: where there is something to publish, it is looked at again
    /// only when it is moved.
    NotMoved,
}

/// The problem that is reported when noting fails.
const NOTING: &str = "noting on this computer what is published";

impl Publisher<'_> {
    /// Merges what others published and publishes what is new here.
    pub(crate) fn publish(
        &self,
        sync_base: &mut SyncBase,
        progress: &dyn Progress,
    ) -> Result<Published> {
        self.publish_told(sync_base, Known::Nothing, progress)
    }

    /// The same where something is known of the pointer. A person who asks for a publish has the store looked at.
    pub(crate) fn publish_told(
        &self,
        sync_base: &mut SyncBase,
        known: Known,
        progress: &dyn Progress,
    ) -> Result<Published> {
        let _span = span!(INFO, "publish");
        let started = Instant::now();
        let outcome = match self.publish_now(sync_base, known, progress) {
            // The advice is another one than to somebody who signs in.
            Err(Error::Account(AccountError::Retired)) => Err(Error::PasswordChanged),
            outcome => outcome,
        };
        SESSIONS.worked(Work::Publish, outcome.is_ok(), started.elapsed());
        match &outcome {
            Ok(published) => event!(
                INFO,
                "published",
                changed = published.changed,
                records = published.records,
                bytes = published.bytes,
                conflicts = published.conflicts.len(),
            ),
            Err(error) => event!(WARN, "publishing failed", error = error.code()),
        }
        outcome
    }

    fn publish_now(
        &self,
        sync_base: &mut SyncBase,
        known: Known,
        progress: &dyn Progress,
    ) -> Result<Published> {
        let store = self.sync.home.packs().store();
        let before = self.sync.home.packs().counted();
        self.dial_ahead(store);
        let mut published = Published::default();
        let say = |what: &str| {
            progress.step(Step {
                what: what.into(),
                done: 0,
                total: 0,
                unit: String::new(),
            });
        };
        let mut moved = None;
        let mut look = known != Known::NotMoved
            || sync_base.apart.is_some()
            || self.sync.news.has_moved()
            || !self.has_changes(sync_base);
        for _ in 0..TRIES_MAX {
            if progress.stopped() {
                return Err(Error::Stopped);
            }
            failpoint!("publish: looking for others", Error::injected);
            let theirs = if look {
                say("looking for changes of other computers");
                let told = self.sync.news.take();
                let told = told.filter(|_| known != Known::Nothing);
                self.account.fetch_head_told(store, &sync_base.head, told)?
            } else {
                None
            };
            if let Some(theirs) = theirs {
                say("merging");
                self.sync.flush();
                published.conflicts.extend(self.absorb(sync_base, theirs)?);
                failpoint!("publish: merged", Error::injected);
                self.sync.home.packs().bring_back_own()?;
                self.sync.home.packs().upload(&BTreeSet::new(), progress)?;
            }
            moved = None;
            if !self.has_changes(sync_base) {
                break;
            }
            say("packing");
            match self.commit(sync_base, progress) {
                Err(Error::Account(error @ AccountError::HeadMoved { .. })) => moved = Some(error),
                done => {
                    published.changed = done?;
                    break;
                }
            }
            look = true;
        }
        // Others were faster each time: nothing is published, and that is to be known.
        if let Some(moved) = moved {
            return Err(moved.into());
        }
        let after = self.sync.home.packs().counted();
        published.records = after.0 - before.0;
        published.bytes = after.1 - before.1;
        Ok(published)
    }

    fn has_changes(&self, sync_base: &SyncBase) -> bool {
        sync_base.apart.is_some()
            || self.sync.home.changes() != sync_base.changes
            || !self.sync.home.is_flushed()
    }

    /// The same, and the stage then has no earlier frames: they are published even where nothing that a
    /// person can see has changed.
    pub(crate) fn publish_all(
        &self,
        sync_base: &mut SyncBase,
        progress: &dyn Progress,
    ) -> Result<Published> {
        let mut published = self.publish(sync_base, progress)?;
        if !published.changed && self.sync.home.stage().bytes() > 0 {
            published.changed = self.commit_always(sync_base, progress)?;
        }
        Ok(published)
    }

    /// Publishes the tree as it is now, if it differs from the published one.
    fn commit(&self, sync_base: &mut SyncBase, progress: &dyn Progress) -> Result<bool> {
        let home = &*self.sync.home;
        if sync_base.apart.is_some() {
            return self.commit_always(sync_base, progress);
        }
        home.flush_all()?;
        let (now_tree, now_changes) = home.tree();
        if home.is_flushed() && !self.differs(&sync_base.tree, &now_tree)? {
            sync_base.changes = now_changes;
            return Ok(false);
        }
        drop(now_tree);
        self.commit_always(sync_base, progress)
    }

    fn commit_always(&self, sync_base: &mut SyncBase, progress: &dyn Progress) -> Result<bool> {
        let home = &*self.sync.home;
        // Also a head is a record to which nothing refers until the pointer moves.
        home.packs().hold_anyway()?;
        for _ in 0..SEALS_MAX {
            // Data that is still in memory then is in this commit by its length only: as little as can be.
            for _ in 0..FLUSHES_MAX {
                if home.is_flushed() {
                    break;
                }
                home.flush_all()?;
            }
            let checkpoint = self.freeze(sync_base)?;
            failpoint!("publish: frozen", Error::injected);
            home.keep_after(&checkpoint)?;
            let (segment, changes) = (checkpoint.segment(), checkpoint.changes());
            let tree = checkpoint.into_tree(home.reader())?;
            failpoint!("publish: sealing", Error::injected);
            let root = seal_tree(&tree, home.reader().keys(), &mut Sink(home.packs()))?;
            let new = self.new_packs(sync_base, &tree)?;
            if !self.see_that_all_is_there(sync_base, &tree, &new)? {
                continue;
            }
            let new = new.all();
            let mut parents = vec![sync_base.head.address()];
            parents.extend(sync_base.merged.filter(|merged| !parents.contains(merged)));
            let commit = Commit {
                time: precise().max(0) as u64,
                computer: self.sync.computer.clone(),
                parents,
                stage: home.stage().id(),
                stage_segment: segment,
                added_bytes: home.packs().counted().1 + home.packs().upload_bytes(&new)?
                    - sync_base.bytes,
                totals: tree.totals(),
                root,
            };
            let head = self.prepare_head(sync_base, &commit.encode())?;
            failpoint!("publish: uploading", Error::injected);
            self.upload(&new, &head, progress)?;
            failpoint!("publish: uploaded", Error::injected);
            let head = head.point(home.packs().store())?;
            failpoint!("publish: the head is set", Error::injected);
            home.packs().count(std::slice::from_ref(head.chunk()));
            self.moved(sync_base, head, tree, changes)?;
            failpoint!("publish: noted", Error::injected);
            home.stage().forget(segment)?;
            return Ok(true);
        }
        Err(Error::Damaged(
            "the store loses records while they are published".into(),
        ))
    }

    fn prepare_head(&self, sync_base: &SyncBase, commit: &[u8]) -> Result<PreparedHead> {
        let (newest, counter) = match &sync_base.apart {
            None => (&sync_base.head, 0),
            Some(apart) => (&apart.newest, apart.counter),
        };
        let account = &self.account;
        Ok(account.prepare_head(commit, newest, &sync_base.head, counter)?)
    }

    /// Has the connections for a large upload made while it is prepared.
    fn dial_ahead(&self, store: &dyn Store) {
        let home = &self.sync.home;
        let packs = (home.unpublished() + home.packs().waiting_bytes()) / MAX_CHUNK_SIZE as u64;
        if packs > 1
            && let Some(transport) = store.transport()
        {
            let packs = usize::try_from(packs).unwrap_or(usize::MAX);
            transport.dial_ahead(packs.min(store.puts_at_once()));
        }
    }

    /// Brings to the store all that the pointer will lead to. Over a line the packs and the head's chunk are on their way
    /// at once.
    fn upload(
        &self,
        new: &BTreeSet<Address>,
        head: &PreparedHead,
        progress: &dyn Progress,
    ) -> Result<()> {
        let packs = self.sync.home.packs();
        let put_head = || {
            let chunk = std::slice::from_ref(head.chunk());
            Ok::<_, Error>(packs.store().put_chunks(chunk)?)
        };
        let traits = packs.store().traits();
        // Where it is paid for, a head whose packs do not arrive would be paid for in vain.
        if traits.paid || traits.local || new.is_empty() {
            packs.upload(new, progress)?;
            return put_head();
        }
        let began = Instant::now();
        let (put, uploaded) = alongside(put_head, || packs.upload(new, progress));
        uploaded.and(put)?;
        // A store may have been put back since, and the pointer that the backup has may be the one that is known.
        let is_old = began.elapsed() > HEAD_AGE_MAX;
        let is_there = || packs.store().has_chunks(&[head.chunk().address()]);
        match is_old && is_there()? == [false] {
            true => put_head(),
            false => Ok(()),
        }
    }

    /// Whether anything a person can see differs.
    fn differs(&self, base: &Tree, now: &Tree) -> Result<bool> {
        let mut found = false;
        let outcome = diff(base, now, &**self.sync.home.reader(), &mut |key, _, _| {
            found = !matches!(key.tag, Tag::Snapshot | Tag::Range);
            // An error ends the walk; there is nothing more to learn.
            if found {
                Err(safeos_tree::Error::Format("it differs"))
            } else {
                Ok(())
            }
        });
        if found {
            Ok(true)
        } else {
            Ok(outcome.map(|()| false)?)
        }
    }

    /// Takes note of a new head.
    fn moved(&self, sync_base: &mut SyncBase, head: Head, tree: Tree, changes: u64) -> Result<()> {
        let home = &*self.sync.home;
        home.release_stored();
        home.packs().published();
        // Open files without a name are in no tree that is published.
        if !home.has_orphans() {
            home.packs().let_needless_go();
        }
        sync_base.merged = None;
        sync_base.apart = None;
        sync_base.head = head;
        sync_base.tree = tree;
        sync_base.changes = changes;
        sync_base.bytes = home.packs().counted().1;
        self.note(&sync_base.head)
    }

    /// Remembers on this computer what it has seen.
    pub(crate) fn note(&self, head: &Head) -> Result<()> {
        let seen = Seen {
            counter: head.counter(),
            head: head.address(),
            commit: head.commit().to_vec(),
        };
        let noted = self
            .sync
            .local
            .set_seen(self.account.home_key(), &seen)
            .and_then(|()| match self.sync.remember {
                true => self.sync.local.remember(head.pointer(), head.chunk()),
                false => Ok(()),
            });
        let problems = self.sync.home.problems();
        problems.solved(NOTING);
        match noted {
            // The publish is valid without a note of it here, and a read-only home stays open.
            Err(error) if error.is_of_disk() => problems.add(format!("{NOTING}: {error}")),
            noted => noted?,
        }
        Ok(())
    }

    /// Takes everything of one moment.
    fn freeze(&self, sync_base: &SyncBase) -> Result<Checkpoint> {
        let home = &*self.sync.home;
        self.list_state(
            sync_base.head.address(),
            &Commit::decode(sync_base.head.commit())?,
        )?;
        if let Some(apart) = sync_base
            .apart
            .as_ref()
            .filter(|apart| apart.chunk.is_some())
        {
            self.list_state(apart.ours.address, &apart.ours.commit)?;
        }
        home.checkpoint(&sync_base.head.address())
    }

    /// Has the home's list of states name this one.
    fn list_state(&self, head: Address, commit: &Commit) -> Result<()> {
        let item = Value::Snapshot(Arc::new(SnapshotItem {
            head,
            computer: commit.computer.as_str().into(),
            added_bytes: commit.added_bytes,
        }));
        self.sync.home.change(|look| {
            // Two heads of the same nanosecond: the later one stands behind.
            let mut time = commit.time;
            loop {
                match look.tree.get(look.source, &Key::snapshot(time))? {
                    Some(Value::Snapshot(there)) if there.head == head => {
                        return Ok((Batch::new(), ()));
                    }
                    Some(_) => time += 1,
                    None => break,
                }
            }
            Ok((vec![(Key::snapshot(time), Some(item.clone()))], ()))
        })
    }

    /// Merges a head that another computer has published. The names of conflicting versions.
    pub(crate) fn absorb(&self, sync_base: &mut SyncBase, theirs: Head) -> Result<Vec<String>> {
        let ours = Ours::published(&sync_base.head)?;
        self.absorb_into(sync_base, ours, theirs)
    }

    /// The same for a state that goes on from `ours`, whose base is the tree of `sync_base`.
    pub(crate) fn absorb_into(
        &self,
        sync_base: &mut SyncBase,
        own: Ours,
        theirs: Head,
    ) -> Result<Vec<String>> {
        let _span = span!(INFO, "merge");
        let began = Instant::now();
        let merged = self.absorb_now(sync_base, own, theirs);
        SESSIONS.worked(Work::Merge, merged.is_ok(), began.elapsed());
        merged
    }

    fn absorb_now(&self, sync_base: &mut SyncBase, own: Ours, theirs: Head) -> Result<Vec<String>> {
        let home = &*self.sync.home;
        failpoint!("merge: beginning", Error::injected);
        let their_tree = Commit::decode(theirs.commit())?.tree()?;
        let base = self.base(sync_base, &own, &theirs)?;
        let _whole = home.hold_building();
        let started = Instant::now();
        let (mut conflicts, changed, local);
        let mut tries = 0;
        loop {
            // After QUICK_TRIES_MAX attempts writers are blocked; the nodes that the merge reads are in memory by then.
            let _waiting = (tries >= QUICK_TRIES_MAX).then(|| home.hold_changes());
            tries += 1;
            home.flush_all()?;
            let (ours, changes) = home.tree();
            let merged = merge(
                base.tree(sync_base),
                &ours,
                &their_tree,
                &**home.reader(),
                &mut Names {
                    home,
                    computer: &self.sync.computer,
                },
            )?;
            conflicts = merged
                .conflicts
                .iter()
                .map(|conflict| {
                    let path = String::from_utf8_lossy(&conflict.path);
                    match &conflict.copy {
                        Some(copy) => format!("{path} → {}", String::from_utf8_lossy(copy)),
                        None => path.into_owned(),
                    }
                })
                .collect();
            failpoint!("merge: taking over", Error::injected);
            let more = sync_base.changes != changes || base.is_apart();
            let whole = (!more).then_some(&their_tree);
            if !home.take_over(&ours, &merged.batch, whole)? {
                if started.elapsed().as_secs() > 60 {
                    return Err(Error::TooQuick);
                }
                continue;
            }
            if !more {
                // Taking over is a change too. Changes after it count as new.
                sync_base.changes = changes + 1;
            }
            home.forget_owners();
            (changed, local) = (changes_of(&merged.batch), more);
            break;
        }
        failpoint!("merge: taken over", Error::injected);
        for change in changed {
            self.sync.tell(change);
        }
        self.follow(sync_base, own, theirs, their_tree, &base, local)?;
        for conflict in &conflicts {
            home.problems().add(format!(
                "changed here and on another computer; both versions are kept: {conflict}"
            ));
        }
        Ok(conflicts)
    }
}

/// The changes that a front has to forget after a batch.
fn changes_of(batch: &Batch) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for (key, _) in batch {
        let change = match key.tag {
            Tag::Entry => Change::Entry(key.ino, key.name.to_vec()),
            Tag::Inode | Tag::Xattr | Tag::Block => Change::Node(key.ino),
            Tag::Snapshot | Tag::Range => continue,
        };
        if changes.last() != Some(&change) {
            changes.push(change);
        }
    }
    changes
}

struct Sink<'a>(&'a Packs);

impl PackSink for Sink<'_> {
    fn pack(&mut self, chunk: Chunk, _: &[PackedObject]) -> safeos_tree::Result<()> {
        self.0.put_nodes(chunk)
    }
}

struct Names<'a> {
    home: &'a Home,
    computer: &'a str,
}

impl Naming for Names<'_> {
    fn fresh_ino(&mut self) -> safeos_tree::Result<Ino> {
        self.home
            .number()
            .map_err(|_| safeos_tree::Error::Format("no inode number is to be had"))
    }

    fn in_use(&self, ino: Ino) -> bool {
        self.home.is_pinned(ino)
    }

    fn suffix(&self) -> String {
        let time = utc(precise()).replace(':', ".");
        // Computers may have one host name, as copies of one installation have; sessions never have one stage.
        let id = self.home.stage().id();
        format!(
            "conflict, {} {:02x}{:02x}, {}",
            self.computer,
            id[0],
            id[1],
            &time[..19].replace('T', " ")
        )
    }
}
