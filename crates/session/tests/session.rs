//! A home from sign-up to sign-out, on one computer and on two.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::{after_crash, copy, credentials, noise, read};
use safeos_session::{
    Allocate, Attr, Error, FileKind, Ino, Limits, NewNode, Options, RenameMode, Seek, Session,
    SetAttr, Volume, open_public,
};
use safeos_store::{Kind, MemoryStore, Method, Store, Traits};
use tempfile::TempDir;

fn options(store: &Arc<dyn Store>, state: &Path) -> Options {
    Options {
        limits: Limits {
            dirty_bytes_max: 4 << 20,
            ..Limits::default()
        },
        ..common::options(store.clone(), state)
    }
}

fn sign_up(store: &Arc<dyn Store>, state: &TempDir) -> Arc<Session> {
    Session::sign_up(credentials(), options(store, state.path()), &()).unwrap()
}

fn sign_in(store: &Arc<dyn Store>, state: &TempDir) -> Arc<Session> {
    Session::sign_in(credentials(), options(store, state.path()), &()).unwrap()
}

fn file(home: &dyn Volume, dir: Ino, name: &str) -> Attr {
    let node = NewNode::new(FileKind::File, 0o644, (1000, 1000));
    home.create(dir, name.as_bytes(), &node).unwrap()
}

fn content(home: &dyn Volume, name: &str) -> Vec<u8> {
    read(home, name).unwrap()
}

fn names(home: &dyn Volume) -> Vec<String> {
    let entries = home.read_dir(home.root(), None, 100).unwrap();
    entries
        .iter()
        .map(|e| String::from_utf8_lossy(&e.name).into_owned())
        .collect()
}

fn is_whole(session: &Session) {
    assert_eq!(session.check(&()).unwrap().damaged, Vec::<String>::new());
}

#[test]
fn holes_begin_at_the_page_after_what_was_written() {
    const MIB: u64 = 1 << 20;
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let here = TempDir::new().unwrap();
    let session = sign_up(&store, &here);
    let home = session.home().unwrap();
    let ino = file(&*home, home.root(), "file").ino;
    home.allocate(ino, 0, 4 * MIB, Allocate::Reserve { keep_size: false })
        .unwrap();
    home.write(ino, Some(0), &noise(57_344, 1)).unwrap();
    home.write(ino, Some(MIB), b"x").unwrap();
    home.write(ino, Some(4 * MIB - 3), b"end").unwrap();
    let seek = |from, what| home.seek(ino, from, what).map_err(|error| error.errno());
    let look = || {
        assert_eq!(seek(0, Seek::Data), Ok(0));
        assert_eq!(seek(0, Seek::Hole), Ok(57_344));
        assert_eq!(seek(57_343, Seek::Hole), Ok(57_344));
        assert_eq!(seek(60_000, Seek::Hole), Ok(60_000));
        assert_eq!(seek(57_344, Seek::Data), Ok(MIB));
        assert_eq!(seek(MIB, Seek::Hole), Ok(MIB + 4096));
        assert_eq!(seek(4 * MIB - 1, Seek::Data), Ok(4 * MIB - 1));
        assert_eq!(seek(4 * MIB - 1, Seek::Hole), Ok(4 * MIB));
        assert_eq!(seek(4 * MIB, Seek::Hole), Err(6));
        seek(MIB + 4096, Seek::Data).unwrap()
    };
    assert_eq!(look(), 4 * MIB - 4096);
    session.publish(&()).unwrap();
    // Of what is stored, a block is told from its beginning.
    assert_eq!(look(), 4 * MIB - 32_768);
    // Content in memory counts, even if it is shorter than the stored content.
    home.set_attr(
        ino,
        &SetAttr {
            size: Some(MIB + 1),
            ..SetAttr::default()
        },
    )
    .unwrap();
    home.allocate(ino, 0, 57_344, Allocate::PunchHole).unwrap();
    assert_eq!(seek(0, Seek::Data), Ok(MIB));
    assert_eq!(seek(0, Seek::Hole), Ok(0));
}

