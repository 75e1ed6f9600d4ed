//! A session under test beside its model, and the states that a crash may leave.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use safeos_session::model::ModelVolume;
use safeos_session::{FileKind, Ino, Session, Volume};
use safeos_store::{MemoryState, MemoryStore, Store as _, Traits};
use tempfile::TempDir;

use crate::common::{at_rest, credentials, options, put_files};
use crate::dump::{Dump, differs, dump, model_of};
use crate::operation::{Operation, Path, Random, resolve};
use crate::tap::Tap;

/// A folder in memory where there is one: these tests sync often.
pub fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| TempDir::new().unwrap())
}

/// Publishing only when it is asked for.
pub fn store(local: bool) -> MemoryStore {
    MemoryStore::new(Traits { local, paid: true })
}

/// The home at one moment.
#[derive(Clone)]
struct Moment {
    number: u64,
    /// The last operation.
    after: String,
    dump: Dump,
    /// Files whose content has changed since it was synced, and when.
    dirty: BTreeMap<Ino, u64>,
}

/// The states that are allowed after a crash: one of these moments, but any content of files that were not synced.
#[derive(Clone)]
pub struct History(Vec<Moment>);

impl History {
    fn now(&self) -> &Moment {
        self.0.last().unwrap()
    }

    /// Everything up to now and this file's content is on the disk.
    fn forget_older(&mut self, ino: Ino) {
        let last = self.0.len() - 1;
        self.0.drain(..last);
        self.0[0].dirty.remove(&ino);
    }

    /// Whether this is what a crash may leave.
    pub fn allows(&self, found: &Dump) -> Result<(), String> {
        let mut whys = String::new();
        for moment in &self.0 {
            match moment.is(found) {
                Ok(()) => return Ok(()),
                Err(why) => whys += &format!("\nafter {}: {}: {why}", moment.number, moment.after),
            }
        }
        Err(whys)
    }
}

impl Moment {
    fn is(&self, found: &Dump) -> Result<(), String> {
        let mut wanted = self.dump.clone();
        for (path, wanted) in &mut wanted {
            let Some(found) = found.get(path) else {
                continue;
            };
            if self.dirty.contains_key(&wanted.attr.ino) {
                wanted.content = found.content;
                wanted.attr = found.attr;
            }
            let (mut a, mut b) = (wanted.attr, found.attr);
            // The same content may be stored as holes or not.
            (a.blocks, b.blocks) = (0, 0);
            if a != b {
                return Err(format!(
                    "{}: {b:?}\nexpected: {a:?}",
                    String::from_utf8_lossy(path)
                ));
            }
        }
        differs(found, &wanted).map_or(Ok(()), Err)
    }
}

/// The state of one computer and the store at one moment.
pub struct Image {
    files: BTreeMap<PathBuf, Vec<u8>>,
    records: MemoryState,
    local: bool,
    pub history: History,
}

impl Image {
    /// The same, but the log's last bytes, which `before` does not have, reached the disk in part only.
    pub fn torn(mut self, before: &Self, random: &mut Random) -> Option<Self> {
        if !self.files.keys().eq(before.files.keys()) {
            return None;
        }
        let (path, old) = before.files.iter().find(|(path, bytes)| {
            path.parent().is_some_and(|dir| dir.ends_with("stage")) && self.files[*path] != **bytes
        })?;
        let new = self.files.get_mut(path)?;
        if new.len() != old.len() {
            return None;
        }
        let changed: Vec<usize> = (0..new.len()).filter(|at| new[*at] != old[*at]).collect();
        let cut = changed[random.below(changed.len())];
        if random.chance(50) {
            // The end is missing.
            new[cut..].copy_from_slice(&old[cut..]);
        } else {
            // A page in the middle is missing.
            let end = new.len().min(cut / 4096 * 4096 + 4096);
            new[cut / 4096 * 4096..end].copy_from_slice(&old[cut / 4096 * 4096..end]);
        }
        // Neither did the sync return, nor is anything older lost.
        self.history = before.history.clone();
        Some(self)
    }

