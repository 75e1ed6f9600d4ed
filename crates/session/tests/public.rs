//! Public trees of strangers, and the gateways they come from.

#![allow(clippy::unwrap_used)]

mod common;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use common::{credentials, options};
use parking_lot::Mutex;
use safeos_record::{Address, Chunk, Key as Secret};
use safeos_session::{Error, FileKind, NewNode, Session, SetAttr, Volume, XattrMode, open_public};
use safeos_store::{Kind, MemoryStore, Result as StoreResult, Store, StoreHooks, Traits};
use safeos_tree::{
    Batch, Block, Commit, FileKind as TreeKind, Inode, Key, Keys, ObjectKind, ObjectRef, Objects,
    Owner, ROOT, Reader, Tree, Value, seal_tree,
};
use tempfile::TempDir;

fn sign_up(store: Arc<dyn Store>, state: &Path) -> Arc<Session> {
    Session::sign_up_small(credentials(), options(store, state), &()).unwrap()
}

fn node(kind: FileKind, perm: u16) -> NewNode<'static> {
    NewNode {
        kind,
        perm,
        uid: 1000,
        gid: 1000,
        rdev: 0x103,
        target: b"",
    }
}

fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    safeos_record::random_bytes(&mut bytes).unwrap();
    bytes
}

/// A gateway that gives out its own bytes in the place of parts of packs, and knows what it may forge.
struct Gateway {
    honest: MemoryStore,
    /// The pack, the offset in it, and the bytes.
    lies: Mutex<Vec<(Address, u32, Vec<u8>)>>,
}

impl StoreHooks for Gateway {
    fn inner(&self) -> &dyn Store {
        &self.honest
    }

    fn on_url(&self) -> &str {
        "http://gateway"
    }

    fn on_traits(&self) -> Traits {
        Traits {
            local: false,
            paid: false,
        }
    }

    fn on_read_part(&self, address: &Address, offset: u32, len: u32) -> StoreResult<Bytes> {
        let mut bytes = self.honest.raw(Kind::Chunk, address).unwrap().to_vec();
        for (pack, from, lie) in &*self.lies.lock() {
            if pack == address {
                bytes[*from as usize..][..lie.len()].copy_from_slice(lie);
            }
        }
        Ok(Bytes::from(bytes).slice(offset as usize..(offset + len) as usize))
    }
}

struct Parts(Arc<Gateway>);

impl Objects for Parts {
    fn sealed(&self, at: &ObjectRef) -> safeos_tree::Result<Vec<u8>> {
        Ok(self.0.read_part(&at.pack, at.offset, at.len)?.to_vec())
    }
}

/// Chunk address and secret, as format.md has them in an address.
fn parts(url: &str) -> (Address, Secret) {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for digit in url.strip_prefix("safe://").unwrap().bytes() {
        let value = if digit.is_ascii_digit() {
            digit - b'2' + 26
        } else {
            digit - b'a'
        };
        bits = bits << 5 | u32::from(value);
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    let secret = Secret::new(bytes[32..64].try_into().unwrap());
    (Address(bytes[..32].try_into().unwrap()), secret)
}

fn url(head: Address, secret: &Secret) -> String {
    let digits = b"abcdefghijklmnopqrstuvwxyz234567";
    let bytes = [head.0, *secret.expose()].concat();
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
    let digit = |at: usize| (0..5).fold(0, |value, next| value << 1 | bit(at + next));
    let text = (0..103).map(|n| char::from(digits[digit(n * 5) as usize]));
    format!("safe://{}", text.collect::<String>())
}

fn commit(gateway: &Gateway, url: &str) -> (Commit, Secret) {
    let (head, secret) = parts(url);
    let mut bytes = gateway.honest.raw(Kind::Chunk, &head).unwrap().to_vec();
    let (salt, sealed) = bytes.split_first_chunk_mut::<16>().unwrap();
    let key = secret.derive("safeos 2026 public commit v1", &*salt);
    let plain = key.open([0; 12], &[], sealed).unwrap();
    (Commit::decode(plain).unwrap(), secret)
}

/// Seals an object as its maker would, but with other content.
fn seal(secret: &Secret, at: &ObjectRef, kind: ObjectKind, codec: u8, body: &[u8]) -> Vec<u8> {
    let seal_key = secret.derive("safeos 2026 object seal v2", &[]);
    let key = Secret::new(seal_key.hash(&[&[kind as u8], &at.hash]));
    let mut sealed = Vec::new();
    for (number, page) in body.chunks(4096).enumerate() {
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&(number as u32).to_le_bytes());
        let start = sealed.len();
        let mut aad: &[u8] = &[codec];
        if number == 0 {
            sealed.push(codec);
            aad = &[];
        }
        sealed.extend_from_slice(page);
        key.seal(nonce, aad, &mut sealed, start).unwrap();
    }
    sealed
}

