//! Stores that are damaged or lie: every record flipped, cut, swapped, removed; older states passed off as
//! new. The requirement is always the same: the right bytes or a clear error on the file that needs
//! the record, never wrong bytes, never a panic, never a hang, and all other files readable.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use parking_lot::Mutex;
use safeos_store::Kind;
use safeos_suite_tests::computer::NAME;
use safeos_suite_tests::random::seed;
use safeos_suite_tests::{Computer, Random, TestDir, sh};

/// How long reading one damaged home may take.
const LIMIT: Duration = Duration::from_secs(60);

type Content = BTreeMap<PathBuf, Vec<u8>>;

/// Makes a store show an older state.
type Forge<'a> = &'a dyn Fn(&Path);

/// A store with a home of two published states, and its content.
struct Scene {
    place: TestDir,
    /// The store as it was after the first state.
    older: PathBuf,
    /// The store as it is.
    newer: PathBuf,
    before: Content,
    now: Content,
    /// A computer that has seen the newer state.
    witness: Computer,
}

impl Scene {
    fn new() -> Self {
        let place = TestDir::new();
        let witness = Computer::signed_up(&place);
        let mut random = Random::new(9);
        let mut content = Content::new();
        let mut put = |content: &mut Content, path: String, len: usize| {
            let bytes = random.bytes(len);
            let full = witness.home().join(&path);
            fs::create_dir_all(full.parent().unwrap()).unwrap();
            fs::write(&full, &bytes).unwrap();
            content.insert(PathBuf::from(path), bytes);
        };
        for n in 0..5 {
            put(&mut content, format!("big/{n}"), 5_000_000);
        }
        for n in 0..30 {
            put(&mut content, format!("small/{}/{n}", n % 3), 2_000 + n * 10);
        }
        witness.sync();
        let before = content.clone();
        let older = place.path().join("older");
        copy(&witness.store, &older);
        put(&mut content, "big/0".into(), 5_000_000);
        put(&mut content, "small/0/0".into(), 3_000);
        put(&mut content, "later".into(), 10_000);
        witness.logout();
        let newer = place.path().join("newer");
        copy(&witness.store, &newer);
        Self {
            older,
            newer,
            before,
            now: content,
            witness,
            place,
        }
    }

    /// Opens the store on a computer that has never seen it, after `damage` was done to it, and reads everything.
    fn attack(&self, label: &str, damage: impl FnOnce(&Path)) -> Outcome {
        let store = self.place.path().join(format!("{label}.store"));
        copy(&self.newer, &store);
        damage(&store);
        let computer = Computer::with_store(&self.place, label, &store);
        let outcome = read_all(&computer, &self.now, label);
        drop_computer(&computer, label);
        for folder in [&store, &computer.state] {
            let _ = fs::remove_dir_all(folder);
        }
        outcome
    }
}

fn copy(from: &Path, to: &Path) {
    sh(
        Path::new("/"),
        &format!("cp -a {} {}", from.display(), to.display()),
    );
}

/// The result for a person at a computer with a damaged store.
#[derive(Debug)]
enum Outcome {
    /// Signing in fails with this message.
    Refused(String),
    /// The home is there; these files cannot be read.
    Opened(BTreeSet<PathBuf>),
}

fn read_all(computer: &Computer, expected: &Content, label: &str) -> Outcome {
    let login = computer.try_safe(&["login", NAME]);
    if !login.status.success() {
        assert_eq!(login.status.code(), Some(1), "{label}: {}", login.stderr);
        let message = login.stderr.trim().to_owned();
        assert!(message.len() > 20, "{label}: no message: {message:?}");
        return Outcome::Refused(message);
    }
    let mut failed = BTreeSet::new();
    for (path, bytes) in expected {
        let full = computer.home().join(path);
        match read_within_limit(&full, label) {
            Ok(found) => assert!(
                found == *bytes,
                "{label}: WRONG BYTES in {}",
                path.display()
            ),
            Err(e) => {
                assert_eq!(
                    e.raw_os_error(),
                    Some(libc::EIO),
                    "{label}: {}: {e}",
                    path.display()
                );
                failed.insert(path.clone());
            }
        }
    }
    assert!(computer.daemon().is_some(), "{label}: the daemon has died");
    if !failed.is_empty() {
        let status = computer.status_text();
        // Each by its path, or by a folder on the way that is damaged itself; a damaged root has no name but the
        // home's.
        let unnamed = failed.iter().find(|path| {
            let mut parts = path.ancestors().filter(|part| !part.as_os_str().is_empty());
            !parts.any(|part| status.contains(&*part.to_string_lossy()))
        });
        assert!(
            unnamed.is_none() || failed.len() == expected.len(),
            "{label}: `status` does not name {unnamed:?}:\n{status}"
        );
        let check = computer.try_safe(&["store", "check", "--json"]);
        let answer = format!("{}{}", check.stdout, check.stderr);
        assert!(
            !check.status.success() || answer.contains("damaged\":[\""),
            "{label}: check is content: {answer}"
        );
    }
    Outcome::Opened(failed)
}

