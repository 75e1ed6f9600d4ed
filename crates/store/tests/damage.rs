//! A store whose files were damaged: each damage its own error, everything else readable, no panic.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{LARGE, chunk, large_path, open, owner, pointer};
use safeos_record::{Address, Chunk};
use safeos_store::{Error, FileStore, Kind, Store, file_url};

fn is_damaged(outcome: Result<Chunk, Error>, wanted: Address) {
    match outcome {
        Err(Error::Damaged {
            kind: Kind::Chunk,
            address,
            ..
        }) if address == wanted => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_damage_to_a_large_chunk_is_its_own_error() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let (one, two, safe) = (chunk(1, LARGE), chunk(2, 1_000_000), chunk(3, LARGE));
    let all = [one.clone(), two.clone(), safe.clone()];
    store.put_chunks(&all).unwrap();
    let path = large_path(folder.path(), &one.address());
    let whole = fs::read(&path).unwrap();
    let put_again = || {
        store.put_chunks(&all).unwrap();
        assert_eq!(store.get_chunk(&one.address()).unwrap(), one);
    };

    // Flipped, at the ends and in the middle; putting it again heals it.
    for at in [0, whole.len() / 2, whole.len() - 1] {
        let mut spoilt = whole.clone();
        spoilt[at] ^= 1;
        fs::write(&path, &spoilt).unwrap();
        is_damaged(store.get_chunk(&one.address()), one.address());
        put_again();
    }
    // Truncated, extended, of an absurd length.
    for len in [
        0,
        1,
        whole.len() as u64 - 1,
        whole.len() as u64 + 1,
        1 << 40,
    ] {
        fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(len)
            .unwrap();
        is_damaged(store.get_chunk(&one.address()), one.address());
        if len < 10 {
            assert!(matches!(
                store.read_part(&one.address(), 5, 20),
                Err(Error::Damaged { .. })
            ));
        }
        put_again();
    }
    // Swapped with another.
    let other = large_path(folder.path(), &two.address());
    let aside = folder.path().join("aside");
    fs::rename(&path, &aside).unwrap();
    fs::rename(&other, &path).unwrap();
    fs::rename(&aside, &other).unwrap();
    is_damaged(store.get_chunk(&one.address()), one.address());
    is_damaged(store.get_chunk(&two.address()), two.address());
    put_again();
    // Removed.
    fs::remove_file(&path).unwrap();
    assert!(matches!(
        store.get_chunk(&one.address()),
        Err(Error::Missing { address, .. }) if address == one.address()
    ));
    assert!(!store.has_chunks(&[one.address()]).unwrap()[0]);
    // Something else under its name: a folder, a pipe (which must not be waited for).
    fs::create_dir(&path).unwrap();
    is_damaged(store.get_chunk(&one.address()), one.address());
    fs::remove_dir(&path).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    if made.is_ok_and(|status| status.success()) {
        is_damaged(store.get_chunk(&one.address()), one.address());
    }
    assert_eq!(store.get_chunk(&safe.address()).unwrap(), safe);
    assert_eq!(store.list(None, 10).unwrap().len(), 3);
}

/// A store of every kind of record, closed again.
struct Sample {
    folder: tempfile::TempDir,
    small: Vec<Chunk>,
    large: Vec<Chunk>,
    engine: Vec<u8>,
}

impl Sample {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let small: Vec<_> = (0..40)
            .map(|seed| chunk(seed, 1 + 137 * seed as usize))
            .collect();
        let large: Vec<_> = (100..103).map(|seed| chunk(seed, LARGE)).collect();
        let store = open(folder.path());
        for part in small.chunks(7) {
            store.put_chunks(part).unwrap();
        }
        store.put_chunks(&large).unwrap();
        for seed in 1..=4 {
            store.set_pointer(&pointer(seed, 3), None).unwrap();
        }
        drop(store);
        let engine = fs::read(folder.path().join("records.redb")).unwrap();
        Self {
            folder,
            small,
            large,
            engine,
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Every answer is right or an error that says where; how many were errors. Never a panic, never
    /// a wrong byte, and the large chunks are all there.
    fn check(&self, engine: &[u8], what: &str) -> usize {
        fs::write(self.path().join("records.redb"), engine).unwrap();
        let store = open(self.path());
        let mut errors = 0;
        let mut note = |error: Error| {
            errors += 1;
            match &error {
                Error::Broken { why, .. } => assert!(why.contains("records.redb"), "{why}"),
                Error::Damaged { .. } => {}
                other => panic!("{what}: {other:?}"),
            }
        };
        for large in &self.large {
            assert_eq!(&store.get_chunk(&large.address()).unwrap(), large, "{what}");
        }
        for small in &self.small {
            match store.get_chunk(&small.address()) {
                Ok(chunk) => assert_eq!(&chunk, small, "{what}"),
                Err(error) => note(error),
            }
        }
        for seed in 1..=4 {
            match store.get_pointer(&owner(seed).address()) {
                Ok(found) => assert_eq!(found.unwrap().counter(), 3, "{what}"),
                Err(error) => note(error),
            }
        }
        match store.list(None, usize::MAX) {
            Ok(all) => assert_eq!(all.len(), 47, "{what}"),
            Err(error) => note(error),
        }
        match store.stats() {
            Ok(stats) => assert_eq!((stats.chunks, stats.pointers), (43, 4), "{what}"),
            Err(error) => note(error),
        }
        // Writing does not panic either, whatever comes of it.
        let _ = store.set_pointer(&pointer(1, 4), Some(3));
        let _ = store.put_chunks(&[chunk(1 << 30, 3000)]);
        errors
    }
}

/// Counts panics, also those that something catches.
fn count_panics() -> &'static AtomicUsize {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |about| {
            PANICS.fetch_add(1, Ordering::SeqCst);
            before(about);
        }));
    });
    &PANICS
}

