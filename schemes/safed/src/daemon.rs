//! The sessions of the signed-in users.
//!
//! What always holds here: at most one session for each uid; a session is reachable only by the uid
//! it belongs to; a session that has ended is out of the table before its caches are dropped.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use crate::members::Members;
use parking_lot::{Mutex, RwLock};
use safeos_session::{Change, Ino, Result, Session, Snapshot, Status, Volume};
use safeos_store::Store;

use crate::permission::Who;

/// How many lines of trouble the daemon keeps for `status`.
const PROBLEMS_MAX: usize = 100;

/// A session as the namespace sees it. The tests of the fronts put a model in its place.
pub trait Member: Send + Sync {
    /// The home.
    fn home(&self) -> Result<Arc<dyn Volume>>;
    /// Every published state, oldest first.
    fn snapshots(&self) -> Result<Vec<Snapshot>>;
    /// One of them as a tree.
    fn snapshot(&self, name: &str) -> Result<Arc<dyn Volume>>;
    /// How things stand.
    fn status(&self) -> Status;
    /// Calls `listener` for changes that did not come through the home's own methods.
    fn on_change(&self, listener: Box<dyn Fn(Change) + Send + Sync>);
    /// Calls `flusher` when what the front keeps back is wanted.
    fn on_flush(&self, flusher: Box<dyn Fn() + Send + Sync>);
}

impl Member for Session {
    fn home(&self) -> Result<Arc<dyn Volume>> {
        Session::home(self)
    }
    fn snapshots(&self) -> Result<Vec<Snapshot>> {
        Session::snapshots(self)
    }
    fn snapshot(&self, name: &str) -> Result<Arc<dyn Volume>> {
        Session::snapshot(self, name)
    }
    fn status(&self) -> Status {
        Session::status(self)
    }
    fn on_change(&self, listener: Box<dyn Fn(Change) + Send + Sync>) {
        Session::on_change(self, listener);
    }
    fn on_flush(&self, flusher: Box<dyn Fn() + Send + Sync>) {
        Session::on_flush(self, flusher);
    }
}

/// Where in the namespace a tree hangs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TreeKind {
    /// `home`
    Home,
    /// `snapshots/NAME`
    Snapshot,
    /// `public/ADDRESS`
    Public,
}

/// A volume that is shown somewhere.
pub struct Tree {
    /// Never the same for two trees of one daemon.
    pub key: u64,
    /// Where it hangs.
    pub kind: TreeKind,
    /// The files.
    pub volume: Arc<dyn Volume>,
    /// Its root.
    pub root: Ino,
}

/// One uid's session.
pub struct Signed {
    /// Whose it is.
    pub uid: u32,
    /// The home as a tree.
    pub home: Arc<Tree>,
    /// The session as the namespace shows it.
    pub member: Arc<dyn Member>,
    /// The session itself; `None` where a test put a model.
    pub session: Option<Arc<Session>>,
    /// The store that published trees are opened from.
    pub store: Arc<dyn Store>,
    snapshots: Mutex<HashMap<String, Weak<Tree>>>,
}

impl Signed {
    /// Whether a tree is this session's home or one of its snapshots.
    pub fn shows(&self, tree: &Tree) -> bool {
        let is_it = |other: &Tree| other.key == tree.key;
        is_it(&self.home)
            || tree.kind == TreeKind::Snapshot
                && self
                    .snapshots
                    .lock()
                    .values()
                    .any(|snapshot| snapshot.upgrade().is_some_and(|snapshot| is_it(&snapshot)))
    }
}

/// The front's operations for the daemon.
pub trait Front: Send + Sync {
    /// Takes over everything that programs wrote and the system still holds back.
    fn flush(&self);
    /// Forgets what the system remembers of a change in a tree.
    fn changed(&self, tree: &Arc<Tree>, change: Change);
    /// Forgets what the system remembers of the namespace: a user signed in or out.
    fn turned(&self);
    /// The nodes of a tree that programs have open for writing, where the system could take writes for written
    /// after the session has ended.
    fn open_for_writing(&self, _tree: &Tree) -> Vec<Ino> {
        Vec::new()
    }
    /// The session of a tree has ended: programs that have its files open get an error when they write.
    fn ended(&self, _tree: &Tree) {}
}

/// The daemon's state.
pub struct Daemon {
    /// The folder for local state.
    pub state: PathBuf,
    /// The URL of the store to use when a request names none.
    pub store: String,
    /// The uid the daemon runs as.
    pub uid: u32,
    signed: RwLock<HashMap<u32, Arc<Signed>>>,
    /// Published trees that are in use, by store, address and viewer: each is shown as the viewer's.
    public: Mutex<HashMap<(String, String, u32), Weak<Tree>>>,
    stores: Mutex<HashMap<String, Weak<dyn Store>>>,
    problems: Mutex<VecDeque<String>>,
    next_key: AtomicU64,
    started: Instant,
    front: OnceLock<Box<dyn Front>>,
    for_everybody: AtomicBool,
    /// The members of the sessions.
    pub members: Members,
    bound: Bound,
}

