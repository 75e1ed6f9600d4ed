//! Random states on both sides: nothing is lost, the result is right, and merging settles.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use safeos_tree::{FileKind, Ino};

use crate::world::World;

#[derive(Clone, Debug)]
enum Op {
    Mkdir(usize),
    Make(usize),
    Write(usize),
    WriteFar(usize),
    Save(usize),
    Symlink(usize),
    Link(usize, usize),
    Rename(usize, usize),
    Move(usize, usize),
    Remove(usize),
    RemoveAll(usize),
    Chmod(usize, u16),
    Xattr(usize, u8),
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// The directories, the root first, or the other nodes, by path.
fn paths(world: &World, directories: bool) -> Vec<String> {
    let mut paths = vec![String::new(); usize::from(directories)];
    for (path, what) in world.list() {
        if (what == "/") == directories {
            paths.push(path);
        }
    }
    paths
}

/// One of the names that a directory may have, in one of the directories: few enough that both sides meet.
fn place(world: &World, number: usize) -> String {
    let directories = paths(world, true);
    let name = NAMES[number % NAMES.len()];
    match directories[number / NAMES.len() % directories.len()].as_str() {
        "" => name.to_owned(),
        dir => format!("{dir}/{name}"),
    }
}

/// Something that is there, if anything is.
fn there(world: &World, number: usize, directories: bool) -> String {
    let mut paths = paths(world, directories);
    paths.retain(|path| !path.is_empty());
    if paths.is_empty() {
        return "none".to_owned();
    }
    paths.swap_remove(number % paths.len())
}

fn an_op() -> impl Strategy<Value = Op> {
    let at = 0usize..64;
    prop_oneof![
        4 => at.clone().prop_map(Op::Mkdir),
        4 => at.clone().prop_map(Op::Make),
        5 => at.clone().prop_map(Op::Write),
        1 => at.clone().prop_map(Op::WriteFar),
        2 => at.clone().prop_map(Op::Save),
        1 => at.clone().prop_map(Op::Symlink),
        2 => (at.clone(), at.clone()).prop_map(|(a, b)| Op::Link(a, b)),
        4 => (at.clone(), at.clone()).prop_map(|(a, b)| Op::Rename(a, b)),
        4 => (at.clone(), at.clone()).prop_map(|(a, b)| Op::Move(a, b)),
        3 => at.clone().prop_map(Op::Remove),
        1 => at.clone().prop_map(Op::RemoveAll),
        1 => (at.clone(), 0u16..0o1000).prop_map(|(a, perm)| Op::Chmod(a, perm)),
        1 => (at, 0u8..3).prop_map(|(a, n)| Op::Xattr(a, n)),
    ]
}

/// Does operations, as far as they can be done; every content written is one of its own.
fn perform(world: &mut World, side: &str, ops: &[Op]) {
    for (number, op) in ops.iter().enumerate() {
        let token = format!("[{side}{number}]");
        match *op {
            Op::Mkdir(at) => {
                world.mkdir(&place(world, at));
            }
            Op::Make(at) => {
                world.write(&place(world, at), &token);
            }
            Op::Write(at) => {
                world.write(&there(world, at, false), &token);
            }
            Op::WriteFar(at) => {
                if let Some((ino, FileKind::File)) = world.find(&there(world, at, false)) {
                    world.write_block(ino, 3, &token);
                }
            }
            Op::Save(at) => {
                let path = there(world, at, false);
                if world.write(&format!("{path}.new"), &token).is_some()
                    && world.rename(&format!("{path}.new"), &path).is_none()
                {
                    world.remove(&format!("{path}.new")).unwrap();
                }
            }
            Op::Symlink(at) => {
                world.symlink(&place(world, at), &token);
            }
            Op::Link(from, to) => {
                world.link(&there(world, from, false), &place(world, to));
            }
            Op::Rename(from, to) => {
                world.rename(&there(world, from, false), &place(world, to));
            }
            Op::Move(from, to) => {
                world.rename(&there(world, from, true), &place(world, to));
            }
            Op::Remove(at) => {
                world.remove(&there(world, at, false));
            }
            Op::RemoveAll(at) => {
                world.remove_all(&there(world, at, true));
            }
            Op::Chmod(at, perm) => {
                world.change(&there(world, at, at % 2 == 0), |inode| inode.perm = perm);
            }
            Op::Xattr(at, n) => {
                let value = (n < 2).then_some(token.as_str());
                world.set_xattr(&there(world, at, at % 2 == 0), &format!("user.{n}"), value);
            }
        }
    }
}

/// The content of each file and link, by number.
fn contents(world: &World) -> BTreeMap<Ino, String> {
    world
        .list()
        .into_iter()
        .filter(|(_, content)| content != "/")
        .filter_map(|(path, content)| Some((world.find(&path)?.0, content)))
        .collect()
}

/// Contents that the result has to have: those of either side, unless one is as in the base and the other
/// side removed or replaced it.
fn needed(base: &World, side: &World, other: &World) -> BTreeSet<String> {
    let (base, other) = (contents(base), contents(other));
    contents(side)
        .into_iter()
        .filter(|(ino, content)| match base.get(ino) {
            Some(before) if before == content => other.get(ino) == Some(content),
            _ => true,
        })
        .map(|(_, content)| content)
        .collect()
}

fn states() -> impl Strategy<Value = (World, World, World)> {
    let ops = || proptest::collection::vec(an_op(), 0..16);
    (proptest::collection::vec(an_op(), 0..40), ops(), ops()).prop_map(|(base, ours, theirs)| {
        let mut world = World::new();
        perform(&mut world, "base", &base);
        let mut left = world.on(1);
        perform(&mut left, "ours", &ours);
        let mut right = world.on(2);
        perform(&mut right, "theirs", &theirs);
        (world, left, right)
    })
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.list()).finish()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nothing_is_lost((base, ours, theirs) in states()) {
        let mut merged = ours.clone();
        merged.merge(&base, &theirs);
        let there: BTreeSet<String> = contents(&merged).into_values().collect();
        for (whose, side, other) in [("ours", &ours, &theirs), ("theirs", &theirs, &ours)] {
            for content in needed(&base, side, other) {
                prop_assert!(there.contains(&content), "{content} of {whose} is lost: {merged:#?}");
            }
        }
        // Content that is in none of the two does not come back.
        let known: BTreeSet<String> =
            contents(&ours).into_values().chain(contents(&theirs).into_values()).collect();
        prop_assert!(there.is_subset(&known));
    }

