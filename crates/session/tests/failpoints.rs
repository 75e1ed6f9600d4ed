//! Every failpoint of the session, its journal and its store: an error there, and the end of the process there.
//!
//! The session is checked for this: synced files are there, with their content; every node and record opens; and it
//! goes on: an operation that failed succeeds when it is repeated, and later changes are published. A failpoint in the
//! source that no work here reaches is an error of this test.
//!
//! The short set has each failpoint once, at a hit that the seed chooses. There the state folder and the store are
//! copied, as the end of the process leaves them, and then the call fails. `FAILPOINT_SEEDS=FROM..TO` runs other seeds.
//! A test program of its own: failpoints are of the whole process.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{at_rest, credentials, make, memory_folder, noise, options, put_files};
use parking_lot::Mutex;
use safeos_session::{Result, Session, Volume};
use safeos_store::{MemoryState, MemoryStore, Traits};
use safeos_telemetry::fail;
use tempfile::TempDir;

/// Files that were fsynced, with their content.
type Synced = BTreeMap<String, Vec<u8>>;

/// A computer with its home open.
struct Computer {
    store: Arc<MemoryStore>,
    state: TempDir,
    session: Arc<Session>,
    synced: Arc<Mutex<Synced>>,
}

/// The state of a computer whose processes have ended, and the store.
#[derive(Clone)]
struct Left {
    files: BTreeMap<PathBuf, Vec<u8>>,
    records: MemoryState,
    local: bool,
    synced: Synced,
}

fn memory_store(local: bool) -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(Traits { local, paid: false }))
}

impl Left {
    fn of(state: &Path, store: &MemoryStore, local: bool, synced: &Mutex<Synced>) -> Self {
        Self {
            synced: synced.lock().clone(),
            files: at_rest(state),
            records: store.state(),
            local,
        }
    }

    fn sign_in(self) -> Computer {
        let (store, state) = (memory_store(self.local), memory_folder());
        store.restore(self.records);
        put_files(state.path(), &self.files);
        let session =
            Session::sign_in(credentials(), options(store.clone(), state.path()), &()).unwrap();
        Computer {
            store,
            state,
            session,
            synced: Arc::new(Mutex::new(self.synced)),
        }
    }
}

impl Computer {
    /// Another computer of the same person, with nothing but the store.
    fn another(&self) -> Result<Self> {
        let state = memory_folder();
        let session = Session::sign_in(
            credentials(),
            options(self.store.clone(), state.path()),
            &(),
        )?;
        Ok(Self {
            store: self.store.clone(),
            state,
            session,
            synced: Arc::default(),
        })
    }

    fn left(&self, local: bool) -> Left {
        Left::of(self.state.path(), &self.store, local, &self.synced)
    }

    fn write(&self, name: &str, content: &[u8]) {
        let home = self.session.home().unwrap();
        let made = make(&*home, name).unwrap();
        home.write(made.ino, Some(0), content).unwrap();
    }

    fn sync(&self, name: &str) -> Result<()> {
        let home = self.session.home()?;
        let ino = home.lookup(home.root(), name.as_bytes())?.ino;
        home.sync(ino)?;
        let content = read(&*home, name);
        self.synced.lock().insert(name.to_owned(), content);
        Ok(())
    }

    fn remove(&self, name: &str) {
        self.synced.lock().remove(name);
        let home = self.session.home().unwrap();
        home.unlink(home.root(), name.as_bytes()).unwrap();
    }

    /// Synced files are there and everything opens.
    fn check(&self, what: &str) {
        let home = self.session.home().unwrap();
        for (name, content) in &*self.synced.lock() {
            assert!(read(&*home, name) == *content, "{what}: {name} is another");
        }
        let checked = self.session.check(&()).unwrap();
        assert_eq!(checked.damaged, Vec::<String>::new(), "{what}");
    }

    /// The same, and it goes on.
    fn check_and_go_on(&self, what: &str) {
        self.check(what);
        self.write("and on", b"it goes");
        self.sync("and on").unwrap();
        self.session.publish(&()).unwrap();
        self.check(what);
    }
}

fn read(home: &dyn Volume, name: &str) -> Vec<u8> {
    let attr = home
        .lookup(home.root(), name.as_bytes())
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut out = Vec::new();
    home.read(attr.ino, 0, attr.size as usize, &mut out)
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    out
}

/// Work that meets failpoints: the work before it, and itself, which can be done again.
struct Phase {
    name: &'static str,
    before: fn(&Computer),
    work: fn(&Computer) -> Result<()>,
}

const PHASES: [Phase; 7] = [
    Phase {
        name: "syncing",
        before: |computer| {
            computer.write("small", &noise(900, 1));
            computer.write("middle", &noise(200_000, 2));
            computer.write("large", &noise(3 << 20, 3));
        },
        work: |computer| {
            for name in ["small", "middle", "large"] {
                computer.sync(name)?;
            }
            Ok(())
        },
    },
    Phase {
        name: "publishing",
        before: |computer| {
            computer.write("synced", &noise(70_000, 4));
            computer.sync("synced").unwrap();
            computer.write("not synced", &noise(70_000, 5));
        },
        work: |computer| computer.session.publish(&()).map(drop),
    },
    Phase {
        name: "merging",
        before: |computer| {
            computer.write("ours", &noise(5_000, 6));
            computer.sync("ours").unwrap();
            let other = computer.another().unwrap();
            other.write("theirs", &noise(5_000, 8));
            other.sync("theirs").unwrap();
            other.session.sign_out(false, false, &()).unwrap();
        },
        work: |computer| computer.session.publish(&()).map(drop),
    },
    Phase {
        name: "collecting",
        before: |computer| {
            computer.remove("large");
            computer.session.publish(&()).unwrap();
        },
        work: |computer| computer.session.collect(false, &()).map(drop),
    },
    Phase {
        name: "reading",
        before: |_| {},
        work: |computer| {
            let home = computer.session.home()?;
            // The lock is not held while it reads: a failpoint's hook takes it.
            let names: Vec<String> = computer.synced.lock().keys().cloned().collect();
            for name in names {
                let attr = home.lookup(home.root(), name.as_bytes())?;
                home.read(attr.ino, 0, attr.size as usize, &mut Vec::new())?;
            }
            computer.session.check(&()).map(drop)
        },
    },
    Phase {
        name: "coming and going elsewhere",
        before: |_| {},
        work: |computer| {
            let other = computer.another()?;
            other.session.sign_out(false, false, &()).map(drop)
        },
    },
    Phase {
        name: "signing out",
        before: |computer| {
            computer.write("last", &noise(5_000, 7));
            computer.sync("last").unwrap();
        },
        work: |computer| computer.session.sign_out(false, false, &()).map(drop),
    },
];