/// A daemon that was started for the time of some commands ends with their session.
#[derive(Default)]
struct Bound {
    is: AtomicBool,
    starter_gone: AtomicBool,
    had_session: AtomicBool,
}

impl Daemon {
    /// A daemon without a session.
    pub fn new(state: PathBuf, store: String, uid: u32) -> Arc<Self> {
        Arc::new(Self {
            state,
            store,
            uid,
            signed: RwLock::default(),
            public: Mutex::default(),
            stores: Mutex::default(),
            problems: Mutex::default(),
            next_key: AtomicU64::new(1),
            started: Instant::now(),
            front: OnceLock::new(),
            for_everybody: AtomicBool::new(false),
            members: Members::default(),
            bound: Bound::default(),
        })
    }

    /// How long it has been running.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Lets every user sign in, each for itself: for a daemon that is the system's own.
    pub fn serve_everybody(&self) {
        self.for_everybody.store(true, Ordering::Release);
    }

    /// Whether a user may sign in here: root, the one the daemon runs for, or everybody.
    pub fn may_sign_in(&self, uid: u32) -> bool {
        uid == 0 || uid == self.uid || self.for_everybody.load(Ordering::Acquire)
    }

    /// From now on it ends with its session, or with its starter unless others take part then.
    pub fn bind(&self) {
        self.bound.is.store(true, Ordering::Release);
    }

    /// The program that started it has ended.
    pub fn starter_gone(&self) {
        self.bound.starter_gone.store(true, Ordering::Release);
    }

    /// Whether it has nothing to do any more.
    pub fn is_over(&self) -> bool {
        let bound = &self.bound;
        bound.is.load(Ordering::Acquire)
            && !self.members.are_there()
            && (bound.starter_gone.load(Ordering::Acquire)
                || bound.had_session.load(Ordering::Acquire) && self.signed.read().is_empty())
    }

    /// A conversation was closed. If it was the last one of a bound session, the session ends: published, or kept in
    /// the encrypted stage.
    pub fn conversation_closed(self: &Arc<Self>, conversation: u64) {
        let Some(key) = self.members.gone(conversation) else {
            return;
        };
        let signed = self
            .signed
            .read()
            .values()
            .find(|signed| signed.home.key == key)
            .cloned();
        let Some(signed) = signed else {
            return;
        };
        let daemon = Arc::clone(self);
        let end = move || {
            if let Some(session) = &signed.session {
                daemon.flush();
                if let Err(error) = session.sign_out(false, true, &()) {
                    daemon.problem(format!("ending the session: {error}"));
                    return;
                }
            }
            daemon.detach(&signed);
        };
        // Not on the thread that answers requests: writes of programs come through it.
        let thread = std::thread::Builder::new().name("safed-end".to_owned());
        if let Err(error) = thread.spawn(end) {
            self.problem(format!("ending the session: {error}"));
        }
    }

    /// The paths in the home of files that programs have open for writing.
    pub fn open_for_writing(&self, signed: &Signed) -> Vec<String> {
        let nodes = match self.front() {
            Some(front) => front.open_for_writing(&signed.home),
            None => Vec::new(),
        };
        let path = |ino| match signed.home.volume.path(ino) {
            Ok(path) => String::from_utf8_lossy(&path).into_owned(),
            // It was removed, or cannot be looked up now.
            Err(_) => "a file without a name".to_owned(),
        };
        nodes.into_iter().map(path).collect()
    }

    /// Connects the front; only the first one counts.
    pub fn set_front(&self, front: Box<dyn Front>) {
        let _ = self.front.set(front);
    }

    fn front(&self) -> Option<&dyn Front> {
        self.front.get().map(AsRef::as_ref)
    }

    /// Takes over what the system holds back of programs' writes; a publish does this first.
    pub fn flush(&self) {
        if let Some(front) = self.front() {
            front.flush();
        }
    }

    /// The session of a uid.
    pub fn signed(&self, uid: u32) -> Option<Arc<Signed>> {
        self.signed.read().get(&uid).cloned()
    }

    /// The uids with a session.
    pub fn uids(&self) -> Vec<u32> {
        self.signed.read().keys().copied().collect()
    }

    fn tree(&self, kind: TreeKind, volume: Arc<dyn Volume>) -> Arc<Tree> {
        Arc::new(Tree {
            key: self.next_key.fetch_add(1, Ordering::Relaxed),
            kind,
            root: volume.root(),
            volume,
        })
    }

