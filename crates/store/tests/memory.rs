//! The hooks of the store in memory do what the tests above it rely on.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{chunk, owner, pointer};
use safeos_store::{Error, Kind, MemoryStore, Method, Store};

#[test]
fn failures_come_as_often_as_asked_and_calls_are_counted() {
    let store = MemoryStore::default();
    let away = Error::Unreachable {
        url: "memory:".into(),
        why: "a test says so".into(),
    };
    store.fail_next(Method::PutChunks, 2, away);
    let one = [chunk(1, 10)];
    for _ in 0..2 {
        assert!(matches!(
            store.put_chunks(&one),
            Err(Error::Unreachable { .. })
        ));
        assert!(!store.has_chunks(&[one[0].address()]).unwrap()[0]);
    }
    store.put_chunks(&one).unwrap();
    assert!(store.has_chunks(&[one[0].address()]).unwrap()[0]);
    assert_eq!(store.calls(Method::PutChunks), 3);
    assert_eq!(store.calls(Method::HasChunks), 3);
    assert_eq!(store.all_calls(), 6);
}

#[test]
fn damage_is_seen_and_a_state_comes_back() {
    let store = MemoryStore::default();
    let (one, two) = (chunk(1, 10), chunk(2, 10));
    store.put_chunks(&[one.clone(), two.clone()]).unwrap();
    store.set_pointer(&pointer(1, 1), None).unwrap();
    let before = store.state();

    store.set_raw(Kind::Chunk, one.address(), two.bytes().clone());
    store.remove_raw(Kind::Chunk, &two.address());
    let other = pointer(2, 1);
    store.set_raw(Kind::Pointer, owner(1).address(), other.as_bytes().to_vec());
    assert!(matches!(
        store.get_chunk(&one.address()),
        Err(Error::Damaged { .. })
    ));
    assert!(matches!(
        store.get_chunk(&two.address()),
        Err(Error::Missing { .. })
    ));
    let swapped = store.get_pointer(&owner(1).address()).unwrap_err();
    assert!(swapped.to_string().contains("in its place"), "{swapped}");
    assert!(store.set_pointer(&pointer(1, 2), Some(1)).is_err());

    store.restore(before);
    assert_eq!(store.get_chunk(&one.address()).unwrap(), one);
    assert_eq!(
        store
            .get_pointer(&owner(1).address())
            .unwrap()
            .unwrap()
            .counter(),
        1
    );
}
