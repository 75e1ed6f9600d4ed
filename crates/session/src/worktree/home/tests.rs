//! A home whose stage's disk fails, or whose store is full: writers are told, and the memory stays within its limits.

use safeos_record::Key as Secret;
use safeos_store::{Error as StoreError, MemoryStore, Method};
use safeos_tree::Keys;
use tempfile::TempDir;

use super::*;
use crate::journal::tests::failing::Failing;
use crate::worktree::names::root_batch;
use crate::{FileKind, NewNode, Volume};

const MIB: usize = 1 << 20;

struct Scene {
    disk: Failing,
    store: Arc<MemoryStore>,
    home: Home,
    _dir: TempDir,
}

fn scene(dirty_bytes_max: usize) -> Scene {
    let dir = TempDir::new().unwrap();
    let disk = Failing::with_room(u64::MAX);
    let store = Arc::new(MemoryStore::default());
    let keys = Keys::new(&Secret::new([5; 32]));
    let packs = Arc::new(Packs::new(store.clone(), None, keys.clone()));
    let reader = Arc::new(Reader::new(keys, packs.clone(), MIB));
    let mut tree = Tree::new();
    tree.apply(&*reader, root_batch()).unwrap();
    let key = Secret::new([7; 32]);
    let place = dir.path().join("stage");
    let stage = Stage::create_on(Box::new(disk.clone()), &place, &key, [1; 16], &[0; 32]).unwrap();
    let limits = Limits {
        dirty_bytes_max,
        ..Limits::default()
    };
    let reserve = Arc::new(Reserve::none());
    Scene {
        disk,
        store,
        home: Home::new(
            reader,
            packs,
            stage,
            tree,
            Owners::of_home((0, 0)),
            limits,
            reserve,
        ),
        _dir: dir,
    }
}

fn make(home: &Home, name: &str) -> Result<Ino> {
    let node = NewNode::new(FileKind::File, 0o644, (0, 0));
    Ok(home.create(home.root(), name.as_bytes(), &node)?.ino)
}

#[test]
fn a_disk_that_fails_is_told_to_writers_before_the_memory_is_full_of_what_it_does_not_take() {
    let Scene { disk, home, .. } = scene(512 * MIB);
    let file = make(&home, "file").unwrap();
    home.sync(file).unwrap();
    disk.set_broken(true);
    let data = vec![3; MIB];
    let mut written = 0;
    let error = loop {
        match home.write(file, Some(written), &data) {
            Ok(_) => written += MIB as u64,
            Err(error) => break error,
        }
        let synced = home.sync(file).unwrap_err();
        assert!([5, 28].contains(&synced.errno()), "{synced}");
        // Also for a caller that only asks.
        assert!(home.stage.failure().is_some());
        assert!(written <= 80 * MIB as u64, "nobody was told");
    };
    assert_eq!(error.errno(), 5, "{error}");
    assert!(home.stage.bytes() < 80 * MIB as u64);
    // Also changes that are no content.
    assert_eq!(make(&home, "other").unwrap_err().errno(), 5);
    // Changes that free space go on.
    home.unlink(home.root(), b"file").unwrap();
    disk.set_broken(false);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let other = make(&home, "other").unwrap();
    home.write(other, Some(0), &data).unwrap();
    home.sync(other).unwrap();
    assert!(home.stage.failure().is_none());
}

#[test]
fn who_only_changes_names_is_told_too() {
    let Scene { disk, home, .. } = scene(64 * MIB);
    let file = make(&home, "file").unwrap();
    home.sync(file).unwrap();
    disk.set_broken(true);
    let value = vec![1; 60_000];
    let mut set = 0u64;
    let error = loop {
        let name = format!("user.{}", set % 50);
        match home.set_xattr(file, name.as_bytes(), &value, crate::XattrMode::Any) {
            Ok(()) => set += 1,
            Err(error) => break error,
        }
        assert!(set * 60_000 < 80 * MIB as u64, "nobody was told");
    };
    assert_eq!(error.errno(), 5);
    assert!(home.stage.failure().is_some());
}

#[test]
fn a_write_that_finds_no_room_is_not_taken() {
    let Scene { store, home, .. } = scene(4 * MIB);
    let file = make(&home, "file").unwrap();
    let full = StoreError::Full {
        url: "memory:".into(),
        why: "no room".into(),
    };
    store.fail_next(Method::PutChunks, u64::MAX, full);
    let mut refused = 0;
    for number in 0..40 {
        // Data that cannot be compressed.
        let mut data = vec![0; MIB];
        safeos_record::random_bytes(&mut data).unwrap();
        match home.write(file, Some(number * MIB as u64), &data) {
            Ok(_) => assert_eq!(refused, 0),
            Err(error) => {
                assert_eq!(error.errno(), 28, "{error}");
                refused += 1;
            }
        }
        assert!(home.files.dirty_bytes() <= 5 * MIB);
    }
    assert!(refused >= 30);
    assert_eq!(home.attr(file).unwrap().size, (40 - refused) * MIB as u64);
}