#[test]
fn what_cannot_fit_is_not_promised() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let here = TempDir::new().unwrap();
    let session = sign_up(&store, &here);
    let home = session.home().unwrap();
    let ino = file(&*home, home.root(), "file").ino;
    for keep_size in [false, true] {
        let what = Allocate::Reserve { keep_size };
        let error = home.allocate(ino, 0, 1 << 60, what).unwrap_err();
        assert_eq!(error.errno(), 28, "{error}");
        home.allocate(ino, 1 << 60, 4096, what).unwrap();
    }
    assert_eq!(home.attr(ino).unwrap().size, (1 << 60) + 4096);
}

#[test]
fn a_whiteout_is_where_the_moved_node_was() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let session = sign_up(&store, &here);
    let home = session.home().unwrap();
    let root = home.root();
    let moved = file(&*home, root, "a");
    file(&*home, root, "b");
    let rename = |from: &str, to: &str, replace| {
        let mode = RenameMode::Whiteout { replace };
        home.rename((root, from.as_bytes()), (root, to.as_bytes()), mode)
    };
    assert!(matches!(rename("a", "b", false), Err(Error::Exists)));
    rename("a", "b", true).unwrap();
    assert_eq!(home.lookup(root, b"b").unwrap().ino, moved.ino);
    session.publish(&()).unwrap();
    session.sign_out(false, false, &()).unwrap();

    let session = sign_in(&store, &there);
    let left = session.home().unwrap().lookup(root, b"a").unwrap();
    assert_eq!((left.kind, left.rdev), (FileKind::CharDevice, 0));
    assert_eq!((left.perm, left.nlink), (0, 1));
    assert_eq!((left.uid, left.gid), (moved.uid, moved.gid));
    is_whole(&session);
}

#[test]
fn what_one_computer_writes_another_finds() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let session = sign_up(&store, &here);
    let home = session.home().unwrap();
    let small = file(&*home, home.root(), "small");
    home.write(small.ino, Some(0), b"a few bytes").unwrap();
    let large = file(&*home, home.root(), "large");
    let data = noise(10_000_000, 7);
    for (number, part) in data.chunks(70_001).enumerate() {
        home.write(large.ino, Some(number as u64 * 70_001), part)
            .unwrap();
    }
    home.write(small.ino, None, b", and more").unwrap();
    assert!(content(&*home, "large") == data);
    session.publish(&()).unwrap();
    let before = home.attr(large.ino).unwrap();
    session.sign_out(false, false, &()).unwrap();
    assert!(matches!(home.attr(large.ino), Err(Error::Ended)));

    let session = sign_in(&store, &there);
    let home = session.home().unwrap();
    assert_eq!(content(&*home, "small"), b"a few bytes, and more");
    assert!(content(&*home, "large") == data);
    assert_eq!(home.attr(large.ino).unwrap(), before);
    is_whole(&session);
}

#[test]
fn a_session_that_dies_loses_nothing_that_was_synced() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let here = TempDir::new().unwrap();
    let session = sign_up(&store, &here);
    let home = session.home().unwrap();
    let one = file(&*home, home.root(), "one");
    home.write(one.ino, Some(5), &noise(300_000, 1)).unwrap();
    home.sync(one.ino).unwrap();
    let synced = content(&*home, "one");
    let after = after_crash(&here);
    drop(home);
    drop(session);

    let session = sign_in(&store, &after);
    let home = session.home().unwrap();
    assert!(content(&*home, "one") == synced);
    session.publish(&()).unwrap();
    is_whole(&session);
}

