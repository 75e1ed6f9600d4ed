//! Collection: removing records that nothing refers to any more.
//!
//! What always holds here: nothing is removed while another computer is on the list of those at work (see
//! [`lease::list`](crate::lease::list)), whether it is signed in, was signed out with something kept, or has crashed;
//! the list and the head are read again before every few removals.

use std::time::{Duration, Instant};

use safeos_account::Account;
use safeos_record::{Address, Chunk};
use safeos_store::{Entry as Listed, Error as StoreError, Kind, Store};
use safeos_telemetry::metrics::{SESSIONS, Work};
use safeos_telemetry::{event, failpoint, span};
use safeos_tree::{Commit, directory};

use crate::admin::maintain::Reached;
use crate::clock::precise;
use crate::lease::Lease;
use crate::lease::list::{Doing, Entry, List};
use crate::packs::in_use::Watch;
use crate::session::open::waiting_packs;
use crate::sync::attempt::Told;
use crate::sync::sync_base::SyncBase;
use crate::time::utc;
use crate::{AtWork, Collected, Error, Progress, Result, Session, Step};

/// How many records are listed with one call.
const LIST_AT_ONCE: usize = 4096;
/// So many records are removed, or for so long, before the list and the head are read again.
const REMOVED_UNSEEN_MAX: usize = 32;
const UNSEEN_MAX: Duration = Duration::from_secs(2);
/// How often a collection starts again when others publish meanwhile.
const ROUNDS_MAX: usize = 8;

impl Session {
    /// Removes this account's packs and heads that no published state refers to, and nothing that is in use here or
    /// on another computer. Records of others on the same store are left alone: only records that open with this home's
    /// key are considered.
    pub fn collect(&self, dry_run: bool, progress: &dyn Progress) -> Result<Collected> {
        self.collect_without(dry_run, None, progress)
    }

    /// The same; a computer called `lost` will not come back, and records that only it needs go too.
    pub fn collect_without(
        &self,
        dry_run: bool,
        lost: Option<&str>,
        progress: &dyn Progress,
    ) -> Result<Collected> {
        let _span = span!(INFO, "collect");
        let started = Instant::now();
        let outcome = self
            .sync
            .accompanied(progress, |told| self.collect_in(told, dry_run, lost));
        SESSIONS.worked(Work::Collect, outcome.is_ok(), started.elapsed());
        match &outcome {
            Ok(collected) => event!(
                INFO,
                "collected",
                dry_run = dry_run,
                records = collected.records,
                bytes = collected.bytes,
                kept = collected.kept_records,
            ),
            Err(error) => event!(WARN, "collecting failed", error = error.code()),
        }
        outcome
    }

    fn collect_in(
        &self,
        progress: &Told<'_>,
        dry_run: bool,
        lost: Option<&str>,
    ) -> Result<Collected> {
        // Nothing is published during the collection.
        let mut sync_base = self.sync.sync_base(progress)?;
        let watch = self.sync.home().packs().watch();
        // A thread that has put or found a pack before that has told the tree then.
        self.sync.home().wait_for_flushes();
        // Where nothing can be listed nothing else is begun.
        self.sync.home().packs().store().list(None, 1)?;
        // Writers of this computer are on the list already. A store that is full is collected without.
        if !dry_run {
            self.sync.home().packs().hold_anyway()?;
        }
        let mut collected = Collected::default();
        for _ in 0..ROUNDS_MAX {
            let published = self
                .sync
                .publish_from(&mut sync_base, |publisher, sync_base| {
                    publisher.publish_all(sync_base, progress)
                });
            let is_all_published = match published {
                // There may be room when something is removed; waiting changes are kept.
                Err(error) if error.is_of_disk() && sync_base.apart.is_none() => false,
                published => published.map(|_| true)?,
            };
            failpoint!("collect: claiming", Error::injected);
            let claim = Claim::take(
                self.sync.lease(),
                self.sync.home().packs().store(),
                dry_run,
                lost,
            )?;
            failpoint!("collect: claimed", Error::injected);
            let account = self.sync.account().read().clone();
            let sweep = Sweep {
                session: self,
                account: &account,
                sync_base: &sync_base,
                watch: &watch,
                claim: &claim,
                is_all_published,
                progress,
            };
            // A publish before the claim is seen now; a publisher that comes later sees the claim.
            if sweep.is_still_newest()? && sweep.run(&mut collected)? {
                return Ok(collected);
            }
        }
        Err(safeos_account::Error::HeadMoved { current: None }.into())
    }
}

/// This computer on the list as one that collects, until it is dropped.
struct Claim<'a> {
    lease: &'a Lease,
    store: &'a dyn Store,
    /// As it is with the claim.
    list: List,
    is_made: bool,
    /// Nothing is removed: other computers are at work, or this is a dry run.
    only_looks: bool,
}

