//! Whose a home's nodes are on computers where the person has different numbers.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use common::{copy, credentials, options};
use safeos_account::Login;
use safeos_record::Chunk;
use safeos_session::{
    Error, FileKind, Ino, NewNode, Options, Session, SetAttr, Volume, open_public_for,
};
use safeos_store::{MemoryStore, Store};
use safeos_tree::{
    Batch, Commit, FileKind as TreeKind, Inode, Key, Keys, Node, ObjectRef, Owner, PackSink,
    PackedObject, ROOT, Source, Tree, Value, seal_tree,
};
use tempfile::TempDir;

/// The person's user and group on three computers.
const HERE: (u32, u32) = (1500, 1500);
const THERE: (u32, u32) = (1600, 100);
const AS_ROOT: (u32, u32) = (0, 0);
/// Another user.
const OTHER: (u32, u32) = (33, 34);

/// A store and computers that are started one after another.
struct World {
    store: Arc<dyn Store>,
    states: TempDir,
}

impl World {
    fn new() -> Self {
        Self {
            store: Arc::new(MemoryStore::default()),
            states: TempDir::new().unwrap(),
        }
    }

    /// The computer on which the person has these numbers.
    fn options(&self, owner: (u32, u32)) -> Options {
        let state = self.states.path().join(owner.0.to_string());
        std::fs::create_dir_all(&state).unwrap();
        Options {
            owner,
            ..options(self.store.clone(), &state)
        }
    }

    fn sign_up(&self, owner: (u32, u32)) -> Arc<Session> {
        Session::sign_up(credentials(), self.options(owner), &()).unwrap()
    }

    fn sign_in(&self, owner: (u32, u32)) -> Arc<Session> {
        Session::sign_in(credentials(), self.options(owner), &()).unwrap()
    }
}

fn leave(session: Arc<Session>) {
    session.sign_out(false, false, &()).unwrap();
}

fn make(home: &dyn Volume, dir: Ino, name: &str, kind: FileKind, owner: (u32, u32)) -> Ino {
    let node = NewNode {
        kind,
        perm: 0o640,
        uid: owner.0,
        gid: owner.1,
        rdev: 0,
        target: if kind == FileKind::Symlink { b"f" } else { b"" },
    };
    home.create(dir, name.as_bytes(), &node).unwrap().ino
}

fn chown(home: &dyn Volume, ino: Ino, uid: Option<u32>, gid: Option<u32>) {
    let change = SetAttr {
        uid,
        gid,
        ..SetAttr::default()
    };
    let attr = home.set_attr(ino, &change).unwrap();
    assert_eq!(uid.unwrap_or(attr.uid), attr.uid);
    assert_eq!(gid.unwrap_or(attr.gid), attr.gid);
}

/// Owner and group of everything, by path; told by `stat`, lookup and listing alike.
fn owners(volume: &dyn Volume) -> BTreeMap<String, (u32, u32)> {
    let root = volume.attr(volume.root()).unwrap();
    let mut found = BTreeMap::from([(String::new(), (root.uid, root.gid))]);
    let mut waiting = vec![(volume.root(), String::new())];
    while let Some((dir, path)) = waiting.pop() {
        for entry in volume.read_dir(dir, None, 1000).unwrap() {
            let attr = entry.attr;
            assert_eq!(volume.attr(attr.ino).unwrap(), attr);
            assert_eq!(volume.lookup(dir, &entry.name).unwrap(), attr);
            let path = format!("{path}/{}", String::from_utf8_lossy(&entry.name));
            if attr.kind == FileKind::Directory {
                waiting.push((attr.ino, path.clone()));
            }
            found.insert(path, (attr.uid, attr.gid));
        }
    }
    found
}

fn expected(owners: &[(&str, (u32, u32))]) -> BTreeMap<String, (u32, u32)> {
    owners
        .iter()
        .map(|(path, owner)| ((*path).to_owned(), *owner))
        .collect()
}

