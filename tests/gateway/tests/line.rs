//! The cost of a home at a gateway: requests and bytes, not time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use safeos_gateway::{Options as ServerOptions, Server};
use safeos_gateway_tests::chunk;
use safeos_gateway_tests::homes::{Done, credentials, far, make, options, read, sign_in, write};
use safeos_record::{Address, Chunk};
use safeos_session::{FileKind, Ino, Options, Session, Volume};
use safeos_store::{Kind, MemoryStore, Result as StoreResult, Store, StoreHooks, Upload};
use tempfile::TempDir;

/// How much a program reads at once.
const READ: usize = 128 << 10;
const LARGE: usize = 50_000_000;
const SMALL: u64 = 640;
/// More than a node with its neighbours.
const LITTLE: usize = 128 << 10;

fn noise(seed: u64, len: usize) -> Vec<u8> {
    (0..)
        .map(|n| chunk(seed * 1000 + n, 1 << 20))
        .flat_map(|chunk| chunk.bytes().to_vec())
        .take(len)
        .collect()
}

fn large() -> &'static [u8] {
    static LARGE_FILE: OnceLock<Vec<u8>> = OnceLock::new();
    LARGE_FILE.get_or_init(|| noise(1, LARGE))
}

fn gateway(store: Arc<dyn Store>) -> Server {
    let mut options = ServerOptions::default();
    options.limits.rate = 0;
    Server::start(store, &options).unwrap()
}

/// The store of a gateway from which, or to which, a line brings nothing large at all.
struct Slow {
    store: Arc<MemoryStore>,
    /// Whether it is so, and how many wait.
    state: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl Slow {
    fn new(store: Arc<MemoryStore>) -> Arc<Self> {
        Arc::new(Self {
            store,
            state: Mutex::new((false, 0)),
            changed: Condvar::new(),
        })
    }

    fn set(&self, slow: bool) {
        self.state.lock().unwrap().0 = slow;
        self.changed.notify_all();
    }

    /// Waits until so many wait.
    fn wait_for(&self, count: usize) {
        let state = self.state.lock().unwrap();
        let soon = Duration::from_secs(15);
        let waits = |state: &mut (bool, usize)| state.1 < count;
        let waited = self.changed.wait_timeout_while(state, soon, waits);
        let late = waited.unwrap().1;
        assert!(
            !late.timed_out(),
            "too little is under way: {:?}",
            self.state
        );
    }

    fn large(&self) {
        let mut state = self.state.lock().unwrap();
        state.1 += 1;
        self.changed.notify_all();
        while state.0 {
            state = self.changed.wait(state).unwrap();
        }
        state.1 -= 1;
    }
}

impl StoreHooks for Slow {
    fn inner(&self) -> &dyn Store {
        &*self.store
    }

    fn on_put_chunks(&self, chunks: &[Chunk]) -> StoreResult<()> {
        if chunks.iter().any(|chunk| chunk.bytes().len() > LITTLE) {
            self.large();
        }
        self.store.put_chunks(chunks)
    }

    fn on_get_chunks(&self, addresses: &[Address]) -> Vec<StoreResult<Chunk>> {
        self.large();
        self.store.get_chunks(addresses)
    }

