//! What the first implementation writes, the second reads, knowing only the document.
// Helpers of tests are outside of what the lints know to be tests.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use safeos_account::RecoveryKey;
use safeos_format_tests::{Entry, Hash, Records, Result, public, recover, sign_in};
use safeos_record::Address;
use safeos_session::{
    Credentials, FileKind, Ino, Limits, NewNode, Options, Secret, Session, Volume, Wishes,
    XattrMode,
};
use safeos_store::{MemoryStore, Store};

struct Of(Arc<dyn Store>);

impl Records for Of {
    fn chunk(&self, address: &Hash) -> Result<Vec<u8>> {
        let chunk = self.0.get_chunk(&Address(*address));
        Ok(chunk.map_err(|e| e.to_string())?.into_bytes().to_vec())
    }

    fn pointer(&self, address: &Hash) -> Result<Option<Vec<u8>>> {
        let pointer = self.0.get_pointer(&Address(*address));
        Ok(pointer
            .map_err(|e| e.to_string())?
            .map(|pointer| pointer.as_bytes().to_vec()))
    }
}

/// Bytes that do not compress, the same for the same length.
fn noise(len: usize) -> Vec<u8> {
    let mut state = len as u64 | 1;
    (0..len)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        })
        .collect()
}

fn make(home: &dyn Volume, dir: Ino, name: &str, kind: FileKind, target: &str) -> Ino {
    let node = NewNode {
        kind,
        perm: 0o640,
        uid: 1000,
        gid: 1001,
        rdev: 0,
        target: target.as_bytes(),
    };
    home.create(dir, name.as_bytes(), &node).unwrap().ino
}

fn write(home: &dyn Volume, dir: Ino, name: &str, offset: u64, content: &[u8]) -> Ino {
    let ino = make(home, dir, name, FileKind::File, "");
    home.write(ino, Some(offset), content).unwrap();
    ino
}

/// What the first implementation says is there.
fn list(home: &dyn Volume) -> BTreeMap<Vec<u8>, Entry> {
    let mut list = BTreeMap::new();
    let mut waiting = vec![(home.root(), Vec::new())];
    while let Some((ino, path)) = waiting.pop() {
        let attr = home.attr(ino).unwrap();
        let mut entry = Entry {
            links: attr.nlink,
            owner: (attr.uid, attr.gid),
            size: attr.size,
            times: [attr.atime, attr.mtime, attr.ctime, attr.btime],
            ..Entry::default()
        };
        for name in home.xattrs(ino).unwrap() {
            let value = home.xattr(ino, &name).unwrap();
            entry.attributes.insert(name, value);
        }
        let kind = match attr.kind {
            FileKind::Directory => {
                for child in home.read_dir(ino, None, usize::MAX).unwrap() {
                    let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
                    waiting.push((child.attr.ino, [&path, slash, &child.name].concat()));
                }
                4
            }
            FileKind::File => {
                home.read(ino, 0, attr.size as usize, &mut entry.content)
                    .unwrap();
                8
            }
            FileKind::Symlink => {
                entry.target = home.read_link(ino).unwrap();
                10
            }
            FileKind::Fifo => 1,
            other => panic!("{other:?} was not made"),
        };
        entry.mode = kind << 12 | u32::from(attr.perm);
        list.insert(path, entry);
    }
    list
}

#[track_caller]
fn same(read: &BTreeMap<Vec<u8>, Entry>, expected: &BTreeMap<Vec<u8>, Entry>) {
    let paths = |list: &BTreeMap<Vec<u8>, Entry>| list.keys().cloned().collect::<Vec<_>>();
    assert_eq!(paths(read), paths(expected));
    for (path, entry) in expected {
        let path_text = String::from_utf8_lossy(path);
        assert!(read[path] == *entry, "{path_text}: {:?}", entry.mode);
    }
}

fn options(store: &Arc<dyn Store>, state: &Path) -> Options {
    Options {
        store: store.clone(),
        state: state.to_owned(),
        owner: (1000, 1000),
        remember: false,
        accept_older: false,
        wallet: None,
        limits: Limits::default(),
    }
}

