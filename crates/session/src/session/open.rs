//! From credentials to a session: sign up, sign in, offline, and after a crash.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use safeos_account::{
    Account, Credentials, Error as AccountError, Head, Login, Recovered, RecoveryKey, Secret,
    Settings,
};
use safeos_record::{Address, random_bytes};
use safeos_store::Observed;
use safeos_tree::{Block, Commit, Keys, Reader, Totals, Tree, Value, decode_batch, seal_tree};

use crate::clock::precise;
use crate::computer::computer;
use crate::journal::{Event, OwnedFrame, Stage};
use crate::lease::Lease;
use crate::local::{Local, Seen, forget, remembered, remembers_any};
use crate::packs::Packs;
use crate::packs::cache::PackCache;
use crate::packs::leavable::Leavable;
use crate::sync::ancestry::{Ancestry, State, unless_lost};
use crate::sync::attempt::before_a_session;
use crate::sync::publisher::Publisher;
use crate::sync::sync_base::{Ours, SyncBase};
use crate::sync::synchronizer::Synchronizer;
use crate::worktree::home::Home;
use crate::worktree::owners::Owners;
use crate::worktree::root_batch;
use crate::{Error, Options, Progress, Result, Session, Step};

const STAGE_CONTEXT: &str = "safeos 2026 stage v1";
/// How many commits of others are looked through for one of an interrupted session's own.
const PARENTS_MAX: usize = 10_000;

impl Session {
    /// Makes an account and its empty home, and opens it.
    pub fn sign_up(
        credentials: Credentials,
        options: Options,
        progress: &dyn Progress,
    ) -> Result<Arc<Self>> {
        Self::sign_up_with(credentials, SignUpOptions::default(), options, progress)
    }

    /// The same with the password guarded by 64 MiB of memory instead of 256 MiB: for an account that is to be
    /// used on computers with little of it.
    pub fn sign_up_small(
        credentials: Credentials,
        options: Options,
        progress: &dyn Progress,
    ) -> Result<Arc<Self>> {
        let sign_up = SignUpOptions {
            small_memory: true,
            ..SignUpOptions::default()
        };
        Self::sign_up_with(credentials, sign_up, options, progress)
    }

    /// The same with everything that can be chosen.
    pub fn sign_up_with(
        credentials: Credentials,
        sign_up: SignUpOptions,
        options: Options,
        progress: &dyn Progress,
    ) -> Result<Arc<Self>> {
        steps(progress)("stretching the password");
        let mut login = if sign_up.small_memory {
            Login::derive_small(&credentials)?
        } else {
            Login::derive(&credentials)?
        };
        drop(credentials);
        if let Some(key) = sign_up.recovery_key {
            login = login.with_recovery_key(key);
        }
        Self::make(login, options, progress)
    }

    /// Opens the home of an account whose password is forgotten, by its recovery key, and sets a new password. The
    /// store must be there. With a `name` only the account that is called so. Nothing is set while a session of it is
    /// open in this state folder.
    pub fn recover(
        key: &RecoveryKey,
        name: Option<&str>,
        new: &Secret,
        options: Options,
        progress: &dyn Progress,
    ) -> Result<Arc<Self>> {
        let store = Observed::around(Leavable::around_opening(options.store.clone()));
        let Recovered {
            account,
            head,
            before,
        } = before_a_session(&*store, progress, &|| false, |told| {
            let is_free = |account: &Account| {
                Local::open(&options.state, account.home_key())?;
                Ok::<_, Error>(())
            };
            Account::recover(&*store, key, name, new, &is_free, &steps(told))
        })?;
        let state = options.state.clone();
        let session = open(account, head, options, false, progress)?;
        // This computer's remembered account opens with the old password.
        if before != session.sync.account().read().address() {
            forget(&state, &before)?;
        }
        Ok(session)
    }