/// The start of a phase, and the failpoints that it reaches, with their counts.
struct Begun {
    left: Left,
    met: BTreeMap<&'static str, u64>,
}

/// Goes through all phases once; nothing fails.
fn begin(local: bool) -> Vec<Begun> {
    let (store, state) = (memory_store(local), memory_folder());
    let session =
        Session::sign_up(credentials(), options(store.clone(), state.path()), &()).unwrap();
    let mut computer = Computer {
        store,
        state,
        session,
        synced: Arc::default(),
    };
    let mut begun = Vec::new();
    for phase in &PHASES {
        let left = computer.left(local);
        computer = left.clone().sign_in();
        (phase.before)(&computer);
        fail::watch();
        (phase.work)(&computer).unwrap();
        let met = fail::seen();
        begun.push(Begun { left, met });
    }
    begun
}

/// The names of failpoints in the source.
fn in_source() -> BTreeSet<String> {
    fn walk(dir: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                for rest in text.split("failpoint!(\"").skip(1) {
                    found.insert(rest.split('"').next().unwrap().to_owned());
                }
            }
        }
    }
    // Tests run in their package's folder.
    let mut found = BTreeSet::new();
    for dir in ["src", "../store/src"] {
        walk(Path::new(dir), &mut found);
    }
    found
}

/// How often a failpoint is tried in each of its phases until it is reached.
const TRIES: usize = 5;

/// At hit `hit` (from 0) of this point the process ends, as seen from another; and here the call fails. Whether it
/// came so far: how often some points are reached depends on what the session does meanwhile.
fn fail_once(begun: &Begun, phase: &Phase, point: &'static str, hit: u64) -> bool {
    let what = format!("{}, {point}, hit {hit}", phase.name);
    let local = begun.left.local;
    let computer = begun.left.clone().sign_in();
    (phase.before)(&computer);
    let taken: Arc<Mutex<Option<Left>>> = Arc::default();
    let take = taken.clone();
    let (state, store) = (computer.state.path().to_owned(), computer.store.clone());
    let synced = computer.synced.clone();
    let end = move || *take.lock() = Some(Left::of(&state, &store, local, &synced));
    fail::once(point, hit, end).unwrap();
    let outcome = (phase.work)(&computer);
    fail::never(point);
    if outcome.is_err() {
        (phase.work)(&computer).unwrap_or_else(|error| panic!("{what}, again: {error}"));
    }
    if phase.name != "signing out" {
        computer.check_and_go_on(&format!("{what}, an error"));
    }
    let left = taken.lock().take();
    let was_reached = left.is_some();
    if let Some(left) = left {
        left.sign_in().check_and_go_on(&format!("{what}, the end"));
    }
    was_reached
}

fn seeds() -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("FAILPOINT_SEEDS") else {
        return 0..1;
    };
    let (from, to) = text.split_once("..").unwrap();
    from.parse().unwrap()..to.parse().unwrap()
}

#[test]
fn at_every_failpoint_nothing_that_was_synced_is_lost() {
    let all = in_source();
    assert!(all.len() > 20, "{all:?}");
    let mut met = BTreeSet::new();
    for seed in seeds() {
        for local in [false, true] {
            let begun = begin(local);
            for point in begun.iter().flat_map(|begun| begun.met.keys().copied()) {
                // A store elsewhere meets them all; one on this computer has some that are different.
                if !met.insert((seed, point)) {
                    continue;
                }
                let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ point.len() as u64;
                let mut below = |count: u64| {
                    random ^= random << 13 | 1;
                    random ^= random >> 7;
                    random ^= random << 17;
                    random % count
                };
                let here: Vec<usize> = (0..PHASES.len())
                    .filter(|at| begun[*at].met.contains_key(point))
                    .collect();
                let first = below(here.len() as u64) as usize;
                let hits = begun[here[first]].met[point];
                println!(
                    "seed {seed}, {}, {point}: {hits} hits",
                    PHASES[here[first]].name
                );
                let chosen = below(hits);
                // The session publishes by itself, half a second after a change: where it has been before, a phase
                // that met the point may not meet it again.
                let turns = here.iter().cycle().skip(first).take(here.len() * TRIES);
                let reached = turns.zip(0..).any(|(at, turn)| {
                    let hit = if turn == 0 { chosen } else { 0 };
                    fail_once(&begun[*at], &PHASES[*at], point, hit)
                });
                assert!(reached, "{point}: not reached");
            }
        }
    }
    let met: BTreeSet<String> = met.into_iter().map(|(_, point)| point.to_owned()).collect();
    let never: Vec<_> = all.difference(&met).collect();
    assert!(never.is_empty(), "nothing reaches {never:?}");
}
