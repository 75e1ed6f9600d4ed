//! Homes over a bad network: nothing lost, nothing sent twice for nothing, no thread left waiting.
//!
//! `SAFEOS_SEED` replays a run; `SAFEOS_SEEDS` says how many there are. A run of records is the same packet by
//! packet. Homes have random keys and threads of their own: of them a seed repeats the weather, and the fate of
//! the packet of each number.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use safeos_gateway::Options as ServerOptions;
use safeos_gateway_tests::chunk;
use safeos_gateway_tests::homes::{credentials, options};
use safeos_gateway_tests::netsim::{Ether, Netsim, Weather};
use safeos_record::{Address, Chunk};
use safeos_session::{FileKind, NewNode, Session, Volume};
use safeos_store::{
    HttpOptions, HttpStore, MemoryStore, Parts, Result as StoreResult, Store, StoreHooks,
};

/// A store that counts what it is given again.
#[derive(Default)]
struct Counting {
    store: MemoryStore,
    put: Mutex<HashMap<Address, u32>>,
}

impl Counting {
    /// Chunks that were put though they were there.
    fn again(&self) -> u32 {
        self.put.lock().values().map(|times| times - 1).sum()
    }
}

impl StoreHooks for Counting {
    fn inner(&self) -> &dyn Store {
        &self.store
    }

    fn on_put_chunks(&self, chunks: &[Chunk]) -> StoreResult<()> {
        for chunk in chunks {
            *self.put.lock().entry(chunk.address()).or_default() += 1;
        }
        self.store.put_chunks(chunks)
    }
}

/// One test at a time: they count this process's threads.
static ALONE: Mutex<()> = Mutex::new(());

/// How long a run may take in real time before something is stuck.
const LIMIT: Duration = Duration::from_secs(180);

/// Runs it on a thread of its own, which must come to its end, and all its threads with it.
fn comes_to_an_end(seed: u64, run: impl FnOnce() + Send + 'static) {
    println!("SAFEOS_SEED={seed}");
    let before = threads();
    let (done, over) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().name(format!("seed {seed}"));
    let thread = thread
        .spawn(move || {
            run();
            done.send(()).unwrap();
        })
        .unwrap();
    if over.recv_timeout(LIMIT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
        panic!("SAFEOS_SEED={seed} is stuck: {:?}", threads());
    }
    thread
        .join()
        .unwrap_or_else(|_| panic!("SAFEOS_SEED={seed} failed"));
    let started = Instant::now();
    while threads().len() > before.len() {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "SAFEOS_SEED={seed} leaves threads behind: {:?}, before {before:?}",
            threads()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The tests here: each has a thread while it waits for its turn.
const TESTS: [&str; 4] = [
    "homes_over_a_bad_line_lose_nothing_and_pay_nothing_twice",
    "words_that_change_places_unnoticed_change_nothing",
    "a_seed_replays_a_run",
    "bodies_in_parts_survive_a_bad_line",
];

/// The names of this process's threads, but for those of tests.
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        // The system keeps the first fifteen letters.
        .filter(|name| !TESTS.iter().any(|test| test.starts_with(name.as_str())))
        .collect()
}

fn seeds(count: u64) -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    match number("SAFEOS_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("SAFEOS_SEEDS").unwrap_or(count)).collect(),
    }
}

/// The client at one end of the line. One request at a time, so that a run is the same every time.
fn client(air: &Arc<Netsim>, parts: Parts) -> HttpStore {
    let options = HttpOptions {
        parallel: 1,
        parts,
        network: Arc::new(Ether(air.clone())),
        ..HttpOptions::default()
    };
    HttpStore::open(&Netsim::url(), vec![Netsim::url()], &options).unwrap()
}

fn server() -> ServerOptions {
    ServerOptions::default()
}

/// The weather of a seed: from a little of one thing to everything at once.
fn weather(seed: u64) -> Weather {
    let of = |factor: u64, limit: u64| (seed.wrapping_mul(factor) >> 3) % limit;
    let some = |bit: u64, value: u64| if seed & bit == 0 { 0 } else { value };
    Weather {
        lost: some(1, 5 + of(7919, 25)),
        doubled: some(2, 5 + of(104_729, 60)),
        late: some(4, 20 + of(1_299_709, 150)),
        flipped: some(2, 3 + of(15_485_863, 20)),
        swapped: 0,
        delay: Duration::from_millis(2 + of(32_452_843, 60)),
        rate: 3_000_000,
        cut_at: seed.is_multiple_of(2).then(|| 300 + of(49_979_687, 6000)),
        cut_for: Duration::from_secs(60),
    }
}