fn read_within_limit(path: &Path, label: &str) -> std::io::Result<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    let path_there = path.to_path_buf();
    std::thread::spawn(move || send.send(fs::read(path_there)));
    receive
        .recv_timeout(LIMIT)
        .unwrap_or_else(|_| panic!("{label}: reading {} hangs", path.display()))
}

/// Signs out if signed in; nothing was changed, so a damaged store is no reason to fail.
fn drop_computer(computer: &Computer, label: &str) {
    if computer.daemon().is_some() {
        let done = computer.try_safe(&["logout"]);
        if !done.status.success() {
            println!("{label}: signing out: {}", done.stderr.trim());
            computer.kill();
        }
    }
    safeos_suite_tests::test_dir::detach(&computer.mount);
}

/// The files of the large chunks of a store, relative to it.
fn chunk_files(store: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for shard in fs::read_dir(store.join("chunks")).unwrap() {
        for file in fs::read_dir(shard.unwrap().path()).unwrap() {
            found.push(
                file.unwrap()
                    .path()
                    .strip_prefix(store)
                    .unwrap()
                    .to_path_buf(),
            );
        }
    }
    found.sort();
    found
}

fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    byte[0] ^= 0x10;
    file.write_all_at(&byte, at).unwrap();
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

/// Runs the attacks on as many threads as there are processors.
fn each<T: Send + Sync>(attacks: &[T], attack: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(one) = attacks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    attack(one);
                }
            });
        }
    });
}

#[test]
fn every_large_record_flipped_cut_swapped_and_removed() {
    let scene = Scene::new();
    let chunks = chunk_files(&scene.newer);
    assert!(chunks.len() >= 6, "{chunks:?}");
    let seed = seed();
    println!("SAFEOS_SEED={seed}; {} records", chunks.len());
    let mut attacks = Vec::new();
    for at in 0..chunks.len() {
        for kind in ["flip", "cut", "swap", "remove"] {
            attacks.push((at, kind));
        }
    }
    let failures = Mutex::new(BTreeMap::new());
    each(&attacks, |&(at, kind)| {
        let label = format!("{kind}-{at}");
        let chunk = &chunks[at];
        let outcome = scene.attack(&label, |store| {
            let path = store.join(chunk);
            match kind {
                "flip" => flip(&path, Random::new(seed ^ at as u64).below(length(&path))),
                "cut" => {
                    let file = OpenOptions::new().write(true).open(&path).unwrap();
                    file.set_len(length(&path) / 2).unwrap();
                }
                "swap" => {
                    let other = store.join(&chunks[(at + 1) % chunks.len()]);
                    let aside = store.join("aside");
                    fs::rename(&path, &aside).unwrap();
                    fs::rename(&other, &path).unwrap();
                    fs::rename(&aside, &other).unwrap();
                }
                _ => fs::remove_file(&path).unwrap(),
            }
        });
        failures.lock().insert(label, outcome);
    });
    let failures = failures.into_inner();
    let all = scene.now.len();
    let mut seen: BTreeSet<&PathBuf> = BTreeSet::new();
    let mut local = 0;
    for (label, outcome) in &failures {
        match outcome {
            Outcome::Refused(message) => println!("{label}: refused: {message}"),
            Outcome::Opened(failed) => {
                println!("{label}: {} of {all} files unreadable", failed.len());
                seen.extend(failed);
                // One record is at most 4 MiB, so it touches at most a few of the large files.
                let large = failed.iter().filter(|path| path.starts_with("big")).count();
                let swapped = if label.starts_with("swap") { 2 } else { 1 };
                if failed.len() < all && large <= 2 * swapped {
                    local += 1;
                }
            }
        }
    }
    // All but the records of the tree itself, of which there are one or two, leave the other files readable.
    assert!(
        local * 3 >= failures.len() * 2,
        "only {local} of {} attacks stay local",
        failures.len()
    );
    assert!(
        seen.iter().any(|path| path.starts_with("big")),
        "damage was met"
    );
}

