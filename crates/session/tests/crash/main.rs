//! Random work on a home beside a plain model of it: crashes at any moment, also in the middle of
//! publishing and with a torn log, computers that are destroyed, computers that meet.
//!
//! The session is checked for this: every call answers as the model does; after a crash the names are
//! those of one moment since the last sync, and every file that was synced has its content and times;
//! published changes are there without the computer; of two computers' work nothing is lost.
//!
//! `CRASH_SEEDS=FROM..TO` runs other seeds than the usual few.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;
mod dump;
mod operation;
mod tap;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use dump::{Dump, dump};
use operation::{Operation, Path, Random};
use safeos_session::FileKind;
use tap::Tap;
use world::{World, folder, store};

fn seeds(usual: std::ops::Range<u64>) -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("CRASH_SEEDS") else {
        return usual;
    };
    let (from, to) = text.split_once("..").unwrap();
    from.parse().unwrap()..to.parse().unwrap()
}

fn any_file(world: &World, random: &mut Random) -> Option<Path> {
    let files = world.bench.files();
    (!files.is_empty()).then(|| files[random.below(files.len())].clone())
}

#[test]
fn what_was_synced_survives_every_crash() {
    for seed in seeds(4..7) {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let mut world = World::sign_up(Tap::new(store(seed % 2 == 0)));
        let mut crashes = 0;
        while crashes < 4 {
            match random.below(100) {
                0..=84 => world.bench.step(&mut random),
                85..=91 => {
                    if let Some(path) = any_file(&world, &mut random) {
                        world.bench.sync(&path);
                    }
                }
                92..=93 => {
                    // Power fails in a sync.
                    let Some(path) = any_file(&world, &mut random) else {
                        continue;
                    };
                    let before = world.bench.image();
                    world.bench.sync(&path);
                    let after = world.bench.image();
                    let Some(torn) = after.torn(&before, &mut random) else {
                        continue;
                    };
                    crashes += 1;
                    world = torn.recover(&format!("seed {seed}, a torn log"));
                }
                94..=96 => {
                    let (call, later) = (random.below(6), random.below(6));
                    let during = (call, later, seed << 32 | random.below(1 << 30) as u64);
                    let image = world.publish(Some(during));
                    if let Some(image) = image
                        && random.chance(50)
                    {
                        crashes += 1;
                        let what = format!(
                            "seed {seed}, a crash {later} calls after {call} of publishing"
                        );
                        world = image.recover(&what);
                    }
                }
                97 => {
                    let _ = world.publish(None);
                    world.check();
                }
                _ => {
                    crashes += 1;
                    let image = world.bench.image();
                    world = image.recover(&format!("seed {seed}, a crash"));
                }
            }
        }
        let _ = world.publish(None);
        world.check();
        let world = world
            .without_computer()
            .recover(&format!("seed {seed}, without the computer"));
        world.check();
    }
}

/// A large file goes into packs when it is synced, and the stage only refers to them: they are on the disk
/// before it is.
#[test]
fn what_went_into_packs_survives_too() {
    for local in [true, false] {
        let world = World::sign_up(Tap::new(store(local)));
        for (name, len) in [(b"large", 9 << 20), (b"other", 20 << 20)] {
            let path = name.to_vec();
            let mut content = vec![0; len];
            safeos_record::random_bytes(&mut content).unwrap();
            for operation in [
                Operation::Make(path.clone(), FileKind::File),
                Operation::Write(path.clone(), Some(0), content),
            ] {
                world.bench.apply(&operation);
            }
            world.bench.sync(&path);
        }
        let image = world.bench.image();
        image.recover("a crash after large files");
    }
}

/// A program writes and syncs at each call that publishing makes of the store, and the computer crashes at
/// each later one.
#[test]
fn publishing_can_be_cut_anywhere() {
    for seed in seeds(300..301) {
        let mut random = Random::new(seed);
        let tap = Tap::new(store(seed % 2 == 0));
        let world = World::sign_up(tap);
        let mut images = Vec::new();
        for call in 0..4 {
            for later in 0..6 - call {
                for _ in 0..3 {
                    world.bench.step(&mut random);
                }
                let path = any_file(&world, &mut random).unwrap_or_else(|| {
                    let path = b"file".to_vec();
                    world
                        .bench
                        .apply(&Operation::Make(path.clone(), FileKind::File));
                    path
                });
                let data = random.bytes(20_000);
                world.bench.apply(&Operation::Write(path, Some(0), data));
                let image = world.publish(Some((call, later, random.below(1 << 30) as u64)));
                images.extend(image.map(|image| (call, later, image)));
            }
        }
        world.check();
        assert!(images.len() > 10, "{}", images.len());
        for (call, later, image) in images {
            let what = format!("seed {seed}, work at call {call}, a crash {later} calls later");
            image.recover(&what);
        }
    }
}