impl<'a> Claim<'a> {
    fn take(
        lease: &'a Lease,
        store: &'a dyn Store,
        dry_run: bool,
        lost: Option<&str>,
    ) -> Result<Self> {
        let is_lost = |entry: &Entry| {
            entry.doing == Doing::Working
                && entry.id != lease.id
                && lost.is_some_and(|name| entry.computer == name)
        };
        let mut list = lease.leases.read(store)?;
        if lost.is_some() && !list.entries.iter().any(is_lost) {
            return Err(Error::Invalid(
                "no computer of that name is at work on this home; `safe store gc --dry-run` says which are",
            ));
        }
        let mut is_made = false;
        if dry_run || store.traits().paid {
            list.entries.retain(|entry| !is_lost(entry));
        } else {
            let time = precise().max(0) as u64;
            let made = lease.leases.change(store, |list| {
                let before = list.entries.len();
                list.entries.retain(|entry| !is_lost(entry));
                is_made = list.others(&lease.id).next().is_none();
                if is_made {
                    // Two collections do no harm to each other; an entry of an interrupted one blocks nothing.
                    list.entries
                        .retain(|entry| entry.doing != Doing::Collecting);
                    list.entries.push(Entry {
                        doing: Doing::Collecting,
                        id: lease.id,
                        since: time,
                        renewed: time,
                        computer: lease.computer.clone(),
                    });
                }
                is_made || list.entries.len() != before
            });
            match made {
                Ok(made) => list = made,
                // The collection runs because the store is full. A computer that comes changes the list, which is
                // noticed.
                Err(StoreError::Full { .. }) => {
                    is_made = false;
                    list.entries.retain(|entry| !is_lost(entry));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Self {
            lease,
            store,
            only_looks: dry_run || list.others(&lease.id).next().is_some(),
            list,
            is_made,
        })
    }

    /// Whether other computers are at work.
    fn has_others(&self) -> bool {
        self.list.others(&self.lease.id).next().is_some()
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if !self.is_made {
            return;
        }
        let id = &self.lease.id;
        // If it stays, the next computer that comes waits for it once.
        let given = self
            .lease
            .leases
            .change(self.store, |list| list.remove(Doing::Collecting, id));
        if let (Ok(_), Some(chunk)) = (given, self.list.chunk) {
            drop(self.store.delete_chunks(&[chunk]));
        }
    }
}

/// One way through the store.
struct Sweep<'a> {
    session: &'a Session,
    account: &'a Account,
    sync_base: &'a SyncBase,
    watch: &'a Watch<'a>,
    claim: &'a Claim<'a>,
    /// Otherwise there was no room for it.
    is_all_published: bool,
    progress: &'a dyn Progress,
}

/// The state of a record, for a collection.
enum Found {
    /// Another's, or in use.
    Other,
    /// A list of computers at work that was replaced.
    OldList,
    Forgotten,
}

impl Sweep<'_> {
    fn store(&self) -> &dyn Store {
        self.session.sync.home().packs().store()
    }

    fn is_still_newest(&self) -> Result<bool> {
        let newer = self
            .account
            .fetch_head_after(self.store(), &self.sync_base.head)?;
        Ok(newer.is_none())
    }

