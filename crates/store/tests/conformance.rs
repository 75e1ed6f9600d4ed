//! The promises of every store, sentence by sentence, checked for each of them.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{LARGE, chunk, open, owner, pointer};
use safeos_gateway::{Cached, Mirrored, Options, Server};
use safeos_record::{Address, FINAL_COUNTER, Pointer, Target};
use safeos_store::{Entry, Error, HttpOptions, HttpStore, Kind, MemoryStore, Stats, Store};

/// Runs a test on a fresh store of every kind.
fn on_every_store(test: impl Fn(&dyn Store)) {
    test(&MemoryStore::default());
    let folder = tempfile::tempdir().unwrap();
    test(&open(&folder.path().join("a new folder")));
    over_a_gateway(Arc::new(MemoryStore::default()), &test);
    over_a_gateway(
        Arc::new(open(&folder.path().join("behind a gateway"))),
        &test,
    );
    // The layers that a gateway puts in front of a store, or behind it, are stores as well.
    let memory = || Arc::new(MemoryStore::default());
    test(&Cached::new(memory(), memory(), 1 << 20).unwrap());
    test(&Mirrored::new(memory(), memory(), Arc::new(|_| {})));
}

/// The same at the other end of a real connection.
fn over_a_gateway(store: Arc<dyn Store>, test: &impl Fn(&dyn Store)) {
    let options = Options {
        allow_delete: true,
        ..Options::default()
    };
    let server = Server::start(store, &options).unwrap();
    let gateways = vec![server.url()];
    let client = HttpStore::open(&server.url(), gateways, &HttpOptions::default()).unwrap();
    test(&client);
    server.stop();
}

const LENGTHS: [usize; 7] = [0, 1, 4096, LARGE - 1, LARGE, 1_000_000, 4 * 1024 * 1024];

fn is_missing(error: &Error, wanted: Address) -> bool {
    matches!(error, Error::Missing { kind: Kind::Chunk, address } if *address == wanted)
}

#[test]
fn chunks_come_back_as_they_were_put() {
    on_every_store(|store| {
        let chunks: Vec<_> = (1..)
            .zip(LENGTHS)
            .map(|(seed, len)| chunk(seed, len))
            .collect();
        store.put_chunks(&chunks).unwrap();
        let addresses: Vec<_> = chunks.iter().map(|chunk| chunk.address()).collect();
        for (fetched, put) in store.get_chunks(&addresses).into_iter().zip(&chunks) {
            assert_eq!(&fetched.unwrap(), put);
        }
        for put in &chunks {
            assert_eq!(&store.get_chunk(&put.address()).unwrap(), put);
        }
    });
}

#[test]
fn every_address_has_its_own_outcome_in_order() {
    on_every_store(|store| {
        let small = chunk(1, 100);
        let large = chunk(2, LARGE);
        store.put_chunks(&[small.clone(), large.clone()]).unwrap();
        let none = Address([7; 32]);
        let asked = [
            none,
            large.address(),
            small.address(),
            none,
            small.address(),
        ];
        let outcomes = store.get_chunks(&asked);
        assert_eq!(outcomes.len(), 5);
        assert!(is_missing(outcomes[0].as_ref().unwrap_err(), none));
        assert_eq!(outcomes[1].as_ref().unwrap(), &large);
        assert_eq!(outcomes[2].as_ref().unwrap(), &small);
        assert!(is_missing(outcomes[3].as_ref().unwrap_err(), none));
        assert_eq!(outcomes[4].as_ref().unwrap(), &small);
        assert_eq!(
            store.has_chunks(&asked).unwrap(),
            [false, true, true, false, true]
        );
        assert!(store.get_chunks(&[]).is_empty());
        assert!(store.has_chunks(&[]).unwrap().is_empty());
        store.put_chunks(&[]).unwrap();
    });
}

#[test]
fn a_part_of_a_chunk_is_those_bytes() {
    on_every_store(|store| {
        for len in [1000, LARGE] {
            let put = chunk(3, len);
            store.put_chunks(std::slice::from_ref(&put)).unwrap();
            let address = put.address();
            assert_eq!(
                store.read_part(&address, 10, 90).unwrap(),
                put.bytes().slice(10..100)
            );
            let len = len as u32;
            assert!(store.read_part(&address, len, 0).unwrap().is_empty());
            assert_eq!(store.read_part(&address, 0, len).unwrap(), put.bytes());
            let mut part = [0; 90];
            if store.read_now(&address, 10, &mut part) {
                assert_eq!(part, put.bytes()[10..100]);
            }
            assert!(
                !store.read_now(&address, len - 89, &mut part),
                "past the end"
            );
            for (offset, part) in [(0, len + 1), (len, 1), (u32::MAX, u32::MAX), (0, u32::MAX)] {
                assert!(
                    matches!(
                        store.read_part(&address, offset, part),
                        Err(Error::Damaged { .. })
                    ),
                    "{offset}+{part} of {len}"
                );
            }
        }
        let none = Address([7; 32]);
        assert!(is_missing(&store.read_part(&none, 0, 1).unwrap_err(), none));
    });
}

#[test]
fn the_same_chunk_again_changes_nothing() {
    on_every_store(|store| {
        let both = [chunk(1, 100), chunk(2, LARGE)];
        store.put_chunks(&both).unwrap();
        let before = store.stats().unwrap();
        store.put_chunks(&both).unwrap();
        store
            .put_chunks(&[both[0].clone(), both[0].clone(), both[1].clone()])
            .unwrap();
        assert_eq!(store.stats().unwrap(), before);
        assert_eq!(
            before,
            Stats {
                chunks: 2,
                pointers: 0,
                bytes: 100 + LARGE as u64
            }
        );
    });
}

