//! Promises of a session about its disks: the free space, the errors of a full disk, and durability in time.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use common::{copy, credentials, make, options};
use safeos_record::{Chunk, Pointer};
use safeos_session::{Allocate, Error, RenameMode, Session, SetAttr, XattrMode};
use safeos_store::{
    Error as StoreError, MemoryStore, Method, Result, Room, Store, StoreHooks, Traits,
};
use tempfile::TempDir;

/// A store elsewhere that a test can make hang, and that says how much room it has.
#[derive(Default)]
struct Remote {
    records: MemoryStore,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    hangs: bool,
    waiting: usize,
    room: Option<Room>,
}

impl Remote {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            records: MemoryStore::new(Traits {
                local: false,
                paid: false,
            }),
            ..Self::default()
        })
    }

    /// Has calls that write wait from now on, or go on.
    fn hang(&self, hangs: bool) {
        self.state.lock().unwrap().hangs = hangs;
        self.changed.notify_all();
    }

    fn set_free(&self, free: u64) {
        let total = 1 << 40;
        self.state.lock().unwrap().room = Some(Room { total, free });
    }

    /// Waits until a thread waits.
    fn is_waited_for(&self) {
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_while(state, |state| state.waiting == 0));
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.waiting += 1;
        self.changed.notify_all();
        state = self.changed.wait_while(state, |state| state.hangs).unwrap();
        state.waiting -= 1;
    }
}

impl StoreHooks for Remote {
    fn inner(&self) -> &dyn Store {
        &self.records
    }

    fn on_put_chunks(&self, chunks: &[Chunk]) -> Result<()> {
        self.pass();
        self.records.put_chunks(chunks)
    }

    fn on_set_pointer(&self, pointer: &Pointer, expected: Option<u64>) -> Result<()> {
        self.pass();
        self.records.set_pointer(pointer, expected)
    }

    fn on_room(&self) -> Option<Room> {
        self.state.lock().unwrap().room
    }
}

fn sign_up(store: &Arc<Remote>, state: &TempDir) -> Arc<Session> {
    Session::sign_up(credentials(), options(store.clone(), state.path()), &()).unwrap()
}

/// The bytes of the stage's files.
fn stage(state: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let home = std::fs::read_dir(state.join("homes")).unwrap().next();
    let files = std::fs::read_dir(home.unwrap().unwrap().path().join("stage")).unwrap();
    let mut found: Vec<_> = files
        .filter_map(|file| {
            let path = file.unwrap().path();
            Some((path.clone(), std::fs::read(path).ok()?))
        })
        .collect();
    found.sort();
    found
}

/// Asks again until it is so; a test that waits for this long has failed.
fn until(mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "it does not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_was_written_is_durable_in_time_whatever_a_publish_waits_for() {
    let store = Remote::new();
    let state = TempDir::new().unwrap();
    let session = sign_up(&store, &state);
    let home = session.home().unwrap();
    store.hang(true);
    let file = make(&*home, "file").unwrap();
    home.write(file.ino, Some(0), b"before").unwrap();
    // The publisher hangs now.
    store.is_waited_for();
    let before = stage(state.path());
    home.write(file.ino, Some(0), b"while it hangs").unwrap();
    until(|| stage(state.path()) != before);
    let after = TempDir::new().unwrap();
    let mut found = Vec::new();
    until(|| {
        // The frame may be there in part.
        drop(std::fs::remove_dir_all(after.path()));
        std::fs::create_dir(after.path()).unwrap();
        copy(state.path(), after.path());
        let records = MemoryStore::new(store.traits());
        records.restore(store.records.state());
        let options = options(Arc::new(records), after.path());
        let again = Session::sign_in(credentials(), options, &()).unwrap();
        let home = again.home().unwrap();
        found.clear();
        home.read(file.ino, 0, 100, &mut found).unwrap();
        again.sign_out(false, false, &()).unwrap();
        found == b"while it hangs"
    });
    store.hang(false);
    session.sign_out(false, false, &()).unwrap();
}

#[test]
fn a_home_has_the_room_of_the_smallest_place_that_it_needs() {
    let store = Remote::new();
    let state = TempDir::new().unwrap();
    let session = sign_up(&store, &state);
    let home = session.home().unwrap();
    let free = || Room::of_disk(state.path()).unwrap().free;
    let before = free();
    let found = home.space().unwrap();
    assert!(found.free <= before.max(free()), "{found:?}");
    store.set_free(5_000_000);
    let file = make(&*home, "file").unwrap();
    home.write(file.ino, Some(0), &[1; 1_000_000]).unwrap();
    let found = home.space().unwrap();
    assert!((3_900_000..=5_000_000).contains(&found.free), "{found:?}");
    assert!(found.total >= found.free + 1_000_000, "{found:?}");
    session.sign_out(false, false, &()).unwrap();
}

