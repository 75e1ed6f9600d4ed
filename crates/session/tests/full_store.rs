//! A full store elsewhere: it takes nothing that is not needed, and can be left.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{after_crash, credentials, make, noise, options, read};
use safeos_record::Chunk;
use safeos_session::{Session, Volume};
use safeos_store::{Error, Kind, MemoryStore, Result, Store, StoreHooks, Traits};
use tempfile::TempDir;

/// A server's disk with room for so many bytes of chunks.
struct Small {
    records: MemoryStore,
    room: AtomicU64,
}

impl Small {
    fn new(room: u64) -> Arc<Self> {
        Arc::new(Self {
            records: MemoryStore::new(Traits {
                local: false,
                paid: false,
            }),
            room: AtomicU64::new(room),
        })
    }

    fn bytes(&self) -> u64 {
        let entries = self.records.list(None, usize::MAX).unwrap();
        let chunks = entries.iter().filter(|entry| entry.kind == Kind::Chunk);
        chunks.map(|entry| entry.len).sum()
    }
}

impl StoreHooks for Small {
    fn inner(&self) -> &dyn Store {
        &self.records
    }

    fn on_put_chunks(&self, chunks: &[Chunk]) -> Result<()> {
        // One after the other, as they come in: some of a batch may be there when it fails.
        for chunk in chunks {
            let len = chunk.bytes().len() as u64;
            if self.bytes() + len > self.room.load(Ordering::Relaxed) {
                return Err(Error::Full {
                    url: self.url().to_owned(),
                    why: "its disk is full".into(),
                });
            }
            self.records.put_chunks(std::slice::from_ref(chunk))?;
        }
        Ok(())
    }
}

fn write(home: &dyn Volume, name: &str, content: &[u8]) {
    let found = home.lookup(home.root(), name.as_bytes());
    let file = found.or_else(|_| make(home, name)).unwrap();
    home.write(file.ino, Some(0), content).unwrap();
}

const MIB: usize = 1 << 20;

#[test]
fn a_full_store_is_left_by_removing_what_does_not_fit() {
    for collects in [false, true] {
        let store = Small::new(12 * MIB as u64);
        let state = TempDir::new().unwrap();
        let open = || options(store.clone(), state.path());
        let session = Session::sign_up_small(credentials(), open(), &()).unwrap();
        let home = session.home().unwrap();
        write(&*home, "kept", &noise(MIB, 1));
        session.publish(&()).unwrap();
        write(&*home, "big", &noise(20 * MIB, 2));
        assert_eq!(session.publish(&()).unwrap_err().errno(), 28);
        // Until there is no room for the smallest record either.
        store.room.store(store.bytes(), Ordering::Relaxed);
        home.unlink(home.root(), b"big").unwrap();
        if collects {
            assert_eq!(session.publish(&()).unwrap_err().errno(), 28);
            let collected = session.collect(false, &()).unwrap();
            assert!(collected.bytes > 4 * MIB as u64, "{collected:?}");
        } else {
            // A little is enough, whatever waits on this computer.
            store.room.fetch_add(MIB as u64, Ordering::Relaxed);
        }
        session.publish(&()).unwrap();
        assert_eq!(session.status().unpublished_bytes, 0);
        session.collect(false, &()).unwrap();
        assert!(store.bytes() < 2 * MIB as u64, "{}", store.bytes());
        assert!(session.check(&()).unwrap().damaged.is_empty());
        assert!(read(&*home, "kept").unwrap() == noise(MIB, 1));
        drop(home);
        session.sign_out(false, false, &()).unwrap();
        drop(session);
        // Nothing comes back at the next sign-in.
        let session = Session::sign_in(credentials(), open(), &()).unwrap();
        let home = session.home().unwrap();
        write(&*home, "more", b"more");
        session.publish(&()).unwrap();
        assert!(store.bytes() < 2 * MIB as u64, "{}", store.bytes());
    }
}

#[test]
fn what_a_full_store_has_not_taken_survives_a_crash_and_a_collection() {
    let store = Small::new(12 * MIB as u64);
    let state = TempDir::new().unwrap();
    let session =
        Session::sign_up_small(credentials(), options(store.clone(), state.path()), &()).unwrap();
    let home = session.home().unwrap();
    for seed in [3, 4] {
        // Packed, and overwritten: only the stage refers to the first of these.
        write(&*home, "big", &noise(15 * MIB, seed));
        assert_eq!(session.publish(&()).unwrap_err().errno(), 28);
    }
    let big = home.lookup(home.root(), b"big").unwrap().ino;
    home.sync(big).unwrap();
    session.collect(false, &()).unwrap();
    let crashed = after_crash(&state);
    session.sign_out(false, true, &()).ok();
    drop(home);
    drop(session);
    let session =
        Session::sign_in(credentials(), options(store.clone(), crashed.path()), &()).unwrap();
    let home = session.home().unwrap();
    assert!(read(&*home, "big").unwrap() == noise(15 * MIB, 4));
    store.room.store(64 * MIB as u64, Ordering::Relaxed);
    session.publish(&()).unwrap();
    session.collect(false, &()).unwrap();
    assert!(store.bytes() < 17 * MIB as u64, "{}", store.bytes());
    assert!(session.check(&()).unwrap().damaged.is_empty());
    // Another computer has it from the store alone.
    let there = TempDir::new().unwrap();
    let other = Session::sign_in(credentials(), options(store.clone(), there.path()), &()).unwrap();
    assert!(read(&*other.home().unwrap(), "big").unwrap() == noise(15 * MIB, 4));
}
