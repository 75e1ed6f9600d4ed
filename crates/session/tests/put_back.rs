//! Stores that are put back to a backup, and collections during work: nothing is lost without a report.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{after_crash, credentials, make, noise, options, read};
use safeos_account::{Login, RecoveryKey};
use safeos_record::{Address, Chunk, Pointer};
use safeos_session::{Credentials, Error, Secret, Session, SetAttr};
use safeos_store::{Error as StoreError, Kind, MemoryStore, Method, Store, StoreHooks, Traits};
use safeos_tree::Commit;
use tempfile::TempDir;

/// A store in memory whose sessions publish nothing on their own: the test decides when.
struct Calm(MemoryStore);

impl Calm {
    fn is_asked_by_itself(&self) -> Result<(), StoreError> {
        match std::thread::current().name() {
            Some("publisher") => Err(StoreError::Unreachable {
                url: self.url().to_owned(),
                why: "a test says so".into(),
            }),
            _ => Ok(()),
        }
    }
}

impl std::ops::Deref for Calm {
    type Target = MemoryStore;

    fn deref(&self) -> &MemoryStore {
        &self.0
    }
}

impl StoreHooks for Calm {
    fn inner(&self) -> &dyn Store {
        &self.0
    }

    fn on_put_chunks(&self, chunks: &[Chunk]) -> Result<(), StoreError> {
        self.is_asked_by_itself()?;
        self.0.put_chunks(chunks)
    }

    fn on_get_pointer(&self, address: &Address) -> Result<Option<Pointer>, StoreError> {
        self.is_asked_by_itself()?;
        self.0.get_pointer(address)
    }

    fn on_set_pointer(&self, pointer: &Pointer, expected: Option<u64>) -> Result<(), StoreError> {
        self.is_asked_by_itself()?;
        self.0.set_pointer(pointer, expected)
    }
}

fn store(local: bool) -> Arc<Calm> {
    Arc::new(Calm(MemoryStore::new(Traits { local, paid: false })))
}

fn sign_up(store: &Arc<Calm>, state: &TempDir) -> Arc<Session> {
    Session::sign_up(credentials(), options(store.clone(), state.path()), &()).unwrap()
}

fn sign_in(store: &Arc<Calm>, state: &TempDir) -> Arc<Session> {
    Session::sign_in(credentials(), options(store.clone(), state.path()), &()).unwrap()
}

fn sign_in_accepting(store: &Arc<Calm>, state: &TempDir) -> Arc<Session> {
    let mut options = options(store.clone(), state.path());
    options.accept_older = true;
    Session::sign_in(credentials(), options, &()).unwrap()
}

/// Sets a file's whole content; makes it if it is not there.
fn put(session: &Session, name: &str, content: &[u8]) {
    let home = session.home().unwrap();
    let found = home.lookup(home.root(), name.as_bytes());
    let ino = found.or_else(|_| make(&*home, name)).unwrap().ino;
    let empty = SetAttr {
        size: Some(0),
        ..SetAttr::default()
    };
    home.set_attr(ino, &empty).unwrap();
    home.write(ino, Some(0), content).unwrap();
}

fn sync(session: &Session, name: &str) {
    let home = session.home().unwrap();
    let attr = home.lookup(home.root(), name.as_bytes()).unwrap();
    home.sync(attr.ino).unwrap();
}

fn names(session: &Session) -> Vec<String> {
    let home = session.home().unwrap();
    home.read_dir(home.root(), None, 10_000)
        .unwrap()
        .iter()
        .map(|entry| String::from_utf8_lossy(&entry.name).into_owned())
        .collect()
}

fn get(session: &Session, name: &str) -> Result<Vec<u8>, Error> {
    read(&*session.home().unwrap(), name)
}

fn is_told(session: &Session, what: &str) -> bool {
    session
        .status()
        .problems
        .iter()
        .any(|line| line.contains(what))
}

/// Signs out; the state folder is free then.
fn leave(session: Arc<Session>) {
    session.sign_out(false, false, &()).unwrap();
}

/// Publishes on all in turn until they have met.
fn meet(sessions: &[&Arc<Session>]) {
    for _ in 0..3 {
        for session in sessions {
            session.publish(&()).unwrap();
        }
    }
}