    fn on_read_part(&self, address: &Address, offset: u32, len: u32) -> StoreResult<Bytes> {
        if len as usize > LITTLE {
            self.large();
        }
        self.store.read_part(address, offset, len)
    }
}

/// A home of a large file, in packs whose first and last hold other files too.
fn filled() -> Arc<MemoryStore> {
    static FILLED: OnceLock<Arc<MemoryStore>> = OnceLock::new();
    let fill = || {
        let store = Arc::new(MemoryStore::default());
        let near: Arc<dyn Store> = store.clone();
        let state = TempDir::new().unwrap();
        let session =
            Session::sign_up_small(credentials(), options(&near, state.path()), &()).unwrap();
        let home = session.home().unwrap();
        let folder = make(&*home, home.root(), "small", FileKind::Directory);
        let small = |numbers: std::ops::Range<u64>| {
            for number in numbers {
                write(
                    &*home,
                    folder,
                    &number.to_string(),
                    &noise(7 + number, 4096),
                );
            }
        };
        small(0..SMALL * 3 / 4);
        write(&*home, home.root(), "large", large());
        small(SMALL * 3 / 4..SMALL);
        drop(home);
        session.sign_out(false, false, &()).unwrap();
        store
    };
    FILLED.get_or_init(fill).clone()
}

struct Computer {
    home: Arc<dyn Volume>,
    session: Arc<Session>,
    server: Server,
    before: Done,
    _state: TempDir,
}

impl Computer {
    /// A new one, signed in.
    fn new() -> Self {
        Self::at(filled())
    }

    fn at(store: Arc<dyn Store>) -> Self {
        let server = gateway(store);
        let state = TempDir::new().unwrap();
        let session = sign_in(&server.url(), state.path());
        session.look_at_root(&()).unwrap();
        Self {
            home: session.home().unwrap(),
            session,
            before: Done::of(&server),
            server,
            _state: state,
        }
    }

    fn large(&self) -> Ino {
        self.home.lookup(self.home.root(), b"large").unwrap().ino
    }

    fn small(&self, number: u64) -> Ino {
        let folder = self.home.lookup(self.home.root(), b"small").unwrap().ino;
        let name = number.to_string();
        self.home.lookup(folder, name.as_bytes()).unwrap().ino
    }

    fn read_all_of_large(&self) {
        let ino = self.large();
        for at in (0..LARGE).step_by(READ) {
            let len = READ.min(LARGE - at);
            assert!(
                read(&*self.home, ino, at, len) == large()[at..at + len],
                "{at}"
            );
        }
    }

    fn done(&self) -> Done {
        Done::since(&self.server, self.before)
    }

    /// Checks that this was sent, and 5 % more at most, with a request for each pack and some for where they are.
    /// Unrequested data would also come within a second.
    #[track_caller]
    fn has_sent_little_more_than(&self, bytes: usize) {
        std::thread::sleep(Duration::from_secs(1));
        let done = self.done();
        let most = bytes as u64 * 105 / 100;
        assert!(
            done.sent <= most,
            "{} of {bytes} bytes: {done:?}",
            done.sent
        );
        assert!(done.chunks <= 30, "{done:?}");
        self.session.sign_out(false, false, &()).unwrap();
    }
}

#[test]
fn who_reads_in_order_gets_little_more_than_that() {
    let computer = Computer::new();
    computer.read_all_of_large();
    computer.has_sent_little_more_than(LARGE);
}

/// The kernel asks for more at once than a program does.
#[test]
fn large_reads_cost_no_whole_pack_either() {
    let computer = Computer::new();
    let ino = computer.large();
    for at in (0..LARGE).step_by(8 * READ) {
        let len = (8 * READ).min(LARGE - at);
        assert!(
            read(&*computer.home, ino, at, len) == large()[at..at + len],
            "{at}"
        );
    }
    computer.has_sent_little_more_than(LARGE);
}

#[test]
fn four_readers_who_take_turns_get_no_more_than_one() {
    let computer = Computer::new();
    let (ino, next) = (computer.large(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(READ, Ordering::SeqCst);
                    if at >= LARGE {
                        return;
                    }
                    let len = READ.min(LARGE - at);
                    assert!(read(&*computer.home, ino, at, len) == large()[at..at + len]);
                }
            });
        }
    });
    computer.has_sent_little_more_than(LARGE);
}

#[test]
fn two_programs_that_read_one_file_get_it_once() {
    let computer = Computer::new();
    let start = Barrier::new(2);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                start.wait();
                computer.read_all_of_large();
            });
        }
    });
    computer.has_sent_little_more_than(LARGE);
}

