//! The tree against a sorted map: random changes, snapshots, storing and reading again.
// Helpers of tests are outside of what the lints know to be tests.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use proptest::prelude::*;
use safeos_record::{Address, Chunk, Key as Secret};
use safeos_tree::{
    Batch, Commit, Error, Key, Keys, ObjectRef, Objects, PackSink, PackedObject, Reader, Result,
    Totals, Tree, Value, decode_batch, diff, encode_batch, seal_tree,
};

#[derive(Default)]
struct Memory(Mutex<HashMap<Address, Bytes>>);

impl Objects for Memory {
    fn sealed(&self, at: &ObjectRef) -> Result<Vec<u8>> {
        let packs = self.0.lock();
        let pack = packs.get(&at.pack).ok_or(Error::Format("no such pack"))?;
        Ok(pack[at.offset as usize..(at.offset + at.len) as usize].to_vec())
    }
}

impl PackSink for &Memory {
    fn pack(&mut self, chunk: Chunk, _: &[PackedObject]) -> Result<()> {
        self.0.lock().insert(chunk.address(), chunk.into_bytes());
        Ok(())
    }
}

struct Home {
    memory: Arc<Memory>,
    reader: Reader,
    keys: Keys,
}

impl Home {
    fn new() -> Self {
        let memory = Arc::new(Memory::default());
        let keys = Keys::new(&Secret::new([3; 32]));
        let reader = Reader::new(keys.clone(), memory.clone(), 1 << 20);
        Self {
            memory,
            reader,
            keys,
        }
    }

    /// Stores a tree and reads it again.
    fn store(&self, tree: &Tree) -> Tree {
        let root = seal_tree(tree, &self.keys, &mut &*self.memory).unwrap();
        let commit = Commit {
            time: 1,
            computer: "here".into(),
            parents: vec![],
            stage: [0; 16],
            stage_segment: 0,
            added_bytes: 0,
            totals: tree.totals(),
            root,
        };
        let read = Commit::decode(&commit.encode()).unwrap();
        assert_eq!(read, commit);
        read.tree().unwrap()
    }

    fn items(&self, tree: &Tree) -> BTreeMap<Key, Value> {
        let mut items = BTreeMap::new();
        tree.scan(
            &self.reader,
            &Key::inode(0),
            &Key::inode(u64::MAX),
            &mut |key, value| {
                items.insert(key.clone(), value.clone());
                ControlFlow::Continue(())
            },
        )
        .unwrap();
        items
    }
}

fn a_key() -> impl Strategy<Value = Key> {
    prop_oneof![
        (1u64..400, "[a-z]{1,40}").prop_map(|(ino, name)| Key::xattr(ino, name.as_bytes())),
        (1u64..4, any::<u16>()).prop_map(|(ino, n)| Key::xattr(ino, n.to_string().as_bytes())),
        (1u64..3, 0u64..20_000).prop_map(|(ino, n)| Key::block(ino, n)),
    ]
}

fn a_change() -> impl Strategy<Value = (Key, Option<Value>)> {
    (a_key(), any::<u8>(), 0usize..120).prop_map(|(key, byte, len)| {
        let bytes = Bytes::from(vec![byte; len]);
        let value = match (byte % 4, key.tag) {
            (0, _) => None,
            (_, safeos_tree::Tag::Block) => Some(Value::Block(safeos_tree::Block::Inline(bytes))),
            _ => Some(Value::Xattr(bytes)),
        };
        (key, value)
    })
}

