//! Hours of work: two computers with one home at a gateway write, rename, read and remove files, publish and merge,
//! again and again, and the memory and files of their programs must not grow.
//!
//!     soak MINUTES        (./build.sh soak MINUTES)
//!
//! A line every few seconds has memory, descriptors and threads of each daemon and of the gateway, and the size of the
//! computers' caches. A daemon's memory is what it has from the allocator without what it caches, by its metrics: the
//! caches have limits, which they reach after a while, and the allocator keeps what was given back (32 MiB at most), up
//! to the most that was ever needed at once. At the end both homes are compared with the contents written, byte for byte. It fails if contents
//! differ, or if after a third of the time something goes on growing.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use safeos_cli_tests::Running;
use safeos_suite_tests::{Computer, Random, TestDir, binaries, run_for};

/// Files that a computer writes in a turn.
const FILES: u64 = 22;
/// The files that are left of them afterwards, at most.
const KEPT_MAX: usize = 60;
const FILE_BYTES_MAX: u64 = 200_000;
const SAMPLE_EVERY: Duration = Duration::from_secs(5);
/// An hour then leaves 13 GB in the store, and the caches (4 GiB each) reach their limits after a third of it.
const TURN_EVERY: Duration = Duration::from_millis(600);
/// So much a minute is no growth that would be seen in a month.
const MEMORY_A_MINUTE: f64 = 0.2 * 1048576.0;
/// Memory that goes up and down in any case.
const MEMORY_WAVE: f64 = 6.0 * 1048576.0;
/// What the allocator keeps of what was given back.
const KEPT_MAX_BYTES: f64 = 32.0 * 1048576.0;
/// Thousands of states take a while.
const CHECK_MAX: Duration = Duration::from_secs(3600);
/// Descriptors and threads that come and go.
const COUNT_WAVE: f64 = 12.0;

/// One computer and the expected content of its own folder of the home.
struct Worker {
    computer: Computer,
    folder: &'static str,
    model: BTreeMap<String, Vec<u8>>,
    random: Random,
    number: u64,
}

impl Worker {
    fn turn(&mut self) {
        let folder = self.computer.home().join(self.folder);
        let mut new = Vec::new();
        for _ in 0..FILES {
            self.number += 1;
            let len = self.random.below(FILE_BYTES_MAX) as usize;
            let (name, content) = (format!("file {}", self.number), self.random.bytes(len));
            fs::write(folder.join(&name), &content).unwrap();
            self.model.insert(name.clone(), content);
            new.push(name);
        }
        for name in new.iter().step_by(2) {
            let other = format!("{name}, renamed");
            fs::rename(folder.join(name), folder.join(&other)).unwrap();
            let content = self.model.remove(name).unwrap();
            self.model.insert(other, content);
        }
        self.compare();
        self.computer.sync();
        while self.model.len() > KEPT_MAX {
            let at = self.random.below(self.model.len() as u64) as usize;
            let name = self.model.keys().nth(at).unwrap().clone();
            fs::remove_file(folder.join(&name)).unwrap();
            self.model.remove(&name);
        }
    }

    /// Its own folder, as this computer shows it.
    fn compare(&self) {
        compare(&self.computer.home().join(self.folder), &self.model);
    }
}

fn compare(folder: &Path, model: &BTreeMap<String, Vec<u8>>) {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(
        names.iter().eq(model.keys()),
        "{}: other names",
        folder.display()
    );
    for (name, content) in model {
        let found = fs::read(folder.join(name)).unwrap();
        assert!(
            found == *content,
            "{}/{name}: another content",
            folder.display()
        );
    }
}

/// A process that is watched.
struct Watched {
    name: &'static str,
    pid: i32,
    /// Minutes, bytes of memory, descriptors, threads, resident bytes.
    samples: Vec<[f64; 5]>,
    /// Bytes that the last sample's memory leaves out.
    cached: f64,
}

impl Watched {
    fn new(name: &'static str, pid: i32) -> Self {
        Self {
            name,
            pid,
            samples: Vec::new(),
            cached: 0.0,
        }
    }