/// Publishing in the background may have come first.
fn parents(store: &Arc<Calm>, session: &Session) -> Vec<usize> {
    let login = Login::derive(&credentials()).unwrap();
    let (account, _) = login.sign_in(&**store, &|_| ()).unwrap();
    let heads = session.snapshots().unwrap();
    heads
        .iter()
        .map(|snapshot| {
            let address: Address = snapshot.head.parse().unwrap();
            let head = store.get_chunk(&address).unwrap();
            let commit = Commit::decode(&account.open_head(&head).unwrap()).unwrap();
            commit.parents.len()
        })
        .collect()
}

fn new_sheet(session: &Session, password: &Secret) -> safeos_session::Result<()> {
    let key = RecoveryKey::generate().unwrap();
    session.new_recovery_key(password, &key, &())
}

#[test]
fn what_was_published_on_a_store_that_is_put_back_is_published_again() {
    for local in [false, true] {
        let store = store(local);
        let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let a = sign_up(&store, &here);
        put(&a, "old", b"of before");
        a.publish(&()).unwrap();
        let backup = store.state();
        put(&a, "precious", &noise(200_000, 1));
        put(&a, "small", b"precious too");
        a.publish(&()).unwrap();
        store.restore(backup);
        let b = sign_in(&store, &there);
        for number in 0..3 {
            put(&b, &format!("of b {number}"), b"b");
            b.publish(&()).unwrap();
        }
        meet(&[&a, &b]);
        for session in [&a, &b] {
            assert_eq!(
                names(session),
                ["of b 0", "of b 1", "of b 2", "old", "precious", "small"]
            );
            assert_eq!(get(session, "small").unwrap(), b"precious too");
            if !local {
                assert!(get(session, "precious").unwrap() == noise(200_000, 1));
            }
        }
        assert!(is_told(&a, "put back"), "{:?}", a.status().problems);
        // Where the only copy was on the store it is gone, and that is said.
        assert_eq!(is_told(&a, "precious: content"), local);
        assert_eq!(parents(&store, &a).iter().max(), Some(&2));
        let damaged = b.check(&()).unwrap().damaged;
        assert_eq!(!damaged.is_empty(), local, "{damaged:?}");
        for session in [a, b] {
            leave(session);
        }
    }
}

#[test]
fn nobody_has_published_since_and_it_is_there_again() {
    let store = store(false);
    let states: Vec<TempDir> = (0..3).map(|_| TempDir::new().unwrap()).collect();
    let a = sign_up(&store, &states[0]);
    let c = sign_in(&store, &states[2]);
    let backup = store.state();
    for number in 0..4 {
        put(&a, &format!("file {number}"), &noise(50_000, number));
        a.publish(&()).unwrap();
    }
    c.publish(&()).unwrap();
    store.restore(backup);
    // Nothing has changed here.
    a.publish(&()).unwrap();
    assert!(is_told(&a, "put back"), "{:?}", a.status().problems);
    let b = sign_in(&store, &states[1]);
    // A computer that has seen the newest state is not told that this one is older.
    put(&c, "of c", b"c");
    c.publish(&()).unwrap();
    meet(&[&a, &b, &c]);
    for session in [&a, &b, &c] {
        assert_eq!(names(session).len(), 5);
        for number in 0..4 {
            let content = get(session, &format!("file {number}")).unwrap();
            assert!(content == noise(50_000, number));
        }
    }
    assert_eq!(a.check(&()).unwrap().damaged, Vec::<String>::new());
    for session in [a, b, c] {
        leave(session);
    }
}

#[test]
fn who_comes_back_to_a_store_that_was_put_back_is_asked() {
    let store = store(false);
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let a = sign_up(&store, &here);
    let backup = store.state();
    put(&a, "precious", b"that is gone then");
    leave(a);
    store.restore(backup);
    let b = sign_in(&store, &there);
    // Its counter is the larger one.
    for number in 0..4 {
        put(&b, &format!("of b {number}"), b"b");
        b.publish(&()).unwrap();
    }
    let refused = Session::sign_in(credentials(), options(store.clone(), here.path()), &());
    assert!(matches!(refused, Err(Error::RolledBack)));
    let a = sign_in_accepting(&store, &here);
    assert_eq!(names(&a).len(), 4);
    for session in [a, b] {
        leave(session);
    }
    // From then on it is the newest.
    leave(sign_in(&store, &here));
}

