#![allow(clippy::unwrap_used)]

use std::fs::{self, File};

use safeos_record::{OwnerKey, Target};

use super::*;

/// A small generator, so that a failure can be had again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

fn chunks(step: u64) -> Vec<Chunk> {
    (0..=step % 4)
        .map(|at| {
            let len = ((step * 7919 + at * 4001) % 30_000) as usize;
            Chunk::new(vec![(step * 4 + at) as u8; len + 1]).unwrap()
        })
        .collect()
}

fn pointer(counter: u64) -> Pointer {
    let target = Target::Chunk(Address([counter as u8; 32]));
    Pointer::sign(&OwnerKey::from_seed(&[1; 32]), counter, target).unwrap()
}

fn do_step(engine: &Engine, step: u64) {
    let put = chunks(step);
    engine.put(&put.iter().collect::<Vec<_>>()).unwrap();
    engine
        .set_pointer(&pointer(step), step.checked_sub(1))
        .unwrap();
}

/// Everything of the steps before `done` is there; the pointer's counter is that of a step.
fn check(engine: &Engine, done: u64, what: &str) {
    for step in 0..done {
        for chunk in chunks(step) {
            let found = engine.chunks(&[chunk.address()]).unwrap();
            assert_eq!(
                found[0].as_ref(),
                Some(chunk.bytes()),
                "{what}, step {step}"
            );
        }
    }
    let found = engine.pointer(&pointer(0).address()).unwrap();
    let counter = found.map(|bytes| Pointer::parse(&bytes).unwrap().counter());
    assert!(
        counter >= done.checked_sub(1),
        "{what}: {counter:?} of {done}"
    );
    let listed = engine.list(Kind::Chunk, None, usize::MAX).unwrap();
    let stats = engine.stats().unwrap();
    assert_eq!(stats.chunks, listed.len() as u64, "{what}");
}

/// A disk after a power loss between two syncs: of the sectors written meanwhile, any subset.
fn torn(before: &[u8], after: &[u8], random: &mut Random) -> Vec<u8> {
    const SECTOR: usize = 512;
    let len = [before.len(), after.len()][random.below(2)];
    // Few, some or most of the writes arrived.
    let odds = [5, 50, 95][random.below(3)];
    let mut image = vec![0; len];
    for (at, out) in image.chunks_mut(SECTOR).enumerate() {
        let arrived = random.below(100) < odds;
        let from = if arrived { after } else { before };
        if let Some(sector) = from.get(at * SECTOR..at * SECTOR + out.len()) {
            out.copy_from_slice(sector);
        }
    }
    image
}

#[test]
fn power_loss_at_any_moment_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records.redb");
    drop(Engine::create(&path).unwrap());
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let mut blocks = ChecksummedFile::open(file).unwrap();
    let images = blocks.record();
    let engine = Engine::start(blocks).unwrap();
    // How many images there were when a step was acknowledged.
    let mut acknowledged = Vec::new();
    for step in 0..12 {
        do_step(&engine, step);
        acknowledged.push(images.lock().len());
    }
    drop(engine);
    let images = images.lock();
    assert!(images.len() > 12 * 4, "{} syncs", images.len());

    let mut random = Random(42);
    let copy = folder.path().join("copy.redb");
    for (at, pair) in images.windows(2).enumerate() {
        let done = acknowledged
            .iter()
            .filter(|images| **images <= at + 1)
            .count() as u64;
        for round in 0..4 {
            fs::write(&copy, torn(&pair[0], &pair[1], &mut random)).unwrap();
            let what = format!("power lost after sync {at}, round {round}");
            let engine =
                Engine::open(&copy).unwrap_or_else(|error| unreachable!("{what}: {error:?}"));
            check(&engine, done, &what);
            // And it goes on from there.
            let next = Chunk::new(vec![0xaa; 5000]).unwrap();
            engine.put(&[&next]).unwrap();
            drop(engine);
            let engine = Engine::open(&copy).unwrap();
            check(&engine, done, &what);
            assert!(engine.has(&[next.address()]).unwrap()[0]);
        }
    }
}

/// Damage that the engine cannot see, because it was written through it.
#[test]
fn a_wrong_record_in_a_whole_engine_is_damaged_and_a_put_heals_it() {
    use crate::{Error, FileStore, Store};
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open("file:test", folder.path()).unwrap();
    let (one, two) = (chunks(1)[0].clone(), chunks(2)[0].clone());
    store.put_chunks(&[one.clone(), two.clone()]).unwrap();
    let mine = pointer(3);
    store.set_pointer(&mine, None).unwrap();
    drop(store);

    let other = OwnerKey::from_seed(&[2; 32]);
    let other = Pointer::sign(&other, 9, Target::Chunk(one.address())).unwrap();
    let cut = &mine.as_bytes()[..5302];
    for (under_mine, says) in [(other.as_bytes(), "in its place"), (cut, "length")] {
        let engine = Engine::open(&folder.path().join("records.redb")).unwrap();
        let spoilt = engine.run(|database| {
            let write = begin(database)?;
            write
                .open_table(CHUNKS)?
                .insert(one.address().as_bytes(), &two.bytes()[..])?;
            write
                .open_table(POINTERS)?
                .insert(mine.address().as_bytes(), under_mine)?;
            Ok(write.commit()?)
        });
        spoilt.unwrap();
        drop(engine);

        let store = FileStore::open("file:test", folder.path()).unwrap();
        let outcomes = store.get_chunks(&[one.address(), two.address()]);
        assert!(matches!(
            &outcomes[0],
            Err(Error::Damaged { kind: Kind::Chunk, address, .. }) if *address == one.address()
        ));
        assert_eq!(outcomes[1].as_ref().unwrap(), &two);
        for error in [
            store.get_pointer(&mine.address()).unwrap_err(),
            store.set_pointer(&pointer(4), Some(3)).unwrap_err(),
        ] {
            assert_eq!(error.code(), "damaged_record");
            assert!(error.to_string().contains(says), "{error}");
        }
        store.put_chunks(std::slice::from_ref(&one)).unwrap();
        assert_eq!(store.get_chunk(&one.address()).unwrap(), one);
        let stats = store.stats().unwrap();
        assert_eq!((stats.chunks, stats.pointers), (2, 1));
    }
}
