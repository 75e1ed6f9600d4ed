//! The session: an account unlocked on one computer, from sign-in to sign-out.
//!
//! What always holds here: after sign-out every volume of a session answers [`Error::Ended`]; the changes that
//! [`Session::publish`] reported are on the store.

pub(crate) mod open;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::lock::{Mutex, MutexGuard};
use safeos_account::{RecoveryKey, Secret};
use safeos_store::Store;
use safeos_tree::{Commit, Key, ObjectRef, Reader, Tag, Value};

use crate::failure::Fault;
use crate::sync::background::Background;
use crate::sync::synchronizer::Synchronizer;
use crate::time::{snapshot_name, utc};
use crate::worktree::frozen::Frozen;
use crate::worktree::tree_view::TreeView;
use crate::{Change, Error, Limits, Progress, Published, Result, Snapshot, Status, Volume};

/// How many names of the home's own folder are looked at before a session is shown.
const FIRST_NAMES: usize = 16;

/// How often a sign-out checks whether another one under way has ended.
const LEAVING_EVERY: Duration = Duration::from_millis(20);

/// How to open a session.
pub struct Options {
    /// The store that holds the account.
    pub store: Arc<dyn Store>,
    /// The folder for local state (`SAFE_STATE`).
    pub state: PathBuf,
    /// User and group of the person on this computer: the person's nodes are shown as theirs.
    pub owner: (u32, u32),
    /// Keep what is needed to sign in offline and to start warm.
    pub remember: bool,
    /// Accept a head older than one this computer has seen, and the loss of what a crashed session wrote into records
    /// that the store has lost.
    pub accept_older: bool,
    /// The key of the wallet that pays, for an account that is made where records are paid for.
    pub wallet: Option<Secret>,
    /// Memory and disk.
    pub limits: Limits,
}

impl Options {
    /// The options of a session that remembers nothing, accepts no older head and has no wallet.
    pub fn new(store: Arc<dyn Store>, state: impl Into<PathBuf>, owner: (u32, u32)) -> Self {
        Self {
            store,
            state: state.into(),
            owner,
            remember: false,
            accept_older: false,
            wallet: None,
            limits: Limits::default(),
        }
    }
}

/// An account unlocked on this computer, from sign-in to sign-out.
pub struct Session {
    pub(crate) sync: Arc<Synchronizer>,
    ended: Arc<AtomicBool>,
    background: Mutex<Option<Background>>,
    /// Held during a sign-out.
    leaving: Mutex<()>,
}

impl Session {
    pub(crate) fn begin(sync: Arc<Synchronizer>) -> Result<Arc<Self>> {
        let background = Background::start(&sync)?;
        Ok(Arc::new(Self::with(sync, Some(background))))
    }

    /// A session that does nothing by itself.
    #[cfg(all(test, feature = "shuttle"))]
    pub(crate) fn idle(sync: Arc<Synchronizer>) -> Self {
        Self::with(sync, None)
    }

    fn with(sync: Arc<Synchronizer>, background: Option<Background>) -> Self {
        Self {
            sync,
            ended: Arc::new(AtomicBool::new(false)),
            background: Mutex::new(background),
            leaving: Mutex::default(),
        }
    }

    /// The account's name as it was given.
    pub fn account(&self) -> String {
        self.sync.account().read().name().to_owned()
    }

    /// The home.
    pub fn home(&self) -> Result<Arc<dyn Volume>> {
        self.sync.home().alive()?;
        Ok(self.sync.home().clone())
    }