/// In an ordinary history no question is asked, however long the way is.
#[test]
fn who_comes_back_after_long_is_not_asked() {
    let store = store(false);
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let a = sign_up(&store, &here);
    put(&a, "of a", b"a");
    a.publish(&()).unwrap();
    let crashed = after_crash(&here);
    leave(a);
    let b = sign_in(&store, &there);
    for number in 0..70 {
        put(&b, "of b", &[number]);
        b.publish(&()).unwrap();
    }
    new_sheet(&b, &Secret::new("correct horse battery".into())).unwrap();
    for state in [&here, &crashed] {
        let a = sign_in(&store, state);
        assert_eq!(names(&a), ["of a", "of b"]);
        leave(a);
    }
    // Other settings, and nothing else, are no other state.
    new_sheet(&b, &Secret::new("correct horse battery".into())).unwrap();
    let a = sign_in(&store, &here);
    put(&b, "of b", b"once more");
    b.publish(&()).unwrap();
    a.publish(&()).unwrap();
    assert!(a.status().problems.is_empty(), "{:?}", a.status().problems);
    for session in [a, b] {
        leave(session);
    }
}

#[test]
fn what_a_crash_left_outlives_a_store_that_is_put_back() {
    let store = store(false);
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let a = sign_up(&store, &here);
    let backup = store.state();
    put(&a, "published", &noise(100_000, 1));
    a.publish(&()).unwrap();
    put(&a, "synced", &noise(90_000, 2));
    sync(&a, "synced");
    let crashed = after_crash(&here);
    drop(a);
    store.restore(backup);
    let b = sign_in(&store, &there);
    for number in 0..3 {
        put(&b, &format!("of b {number}"), b"b");
        b.publish(&()).unwrap();
    }
    let refused = Session::sign_in(credentials(), options(store.clone(), crashed.path()), &());
    assert!(matches!(refused, Err(Error::RolledBack)));
    let a = sign_in_accepting(&store, &crashed);
    // And once more, before it is published.
    let crashed = after_crash(&crashed);
    drop(a);
    let a = sign_in_accepting(&store, &crashed);
    meet(&[&a, &b]);
    for session in [&a, &b] {
        assert_eq!(names(session).len(), 5, "{:?}", names(session));
        assert!(get(session, "published").unwrap() == noise(100_000, 1));
        assert!(get(session, "synced").unwrap() == noise(90_000, 2));
    }
    for session in [a, b] {
        leave(session);
    }
}

#[test]
fn without_a_state_in_common_nothing_is_removed_and_the_person_is_asked() {
    let store = store(false);
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let a = sign_up(&store, &here);
    put(&a, "common", b"of both");
    put(&a, "changed", b"first");
    a.publish(&()).unwrap();
    let backup = store.state();
    put(&a, "of a", b"a");
    put(&a, "changed", b"by a");
    a.publish(&()).unwrap();
    store.restore(backup);
    let b = sign_in(&store, &there);
    for number in 0..3 {
        put(&b, &format!("of b {number}"), b"b");
        put(&b, "changed", b"by b");
        b.publish(&()).unwrap();
    }
    // The store loses every state from which both come.
    let mut states = b.snapshots().unwrap();
    states.pop();
    for state in states {
        store.remove_raw(Kind::Chunk, &state.head.parse().unwrap());
    }
    let refused = a.publish(&()).unwrap_err();
    assert!(matches!(refused, Error::Unrelated), "{refused}");
    assert_eq!(refused.code(), "rolled_back");
    assert!(is_told(&a, "--accept-older"));
    a.sign_out(false, true, &()).unwrap();
    drop(a);
    let refused = Session::sign_in(credentials(), options(store.clone(), here.path()), &());
    assert!(matches!(refused, Err(Error::RolledBack)));
    let a = sign_in_accepting(&store, &here);
    meet(&[&a, &b]);
    for session in [&a, &b] {
        let names = names(session);
        assert_eq!(names.len(), 7, "{names:?}");
        assert_eq!(get(session, "common").unwrap(), b"of both");
        assert_eq!(get(session, "of a").unwrap(), b"a");
        let changed: Vec<_> = names
            .iter()
            .filter(|name| name.starts_with("changed"))
            .map(|name| get(session, name).unwrap())
            .collect();
        assert!(changed.contains(&b"by a".to_vec()) && changed.contains(&b"by b".to_vec()));
    }
    for session in [a, b] {
        leave(session);
    }
}