#[test]
fn a_crash_on_a_damaged_store_locks_nobody_out() {
    let memory = Arc::new(MemoryStore::default());
    let store: Arc<dyn Store> = memory.clone();
    let here = TempDir::new().unwrap();
    let session = sign_up(&store, &here);
    let home = session.home().unwrap();
    let hurt = file(&*home, home.root(), "hurt");
    home.write(hurt.ino, Some(0), &noise(100_000, 1)).unwrap();
    session.publish(&()).unwrap();
    // A few bytes in a block of which the store has the rest; and a file that is all in the stage.
    home.write(hurt.ino, Some(5), b"after that").unwrap();
    home.sync(hurt.ino).unwrap();
    let whole = file(&*home, home.root(), "whole");
    home.write(whole.ino, Some(0), &noise(40_000, 3)).unwrap();
    home.sync(whole.ino).unwrap();
    let synced = content(&*home, "whole");
    let after = after_crash(&here);
    drop((home, session));
    let kept: Vec<_> = memory
        .list(None, 1000)
        .unwrap()
        .into_iter()
        .filter(|entry| entry.kind == Kind::Chunk && entry.len > 50_000)
        .map(|entry| (entry.address, memory.raw(entry.kind, &entry.address)))
        .collect();
    assert!(!kept.is_empty());
    for (address, _) in &kept {
        memory.remove_raw(Kind::Chunk, address);
    }

    // Nothing is given up unasked: with the records there again all of it comes back.
    let refused = Session::sign_in(credentials(), options(&store, after.path()), &());
    let Err(Error::Damaged(why)) = refused else {
        panic!("a loss was accepted")
    };
    assert!(
        why.contains("hurt") && why.contains("--accept-older"),
        "{why}"
    );
    let repaired = after_crash(&after);
    let put_back = || {
        for (address, bytes) in &kept {
            memory.set_raw(Kind::Chunk, *address, bytes.clone().unwrap());
        }
    };
    put_back();
    let session = sign_in(&store, &repaired);
    assert!(content(&*session.home().unwrap(), "hurt")[5..].starts_with(b"after that"));
    drop(session);
    for (address, _) in &kept {
        memory.remove_raw(Kind::Chunk, address);
    }

    let mut accepting = options(&store, after.path());
    accepting.accept_older = true;
    let session = Session::sign_in(credentials(), accepting, &()).unwrap();
    let problems = session.status().problems;
    assert!(
        problems
            .iter()
            .any(|line| line.contains("not brought back") && line.contains("hurt")),
        "{problems:?}"
    );
    let home = session.home().unwrap();
    assert!(content(&*home, "whole") == synced);
    // A copy of the store is found.
    put_back();
    assert!(content(&*home, "hurt") == noise(100_000, 1));
    drop(home);
    session.sign_out(false, false, &()).unwrap();
}

#[test]
fn what_many_threads_write_is_stored_once() {
    const PIECE: usize = 128 << 10;
    const FILE_BYTES: usize = 32 << 20;
    const FILES: u64 = 3;
    let memory = Arc::new(MemoryStore::default());
    // As a disk does it: long enough for everybody to come to pack.
    memory.delay(Method::PutChunks, Duration::from_millis(20));
    let store: Arc<dyn Store> = memory.clone();
    let state = TempDir::new().unwrap();
    let mut options = options(&store, state.path());
    options.limits.dirty_bytes_max = 24 << 20;
    let session = Session::sign_up(credentials(), options, &()).unwrap();
    let home = session.home().unwrap();
    let writing = AtomicUsize::new(FILES as usize);
    std::thread::scope(|scope| {
        for number in 0..FILES {
            let (home, writing) = (&home, &writing);
            scope.spawn(move || {
                let file = file(&**home, home.root(), &format!("file {number}"));
                let data = noise(FILE_BYTES, number * 2 + 1);
                for (at, part) in data.chunks(PIECE).enumerate() {
                    let offset = at * PIECE;
                    home.write(file.ino, Some(offset as u64), part).unwrap();
                }
                home.sync(file.ino).unwrap();
                writing.fetch_sub(1, Ordering::Relaxed);
            });
        }
        while writing.load(Ordering::Relaxed) > 0 {
            session.publish(&()).unwrap();
        }
    });
    session.publish(&()).unwrap();
    let written = FILES * FILE_BYTES as u64;
    let stored = memory.stats().unwrap().bytes;
    assert!(
        stored < written + written / 50,
        "{stored} of {written} bytes"
    );
    is_whole(&session);
}