#[test]
fn what_was_read_is_there_without_the_gateway() {
    let computer = Computer::new();
    computer.read_all_of_large();
    let before = Done::of(&computer.server);
    computer.read_all_of_large();
    assert_eq!(Done::since(&computer.server, before).chunks, 0);
    computer.session.sign_out(false, false, &()).unwrap();
}

/// Objects that were fetched apart, whose packs have not followed yet.
#[test]
fn what_was_read_by_a_session_that_ended_at_once_is_there_offline() {
    let (server, state) = (gateway(filled()), TempDir::new().unwrap());
    let url = server.url();
    let sign_in = || {
        let options = Options {
            remember: true,
            ..options(&far(&url), state.path())
        };
        Session::sign_in(credentials(), options, &()).unwrap()
    };
    let read_small = |home: &dyn Volume| {
        let names = home.read_dir(home.root(), None, 10).unwrap();
        assert_eq!(names.len(), 2);
        let folder = home.lookup(home.root(), b"small").unwrap().ino;
        let ino = home.lookup(folder, b"300").unwrap().ino;
        assert!(read(home, ino, 0, 4096) == noise(7 + 300, 4096));
    };
    let session = sign_in();
    session.look_at_root(&()).unwrap();
    read_small(&*session.home().unwrap());
    session.sign_out(false, false, &()).unwrap();
    drop((session, server));

    let session = sign_in();
    assert!(session.status().offline);
    read_small(&*session.home().unwrap());
    session.sign_out_later().unwrap();
}

#[test]
fn the_first_byte_of_a_small_file_costs_two_requests() {
    let computer = Computer::new();
    let number = SMALL / 2 + 100;
    let content = read(&*computer.home, computer.small(number), 0, 4096);
    assert!(content == noise(7 + number, 4096));
    let done = computer.done();
    assert!(done.chunks <= 2 && done.sent <= 128 << 10, "{done:?}");
    computer.session.sign_out(false, false, &()).unwrap();
}

/// A copy of the store with the home, for tests that publish.
fn filled_anew() -> Arc<MemoryStore> {
    let (from, to) = (filled(), MemoryStore::default());
    for entry in from.list(None, usize::MAX).unwrap() {
        match entry.kind {
            Kind::Chunk => {
                let chunk = from.get_chunk(&entry.address).unwrap();
                to.put_chunks(&[chunk]).unwrap();
            }
            Kind::Pointer => {
                let pointer = from.get_pointer(&entry.address).unwrap().unwrap();
                to.set_pointer(&pointer, None).unwrap();
            }
        }
    }
    Arc::new(to)
}

/// Chunks to upload, as a session has them on its disk.
struct Packs(Vec<Chunk>);

impl Upload for Packs {
    fn load(&self, address: &Address) -> StoreResult<Chunk> {
        let pack = self.0.iter().find(|pack| pack.address() == *address);
        Ok(pack.unwrap().clone())
    }
}

/// A long line is full when several packs are on their way, and no batch waits for a round trip.
#[test]
fn eight_packs_go_up_at_once_and_are_asked_for_together() {
    let store = Arc::new(MemoryStore::default());
    let slow = Slow::new(store.clone());
    let server = gateway(slow.clone());
    let packs: Vec<Chunk> = (0..20).map(|seed| chunk(seed, 4_000_000)).collect();
    let addresses: Vec<Address> = packs.iter().map(Chunk::address).collect();
    // One that is there is not sent.
    store.put_chunks(&packs[3..4]).unwrap();
    let before = Done::of(&server);
    slow.set(true);
    std::thread::scope(|scope| {
        let upload = || far(&server.url()).upload(&addresses, &Packs(packs.clone()));
        let upload = scope.spawn(upload);
        slow.wait_for(8);
        slow.set(false);
        upload.join().unwrap().unwrap();
    });
    let done = Done::since(&server, before);
    assert_eq!((done.chunks, done.others), (19, 1));
    assert!(
        store
            .has_chunks(&addresses)
            .unwrap()
            .iter()
            .all(|there| *there)
    );
}