#[test]
fn what_is_the_persons_is_the_users_on_every_computer() {
    let world = World::new();
    let session = world.sign_up(HERE);
    let home = session.home().unwrap();
    let root = home.root();
    let dir = make(&*home, root, "d", FileKind::Directory, HERE);
    make(&*home, dir, "f", FileKind::File, HERE);
    make(&*home, dir, "l", FileKind::Symlink, HERE);
    make(&*home, dir, "other", FileKind::File, OTHER);
    make(&*home, dir, "mixed", FileKind::File, (HERE.0, OTHER.1));
    let mine = |me: (u32, u32)| {
        expected(&[
            ("", me),
            ("/d", me),
            ("/d/f", me),
            ("/d/l", me),
            ("/d/other", OTHER),
            ("/d/mixed", (me.0, OTHER.1)),
        ])
    };
    assert_eq!(owners(&*home), mine(HERE));
    leave(session);

    for me in [THERE, AS_ROOT, HERE] {
        let session = world.sign_in(me);
        let home = session.home().unwrap();
        assert_eq!(owners(&*home), mine(me));
        for snapshot in session.snapshots().unwrap().into_iter().skip(1) {
            let snapshot = session.snapshot(&snapshot.name).unwrap();
            assert_eq!(owners(&*snapshot), mine(me));
        }
        leave(session);
    }

    // Nodes that the user there makes, or chowns to itself, are the person's; a number that has no user here is kept.
    let session = world.sign_in(THERE);
    let home = session.home().unwrap();
    let dir = home.lookup(home.root(), b"d").unwrap().ino;
    let other = home.lookup(dir, b"other").unwrap().ino;
    chown(&*home, other, Some(THERE.0), Some(THERE.1));
    let mixed = home.lookup(dir, b"mixed").unwrap().ino;
    chown(&*home, mixed, Some(HERE.0), None);
    make(&*home, dir, "made", FileKind::File, THERE);
    leave(session);
    let session = world.sign_in(AS_ROOT);
    let home = session.home().unwrap();
    let now = expected(&[
        ("", AS_ROOT),
        ("/d", AS_ROOT),
        ("/d/f", AS_ROOT),
        ("/d/l", AS_ROOT),
        ("/d/made", AS_ROOT),
        ("/d/other", AS_ROOT),
        // Not the person's, although the person had that number where they signed up.
        ("/d/mixed", (HERE.0, OTHER.1)),
    ]);
    assert_eq!(owners(&*home), now);
    // In a directory with the set-group-id bit the group is the directory's, here the person's.
    let dir = home.lookup(home.root(), b"d").unwrap().ino;
    let change = SetAttr {
        perm: Some(0o2770),
        ..SetAttr::default()
    };
    home.set_attr(dir, &change).unwrap();
    make(&*home, dir, "inherits", FileKind::File, OTHER);
    leave(session);
    let session = world.sign_in(THERE);
    let inherits = owners(&*session.home().unwrap())["/d/inherits"];
    assert_eq!(inherits, (OTHER.0, THERE.1));
    leave(session);
}

#[test]
fn a_foreign_number_that_is_the_users_here_stays_foreign() {
    let world = World::new();
    let session = world.sign_up(HERE);
    let home = session.home().unwrap();
    let root = home.root();
    let theirs = make(&*home, root, "theirs", FileKind::File, THERE);
    make(&*home, root, "taken", FileKind::File, THERE);
    make(&*home, root, "by root", FileKind::File, AS_ROOT);
    assert_eq!(home.attr(theirs).unwrap().uid, THERE.0);
    leave(session);

    // It is shown as the user's own where the user has it, and can be written; that does not make it the person's.
    let session = world.sign_in(THERE);
    let home = session.home().unwrap();
    let find = |name: &str| home.lookup(home.root(), name.as_bytes()).unwrap().ino;
    assert_eq!(owners(&*home)["/theirs"], THERE);
    home.write(find("theirs"), Some(0), b"written").unwrap();
    chown(&*home, find("taken"), Some(THERE.0), None);
    leave(session);
    let session = world.sign_in(HERE);
    let now = owners(&*session.home().unwrap());
    assert_eq!(now["/theirs"], THERE);
    assert_eq!(now["/taken"], (HERE.0, THERE.1));
    assert_eq!(now["/by root"], AS_ROOT);
    leave(session);
}

#[test]
fn computers_with_other_numbers_meet_without_conflict() {
    let world = World::new();
    let a = world.sign_up(HERE);
    let home_a = a.home().unwrap();
    let shared = make(&*home_a, home_a.root(), "shared", FileKind::File, HERE);
    let given = make(&*home_a, home_a.root(), "given", FileKind::File, HERE);
    home_a.write(shared, Some(0), b"before").unwrap();
    a.publish(&()).unwrap();
    let b = world.sign_in(THERE);
    let home_b = b.home().unwrap();

    // The same file made on both; one changed there and chowned to oneself here; one given away here, read there.
    for (home, me) in [(&home_a, HERE), (&home_b, THERE)] {
        let both = make(&**home, home.root(), "both", FileKind::File, me);
        home.write(both, Some(0), b"the same").unwrap();
    }
    chown(&*home_a, shared, Some(HERE.0), Some(HERE.1));
    home_b.write(shared, Some(0), b"after").unwrap();
    chown(&*home_b, shared, Some(THERE.0), Some(THERE.1));
    chown(&*home_a, given, Some(OTHER.0), None);
    a.publish(&()).unwrap();
    let published = b.publish(&()).unwrap();
    assert!(published.conflicts.is_empty(), "{published:?}");
    a.publish(&()).unwrap();
    for (home, me) in [(&home_a, HERE), (&home_b, THERE)] {
        let all = [
            ("", me),
            ("/both", me),
            ("/shared", me),
            ("/given", (OTHER.0, me.1)),
        ];
        assert_eq!(owners(&**home), expected(&all));
    }
    // Nothing differs: nothing more is published, on either side.
    assert!(!a.publish(&()).unwrap().changed);
    assert!(!b.publish(&()).unwrap().changed);
    chown(&*home_b, shared, Some(THERE.0), Some(THERE.1));
    b.publish(&()).unwrap();
    a.publish(&()).unwrap();
    assert_eq!(owners(&*home_a)["/shared"], HERE);
}

