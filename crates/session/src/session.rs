//! The session: an account unlocked on one computer, from sign-in to sign-out.
//!
//! What always holds here: after sign-out every volume of a session answers [`Error::Ended`]; what
//! [`Session::publish`] reported is on the store.

pub(crate) mod open;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard, RwLock};
use safeos_account::{Account, Head, RecoveryKey, Secret};
use safeos_store::Store;
use safeos_tree::{Commit, Key, Reader, Tag, Value};

use crate::clock::precise;
use crate::failure::Fault;
use crate::lease::Lease;
use crate::local::Local;
use crate::sync::attempt::{Attempt, Told};
use crate::sync::background::Background;
use crate::sync::backlog::Backlog;
use crate::sync::news::News;
use crate::sync::publish::{Line, Publisher};
use crate::time::utc;
use crate::worktree::frozen::Frozen;
use crate::worktree::home::Home;
use crate::worktree::look::Look;
use crate::{Change, Error, Nanos, Progress, Published, Result, Snapshot, Status, Volume};

/// How many names of the home's own folder are looked at before a session is shown.
const FIRST_NAMES: usize = 16;

/// How often it is looked whether the other one who signs out is done with it.
const LEAVING_EVERY: Duration = Duration::from_millis(20);

/// How often what changes the account's packet is tried again when other computers publish meanwhile.
const NEWEST_TRIES_MAX: usize = 32;

/// How much memory and disk a session may take, in bytes, and how much a power loss.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Written data that is only in memory; writers wait above it.
    pub dirty_bytes_max: usize,
    /// Read nodes and blocks kept in memory.
    pub memory_cache_bytes_max: usize,
    /// Encrypted packs kept on disk (stores that are not local).
    pub disk_cache_bytes_max: u64,
    /// What was written is durable on this computer after this time, if its disk takes it.
    pub log_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            dirty_bytes_max: 96 << 20,
            memory_cache_bytes_max: 64 << 20,
            disk_cache_bytes_max: 4 << 30,
            log_after: Duration::from_secs(5),
        }
    }
}

/// How to open a session.
pub struct Options {
    /// The store that holds the account.
    pub store: Arc<dyn Store>,
    /// The folder for local state (`SAFE_STATE`).
    pub state: PathBuf,
    /// User and group of the person on this computer: what is the person's is shown as theirs.
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

type Listener = Box<dyn Fn(Change) + Send + Sync>;
type Flusher = Box<dyn Fn() + Send + Sync>;

/// An account unlocked on this computer, from sign-in to sign-out.
pub struct Session {
    pub(crate) account: RwLock<Arc<Account>>,
    pub(crate) home: Arc<Home>,
    pub(crate) line: Mutex<Line>,
    pub(crate) local: Local,
    pub(crate) lease: Arc<Lease>,
    pub(crate) computer: String,
    pub(crate) remember: bool,
    /// What `status` shows without waiting for a publish that is going on.
    pub(crate) facts: Mutex<Facts>,
    pub(crate) ended: Arc<AtomicBool>,
    listeners: RwLock<Vec<Listener>>,
    flushers: RwLock<Vec<Flusher>>,
    background: Mutex<Option<Background>>,
    /// Who has the line.
    pub(crate) trying: Mutex<Option<Arc<Attempt>>>,
    pub(crate) backlog: Backlog,
    pub(crate) news: News,
    /// Held by who signs out.
    leaving: Mutex<()>,
    /// How many want to leave without waiting for anything.
    left: AtomicUsize,
}

/// See [`Session::facts`].
pub(crate) struct Facts {
    /// The newest head, and the counter of the pointer to it.
    newest: Snapshot,
    pub(crate) counter: u64,
    published: Nanos,
    changes: u64,
    pub(crate) offline: bool,
}

impl Facts {
    fn of(line: &Line, offline: bool) -> Result<Self> {
        let commit = Commit::decode(line.head.commit())?;
        Ok(Self {
            newest: Snapshot {
                name: snapshot_name(commit.time),
                head: line.head.address().to_string(),
                computer: commit.computer,
                added_bytes: commit.added_bytes,
            },
            counter: line.head.counter(),
            published: Nanos::from(commit.time),
            changes: line.changes,
            offline,
        })
    }