#[test]
fn where_there_is_no_room_nothing_more_is_taken_and_removing_goes_on() {
    let store = Remote::new();
    let state = TempDir::new().unwrap();
    let session = sign_up(&store, &state);
    let home = session.home().unwrap();
    let file = make(&*home, "file").unwrap();
    home.write(file.ino, Some(0), &[1; 100_000]).unwrap();
    make(&*home, "gone").unwrap();
    store.set_free(1000);
    until(|| {
        make(&*home, "more").is_err_and(|error| error.errno() == 28) || {
            let made = home.unlink(home.root(), b"more");
            made.is_err()
        }
    });
    let root = home.root();
    assert_eq!(home.write(file.ino, None, b"x").unwrap_err().errno(), 28);
    let grown = SetAttr {
        perm: Some(0o600),
        ..SetAttr::default()
    };
    home.set_attr(file.ino, &grown).unwrap();
    home.rename((root, b"file"), (root, b"file2"), RenameMode::Replace)
        .unwrap();
    home.unlink(root, b"gone").unwrap();
    session.publish(&()).unwrap();
    session.collect(false, &()).unwrap();
    store.set_free(1 << 30);
    until(|| make(&*home, "more").is_ok());
    session.sign_out(false, false, &()).unwrap();
}

#[test]
fn nothing_is_written_after_the_end() {
    for later in [false, true] {
        let store = Remote::new();
        let state = TempDir::new().unwrap();
        let session = sign_up(&store, &state);
        let home = session.home().unwrap();
        let root = home.root();
        let file = make(&*home, "file").unwrap().ino;
        home.write(file, Some(0), b"kept").unwrap();
        home.set_xattr(file, b"user.a", b"b", XattrMode::Any)
            .unwrap();
        if later {
            session.sign_out_later().unwrap();
        } else {
            session.sign_out(false, false, &()).unwrap();
        }
        let size = SetAttr {
            size: Some(0),
            ..SetAttr::default()
        };
        let mode = RenameMode::Replace;
        let reserve = Allocate::Reserve { keep_size: false };
        for (number, refused) in [
            home.write(file, Some(0), b"lost").map(drop),
            home.write(file, None, b"lost").map(drop),
            home.write(file, Some(0), b"").map(drop),
            home.write_back(file, 0, b"lost"),
            home.set_attr(file, &size).map(drop),
            home.set_attr(file, &SetAttr::default()).map(drop),
            make(&*home, "other").map(drop),
            home.link(file, root, b"link").map(drop),
            home.unlink(root, b"file"),
            home.rmdir(root, b"file"),
            home.rename((root, b"file"), (root, b"other"), mode),
            home.allocate(file, 0, 10, reserve),
            home.set_xattr(file, b"user.a", b"c", XattrMode::Any),
            home.remove_xattr(file, b"user.a"),
            home.sync(file),
        ]
        .into_iter()
        .enumerate()
        {
            assert!(
                matches!(refused, Err(Error::Ended)),
                "{number}: {refused:?}"
            );
        }
        home.release(file, 1);
    }
}

#[test]
fn a_store_that_is_full_is_collected_and_keeps_what_waits_for_room() {
    let store = Arc::new(MemoryStore::new(Traits {
        local: true,
        paid: true,
    }));
    let state = TempDir::new().unwrap();
    let open = options(store.clone(), state.path());
    let session = Session::sign_up(credentials(), open, &()).unwrap();
    let home = session.home().unwrap();
    let file = make(&*home, "file").unwrap();
    let noise = |seed: u64| -> Vec<u8> {
        let mut at = seed;
        (0..200_000)
            .map(|_| {
                at = at
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (at >> 56) as u8
            })
            .collect()
    };
    home.write(file.ino, Some(0), &noise(1)).unwrap();
    session.publish(&()).unwrap();
    let before = store.stats().unwrap().chunks;
    // Packed and overwritten: only the stage refers to the first of these.
    for seed in 2..4 {
        home.write(file.ino, Some(0), &noise(seed)).unwrap();
        store.fail_next(Method::SetPointer, 1, unreachable());
        assert!(session.publish(&()).is_err());
    }
    let after = store.stats().unwrap().chunks;
    assert!(after > before + 1);
    let full = StoreError::Full {
        url: "memory:".into(),
        why: "no room".into(),
    };
    home.write(file.ino, Some(0), &noise(9)).unwrap();
    store.fail_next(Method::PutChunks, u64::MAX, full);
    assert_eq!(session.publish(&()).unwrap_err().errno(), 28);
    session.collect(false, &()).unwrap();
    let left = store.stats().unwrap().chunks;
    assert!(left > before + 1, "{before} {after} {left}");
    // There is room again, and packs that were put for nothing go.
    store.fail_next(Method::PutChunks, 0, unreachable());
    session.publish(&()).unwrap();
    session.collect(false, &()).unwrap();
    let mut found = Vec::new();
    home.read(file.ino, 0, 300_000, &mut found).unwrap();
    assert!(found == noise(9));
    assert_eq!(session.check(&()).unwrap().damaged, Vec::<String>::new());
    session.sign_out(false, false, &()).unwrap();
}

fn unreachable() -> StoreError {
    StoreError::Unreachable {
        url: "memory:".into(),
        why: "for a test".into(),
    }
}