fn apply(map: &mut BTreeMap<Key, Value>, batch: &Batch) {
    for (key, value) in batch {
        match value {
            Some(value) => map.insert(key.clone(), value.clone()),
            None => map.remove(key),
        };
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_tree_is_a_sorted_map(rounds in proptest::collection::vec(proptest::collection::vec(a_change(), 1..800), 1..6)) {
        let home = Home::new();
        let mut tree = Tree::new();
        let mut map = BTreeMap::new();
        for (number, batch) in rounds.into_iter().enumerate() {
            let before = (tree.clone(), map.clone());
            let mut bytes = Vec::new();
            encode_batch(&batch, &mut bytes);
            prop_assert_eq!(&decode_batch(&bytes).unwrap(), &batch);
            tree.apply(&home.reader, batch.clone()).unwrap();
            apply(&mut map, &batch);
            prop_assert_eq!(&home.items(&tree), &map);
            prop_assert_eq!(&home.items(&before.0), &before.1, "a snapshot has changed");
            for (key, _) in &batch {
                prop_assert_eq!(tree.get(&home.reader, key).unwrap(), map.get(key).cloned());
            }
            let mut differences = Vec::new();
            diff(&before.0, &tree, &home.reader, &mut |key, left, right| {
                differences.push((key.clone(), left.cloned(), right.cloned()));
                Ok(())
            }).unwrap();
            let mut expected = Vec::new();
            let mut all: Vec<Key> = before.1.keys().chain(map.keys()).cloned().collect();
            all.sort();
            all.dedup();
            for key in all {
                let (left, right) = (before.1.get(&key).cloned(), map.get(&key).cloned());
                if left != right {
                    expected.push((key, left, right));
                }
            }
            prop_assert_eq!(differences, expected);
            match number % 3 {
                0 => tree = home.store(&tree),
                1 => {
                    home.store(&tree);
                    tree.release_stored(&home.reader);
                }
                _ => {}
            }
            prop_assert_eq!(&home.items(&tree), &map);
        }
        let everything: Batch = map.keys().map(|key| (key.clone(), None)).collect();
        tree.apply(&home.reader, everything).unwrap();
        prop_assert!(home.items(&tree).is_empty());
        prop_assert_eq!(tree.totals(), Totals::default());
    }

    /// Runs that empty whole leaves, and insertions where they were: insertions after a removal may need a node that
    /// was not fetched.
    #[test]
    fn a_batch_is_made_as_a_whole_or_not_at_all(
        runs in proptest::collection::vec((0u64..4_000, 1u64..900, any::<bool>()), 1..5),
        backwards in any::<bool>(),
    ) {
        let home = Home::new();
        let mut tree = Tree::new();
        let value = |byte| Some(Value::Block(safeos_tree::Block::Inline(Bytes::from(vec![byte; 90]))));
        let all: Batch = (0..4_000).map(|n| (Key::block(2, n), value(1))).collect();
        tree.apply(&home.reader, all).unwrap();
        let mut tree = home.store(&tree);
        let before = home.items(&tree);
        let totals = tree.totals();
        let mut batch = Batch::new();
        for (from, len, again) in runs {
            let mut numbers: Vec<u64> = (from..from + len).collect();
            if backwards {
                numbers.reverse();
            }
            batch.extend(numbers.iter().map(|n| (Key::block(2, *n), None)));
            if again {
                batch.push((Key::block(2, from + len / 2), value(2)));
            }
        }
        let mut after = before.clone();
        apply(&mut after, &batch);
        let cold = Reader::new(home.keys.clone(), home.memory.clone(), 1 << 20);
        loop {
            match tree.apply(&cold.cached(), batch.clone()) {
                Err(Error::NotCached(at)) => {
                    prop_assert_eq!(&home.items(&tree), &before, "a part of it was made");
                    prop_assert_eq!(tree.totals(), totals);
                    safeos_tree::Source::node(&cold, &at).unwrap();
                }
                done => break done.unwrap(),
            }
        }
        prop_assert_eq!(&home.items(&tree), &after);
        prop_assert_eq!(&home.items(&home.store(&tree)), &after);
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = safeos_tree::Node::decode(&bytes, None);
        let _ = Commit::decode(&bytes);
        let _ = decode_batch(&bytes);
        let _ = safeos_tree::directory(&Keys::new(&Secret::new([3; 32])), &bytes);
    }
}

#[test]
fn a_small_change_stores_little_of_a_large_tree() {
    let home = Home::new();
    let mut tree = Tree::new();
    let batch: Batch = (0..100_000u64)
        .map(|n| {
            let key = Key::entry(2, format!("file number {n:06}").as_bytes());
            let kind = safeos_tree::FileKind::File;
            (key, Some(Value::Entry { ino: n + 10, kind }))
        })
        .collect();
    tree.apply(&home.reader, batch).unwrap();
    tree = home.store(&tree);
    let before: usize = home.memory.0.lock().values().map(Bytes::len).sum();
    tree.apply(
        &home.reader,
        vec![(Key::entry(2, b"file number 050000"), None)],
    )
    .unwrap();
    tree = home.store(&tree);
    let after: usize = home.memory.0.lock().values().map(Bytes::len).sum();
    assert!(
        after - before < 40_000,
        "{} bytes for one entry of {before}",
        after - before
    );
    assert_eq!(home.items(&tree).len(), 99_999);
}

/// The removals take a leaf away, and the insertion goes to the one before it, which is not in memory.
#[test]
fn what_follows_a_removal_in_a_batch_finds_its_place() {
    let home = Home::new();
    let mut tree = Tree::new();
    let value = |byte| {
        Some(Value::Block(safeos_tree::Block::Inline(Bytes::from(
            vec![byte; 90],
        ))))
    };
    let all: Batch = (0..4_000).map(|n| (Key::block(2, n), value(1))).collect();
    tree.apply(&home.reader, all).unwrap();
    let mut tree = home.store(&tree);
    let mut map = home.items(&tree);
    let mut batch: Batch = (1_500..2_500).map(|n| (Key::block(2, n), None)).collect();
    batch.push((Key::block(2, 2_000), value(2)));
    apply(&mut map, &batch);
    tree.apply(&home.reader, batch).unwrap();
    assert_eq!(home.items(&tree), map);
}

#[test]
fn a_change_under_a_lock_asks_for_what_is_missing_and_does_nothing() {
    let home = Home::new();
    let mut tree = Tree::new();
    let batch: Batch = (0..5_000u64)
        .map(|n| {
            (
                Key::block(2, n),
                Some(Value::Block(safeos_tree::Block::Inline(Bytes::from(
                    vec![1; 90],
                )))),
            )
        })
        .collect();
    tree.apply(&home.reader, batch).unwrap();
    let mut tree = home.store(&tree);
    let cold = Reader::new(home.keys.clone(), home.memory.clone(), 1 << 20);
    let before = home.items(&tree);
    let change: Batch = vec![(Key::block(2, 1), None), (Key::block(2, 4_999), None)];
    let mut tries = 0;
    loop {
        tries += 1;
        match tree.apply(&cold.cached(), change.clone()) {
            Err(Error::NotCached(at)) => {
                assert_eq!(home.items(&tree), before);
                safeos_tree::Source::node(&cold, &at).unwrap();
            }
            other => break other.unwrap(),
        }
    }
    assert!(tries > 2);
    assert_eq!(home.items(&tree).len(), before.len() - 2);
}
