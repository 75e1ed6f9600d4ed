//! Restoring a part of an earlier state, and interruptions of that.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::{copy, credentials, options};
use safeos_session::{Error, FileKind, Ino, NewNode, Progress, Session, Step, Volume};
use safeos_store::{Error as StoreError, MemoryState, MemoryStore, Method};
use tempfile::TempDir;

/// So many that they are brought back in several changes, and their nodes are in no head.
const FILES: usize = 2500;

fn make(home: &dyn Volume, dir: Ino, name: &str, kind: FileKind) -> Ino {
    let node = NewNode::new(kind, 0o755, (1000, 1000));
    home.create(dir, name.as_bytes(), &node).unwrap().ino
}

fn names(home: &dyn Volume, dir: Ino) -> Vec<String> {
    let entries = home.read_dir(dir, None, usize::MAX).unwrap();
    let names = entries.iter().map(|e| String::from_utf8_lossy(&e.name));
    names.map(std::borrow::Cow::into_owned).collect()
}

/// A home with a folder of many files, a snapshot of it, and then another folder in its place.
struct World {
    memory: Arc<MemoryStore>,
    state: TempDir,
    session: Arc<Session>,
    home: Arc<dyn Volume>,
    snapshot: String,
}

impl World {
    fn new() -> Self {
        let memory = Arc::new(MemoryStore::default());
        let state = TempDir::new().unwrap();
        let session =
            Session::sign_up_small(credentials(), options(memory.clone(), state.path()), &())
                .unwrap();
        let home = session.home().unwrap();
        let old = make(&*home, home.root(), "folder", FileKind::Directory);
        let inner = make(&*home, old, "inner", FileKind::Directory);
        for n in 0..FILES {
            let dir = if n % 2 == 0 { old } else { inner };
            let ino = make(&*home, dir, &format!("file {n}"), FileKind::File);
            home.write(ino, Some(0), b"some content").unwrap();
            if n % 100 == 0 {
                home.link(ino, inner, format!("twin {n}").as_bytes())
                    .unwrap();
                home.link(ino, home.root(), format!("outside {n}").as_bytes())
                    .unwrap();
            }
        }
        session.publish(&()).unwrap();
        let snapshot = session.snapshots().unwrap().last().unwrap().name.clone();
        home.rename(
            (home.root(), b"folder"),
            (home.root(), b"kept"),
            safeos_session::RenameMode::NoReplace,
        )
        .unwrap();
        let new = make(&*home, home.root(), "folder", FileKind::Directory);
        let inner = make(&*home, new, "inner", FileKind::Directory);
        for n in 0..100 {
            make(&*home, inner, &format!("newer {n}"), FileKind::File);
        }
        session.publish(&()).unwrap();
        Self {
            memory,
            state,
            session,
            home,
            snapshot,
        }
    }

    fn restore(&self, progress: &dyn Progress) -> Result<(), Error> {
        self.session
            .restore(&self.snapshot, b"folder", None, true, progress)
    }

    fn image(&self) -> Image {
        // All that was done so far is on the disk.
        self.home.sync(self.home.root()).unwrap();
        let state = TempDir::new().unwrap();
        copy(self.state.path(), state.path());
        Image {
            store: self.memory.state(),
            state,
        }
    }
}

/// A computer and its store at one moment.
struct Image {
    store: MemoryState,
    state: TempDir,
}

/// The home has the old or the new folder as a whole, and no nodes without a name.
fn is_whole(session: &Session, what: &str) -> bool {
    let home = session.home().unwrap();
    make(&*home, home.root(), "another change", FileKind::File);
    session.publish(&()).unwrap();
    let found = session.check(&()).unwrap();
    assert_eq!(found.damaged, Vec::<String>::new(), "{what}");
    let root = names(&*home, home.root());
    let expected = ["another change", "folder", "kept"];
    let named: Vec<&String> = root.iter().filter(|n| !n.starts_with("outside")).collect();
    assert_eq!(named, expected, "{what}");
    let folder = home.lookup(home.root(), b"folder").unwrap().ino;
    let inner = home.lookup(folder, b"inner").unwrap().ino;
    let all = names(&*home, folder).len() + names(&*home, inner).len();
    let restored = all == FILES + 1 + FILES / 100;
    assert!(restored || all == 101, "{what}: {all}");
    // The root, both folders with an inner one each, the files, and those in place of others.
    let copies = if restored { FILES } else { 100 };
    assert_eq!(found.nodes as usize, 6 + FILES + copies, "{what}");
    if restored {
        let twin = home.lookup(inner, b"twin 0").unwrap();
        assert_eq!(twin.nlink, 2, "{what}");
    }
    restored
}

/// Does something at the given calls, of which there is one for each node.
struct At<'a> {
    calls: &'a [usize],
    call: AtomicUsize,
    act: &'a (dyn Fn(usize) -> bool + Send + Sync),
}