#[test]
fn what_is_synced_goes_where_it_takes_least() {
    const BLOCK: usize = 32 << 10;
    const BLOCKS: usize = 2176;
    // Nothing is published in between where records are paid for.
    let memory = Arc::new(MemoryStore::new(Traits {
        local: true,
        paid: true,
    }));
    let store: Arc<dyn Store> = memory.clone();
    let here = TempDir::new().unwrap();
    let mut options = options(&store, here.path());
    // Nothing is packed but for a sync.
    options.limits.dirty_bytes_max = 1 << 30;
    let session = Session::sign_up(credentials(), options, &()).unwrap();
    let home = session.home().unwrap();
    let one = file(&*home, home.root(), "one");
    let mut data = noise(BLOCKS * BLOCK, 3);
    home.write(one.ino, Some(0), &data).unwrap();
    home.sync(one.ino).unwrap();
    let packed = memory.stats().unwrap().bytes;
    assert!(packed > data.len() as u64, "it is in packs: {packed} bytes");

    let page = noise(4096, 5);
    for start in (0..data.len()).step_by(BLOCK) {
        home.write(one.ino, Some(start as u64), &page).unwrap();
        data[start..start + page.len()].copy_from_slice(&page);
    }
    home.sync(one.ino).unwrap();
    assert_eq!(
        memory.stats().unwrap().bytes,
        packed,
        "one page of each block is in the log"
    );

    let after = TempDir::new().unwrap();
    copy(here.path(), after.path());
    drop(home);
    drop(session);
    let session = sign_in(&store, &after);
    assert!(content(&*session.home().unwrap(), "one") == data);
    is_whole(&session);
}

#[test]
fn two_computers_meet() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let a = sign_up(&store, &here);
    let b = sign_in(&store, &there);
    let (home_a, home_b) = (a.home().unwrap(), b.home().unwrap());
    let one = file(&*home_a, home_a.root(), "from a");
    home_a.write(one.ino, Some(0), b"aaa").unwrap();
    let two = file(&*home_b, home_b.root(), "from b");
    home_b.write(two.ino, Some(0), b"bbb").unwrap();
    for (home, text) in [(&home_a, "of a"), (&home_b, "of b!")] {
        let both = file(&**home, home.root(), "both.txt");
        home.write(both.ino, Some(0), text.as_bytes()).unwrap();
    }
    a.publish(&()).unwrap();
    let published = b.publish(&()).unwrap();
    assert_eq!(published.conflicts.len(), 1, "{published:?}");
    a.publish(&()).unwrap();
    assert_eq!(names(&*home_a), names(&*home_b));
    assert_eq!(names(&*home_a).len(), 4);
    for home in [&home_a, &home_b] {
        assert_eq!(content(&**home, "from a"), b"aaa");
        assert_eq!(content(&**home, "from b"), b"bbb");
        assert_eq!(content(&**home, "both.txt"), b"of a");
        let copy = names(&**home)
            .into_iter()
            .find(|name| name.contains("conflict"))
            .unwrap();
        assert_eq!(content(&**home, &copy), b"of b!");
    }
    is_whole(&a);
}

#[test]
fn history_restores_and_a_file_can_be_published() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let here = TempDir::new().unwrap();
    let session = sign_up(&store, &here);
    let home = session.home().unwrap();
    let one = file(&*home, home.root(), "one");
    home.write(one.ino, Some(0), b"old").unwrap();
    session.publish(&()).unwrap();
    let snapshot = session.snapshots().unwrap().pop().unwrap();
    home.write(one.ino, Some(0), b"new").unwrap();
    session.publish(&()).unwrap();
    let old = session.snapshot(&snapshot.name).unwrap();
    assert_eq!(content(&*old, "one"), b"old");
    session
        .restore(&snapshot.name, b"one", Some(b"again"), false, &())
        .unwrap();
    let refused = session.restore(&snapshot.name, b"one", None, false, &());
    assert!(matches!(refused, Err(Error::Exists)));
    assert_eq!(content(&*home, "again"), b"old");
    session
        .restore(&snapshot.name, b"one", None, true, &())
        .unwrap();
    assert_eq!(content(&*home, "one"), b"old");
    session.publish(&()).unwrap();
    is_whole(&session);
    let url = session.publish_path(b"one", &()).unwrap();
    let public = open_public(&store, url.trim_start_matches("safe://")).unwrap();
    assert_eq!(content(&*public, "one"), b"old");
    assert_eq!(session.collect(false, &()).unwrap().records, 0);
}