    /// Whether nothing has changed since the newest commit.
    pub(crate) fn are_newest(&self, changes: u64) -> bool {
        self.changes == changes
    }
}

impl Session {
    pub(crate) fn assemble(
        account: Account,
        home: Home,
        line: Line,
        local: Local,
        lease: Arc<Lease>,
        remember: bool,
    ) -> Result<Arc<Self>> {
        let facts = Facts::of(&line, false)?;
        let session = Arc::new(Self {
            account: RwLock::new(Arc::new(account)),
            home: Arc::new(home),
            line: Mutex::new(line),
            local,
            lease,
            computer: computer(),
            remember,
            facts: Mutex::new(facts),
            ended: Arc::new(AtomicBool::new(false)),
            listeners: RwLock::default(),
            flushers: RwLock::default(),
            background: Mutex::default(),
            trying: Mutex::default(),
            backlog: Backlog::default(),
            news: News::default(),
            leaving: Mutex::default(),
            left: AtomicUsize::new(0),
        });
        *session.background.lock() = Some(Background::start(&session)?);
        Ok(session)
    }

    /// The account's name as it was given.
    pub fn account(&self) -> String {
        self.account.read().name().to_owned()
    }

    /// The home.
    pub fn home(&self) -> Result<Arc<dyn Volume>> {
        self.home.alive()?;
        Ok(self.home.clone())
    }