    /// Removes the garbage. Returns `false` if others have published meanwhile: the records in use must be looked up
    /// again.
    fn run(&self, collected: &mut Collected) -> Result<bool> {
        let session = self.session;
        let mut reached = session.reach(self.progress)?;
        // Files without a name that are in use, and writes since.
        let working = session.sync.home().tree().0;
        reached.add(&working, &**session.reader(), "what is not published")?;
        if !self.is_all_published {
            let packs = session.sync.home().packs();
            let mut unpublished = packs.unpublished().all();
            // Packs of this computer can be uploaded again, if they are needed.
            unpublished.retain(|pack| match self.claim.only_looks {
                true => !packs.is_remote() || !packs.is_here(pack),
                false => !packs.keep_here(pack),
            });
            reached.packs.extend(unpublished);
            reached.add(
                &self.sync_base.tree,
                &**session.reader(),
                "what is published",
            )?;
            if let Some(merged) = self.sync_base.merged {
                let head = self.store().get_chunk(&merged)?;
                let commit = Commit::decode(&self.account.open_head(&head)?)?;
                reached.heads.insert(merged);
                reached.add(&commit.tree()?, &**session.reader(), "what was merged")?;
            }
        }
        if session.sync.home().stage().refusal().is_some() {
            let waiting = waiting_packs(session.sync.local(), self.account)?;
            reached.packs.extend(waiting);
        }
        if !reached.damaged.is_empty() {
            return Err(Error::Damaged(format!(
                "nothing is removed while the history is damaged: {}",
                reached.damaged[0]
            )));
        }
        failpoint!("collect: all is reached", Error::injected);
        let mut unseen = REMOVED_UNSEEN_MAX;
        let mut looked = Instant::now();
        let mut after = None;
        loop {
            let entries = self.store().list(after, LIST_AT_ONCE)?;
            let Some(last) = entries.last() else {
                break;
            };
            after = Some((last.kind, last.address));
            for entry in entries {
                if self.progress.stopped() {
                    return Err(Error::Stopped);
                }
                let found = self.look_at(&entry, &reached)?;
                if matches!(found, Found::Other) {
                    continue;
                }
                if !self.claim.only_looks
                    && (unseen >= REMOVED_UNSEEN_MAX || looked.elapsed() >= UNSEEN_MAX)
                {
                    let (lease, list) = (self.claim.lease, &self.claim.list);
                    if !lease.leases.is_as(self.store(), list)? {
                        return self.somebody_came(collected);
                    }
                    if !self.is_still_newest()? {
                        return Ok(false);
                    }
                    (unseen, looked) = (0, Instant::now());
                }
                unseen += 1;
                failpoint!("collect: removing", Error::injected);
                self.remove(&entry, &found, collected)?;
                failpoint!("collect: removed", Error::injected);
            }
        }
        self.name_others(&self.claim.list, collected);
        Ok(true)
    }

    fn look_at(&self, entry: &Listed, reached: &Reached) -> Result<Found> {
        let address = entry.address;
        let (current, list) = (self.sync_base.head.address(), &self.claim.list);
        if entry.kind != Kind::Chunk
            || address == current
            || Some(address) == list.chunk
            || reached.packs.contains(&address)
            || reached.heads.contains(&address)
        {
            return Ok(Found::Other);
        }
        let Ok(chunk) = self.store().get_chunk(&address) else {
            return Ok(Found::Other);
        };
        if directory(self.session.reader().keys(), chunk.bytes()).is_ok() {
            return Ok(Found::Forgotten);
        }
        if let Some(counter) = self.claim.lease.leases.counter_of(&chunk) {
            // A newer list belongs to a computer that is about to come.
            return Ok(match counter <= list.counter {
                true => Found::OldList,
                false => Found::Other,
            });
        }
        Ok(match self.is_about_to_be_published(&chunk, &current)? {
            Some(false) => Found::Forgotten,
            _ => Found::Other,
        })
    }

    /// Whether a head was put just now and its pointer follows; `None` for a record that is no head of this home.
    fn is_about_to_be_published(&self, chunk: &Chunk, current: &Address) -> Result<Option<bool>> {
        let Ok(bytes) = self.account.open_head(chunk) else {
            return Ok(None);
        };
        let is_same = bytes == self.sync_base.head.commit();
        let follows = Commit::decode(&bytes).is_ok_and(|commit| commit.parents.contains(current));
        Ok(Some(is_same || follows))
    }

    fn remove(&self, entry: &Listed, found: &Found, collected: &mut Collected) -> Result<()> {
        let address = entry.address;
        let is_old_list = matches!(found, Found::OldList);
        let remove = || match self.claim.only_looks {
            true => Ok(()),
            false => self.store().delete_chunks(&[address]).map(drop),
        };
        if !self.watch.unless_in_use(&address, remove)? || is_old_list {
            return Ok(());
        }
        if self.claim.has_others() {
            collected.kept_records += 1;
            collected.kept_bytes += entry.len;
        } else {
            collected.records += 1;
            collected.bytes += entry.len;
        }
        self.progress.step(Step {
            what: "collecting".into(),
            done: collected.records + collected.kept_records,
            total: 0,
            unit: "records".into(),
        });
        Ok(())
    }

    /// The list of computers at work has changed.
    fn somebody_came(&self, collected: &mut Collected) -> Result<bool> {
        let list = self.claim.lease.leases.read(self.store())?;
        if list.others(&self.claim.lease.id).next().is_none() {
            // Has come and gone: its publish is to be looked up.
            return Ok(false);
        }
        self.name_others(&list, collected);
        Ok(true)
    }

    fn name_others(&self, list: &List, collected: &mut Collected) {
        let text = |time: u64| match time {
            0 => String::new(),
            time => utc(i128::from(time)),
        };
        collected.at_work = list
            .others(&self.claim.lease.id)
            .map(|entry| AtWork {
                computer: entry.computer.clone(),
                since: text(entry.since),
                last: text(entry.renewed),
            })
            .collect();
    }
}