    fn make(login: Login, options: Options, progress: &dyn Progress) -> Result<Arc<Self>> {
        if let (Some(key), Some(wallet)) = (&options.wallet, options.store.wallet()) {
            wallet.fund(key.expose())?;
        }
        let settings = Settings {
            wallet: options.wallet.clone(),
            ..Settings::default()
        };
        let store = Observed::around(Leavable::around_opening(options.store.clone()));
        let login = login.with_settings(settings);
        let (account, head) = before_a_session(&*store, progress, &|| false, |told| {
            login.sign_up::<Error>(&*store, first_commit, &steps(told))
        })?;
        open(account, head, options, false, progress)
    }

    /// Opens an account's home. Without the store, if this computer remembers the account.
    pub fn sign_in(
        credentials: Credentials,
        options: Options,
        progress: &dyn Progress,
    ) -> Result<Arc<Self>> {
        let step = steps(progress);
        step("stretching the password");
        let login = Login::derive(&credentials)?;
        drop(credentials);
        if progress.stopped() {
            return Err(Error::Stopped);
        }
        let store = Observed::around(Leavable::around_opening(options.store.clone()));
        let is_remembered = || is_remembered(&login, &options);
        let found = before_a_session(&*store, progress, &is_remembered, |told| {
            Ok(login.sign_in(&*store, &steps(told))?)
        });
        match found {
            Ok((account, head)) => open(account, head, options, false, progress),
            Err(Error::Account(AccountError::Store(error)) | Error::Store(error))
                if says_nothing(&error) =>
            {
                step("looking whether this computer remembers the account");
                let name = login.name().to_owned();
                let Some((account, head)) = offline(login, &options)? else {
                    return Err(not_remembered(error, name, &options));
                };
                open(account, head, options, true, progress)
            }
            Err(error) => Err(error),
        }
    }
}

/// The first commit of an account: an empty home.
fn first_commit(account: &Account) -> Result<Vec<u8>> {
    let keys = Keys::new(account.home_key());
    let mut tree = Tree::new();
    tree.apply(&NoNodes, root_batch())?;
    let commit = Commit {
        time: precise().max(0) as u64,
        computer: computer(),
        parents: Vec::new(),
        stage: [0; 16],
        stage_segment: 0,
        added_bytes: 0,
        totals: Totals { nodes: 1, bytes: 0 },
        // One inode: no node but the root.
        root: seal_tree(&tree, &keys, &mut NoPacks)?,
    };
    Ok(commit.encode())
}

/// Options for a new account.
#[derive(Default)]
pub struct SignUpOptions {
    /// Guard the password with 64 MiB instead of 256 MiB.
    pub small_memory: bool,
    /// A second door, for when the password is forgotten.
    pub recovery_key: Option<RecoveryKey>,
}

fn steps(progress: &dyn Progress) -> impl Fn(&str) + '_ {
    move |what| {
        progress.step(Step {
            what: what.to_owned(),
            done: 0,
            total: 0,
            unit: String::new(),
        });
    }
}

/// Whether the store has told nothing about an account: it was not spoken to, or wants nothing to do with this
/// computer.
fn says_nothing(error: &safeos_store::Error) -> bool {
    error.is_away() || matches!(error, safeos_store::Error::Refused { .. })
}

/// Why an account is not open that the store was not asked about: on a computer that remembers some, it is most likely
/// the password.
fn not_remembered(error: safeos_store::Error, name: String, options: &Options) -> Error {
    if error.is_away() && remembers_any(&options.state) {
        return Error::Account(AccountError::NotRemembered {
            name,
            why: error.to_string(),
        });
    }
    error.into()
}

/// Whether this computer remembers the account, under whatever version of the key derivation.
fn is_remembered(login: &Login, options: &Options) -> bool {
    let is_here = |login: &Login| remembered(&options.state, &login.address()).is_some();
    if is_here(login) {
        return true;
    }
    let mut next = match remembers_any(&options.state) {
        true => login.next().ok().flatten(),
        false => None,
    };
    while let Some(login) = next {
        if is_here(&login) {
            return true;
        }
        next = login.next().ok().flatten();
    }
    false
}

