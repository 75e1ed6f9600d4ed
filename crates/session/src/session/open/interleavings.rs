//! Writers, a publish and a collection of one home, in many orders of their threads.
//!
//! The scheduler runs one thread at a time and changes it where a lock is taken or given back. An order that fails is
//! printed; `SAFE_INTERLEAVINGS` is how many are tried of each test.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use safeos_store::{MemoryState, MemoryStore};
use shuttle::rand::Rng;
use shuttle::scheduler::RandomScheduler;
use shuttle::{Config, Runner, thread};
use tempfile::TempDir;

use super::support::{copy, credentials, make, memory_folder, options, read};
use super::*;
use crate::Volume;

/// Of each test, where nothing else is said.
const ORDERS: usize = 60;
/// Several blocks, the last one not whole.
const FILE_BYTES: usize = 70_000;

/// Tries a test in many orders.
fn in_many_orders(test: fn()) {
    // Made once, and not in the middle of an order: it takes long.
    account();
    let orders = std::env::var("SAFE_INTERLEAVINGS").map_or(ORDERS, |text| text.parse().unwrap());
    let mut config = Config::new();
    config.stack_size = 4 << 20;
    config.max_steps = shuttle::MaxSteps::None;
    Runner::new(RandomScheduler::new(orders), config).run(test);
}

/// An account with an empty home, and its store then.
fn account() -> &'static (Arc<Account>, Head, MemoryState) {
    static MADE: OnceLock<(Arc<Account>, Head, MemoryState)> = OnceLock::new();
    MADE.get_or_init(|| {
        let store = MemoryStore::default();
        let login = Login::derive_small(&credentials()).unwrap();
        let made = login.sign_up::<Error>(&store, first_commit, &|_| {});
        let (account, head) = made.unwrap();
        (Arc::new(account), head, store.state())
    })
}

/// A computer at work on the account's home.
struct Computer {
    state: TempDir,
    store: Arc<MemoryStore>,
    session: Arc<Session>,
}

impl Computer {
    fn new(store: &Arc<MemoryStore>) -> Self {
        Self::with(store, memory_folder())
    }

    /// The one whose state folder this is, started again.
    fn with(store: &Arc<MemoryStore>, state: TempDir) -> Self {
        let (account, head, _) = account();
        let head = account
            .fetch_head_after(&**store, head)
            .unwrap()
            .unwrap_or_else(|| head.clone());
        let options = options(store.clone(), state.path());
        let local = Arc::new(Local::open(state.path(), account.home_key()).unwrap());
        let key = account.home_key();
        let lease = Lease::new(store.clone(), key, &local, "here".to_owned()).unwrap();
        let opening = Opening {
            account,
            head: &head,
            options: &options,
            local: &local,
            lease: &Arc::new(lease),
            offline: false,
        };
        let sync = opening.to_write(&|_| {}).unwrap();
        Self {
            state,
            store: store.clone(),
            session: Arc::new(Session::idle(sync)),
        }
    }

    fn home(&self) -> Arc<Home> {
        self.session.sync.home().clone()
    }

    fn publish(&self) {
        self.session.sync.publish_quietly(None, &()).unwrap();
    }

    /// The state folder and store after a crash at this moment.
    fn image(&self) -> (TempDir, MemoryState) {
        let state = memory_folder();
        copy(self.state.path(), state.path());
        (state, self.store.state())
    }
}

/// Lets others go on for a while.
fn pause() {
    for _ in 0..shuttle::rand::thread_rng().gen_range(0..200) {
        thread::yield_now();
    }
}

fn store() -> Arc<MemoryStore> {
    let store = MemoryStore::default();
    store.restore(account().2.clone());
    Arc::new(store)
}

/// Bytes that no other file has.
fn content(seed: u8) -> Vec<u8> {
    (0..FILE_BYTES).map(|at| (at / 7) as u8 ^ seed).collect()
}

/// Writes a file and syncs it; the list has it then.
fn write_and_sync(home: &Home, seed: u8, synced: &std::sync::Mutex<BTreeMap<String, u8>>) {
    let name = format!("file {seed}");
    let file = make(home, &name).unwrap().ino;
    home.write(file, Some(0), &content(seed)).unwrap();
    home.sync(file).unwrap();
    synced.lock().unwrap().insert(name, seed);
}

fn assert_has(home: &Home, synced: &BTreeMap<String, u8>) {
    for (name, seed) in synced {
        let found = read(home, name).ok();
        assert!(
            found == Some(content(*seed)),
            "{name} is not what was synced"
        );
    }
}