/// Again and again, as a session does by itself. Where the line does `damage` that passes for sound, it may also be
/// that a record could not be had: an error, never other bytes.
fn persistently<T>(
    damage: bool,
    what: &str,
    mut act: impl FnMut() -> Result<T, safeos_session::Error>,
) -> T {
    for _ in 0..12 {
        match act() {
            Ok(done) => return done,
            Err(error) => {
                let damaged = damage && error.code().starts_with("damaged");
                assert!(damaged || error.retry(), "{what}: {error:?}");
            }
        }
    }
    panic!("{what} does not succeed");
}

fn write(home: &dyn Volume, name: &str, bytes: &[u8]) {
    let node = NewNode::new(FileKind::File, 0o644, (1000, 1000));
    let file = home.create(home.root(), name.as_bytes(), &node).unwrap();
    home.write(file.ino, Some(0), bytes).unwrap();
}

fn read(home: &dyn Volume, name: &str) -> Result<Vec<u8>, safeos_session::Error> {
    let attr = home.lookup(home.root(), name.as_bytes())?;
    let mut bytes = Vec::new();
    home.read(attr.ino, 0, attr.size as usize, &mut bytes)?;
    Ok(bytes)
}

#[test]
fn homes_over_a_bad_line_lose_nothing_and_pay_nothing_twice() {
    let _alone = ALONE.lock();
    for seed in seeds(6) {
        comes_to_an_end(seed, move || home_over(seed, weather(seed), 0));
    }
}

/// Damage that the checksums of TCP do not notice is noticed by ours.
#[test]
fn words_that_change_places_unnoticed_change_nothing() {
    let _alone = ALONE.lock();
    for seed in seeds(3) {
        let swapped = Weather {
            swapped: 300,
            cut_at: None,
            ..weather(seed + 100)
        };
        // A request that was damaged may ask for something else, and then send what is there.
        comes_to_an_end(seed, move || home_over(seed, swapped, 3));
    }
}

/// Two computers publish and read over a line with this weather.
fn home_over(seed: u64, weather: Weather, again_max: u32) {
    let damage = weather.swapped > 0;
    let counting = Arc::new(Counting::default());
    let air = Netsim::start(seed, weather, counting.clone(), server());
    let present = air.present();
    let far: Arc<dyn Store> = Arc::new(client(&air, Parts::Never));
    let [one, two, three] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    // The names are marked on the store: after a lost answer the name is taken, by us.
    let first = match Session::sign_up_small(credentials(), options(&far, one.path()), &()) {
        Ok(session) => session,
        Err(error) => {
            let taken = error.code() == "name_taken";
            assert!(damage || taken || error.retry(), "{error:?}");
            persistently(damage, "signing in after a sign-up that broke off", || {
                match Session::sign_in(credentials(), options(&far, one.path()), &()) {
                    Err(error) if error.code() == "unknown_name" => {
                        Session::sign_up_small(credentials(), options(&far, one.path()), &())
                    }
                    outcome => outcome,
                }
            })
        }
    };
    let home = first.home().unwrap();
    let large = chunk(seed, 3_000_000).bytes().to_vec();
    let also = chunk(seed + 1, 3_500_000).bytes().to_vec();
    write(&*home, "large", &large);
    for n in 0..20 {
        write(
            &*home,
            &format!("small {n}"),
            format!("{n} of {seed}").as_bytes(),
        );
    }
    persistently(damage, "publishing", || first.publish(&()));
    write(&*home, "also large", &also);
    persistently(damage, "publishing more", || first.publish(&()));

    let second = persistently(damage, "signing in", || {
        Session::sign_in(credentials(), options(&far, two.path()), &())
    });
    let there = second.home().unwrap();
    assert!(persistently(damage, "reading", || read(&*there, "large")) == large);
    assert!(persistently(damage, "reading", || read(&*there, "also large")) == also);
    for n in 0..20 {
        let name = format!("small {n}");
        let text = persistently(damage, "reading", || read(&*there, &name));
        assert_eq!(text, format!("{n} of {seed}").as_bytes());
    }
    // Both change something; the one that comes second merges.
    write(&*there, "of the second", b"2");
    write(&*home, "of the first", b"1");
    persistently(damage, "publishing of the second", || second.publish(&()));
    persistently(damage, "publishing of the first", || first.publish(&()));
    persistently(damage, "publishing again", || second.publish(&()));
    for home in [&home, &there] {
        assert_eq!(
            persistently(damage, "reading", || read(&**home, "of the first")),
            b"1"
        );
        assert_eq!(
            persistently(damage, "reading", || read(&**home, "of the second")),
            b"2"
        );
    }
    drop((home, there));
    persistently(damage, "leaving", || first.sign_out(false, false, &()));
    persistently(damage, "leaving", || second.sign_out(false, false, &()));
    drop((first, second, far));
    drop(present);
    // Calls that were left at the end go on for a while, and end by themselves.
    let started = Instant::now();
    while air.waiting() > 0 && started.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(air.waiting(), 0, "a thread waits for nothing");
    let (packets, mishaps, swaps) = air.line(|line| (line.packets, line.mishaps, line.swaps));
    println!(
        "{weather:?}: {packets} packets, {mishaps} mishaps, {swaps} swaps, {:?}",
        air.time()
    );
    drop(air);

    // Everything is on the store, seen without the line.
    assert!(
        counting.again() <= again_max,
        "{} chunks were put again",
        counting.again()
    );
    let near: Arc<dyn Store> = counting;
    let third = Session::sign_in(credentials(), options(&near, three.path()), &()).unwrap();
    assert_eq!(third.check(&()).unwrap().damaged, Vec::<String>::new());
    let home = third.home().unwrap();
    assert!(read(&*home, "large").unwrap() == large);
    assert!(read(&*home, "also large").unwrap() == also);
    assert_eq!(read(&*home, "of the first").unwrap(), b"1");
    assert_eq!(read(&*home, "of the second").unwrap(), b"2");
    drop(home);
    third.sign_out(false, false, &()).unwrap();
}