/// The account as this computer remembers it.
fn offline(login: Login, options: &Options) -> Result<Option<(Account, Head)>> {
    let mut next = Some(login);
    while let Some(login) = next {
        if let Some((pointer, chunk)) = remembered(&options.state, &login.address()) {
            return Ok(Some(login.open(&pointer, &chunk)?));
        }
        next = login.next()?;
    }
    Ok(None)
}

fn open(
    account: Account,
    head: Head,
    options: Options,
    offline: bool,
    progress: &dyn Progress,
) -> Result<Arc<Session>> {
    steps(progress)("opening the home");
    let local = Local::open(&options.state, account.home_key())?;
    open_in(local, account, head, options, offline, progress)
}

/// Opens a home whose folder on this computer is taken.
fn open_in(
    local: Local,
    account: Account,
    head: Head,
    options: Options,
    offline: bool,
    progress: &dyn Progress,
) -> Result<Arc<Session>> {
    let options = Options {
        store: Observed::around(Leavable::around(options.store)),
        ..options
    };
    let waits_since = local.waits_since();
    if let Some(wallet) = options.store.wallet()
        && let Some(key) = account.settings(&head)?.wallet
    {
        wallet.fund(key.expose())?;
    }
    let (store, key) = (options.store.clone(), account.home_key());
    let lease = Arc::new(Lease::new(store, key, &local, computer())?);
    let (account, local) = (Arc::new(account), Arc::new(local));
    let opening = Opening {
        account: &account,
        head: &head,
        options: &options,
        local: &local,
        lease: &lease,
        offline,
    };
    let store = &*options.store;
    let opened = match local.unwritable() {
        // Without the store it opens with the files here, or not at all.
        None => before_a_session(store, progress, &|| offline, |told| {
            opening.to_write(&steps(told))
        }),
        Some(why) => Err(why.clone()),
    };
    let sync = match opened {
        // Published content can be read all the same, and waiting changes are kept.
        Err(why) if why.is_of_disk() => opening.to_read(why)?,
        opened => opened?,
    };
    sync.set_offline(offline);
    let session = Session::begin(sync)?;
    session.sync.look_at_backlog(waits_since);
    Ok(session)
}

/// The inputs for opening a home.
struct Opening<'a> {
    account: &'a Arc<Account>,
    head: &'a Head,
    options: &'a Options,
    local: &'a Arc<Local>,
    lease: &'a Arc<Lease>,
    offline: bool,
}

