//! Our records held against Autonomi's own crate, in both directions.
#![allow(clippy::unwrap_used)]

use ant_protocol::pointer::{
    FINAL_COUNTER, POINTER_WIRE_LEN, Pointer as Theirs, PointerTarget, PointerTargetKind,
    pointer_address,
};
use ant_protocol::{MAX_CHUNK_SIZE, compute_address};
use safeos_record::{Address, Chunk, Error, OwnerKey, Pointer, Target};
use saorsa_pqc::api::sig::{MlDsaPublicKey, MlDsaSecretKey, ml_dsa_65};

fn their_keys(seed: u8) -> (MlDsaPublicKey, MlDsaSecretKey) {
    ml_dsa_65().generate_keypair_from_seed(&[seed; 32])
}

fn our_key(seed: u8) -> OwnerKey {
    OwnerKey::from_seed(&[seed; 32])
}

fn their_target(target: Target) -> PointerTarget {
    match target {
        Target::Chunk(address) => PointerTarget::new(PointerTargetKind::Chunk, address.0),
        Target::Pointer(address) => PointerTarget::new(PointerTargetKind::Pointer, address.0),
    }
}

const TARGETS: [Target; 4] = [
    Target::Chunk(Address([0; 32])),
    Target::Chunk(Address([9; 32])),
    Target::Pointer(Address([0; 32])),
    Target::Pointer(Address([0xff; 32])),
];
const COUNTERS: [u64; 5] = [0, 1, 258, u64::MAX - 1, u64::MAX];

#[test]
fn limits_are_the_same() {
    assert_eq!(safeos_record::MAX_CHUNK_SIZE, MAX_CHUNK_SIZE);
    assert_eq!(safeos_record::POINTER_LEN, POINTER_WIRE_LEN);
    assert_eq!(safeos_record::FINAL_COUNTER, FINAL_COUNTER);
}

#[test]
fn a_chunk_has_the_same_address() {
    for len in [0, 1, 63, 64, 65, 1024, 1025, 100_000, MAX_CHUNK_SIZE] {
        let bytes: Vec<u8> = (0..len).map(|at| ((at * 31) >> 3) as u8).collect();
        let ours = Chunk::new(bytes.clone()).unwrap();
        assert_eq!(ours.address().0, compute_address(&bytes), "{len} bytes");
        let theirs = ant_protocol::DataChunk::new(ours.address().0, ours.into_bytes());
        assert!(theirs.verify(), "{len} bytes");
    }
}

#[test]
fn the_same_seed_gives_the_same_address() {
    for seed in [0, 1, 77, 255] {
        let (public, _) = their_keys(seed);
        assert_eq!(our_key(seed).address().0, pointer_address(&public));
    }
}

#[test]
fn a_pointer_of_ours_is_read_there() {
    for (counter, target) in COUNTERS.into_iter().zip(TARGETS.into_iter().cycle()) {
        let ours = Pointer::sign(&our_key(3), counter, target).unwrap();
        let theirs = Theirs::from_bytes(ours.as_bytes()).unwrap();
        assert_eq!(theirs.counter(), counter);
        assert_eq!(theirs.target(), their_target(target));
        assert_eq!(theirs.address(), ours.address().0);
        assert_eq!(theirs.to_bytes(), ours.as_bytes());
    }
}

#[test]
fn a_pointer_of_theirs_is_read_here() {
    let (public, secret) = their_keys(4);
    for (counter, target) in COUNTERS.into_iter().zip(TARGETS.into_iter().cycle()) {
        let theirs = Theirs::sign(&secret, &public, counter, their_target(target)).unwrap();
        let ours = Pointer::parse(&theirs.to_bytes()).unwrap();
        assert_eq!(ours.counter(), counter);
        assert_eq!(ours.target(), target);
        assert_eq!(ours.address().0, theirs.address());
        assert_eq!(ours.as_bytes(), theirs.to_bytes());
    }
}

#[test]
fn states_have_the_same_order() {
    let pairs: Vec<(Pointer, Theirs)> = [5, 6]
        .into_iter()
        .flat_map(|owner| COUNTERS.map(|counter| (owner, counter)))
        .flat_map(|(owner, counter)| TARGETS.map(|target| (owner, counter, target)))
        .map(|(owner, counter, target)| {
            let ours = Pointer::sign(&our_key(owner), counter, target).unwrap();
            let theirs = Theirs::from_bytes(ours.as_bytes()).unwrap();
            (ours, theirs)
        })
        .collect();
    for (ours, theirs) in &pairs {
        for (our_other, their_other) in &pairs {
            assert_eq!(
                ours.replaces(our_other),
                theirs.replaces(their_other),
                "{ours:?} in the place of {our_other:?}"
            );
        }
    }
}

#[test]
fn both_refuse_the_same_damage() {
    let whole = Pointer::sign(&our_key(7), 12, TARGETS[1]).unwrap();
    let whole = whole.as_bytes();
    // Every field, its first and last byte: version, owner, counter, target, signature.
    for at in [0, 1, 1952, 1953, 1960, 1961, 1962, 1993, 1994, 5302] {
        for bit in 0..8 {
            let mut spoilt = whole.to_vec();
            spoilt[at] ^= 1 << bit;
            assert!(Pointer::parse(&spoilt).is_err(), "byte {at} bit {bit}");
            assert!(Theirs::from_bytes(&spoilt).is_err(), "byte {at} bit {bit}");
        }
    }
    for len in [0, 1, 1994, 5302] {
        assert!(Pointer::parse(&whole[..len]).is_err());
        assert!(Theirs::from_bytes(&whole[..len]).is_err());
    }
}

#[test]
fn a_target_of_a_kind_we_do_not_know_is_theirs_alone() {
    // The network keeps it; we say plainly that we cannot follow it.
    let (public, secret) = their_keys(8);
    let theirs =
        Theirs::sign(&secret, &public, 1, PointerTarget::from_raw_tag(2, [1; 32])).unwrap();
    assert!(matches!(
        Pointer::parse(&theirs.to_bytes()),
        Err(Error::Pointer(why)) if why.contains("does not know")
    ));
}