#[test]
fn a_home_is_read_from_the_document_alone() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let state = tempfile::tempdir().unwrap();
    let session = Session::sign_up(
        Credentials {
            name: "Ana".into(),
            password: Secret::new("correct horse battery".into()),
            secret_key: None,
        },
        options(&store, state.path()),
        &(),
    )
    .unwrap();
    let home = session.home().unwrap();
    let root = home.root();
    let docs = make(&*home, root, "docs", FileKind::Directory, "");
    write(&*home, docs, "small", 0, b"a few bytes");
    write(
        &*home,
        docs,
        "text",
        0,
        &b"all work and no play ".repeat(20_000),
    );
    let noisy = write(&*home, docs, "noise", 0, &noise(5_000_000));
    write(&*home, docs, "hole", 700_000, &noise(300));
    make(&*home, root, "link", FileKind::Symlink, "docs/text");
    make(&*home, root, "pipe", FileKind::Fifo, "");
    home.link(noisy, root, b"again").unwrap();
    home.set_xattr(docs, b"user.color", b"red", XattrMode::Any)
        .unwrap();
    let many = make(&*home, root, "many", FileKind::Directory, "");
    for number in 0..1_500 {
        let name = format!("file number {number}");
        write(&*home, many, &name, 0, name.as_bytes());
    }
    session.publish(&()).unwrap();

    let records = Of(store.clone());
    let (account, read) = sign_in(&records, "ana", "correct horse battery").unwrap();
    let first = list(&*home);
    assert_eq!(account.name, "Ana");
    same(&read.list(&records).unwrap(), &first);
    assert_eq!(read.commit.nodes, 1_509);
    assert!(sign_in(&records, "ana", "correct horse batterx").is_err());

    home.unlink(docs, b"text").unwrap();
    home.write(noisy, Some(1_000_000), b"changed").unwrap();
    session.publish(&()).unwrap();
    let (later, read) = sign_in(&records, "ana", "correct horse battery").unwrap();
    assert!(later.counter > account.counter);
    assert_eq!(read.commit.parents, [account.head]);
    same(&read.list(&records).unwrap(), &list(&*home));
    let snapshots = read.snapshots(&records).unwrap();
    assert!(snapshots.iter().any(|(_, head)| *head == account.head));
    let before = later.home_at(&records, &account.head).unwrap();
    same(&before.list(&records).unwrap(), &first);

    let url = session.publish_path(b"docs", &()).unwrap();
    let shared = public(&records, &url).unwrap().list(&records).unwrap();
    let names: Vec<_> = shared
        .keys()
        .map(|path| String::from_utf8_lossy(path))
        .collect();
    assert_eq!(names, ["", "hole", "noise", "small"]);
    let now = list(&*home);
    assert!(shared[&b"noise"[..]].content == now[&b"docs/noise"[..]].content);
    assert!(shared[&b"hole"[..]].content == now[&b"docs/hole"[..]].content);
    session.sign_out(true, false, &()).unwrap();
}

#[test]
fn a_recovery_sheet_is_read_from_the_document_alone() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let state = tempfile::tempdir().unwrap();
    let key = RecoveryKey::generate().unwrap();
    let words = key.to_words();
    let secret = |text: &str| Secret::new(text.to_owned());
    let session = Session::sign_up_with(
        Credentials {
            name: "Ana".into(),
            password: secret("correct horse battery"),
            secret_key: None,
        },
        Wishes {
            recovery_key: Some(key),
            ..Wishes::default()
        },
        options(&store, state.path()),
        &(),
    )
    .unwrap();
    let home = session.home().unwrap();
    write(&*home, home.root(), "kept", 0, b"kept");
    session.publish(&()).unwrap();

    let records = Of(store.clone());
    let (account, read) = recover(&records, words.expose()).unwrap();
    assert_eq!(account.name, "Ana");
    same(&read.list(&records).unwrap(), &list(&*home));

    // After a change of password it has the keys of both.
    let (old, new) = ("correct horse battery", "another password");
    session
        .change_password(&secret(old), &secret(new), &())
        .unwrap();
    let (later, read) = recover(&records, words.expose()).unwrap();
    assert!(later.counter > account.counter);
    same(&read.list(&records).unwrap(), &list(&*home));
    let (again, _) = sign_in(&records, "ana", new).unwrap();
    assert_eq!(again.head, later.head);

    let newer = session.new_recovery_key(&secret(new), &()).unwrap();
    assert!(recover(&records, words.expose()).is_err());
    let (newest, _) = recover(&records, newer.expose()).unwrap();
    assert_eq!(newest.home_key, account.home_key);
    session.sign_out(true, false, &()).unwrap();
}