impl Opening<'_> {
    fn reader(&self) -> Result<(Arc<Packs>, Arc<Reader>)> {
        let Options { store, limits, .. } = self.options;
        let keys = Keys::new(self.account.home_key());
        let cache = if store.traits().local {
            None
        } else {
            let (limit, reserve) = (limits.disk_cache_bytes_max, self.local.reserve());
            Some(PackCache::open(&self.local.packs(), limit, reserve)?)
        };
        let packs = Packs::new(store.clone(), cache, keys.clone()).with_lease(self.lease.clone());
        let packs = Arc::new(packs);
        let memory = limits.memory_cache_bytes_max;
        let reader = Arc::new(Reader::new(keys, packs.clone(), memory));
        Ok((packs, reader))
    }

    fn home(&self, packs: Arc<Packs>, reader: Arc<Reader>, stage: Stage, tree: Tree) -> Home {
        let owners = Owners::of_home(self.options.owner);
        let reserve = self.local.reserve().clone();
        let limits = self.options.limits;
        Home::new(reader, packs, stage, tree, owners, limits, reserve)
    }

    /// Whether the head is, or comes from, the state that this computer has seen last, and that state. An error if not,
    /// unless the person accepts it.
    fn seen(&self, reader: &Reader) -> Result<(Option<Seen>, bool)> {
        let seen = self.local.seen(self.account.home_key())?;
        let follows = match &seen {
            Some(seen) => follows(&self.ancestry(reader), self.head, seen, self.offline)?,
            None => true,
        };
        if !follows && !self.options.accept_older {
            return Err(Error::RolledBack);
        }
        Ok((seen, follows))
    }

    fn ancestry<'b>(&'b self, reader: &'b Reader) -> Ancestry<'b> {
        Ancestry {
            account: self.account,
            store: &*self.options.store,
            source: reader,
        }
    }

    fn sync_base(&self, home: &Home, tree: Tree) -> SyncBase {
        SyncBase {
            changes: home.changes(),
            bytes: 0,
            tree,
            head: self.head.clone(),
            merged: None,
            apart: None,
        }
    }

    fn synchronizer(&self, home: Home, sync_base: SyncBase) -> Result<Arc<Synchronizer>> {
        let (account, local) = (self.account.clone(), self.local.clone());
        let remember = self.options.remember;
        Synchronizer::new(
            account,
            home,
            sync_base,
            local,
            self.lease.clone(),
            remember,
        )
    }

    /// Opens the home with the changes of an interrupted session, to be worked on.
    fn to_write(&self, step: &dyn Fn(&str)) -> Result<Arc<Synchronizer>> {
        let (account, local, head) = (self.account, self.local, self.head);
        let (packs, reader) = self.reader()?;
        let (seen, follows) = self.seen(&reader)?;
        let kept = Kept {
            seen: match seen {
                Some(seen) if !follows && !seen.commit.is_empty() => {
                    Some(State::read(seen.head, seen.commit)?)
                }
                _ => None,
            },
            base: local.stage_base(account.home_key())?,
        };
        let interrupted = Interrupted::find(local, &self.ancestry(&reader), head, kept)?;
        if interrupted.is_none() {
            // All is published, and nothing refers to packs that wait for an upload all the same.
            packs.let_needless_go();
        }
        let base = match &interrupted {
            Some(Interrupted {
                base: Some(base), ..
            }) => base.clone(),
            _ => State::of(head)?,
        };
        let base_tree = base.commit.tree()?;
        let mut id = [0; 16];
        random_bytes(&mut id)?;
        let key = stage_key(account);
        Stage::destroy(&local.stage())?;
        if base.address != head.address() {
            local.keep_stage_base(account.home_key(), &base)?;
        }
        let began = &base.address.0;
        let stage = Stage::create(&local.stage(), &key, id, began, local.reserve())?;
        let home = self.home(packs, reader, stage, base_tree.clone());
        let sync_base = self.sync_base(&home, base_tree);
        let sync = self.synchronizer(home, sync_base)?;
        {
            let publisher = Publisher::new(&sync, self.options.accept_older);
            let mut sync_base = sync.first_sync_base();
            if let Some(interrupted) = interrupted {
                step("bringing back what was not published");
                interrupted.replay(sync.home(), local, &key, self.options.accept_older)?;
            }
            if base.address != head.address() {
                step("merging what other computers published");
                publisher.absorb_into(&mut sync_base, Ours::left(base), head.clone())?;
            }
            if sync_base.apart.is_none() {
                publisher.note(&sync_base.head)?;
            }
            sync.show(&sync_base, false)?;
        }
        Ok(sync)
    }

    /// Opens the home as it is published, to be read.
    fn to_read(&self, why: Error) -> Result<Arc<Synchronizer>> {
        let tree = Commit::decode(self.head.commit())?.tree()?;
        let key = stage_key(self.account);
        let stage = Stage::refusing(&self.local.stage(), &key, why, self.local.reserve());
        let (packs, reader) = self.reader()?;
        self.seen(&reader)?;
        let home = self.home(packs, reader, stage, tree.clone());
        if self.local.has_stage() {
            home.problems().add(
                "what was written here before and is not published is kept on this computer; it comes back at the next sign-in for which the disk has room"
                    .into(),
            );
        }
        let sync_base = self.sync_base(&home, tree);
        self.synchronizer(home, sync_base)
    }
}

