//! A store at the other end of a line: nothing is sent twice, and no read waits for more than it needs.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex};

use bytes::Bytes;
use common::{credentials, noise, options};
use safeos_record::{Address, Chunk};
use safeos_session::{FileKind, Ino, NewNode, Session, Volume};
use safeos_store::{MemoryStore, Result, Store, StoreHooks, Traits};
use tempfile::TempDir;

/// How much a program reads at once.
const READ: usize = 128 << 10;
/// A file of six packs.
const LARGE: usize = 24 << 20;

/// A store elsewhere that counts what it sends.
struct Far {
    records: MemoryStore,
    requests: AtomicU64,
    bytes: AtomicU64,
    /// How often each chunk was sent as a whole.
    whole: Mutex<HashMap<Address, u64>>,
    /// Whether whole chunks are held back, and how many were asked for.
    held: (Mutex<bool>, Condvar),
    waiting: AtomicU64,
    /// Whether parts come damaged.
    damages: AtomicBool,
}

impl Far {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            records: MemoryStore::new(Traits {
                local: false,
                paid: false,
            }),
            requests: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            whole: Mutex::default(),
            held: Default::default(),
            waiting: AtomicU64::new(0),
            damages: AtomicBool::new(false),
        })
    }

    fn hold(&self, held: bool) {
        *self.held.0.lock().unwrap() = held;
        self.held.1.notify_all();
    }

    /// Requests and bytes since this was asked last.
    fn sent(&self) -> (u64, u64) {
        self.whole.lock().unwrap().clear();
        self.waiting.store(0, Ordering::SeqCst);
        (
            self.requests.swap(0, Ordering::SeqCst),
            self.bytes.swap(0, Ordering::SeqCst),
        )
    }

    fn count(&self, bytes: usize) {
        self.requests.fetch_add(1, Ordering::SeqCst);
        self.bytes.fetch_add(bytes as u64, Ordering::SeqCst);
    }
}

impl StoreHooks for Far {
    fn inner(&self) -> &dyn Store {
        &self.records
    }

    fn on_get_chunks(&self, addresses: &[Address]) -> Vec<Result<Chunk>> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut held = self.held.0.lock().unwrap();
        while *held {
            held = self.held.1.wait(held).unwrap();
        }
        drop(held);
        let chunks = self.records.get_chunks(addresses);
        let sent = chunks.iter().flatten().map(|chunk| chunk.bytes().len());
        self.count(sent.sum());
        let mut whole = self.whole.lock().unwrap();
        for address in addresses {
            *whole.entry(*address).or_default() += 1;
        }
        chunks
    }

    fn on_reads_parts(&self) -> bool {
        true
    }

    fn on_read_part(&self, address: &Address, offset: u32, len: u32) -> Result<Bytes> {
        self.count(len as usize);
        let part = self.records.read_part(address, offset, len)?;
        if !self.damages.load(Ordering::SeqCst) {
            return Ok(part);
        }
        let mut part = part.to_vec();
        part.iter_mut().for_each(|byte| *byte ^= 1);
        Ok(part.into())
    }
}

fn write(home: &dyn Volume, name: &str, content: &[u8]) {
    let made = home.create(home.root(), name.as_bytes(), &node(FileKind::File));
    let made = made.unwrap();
    home.write(made.ino, Some(0), content).unwrap();
}

fn node(kind: FileKind) -> NewNode<'static> {
    NewNode::new(kind, 0o755, (1000, 1000))
}

fn ino(home: &dyn Volume, name: &str) -> Ino {
    home.lookup(home.root(), name.as_bytes()).unwrap().ino
}

fn read(home: &dyn Volume, ino: Ino, from: usize, len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    home.read(ino, from as u64, len, &mut out).unwrap();
    out
}

/// A computer that has nothing yet of a home with a large and some small files.
struct Computer {
    far: Arc<Far>,
    session: Arc<Session>,
    home: Arc<dyn Volume>,
    _state: TempDir,
}

impl Computer {
    fn new() -> Self {
        let far = Far::new();
        let state = TempDir::new().unwrap();
        let first = options(far.clone(), state.path());
        let first = Session::sign_up(credentials(), first, &()).unwrap();
        let home = first.home().unwrap();
        write(&*home, "large", &noise(LARGE, 1));
        for number in 0..50 {
            write(
                &*home,
                &format!("small {number}"),
                &noise(4096, 100 + number),
            );
        }
        drop(home);
        first.sign_out(false, false, &()).unwrap();
        let state = TempDir::new().unwrap();
        let second = options(far.clone(), state.path());
        let session = Session::sign_in(credentials(), second, &()).unwrap();
        far.sent();
        Self {
            home: session.home().unwrap(),
            far,
            session,
            _state: state,
        }
    }

    fn large(&self) -> Ino {
        ino(&*self.home, "large")
    }

    fn read(&self, ino: Ino, from: usize, len: usize) -> Vec<u8> {
        read(&*self.home, ino, from, len)
    }

    /// Reads the large file in order.
    fn reads_large(&self) {
        let large = self.large();
        let mut content = Vec::new();
        while content.len() < LARGE {
            content.extend(self.read(large, content.len(), READ));
        }
        assert!(content == noise(LARGE, 1));
    }