#[test]
fn opening_takes_two_lookups_however_large_the_home() {
    let memory = Arc::new(MemoryStore::default());
    let store: Arc<dyn Store> = memory.clone();
    let state = TempDir::new().unwrap();
    let leave = |session: Arc<Session>| session.sign_out(false, false, &()).unwrap();
    leave(sign_up(&store, &state));
    let mut made = 0;
    for count in [1, 20_000] {
        let session = sign_in(&store, &state);
        let home = session.home().unwrap();
        for n in made..count {
            file(&*home, home.root(), &format!("file {n}"));
        }
        made = count;
        drop(home);
        leave(session);
        let before = memory.all_calls();
        let session = sign_in(&store, &state);
        assert_eq!(memory.all_calls() - before, 2, "{count} files");
        leave(session);
    }
}

#[test]
fn what_is_published_while_files_are_replaced_is_whole() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let state = TempDir::new().unwrap();
    let session = sign_up(&store, &state);
    let home = session.home().unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut used = VecDeque::new();
            while !stop.load(Ordering::Relaxed) {
                let new = file(&*home, home.root(), "new");
                // In use for a while, as files are that programs read.
                home.retain(new.ino);
                let (from, to) = ((home.root(), &b"new"[..]), (home.root(), &b"kept"[..]));
                home.rename(from, to, RenameMode::Replace).unwrap();
                used.push_back(new.ino);
                if used.len() > 500
                    && let Some(done) = used.pop_front()
                {
                    home.release(done, 1);
                }
                std::thread::sleep(Duration::from_micros(100));
            }
        });
        let damaged: Vec<String> = (0..30)
            .filter_map(|_| session.publish(&()).and_then(|_| session.check(&())).ok())
            .flat_map(|found| found.damaged)
            .collect();
        stop.store(true, Ordering::Relaxed);
        assert!(damaged.is_empty(), "{damaged:?}");
    });
    drop(home);
    session.sign_out(false, false, &()).unwrap();
}

/// A write to a file while what another computer made of it is merged: it is made in one of the two versions, and the
/// other is there too.
#[test]
fn a_write_during_a_merge_mixes_no_versions() {
    const LEN: usize = 64 * 1024;
    let memory = Arc::new(MemoryStore::new(Traits {
        local: false,
        paid: false,
    }));
    let store: Arc<dyn Store> = memory.clone();
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let first = sign_up(&store, &here);
    let home = first.home().unwrap();
    // So many that the changed ones are not in the head itself.
    for n in 0..3000 {
        file(&*home, home.root(), &format!("other {n}"));
    }
    let shared = file(&*home, home.root(), "shared");
    home.write(shared.ino, Some(0), &[0; LEN]).unwrap();
    first.publish(&()).unwrap();
    let second = sign_in(&store, &there);
    let other = second.home().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    first.on_flush(Box::new(move || {
        count.fetch_add(1, Ordering::Relaxed);
    }));
    for round in 1..8_u8 {
        second.publish(&()).unwrap();
        let ino = other.lookup(other.root(), b"shared").unwrap().ino;
        other.write(ino, Some(0), &[round; LEN]).unwrap();
        second.publish(&()).unwrap();
        memory.delay(Method::GetChunks, Duration::from_millis(100));
        std::thread::scope(|scope| {
            let merging = scope.spawn(|| first.publish(&()).unwrap());
            std::thread::sleep(Duration::from_millis(u64::from(round) * 40));
            let ino = home.lookup(home.root(), b"shared").unwrap().ino;
            home.write(ino, Some(0), b"a few bytes").unwrap();
            merging.join().unwrap();
        });
        memory.delay(Method::GetChunks, Duration::ZERO);
        first.publish(&()).unwrap();
        let found: Vec<Vec<u8>> = home
            .read_dir(home.root(), None, 10_000)
            .unwrap()
            .iter()
            .filter(|entry| entry.name.starts_with(b"shared"))
            .map(|entry| content(&*home, &String::from_utf8_lossy(&entry.name)))
            .collect();
        for content in &found {
            let rest = &content[11..];
            assert_eq!(content.len(), LEN, "round {round}");
            assert!(rest.iter().all(|byte| *byte == rest[0]), "round {round}");
        }
        let has = |value| found.iter().any(|content| content[LEN - 1] == value);
        assert!(has(round), "round {round}: theirs is gone");
        assert!(
            found.iter().any(|content| content.starts_with(b"a few")),
            "round {round}: ours is gone"
        );
    }
    // Each time what the system keeps back was asked for.
    assert!(asked.load(Ordering::Relaxed) >= 7);
    drop((home, other));
    is_whole(&first);
    first.sign_out(false, false, &()).unwrap();
    second.sign_out(false, false, &()).unwrap();
}