/// Uploads and read-ahead may be as slow as they like.
#[test]
fn a_small_file_comes_while_200_mb_go_up_and_while_read_ahead_runs() {
    let slow = Slow::new(filled_anew());
    let computer = Computer::at(slow.clone());
    let is_read = |number: u64| {
        let before = Done::of(&computer.server);
        let content = read(&*computer.home, computer.small(number), 0, 4096);
        assert!(content == noise(7 + number, 4096));
        let done = Done::since(&computer.server, before);
        assert!(done.chunks <= 3 && done.sent <= 192 << 10, "{done:?}");
    };
    let home = &*computer.home;
    slow.set(true);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| computer.read_all_of_large());
        slow.wait_for(1);
        is_read(SMALL - 1);
        assert!(!reader.is_finished());
        slow.set(false);
    });
    let upload = noise(500_000, 200_000_000);
    slow.set(true);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            write(home, home.root(), "upload", &upload);
            computer.session.publish(&()).unwrap();
        });
        slow.wait_for(1);
        is_read(SMALL / 2 - 1);
        assert!(!writer.is_finished());
        slow.set(false);
    });
    computer.session.sign_out(false, false, &()).unwrap();
}

/// The reads of `git status` and `ls -lR`.
#[test]
fn looking_at_9000_files_costs_few_requests() {
    let store = Arc::new(MemoryStore::default());
    let near: Arc<dyn Store> = store.clone();
    let state = TempDir::new().unwrap();
    let first = Session::sign_up_small(credentials(), options(&near, state.path()), &()).unwrap();
    let home = first.home().unwrap();
    for number in 0..90 {
        let name = format!("folder {number}");
        let folder = make(&*home, home.root(), &name, FileKind::Directory);
        for number in 0..100 {
            let name = format!("a file with a name of its own {number}");
            make(&*home, folder, &name, FileKind::File);
        }
    }
    drop(home);
    first.sign_out(false, false, &()).unwrap();

    let server = gateway(store.clone());
    let state = TempDir::new().unwrap();
    let session = sign_in(&server.url(), state.path());
    let before = Done::of(&server);
    let home = session.home().unwrap();
    let mut seen = 0;
    for folder in home.read_dir(home.root(), None, usize::MAX).unwrap() {
        for file in home.read_dir(folder.attr.ino, None, usize::MAX).unwrap() {
            home.lookup(folder.attr.ino, &file.name).unwrap();
            seen += 1;
        }
    }
    assert_eq!(seen, 9_000);
    let done = Done::since(&server, before);
    let all: u64 = store
        .list(None, usize::MAX)
        .unwrap()
        .iter()
        .map(|entry| entry.len)
        .sum();
    assert!(done.chunks <= 8, "{done:?}");
    assert!(done.sent <= all + (192 << 10), "{done:?} of {all} bytes");
    drop(home);
    session.sign_out(false, false, &()).unwrap();
}

/// The watch of the pointer stands, and nothing else is asked for: a watch lasts 50 s, and once a minute the pointer is
/// fetched.
#[test]
fn an_idle_session_asks_nothing() {
    let computer = Computer::new();
    let start = Instant::now();
    // Background work after a sign-in comes to an end.
    let mut before = Done::of(&computer.server);
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let now = Done::of(&computer.server);
        if now.requests() == before.requests() {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "it never rests");
        before = now;
    }
    std::thread::sleep(Duration::from_secs(5));
    let done = Done::since(&computer.server, before);
    // One watch may have ended, and one look may have come.
    assert!(done.requests() <= 4, "{done:?}");
    computer.session.sign_out(false, false, &()).unwrap();
}
