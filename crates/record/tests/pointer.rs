//! Pointers: a parsed pointer is whole and signed, and nothing else parses.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use safeos_record::{Address, Error, FINAL_COUNTER, OwnerKey, POINTER_LEN, Pointer, Target};

const TARGET: Target = Target::Chunk(Address([7; 32]));

fn owner(seed: u8) -> OwnerKey {
    OwnerKey::from_seed(&[seed; 32])
}

fn signed(counter: u64, target: Target) -> Pointer {
    Pointer::sign(&owner(1), counter, target).unwrap()
}

fn why(bytes: &[u8]) -> &'static str {
    match Pointer::parse(bytes) {
        Err(Error::Pointer(why)) => why,
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn what_was_signed_is_read_again() {
    for (counter, target) in [
        (0, TARGET),
        (1 << 40, Target::Pointer(Address([0xfe; 32]))),
        (FINAL_COUNTER, TARGET),
    ] {
        let pointer = signed(counter, target);
        assert_eq!(pointer.as_bytes().len(), POINTER_LEN);
        let read = Pointer::parse(pointer.as_bytes()).unwrap();
        assert_eq!(read, pointer);
        assert_eq!((read.counter(), read.target()), (counter, target));
        assert_eq!(read.address(), owner(1).address());
    }
    assert_ne!(owner(1).address(), owner(2).address());
}

#[test]
fn each_malformed_record_has_its_own_reason() {
    let whole = signed(5, TARGET);
    let whole = whole.as_bytes();
    for len in [0, 1, POINTER_LEN - 1] {
        assert!(why(&whole[..len]).contains("length"), "{len}");
    }
    assert!(why(&[whole, &[0]].concat()).contains("length"));
    let with = |at: usize, byte: u8| {
        let mut bytes = whole.to_vec();
        bytes[at] = byte;
        bytes
    };
    for version in [0, 2, 255] {
        assert!(why(&with(0, version)).contains("version"));
    }
    for kind in [2, 255] {
        assert!(why(&with(1961, kind)).contains("kind of record"));
    }
    // Key, counter, kind, target and signature are all under the signature.
    for at in [
        1,
        1000,
        1952,
        1953,
        1960,
        1962,
        1993,
        1994,
        4000,
        POINTER_LEN - 1,
    ] {
        assert!(
            why(&with(at, !whole[at])).contains("signature"),
            "byte {at}"
        );
    }
    assert!(why(&with(1961, 1)).contains("signature"));
    // A whole signature of another owner.
    let other = Pointer::sign(&owner(2), 5, TARGET).unwrap();
    let grafted = [&whole[..1994], &other.as_bytes()[1994..]].concat();
    assert!(why(&grafted).contains("signature"));
}

#[test]
fn a_signature_made_for_something_else_is_none() {
    use fips204::ml_dsa_65::KG;
    use fips204::traits::{KeyGen, Signer};
    let whole = signed(5, TARGET);
    let (_, secret) = KG::keygen_from_seed(&[1; 32]);
    for (context, fits) in [
        (&b"autonomi.pointer.head.v1"[..], true),
        (b"", false),
        (b"autonomi.pointer.head.v2", false),
    ] {
        let body = &whole.as_bytes()[..1994];
        let signature = secret.try_sign_with_seed(&[9; 32], body, context).unwrap();
        let record = [body, &signature].concat();
        assert_eq!(Pointer::parse(&record).is_ok(), fits, "{context:?}");
    }
}

#[test]
fn states_replace_each_other_in_the_network_s_order() {
    let low = Target::Chunk(Address([1; 32]));
    let high = Target::Chunk(Address([2; 32]));
    let pointer = Target::Pointer(Address([0; 32]));
    // Each replaces all before it.
    let rising = [
        signed(0, high),
        signed(1, pointer),
        signed(1, high),
        signed(1, low),
        signed(9, high),
        signed(FINAL_COUNTER, high),
    ];
    for (at, one) in rising.iter().enumerate() {
        for (other_at, other) in rising.iter().enumerate() {
            assert_eq!(one.replaces(other), at > other_at, "{one:?} {other:?}");
        }
        // The same state signed again is no newer.
        let again = signed(one.counter(), one.target());
        assert_ne!(&again, one, "signing is hedged");
        assert!(!again.replaces(one) && !one.replaces(&again));
    }
    assert!(
        !signed(FINAL_COUNTER, low).replaces(&rising[5]),
        "final is final"
    );
    let foreign = Pointer::sign(&owner(2), 99, low).unwrap();
    assert!(!foreign.replaces(&rising[0]));
}

#[test]
fn a_key_is_not_printed() {
    let shown = format!("{:?}", owner(1));
    assert_eq!(shown, format!("OwnerKey({})", owner(1).address()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..6000)) {
        prop_assert!(Pointer::parse(&bytes).is_err());
    }

    // Of the right length and version, so that keys and signatures are decoded.
    #[test]
    fn no_key_and_no_signature_make_it_panic(
        mut bytes in prop::collection::vec(any::<u8>(), POINTER_LEN),
        fill in prop::option::of(any::<u8>()),
        from in 1..POINTER_LEN,
    ) {
        if let Some(byte) = fill {
            bytes[from..].fill(byte);
        }
        bytes[0] = 1;
        bytes[1961] &= 1;
        prop_assert!(Pointer::parse(&bytes).is_err());
    }

    #[test]
    fn any_change_is_found(at in 0..POINTER_LEN, flip in 1u8..) {
        let mut bytes = signed(5, TARGET).as_bytes().to_vec();
        bytes[at] ^= flip;
        prop_assert!(Pointer::parse(&bytes).is_err());
    }
}