/// Records alone, by one thread: the events on the line.
fn records_over(seed: u64, weather: Weather, parts: Parts) -> (u64, u64) {
    let store = Arc::new(Counting::default());
    let air = Netsim::start(seed, weather, store.clone(), server());
    let present = air.present();
    let far = client(&air, parts);
    let chunks: Vec<Chunk> = (0..40)
        .map(|n| chunk(seed * 100 + n, if n % 8 == 0 { 600_000 } else { 5_000 }))
        .collect();
    let addresses: Vec<Address> = chunks.iter().map(Chunk::address).collect();
    let mut tries = 0;
    // A request that was damaged unnoticed may ask for something else.
    let damage = weather.swapped > 0;
    while let Err(error) = far.put_chunks(&chunks) {
        assert!(damage || error.retry(), "{error:?}");
        tries += 1;
        assert!(tries < 12);
    }
    for found in far.get_chunks(&addresses).iter().zip(&chunks) {
        match found {
            (Ok(found), chunk) => assert_eq!(found, chunk),
            (Err(error), _) => assert!(damage || error.retry(), "{error:?}"),
        }
    }
    // A call that failed for good is not known to the next one; within one nothing is sent twice.
    assert!(damage || tries > 0 || store.again() == 0);
    assert_eq!(store.stats().unwrap().chunks, 40);
    // As long as this thread is present nothing else happens.
    let happened = air.line(|line| (line.trace, line.packets));
    drop(far);
    drop(present);
    happened
}

#[test]
fn a_seed_replays_a_run() {
    let _alone = ALONE.lock();
    for seed in seeds(4) {
        comes_to_an_end(seed, move || {
            let run = || records_over(seed, weather(seed), Parts::Never);
            assert_eq!(run(), run(), "SAFEOS_SEED={seed}");
        });
    }
}

/// Parts that are lost, come twice or late, and damage in them that TCP does not notice.
#[test]
fn bodies_in_parts_survive_a_bad_line() {
    let _alone = ALONE.lock();
    for seed in seeds(4) {
        comes_to_an_end(seed, move || {
            records_over(seed, weather(seed), Parts::Always);
            let swapped = Weather {
                swapped: 300,
                cut_at: None,
                ..weather(seed)
            };
            records_over(seed, swapped, Parts::Always);
        });
    }
}
