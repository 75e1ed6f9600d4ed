//! The daemon is killed at random moments under load; after each time the next sign-in replays
//! the stage, and every byte that `fsync` returned for is there.
//!
//! `SAFEOS_KILLS` says how often (30 when not set), `SAFEOS_SEED` repeats a run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use safeos_suite_tests::random::seed;
use safeos_suite_tests::tools::has;
use safeos_suite_tests::{Computer, Random, TestDir, run_for};

fn kills() -> u64 {
    std::env::var("SAFEOS_KILLS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(30)
}

/// Files that are replaced as editors do it: written beside, fsynced, renamed, the folder fsynced.
/// Each name has the versions that may be found after a kill: the newest that was made safe, and those begun since.
#[derive(Default)]
struct Replaced {
    possible: HashMap<String, Vec<Option<Vec<u8>>>>,
}

impl Replaced {
    fn work(&mut self, folder: &Path, random: &mut Random, stop: &AtomicBool) -> io::Result<()> {
        while !stop.load(Ordering::Relaxed) {
            let name = format!("replaced-{}", random.below(12));
            let versions = self
                .possible
                .entry(name.clone())
                .or_insert_with(|| vec![None]);
            if random.below(8) == 0 {
                versions.push(None);
                match fs::remove_file(folder.join(&name)) {
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    done => done?,
                }
            } else {
                let limit = if random.below(20) == 0 {
                    3_000_000
                } else {
                    40_000
                };
                let len = random.below(limit);
                let content = random.bytes(len as usize);
                let beside = folder.join(format!("{name}.new"));
                let mut file = File::create(&beside)?;
                file.write_all(&content)?;
                file.sync_all()?;
                versions.push(Some(content));
                fs::rename(&beside, folder.join(&name))?;
            }
            File::open(folder)?.sync_all()?;
            let newest = versions.pop().unwrap();
            *versions = vec![newest];
        }
        Ok(())
    }

    fn check(&mut self, folder: &Path) {
        for (name, versions) in &mut self.possible {
            let found = match fs::read(folder.join(name)) {
                Ok(content) => Some(content),
                Err(e) if e.kind() == io::ErrorKind::NotFound => None,
                Err(e) => panic!("{name}: {e}"),
            };
            assert!(
                versions.contains(&found),
                "{name}: found {:?} bytes, expected one of {:?}",
                found.map(|f| f.len()),
                versions
                    .iter()
                    .map(|v| v.as_ref().map(Vec::len))
                    .collect::<Vec<_>>()
            );
            *versions = vec![found];
        }
    }
}

/// A file that only grows, one fsynced line after the other.
#[derive(Default)]
struct Log {
    written: Vec<u8>,
    safe: usize,
}

impl Log {
    fn work(&mut self, folder: &Path, random: &mut Random, stop: &AtomicBool) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(folder.join("log"))?;
        while !stop.load(Ordering::Relaxed) {
            let line = format!(
                "{} {}\n",
                self.written.len(),
                "x".repeat(random.below(3_000) as usize)
            );
            self.written.extend_from_slice(line.as_bytes());
            file.write_all(line.as_bytes())?;
            if random.below(3) == 0 {
                file.sync_data()?;
                self.safe = self.written.len();
            }
        }
        Ok(())
    }

    fn check(&mut self, folder: &Path) {
        let found = match fs::read(folder.join("log")) {
            Ok(found) => found,
            Err(e) if e.kind() == io::ErrorKind::NotFound && self.safe == 0 => Vec::new(),
            Err(e) => panic!("log: {e}"),
        };
        assert!(
            found.len() >= self.safe,
            "the log has {} bytes, {} were fsynced",
            found.len(),
            self.safe
        );
        assert!(
            found.len() <= self.written.len(),
            "the log is longer than what was written"
        );
        assert!(
            found[..self.safe] == self.written[..self.safe],
            "fsynced lines changed"
        );
        // Data that was not fsynced may be there in part. The next round goes on from what is there.
        self.safe = found.len();
        self.written = found;
    }
}

