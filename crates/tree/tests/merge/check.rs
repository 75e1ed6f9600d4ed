//! The findings of a check.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use safeos_record::{Address, Chunk, Key as Secret};
use safeos_tree::{
    Block, Error, FileKind, Key, Keys, Node, ObjectRef, Objects, PackSink, PackedObject, ROOT,
    Reader, Result, Source, Tree, Value, check, seal_tree,
};

use crate::world::World;

/// A home with something of everything.
fn home() -> World {
    let mut world = World::new();
    world.mkdir("docs").unwrap();
    world.mkdir("docs/old").unwrap();
    world.write("docs/report", "a text").unwrap();
    world.link("docs/report", "docs/old/same").unwrap();
    world.symlink("docs/link", "report").unwrap();
    world.set_xattr("docs", "user.color", Some("red")).unwrap();
    world.make("pipe", FileKind::Fifo, |_| {}).unwrap();
    world
}

/// The findings after one item was changed.
fn after(change: impl FnOnce(&mut World)) -> String {
    let mut world = home();
    change(&mut world);
    world.problems().join("\n")
}

#[test]
fn a_good_home_has_no_problems() {
    assert_eq!(home().problems(), Vec::<String>::new());
    let checked = check(&home().tree, &crate::world::Nowhere, &mut |_, _, _| Ok(())).unwrap();
    assert_eq!((checked.nodes, checked.orphans, checked.bytes), (6, 0, 6));
}

#[test]
fn a_file_deleted_while_open_is_counted_and_no_problem() {
    let mut world = home();
    let (ino, _) = world.find("pipe").unwrap();
    world.change("pipe", |inode| inode.nlink = 0).unwrap();
    world.apply(vec![(Key::entry(ROOT, b"pipe"), None)]);
    let checked = check(&world.tree, &crate::world::Nowhere, &mut |_, _, _| Ok(())).unwrap();
    assert_eq!((checked.problems, checked.orphans), (vec![], 1), "{ino}");
}

#[test]
fn every_kind_of_disagreement_is_found() {
    let entry = |ino, kind| Some(Value::Entry { ino, kind });
    let ino = |path: &str| home().find(path).unwrap().0;
    let text = |text: &str| {
        Some(Value::Block(Block::Inline(Bytes::copy_from_slice(
            text.as_bytes(),
        ))))
    };
    type Change<'a> = Box<dyn FnOnce(&mut World) + 'a>;
    let put = |key: Key, value: Option<Value>| -> Change<'_> {
        Box::new(move |world: &mut World| world.apply(vec![(key, value)]))
    };
    let cases: Vec<(&str, Change<'_>, &str)> = vec![
        (
            "a lost node",
            put(Key::inode(ino("pipe")), None),
            r#"Some("pipe"): it is a name of a node that is not there"#,
        ),
        (
            "a lost name",
            put(Key::entry(ROOT, b"pipe"), None),
            "it is in no directory",
        ),
        (
            "a name of nothing",
            put(Key::entry(ROOT, b"x"), entry(999, FileKind::File)),
            r#"Some("x"): it is a name of a node that is not there"#,
        ),
        (
            "a wrong kind",
            put(
                Key::entry(ROOT, b"pipe"),
                entry(ino("pipe"), FileKind::File),
            ),
            r#"Some("pipe"): its name says that it is of another kind"#,
        ),
        (
            "a second name of a directory",
            put(
                Key::entry(ROOT, b"again"),
                entry(ino("docs/old"), FileKind::Directory),
            ),
            "more than one name",
        ),
        (
            "too few links",
            put(
                Key::entry(ROOT, b"more"),
                entry(ino("docs/report"), FileKind::File),
            ),
            "it says that it has 2 names, it has 3",
        ),
        (
            "a bad name",
            put(Key::entry(ROOT, b".."), entry(ino("pipe"), FileKind::Fifo)),
            "an entry that is no name",
        ),
        (
            "an entry in a file",
            put(
                Key::entry(ino("pipe"), b"x"),
                entry(ino("docs/report"), FileKind::File),
            ),
            "it has entries but is no directory",
        ),
        (
            "bytes not counted",
            put(Key::block(ino("docs/report"), 0), text("a tex")),
            r#"it says that 6 bytes are there, there are 5"#,
        ),
        (
            "a block too far",
            put(Key::block(ino("docs/report"), 1), text("x")),
            "its block 1 is beyond its end, 6",
        ),
        (
            "bytes beyond the end",
            put(Key::block(ino("docs/report"), 0), text("a text!")),
            "bytes beyond its end, 6",
        ),
        (
            "content of a directory",
            put(Key::block(ino("docs"), 0), text("x")),
            "it has content but is no file",
        ),
        (
            "items of nothing",
            put(Key::xattr(777, b"user.x"), Some(Value::Xattr(Bytes::new()))),
            "items of a node that is not there",
        ),
        (
            "no root",
            put(Key::inode(ROOT), None),
            "Some(2) Some(\"\"): there are items of a node that is not there",
        ),
        (
            "a wrong parent",
            Box::new(|w| w.change("docs/old", |inode| inode.parent = ROOT).unwrap()),
            r#"Some("docs/old"): it says that it is in directory 2"#,
        ),
        (
            "wrong links of a directory",
            Box::new(|w| w.change("docs", |inode| inode.nlink = 7).unwrap()),
            r#"Some("docs"): it says that it has 7 links"#,
        ),
        (
            "a link to nowhere",
            Box::new(|w| {
                w.change("docs/link", |inode| inode.target = Bytes::new())
                    .unwrap()
            }),
            "a symbolic link without a target",
        ),
        (
            "a circle",
            Box::new(|w| {
                let (docs, old) = (w.find("docs").unwrap().0, w.find("docs/old").unwrap().0);
                w.apply(vec![
                    (Key::entry(ROOT, b"docs"), None),
                    (
                        Key::entry(old, b"docs"),
                        Some(Value::Entry {
                            ino: docs,
                            kind: FileKind::Directory,
                        }),
                    ),
                ]);
            }),
            "it lies within itself",
        ),
    ];
    for (name, change, expected) in cases {
        let found = after(change);
        assert!(found.contains(expected), "{name}: {found}");
    }
}