    /// Every published state, oldest first.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>> {
        let mut snapshots = self.sync.home().look(|look| {
            let mut found = Vec::new();
            look.scan(Key::snapshot(0), Tag::Snapshot, &mut |key, value| {
                if let Value::Snapshot(item) = value {
                    found.push(Snapshot {
                        name: snapshot_name(key.number),
                        head: item.head.to_string(),
                        computer: item.computer.to_string(),
                        added_bytes: item.added_bytes,
                    });
                }
                ControlFlow::Continue(())
            })?;
            Ok(found)
        })?;
        let newest = self.sync.facts().newest.clone();
        if !snapshots
            .iter()
            .any(|snapshot| snapshot.head == newest.head)
        {
            snapshots.push(newest);
        }
        tell_apart(&mut snapshots);
        Ok(snapshots)
    }

    /// Reads the home's own folder, from the store if need be, and the first names in it as far as they are on this
    /// computer: an error where a session would show nothing but errors. Of a home that is opened without its store,
    /// what is not on this computer is not known.
    pub fn look_at_root(&self, progress: &dyn Progress) -> Result<()> {
        let looked = self.sync.accompanied(progress, |_| {
            self.read_root(!self.sync.facts().offline, |look| {
                look.directory(safeos_tree::ROOT)?;
                look.entries(safeos_tree::ROOT, None, 1).map(drop)
            })?;
            self.read_root(false, |look| {
                look.entries(safeos_tree::ROOT, None, FIRST_NAMES)?
                    .into_iter()
                    .try_for_each(|(_, ino)| look.inode(ino).map(drop))
            })
        });
        match looked {
            Err(Error::NotFound) => Err("it is not in the tree".to_owned()),
            Err(Error::Damaged(why)) => Err(why),
            // The store went away meanwhile: that says nothing about what is there.
            Err(error) if error.retry() => Ok(()),
            other => return other,
        }
        .map_err(|why| {
            Error::Damaged(format!(
                "the home's own folder cannot be read: {why}. Nothing was changed; `safe store check --account NAME` says what else is damaged, and a copy of the store brings it back. To look at earlier states in snapshots/ all the same, sign in with --accept-older"
            ))
        })
    }

    /// Reads something of the home; `far`: also what is not on this computer.
    fn read_root(
        &self,
        far: bool,
        read: impl Fn(&TreeView<'_>) -> Result<(), Fault>,
    ) -> Result<()> {
        let home = self.sync.home();
        let tree = home.tree().0;
        let is_here = |at: &ObjectRef| {
            let range = at.offset..at.offset.saturating_add(at.len);
            home.packs().has_part(&at.pack, &range)
        };
        loop {
            let look = TreeView {
                tree: &tree,
                source: &home.reader().cached(),
            };
            match read(&look) {
                Ok(()) => return Ok(()),
                Err(Fault::Missing(at)) if !far && !is_here(&at) => return Ok(()),
                Err(Fault::Missing(at)) => {
                    safeos_tree::Source::node(&**home.reader(), &at)?;
                }
                Err(Fault::Failed(error)) => return Err(error),
            }
        }
    }

    /// One of them as a tree.
    pub fn snapshot(&self, name: &str) -> Result<Arc<dyn Volume>> {
        Ok(self.frozen(name)?)
    }

    pub(crate) fn frozen(&self, name: &str) -> Result<Arc<Frozen>> {
        let snapshot = self
            .snapshots()?
            .into_iter()
            .find(|snapshot| snapshot.name == name)
            .ok_or(Error::NotFound)?;
        let address = snapshot.head.parse().map_err(|_| Error::NotFound)?;
        let chunk = self.sync.home().packs().store().get_chunk(&address)?;
        let commit = self.sync.account().read().open_head(&chunk)?;
        Ok(Arc::new(Frozen {
            tree: Commit::decode(&commit)?.tree()?,
            reader: self.sync.home().reader().clone(),
            owners: self.sync.home().owners_of_another_tree(),
            ended: Some(self.ended.clone()),
        }))
    }

    /// How things stand.
    pub fn status(&self) -> Status {
        let packs = self.sync.home().packs();
        let totals = self.sync.home().tree().0.totals();
        self.sync.look_at_backlog(None);
        let facts = self.sync.facts();
        let (records, _) = packs.counted();
        let unpublished = if facts.are_newest(self.sync.home().changes()) {
            0
        } else {
            (self.sync.home().unpublished()
                + self.sync.home().stage().bytes()
                + packs.waiting_bytes())
            .max(1)
        };
        self.sync.home().forget_solved();
        let mut problems = self.sync.home().problems().list();
        let stage = self.sync.home().stage();
        problems.extend(match (stage.refusal(), stage.failure()) {
            (Some(why), _) => Some(format!(
                "this home can only be read until the next sign-in: {why}"
            )),
            (None, failure) => failure.map(|error| {
                format!(
                    "the stage: {error}. What was written is only in memory until it is published"
                )
            }),
        });
        Status {
            account: self.account(),
            store: packs.store().url().to_owned(),
            offline: facts.offline,
            cached_bytes: self.reader().cached_bytes() + packs.known_bytes(),
            used_bytes: totals.bytes + self.sync.home().unpublished(),
            nodes: totals.nodes,
            unpublished_bytes: unpublished,
            waiting: (unpublished > 0).then(|| self.sync.report_backlog(unpublished)),
            records,
            cost: packs.cost(),
            published: utc(facts.published),
            problems,
        }
    }

    /// Calls `listener` for every change that did not come through the home's own methods.
    pub fn on_change(&self, listener: Box<dyn Fn(Change) + Send + Sync>) {
        self.sync.on_change(listener);
    }

    /// Calls `flusher` when writes that a system keeps back are to be in the home: before another computer's
    /// changes are merged, over which they would come later, and before the session ends.
    pub fn on_flush(&self, flusher: Box<dyn Fn() + Send + Sync>) {
        self.sync.on_flush(flusher);
    }

    /// Publishes everything written so far, after merging what other computers have published. A publish without
    /// progress ends with the failure that it meets, and is tried again in the background.
    pub fn publish(&self, progress: &dyn Progress) -> Result<Published> {
        self.sync.publish(progress)
    }

    /// Changes the password; sessions on other computers must sign in again.
    pub fn change_password(
        &self,
        old: &Secret,
        new: &Secret,
        progress: &dyn Progress,
    ) -> Result<()> {
        // Stretching takes longer than others need to publish: it comes before.
        let new = self.sync.account().read().clone().new_password(old, new)?;
        self.sync.accompanied(progress, |told| {
            let mut sync_base = self.sync.sync_base(told)?;
            let (account, head) =
                self.sync
                    .on_newest(&mut sync_base, told, |account, store, head| {
                        account.set_password(store, &new, head)
                    })?;
            let old = self.sync.account().read().address();
            sync_base.head = head;
            *self.sync.account().write() = Arc::new(account);
            self.sync.local().forget(&old)?;
            self.sync.note(&sync_base.head)
        })
    }

    /// Whether this is the password that holds.
    pub fn check_password(&self, typed: &Secret) -> Result<()> {
        let account = self.sync.account().read().clone();
        Ok(account.check_password(typed)?)
    }

    /// Has a recovery key open the account, in the place of the one there is. The person has it already, on paper or
    /// where it was made: a step that fails loses nothing. Publishes first.
    pub fn new_recovery_key(
        &self,
        password: &Secret,
        key: &RecoveryKey,
        progress: &dyn Progress,
    ) -> Result<()> {
        self.check_password(password)?;
        self.sync.accompanied(progress, |told| {
            let mut sync_base = self.sync.sync_base(told)?;
            sync_base.head =
                self.sync
                    .on_newest(&mut sync_base, told, |account, store, head| {
                        account.set_recovery_key(store, key, head)
                    })?;
            self.sync.note(&sync_base.head)
        })
    }

    /// The secret key that the account needs besides the password, if it has one.
    pub fn secret_key(&self) -> Option<Secret> {
        self.sync.account().read().secret_key()
    }

    /// Publishes, ends the session and wipes what it left on this computer (what is needed to sign in
    /// offline stays if the account is remembered, unless `wipe`). After this every volume of it answers
    /// [`Error::Ended`]. If publishing fails the session stays open, unless `keep_stage`: then the
    /// unpublished changes stay in the encrypted stage on this computer until the next sign-in.
    pub fn sign_out(
        self: &Arc<Self>,
        wipe: bool,
        keep_stage: bool,
        progress: &dyn Progress,
    ) -> Result<Published> {
        let _leaving = self.leaving(progress)?;
        self.sync.home().alive()?;
        let mut published = self.publish(progress);
        if published.is_ok() || keep_stage {
            let background = self.background.lock().take();
            if let Some(background) = background {
                background.stop();
            }
            self.sync.flush();
            self.sync.home().close();
        }
        if published.is_ok() {
            // More may have been written after that, and the background publishes no more.
            let again = self.publish(progress);
            published = again.and_then(|again| published.map(|first| first.and(again)));
        }
        if published.is_err() && !keep_stage {
            self.go_on()?;
            return published;
        }
        if published.is_err()
            && let Err(error) = self.sync.home().log_all()
        {
            self.go_on()?;
            return Err(error);
        }
        self.sync.home().end();
        self.ended.store(true, Ordering::SeqCst);
        if published.is_err() {
            return Ok(Published {
                changed: true,
                ..Published::default()
            });
        }
        if self.sync.home().stage().refusal().is_some() {
            // Waiting changes are kept, and on a read-only disk nothing is removed.
            return published;
        }
        // There are no writers any more, and nothing waits.
        self.sync.home().packs().unpublished().published();
        self.sync.home().packs().unpublished().published();
        self.sync.home().packs().let_needless_go();
        // Nothing that only this computer knows of is on the store any more. Where that cannot be said now, the next
        // session on this computer does.
        drop(self.sync.lease().release(self.sync.lease().uses()));
        if !self.sync.remembers() || wipe {
            self.sync
                .local()
                .forget(&self.sync.account().read().address())?;
        }
        self.sync
            .local()
            .clean(!self.sync.remembers() || wipe, wipe)?;
        published
    }

    /// One upload may cost so much from now on, where records are paid for.
    pub fn spend_at_most(&self, tokens: safeos_store::Amount) -> Result<()> {
        self.sync.home().alive()?;
        match self.sync.home().packs().store().wallet() {
            Some(wallet) => {
                wallet.set_limit(Some(tokens));
                Ok(())
            }
            None => Err(Error::Invalid("nothing is paid for on this store")),
        }
    }

    /// The right to sign out.
    fn leaving(&self, progress: &dyn Progress) -> Result<MutexGuard<'_, ()>> {
        loop {
            if let Some(leaving) = self.leaving.try_lock() {
                return Ok(leaving);
            }
            if progress.stopped() {
                return Err(Error::Stopped);
            }
            std::thread::sleep(LEAVING_EVERY);
        }
    }

    /// Ends the session without publishing: unpublished changes stay, encrypted, on this computer and go on from
    /// the next sign-in on it. Work that waits for the store, a sign-out too, is cancelled.
    pub fn sign_out_later(self: &Arc<Self>) -> Result<Published> {
        let _left = self.sync.leave();
        let _leaving = self.leaving.lock();
        self.sync.home().alive()?;
        let background = self.background.lock().take();
        if let Some(background) = background {
            background.stop();
        }
        self.sync.flush();
        self.sync.home().close();
        if let Err(error) = self.sync.home().log_all() {
            self.go_on()?;
            return Err(error);
        }
        self.sync.home().end();
        self.ended.store(true, Ordering::SeqCst);
        Ok(Published {
            changed: true,
            ..Published::default()
        })
    }

    /// Is a session as before: it was not to be ended.
    fn go_on(self: &Arc<Self>) -> Result<()> {
        self.sync.home().reopen();
        let mut background = self.background.lock();
        if background.is_none() {
            *background = Some(Background::start(&self.sync)?);
        }
        Ok(())
    }

    pub(crate) fn reader(&self) -> &Arc<Reader> {
        self.sync.home().reader()
    }
}

/// Gives states of the same millisecond, oldest first, names of their own: the second is `…Z-2`.
fn tell_apart(snapshots: &mut [Snapshot]) {
    let mut before = (String::new(), 1);
    for snapshot in snapshots {
        if snapshot.name == before.0 {
            before.1 += 1;
            snapshot.name = format!("{}-{}", before.0, before.1);
        } else {
            before = (snapshot.name.clone(), 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Snapshot, tell_apart};

    #[test]
    fn states_of_one_millisecond_have_names_of_their_own() {
        let state = |name: &str| Snapshot {
            name: name.to_owned(),
            head: String::new(),
            computer: String::new(),
            added_bytes: 0,
        };
        let mut states = ["a", "b", "b", "b", "c"].map(state);
        tell_apart(&mut states);
        let names = states.map(|state| state.name);
        assert_eq!(names, ["a", "b", "b-2", "b-3", "c"]);
    }
}