    fn reads_small(&self, number: u64) {
        let small = ino(&*self.home, &format!("small {number}"));
        assert!(self.read(small, 0, 4096) == noise(4096, 100 + number));
    }

    fn sign_out(self) {
        drop(self.home);
        self.session.sign_out(false, false, &()).unwrap();
    }
}

#[track_caller]
fn is_little_more_than(far: &Far, bytes: usize) {
    let whole = far.whole.lock().unwrap().clone();
    assert!(whole.values().all(|times| *times == 1), "{whole:?}");
    let (requests, sent) = far.sent();
    let most = bytes as u64 * 105 / 100;
    assert!(
        sent <= most,
        "{sent} bytes were sent with {requests} requests for {bytes}"
    );
}

#[test]
fn who_reads_in_order_gets_everything_once() {
    let computer = Computer::new();
    computer.reads_large();
    is_little_more_than(&computer.far, LARGE);
    computer.sign_out();
}

#[test]
fn readers_who_take_turns_share_what_comes() {
    let computer = Computer::new();
    let large = computer.large();
    let next = AtomicU64::new(0);
    let expected = noise(LARGE, 1);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::SeqCst) as usize * READ;
                    if at >= LARGE {
                        return;
                    }
                    assert!(computer.read(large, at, READ) == expected[at..at + READ]);
                }
            });
        }
    });
    is_little_more_than(&computer.far, LARGE);
    computer.sign_out();
}

#[test]
fn two_programs_that_read_one_file_cost_one() {
    let computer = Computer::new();
    let large = computer.large();
    let start = Barrier::new(2);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                start.wait();
                for at in (0..LARGE).step_by(READ) {
                    assert_eq!(computer.read(large, at, READ).len(), READ);
                }
            });
        }
    });
    is_little_more_than(&computer.far, LARGE);
    computer.sign_out();
}

/// Nothing but whole packs can be held against their addresses, and objects against their references.
#[test]
fn parts_that_come_damaged_are_asked_for_with_their_packs() {
    let computer = Computer::new();
    computer.far.damages.store(true, Ordering::SeqCst);
    computer.reads_large();
    computer.reads_small(7);
    computer.far.damages.store(false, Ordering::SeqCst);
    computer.sign_out();
}

#[test]
fn a_small_file_does_not_wait_for_its_pack_nor_for_read_ahead() {
    let computer = Computer::new();
    // No whole pack arrives as long as this is so: neither for large reads nor for read-ahead.
    computer.far.hold(true);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let large = computer.large();
            for at in (0..LARGE).step_by(READ) {
                assert_eq!(computer.read(large, at, READ).len(), READ);
            }
        });
        while computer.far.waiting.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        computer.reads_small(7);
        assert!(!reader.is_finished());
        computer.far.hold(false);
    });
    computer.sign_out();
}

#[test]
fn the_first_byte_of_a_small_file_costs_few_requests_and_little_more_than_itself() {
    let computer = Computer::new();
    computer.far.hold(true);
    computer.reads_small(7);
    let (requests, bytes) = computer.far.sent();
    assert!(requests <= 3 && bytes <= 128 << 10, "{requests} {bytes}");
    computer.far.hold(false);
    // Its neighbours come with the bytes after it.
    for number in 0..50 {
        computer.reads_small(number);
    }
    let (requests, _) = computer.far.sent();
    assert!(requests < 50, "{requests}");
    computer.sign_out();
}

/// The reads of `git status` and `ls -lR`.
#[test]
fn looking_at_every_file_of_a_large_tree_costs_about_its_nodes() {
    let far = Far::new();
    let store: Arc<dyn Store> = far.clone();
    let state = TempDir::new().unwrap();
    let first = Session::sign_up(credentials(), options(store.clone(), state.path()), &()).unwrap();
    let home = first.home().unwrap();
    for number in 0..90 {
        let name = format!("folder {number}");
        let made = home.create(home.root(), name.as_bytes(), &node(FileKind::Directory));
        let folder = made.unwrap().ino;
        for number in 0..100 {
            let name = format!("a file with a name of its own {number}");
            let made = home.create(folder, name.as_bytes(), &node(FileKind::File));
            made.unwrap();
        }
    }
    drop(home);
    first.sign_out(false, false, &()).unwrap();

    let state = TempDir::new().unwrap();
    let second = Session::sign_in(credentials(), options(store, state.path()), &()).unwrap();
    far.sent();
    let home = second.home().unwrap();
    let mut seen = 0;
    for folder in home.read_dir(home.root(), None, usize::MAX).unwrap() {
        for file in home.read_dir(folder.attr.ino, None, usize::MAX).unwrap() {
            home.lookup(folder.attr.ino, &file.name).unwrap();
            seen += 1;
        }
    }
    assert_eq!(seen, 9_000);
    let entries = far.list(None, usize::MAX).unwrap();
    let all: u64 = entries.iter().map(|entry| entry.len).sum();
    let (requests, bytes) = far.sent();
    // There is nothing but nodes, in one pack; 128 KiB of a pack may come apart from it.
    assert!(bytes <= all + (128 << 10), "{bytes} of {all}");
    assert!(requests <= 20, "{requests} requests for {all} bytes");
    drop(home);
    second.sign_out(false, false, &()).unwrap();
}