#[test]
fn what_is_restored_or_published_says_nothing_of_numbers() {
    let world = World::new();
    let session = world.sign_up(HERE);
    let home = session.home().unwrap();
    let dir = make(&*home, home.root(), "d", FileKind::Directory, HERE);
    make(&*home, dir, "f", FileKind::File, HERE);
    make(&*home, dir, "other", FileKind::File, OTHER);
    session.publish(&()).unwrap();
    let snapshot = session.snapshots().unwrap().pop().unwrap().name;
    leave(session);

    let session = world.sign_in(THERE);
    session
        .restore(&snapshot, b"d", Some(b"again"), false, &())
        .unwrap();
    let now = owners(&*session.home().unwrap());
    assert_eq!(now["/again"], THERE);
    assert_eq!(now["/again/f"], THERE);
    assert_eq!(now["/again/other"], OTHER);
    for path in [&b"d"[..], b"d/other"] {
        let url = session.publish_path(path, &()).unwrap();
        let address = url.trim_start_matches("safe://");
        for viewer in [(42, 43), AS_ROOT] {
            let public = open_public_for(&world.store, address, viewer).unwrap();
            for (path, owner) in owners(&*public) {
                assert_eq!(owner, viewer, "{path:?}");
            }
        }
    }
    leave(session);
}

/// The first state of a home as it was made before there was a person in trees, with its user's nodes.
fn early_home(world: &World) {
    let inode = |kind, nlink, owner: (u32, u32)| Inode {
        kind,
        perm: 0o700,
        nlink,
        uid: Owner::Early(owner.0),
        gid: Owner::Early(owner.1),
        rdev: 0,
        size: 0,
        allocated: 0,
        atime: 1,
        mtime: 1,
        ctime: 1,
        btime: 1,
        parent: ROOT,
        target: Bytes::new(),
    };
    let mut batch: Batch = vec![(
        Key::inode(ROOT),
        Some(Value::Inode(Arc::new(inode(TreeKind::Directory, 3, HERE)))),
    )];
    let nodes = [
        ("d", TreeKind::Directory, HERE),
        ("f", TreeKind::File, HERE),
        ("other", TreeKind::File, OTHER),
        ("mixed", TreeKind::File, (OTHER.0, HERE.1)),
    ];
    for (ino, (name, kind, owner)) in (1 << 40..).zip(nodes) {
        let nlink = if kind == TreeKind::Directory { 2 } else { 1 };
        let inode = inode(kind, nlink, owner);
        batch.push((
            Key::entry(ROOT, name.as_bytes()),
            Some(Value::Entry { ino, kind }),
        ));
        batch.push((Key::inode(ino), Some(Value::Inode(Arc::new(inode)))));
    }
    let mut tree = Tree::new();
    tree.apply(&Nowhere, batch).unwrap();
    let login = Login::derive(&credentials()).unwrap();
    let first = |account: &safeos_account::Account| {
        let commit = Commit {
            time: 1,
            computer: "of then".into(),
            parents: Vec::new(),
            stage: [0; 16],
            stage_segment: 0,
            added_bytes: 0,
            totals: tree.totals(),
            root: seal_tree(&tree, &Keys::new(account.home_key()), &mut Nowhere).unwrap(),
        };
        Ok::<_, Error>(commit.encode())
    };
    login.sign_up(&*world.store, first, &|_| {}).unwrap();
}

struct Nowhere;

impl Source for Nowhere {
    fn node(&self, at: &ObjectRef) -> safeos_tree::Result<Arc<Node>> {
        Err(safeos_tree::Error::NotCached(*at))
    }
}

impl PackSink for Nowhere {
    fn pack(&mut self, _: Chunk, _: &[PackedObject]) -> safeos_tree::Result<()> {
        Err(safeos_tree::Error::Format("the tree is one node"))
    }
}

fn of_early(me: (u32, u32)) -> BTreeMap<String, (u32, u32)> {
    expected(&[
        ("", me),
        ("/d", me),
        ("/f", me),
        ("/other", OTHER),
        ("/mixed", (OTHER.0, me.1)),
    ])
}