    #[test]
    fn what_one_side_did_is_the_result((base, ours, theirs) in states()) {
        let mut merged = ours.clone();
        prop_assert_eq!(merged.merge(&base, &base.clone()), Vec::<String>::new());
        prop_assert_eq!(merged.all(), ours.all());
        let mut merged = base.clone();
        prop_assert_eq!(merged.merge(&base, &theirs), Vec::<String>::new());
        prop_assert_eq!(merged.all(), theirs.all());
        prop_assert_eq!(merged.tree.totals(), theirs.tree.totals());
    }

    #[test]
    fn apart_from_a_neighbour_one_side_is_taken_as_it_is((base, _, theirs) in states()) {
        // The same as above, through all the rules: ours has one file that theirs does not touch.
        let mut ours = base.on(3);
        ours.write("neighbour", "[neighbour]").unwrap();
        let mut merged = ours.clone();
        prop_assert_eq!(merged.merge(&base, &theirs), Vec::<String>::new());
        let mut expected = theirs.list();
        expected.insert("neighbour".into(), "[neighbour]".into());
        prop_assert_eq!(merged.list(), expected);
        let new = ours.find("neighbour").unwrap().0;
        merged.remove("neighbour").unwrap();
        let differing: Vec<_> = merged.all().into_iter().zip(theirs.all()).filter(|(a, b)| a != b).collect();
        // Only the root's times can differ.
        prop_assert!(differing.iter().all(|((key, _), _)| key.ino == 2), "{new} {differing:?}");
    }

    #[test]
    fn both_computers_come_to_the_same((base, ours, theirs) in states(), more in proptest::collection::vec(an_op(), 0..10)) {
        let mut merged = ours.clone();
        merged.merge(&base, &theirs);
        // The other computer has nothing new: it takes the result as it is.
        let mut other = theirs.clone();
        prop_assert_eq!(other.merge(&theirs, &merged), Vec::<String>::new());
        prop_assert_eq!(other.all(), merged.all());
        // It has something new: both meet again, from the state that was merged.
        let mut other = theirs.clone();
        perform(&mut other, "more", &more);
        let before = other.clone();
        other.merge(&theirs, &merged);
        let there: BTreeSet<String> = contents(&other).into_values().collect();
        for content in needed(&theirs, &before, &merged) {
            prop_assert!(there.contains(&content), "{content} is lost");
        }
    }
}