impl Progress for At<'_> {
    fn step(&self, _: Step) {}

    fn stopped(&self) -> bool {
        let call = self.call.fetch_add(1, Ordering::Relaxed);
        self.calls.contains(&call) && (self.act)(call)
    }
}

#[test]
fn a_crash_while_something_is_brought_back_leaves_the_old_or_the_new() {
    let world = Arc::new(World::new());
    let images = Mutex::new(Vec::new());
    let take = |call: usize| {
        let image = (format!("node {call}"), world.image());
        images.lock().unwrap().push(image);
        false
    };
    // And when it has its name, and the replaced node is still to be removed.
    let renamed = Arc::new(Mutex::new(None));
    let (watched, seen) = (Arc::downgrade(&world), Arc::clone(&renamed));
    world.session.on_change(Box::new(move |_| {
        if let Some(world) = watched.upgrade() {
            let mut seen = seen.lock().unwrap();
            *seen = Some(seen.take().unwrap_or_else(|| world.image()));
        }
    }));
    let progress = At {
        calls: &[0, 1, 1400, FILES],
        call: AtomicUsize::new(0),
        act: &take,
    };
    world.restore(&progress).unwrap();
    let mut images = images.into_inner().unwrap();
    assert_eq!(images.len(), 4);
    let image = renamed.lock().unwrap().take().unwrap();
    images.push(("its name".into(), image));
    images.push(("the end".into(), world.image()));
    let mut restored = Vec::new();
    for (what, image) in images {
        let memory = Arc::new(MemoryStore::default());
        memory.restore(image.store);
        let opened = options(memory, image.state.path());
        let session = Session::sign_in(credentials(), opened, &()).unwrap();
        restored.push(is_whole(&session, &what));
        session.sign_out(false, false, &()).unwrap();
    }
    assert_eq!(restored, [false, false, false, false, true, true]);
    assert!(is_whole(&world.session, "no crash"));
}

#[test]
fn what_fails_or_is_stopped_is_taken_back() {
    let world = World::new();
    let stop = |_| true;
    for calls in [[0], [1400], [FILES]] {
        let progress = At {
            calls: &calls,
            call: AtomicUsize::new(0),
            act: &stop,
        };
        assert!(matches!(world.restore(&progress), Err(Error::Stopped)));
        let root = world.home.root();
        let _ = world.home.unlink(root, b"another change");
        assert!(!is_whole(&world.session, "stopped"));
    }

    // A session that has read nothing yet, and a store that goes away.
    let World {
        memory,
        state,
        session,
        home,
        snapshot,
    } = world;
    home.unlink(home.root(), b"another change").unwrap();
    drop(home);
    session.sign_out(false, false, &()).unwrap();
    drop(session);
    let opened = options(memory.clone(), state.path());
    let session = Session::sign_in(credentials(), opened, &()).unwrap();
    let home = session.home().unwrap();
    let fails = |_| {
        let error = StoreError::Unreachable {
            url: "memory:".into(),
            why: "it is away".into(),
        };
        memory.fail_next(Method::GetChunks, u64::MAX, error);
        false
    };
    let progress = At {
        calls: &[1],
        call: AtomicUsize::new(0),
        act: &fails,
    };
    let failed = session.restore(&snapshot, b"folder", None, true, &progress);
    assert!(matches!(failed, Err(Error::Store(_))), "{failed:?}");
    let error = StoreError::Unreachable {
        url: "memory:".into(),
        why: "it is back".into(),
    };
    memory.fail_next(Method::GetChunks, 0, error);
    assert!(!is_whole(&session, "the store went away"));
    home.unlink(home.root(), b"another change").unwrap();
    session
        .restore(&snapshot, b"folder", None, true, &())
        .unwrap();
    assert!(is_whole(&session, "then it is there"));
}

/// Publishing waits, so that no published state has a part of it.
#[test]
fn nothing_is_published_while_something_is_brought_back() {
    let world = World::new();
    let (ready, go) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let session = &world.session;
        let publisher = scope.spawn(move || {
            go.recv().unwrap();
            session.publish(&()).unwrap();
        });
        let act = |_| {
            ready.send(()).unwrap();
            false
        };
        let progress = At {
            calls: &[1400],
            call: AtomicUsize::new(0),
            act: &act,
        };
        world.restore(&progress).unwrap();
        publisher.join().unwrap();
    });
    let found = world.session.check(&()).unwrap();
    assert_eq!(found.damaged, Vec::<String>::new());
    assert!(is_whole(&world.session, "published meanwhile"));
    for snapshot in world.session.snapshots().unwrap() {
        let tree = world.session.snapshot(&snapshot.name).unwrap();
        let hidden = names(&*tree, tree.root());
        assert!(
            !hidden.iter().any(|name| name.starts_with('.')),
            "{hidden:?}"
        );
    }
}