const PAGES: usize = 512;
const PAGE: usize = 4096;

/// A file overwritten in place, page by page, as a database does.
struct Pages {
    safe: Vec<u64>,
    begun: Vec<u64>,
    made: bool,
}

impl Pages {
    fn new() -> Self {
        Self {
            safe: vec![0; PAGES],
            begun: vec![0; PAGES],
            made: false,
        }
    }

    fn page(at: usize, version: u64) -> Vec<u8> {
        if version == 0 {
            return vec![0; PAGE];
        }
        Random::new(version << 16 | at as u64).bytes(PAGE)
    }

    fn work(&mut self, folder: &Path, random: &mut Random, stop: &AtomicBool) -> io::Result<()> {
        let path = folder.join("pages");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        if !self.made {
            file.set_len((PAGES * PAGE) as u64)?;
            file.sync_all()?;
            self.made = true;
        }
        while !stop.load(Ordering::Relaxed) {
            for _ in 0..random.below(30) {
                let at = random.below(PAGES as u64) as usize;
                let version = self.begun[at] + 1;
                self.begun[at] = version;
                file.write_all_at(&Self::page(at, version), (at * PAGE) as u64)?;
            }
            file.sync_data()?;
            self.safe.copy_from_slice(&self.begun);
        }
        Ok(())
    }

    fn check(&mut self, folder: &Path) {
        if !self.made {
            let _ = fs::remove_file(folder.join("pages"));
            return;
        }
        let found = fs::read(folder.join("pages")).unwrap();
        assert_eq!(found.len(), PAGES * PAGE, "the length was fsynced");
        for at in 0..PAGES {
            let page = &found[at * PAGE..(at + 1) * PAGE];
            let version = (self.safe[at]..=self.begun[at]).find(|v| Self::page(at, *v) == page);
            let version = version.unwrap_or_else(|| {
                panic!(
                    "page {at} is neither what was fsynced ({}) nor newer",
                    self.safe[at]
                )
            });
            self.safe[at] = version;
            self.begun[at] = version;
        }
    }
}

/// The error of the kill itself in a program that is writing.
fn killed(result: io::Result<()>) {
    if let Err(e) = result {
        let expected = [libc::ENOTCONN, libc::ECONNABORTED, libc::EIO, libc::ENODEV];
        assert!(
            e.raw_os_error()
                .is_some_and(|code| expected.contains(&code)),
            "not by the kill: {e}"
        );
    }
}

fn folder(computer: &Computer, name: &str) -> PathBuf {
    let folder = computer.home().join(name);
    fs::create_dir_all(&folder).unwrap();
    File::open(computer.home()).unwrap().sync_all().unwrap();
    folder
}

#[test]
fn every_fsynced_byte_survives_kills_at_random_moments() {
    let seed = seed();
    let kills = kills();
    println!("SAFEOS_SEED={seed} SAFEOS_KILLS={kills}");
    let mut random = Random::new(seed);
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    let (mut replaced, mut log, mut pages) = (Replaced::default(), Log::default(), Pages::new());
    for kill in 0..kills {
        let folders = ["replaced", "log", "pages"].map(|name| folder(&computer, name));
        let stop = AtomicBool::new(false);
        let mut seeds = [0; 3].map(|_| Random::new(random.number()));
        std::thread::scope(|scope| {
            let [one, two, three] = &mut seeds;
            let (replaced, log, pages) = (&mut replaced, &mut log, &mut pages);
            let stop = &stop;
            let workers = [
                scope.spawn(|| replaced.work(&folders[0], one, stop)),
                scope.spawn(|| log.work(&folders[1], two, stop)),
                scope.spawn(|| pages.work(&folders[2], three, stop)),
            ];
            // Some die while they publish.
            let publish = (random.below(3) == 0).then(|| publish_in_background(&computer));
            std::thread::sleep(Duration::from_micros(random.below(700_000)));
            computer.kill();
            stop.store(true, Ordering::Relaxed);
            for worker in workers {
                killed(worker.join().unwrap());
            }
            if let Some(mut publish) = publish {
                let _ = publish.wait();
            }
        });
        computer.login();
        replaced.check(&folders[0]);
        log.check(&folders[1]);
        pages.check(&folders[2]);
        // Some die again at once, while what was replayed is not published yet.
        if random.below(4) == 0 {
            computer.kill();
            computer.login();
            replaced.check(&folders[0]);
            log.check(&folders[1]);
            pages.check(&folders[2]);
        }
        if kill % 10 == 9 {
            computer.check();
        }
        let leftover: Vec<String> = problems(&computer);
        assert!(leftover.is_empty(), "after kill {kill}: {leftover:?}");
    }
    computer.check();
    computer.logout();
    // Published, it is also what another computer finds.
    let second = Computer::new(&place, "second");
    second.login();
    let home = second.home();
    replaced.check(&home.join("replaced"));
    log.check(&home.join("log"));
    pages.check(&home.join("pages"));
    second.logout();
}

