//! The second implementation, knowing only the document, reads homes of the first.
// Helpers of tests are outside of what the lints know to be tests.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use safeos_account::RecoveryKey;
use safeos_format_tests::{Entry, Hash, Records, Result, public, recover, sign_in};
use safeos_record::Address;
use safeos_session::{
    Credentials, FileKind, Ino, NewNode, Options, Secret, Session, SetAttr, SignUpOptions, Volume,
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
        uid: OURS,
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

/// The number of the person's user and group in these tests.
const OURS: u32 = 1000;

/// The nodes that the first implementation shows.
fn list(home: &dyn Volume) -> BTreeMap<Vec<u8>, Entry> {
    list_of(home, OURS)
}

/// The same for a session whose user and group have this number.
fn list_of(home: &dyn Volume, ours: u32) -> BTreeMap<Vec<u8>, Entry> {
    let not_ours = |number| (number != ours).then_some(number);
    let mut list = BTreeMap::new();
    let mut waiting = vec![(home.root(), Vec::new())];
    while let Some((ino, path)) = waiting.pop() {
        let attr = home.attr(ino).unwrap();
        let mut entry = Entry {
            links: attr.nlink,
            owner: (not_ours(attr.uid), not_ours(attr.gid)),
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
    Options::new(store.clone(), state, (OURS, OURS))
}

#[test]
fn a_home_is_read_from_the_document_alone() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let state = tempfile::tempdir().unwrap();
    let session = Session::sign_up(
        Credentials::new("Ana", Secret::new("correct horse battery".into())),
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
    assert!(shared.values().all(|entry| entry.owner == (None, None)));
    let now = list(&*home);
    assert!(shared[&b"noise"[..]].content == now[&b"docs/noise"[..]].content);
    assert!(shared[&b"hole"[..]].content == now[&b"docs/hole"[..]].content);
    session.sign_out(true, false, &()).unwrap();
}

fn num(mut number: u64, out: &mut Vec<u8>) {
    while number > 127 {
        out.push(number as u8 | 128);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The first commit of a home as earlier programs made it, written from the document: the root folder of the user 1000
/// in the group 1001, and files in it.
fn early_commit(files: &[(&str, u64, u64, u8)]) -> Vec<u8> {
    let first: u64 = 1 << 32;
    let inode = |ino: u64, mode, owner, group, bits, out: &mut Vec<u8>| {
        for number in [mode, 2 - mode / 0o100_000, owner, group, 0, 0, 0] {
            num(number, out);
        }
        // All four times are the start of 1970.
        out.extend([7 | bits, 0, 0]);
        // The root folder is the parent; a number smaller by d is 2 d - 1.
        num((2 * (ino - 2)).saturating_sub(1), out);
        num(0, out);
    };
    let mut leaf = vec![0, 0, 1 + 2 * files.len() as u8];
    leaf.extend([2, 0]);
    inode(2, 0o40_700, 1000, 1001, 0, &mut leaf);
    for (ino, (name, ..)) in (first..).zip(files) {
        leaf.extend([0, 2, name.len() as u8]);
        leaf.extend(name.as_bytes());
        num(ino, &mut leaf);
        leaf.push(8);
    }
    for (ino, (_, owner, group, bits)) in (first..).zip(files) {
        num(if ino == first { first - 2 } else { 1 }, &mut leaf);
        leaf.push(0);
        inode(ino, 0o100_600, *owner, *group, *bits, &mut leaf);
    }
    let mut commit = vec![2, 1, 0, 0];
    commit.extend([0; 16 + 2]);
    commit.extend([1 + files.len() as u8, 0]);
    commit.extend(leaf);
    commit
}

#[test]
fn owners_are_read_from_the_document_alone() {
    let person = u64::from(u32::MAX);
    let files = [
        ("early", 1000, 1001, 0),
        ("early other", 1001, 1000, 0),
        ("number", 1000, 1001, 8 | 16),
        ("mixed", 1000, 1001, 16),
        ("person", person, person, 0),
        ("person's", person, 7, 16),
    ];
    let expected = [
        (None, None),
        (Some(1001), Some(1000)),
        (Some(1000), Some(1001)),
        (None, Some(1001)),
        (None, None),
        (None, Some(7)),
    ];
    let credentials = || Credentials::new("Ana", Secret::new("correct horse battery".into()));
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let state = tempfile::tempdir().unwrap();
    let mut sorted = files;
    sorted.sort();
    safeos_account::Login::derive(&credentials())
        .unwrap()
        .sign_up::<safeos_account::Error>(&*store, |_| Ok(early_commit(&sorted)), &|_| {})
        .unwrap();
    let records = Of(store.clone());
    let (_, read) = sign_in(&records, "ana", "correct horse battery").unwrap();
    let read = read.list(&records).unwrap();
    for ((name, ..), owner) in files.iter().zip(expected) {
        assert_eq!(read[name.as_bytes()].owner, owner, "{name}");
    }
    let options = Options {
        owner: (1600, 1600),
        ..options(&store, state.path())
    };
    let session = Session::sign_in(credentials(), options, &()).unwrap();
    let home = session.home().unwrap();
    same(&read, &list_of(&*home, 1600));

    // The root folder goes to another user; the person's nodes stay theirs.
    let change = SetAttr {
        uid: Some(33),
        gid: Some(34),
        ..SetAttr::default()
    };
    home.set_attr(home.root(), &change).unwrap();
    session.publish(&()).unwrap();
    let (_, read) = sign_in(&records, "ana", "correct horse battery").unwrap();
    let read = read.list(&records).unwrap();
    assert_eq!(read[&b""[..]].owner, (Some(33), Some(34)));
    for ((name, ..), owner) in files.iter().zip(expected) {
        assert_eq!(read[name.as_bytes()].owner, owner, "{name}");
    }
    same(&read, &list_of(&*home, 1600));
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
        Credentials::new("Ana", secret("correct horse battery")),
        SignUpOptions {
            recovery_key: Some(key),
            ..SignUpOptions::default()
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

    let newer = RecoveryKey::generate().unwrap();
    session.new_recovery_key(&secret(new), &newer, &()).unwrap();
    assert!(recover(&records, words.expose()).is_err());
    let (newest, _) = recover(&records, newer.to_words().expose()).unwrap();
    assert_eq!(newest.home_key, account.home_key);
    session.sign_out(true, false, &()).unwrap();
}

#[test]
fn computers_at_work_are_read_from_the_document_alone() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let state = tempfile::tempdir().unwrap();
    let credentials = || Credentials::new("Ana", Secret::new("correct horse battery".into()));
    let started = now();
    let session = Session::sign_up(credentials(), options(&store, state.path()), &()).unwrap();
    let home = session.home().unwrap();
    write(&*home, home.root(), "one", 0, &noise(400_000));
    session.publish(&()).unwrap();

    let records = Of(store.clone());
    let (account, read) = sign_in(&records, "ana", "correct horse battery").unwrap();
    let [first] = &account.at_work(&records).unwrap()[..] else {
        panic!("one computer is at work");
    };
    assert!(!first.removes);
    assert_eq!(first.name, read.commit.computer);
    assert!(started <= first.since && first.since <= first.renewed && first.renewed <= now());

    let state_there = tempfile::tempdir().unwrap();
    let there = Session::sign_in(credentials(), options(&store, state_there.path()), &()).unwrap();
    let home_there = there.home().unwrap();
    write(&*home_there, home_there.root(), "two", 0, &noise(300_000));
    there.publish(&()).unwrap();
    let both = account.at_work(&records).unwrap();
    assert_eq!(both.len(), 2);
    assert!(both.contains(first));
    assert_ne!(both[0].id, both[1].id);

    there.sign_out(true, false, &()).unwrap();
    assert_eq!(account.at_work(&records).unwrap().len(), 1);
    session.sign_out(true, false, &()).unwrap();
    assert_eq!(account.at_work(&records).unwrap(), []);
}

/// Nanoseconds since 1970.
fn now() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    since.as_nanos() as u64
}