    /// Shows `member` as the session of `uid`; `false` if that uid has one already.
    pub fn attach(
        self: &Arc<Self>,
        uid: u32,
        member: Arc<dyn Member>,
        session: Option<Arc<Session>>,
        store: Arc<dyn Store>,
    ) -> Result<bool> {
        let home = self.tree(TreeKind::Home, member.home()?);
        let signed = Arc::new(Signed {
            uid,
            home: Arc::clone(&home),
            member: Arc::clone(&member),
            session,
            store,
            snapshots: Mutex::default(),
        });
        {
            let mut table = self.signed.write();
            if table.contains_key(&uid) {
                return Ok(false);
            }
            table.insert(uid, signed);
        }
        self.bound.had_session.store(true, Ordering::Release);
        let daemon = Arc::downgrade(self);
        member.on_change(Box::new(move |change| {
            if let Some(daemon) = daemon.upgrade()
                && let Some(front) = daemon.front()
            {
                front.changed(&home, change);
            }
        }));
        let daemon = Arc::downgrade(self);
        member.on_flush(Box::new(move || {
            if let Some(daemon) = daemon.upgrade() {
                daemon.flush();
            }
        }));
        if let Some(front) = self.front() {
            front.turned();
        }
        Ok(true)
    }

    /// Takes the session of `uid` out of sight, if it still is `signed`.
    pub fn detach(&self, signed: &Arc<Signed>) {
        {
            let mut table = self.signed.write();
            match table.get(&signed.uid) {
                Some(there) if Arc::ptr_eq(there, signed) => table.remove(&signed.uid),
                _ => return,
            };
        }
        self.members.ended(signed.home.key);
        if let Some(front) = self.front() {
            front.ended(&signed.home);
            front.turned();
        }
    }

    /// A snapshot of a session as a tree.
    pub fn snapshot(&self, signed: &Signed, name: &str) -> Result<Arc<Tree>> {
        if let Some(tree) = signed.snapshots.lock().get(name).and_then(Weak::upgrade) {
            return Ok(tree);
        }
        let tree = self.tree(TreeKind::Snapshot, signed.member.snapshot(name)?);
        let mut opened = signed.snapshots.lock();
        if let Some(tree) = opened.get(name).and_then(Weak::upgrade) {
            return Ok(tree);
        }
        opened.retain(|_, tree| tree.strong_count() > 0);
        opened.insert(name.to_owned(), Arc::downgrade(&tree));
        Ok(tree)
    }

    /// A published tree, from the session's store or else from the default one.
    pub fn public(&self, who: Who, address: &str) -> Result<Arc<Tree>> {
        let store = match self.signed(who.uid) {
            Some(signed) => Arc::clone(&signed.store),
            None => self.open_store(&self.store)?,
        };
        let key = (store.url().to_owned(), address.to_owned(), who.uid);
        if let Some(tree) = self.public.lock().get(&key).and_then(Weak::upgrade) {
            return Ok(tree);
        }
        let volume = safeos_session::open_public_for(&store, address, (who.uid, who.gid))?;
        let tree = self.tree(TreeKind::Public, volume);
        let mut opened = self.public.lock();
        if let Some(tree) = opened.get(&key).and_then(Weak::upgrade) {
            return Ok(tree);
        }
        opened.retain(|_, tree| tree.strong_count() > 0);
        opened.insert(key, Arc::downgrade(&tree));
        Ok(tree)
    }

    /// A store by its URL, the same one for all its users; where records are paid for, one for each
    /// user, with a wallet of its own.
    pub fn open_store(&self, url: &str) -> safeos_store::Result<Arc<dyn Store>> {
        let options = safeos_store_autonomi::Options {
            state: self.state.clone(),
        };
        if let safeos_store::Parsed::Autonomi(_) = safeos_store::parse(url)? {
            return safeos_store_autonomi::open(url, &options);
        }
        if let Some(store) = self.stores.lock().get(url).and_then(Weak::upgrade) {
            return Ok(store);
        }
        let store = safeos_store_autonomi::open(url, &options)?;
        let mut stores = self.stores.lock();
        if let Some(store) = stores.get(url).and_then(Weak::upgrade) {
            return Ok(store);
        }
        stores.retain(|_, store| store.strong_count() > 0);
        stores.insert(url.to_owned(), Arc::downgrade(&store));
        Ok(store)
    }

    /// Notes trouble of the daemon itself for `status`.
    pub fn problem(&self, line: String) {
        let mut problems = self.problems.lock();
        if problems.len() == PROBLEMS_MAX {
            problems.pop_front();
        }
        problems.push_back(line);
    }

    /// The daemon's own trouble, newest last.
    pub fn problems(&self) -> Vec<String> {
        self.problems.lock().iter().cloned().collect()
    }
}