/// Two stores that went apart and count the same: the copy is made, or it is said that it cannot be.
#[test]
fn a_copy_does_not_take_another_state_for_its_own() {
    let one: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let two: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let first = sign_up(&one, &here);
    first.copy_to(&*two, &()).unwrap();
    let second = sign_in(&two, &there);
    for (session, name) in [(&first, "one"), (&second, "two")] {
        let home = session.home().unwrap();
        file(&*home, home.root(), name);
        session.publish(&()).unwrap();
    }
    second.sign_out(false, false, &()).unwrap();
    drop(second);
    let copied = first.copy_to(&*two, &()).is_ok();
    let second = sign_in(&two, &there);
    let found = names(&*second.home().unwrap());
    assert_eq!(found, [if copied { "one" } else { "two" }]);
    second.sign_out(false, false, &()).unwrap();
    first.sign_out(false, false, &()).unwrap();
}

/// While new files are written, content of older packs is written again, and a file without a name is open.
#[test]
fn what_is_written_while_a_store_is_collected_stays() {
    for local in [true, false] {
        let memory = Arc::new(MemoryStore::new(Traits { local, paid: false }));
        memory.delay(Method::List, Duration::from_millis(30));
        let store: Arc<dyn Store> = memory.clone();
        let state = TempDir::new().unwrap();
        let session = sign_up(&store, &state);
        let home = session.home().unwrap();
        let open = file(&*home, home.root(), "open");
        home.write(open.ino, Some(0), &noise(3 << 20, 1)).unwrap();
        home.retain(open.ino);
        home.unlink(home.root(), b"open").unwrap();
        let stop = AtomicBool::new(false);
        let written = AtomicUsize::new(0);
        let seed = |number: usize| (number % 5 + 2) as u64;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let number = written.load(Ordering::Relaxed);
                    let name = format!("file {number}");
                    let new = file(&*home, home.root(), &name);
                    home.write(new.ino, Some(0), &noise(3 << 20, seed(number)))
                        .unwrap();
                    home.sync(new.ino).unwrap();
                    // Only the newest stays: the content comes back when nothing refers to it any more.
                    if let Some(before) = number.checked_sub(1) {
                        let name = format!("file {before}");
                        home.unlink(home.root(), name.as_bytes()).unwrap();
                    }
                    written.store(number + 1, Ordering::Relaxed);
                }
            });
            for _ in 0..20 {
                session.collect(false, &()).unwrap();
            }
            stop.store(true, Ordering::Relaxed);
        });
        let mut out = Vec::new();
        home.read(open.ino, 0, 3 << 20, &mut out).unwrap();
        assert!(out == noise(3 << 20, 1), "the file without a name");
        home.release(open.ino, 1);
        session.publish(&()).unwrap();
        is_whole(&session);
        let last = written.load(Ordering::Relaxed) - 1;
        let content = content(&*home, &format!("file {last}"));
        assert!(content == noise(3 << 20, seed(last)), "file {last}");
        drop(home);
        session.sign_out(false, false, &()).unwrap();
    }
}

/// Content that was reported durable is there again, also when the session ends during a write.
#[test]
fn what_is_synced_while_somebody_signs_out_is_there_afterwards() {
    for round in 0..4 {
        let memory = Arc::new(MemoryStore::default());
        memory.delay(Method::SetPointer, Duration::from_millis(20));
        let store: Arc<dyn Store> = memory;
        let state = TempDir::new().unwrap();
        let session = sign_up(&store, &state);
        let home = session.home().unwrap();
        let synced = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let new = file(&*home, home.root(), "counted");
                let mut synced = 0;
                for number in 1..u64::MAX {
                    let done = home
                        .write(new.ino, Some(0), &number.to_le_bytes())
                        .and_then(|_| home.sync(new.ino));
                    match done {
                        Ok(()) => synced = number,
                        Err(Error::Ended) => break,
                        Err(error) => panic!("{error}"),
                    }
                }
                synced
            });
            std::thread::sleep(Duration::from_millis(50 + round * 23));
            session.sign_out(false, false, &()).unwrap();
            writer.join().unwrap()
        });
        drop((home, session));
        let session = sign_in(&store, &state);
        let home = session.home().unwrap();
        let there = content(&*home, "counted");
        let there = u64::from_le_bytes(there.try_into().unwrap());
        assert!(there >= synced, "{there} is there, {synced} was synced");
        drop(home);
        session.sign_out(false, false, &()).unwrap();
    }
}