/// Three computers and a store that is put back at any moment.
#[test]
fn nothing_vanishes_on_a_store_that_is_put_back_at_any_moment() {
    for seed in 1..4_u64 {
        let store = store(false);
        let states: Vec<TempDir> = (0..3).map(|_| TempDir::new().unwrap()).collect();
        let mut sessions = vec![sign_up(&store, &states[0])];
        sessions.extend(states[1..].iter().map(|state| sign_in(&store, state)));
        let mut random = seed.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1;
        let mut next = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random >> 16) % below
        };
        let mut backups = vec![store.state()];
        // Files that only their computer writes, and files that each makes if they are not there.
        let mut own = vec![Vec::<Option<Vec<u8>>>::from([const { None }; 3]); 3];
        let mut shared: Vec<Vec<u8>> = Vec::new();
        for step in 0..120_u64 {
            let who = next(3) as usize;
            let session = &sessions[who];
            let content = |len: u64| match len {
                0 => format!("{seed} {step} {who}").into_bytes(),
                _ => noise(40_000, seed * 1000 + step),
            };
            match next(12) {
                0..=4 => {
                    let (file, content) = (next(3) as usize, content(next(2)));
                    put(session, &format!("own {who} {file}"), &content);
                    own[who][file] = Some(content);
                }
                5 => {
                    let (name, content) = (format!("shared {}", next(4)), content(next(2)));
                    if !names(session).contains(&name) {
                        put(session, &name, &content);
                        shared.push(content);
                    }
                }
                6..=8 => match session.publish(&()) {
                    Ok(_) => {}
                    Err(error) => assert!(error.retry(), "step {step}: {error}"),
                },
                9 => backups.push(store.state()),
                _ => {
                    let which = next(backups.len() as u64) as usize;
                    store.restore(backups[which].clone());
                }
            }
        }
        let all: Vec<&Arc<Session>> = sessions.iter().collect();
        meet(&all);
        for session in &sessions {
            let contents: Vec<Vec<u8>> = names(session)
                .iter()
                .map(|name| get(session, name).unwrap())
                .collect();
            for (who, files) in own.iter().enumerate() {
                for (file, content) in files.iter().enumerate() {
                    assert!(
                        content
                            .as_ref()
                            .is_none_or(|content| contents.contains(content)),
                        "seed {seed}: the newest content of file {file} of {who}"
                    );
                }
            }
            for content in &shared {
                assert!(contents.contains(content), "seed {seed}: a shared file");
            }
        }
        assert_eq!(
            sessions[0].check(&()).unwrap().damaged,
            Vec::<String>::new(),
            "seed {seed}"
        );
        for session in sessions {
            leave(session);
        }
    }
}

/// Unpublished packs on the store: more than the stage's log takes.
fn leave_packs(session: &Session, seed: u64) {
    put(session, "big", &noise(12 << 20, seed));
    sync(session, "big");
}

#[test]
fn what_another_computer_keeps_is_not_collected() {
    for local in [true, false] {
        for way in ["open", "later", "crash"] {
            let store = store(local);
            let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
            let a = sign_up(&store, &here);
            let b = sign_in(&store, &there);
            leave_packs(&a, 1);
            let crashed = after_crash(&here);
            match way {
                "later" => {
                    a.sign_out_later().unwrap();
                    drop(a);
                }
                "crash" => drop(a),
                _ => {
                    let found = b.collect(false, &()).unwrap();
                    assert_eq!(found.records, 0);
                    a.publish(&()).unwrap();
                }
            }
            let left = if way == "crash" { &crashed } else { &here };
            let found = b.collect(false, &()).unwrap();
            assert_eq!(found.records, 0, "{way}");
            if local {
                assert_eq!(found.at_work.len(), 1, "{way}");
            }
            if way != "open" {
                // Nothing is removed a second time either.
                assert_eq!(b.collect(false, &()).unwrap().records, 0);
                let a = sign_in(&store, left);
                assert!(get(&a, "big").unwrap() == noise(12 << 20, 1), "{way}");
                leave(a);
            }
            b.publish(&()).unwrap();
            assert!(get(&b, "big").unwrap() == noise(12 << 20, 1), "{way}");
            assert_eq!(b.check(&()).unwrap().damaged, Vec::<String>::new(), "{way}");
            let found = b.collect(false, &()).unwrap();
            assert_eq!(found.at_work.is_empty(), way != "open");
            leave(b);
        }
    }
}