#[test]
fn totals_are_compared() {
    let home = home();
    let mut totals = home.tree.totals();
    totals.bytes += 1;
    let mut items = Vec::new();
    for (key, value) in home.all() {
        items.push((key, Some(value)));
    }
    let mut tree = Tree::from_root(
        Node::decode(&[0, 0, 0], None).unwrap(),
        safeos_tree::Totals { nodes: 0, bytes: 1 },
    );
    tree.apply(&crate::world::Nowhere, items).unwrap();
    assert_eq!(tree.totals(), totals);
    let checked = check(&tree, &crate::world::Nowhere, &mut |_, _, _| Ok(())).unwrap();
    assert!(
        checked.problems[0]
            .what
            .contains("the commit says 6 nodes and 7 bytes, there are 6 nodes and 6 bytes")
    );
}

#[derive(Default)]
struct Packs(Mutex<HashMap<Address, Bytes>>);

impl Objects for Packs {
    fn sealed(&self, at: &ObjectRef) -> Result<Vec<u8>> {
        let packs = self.0.lock();
        let pack = packs.get(&at.pack).ok_or(Error::Format("no such pack"))?;
        Ok(pack[at.offset as usize..(at.offset + at.len) as usize].to_vec())
    }
}

impl PackSink for &Packs {
    fn pack(&mut self, chunk: Chunk, _: &[PackedObject]) -> Result<()> {
        self.0.lock().insert(chunk.address(), chunk.into_bytes());
        Ok(())
    }
}

/// Refuses some nodes, and counts all.
struct Damaged {
    reader: Reader,
    asked: Mutex<Vec<ObjectRef>>,
    bad: Option<ObjectRef>,
}

impl Source for Damaged {
    fn node(&self, at: &ObjectRef) -> Result<Arc<Node>> {
        self.asked.lock().push(*at);
        if self.bad == Some(*at) {
            return Err(Error::Format("bad luck"));
        }
        self.reader.node(at)
    }
}

