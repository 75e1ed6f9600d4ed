//! A store of a million records, built once and then opened: slow to build, so only on request
//! (`cargo test -p safeos-store --release --test scale -- --ignored --nocapture`).
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::{chunk, open};
use safeos_store::Store;

#[test]
#[ignore = "builds a million records"]
fn a_million_records_open_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let count = 1_000_000;
    let begun = Instant::now();
    for first in (0..count).step_by(20_000) {
        let batch: Vec<_> = (first..first + 20_000)
            .map(|seed| chunk(seed, 200))
            .collect();
        store.put_chunks(&batch).unwrap();
    }
    drop(store);
    println!("built in {:?}", begun.elapsed());

    for round in 0..3 {
        let begun = Instant::now();
        let store = open(folder.path());
        let opened = begun.elapsed();
        let wanted = chunk(123_456 + round, 200);
        assert_eq!(store.get_chunk(&wanted.address()).unwrap(), wanted);
        let first_read = begun.elapsed();
        let stats = store.stats().unwrap();
        assert_eq!((stats.chunks, stats.bytes), (count, count * 200));
        println!(
            "opened in {opened:?}, first record after {first_read:?}, statistics after {:?}",
            begun.elapsed()
        );
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
}