    /// Flips a byte in each pack that is kept on the computer; how many there are.
    pub fn damage_packs(&mut self) -> usize {
        let mut count = 0;
        for (path, bytes) in &mut self.files {
            let is_pack = path
                .iter()
                .rev()
                .nth(2)
                .is_some_and(|folder| folder == "packs");
            if is_pack && !bytes.is_empty() {
                let at = bytes.len() / 2;
                bytes
                    .iter_mut()
                    .skip(at / 2)
                    .step_by(97)
                    .for_each(|byte| *byte ^= 0x20);
                count += 1;
            }
        }
        count
    }

    /// Signs in after a crash and checks that the state is allowed.
    pub fn recover(self, what: &str) -> World {
        if std::env::var_os("CRASH_TRACE").is_some() {
            println!("{what}");
        }
        let state = folder();
        put_files(state.path(), &self.files);
        let memory = store(self.local);
        memory.restore(self.records);
        let world = World::sign_in(Tap::new(memory), state);
        if let Err(why) = self.history.allows(&dump(&*world.bench.home)) {
            panic!("{what}: {why}");
        }
        let problems = world.session.status().problems;
        assert!(problems.is_empty(), "{what}: {problems:?}");
        world
    }
}

/// A home and its model.
pub struct Bench {
    pub home: Arc<dyn Volume>,
    state: PathBuf,
    store: Arc<Tap>,
    inner: Mutex<Inner>,
}

struct Inner {
    model: ModelVolume,
    history: History,
    count: u64,
}

impl Bench {
    fn new(home: Arc<dyn Volume>, state: PathBuf, store: Arc<Tap>) -> Self {
        let model = model_of(&*home);
        let history = History(vec![Moment {
            number: 0,
            after: "signing in".into(),
            dump: dump(&*home),
            dirty: BTreeMap::new(),
        }]);
        Self {
            home,
            state,
            store,
            inner: Mutex::new(Inner {
                model,
                history,
                count: 0,
            }),
        }
    }

    pub fn dump(&self) -> Dump {
        self.inner.lock().history.now().dump.clone()
    }

    pub fn history(&self) -> History {
        self.inner.lock().history.clone()
    }

    fn paths(&self) -> Vec<Path> {
        self.inner
            .lock()
            .history
            .now()
            .dump
            .keys()
            .cloned()
            .collect()
    }

    pub fn files(&self) -> Vec<Path> {
        let inner = self.inner.lock();
        let files = inner.history.now().dump.iter();
        files
            .filter(|(_, found)| found.node.kind == FileKind::File)
            .map(|(path, _)| path.clone())
            .collect()
    }

    /// Does something random here and in the model, and compares.
    pub fn step(&self, random: &mut Random) {
        let operation = Operation::random(random, &self.paths());
        self.apply(&operation);
    }

    pub fn apply(&self, operation: &Operation) {
        let mut inner = self.inner.lock();
        inner.count += 1;
        let number = inner.count;
        let changed = operation
            .changes_content_of()
            .and_then(|path| resolve(&*self.home, path).ok());
        let synced = match operation {
            Operation::RemoveOpen(path, _) => inner.history.now().dump.get(path),
            _ => None,
        };
        let synced = synced
            .filter(|found| found.node.kind == FileKind::File)
            .map(|found| found.attr.ino);
        let real = operation.apply(&*self.home);
        if std::env::var_os("CRASH_TRACE").is_some() {
            println!("{number}: {operation}: {real:?}");
        }
        let model = operation.apply(&inner.model);
        // Where several errors fit, either may be said.
        assert_eq!(
            real.is_ok(),
            model.is_ok(),
            "{operation}: {real:?}, expected {model:?}"
        );
        let now = dump(&*self.home);
        if let Some(why) = differs(&now, &dump(&inner.model)) {
            panic!("after {operation}: {why}");
        }
        let mut dirty = inner.history.now().dirty.clone();
        if let (Some(ino), Ok(())) = (changed, real) {
            dirty.insert(ino, number);
        }
        inner.history.0.push(Moment {
            number,
            after: format!("{operation}"),
            dump: now,
            dirty,
        });
        // It syncs when the name is gone.
        if let (Some(ino), Ok(())) = (synced, real) {
            inner.history.forget_older(ino);
        }
    }