#[test]
fn a_bit_flipped_anywhere_in_the_engine_is_found() {
    let panics = count_panics();
    let sample = Sample::new();
    assert_eq!(sample.check(&sample.engine, "whole"), 0);
    let len = sample.engine.len();
    // Both copies of the header closely, the rest in steps that meet every block.
    let places = (0..16384).step_by(97).chain((16384..len).step_by(3001));
    let mut found = 0;
    for at in places {
        let mut spoilt = sample.engine.clone();
        spoilt[at] ^= 1 << (at % 8);
        found += usize::from(sample.check(&spoilt, &format!("byte {at} of {len}")) > 0);
    }
    assert!(found > 10, "flips were met only {found} times");
    assert_eq!(panics.load(Ordering::SeqCst), 0);
}

#[test]
fn an_engine_cut_short_anywhere_is_an_error() {
    let panics = count_panics();
    let sample = Sample::new();
    let len = sample.engine.len();
    let cuts = [
        0,
        1,
        4095,
        4096,
        8192,
        16383,
        16384,
        20480,
        len - 1,
        len - 4096,
    ]
    .into_iter()
    .chain((0..len).step_by(len / 40));
    for cut in cuts {
        let errors = sample.check(&sample.engine[..cut], &format!("cut at {cut} of {len}"));
        if cut < 16384 {
            assert!(errors > 40, "cut at {cut}: {errors}");
        }
    }
    // Zeros where the file was.
    for from in (0..len).step_by(len / 20) {
        let mut spoilt = sample.engine.clone();
        spoilt[from..].fill(0);
        sample.check(&spoilt, &format!("zeros from {from}"));
    }
    assert_eq!(panics.load(Ordering::SeqCst), 0);
}

#[test]
fn blocks_swapped_within_the_engine_are_found() {
    let sample = Sample::new();
    let blocks = (sample.engine.len() - 20480) / 4096;
    let mut found = 0;
    for first in (0..blocks - 1).step_by(3) {
        let mut spoilt = sample.engine.clone();
        let at = 20480 + first * 4096;
        let (before, after) = spoilt.split_at_mut(at + 4096);
        before[at..].swap_with_slice(&mut after[..4096]);
        found += usize::from(sample.check(&spoilt, &format!("block {first}")) > 0);
    }
    assert!(found > 2, "{found}");
}

