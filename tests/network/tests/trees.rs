//! Many records paid for with one payment, which takes a network of more nodes than homes do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use safeos_devnet::WALLET_KEY;
use safeos_network_tests::{Chain, alone, start, url};
use safeos_record::Chunk;
use safeos_store::{Store, Wallet};
use safeos_store_autonomi::AutonomiStore;
use safeos_suite_tests::{Random, TestDir};

/// A tree's payment is drawn among sixteen.
const NODES: usize = 18;

#[test]
fn many_records_are_one_payment() {
    alone();
    let place = TestDir::new();
    let network = start(&place.folder("network"), NODES);
    let (manifest, state) = (network.manifest(), place.folder("state"));
    let store = AutonomiStore::open(&url(&manifest), Some(&manifest), &state).unwrap();
    store.fund(WALLET_KEY).unwrap();
    let mut random = Random::new(1);
    let chunks: Vec<Chunk> = (0..70)
        .map(|n| Chunk::new(random.bytes(500 + n)).unwrap())
        .collect();
    let estimate = store.estimate(chunks.len() as u64).unwrap();
    let chain = Chain::of(&manifest);
    let before = chain.payments();
    store.put_chunks(&chunks).unwrap();
    assert_eq!(chain.payments() - before, 1);
    let spent = store.spent();
    assert_eq!((spent.records, spent.payments), (70, 1), "{spent:?}");
    assert!(
        spent.money.tokens <= estimate.tokens,
        "{spent:?}, not {estimate}"
    );
    let addresses: Vec<_> = chunks.iter().map(Chunk::address).collect();
    for (chunk, found) in chunks.iter().zip(store.get_chunks(&addresses)) {
        assert_eq!(&found.unwrap(), chunk);
    }
    // All of it is there: nothing to pay.
    store.put_chunks(&chunks).unwrap();
    assert_eq!(chain.payments() - before, 1);
    drop(store);
    network.stop();
}