#[test]
fn damage_is_named_and_stops_nothing() {
    let mut world = World::new();
    for dir in 0..40 {
        world.mkdir(&format!("dir{dir}")).unwrap();
    }
    for dir in 0..40 {
        for file in 0..25 {
            world
                .write(&format!("dir{dir}/file{file}"), &"content ".repeat(9))
                .unwrap();
        }
    }
    let keys = Keys::new(&Secret::new([4; 32]));
    let packs = Arc::new(Packs::default());
    let root = seal_tree(&world.tree, &keys, &mut &*packs).unwrap();
    let totals = world.tree.totals();
    let tree = Tree::from_root(Node::decode(&root, None).unwrap(), totals);
    let mut source = Damaged {
        reader: Reader::new(keys, packs, 1 << 24),
        asked: Mutex::default(),
        bad: None,
    };
    let whole = check(&tree, &source, &mut |_, _, _| Ok(())).unwrap();
    assert_eq!(whole.problems, vec![]);
    let mut nodes = std::mem::take(&mut *source.asked.lock());
    nodes.sort();
    nodes.dedup();
    assert!(nodes.len() > 3, "{}", nodes.len());
    let mut all_named = 0;
    for bad in nodes {
        source.bad = Some(bad);
        let mut seen = 0;
        let checked = check(&tree, &source, &mut |_, _, _| {
            seen += 1;
            Ok(())
        })
        .unwrap();
        let damage: Vec<_> = checked
            .problems
            .iter()
            .filter(|problem| problem.what.contains("bad luck"))
            .collect();
        assert_eq!(damage.len(), 1, "{:#?}", checked.problems);
        // Each node that is gone is named by its path, unless its name is gone too.
        let lost = whole.nodes - checked.nodes;
        let named = checked
            .problems
            .iter()
            .filter(|problem| {
                problem
                    .what
                    .contains("the part of the tree that holds it is damaged")
            })
            .inspect(|problem| assert!(problem.path.is_some()))
            .count() as u64;
        assert!(named <= lost, "{lost} {named}");
        all_named += named;
        // Every file that is there was looked at, but for one whose content was next door.
        assert!(seen + 42 >= checked.nodes, "{seen} {}", checked.nodes);
        for problem in &checked.problems {
            assert!(
                !problem.what.contains("links") && !problem.what.contains("bytes are there"),
                "{problem:?}"
            );
        }
    }
    assert!(all_named > 900, "{all_named}");
}

#[test]
fn damaged_blocks_are_named_by_file_and_a_store_that_is_away_ends_the_check() {
    let mut world = home();
    let (ino, _) = world.find("docs/report").unwrap();
    world.write_block(ino, 1, "more");
    world.write_block(ino, 2, "more");
    let checked = check(&world.tree, &crate::world::Nowhere, &mut |at, number, _| {
        if at == ino && number > 0 {
            Err(Error::Format("spoilt"))
        } else {
            Ok(())
        }
    })
    .unwrap();
    assert_eq!(checked.problems.len(), 1);
    let problem = &checked.problems[0];
    let place = safeos_tree::BLOCK_BYTES;
    let what = format!("2 of its blocks cannot be read, the first at byte {place}:");
    assert!(problem.what.starts_with(&what), "{}", problem.what);
    assert!(
        problem.path == Some(b"docs/report".to_vec())
            || problem.path == Some(b"docs/old/same".to_vec())
    );
    let away = check(&world.tree, &crate::world::Nowhere, &mut |_, _, _| {
        Err(Error::Store(safeos_store::Error::Unreachable {
            url: "http://x".into(),
            why: "no route".into(),
        }))
    });
    assert!(away.is_err());
}

#[test]
fn a_home_that_was_large_has_no_problems() {
    let mut world = World::new();
    let keys = Keys::new(&Secret::new([5; 32]));
    let packs = Arc::new(Packs::default());
    for dir in 0..30 {
        world.mkdir(&format!("dir{dir}")).unwrap();
        for file in 0..60 {
            world
                .write(&format!("dir{dir}/file{file}"), "text")
                .unwrap();
        }
    }
    for dir in 0..30 {
        if dir % 3 > 0 {
            world.remove_all(&format!("dir{dir}")).unwrap();
        }
        // Read again from a store, so that nodes are joined with some that are in memory and some that are not.
        if dir % 7 == 0 {
            assert_eq!(world.problems(), Vec::<String>::new());
            let root = seal_tree(&world.tree, &keys, &mut &*packs).unwrap();
            let totals = world.tree.totals();
            let stored = Tree::from_root(Node::decode(&root, None).unwrap(), totals);
            let reader = Reader::new(keys.clone(), packs.clone(), 1 << 24);
            let mut all = Vec::new();
            stored
                .scan(
                    &reader,
                    &Key::inode(0),
                    &Key::inode(u64::MAX),
                    &mut |key, _| {
                        all.push((key.clone(), None));
                        std::ops::ControlFlow::Continue(())
                    },
                )
                .unwrap();
            for batch in [all[..all.len() / 3].to_vec(), all[all.len() / 2..].to_vec()] {
                let mut less = stored.clone();
                less.apply(&reader, batch).unwrap();
                let checked = check(&less, &reader, &mut |_, _, _| Ok(())).unwrap();
                let torn = |what: &str| what.contains("tree");
                assert!(!checked.problems.iter().any(|problem| torn(&problem.what)));
            }
            let checked = check(&stored, &reader, &mut |_, _, _| Ok(())).unwrap();
            assert_eq!(checked.problems, vec![]);
        }
    }
}