#[test]
fn a_computer_that_is_lost_for_good_is_forgotten_when_somebody_says_so() {
    let store = store(true);
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let a = sign_up(&store, &here);
    leave_packs(&a, 1);
    let crashed = after_crash(&here);
    drop(a);
    let b = sign_in(&store, &there);
    let dry = b.collect(true, &()).unwrap();
    let name = dry.at_work[0].computer.clone();
    assert!(dry.records == 0 && dry.kept_records > 2, "{dry:?}");
    assert!(b.collect_without(false, Some("another"), &()).is_err());
    let found = b.collect_without(false, Some(&name), &()).unwrap();
    assert!(found.records >= dry.kept_records && found.at_work.is_empty());
    assert!(found.bytes > 11 << 20, "{found:?}");
    // Should it come back all the same it is told what it has lost.
    let refused = Session::sign_in(credentials(), options(store.clone(), crashed.path()), &());
    if let Ok(a) = refused {
        drop(a.publish(&()));
        assert!(is_told(&a, "big"), "{:?}", a.status().problems);
    }
    leave(b);
}

/// A computer comes while a collection is under way, with the very content that is about to be removed.
#[test]
fn a_collection_stops_when_somebody_comes() {
    let store = store(true);
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let a = sign_up(&store, &here);
    let b = sign_in(&store, &there);
    for round in 0..4 {
        // Forgotten records.
        leave_packs(&b, round);
        let home = b.home().unwrap();
        home.unlink(home.root(), b"big").unwrap();
        b.publish(&()).unwrap();
        store.delay(Method::DeleteChunks, Duration::from_millis(40));
        store.delay(Method::List, Duration::from_millis(100));
        let lists = store.calls(Method::List);
        std::thread::scope(|scope| {
            let collecting = scope.spawn(|| b.collect(false, &()));
            while store.calls(Method::List) < lists + 2 && !collecting.is_finished() {
                std::thread::sleep(Duration::from_millis(5));
            }
            leave_packs(&a, round);
            drop(collecting.join().unwrap());
        });
        store.delay(Method::DeleteChunks, Duration::ZERO);
        store.delay(Method::List, Duration::ZERO);
        a.publish(&()).unwrap();
        assert!(get(&a, "big").unwrap() == noise(12 << 20, round));
        assert_eq!(a.check(&()).unwrap().damaged, Vec::<String>::new());
        let home = a.home().unwrap();
        home.unlink(home.root(), b"big").unwrap();
        a.publish(&()).unwrap();
        b.publish(&()).unwrap();
    }
    for session in [a, b] {
        leave(session);
    }
}

#[test]
fn a_password_and_a_sheet_are_made_while_another_computer_publishes() {
    let store = store(true);
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let a = sign_up(&store, &here);
    let b = sign_in(&store, &there);
    let stop = AtomicBool::new(false);
    let old = Secret::new("correct horse battery".into());
    let new = Secret::new("another battery horse".into());
    std::thread::scope(|scope| {
        let (b, stop) = (&b, &stop);
        scope.spawn(move || {
            for number in 0.. {
                put(b, "of b", format!("{number}").as_bytes());
                if b.publish(&()).is_err() && stop.load(Ordering::Relaxed) {
                    break;
                }
                if stop.load(Ordering::Relaxed) && number > 5 {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let sheet = new_sheet(&a, &old);
        let changed = a.change_password(&old, &new, &());
        stop.store(true, Ordering::Relaxed);
        sheet.unwrap();
        changed.unwrap();
    });
    assert_eq!(names(&a), ["of b"]);
    leave(a);
    let credentials = Credentials {
        password: new,
        ..credentials()
    };
    Session::sign_in(credentials, options(store.clone(), here.path()), &())
        .unwrap()
        .sign_out(false, false, &())
        .unwrap();
}

#[test]
fn a_copy_replaces_no_state_that_it_does_not_come_from() {
    let (one, two) = (store(false), store(false));
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let first = sign_up(&one, &here);
    put(&first, "one", b"1");
    first.copy_to(&*two, &()).unwrap();
    put(&first, "one", b"2");
    // It may be brought up to date.
    first.copy_to(&*two, &()).unwrap();
    let second = sign_in(&two, &there);
    put(&second, "two", b"worked on the copy");
    leave(second);
    for number in 0..4 {
        put(&first, "one", &[number]);
        first.publish(&()).unwrap();
    }
    let refused = first.copy_to(&*two, &()).unwrap_err();
    assert_eq!(refused.code(), "conflict", "{refused}");
    let second = sign_in(&two, &there);
    assert_eq!(names(&second), ["one", "two"]);
    for session in [first, second] {
        leave(session);
    }
}