#[test]
fn a_missing_engine_is_not_made_anew() {
    let sample = Sample::new();
    fs::remove_file(sample.path().join("records.redb")).unwrap();
    let store = open(sample.path());
    let error = store.get_pointer(&owner(1).address()).unwrap_err();
    assert!(error.to_string().contains("backup"), "{error}");
    assert!(!sample.path().join("records.redb").exists());
    for large in &sample.large {
        assert_eq!(&store.get_chunk(&large.address()).unwrap(), large);
    }
    // Put back, it works again without a new start.
    fs::write(sample.path().join("records.redb"), &sample.engine).unwrap();
    assert!(store.get_pointer(&owner(1).address()).unwrap().is_some());
}

#[test]
fn an_engine_of_an_older_day_is_whole_and_says_what_it_knew() {
    // Only the owner can tell: refusing an older head is the session's affair.
    let sample = Sample::new();
    let store = open(sample.path());
    store.set_pointer(&pointer(1, 4), Some(3)).unwrap();
    let newer = [chunk(1 << 20, 2000), chunk(1 << 21, LARGE)];
    store.put_chunks(&newer).unwrap();
    drop(store);
    fs::write(sample.path().join("records.redb"), &sample.engine).unwrap();
    let store = open(sample.path());
    let there = store.get_pointer(&owner(1).address()).unwrap().unwrap();
    assert_eq!(there.counter(), 3);
    let outcomes = store.get_chunks(&newer.each_ref().map(Chunk::address));
    assert!(matches!(outcomes[0], Err(Error::Missing { .. })));
    assert_eq!(outcomes[1].as_ref().unwrap(), &newer[1]);
    assert_eq!(store.stats().unwrap().chunks, 44);
}

#[test]
fn a_folder_of_other_files_does_not_become_a_store() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("letter.txt"), "dear").unwrap();
    let url = file_url(folder.path()).unwrap();
    let error = FileStore::open(&url, folder.path()).err().unwrap();
    assert!(error.to_string().contains("letter.txt"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

    for version in ["1", "3"] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(
            folder.path().join("format"),
            format!("SafeOS store {version}\n"),
        )
        .unwrap();
        let error = FileStore::open(&url, folder.path()).err().unwrap();
        assert!(error.to_string().contains("that made it"), "{error}");
    }
}

#[test]
fn a_creation_cut_short_is_finished_by_the_next() {
    for left in ["records.redb.new", "format.new"] {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("chunks")).unwrap();
        fs::write(folder.path().join(left), "half").unwrap();
        let store = open(folder.path());
        store.put_chunks(&[chunk(1, 10), chunk(2, LARGE)]).unwrap();
        assert_eq!(store.stats().unwrap().chunks, 2);
    }
}

#[test]
fn nobody_else_may_look_in_and_old_leftovers_go() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("deep").join("store");
    let store = open(&folder);
    store.put_chunks(&[chunk(1, 10), chunk(2, LARGE)]).unwrap();
    let mut open_to_others = Vec::new();
    let mut folders = vec![folder.clone()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            let about = entry.metadata().unwrap();
            if about.permissions().mode() & 0o077 != 0 {
                open_to_others.push(entry.path());
            }
            if about.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    assert!(open_to_others.is_empty(), "{open_to_others:?}");
    assert_eq!(
        fs::metadata(&folder).unwrap().permissions().mode() & 0o077,
        0
    );

    let (old, new) = (folder.join("incoming/old"), folder.join("incoming/new"));
    fs::write(&new, "being written").unwrap();
    let file = fs::File::create(&old).unwrap();
    file.write_all_at(b"left by a crash", 0).unwrap();
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(7200);
    file.set_modified(long_ago).unwrap();
    drop(open(&folder));
    assert!(!old.exists() && new.exists());
}