#[test]
fn a_pointer_is_set_only_from_the_counter_that_is_there() {
    on_every_store(|store| {
        let address = owner(1).address();
        let conflict = |outcome: Result<(), Error>, there: Option<u64>| match outcome {
            Err(Error::Conflict {
                address: of,
                current,
            }) => assert_eq!((of, current), (address, there)),
            other => panic!("{other:?}"),
        };
        assert_eq!(store.get_pointer(&address).unwrap(), None);
        conflict(store.set_pointer(&pointer(1, 5), Some(4)), None);
        store.set_pointer(&pointer(1, 5), None).unwrap();
        assert_eq!(store.get_pointer(&address).unwrap().unwrap().counter(), 5);
        conflict(store.set_pointer(&pointer(1, 6), None), Some(5));
        conflict(store.set_pointer(&pointer(1, 6), Some(4)), Some(5));
        // The right counter, but a state that replaces nothing: older, and the same again.
        conflict(store.set_pointer(&pointer(1, 4), Some(5)), Some(5));
        conflict(store.set_pointer(&pointer(1, 5), Some(5)), Some(5));
        let next = pointer(1, 9);
        store.set_pointer(&next, Some(5)).unwrap();
        assert_eq!(store.get_pointer(&address).unwrap(), Some(next));

        let last = pointer(1, FINAL_COUNTER);
        store.set_pointer(&last, Some(9)).unwrap();
        let lower = Pointer::sign(&owner(1), FINAL_COUNTER, Target::Chunk(Address([0; 32])));
        conflict(
            store.set_pointer(&lower.unwrap(), Some(FINAL_COUNTER)),
            Some(FINAL_COUNTER),
        );
        // Another owner's is another pointer.
        store.set_pointer(&pointer(2, 0), None).unwrap();
        assert_eq!(store.get_pointer(&address).unwrap(), Some(last));
    });
}

#[test]
fn of_many_threads_that_set_one_pointer_one_wins_each_round() {
    on_every_store(|store| {
        let wins = AtomicU64::new(0);
        store.set_pointer(&pointer(1, 0), None).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..5 {
                        match store.set_pointer(&pointer(1, round + 1), Some(round)) {
                            Ok(()) => wins.fetch_add(1, Ordering::Relaxed),
                            Err(Error::Conflict { .. }) => 0,
                            Err(other) => panic!("{other}"),
                        };
                    }
                });
            }
        });
        let counter = store.get_pointer(&owner(1).address()).unwrap();
        assert_eq!(counter.unwrap().counter(), wins.into_inner());
    });
}

#[test]
fn the_list_is_whole_ordered_and_cut_anywhere() {
    on_every_store(|store| {
        let chunks: Vec<_> = (0..60)
            .map(|seed| chunk(seed, if seed % 2 == 0 { 50 } else { LARGE }))
            .collect();
        store.put_chunks(&chunks).unwrap();
        for seed in 1..=3 {
            store.set_pointer(&pointer(seed, 1), None).unwrap();
        }
        let mut wanted: Vec<_> = chunks
            .iter()
            .map(|chunk| Entry {
                kind: Kind::Chunk,
                address: chunk.address(),
                len: chunk.bytes().len() as u64,
            })
            .chain((1..=3).map(|seed| Entry {
                kind: Kind::Pointer,
                address: owner(seed).address(),
                len: safeos_record::POINTER_LEN as u64,
            }))
            .collect();
        wanted.sort();
        assert_eq!(store.list(None, usize::MAX).unwrap(), wanted);
        for limit in [1, 2, 7, 61, 63, 64] {
            let mut listed = Vec::new();
            let mut after = None;
            loop {
                let part = store.list(after, limit).unwrap();
                assert!(part.len() <= limit);
                let Some(last) = part.last() else { break };
                after = Some((last.kind, last.address));
                listed.extend(part);
            }
            assert_eq!(listed, wanted, "{limit} at a time");
        }
        assert!(store.list(None, 0).unwrap().is_empty());
        let stats = store.stats().unwrap();
        assert_eq!((stats.chunks, stats.pointers), (60, 3));
        assert_eq!(
            stats.bytes,
            wanted.iter().map(|entry| entry.len).sum::<u64>()
        );
    });
}

#[test]
fn what_is_deleted_is_gone_and_the_rest_stays() {
    on_every_store(|store| {
        let all = [chunk(1, 10), chunk(2, LARGE), chunk(3, 10), chunk(4, LARGE)];
        store.put_chunks(&all).unwrap();
        let gone = [all[0].address(), all[1].address(), Address([5; 32])];
        assert_eq!(store.delete_chunks(&gone).unwrap(), 2);
        assert_eq!(store.delete_chunks(&gone).unwrap(), 0);
        let there = store.get_chunks(&all.each_ref().map(|chunk| chunk.address()));
        assert!(is_missing(there[0].as_ref().unwrap_err(), gone[0]));
        assert!(is_missing(there[1].as_ref().unwrap_err(), gone[1]));
        assert_eq!(there[2].as_ref().unwrap(), &all[2]);
        assert_eq!(there[3].as_ref().unwrap(), &all[3]);
        let stats = store.stats().unwrap();
        assert_eq!((stats.chunks, stats.bytes), (2, 10 + LARGE as u64));
        store.put_chunks(&all).unwrap();
        assert_eq!(store.stats().unwrap().chunks, 4);
    });
}