fn stage_key(account: &Account) -> safeos_record::Key {
    account.home_key().derive(STAGE_CONTEXT, &[])
}

/// The packs that stages which are not read again now refer to: they wait on this computer's disk.
pub(crate) fn waiting_packs(local: &Local, account: &Account) -> Result<BTreeSet<Address>> {
    let mut packs = BTreeSet::new();
    for dir in [local.stage(), local.old_stage()] {
        Stage::open(&dir, &stage_key(account), local.reserve(), &mut |event| {
            if let Event::Frame(OwnedFrame::Batch(bytes)) = event {
                for (_, value) in decode_batch(&bytes)? {
                    if let Some(Value::Block(Block::Stored { at, .. })) = value {
                        packs.insert(at.pack);
                    }
                }
            }
            Ok(())
        })?;
    }
    Ok(packs)
}

/// Whether the store's head is, or comes from, the state that this computer has seen last.
fn follows(ancestry: &Ancestry<'_>, head: &Head, seen: &Seen, offline: bool) -> Result<bool> {
    if head.address() == seen.head {
        return Ok(head.counter() >= seen.counter);
    }
    // With the same counter the lower target is the one that a network keeps.
    let is_older = head.counter() < seen.counter
        || head.counter() == seen.counter && head.address() > seen.head;
    if is_older || seen.commit.is_empty() || offline {
        return Ok(!is_older);
    }
    let state = State::read(seen.head, seen.commit.clone())?;
    // A damaged record does not prove another history: the damage is reported where the record is needed.
    Ok(unless_lost(ancestry.comes_from(&State::of(head)?, &state))?.unwrap_or(true))
}

/// Copies on this computer of states that the store may have lost.
struct Kept {
    /// The newest that was seen, if the head does not come from it.
    seen: Option<State>,
    /// The state that the stage was begun on, if that was not the newest.
    base: Option<State>,
}

/// A stage that a session which did not end properly left.
struct Interrupted {
    /// The state that its changes were made on; `None`: the newest head.
    base: Option<State>,
    /// Segments up to this one are in the base.
    published: Option<u64>,
}

impl Interrupted {
    fn find(
        local: &Local,
        ancestry: &Ancestry<'_>,
        head: &Head,
        kept: Kept,
    ) -> Result<Option<Self>> {
        // A crash while it was read again leaves it under this name, and a beginning under its own.
        if !local.old_stage().exists() {
            if !local.stage().exists() {
                return Ok(None);
            }
            local.set_stage_aside()?;
        }
        let key = stage_key(ancestry.account);
        let mut first = None;
        Stage::open(&local.old_stage(), &key, local.reserve(), &mut |event| {
            if let Event::Segment { id, base, .. } = event
                && first.is_none()
            {
                first = Some((id, base));
            }
            Ok(())
        })?;
        let Some((id, base)) = first else {
            Stage::destroy(&local.old_stage())?;
            return Ok(None);
        };
        let base = <[u8; 32]>::try_from(&base[..])
            .map(Address)
            .map_err(|_| Error::State("the stage does not say what it was made on".into()))?;
        Self::place(ancestry, head, kept, id, base).map(Some)
    }

    /// Finds the state that the stage belongs on: its own newest commit, or its base.
    fn place(
        ancestry: &Ancestry<'_>,
        head: &Head,
        kept: Kept,
        id: [u8; 16],
        began: Address,
    ) -> Result<Self> {
        let on = |state: State| {
            let own = state.commit.stage == id;
            Self {
                published: own.then_some(state.commit.stage_segment),
                base: (state.address != head.address()).then_some(state),
            }
        };
        let is_it = |state: &State| state.commit.stage == id || state.address == began;
        // Segments that a commit has, which the store has lost, may be gone from the stage: nothing older will do.
        if let Some(seen) = kept.seen.filter(is_it) {
            return Ok(on(seen));
        }
        let found = ancestry.before(&State::of(head)?, PARENTS_MAX, &is_it)?;
        if let Some(state) = found.or_else(|| kept.base.filter(|base| base.address == began)) {
            return Ok(on(state));
        }
        // Not in the history of the head: the stage's base may still be there.
        let chunk = ancestry.store.get_chunk(&began)?;
        let bytes = ancestry.account.open_head(&chunk)?;
        Ok(Self {
            base: Some(State::read(began, bytes)?),
            published: None,
        })
    }