#[test]
fn homes_made_before_are_read_as_they_are() {
    let world = World::new();
    early_home(&world);
    for me in [HERE, THERE, AS_ROOT] {
        let session = world.sign_in(me);
        assert_eq!(owners(&*session.home().unwrap()), of_early(me));
        let changed = session.publish(&()).unwrap().changed;
        assert!(!changed, "reading changes nothing");
        leave(session);
    }

    let session = world.sign_in(THERE);
    let home = session.home().unwrap();
    let find = |name: &str| home.lookup(home.root(), name.as_bytes()).unwrap().ino;
    // Today nothing means that number by accident any more, neither in new nodes nor in nodes given away.
    make(&*home, find("d"), "made", FileKind::File, THERE);
    make(&*home, find("d"), "not mine", FileKind::File, HERE);
    chown(&*home, find("other"), Some(HERE.0), None);
    chown(&*home, find("mixed"), Some(THERE.0), None);
    leave(session);
    let now = |me: (u32, u32)| {
        let mut all = of_early(me);
        all.insert("/d/made".into(), me);
        all.insert("/d/not mine".into(), HERE);
        all.insert("/other".into(), (HERE.0, OTHER.1));
        all.insert("/mixed".into(), me);
        all
    };
    let snapshot = {
        let session = world.sign_in(AS_ROOT);
        assert_eq!(owners(&*session.home().unwrap()), now(AS_ROOT));
        // Taken out of its home, an early number is the person or a number.
        session
            .restore("1970-01-01T00:00:00.000Z", b"f", Some(b"f2"), false, &())
            .unwrap();
        session
            .restore(
                "1970-01-01T00:00:00.000Z",
                b"other",
                Some(b"o2"),
                false,
                &(),
            )
            .unwrap();
        let all = owners(&*session.home().unwrap());
        assert_eq!((all["/f2"], all["/o2"]), (AS_ROOT, OTHER));
        leave(session);
        let session = world.sign_in(THERE);
        let all = owners(&*session.home().unwrap());
        assert_eq!((all["/f2"], all["/o2"]), (THERE, OTHER));
        let first = session.snapshots().unwrap().remove(0);
        assert_eq!(
            owners(&*session.snapshot(&first.name).unwrap()),
            of_early(THERE)
        );
        leave(session);
        first.name
    };
    assert_eq!(snapshot, "1970-01-01T00:00:00.000Z");
}

#[test]
fn the_root_folder_of_a_home_made_before_can_be_given_away() {
    let world = World::new();
    early_home(&world);
    let session = world.sign_in(THERE);
    let home = session.home().unwrap();
    let root = home.root();
    // To the person itself: it says as before which number that was.
    chown(&*home, root, Some(THERE.0), Some(THERE.1));
    assert_eq!(owners(&*home), of_early(THERE));
    chown(&*home, root, None, Some(OTHER.1));
    chown(&*home, root, Some(OTHER.0), None);
    assert_eq!(home.xattrs(root).unwrap(), Vec::<Vec<u8>>::new());
    let given = |me| {
        let mut all = of_early(me);
        all.insert(String::new(), OTHER);
        all
    };
    assert_eq!(owners(&*home), given(THERE));
    leave(session);
    for me in [AS_ROOT, HERE] {
        let session = world.sign_in(me);
        let home = session.home().unwrap();
        assert_eq!(owners(&*home), given(me));
        chown(&*home, home.root(), Some(me.0), Some(me.1));
        assert_eq!(owners(&*home), of_early(me));
        chown(&*home, home.root(), Some(OTHER.0), Some(OTHER.1));
        leave(session);
    }
    let session = world.sign_in(THERE);
    assert_eq!(owners(&*session.home().unwrap()), given(THERE));
    let url = session.publish_path(b"", &()).unwrap();
    let address = url.trim_start_matches("safe://");
    let public = open_public_for(&world.store, address, (42, 43)).unwrap();
    assert!(owners(&*public).values().all(|owner| *owner == (42, 43)));
    leave(session);
}

#[test]
fn what_was_not_published_before_a_crash_is_the_persons_too() {
    let world = World::new();
    let session = world.sign_up(HERE);
    session.publish(&()).unwrap();
    let home = session.home().unwrap();
    let made = make(&*home, home.root(), "made", FileKind::File, HERE);
    home.sync(made).unwrap();
    // A crash leaves the folder as it is now; meanwhile the user got another number.
    let state = TempDir::new().unwrap();
    copy(&world.states.path().join(HERE.0.to_string()), state.path());
    let again = Options {
        owner: THERE,
        ..options(world.store.clone(), state.path())
    };
    let session = Session::sign_in(credentials(), again, &()).unwrap();
    let all = owners(&*session.home().unwrap());
    assert_eq!(all, expected(&[("", THERE), ("/made", THERE)]));
    leave(session);
}