#[test]
fn blocks_that_several_threads_flush_are_as_they_were_written_last() {
    in_many_orders(|| {
        let computer = Computer::new(&store());
        let home = computer.home();
        let shared = make(&*home, "shared").unwrap().ino;
        let threads: Vec<_> = (1..=3_u8)
            .map(|seed| {
                let home = home.clone();
                thread::spawn(move || {
                    let own = make(&*home, &format!("own {seed}")).unwrap().ino;
                    home.write(own, Some(0), &content(seed ^ 0xff)).unwrap();
                    // Each its own block of the same file, and twice.
                    let at = u64::from(seed) * safeos_tree::BLOCK_BYTES as u64;
                    home.write(shared, Some(at), &[0; 5000]).unwrap();
                    match seed {
                        1 => home.flush_all().unwrap(),
                        2 => drop(home.flush_oldest().unwrap()),
                        _ => home.sync(own).unwrap(),
                    }
                    home.write(shared, Some(at), &[seed; 5000]).unwrap();
                    home.write(own, Some(0), &content(seed)).unwrap();
                })
            })
            .collect();
        let flusher = {
            let home = home.clone();
            thread::spawn(move || home.flush_all().unwrap())
        };
        for thread in threads {
            thread.join().unwrap();
        }
        flusher.join().unwrap();
        home.flush_all().unwrap();
        assert!(home.is_flushed());
        for seed in 1..=3 {
            assert!(read(&*home, &format!("own {seed}")).unwrap() == content(seed));
            let at = u64::from(seed) * safeos_tree::BLOCK_BYTES as u64;
            let mut found = Vec::new();
            home.read(shared, at, 5000, &mut found).unwrap();
            assert!(found == [seed; 5000], "block {seed} is an older one");
        }
    });
}

#[test]
fn what_is_synced_while_a_publish_runs_survives_a_crash_at_any_moment() {
    in_many_orders(|| {
        let computer = Arc::new(Computer::new(&store()));
        let synced = Arc::new(std::sync::Mutex::new(BTreeMap::new()));
        let writers: Vec<_> = [[1, 2], [3, 4]]
            .into_iter()
            .map(|seeds| {
                let (home, synced) = (computer.home(), synced.clone());
                thread::spawn(move || {
                    for seed in seeds {
                        write_and_sync(&home, seed, &synced);
                    }
                })
            })
            .collect();
        let publisher = {
            let computer = computer.clone();
            thread::spawn(move || {
                computer.publish();
                computer.publish();
            })
        };
        let crash = {
            let (computer, synced) = (computer.clone(), synced.clone());
            thread::spawn(move || {
                pause();
                // No lock of the scheduler's is taken here: it is one moment.
                let synced = synced.lock().unwrap().clone();
                (computer.image(), synced)
            })
        };
        for writer in writers {
            writer.join().unwrap();
        }
        publisher.join().unwrap();
        let ((state, records), before) = crash.join().unwrap();
        let after = store();
        after.restore(records);
        assert_has(&Computer::with(&after, state).home(), &before);
        let (state, records) = computer.image();
        after.restore(records);
        let all = synced.lock().unwrap().clone();
        assert_eq!(all.len(), 4);
        assert_has(&Computer::with(&after, state).home(), &all);
    });
}

#[test]
fn a_collection_leaves_what_another_computer_publishes_meanwhile() {
    in_many_orders(|| {
        let store = store();
        let first = Arc::new(Computer::new(&store));
        let synced = Arc::new(std::sync::Mutex::new(BTreeMap::new()));
        // Something to collect: a state that is not the newest keeps its packs, content that was never published does
        // not.
        write_and_sync(&first.home(), 1, &synced);
        first.home().flush_all().unwrap();
        let doomed = first.home().lookup(first.home().root(), b"file 1").unwrap();
        let size = crate::SetAttr {
            size: Some(0),
            ..crate::SetAttr::default()
        };
        first.home().set_attr(doomed.ino, &size).unwrap();
        synced.lock().unwrap().clear();
        first.publish();
        let second = Arc::new(Computer::new(&store));
        let collector = {
            let first = first.clone();
            thread::spawn(move || {
                pause();
                first.session.collect(false, &()).map(drop)
            })
        };
        let writer = {
            let (second, synced) = (second.clone(), synced.clone());
            thread::spawn(move || {
                // The same content as what is collected, too.
                for seed in [1, 2] {
                    let home = second.home();
                    let name = format!("second {seed}");
                    let file = make(&*home, &name).unwrap().ino;
                    home.write(file, Some(0), &content(seed)).unwrap();
                    home.flush_all().unwrap();
                    synced.lock().unwrap().insert(name, seed);
                    second.publish();
                }
            })
        };
        let collected = collector.join().unwrap();
        writer.join().unwrap();
        // Another thread may be faster each time.
        if let Err(error) = collected {
            assert_eq!(error.code(), "head_moved", "{error}");
        }
        let third = Computer::new(&store);
        assert_has(&third.home(), &synced.lock().unwrap());
        let checked = third.session.check(&()).unwrap();
        assert!(checked.damaged.is_empty(), "{:?}", checked.damaged);
    });
}