    /// Does again what the stage says, on a home whose own stage takes it all down once more. Where the store has lost
    /// what that goes into, it ends and the old stage stays, unless the loss is accepted.
    fn replay(
        &self,
        home: &Home,
        local: &Local,
        key: &safeos_record::Key,
        accept_loss: bool,
    ) -> Result<()> {
        let mut skipping = false;
        let mut touched = HashSet::new();
        let told = |done: Result<()>| match done {
            Err(Error::Damaged(why)) if !accept_loss => Err(Error::Damaged(format!(
                "{why}. What was written here before the crash goes into it and is kept on this computer; to go on without, sign in with --accept-older"
            ))),
            Err(Error::Damaged(why)) => {
                home.problems()
                    .add(format!("not brought back after the crash: {why}"));
                Ok(())
            }
            done => done,
        };
        let old = Stage::open(&local.old_stage(), key, local.reserve(), &mut |event| {
            // All of it is in memory until the disk has it.
            home.stage().accept(1)?;
            match event {
                Event::Segment { number, .. } => {
                    skipping = self.published.is_some_and(|published| number <= published);
                }
                Event::Frame(_) if skipping => {}
                Event::Frame(OwnedFrame::Batch(bytes)) => {
                    let batch = decode_batch(&bytes)?;
                    let packs = batch.iter().filter_map(|(_, value)| match value {
                        Some(Value::Block(Block::Stored { at, .. })) => Some(at.pack),
                        _ => None,
                    });
                    home.packs().unpublished().add(packs);
                    touched.extend(batch.iter().map(|(key, _)| key.ino));
                    told(home.redo(batch))?;
                }
                Event::Frame(OwnedFrame::Data { ino, offset, bytes }) => {
                    let written = home.write_content(ino, Some(offset), &bytes);
                    match home.explain(ino, written.map(drop)) {
                        // The file was removed later.
                        Err(Error::NotFound | Error::IsDirectory | Error::Invalid(_)) => {}
                        done => {
                            told(done)?;
                            home.keep_times(ino);
                        }
                    }
                }
            }
            Ok(())
        })?;
        if let Some(damage) = old.as_ref().and_then(Stage::damage) {
            home.problems()
                .add(format!("the stage of the last session: {damage}"));
        }
        drop(old);
        for ino in home.orphans() {
            told(home.clear(ino))?;
        }
        for ino in touched {
            match home.trim_content(ino) {
                Err(Error::NotFound | Error::IsDirectory | Error::Invalid(_)) => {}
                done => told(done)?,
            }
        }
        match home.log_all() {
            // It is still in the old stage, and may be published from memory.
            Err(Error::Full(_)) => home.stage().replaces(&local.old_stage()),
            done => {
                done?;
                Stage::destroy(&local.old_stage())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[cfg(feature = "shuttle")]
mod interleavings;
#[cfg(test)]
mod support;
#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests;

/// Trees and packs of a home that has nothing yet.
struct NoNodes;

impl safeos_tree::Source for NoNodes {
    fn node(&self, _: &safeos_tree::ObjectRef) -> safeos_tree::Result<Arc<safeos_tree::Node>> {
        Err(safeos_tree::Error::Format("a new home refers to a pack"))
    }
}

struct NoPacks;

impl safeos_tree::PackSink for NoPacks {
    fn pack(
        &mut self,
        _: safeos_record::Chunk,
        _: &[safeos_tree::PackedObject],
    ) -> safeos_tree::Result<()> {
        Err(safeos_tree::Error::Format("a new home needs no pack"))
    }
}