/// A pack on this computer's disk is only a copy.
#[test]
fn damaged_copies_of_packs_are_fetched_again() {
    let mut random = Random::new(400);
    let world = World::sign_up(Tap::new(store(false)));
    for at in 0..5 {
        let path = format!("file {at}").into_bytes();
        world
            .bench
            .apply(&Operation::Make(path.clone(), FileKind::File));
        let data = (0..100_000).map(|_| random.below(256) as u8).collect();
        world.bench.apply(&Operation::Write(path, Some(0), data));
    }
    let _ = world.publish(None);
    let mut image = world.bench.image();
    assert!(image.damage_packs() > 0);
    image.recover("damaged packs").check();
}

/// Contents that files have now and did not have before.
fn new_contents(base: &Dump, now: &Dump) -> BTreeSet<(u64, u64)> {
    let before: BTreeMap<_, _> = base
        .values()
        .map(|found| (found.attr.ino, found.content))
        .collect();
    now.values()
        .filter(|found| {
            found.node.kind == FileKind::File && before.get(&found.attr.ino) != Some(&found.content)
        })
        .map(|found| (found.attr.size, found.content))
        .collect()
}

fn contents(dump: &Dump) -> BTreeSet<(u64, u64)> {
    dump.values()
        .filter(|found| found.node.kind == FileKind::File)
        .map(|found| (found.attr.size, found.content))
        .collect()
}

#[test]
fn two_computers_lose_nothing() {
    for seed in seeds(100..102) {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let tap = Tap::new(store(seed % 2 == 0));
        let first = World::sign_up(tap.clone());
        for _ in 0..40 {
            first.bench.step(&mut random);
        }
        let _ = first.publish(None);
        let second = World::sign_in(tap.clone(), folder());
        for round in 0..6 {
            let what = format!("seed {seed}, round {round}");
            let base = dump(&*first.bench.home);
            assert_eq!(
                without_blocks(&base),
                without_blocks(&dump(&*second.bench.home)),
                "{what}"
            );
            // Each goes on from the present state.
            let worlds = [first.again(), second.again()];
            for world in &worlds {
                for _ in 0..random.below(15) {
                    world.step(&mut random);
                }
            }
            let kept: Vec<_> = worlds
                .iter()
                .map(|world| new_contents(&base, &world.dump()))
                .collect();
            let order = if random.chance(50) {
                [&first, &second]
            } else {
                [&second, &first]
            };
            for world in [order[0], order[1], order[0]] {
                world.session.publish(&()).unwrap();
            }
            let merged = dump(&*first.bench.home);
            for contents_of_one in kept {
                let lost: Vec<_> = contents_of_one
                    .difference(&contents(&merged))
                    .copied()
                    .collect();
                assert!(lost.is_empty(), "{what}: lost {lost:?}");
            }
        }
        first.check();
        let fresh = World::sign_in(tap, folder());
        assert_eq!(
            without_blocks(&dump(&*fresh.bench.home)),
            without_blocks(&dump(&*first.bench.home))
        );
    }
}

fn without_blocks(dump: &Dump) -> Dump {
    let mut dump = dump.clone();
    for found in dump.values_mut() {
        found.attr.blocks = 0;
    }
    dump
}

/// Work in different folders is put together as if one had done it all.
#[test]
fn separate_work_is_joined() {
    for seed in seeds(200..201) {
        let mut random = Random::new(seed);
        let tap = Tap::new(store(true));
        let first = World::sign_up(tap.clone());
        for name in [b"one", b"two"] {
            first
                .bench
                .apply(&Operation::Make(name.to_vec(), FileKind::Directory));
        }
        let _ = first.publish(None);
        let second = World::sign_in(tap, folder());
        let mut expected = Vec::new();
        for (world, root) in [(&first, "one"), (&second, "two")] {
            let mut done = 0;
            while done < 60 {
                let there: Vec<Path> = world
                    .bench
                    .dump()
                    .into_keys()
                    .filter(|path| path.starts_with(format!("{root}/").as_bytes()))
                    .collect();
                let operation = Operation::random(&mut random, &there);
                if operation
                    .paths()
                    .iter()
                    .all(|path| path.starts_with(format!("{root}/").as_bytes()))
                {
                    world.bench.apply(&operation);
                    done += 1;
                } else if there.is_empty() {
                    let path = format!("{root}/start").into_bytes();
                    world
                        .bench
                        .apply(&Operation::Make(path, FileKind::Directory));
                }
            }
            let mut part = without_blocks(&world.bench.dump());
            part.retain(|path, _| path.starts_with(root.as_bytes()));
            expected.extend(part);
        }
        for world in [&first, &second, &first] {
            let published = world.session.publish(&()).unwrap();
            assert_eq!(published.conflicts, Vec::<String>::new(), "seed {seed}");
        }
        let expected: Dump = expected.into_iter().collect();
        for world in [&first, &second] {
            assert_eq!(
                without_blocks(&dump(&*world.bench.home)),
                expected,
                "seed {seed}"
            );
        }
    }
}