fn read(volume: &dyn Volume, name: &[u8], offset: u64, len: usize) -> Result<Vec<u8>, Error> {
    let ino = volume.lookup(volume.root(), name)?.ino;
    let mut out = Vec::new();
    volume.read(ino, offset, len, &mut out)?;
    Ok(out)
}

#[test]
fn a_gateway_that_knows_an_address_forges_nothing_behind_it() {
    let gateway = Arc::new(Gateway {
        honest: MemoryStore::default(),
        lies: Mutex::default(),
    });
    let store: Arc<dyn Store> = gateway.clone();
    let state = TempDir::new().unwrap();
    let session = sign_up(store.clone(), state.path());
    let home = session.home().unwrap();
    let content = noise(100_000);
    let dir = home
        .create(home.root(), b"dir", &node(FileKind::Directory, 0o755))
        .unwrap()
        .ino;
    // So many names that the tree is more than fits into the commit.
    for n in 0..1000 {
        home.create(
            dir,
            format!("name {n}").as_bytes(),
            &node(FileKind::File, 0o644),
        )
        .unwrap();
    }
    let file = home
        .create(dir, b"file", &node(FileKind::File, 0o644))
        .unwrap()
        .ino;
    home.write(file, Some(0), &content).unwrap();
    let url = session.publish_path(b"dir", &()).unwrap();
    let honest = open_public(&store, &url).unwrap();
    assert!(read(&*honest, b"file", 0, 100_000).unwrap() == content);

    // The parts with which the gateway forges.
    let (commit, secret) = commit(&gateway, &url);
    let tree = commit.tree().unwrap();
    let reader = Reader::new(
        Keys::of_public(&secret),
        Arc::new(Parts(gateway.clone())),
        1 << 20,
    );
    let mut blocks = Vec::new();
    let (from, to) = (Key::inode(ROOT), Key::inode(u64::MAX));
    tree.scan(&reader, &from, &to, &mut |_, value| {
        if let Value::Block(Block::Stored { at, len }) = value {
            blocks.push((*at, *len as usize));
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    let (at, len) = blocks[1];
    let lie = noise(len);
    let forged = seal(&secret, &at, ObjectKind::Block, 0, &lie);
    assert_eq!(forged.len(), at.len as usize);

    let second = 1 + 4112;
    let page = (
        at.pack,
        at.offset + second,
        forged[second as usize..][..4112].to_vec(),
    );
    let whole = (at.pack, at.offset, forged);
    for lie in [page, whole] {
        *gateway.lies.lock() = vec![lie];
        for (offset, len) in [
            (0, 100_000),
            (32_768 + 5000, 10),
            (32_768, 32_768),
            (32_768 + 4096, 4096),
        ] {
            // Each time a reader that has read nothing yet.
            let public = open_public(&store, &url).unwrap();
            for _ in 0..3 {
                let answer = read(&*public, b"file", offset, len);
                assert!(matches!(answer, Err(Error::Damaged(_))), "{offset}+{len}");
                assert_eq!(answer.unwrap_err().errno(), 5);
            }
            assert!(read(&*public, b"file", 0, 32_768).unwrap() == content[..32_768]);
        }
    }

    // A node with other names in it.
    let mut nodes = Vec::new();
    let mut seen = std::collections::HashSet::new();
    gateway.lies.lock().clear();
    safeos_tree::references(
        &tree,
        &reader,
        &mut seen,
        &mut |kind, at| {
            if kind == ObjectKind::Node {
                nodes.push(*at);
            }
            Ok(())
        },
        &mut |_, error| Err(error),
    )
    .unwrap();
    assert!(!nodes.is_empty());
    for at in &nodes {
        let sealed = gateway.read_part(&at.pack, at.offset, at.len).unwrap();
        // Any body of that length will do: it must not come so far that it is looked at.
        let pages = (at.len as usize - 1).div_ceil(4112);
        let body = vec![0; at.len as usize - 1 - 16 * pages];
        let forged = seal(&secret, at, ObjectKind::Node, 0, &body);
        assert_eq!(forged.len(), sealed.len());
        gateway.lies.lock().push((at.pack, at.offset, forged));
    }
    let public = open_public(&store, &url).unwrap();
    let listed = public.read_dir(public.root(), None, usize::MAX);
    let Err(Error::Damaged(why)) = listed else {
        panic!("{:?}", listed.map(|names| names.len()))
    };
    assert!(why.contains("not what was published"), "{why}");
}

#[test]
fn what_could_give_rights_is_not_published() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let state = TempDir::new().unwrap();
    let session = sign_up(store.clone(), state.path());
    let home = session.home().unwrap();
    let root = home.root();
    let dir = home
        .create(root, b"dir", &node(FileKind::Directory, 0o2755))
        .unwrap()
        .ino;
    let file = home
        .create(dir, b"program", &node(FileKind::File, 0o755))
        .unwrap()
        .ino;
    let change = SetAttr {
        perm: Some(0o6755),
        ..SetAttr::default()
    };
    home.set_attr(file, &change).unwrap();
    for name in ["user.note", "security.capability", "trusted.overlay.opaque"] {
        home.set_xattr(file, name.as_bytes(), b"value", XattrMode::Any)
            .unwrap();
    }
    for (name, kind) in [
        ("char", FileKind::CharDevice),
        ("block", FileKind::BlockDevice),
    ] {
        home.create(dir, name.as_bytes(), &node(kind, 0o666))
            .unwrap();
    }
    // Names outside of the published part do not count.
    home.link(file, root, b"elsewhere").unwrap();
    home.link(file, dir, b"twin").unwrap();
    for path in [&b"dir"[..], b"dir/program", b"dir/char"] {
        let url = session.publish_path(path, &()).unwrap();
        looks_harmless(&*open_public(&store, &url).unwrap());
        // Also to readers with another program.
        let gateway = Gateway {
            honest: MemoryStore::default(),
            lies: Mutex::default(),
        };
        let (head, _) = parts(&url);
        gateway
            .honest
            .put_chunks(&[store.get_chunk(&head).unwrap()])
            .unwrap();
        let (commit, _) = commit(&gateway, &url);
        commit
            .tree()
            .unwrap()
            .scan(
                &Nowhere,
                &Key::inode(ROOT),
                &Key::inode(u64::MAX),
                &mut |key, value| {
                    match value {
                        Value::Inode(inode) => {
                            if inode.kind == TreeKind::File {
                                assert_eq!(inode.nlink, if path == b"dir" { 2 } else { 1 });
                            }
                            assert_eq!((inode.perm & 0o6000, inode.rdev), (0, 0));
                            assert!(!matches!(
                                inode.kind,
                                TreeKind::CharDevice | TreeKind::BlockDevice
                            ));
                        }
                        Value::Entry { kind, .. } => {
                            assert!(!matches!(
                                kind,
                                TreeKind::CharDevice | TreeKind::BlockDevice
                            ));
                        }
                        Value::Xattr(_) => assert!(key.name.starts_with(b"user.")),
                        _ => {}
                    }
                    ControlFlow::Continue(())
                },
            )
            .unwrap();
    }
}

struct Nowhere;

impl safeos_tree::Source for Nowhere {
    fn node(&self, at: &ObjectRef) -> safeos_tree::Result<Arc<safeos_tree::Node>> {
        Err(safeos_tree::Error::NotCached(*at))
    }
}

impl safeos_tree::PackSink for Nowhere {
    fn pack(&mut self, _: Chunk, _: &[safeos_tree::PackedObject]) -> safeos_tree::Result<()> {
        Err(safeos_tree::Error::Format(
            "a tree of one leaf needs no pack",
        ))
    }
}

fn looks_harmless(volume: &dyn Volume) {
    let mut waiting = vec![volume.root()];
    while let Some(ino) = waiting.pop() {
        let attr = volume.attr(ino).unwrap();
        assert_eq!((attr.perm & 0o6000, attr.rdev), (0, 0));
        // The viewer: root, as no other user is named.
        assert_eq!((attr.uid, attr.gid), (0, 0));
        assert!(!matches!(
            attr.kind,
            FileKind::CharDevice | FileKind::BlockDevice
        ));
        for name in volume.xattrs(ino).unwrap() {
            assert_eq!(name, b"user.note");
        }
        let hidden = volume.xattr(ino, b"security.capability");
        assert!(matches!(hidden, Err(Error::NoAttribute)), "{hidden:?}");
        if attr.kind == FileKind::Directory {
            for entry in volume.read_dir(ino, None, 100).unwrap() {
                assert_eq!(entry.attr, volume.attr(entry.attr.ino).unwrap());
                assert_eq!(entry.attr, volume.lookup(ino, &entry.name).unwrap());
                waiting.push(entry.attr.ino);
            }
        }
    }
}

/// A tree that this program would not have made.
#[test]
fn what_a_stranger_published_all_the_same_is_not_shown() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let secret = Secret::new([9; 32]);
    let inode = |kind: TreeKind, nlink: u32| Inode {
        kind,
        perm: 0o6777,
        nlink,
        uid: Owner::Number(1000),
        gid: Owner::Number(1000),
        rdev: 0x103,
        size: 0,
        allocated: 0,
        atime: 0,
        mtime: 0,
        ctime: 0,
        btime: 0,
        parent: ROOT,
        target: Bytes::new(),
    };
    let mut batch: Batch = vec![(
        Key::inode(ROOT),
        Some(Value::Inode(Arc::new(inode(TreeKind::Directory, 2)))),
    )];
    for (ino, kind) in (10..).zip([TreeKind::File, TreeKind::CharDevice, TreeKind::BlockDevice]) {
        let name = format!("node {ino}");
        batch.push((
            Key::inode(ino),
            Some(Value::Inode(Arc::new(inode(kind, 1)))),
        ));
        batch.push((
            Key::entry(ROOT, name.as_bytes()),
            Some(Value::Entry { ino, kind }),
        ));
        for name in [
            &b"security.capability"[..],
            b"trusted.x",
            b"system.posix_acl_access",
            b"user.note",
        ] {
            batch.push((
                Key::xattr(ino, name),
                Some(Value::Xattr(Bytes::from_static(b"value"))),
            ));
        }
    }
    let mut tree = Tree::new();
    tree.apply(&Nowhere, batch).unwrap();
    let commit = Commit {
        time: 1,
        computer: String::new(),
        parents: Vec::new(),
        stage: [0; 16],
        stage_segment: 0,
        added_bytes: 0,
        totals: tree.totals(),
        root: seal_tree(&tree, &Keys::of_public(&secret), &mut Nowhere).unwrap(),
    };
    let mut bytes = vec![5; 16];
    let salt = bytes.clone();
    bytes.extend_from_slice(&commit.encode());
    let key = secret.derive("safeos 2026 public commit v1", &salt);
    key.seal([0; 12], &[], &mut bytes, 16).unwrap();
    let chunk = Chunk::new(bytes).unwrap();
    store.put_chunks(std::slice::from_ref(&chunk)).unwrap();
    let public = open_public(&store, &url(chunk.address(), &secret)).unwrap();
    assert_eq!(public.read_dir(public.root(), None, 10).unwrap().len(), 3);
    looks_harmless(&*public);
}
