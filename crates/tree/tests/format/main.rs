//! The format stays: bytes that this version writes and reads, as docs/format.md describes them.
//!
//! `vectors.txt` holds them for other implementations too. If this test fails the format has changed, and
//! no home that exists can be read any more: give it a version of its own instead.
// Helpers of tests are outside of what the lints know to be tests.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use safeos_record::{Address, Chunk, Key as Secret};
use safeos_tree::{
    Batch, Block, Commit, Error, FileKind, Inode, Key, Keys, Node, ObjectKind, ObjectRef, Owner,
    PackSink, PackWriter, PackedObject, Plain, ROOT, Result, SnapshotItem, Source, Totals, Tree,
    Value, decode_batch, directory, encode_batch, open, seal_tree,
};

const VECTORS: &str = include_str!("vectors.txt");

/// The secret of the home in all vectors: 00 01 02 … 1f.
fn secret() -> Secret {
    let mut bytes = [0; 32];
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = place as u8;
    }
    Secret::new(bytes)
}

fn keys() -> Keys {
    Keys::new(&secret())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// A vector as it stands in the file.
fn vector(name: &str) -> Vec<u8> {
    let line = VECTORS
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    unhex(line.unwrap_or_else(|| panic!("there is no vector {name}")))
}

#[track_caller]
fn same(name: &str, bytes: &[u8]) {
    assert_eq!(hex(bytes), hex(&vector(name)), "{name}");
}

struct Nowhere;

impl Source for Nowhere {
    fn node(&self, at: &ObjectRef) -> Result<Arc<Node>> {
        Err(Error::NotCached(*at))
    }
}

impl PackSink for Nowhere {
    fn pack(&mut self, _: Chunk, _: &[PackedObject]) -> Result<()> {
        Err(Error::Format("a tree of one leaf needs no pack"))
    }
}

#[test]
fn keys_are_derived_as_described() {
    for (name, context) in [
        ("key object hash", "safeos 2026 object hash v2"),
        ("key object seal", "safeos 2026 object seal v2"),
        ("key pack directory", "safeos 2026 pack directory v1"),
    ] {
        same(name, secret().derive(context, &[]).expose());
    }
}

#[test]
fn objects_are_sealed_as_described() {
    for (name, kind) in [
        ("object block", ObjectKind::Block),
        ("object node", ObjectKind::Node),
    ] {
        let plain = Plain::new(&keys(), kind, b"hello").unwrap();
        same(&format!("{name} hash"), &plain.hash());
        let mut sealed = Vec::new();
        plain.seal(&keys(), &mut sealed).unwrap();
        same(&format!("{name} sealed"), &sealed);
    }
}

/// A content of several pages that does not compress: 10,000 bytes of BLAKE3's output for nothing.
#[test]
fn pages_are_sealed_as_described() {
    let mut content = vec![0; 10_000];
    blake3::Hasher::new().finalize_xof().fill(&mut content);
    let plain = Plain::new(&keys(), ObjectKind::Block, &content).unwrap();
    same("object of three pages hash", &plain.hash());
    let mut sealed = Vec::new();
    plain.seal(&keys(), &mut sealed).unwrap();
    assert_eq!(sealed.len(), 1 + 10_000 + 3 * 16);
    same(
        "object of three pages, BLAKE3 of the sealed",
        blake3::hash(&sealed).as_bytes(),
    );
}

/// How well a writer compresses is its own affair, so this one is only read.
#[test]
fn a_compressed_object_opens() {
    let sealed = vector("object compressed sealed");
    let at = ObjectRef {
        pack: Address([0; 32]),
        offset: 0,
        len: sealed.len() as u32,
        hash: vector("object compressed hash").try_into().unwrap(),
    };
    let content = open(&keys(), ObjectKind::Block, &at, sealed).unwrap();
    assert_eq!(&content[..], b"all work and no play ".repeat(20));
}

#[test]
fn packs_are_written_as_described() {
    let mut writer = PackWriter::new();
    for content in [&b"hello"[..], b"", b"third"] {
        let plain = Plain::new(&keys(), ObjectKind::Block, content).unwrap();
        writer.add(&keys(), plain).unwrap();
    }
    let (chunk, places) = writer.finish(&keys()).unwrap();
    same("pack", chunk.bytes());
    same("pack address", chunk.address().as_bytes());
    assert_eq!(directory(&keys(), &vector("pack")).unwrap(), places);
}

fn inode(kind: FileKind) -> Inode {
    Inode {
        kind,
        perm: 0o755,
        nlink: 2,
        uid: Owner::Early(1000),
        gid: Owner::Early(100),
        rdev: 0,
        size: 0,
        allocated: 0,
        atime: 1_795_000_000_123_456_789,
        mtime: 1_795_000_000_123_456_789,
        ctime: 1_795_000_000_123_456_789,
        btime: 1_795_000_000_123_456_789,
        parent: ROOT,
        target: Bytes::new(),
    }
}

/// One of every kind of item.
fn items() -> Batch {
    let file = Inode {
        perm: 0o4644,
        nlink: 1,
        size: 300_000,
        allocated: 30_000 + 4,
        mtime: -1,
        parent: 2,
        ..inode(FileKind::File)
    };
    let link = Inode {
        nlink: 1,
        size: 6,
        parent: 2,
        target: Bytes::from_static(b"../etc"),
        ..inode(FileKind::Symlink)
    };
    let device = Inode {
        nlink: 1,
        rdev: 0x0103,
        ..inode(FileKind::CharDevice)
    };
    let stored = |byte| ObjectRef {
        pack: Address([byte; 32]),
        offset: 70_000,
        len: 30_017,
        hash: [byte + 1; 16],
    };
    let put = |ino, inode| (Key::inode(ino), Some(Value::Inode(Arc::new(inode))));
    let name = |name: &[u8], ino, kind| {
        let key = Key::entry(ROOT, name);
        (key, Some(Value::Entry { ino, kind }))
    };
    let block = |number, block| (Key::block(1 << 32, number), Some(Value::Block(block)));
    vec![
        (
            Key::snapshot(1_795_000_000_000_000_000),
            Some(Value::Snapshot(Arc::new(SnapshotItem {
                head: Address([0xaa; 32]),
                computer: "ana's laptop".into(),
                added_bytes: 4_194_304,
            }))),
        ),
        (Key::range(256), Some(Value::Range([0xbb; 16]))),
        put(ROOT, inode(FileKind::Directory)),
        (
            Key::xattr(ROOT, b"user.color"),
            Some(Value::Xattr(Bytes::from_static(b"red"))),
        ),
        name(b"file", 1 << 32, FileKind::File),
        name(b"link", (1 << 32) + 1, FileKind::Symlink),
        name(b"null", (1 << 32) + 2, FileKind::CharDevice),
        put(1 << 32, file),
        block(
            0,
            Block::Stored {
                at: stored(0xcc),
                len: 30_000,
            },
        ),
        block(2, Block::Inline(Bytes::from_static(b"tail"))),
        put((1 << 32) + 1, link),
        put((1 << 32) + 2, device),
    ]
}

fn tree() -> Tree {
    let mut tree = Tree::new();
    tree.apply(&Nowhere, items()).unwrap();
    tree
}

#[test]
fn a_leaf_is_written_as_described() {
    let leaf = seal_tree(&tree(), &keys(), &mut Nowhere).unwrap();
    same("leaf", &leaf);
    let read = Tree::from_root(
        Node::decode(&vector("leaf"), None).unwrap(),
        Totals::default(),
    );
    for (key, value) in items() {
        assert_eq!(read.get(&Nowhere, &key).unwrap(), value);
    }
}

/// The person's, a number's, and the same number as it was written before there was a person.
#[test]
fn owners_are_written_as_described() {
    let node = |ino, uid, gid| {
        let inode = Inode {
            nlink: 1,
            uid,
            gid,
            ..inode(FileKind::File)
        };
        (Key::inode(ino), Some(Value::Inode(Arc::new(inode))))
    };
    let (person, number, early) = (Owner::Person, Owner::Number(1000), Owner::Early(1000));
    let batch: Batch = vec![
        node(1 << 32, person, person),
        node((1 << 32) + 1, number, person),
        node((1 << 32) + 2, person, number),
        node((1 << 32) + 3, number, early),
        node((1 << 32) + 4, early, early),
    ];
    let mut tree = Tree::new();
    tree.apply(&Nowhere, batch.clone()).unwrap();
    let leaf = seal_tree(&tree, &keys(), &mut Nowhere).unwrap();
    same("leaf of owners", &leaf);
    let read = Node::decode(&vector("leaf of owners"), None).unwrap();
    let read = Tree::from_root(read, Totals::default());
    for (key, value) in batch {
        assert_eq!(read.get(&Nowhere, &key).unwrap(), value);
    }
}

/// Children: one in a pack of the list, one in the pack that the branch itself is in.
#[test]
fn a_branch_is_read_as_described() {
    struct Leaves(BTreeMap<ObjectRef, Arc<Node>>);
    impl Source for Leaves {
        fn node(&self, at: &ObjectRef) -> Result<Arc<Node>> {
            self.0.get(at).cloned().ok_or(Error::NotCached(*at))
        }
    }
    let at = |pack, offset, len, hash| ObjectRef {
        pack: Address([pack; 32]),
        offset,
        len,
        hash: [hash; 16],
    };
    let leaf = |name: &str| Arc::new(Node::decode(&vector(name), None).unwrap());
    let leaves = Leaves(BTreeMap::from([
        (at(0x11, 0, 300, 0x22), leaf("leaf first")),
        (at(0x33, 300, 301, 0x44), leaf("leaf second")),
    ]));
    let own = Some(Address([0x33; 32]));
    let tree = Tree::from_root(
        Node::decode(&vector("branch"), own).unwrap(),
        Totals::default(),
    );
    let mut names = Vec::new();
    tree.scan(
        &leaves,
        &Key::inode(0),
        &Key::inode(u64::MAX),
        &mut |key, value| {
            names.push((key.clone(), value.clone()));
            ControlFlow::Continue(())
        },
    )
    .unwrap();
    let value = |text: &'static str| Value::Xattr(Bytes::from_static(text.as_bytes()));
    assert_eq!(
        names,
        [
            (Key::xattr(2, b"a"), value("1")),
            (Key::xattr(2, b"b"), value("2")),
            (Key::xattr(300, b"c"), value("3")),
        ]
    );
    assert!(Node::decode(&vector("branch"), None).is_err());
}

#[test]
fn a_commit_is_written_as_described() {
    let commit = Commit {
        time: 1_795_000_000_000_000_001,
        computer: "ana's laptop".into(),
        parents: vec![Address([0xdd; 32])],
        stage: [0xee; 16],
        stage_segment: 3,
        added_bytes: 4_200_000,
        totals: tree().totals(),
        root: seal_tree(&tree(), &keys(), &mut Nowhere).unwrap(),
    };
    same("commit", &commit.encode());
    assert_eq!(Commit::decode(&vector("commit")).unwrap(), commit);
    assert_eq!(
        commit.totals,
        Totals {
            nodes: 4,
            bytes: 30_004
        }
    );
}

#[test]
fn a_batch_is_written_as_described() {
    let batch: Batch = vec![
        (Key::entry(ROOT, b"gone"), None),
        items().remove(8),
        (
            Key::xattr(ROOT, b"user.x"),
            Some(Value::Xattr(Bytes::new())),
        ),
    ];
    let mut bytes = Vec::new();
    encode_batch(&batch, &mut bytes);
    same("batch", &bytes);
    assert_eq!(decode_batch(&vector("batch")).unwrap(), batch);
}