/// The small records lie in one file; each of them removed, and that file flipped and cut anywhere.
#[test]
fn every_small_record_removed_and_their_file_damaged() {
    let scene = Scene::new();
    let url = |store: &Path| format!("file://{}", store.display());
    let small: Vec<_> = {
        let store = safeos_store::open(&url(&scene.newer)).unwrap();
        let listed = store.list(None, 10_000).unwrap();
        let small = listed
            .into_iter()
            .filter(|entry| entry.kind == Kind::Chunk && entry.len <= 64 * 1024);
        small.map(|entry| entry.address).collect()
    };
    let records = scene.newer.join("records.redb");
    let len = length(&records);
    let seed = seed();
    println!(
        "SAFEOS_SEED={seed}; {} small records, {len} bytes",
        small.len()
    );
    enum Attack {
        Remove(usize),
        Flip(u64),
        Cut(u64),
    }
    let mut random = Random::new(seed);
    let mut attacks: Vec<Attack> = (0..small.len()).map(Attack::Remove).collect();
    attacks.extend((0..16).map(|_| Attack::Flip(random.below(len))));
    attacks.extend([0, 1, len / 3, len / 2, len - 1].map(Attack::Cut));
    each(&attacks, |attack| match attack {
        Attack::Remove(at) => {
            let outcome = scene.attack(&format!("small-{at}"), |folder| {
                let store = safeos_store::open(&url(folder)).unwrap();
                assert_eq!(store.delete_chunks(&small[*at..=*at]).unwrap(), 1);
            });
            println!("small record {at} removed: {outcome:?}");
        }
        Attack::Flip(at) => {
            let outcome = scene.attack(&format!("bit-{at}"), |store| {
                flip(&store.join("records.redb"), *at)
            });
            println!("bit flipped at {at}: {outcome:?}");
        }
        Attack::Cut(to) => {
            let outcome = scene.attack(&format!("cut-{to}"), |store| {
                let file = OpenOptions::new()
                    .write(true)
                    .open(store.join("records.redb"))
                    .unwrap();
                file.set_len(*to).unwrap();
            });
            println!("cut to {to}: {outcome:?}");
        }
    });
}

/// The pointer of an older day with all newer chunks, and the whole store of an older day, under a
/// computer that has seen newer: an error that says so; with `--accept-older` the older home.
#[test]
fn older_states_are_not_passed_off_as_new() {
    let scene = Scene::new();
    let forgeries: [(&str, Forge<'_>); 2] = [
        ("replay", &|store| {
            let records = "records.redb";
            fs::copy(scene.older.join(records), store.join(records)).unwrap();
        }),
        ("rollback", &|store| {
            fs::remove_dir_all(store).unwrap();
            copy(&scene.older, store);
        }),
    ];
    for (label, forge) in forgeries {
        let store = &scene.witness.store;
        fs::remove_dir_all(store).unwrap();
        copy(&scene.newer, store);
        forge(store);
        let login = scene.witness.try_safe(&["login", NAME]).code(1);
        let said = login.stderr.to_lowercase();
        assert!(said.contains("older"), "{label}: {said}");
        assert!(
            scene.witness.daemon().is_none(),
            "{label}: a daemon is left"
        );
        let fresh = Computer::with_store(&scene.place, label, store);
        match read_all(&fresh, &scene.before, label) {
            Outcome::Opened(failed) => assert!(failed.is_empty(), "{label}: {failed:?}"),
            Outcome::Refused(message) => {
                panic!("{label}: the older state is a whole one: {message}")
            }
        }
        drop_computer(&fresh, label);
    }
    // The person can decide otherwise, after restoring a store from a backup.
    scene.witness.safe(&["login", NAME, "--accept-older"]);
    for (path, bytes) in &scene.before {
        assert!(
            fs::read(scene.witness.home().join(path)).unwrap() == *bytes,
            "{}",
            path.display()
        );
    }
    scene.witness.logout();
}

/// Damage met in the middle of a session, and mended: the file is readable again without another sign-in.
#[test]
fn a_record_that_goes_away_and_comes_back() {
    let scene = Scene::new();
    let computer = Computer::with_store(&scene.place, "live", &scene.newer);
    computer.login();
    let aside = scene.place.path().join("aside");
    fs::rename(scene.newer.join("chunks"), &aside).unwrap();
    let mut failed = Vec::new();
    for (path, bytes) in &scene.now {
        match read_within_limit(&computer.home().join(path), "live") {
            Ok(found) => assert!(found == *bytes, "WRONG BYTES in {}", path.display()),
            Err(e) => {
                assert_eq!(e.raw_os_error(), Some(libc::EIO), "{e}");
                failed.push(path);
            }
        }
    }
    assert!(!failed.is_empty(), "nothing was needed from the store");
    // Operations that do not need the store go on.
    let written = computer.home().join("written meanwhile");
    if let Ok(mut file) = File::create(&written) {
        use std::io::Write;
        file.write_all(b"still working").unwrap();
        file.sync_all().unwrap();
        assert_eq!(fs::read(&written).unwrap(), b"still working");
    }
    let _ = fs::remove_dir_all(scene.newer.join("chunks"));
    fs::rename(&aside, scene.newer.join("chunks")).unwrap();
    for path in failed {
        let found = read_within_limit(&computer.home().join(path), "mended");
        assert!(
            found.is_ok_and(|found| found == scene.now[path]),
            "{} after mending",
            path.display()
        );
    }
    computer.logout();
}