    /// `inside`: for a daemon, the bytes that it has from the allocator and those that it caches.
    fn sample(&mut self, minutes: f64, inside: Option<[f64; 2]>) {
        let folder = format!("/proc/{}", self.pid);
        let count = |name: &str| fs::read_dir(format!("{folder}/{name}")).unwrap().count() as f64;
        let status = fs::read_to_string(format!("{folder}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.unwrap().trim().strip_suffix("kB").unwrap().trim();
        let resident = kibibytes.parse::<f64>().unwrap() * 1024.0;
        let [allocated, cached] = inside.unwrap_or([resident, 0.0]);
        let (files, threads) = (count("fd"), count("task"));
        self.samples
            .push([minutes, allocated - cached, files, threads, resident]);
        self.cached = cached;
    }

    fn line(&self) -> String {
        let [_, memory, files, threads, resident] = self.samples.last().unwrap();
        format!(
            "{} {:.1} MiB + {:.1} cached ({:.1} resident), {files} files, {threads} threads",
            self.name,
            memory / 1048576.0,
            self.cached / 1048576.0,
            resident / 1048576.0
        )
    }

    /// The counts that go on growing after the first third; how much memory a minute.
    fn judge(&self) -> (f64, Vec<String>) {
        let late = &self.samples[self.samples.len() / 3..];
        let minutes = late.last().unwrap()[0] - late[0][0];
        let memory = slope(late, 1);
        let mut grows = Vec::new();
        if memory > MEMORY_A_MINUTE && memory * minutes > MEMORY_WAVE {
            grows.push(format!(
                "{}: memory grows by {:.2} MiB a minute",
                self.name,
                memory / 1048576.0
            ));
        }
        for (at, what, wave) in [
            (2, "descriptors", COUNT_WAVE),
            (3, "threads", COUNT_WAVE),
            (4, "resident memory", KEPT_MAX_BYTES),
        ] {
            if slope(late, at) * minutes > wave {
                grows.push(format!("{}: {what} grow", self.name));
            }
        }
        (memory, grows)
    }
}

/// By which straight line it goes up, a minute.
fn slope(samples: &[[f64; 5]], at: usize) -> f64 {
    let count = samples.len() as f64;
    let mean = |at: usize| samples.iter().map(|sample| sample[at]).sum::<f64>() / count;
    let (x, y) = (mean(0), mean(at));
    let above: f64 = samples.iter().map(|s| (s[0] - x) * (s[at] - y)).sum();
    let below: f64 = samples.iter().map(|s| (s[0] - x).powi(2)).sum();
    if below > 0.0 { above / below } else { 0.0 }
}

/// Bytes that a computer's daemon has from the allocator, and those of them that it caches.
fn inside(worker: &Worker) -> [f64; 2] {
    let metrics = worker.computer.safe(&["status", "--metrics"]).stdout;
    ["allocated", "cached"].map(|what| {
        let name = format!("safeos_daemon_{what}_bytes ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
        line.unwrap().parse().unwrap()
    })
}

fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => size(&entry.path()),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}

fn main() -> ExitCode {
    let minutes: f64 = match std::env::args().nth(1).map(|text| text.parse()) {
        Some(Ok(minutes)) if minutes > 0.0 => minutes,
        _ => {
            eprintln!("usage: soak MINUTES");
            return ExitCode::from(2);
        }
    };
    let place = TestDir::new();
    let store = format!("file://{}", place.folder("store").display());
    let mut command = Command::new(binaries::safe());
    command
        .args([
            "--json",
            "store",
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--store",
            &store,
        ])
        .args(["--rate", "0"])
        .env("SAFE_STATE", place.folder("gateway.state"));
    let mut gateway = Running::start(&mut command);
    gateway.until("\"ready\"");
    let ready: serde_json::Value =
        serde_json::from_str(gateway.seen().lines().next().unwrap()).unwrap();
    let url = ready["url"].as_str().unwrap();
    let mut workers: Vec<Worker> = ["first", "second"]
        .into_iter()
        .enumerate()
        .map(|(number, folder)| Worker {
            computer: Computer::with_url(&place, folder, url),
            folder,
            model: BTreeMap::new(),
            random: Random::new(number as u64 + 1),
            number: 0,
        })
        .collect();
    workers[0].computer.sign_up();
    let mut watched = vec![Watched::new("gateway", gateway.pid())];
    for worker in &workers {
        worker.computer.login();
        fs::create_dir(worker.computer.home().join(worker.folder)).unwrap();
        watched.push(Watched::new(
            worker.folder,
            worker.computer.daemon().unwrap(),
        ));
    }
    let start = Instant::now();
    let (mut turns, mut sampled) = (0_u64, Duration::ZERO);
    let length = Duration::from_secs_f64(minutes * 60.0);
    while start.elapsed() < length {
        let turn_began = Instant::now();
        for worker in &mut workers {
            worker.turn();
        }
        turns += 1;
        if start.elapsed() >= sampled {
            sampled = start.elapsed() + SAMPLE_EVERY;
            let minutes = start.elapsed().as_secs_f64() / 60.0;
            let mut line = format!("{minutes:6.2} min, {turns} turns");
            for watched in &mut watched {
                let worker = workers.iter().find(|worker| worker.folder == watched.name);
                watched.sample(minutes, worker.map(inside));
                line.push_str(&format!("; {}", watched.line()));
            }
            let cache: u64 = workers.iter().map(|w| size(&w.computer.state)).sum();
            println!("{line}; caches {:.1} MiB", cache as f64 / 1048576.0);
        }
        std::thread::sleep(TURN_EVERY.saturating_sub(turn_began.elapsed()));
    }
    // Each has the other's work then.
    for worker in workers.iter().chain(&workers) {
        worker.computer.sync();
    }
    for shown in &workers {
        for worker in &workers {
            compare(&shown.computer.home().join(worker.folder), &worker.model);
        }
        // It reads every state that was published.
        let mut check = shown.computer.command();
        run_for(check.args(["store", "check"]), CHECK_MAX).ok();
    }
    println!("contents: the same on both computers, and as they were written");
    let mut grows = Vec::new();
    for watched in &watched {
        let (memory, found) = watched.judge();
        println!("{}: {:+.3} MiB a minute", watched.name, memory / 1048576.0);
        grows.extend(found);
    }
    for worker in &workers {
        worker.computer.logout();
    }
    gateway.signal(libc::SIGTERM);
    let (code, _) = gateway.end();
    assert_eq!(code, Some(0));
    for what in &grows {
        println!("GROWS: {what}");
    }
    ExitCode::from(u8::from(!grows.is_empty()))
}