/// Files that are written to at random places, faster than they are packed: no published state has anything beyond the
/// end of a file, two computers that do so are merged, and each file is what its writer has made of it in the end.
#[test]
fn what_is_published_while_files_are_written_is_whole() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Traits {
        local: false,
        paid: false,
    }));
    let states = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let sessions = [sign_up(&store, &states[0]), sign_in(&store, &states[1])];
    let stop = AtomicBool::new(false);
    let write = |home: &dyn Volume, name: &str, seed: u64| -> Vec<u8> {
        let ino = file(home, home.root(), name).ino;
        let mut places = noise(1 << 20, seed).into_iter().cycle();
        let mut place = move || places.next().map_or(0, usize::from);
        let mut made = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let (offset, value) = (place() * 2000, place() as u8);
            let end = offset + 1 + place() * 300;
            if place() < 16 {
                let size = Some(offset as u64);
                let change = SetAttr {
                    size,
                    ..SetAttr::default()
                };
                home.set_attr(ino, &change).unwrap();
                made.resize(offset, 0);
            } else {
                let data = vec![value; end - offset];
                home.write(ino, Some(offset as u64), &data).unwrap();
                made.resize(made.len().max(end), 0);
                made[offset..end].copy_from_slice(&data);
            }
        }
        made
    };
    let made = std::thread::scope(|scope| {
        let mut writers = Vec::new();
        for (number, session) in sessions.iter().enumerate() {
            for name in ["one", "two", "three"] {
                let name = format!("{name} of {number}");
                let (write, home) = (&write, session.home().unwrap());
                writers.push(scope.spawn(move || {
                    let seed = (name.len() * 7 + number) as u64;
                    let made = write(&*home, &name, seed);
                    (name, made)
                }));
            }
        }
        let mut damaged = Vec::new();
        for _ in 0..10 {
            for session in &sessions {
                session.publish(&()).unwrap();
                damaged.extend(session.check(&()).unwrap().damaged);
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert!(damaged.is_empty(), "{damaged:?}");
        let made = writers.into_iter().map(|writer| writer.join().unwrap());
        made.collect::<Vec<_>>()
    });
    for session in sessions.iter().chain(&sessions) {
        session.publish(&()).unwrap();
    }
    for session in sessions {
        let home = session.home().unwrap();
        for (name, made) in &made {
            assert!(content(&*home, name) == *made, "{name}");
        }
        drop(home);
        is_whole(&session);
        session.sign_out(false, false, &()).unwrap();
    }
}

#[test]
fn a_file_in_use_that_another_computer_removes_lives_until_it_is_closed() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let first = sign_up(&store, &one);
    let home = first.home().unwrap();
    let open = file(&*home, home.root(), "open");
    home.write(open.ino, Some(0), b"still read").unwrap();
    home.retain(open.ino);
    first.publish(&()).unwrap();
    let nodes = first.status().nodes;

    let second = sign_in(&store, &two);
    let other = second.home().unwrap();
    other.unlink(other.root(), b"open").unwrap();
    drop(other);
    second.sign_out(false, false, &()).unwrap();

    first.publish(&()).unwrap();
    assert!(matches!(
        home.lookup(home.root(), b"open"),
        Err(Error::NotFound)
    ));
    let mut out = Vec::new();
    home.read(open.ino, 0, 100, &mut out).unwrap();
    assert_eq!(out, b"still read");
    home.release(open.ino, 1);
    assert!(matches!(home.attr(open.ino), Err(Error::NotFound)));
    assert_eq!(first.status().nodes, nodes - 1);
    drop(home);
    first.sign_out(false, false, &()).unwrap();
}
