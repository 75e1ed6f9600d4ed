//! A store on a disk of which only the reserve is left.

use super::*;

fn chunk(len: usize, byte: u8) -> Chunk {
    Chunk::new(vec![byte; len]).unwrap()
}

fn is_refused(done: Result<()>) -> bool {
    matches!(done, Err(Error::Full { .. }))
}

/// The disk has no more left than so many times what is kept back.
fn with_left(dir: &Path, share: u64) -> FileStore {
    let mut store = FileStore::open("file:///store", &dir.join("store")).unwrap();
    drop(fs::remove_file(store.root.join("reserve")));
    let free = Room::of_disk(dir).unwrap().free;
    // In hundredths, so that the use by others meanwhile does not matter.
    store.reserve = Reserve::with(&store.root, free / share * 100);
    store
}

#[test]
fn a_store_keeps_room_for_deleting() {
    let dir = tempfile::tempdir_in(".").unwrap();
    let store = FileStore::open("file:///store", &dir.path().join("store")).unwrap();
    assert!(store.reserve.is_kept());
    let room = store.room().unwrap();
    assert!(room.free > 0 && room.free < room.total);
}

#[test]
fn where_only_that_is_left_data_is_refused_and_what_makes_room_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (small, large) = (chunk(1000, 1), chunk(200_000, 2));
    FileStore::open("file:///store", &dir.path().join("store"))
        .unwrap()
        .put_chunks(&[small.clone(), large.clone()])
        .unwrap();
    // Three quarters of it.
    let store = with_left(dir.path(), 75);
    assert_eq!(store.room().unwrap().free, 0);
    for len in [1000, 200_000] {
        assert!(is_refused(store.write_chunks(&[chunk(len, 3)])));
    }
    assert!(is_refused(store.put_chunks(&[chunk(200_000, 3)])));
    // A head, and the nodes of a tree.
    store.put_chunks(&[chunk(1000, 4)]).unwrap();
    store
        .write_needed(&[chunk(1000, 5), chunk(200_000, 5)])
        .unwrap();
    store.sync().unwrap();
    assert_eq!(store.delete_chunks(&[chunk(1000, 5).address()]).unwrap(), 1);
    // A quarter: the rest is for deleting alone.
    let store = with_left(dir.path(), 25);
    assert!(is_refused(store.put_chunks(&[chunk(1000, 6)])));
    assert!(is_refused(store.write_needed(&[chunk(1000, 6)])));
    let both = [small.address(), large.address()];
    assert!(store.get_chunks(&both).iter().all(Result::is_ok));
    assert_eq!(store.delete_chunks(&both).unwrap(), 2);
}