    /// Syncs a file: from now on nothing older may come back, and its content is there.
    pub fn sync(&self, path: &[u8]) {
        if std::env::var_os("CRASH_TRACE").is_some() {
            println!("sync {}", String::from_utf8_lossy(path));
        }
        let ino = resolve(&*self.home, path).unwrap();
        self.home.sync(ino).unwrap();
        self.inner.lock().history.forget_older(ino);
    }

    /// The state after a crash at this moment.
    pub fn image(&self) -> Image {
        Image {
            files: at_rest(&self.state),
            records: self.store.store.state(),
            local: self.store.store.traits().local,
            history: self.history(),
        }
    }
}

/// All of it on one computer.
pub struct World {
    pub bench: Arc<Bench>,
    pub session: Arc<Session>,
    pub store: Arc<Tap>,
    _state: TempDir,
}

impl World {
    pub fn sign_up(store: Arc<Tap>) -> Self {
        let state = folder();
        let session =
            Session::sign_up(credentials(), options(store.clone(), state.path()), &()).unwrap();
        Self::with(session, store, state)
    }

    pub fn sign_in(store: Arc<Tap>, state: TempDir) -> Self {
        let session =
            Session::sign_in(credentials(), options(store.clone(), state.path()), &()).unwrap();
        Self::with(session, store, state)
    }

    fn with(session: Arc<Session>, store: Arc<Tap>, state: TempDir) -> Self {
        let home = session.home().unwrap();
        let bench = Arc::new(Bench::new(home, state.path().to_owned(), store.clone()));
        Self {
            bench,
            session,
            store,
            _state: state,
        }
    }

    /// Publishes. If `during` is given, a program writes at that call of the store, and an image is taken
    /// there or so many calls later.
    pub fn publish(&self, during: Option<(usize, usize, u64)>) -> Option<Image> {
        let mark = self.bench.history().now().number;
        let taken = Arc::new(Mutex::new(None));
        if let Some((call, later, seed)) = during {
            let bench = self.bench.clone();
            let work = move || {
                let mut random = Random::new(seed);
                for _ in 0..random.below(3) {
                    bench.step(&mut random);
                }
                let files = bench.files();
                if !files.is_empty() {
                    let path = files[random.below(files.len())].clone();
                    let data = random.bytes(5000);
                    bench.apply(&Operation::Write(path.clone(), Some(100), data));
                    if random.chance(80) {
                        bench.sync(&path);
                    }
                }
            };
            self.store.at(call, Box::new(work));
            let (bench, taken) = (self.bench.clone(), taken.clone());
            let look = move || *taken.lock() = Some(bench.image());
            self.store.at(call + later, Box::new(look));
        }
        if std::env::var_os("CRASH_TRACE").is_some() {
            println!("publish");
        }
        self.session.publish(&()).unwrap();
        self.store.clear();
        let mut inner = self.bench.inner.lock();
        inner.history.0.retain(|moment| moment.number >= mark);
        for moment in &mut inner.history.0 {
            moment.dirty.retain(|_, number| *number > mark);
        }
        drop(inner);
        taken.lock().take()
    }

    /// A bench for the present state.
    pub fn again(&self) -> Bench {
        let state = self.bench.state.clone();
        Bench::new(self.bench.home.clone(), state, self.store.clone())
    }

    /// The store and nothing else: this computer is destroyed.
    pub fn without_computer(&self) -> Image {
        Image {
            files: BTreeMap::new(),
            records: self.store.store.state(),
            local: self.store.store.traits().local,
            history: self.bench.history(),
        }
    }

    pub fn check(&self) {
        let checked = self.session.check(&()).unwrap();
        assert_eq!(checked.damaged, Vec::<String>::new());
    }
}