    /// Every published state, oldest first.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>> {
        let mut snapshots = self.home.look(|look| {
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
        let newest = self.facts.lock().newest.clone();
        if !snapshots
            .iter()
            .any(|snapshot| snapshot.head == newest.head)
        {
            snapshots.push(newest);
        }
        tell_apart(&mut snapshots);
        Ok(snapshots)
    }

    /// Reads the home's own folder, from the store if need be, and the first names in it as far as they are on this computer: an
    /// error where a session would show nothing but errors. Of a home that is opened without its store, what is not on this
    /// computer is not known.
    pub fn look_at_root(&self, progress: &dyn Progress) -> Result<()> {
        let looked = self.accompanied(progress, |_| {
            self.read_root(!self.facts.lock().offline, |look| {
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
    fn read_root(&self, far: bool, read: impl Fn(&Look<'_>) -> Result<(), Fault>) -> Result<()> {
        let home = &self.home;
        let tree = home.work.read().tree.clone();
        loop {
            let look = Look {
                tree: &tree,
                source: &home.reader.cached(),
            };
            match read(&look) {
                Ok(()) => return Ok(()),
                Err(Fault::Missing(at)) if !far && !home.packs.is_here(&at.pack) => return Ok(()),
                Err(Fault::Missing(at)) => {
                    safeos_tree::Source::node(&*home.reader, &at)?;
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
        let chunk = self.home.packs.store().get_chunk(&address)?;
        let commit = self.account.read().open_head(&chunk)?;
        Ok(Arc::new(Frozen {
            tree: Commit::decode(&commit)?.tree()?,
            reader: self.home.reader.clone(),
            owners: self.home.owners.of_another_tree(),
            ended: Some(self.ended.clone()),
        }))
    }

    /// How things stand.
    pub fn status(&self) -> Status {
        let packs = &self.home.packs;
        let totals = self.home.work.read().tree.totals();
        self.look_at_backlog(None);
        let facts = self.facts.lock();
        let (records, _) = packs.counted();
        let unpublished = if facts.are_newest(self.home.changes()) {
            0
        } else {
            (self.home.unpublished() + self.home.stage.bytes() + packs.waiting_bytes()).max(1)
        };
        self.home.forget_solved();
        let mut problems = self.home.problems.list();
        let stage = &self.home.stage;
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
            used_bytes: totals.bytes + self.home.files.dirty_bytes() as u64,
            nodes: totals.nodes,
            unpublished_bytes: unpublished,
            waiting: (unpublished > 0).then(|| self.backlog.report(unpublished, self.trouble())),
            records,
            cost: packs.cost(),
            published: utc(facts.published),
            problems,
        }
    }

    /// Calls `listener` for every change that did not come through the home's own methods.
    pub fn on_change(&self, listener: Box<dyn Fn(Change) + Send + Sync>) {
        self.listeners.write().push(listener);
    }

    /// Calls `flusher` when what a system keeps back of what was written is to be in the home: before another computer's
    /// changes are merged, over which it would come later, and before the session ends.
    pub fn on_flush(&self, flusher: Box<dyn Fn() + Send + Sync>) {
        self.flushers.write().push(flusher);
    }

    /// Has fronts hand over what a system keeps back.
    fn flush(&self) {
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

    /// What keeps the publish that is under way, if one is and something does.
    fn trouble(&self) -> Option<String> {
        let trying = self.trying.lock().clone();
        trying.and_then(|attempt| attempt.why_it_waits(self.home.packs.store()))
    }

    /// Publishes everything written so far, after merging what other computers have published. What makes no progress ends
    /// with the failure that it meets, and is tried again in the background.
    pub fn publish(&self, progress: &dyn Progress) -> Result<Published> {
        let work = |told: &Told<'_>| self.publish_in_line(told);
        self.accompanied_or(progress, work, |error| self.not_published(error))
    }

    /// Takes note of a try that has failed.
    fn not_published(&self, error: &Error) {
        let problems = &self.home.problems;
        problems.solved("publishing");
        problems.add(format!("publishing: {error}"));
        self.backlog.failed(error, self.home.packs.counted().0);
    }

    /// The same where nobody waits for it.
    pub(crate) fn publish_quietly(&self, progress: &dyn Progress) -> Result<Published> {
        self.unaccompanied(progress, |told| self.publish_in_line(told))
    }

    fn publish_in_line(&self, told: &Told<'_>) -> Result<Published> {
        let mut line = self.line(told)?;
        self.publish_line(&mut line, |publisher, line| publisher.publish(line, told))
    }

    /// Publishes, in one of the publisher's ways, for who has the line.
    pub(crate) fn publish_line(
        &self,
        line: &mut Line,
        way: impl FnOnce(&Publisher<'_>, &mut Line) -> Result<Published>,
    ) -> Result<Published> {
        self.home.alive()?;
        let began = precise();
        self.backlog.next_try(None);
        let account = self.account.read().clone();
        let changed = |change: Change| self.tell(change);
        let flush = || self.flush();
        let publisher = Publisher {
            home: &self.home,
            account: &account,
            local: &self.local,
            computer: &self.computer,
            remember: self.remember,
            changed: &changed,
            flush: &flush,
            unrelated: false,
        };
        let published = way(&publisher, line);
        let offline = matches!(&published, Err(error) if error.is_away());
        *self.facts.lock() = Facts::of(line, offline)?;
        match &published {
            Ok(_) => {
                self.home.problems.solved("publishing");
                self.backlog.published(began);
                self.look_at_backlog(None);
            }
            Err(error) if error.is_stopped() => {}
            Err(error) => self.not_published(error),
        }
        published
    }

    /// Changes the password; sessions on other computers must sign in anew.
    pub fn change_password(
        &self,
        old: &Secret,
        new: &Secret,
        progress: &dyn Progress,
    ) -> Result<()> {
        // Stretching takes longer than others need to publish: it comes before.
        let new = self.account.read().clone().new_password(old, new)?;
        self.accompanied(progress, |told| {
            let mut line = self.line(told)?;
            let (account, head) = self.on_newest(&mut line, told, |account, store, head| {
                account.set_password(store, &new, head)
            })?;
            let old = self.account.read().address();
            line.head = head;
            *self.account.write() = Arc::new(account);
            self.local.forget(&old)?;
            self.note(&line.head)
        })
    }

    /// Whether this is the password that holds.
    pub fn check_password(&self, typed: &Secret) -> Result<()> {
        let account = self.account.read().clone();
        Ok(account.check_password(typed)?)
    }

    /// Has a recovery key open the account, in the place of the one there is. The person has it already, on paper or where it
    /// was made: a step that fails loses nothing. Publishes first.
    pub fn new_recovery_key(
        &self,
        password: &Secret,
        key: &RecoveryKey,
        progress: &dyn Progress,
    ) -> Result<()> {
        self.check_password(password)?;
        self.accompanied(progress, |told| {
            let mut line = self.line(told)?;
            line.head = self.on_newest(&mut line, told, |account, store, head| {
                account.set_recovery_key(store, key, head)
            })?;
            self.note(&line.head)
        })
    }

    /// Publishes, and does something with the newest head; again as long as other computers are faster.
    fn on_newest<T>(
        &self,
        line: &mut Line,
        progress: &dyn Progress,
        way: impl Fn(&Account, &dyn Store, &Head) -> safeos_account::Result<T>,
    ) -> Result<T> {
        let mut tries = 0;
        loop {
            tries += 1;
            self.publish_line(line, |publisher, line| publisher.publish(line, progress))?;
            self.home.packs.hold()?;
            let account = self.account.read().clone();
            match way(&account, self.home.packs.store(), &line.head) {
                Err(safeos_account::Error::HeadMoved { .. }) if tries < NEWEST_TRIES_MAX => {}
                done => return Ok(done?),
            }
        }
    }

    /// The secret key that the account needs besides the password, if it has one.
    pub fn secret_key(&self) -> Option<Secret> {
        self.account.read().secret_key()
    }

    /// Keeps on this computer what is to be kept of a head.
    fn note(&self, head: &Head) -> Result<()> {
        Publisher {
            home: &self.home,
            account: &self.account.read().clone(),
            local: &self.local,
            computer: &self.computer,
            remember: self.remember,
            changed: &|_| {},
            flush: &|| {},
            unrelated: false,
        }
        .note(head)
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
        self.home.alive()?;
        let mut published = self.publish(progress);
        if published.is_ok() || keep_stage {
            let background = self.background.lock().take();
            if let Some(background) = background {
                background.stop();
            }
            self.flush();
            self.home.close();
        }
        if published.is_ok() {
            // Somebody may have written after that, and nobody publishes by itself any more.
            let again = self.publish(progress);
            published = again.and_then(|again| published.map(|first| first.and(again)));
        }
        if published.is_err() && !keep_stage {
            self.go_on()?;
            return published;
        }
        if published.is_err()
            && let Err(error) = self.home.log_all()
        {
            self.go_on()?;
            return Err(error);
        }
        self.home.end();
        self.ended.store(true, Ordering::SeqCst);
        if published.is_err() {
            return Ok(Published {
                changed: true,
                ..Published::default()
            });
        }
        if self.home.stage.refusal().is_some() {
            // What waits here waits on, and on a disk that can only be read nothing is removed.
            return published;
        }
        // Nobody writes any more, and nothing of it waits.
        self.home.packs.unpublished().published();
        self.home.packs.unpublished().published();
        self.home.packs.let_needless_go();
        // Nothing that only this computer knows of is on the store any more. Where that cannot be said now, the next
        // session on this computer does.
        drop(self.lease.release(self.lease.uses()));
        if !self.remember || wipe {
            self.local.forget(&self.account.read().address())?;
        }
        self.local.clean(!self.remember || wipe, wipe)?;
        published
    }

    /// One upload may cost so much from now on, where records are paid for.
    pub fn spend_at_most(&self, tokens: safeos_store::Amount) -> Result<()> {
        self.home.alive()?;
        match self.home.packs.store().purse() {
            Some(purse) => {
                purse.set_limit(Some(tokens));
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

    /// Whether somebody wants to leave without waiting for what is under way.
    pub(crate) fn is_left(&self) -> bool {
        self.left.load(Ordering::Acquire) > 0
    }

    /// Ends the session without publishing: what is not published stays, encrypted, on this computer and goes on from
    /// the next sign-in on it. Whatever waits for the store, a sign-out too, is given up.
    pub fn sign_out_later(self: &Arc<Self>) -> Result<Published> {
        struct Leaves<'a>(&'a AtomicUsize);
        impl Drop for Leaves<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::AcqRel);
            }
        }
        self.left.fetch_add(1, Ordering::AcqRel);
        let _leaves = Leaves(&self.left);
        let _leaving = self.leaving.lock();
        self.home.alive()?;
        let background = self.background.lock().take();
        if let Some(background) = background {
            background.stop();
        }
        self.flush();
        self.home.close();
        if let Err(error) = self.home.log_all() {
            self.go_on()?;
            return Err(error);
        }
        self.home.end();
        self.ended.store(true, Ordering::SeqCst);
        Ok(Published {
            changed: true,
            ..Published::default()
        })
    }

    /// Gives the lease back when all is published that it stands for: somebody may want to collect on another computer.
    pub(crate) fn rest(&self) {
        let given = self.unaccompanied(&(), |told| match self.lease.is_held() {
            true => self
                .line_now(told)
                .map_or(Ok(()), |line| self.rest_in(&line)),
            false => Ok(()),
        });
        // It is tried again.
        drop(given);
    }

    fn rest_in(&self, line: &Line) -> Result<()> {
        let (home, lease) = (&self.home, &self.lease);
        let uses = lease.uses();
        // Some of it may be collected from now on.
        home.packs.forget_known();
        home.packs.unpublished().published();
        // What was put before that is in the tree then.
        home.turns.wait();
        let is_all_published = line.apart.is_none()
            && home.stage.refusal().is_none()
            && home.changes() == line.changes
            && home.files.dirty_bytes() == 0
            && home.stage.bytes() == 0
            && home.work.read().orphans.is_empty();
        if !is_all_published {
            return Ok(());
        }
        home.packs.unpublished().published();
        home.packs.let_needless_go();
        if home.packs.waiting_bytes() == 0 {
            lease.release(uses)?;
        }
        Ok(())
    }

    /// Asks the store for something small; whether it was spoken to.
    pub(crate) fn is_store_there(&self) -> bool {
        let address = self.account.read().address();
        let answer = self.home.packs.store().get_pointer(&address);
        let is_there = !matches!(answer, Err(error) if error.is_away());
        self.facts.lock().offline = !is_there;
        is_there
    }

    /// Is a session as before: it was not to be ended.
    fn go_on(self: &Arc<Self>) -> Result<()> {
        self.home.reopen();
        let mut background = self.background.lock();
        if background.is_none() {
            *background = Some(Background::start(self)?);
        }
        Ok(())
    }

    pub(crate) fn reader(&self) -> &Arc<Reader> {
        &self.home.reader
    }
}

fn snapshot_name(time: u64) -> String {
    let text = utc(i128::from(time));
    // To the millisecond, as file names are read by people.
    format!("{}Z", &text[..23.min(text.len())])
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

/// The name of this computer, for commits and conflicts.
pub(crate) fn computer() -> String {
    let read = |path| std::fs::read_to_string(path).ok();
    let name = read("/proc/sys/kernel/hostname")
        .or_else(|| read("/etc/hostname"))
        .or_else(|| std::env::var("HOSTNAME").ok())
        .unwrap_or_default();
    let name: String = name
        .trim()
        .chars()
        .map(|c| if c == '/' || c.is_control() { '-' } else { c })
        .collect();
    if name.is_empty() {
        "computer".to_owned()
    } else {
        name
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