fn publish_in_background(computer: &Computer) -> std::process::Child {
    let mut command = computer.command();
    command
        .arg("sync")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().unwrap()
}

fn problems(computer: &Computer) -> Vec<String> {
    let status = computer.json(&["status"]);
    let problems = status.get("problems").and_then(|p| p.as_array());
    problems
        .into_iter()
        .flatten()
        .map(ToString::to_string)
        .collect()
}

/// SQLite's promise rests on ours: commits that it reported are there after a kill, and the database is whole.
#[test]
fn committed_transactions_of_sqlite_survive_a_kill() {
    if !has("sqlite3", "the test of SQLite under kills") {
        return;
    }
    let seed = seed();
    println!("SAFEOS_SEED={seed}");
    let mut random = Random::new(seed);
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    let database = computer.home().join("rows.db");
    let ask = |question: &str| -> String {
        let mut sqlite = Command::new("sqlite3");
        sqlite.arg(&database).arg(question);
        run_for(&mut sqlite, Duration::from_secs(30))
            .ok()
            .stdout
            .trim()
            .to_owned()
    };
    ask("PRAGMA journal_mode=WAL; CREATE TABLE t (n INTEGER PRIMARY KEY);");
    for _ in 0..(kills() / 6).max(3) {
        let before: u64 = ask("SELECT coalesce(max(n), 0) FROM t").parse().unwrap();
        let said = place.path().join("said");
        // One line of output after each commit: outside the home, it is the journal of the promises.
        let mut sqlite = Command::new("stdbuf")
            .args(["-oL", "sqlite3"])
            .arg(&database)
            .stdin(Stdio::piped())
            .stdout(File::create(&said).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = sqlite.stdin.take().unwrap();
        let feed = std::thread::spawn(move || {
            let _ = input.write_all(b"PRAGMA synchronous=FULL;\n.bail on\n");
            for n in before + 1..before + 100_000 {
                let line = format!("INSERT INTO t VALUES ({n}); SELECT {n};\n");
                if input.write_all(line.as_bytes()).is_err() {
                    return;
                }
            }
        });
        std::thread::sleep(Duration::from_millis(50 + random.below(400)));
        computer.kill();
        let _ = sqlite.kill();
        let _ = sqlite.wait();
        feed.join().unwrap();
        let text = fs::read_to_string(&said).unwrap();
        // The last line may have been cut off in the middle.
        let promised = text.rfind('\n').map_or(before, |end| {
            text[..end].rsplit('\n').next().unwrap().parse().unwrap()
        });
        computer.login();
        assert_eq!(ask("PRAGMA integrity_check"), "ok");
        let found: u64 = ask("SELECT coalesce(max(n), 0) FROM t").parse().unwrap();
        let count: u64 = ask("SELECT count(*) FROM t").parse().unwrap();
        assert!(
            found >= promised,
            "row {promised} was committed, the last one is {found}"
        );
        assert_eq!(count, found, "rows are missing in between");
    }
    computer.logout();
}
