//! The rows over a line: what a computer gets that is far from where everything is stored.
//!
//! A [`Proxy`] of its own for each row makes the line and counts what passes it. A computer has nothing when a row
//! begins, if the row does not say otherwise. What waits for the line is a program of its own and is ended at the limit.

use std::cell::Cell;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::computers::{self, Computer, Far, Running, git_status, timed};
use crate::data::{Random, Stream, source_tree};
use crate::proxy::{Line, Proxy, RealClock};
use crate::report::Results;
use crate::rows::{Better, Row, repository, row};
use crate::{Arguments, chosen, find_safe, known, make_work, mounts, write_results};

/// Every line of the table.
static ROWS: [Row; 13] = [
    row("sign-in", "sign in on a new computer", "s", Better::Less),
    row("git-status", "git status of a tree", "s", Better::Less),
    row("ls", "ls -lR of all", "s", Better::Less),
    row("read", "read the large file, cold", "s", Better::Less),
    row("read-sent", "… sent for each byte read", "", Better::Less),
    row("first", "first byte of 4 KiB, cold", "s", Better::Less),
    row("first-sent", "… sent until then", "KiB", Better::Less),
    row("busy", "the same during an upload", "s", Better::Less),
    row("busy-sent", "… sent until then", "KiB", Better::Less),
    row("publish", "write and publish as much", "s", Better::Less),
    row("published", "… of it after the write", "s", Better::Less),
    row(
        "seen-write",
        "seen elsewhere after the write",
        "s",
        Better::Less,
    ),
    row(
        "seen-publish",
        "seen elsewhere after the publish",
        "s",
        Better::Less,
    ),
];

/// Small files of 4 KiB, one of which is read.
const SMALL: u64 = 1_024;

struct Amount {
    tree_entries: u64,
    large_bytes: u64,
    upload_bytes: u64,
}

const FULL: Amount = Amount {
    tree_entries: 9_700,
    large_bytes: 50_000_000,
    upload_bytes: 200_000_000,
};

const QUICK: Amount = Amount {
    tree_entries: 1_000,
    large_bytes: 8_000_000,
    upload_bytes: 32_000_000,
};

/// Measures what the arguments ask for, prints the tables and writes `line.json`.
pub fn measure(arguments: &Arguments) -> Result<(), String> {
    let rows: Vec<&str> = ROWS.iter().map(|row| row.id).collect();
    known("--only", &arguments.only, &rows)?;
    known("--systems", &arguments.systems, &computers::NAMES)?;
    let names = chosen(&computers::NAMES, &arguments.systems);
    let quick = arguments.quick;
    let or = |given: &[u64], full: &[u64], small: u64| match given {
        [] if quick => vec![small],
        [] => full.to_vec(),
        given => given.to_vec(),
    };
    let delays = or(&arguments.delay, &[0, 50, 200], 50);
    let rates = or(&arguments.rate, &[20, 100, 1_000], 100);
    let work = make_work(&arguments.work)?;
    mounts::clean_up_on_signal(&work)?;
    let run = Run {
        safe: find_safe(arguments.safe.as_deref()),
        sources: work.join("sources"),
        limit: Duration::from_secs(arguments.limit.max(1)),
        amount: if quick { QUICK } else { FULL },
        files: Cell::new(0),
        work,
    };
    let repeats = arguments.repeats.unwrap_or(1).max(1);
    let rows: Vec<&'static Row> = ROWS
        .iter()
        .filter(|row| arguments.only.is_empty() || arguments.only.iter().any(|o| o == row.id))
        .collect();
    let mut tables = Vec::new();
    let done = run.prepare(&names).map(|(fars, missing)| {
        for (delay, rate) in rates
            .iter()
            .flat_map(|r| delays.iter().map(move |d| (*d, *r)))
        {
            let line = Line {
                round_trip: Duration::from_millis(delay),
                bytes_per_second: rate * 125_000,
            };
            let mut results = Results::new(names.clone(), rows.clone(), Value::Null);
            results.missing.clone_from(&missing);
            let title = format!("{delay} ms there and back, {rate} Mbit/s");
            for _ in 0..repeats {
                run.turn(&fars, line, &title, &mut results);
            }
            println!("\n{title}\n\n{}", results.table());
            let results = results.json();
            tables.push(json!({"round_trip_ms": delay, "mbit_per_s": rate, "results": results}));
        }
    });
    mounts::clean_up();
    let settings = json!({
        "repeats": repeats,
        "quick": quick,
        "tree_entries": run.amount.tree_entries,
        "large_bytes": run.amount.large_bytes,
        "upload_bytes": run.amount.upload_bytes,
        "limit_seconds": run.limit.as_secs(),
        "debug_build": cfg!(debug_assertions),
        "processors": thread::available_parallelism().map_or(0, |n| n.get()),
    });
    let all: Value = json!({"settings": settings, "lines": tables});
    write_results(&arguments.out, "line.json", &all)?;
    done
}

struct Run {
    safe: Option<PathBuf>,
    work: PathBuf,
    sources: PathBuf,
    amount: Amount,
    limit: Duration,
    /// Files made so far, so that none is like another.
    files: Cell<u64>,
}

/// Systems that could not be prepared, and why.
type Missing = Vec<(&'static str, String)>;

/// The measurements of one row, and the rows that come of them.
type Values = Vec<(&'static str, f64)>;

/// Rows that are measured together, and how.
type Group = (
    &'static [&'static str],
    fn(&Run, &Far, &Proxy) -> Result<Values, String>,
);

/// Those that need no folder come last.
const GROUPS: [Group; 8] = [
    (&["sign-in"], Run::sign_in),
    (&["git-status"], Run::git_status),
    (&["ls"], Run::list),
    (&["seen-write"], Run::seen_after_write),
    (&["seen-publish"], Run::seen_after_publish),
    (&["read", "read-sent"], Run::read),
    (&["first", "first-sent"], Run::first),
    (&["busy", "busy-sent"], Run::busy),
];

const PUBLISH: Group = (&["publish", "published"], Run::publish);

impl Run {
    /// Makes the files and the servers that have them.
    fn prepare(&self, names: &[&'static str]) -> Result<(Vec<Far>, Missing), String> {
        self.make_sources()
            .map_err(|e| format!("{}: {e}", self.sources.display()))?;
        repository(&self.sources.join("tree"))?;
        let (mut fars, mut missing) = (Vec::new(), Vec::new());
        for name in names {
            eprintln!("{name}: is filled");
            match Far::prepare(name, &self.work, self.safe.as_deref(), &self.sources) {
                Ok(far) => fars.push(far),
                Err(why) => {
                    eprintln!("{name}: {why}");
                    missing.push((*name, why));
                }
            }
        }
        Ok((fars, missing))
    }

    fn make_sources(&self) -> io::Result<()> {
        let small = self.sources.join("small");
        fs::create_dir_all(&small)?;
        source_tree(&self.sources.join("tree"), self.amount.tree_entries, 7)?;
        let mut random = Random::new(3);
        let mut content = [0; 4096];
        for n in 0..SMALL {
            random.fill(&mut content);
            fs::write(small.join(n.to_string()), content)?;
        }
        self.file(&self.sources.join("large"), self.amount.large_bytes)
    }

    /// A file like no other.
    fn file(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let mut stream = Stream::new(self.files.replace(self.files.get() + 1));
        let mut file = fs::File::create(path)?;
        let mut left = bytes;
        while left > 0 {
            let part = stream.next(1 << 20);
            let part = &part[..part.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
            file.write_all(part)?;
            left -= part.len() as u64;
        }
        Ok(())
    }

    /// Measures every row of `results` once on each system.
    fn turn(&self, fars: &[Far], line: Line, title: &str, results: &mut Results) {
        for (ids, measured) in GROUPS.iter().chain([&PUBLISH]) {
            if !results.rows.iter().any(|row| ids.contains(&row.id)) {
                continue;
            }
            let needs_folder = GROUPS[..5].iter().any(|group| group.0 == *ids);
            for far in fars.iter().filter(|far| far.mounts() || !needs_folder) {
                eprintln!("{title}: {}: {}", far.name, ids[0]);
                let clock = Arc::new(RealClock::new());
                let values = Proxy::start(far.address(), line, clock)
                    .map_err(|e| format!("the proxy: {e}"))
                    .and_then(|proxy| measured(self, far, &proxy));
                match values {
                    Ok(values) => {
                        for (id, value) in values {
                            results.add(far.name, id, Ok(value));
                        }
                    }
                    Err(why) => results.add(far.name, ids[0], Err(why)),
                }
            }
        }
    }

    fn computer<'a>(&self, far: &'a Far, proxy: &Proxy) -> Result<Computer<'a>, String> {
        far.computer(proxy.address(), &self.work.join("computer"), false)
    }

    fn sign_in(&self, far: &Far, proxy: &Proxy) -> Result<Values, String> {
        let start = Instant::now();
        let computer = self.computer(far, proxy)?;
        let entries = fs::read_dir(&computer.root).map_err(text)?.count();
        let took = start.elapsed().as_secs_f64();
        if entries < 3 {
            return Err("files are missing".into());
        }
        Ok(vec![("sign-in", took)])
    }

    fn git_status(&self, far: &Far, proxy: &Proxy) -> Result<Values, String> {
        let computer = self.computer(far, proxy)?;
        let took = timed(&mut git_status(&computer.root.join("tree")), self.limit)?;
        Ok(vec![("git-status", took)])
    }

    fn list(&self, far: &Far, proxy: &Proxy) -> Result<Values, String> {
        let computer = self.computer(far, proxy)?;
        let listed = self.work.join("listed");
        let out = fs::File::create(&listed).map_err(text)?;
        let mut command = Command::new("ls");
        command.env("LC_ALL", "C").arg("-lR").arg(&computer.root);
        let took = timed(command.stdout(out), self.limit)?;
        let lines = fs::read(&listed).map_err(text)?;
        let lines = lines.split(|byte| *byte == b'\n').count() as u64;
        if lines < self.amount.tree_entries + SMALL {
            return Err("entries are missing".into());
        }
        Ok(vec![("ls", took)])
    }

    fn read(&self, far: &Far, proxy: &Proxy) -> Result<Values, String> {
        let computer = self.computer(far, proxy)?;
        let before = proxy.received();
        let took = timed(&mut computer.read("large"), self.limit)?;
        let sent = (proxy.received() - before) as f64;
        Ok(vec![
            ("read", took),
            ("read-sent", sent / self.amount.large_bytes as f64),
        ])
    }

    fn first(&self, far: &Far, proxy: &Proxy) -> Result<Values, String> {
        let computer = self.computer(far, proxy)?;
        let (took, sent) = self.first_byte(&computer, proxy)?;
        Ok(vec![("first", took), ("first-sent", sent)])
    }

    /// The time until a small file is there, and the KiB that the server had sent then.
    fn first_byte(&self, computer: &Computer<'_>, proxy: &Proxy) -> Result<(f64, f64), String> {
        let before = proxy.received();
        let took = timed(&mut computer.read("small/500"), self.limit)?;
        Ok((took, (proxy.received() - before) as f64 / 1024.0))
    }

    fn busy(&self, far: &Far, proxy: &Proxy) -> Result<Values, String> {
        let file = self.work.join("upload");
        let bytes = self.amount.upload_bytes;
        self.file(&file, bytes).map_err(text)?;
        let mut computer = self.computer(far, proxy)?;
        computer.unfinished = true;
        let before = proxy.sent();
        let start = Instant::now();
        let mut uploading = Running::start(&mut computer.write(&file, "upload"))?;
        if let Some(mut publish) = computer.publish() {
            uploading.finish(start, self.limit)?;
            uploading = Running::start(&mut publish)?;
        }
        let start = Instant::now();
        while proxy.sent() - before < 1 << 20 {
            if start.elapsed() > self.limit {
                return Err("the upload does not begin".into());
            }
            thread::sleep(Duration::from_millis(1));
        }
        let (took, sent) = self.first_byte(&computer, proxy)?;
        let over = proxy.sent() - before >= bytes;
        drop(uploading);
        if over {
            return Err("the upload was over before".into());
        }
        Ok(vec![("busy", took), ("busy-sent", sent)])
    }

    fn publish(&self, far: &Far, proxy: &Proxy) -> Result<Values, String> {
        let file = self.work.join("upload");
        self.file(&file, self.amount.large_bytes).map_err(text)?;
        let computer = self.computer(far, proxy)?;
        let name = format!("published-{}", self.files.get());
        let written = timed(&mut computer.write(&file, &name), self.limit)?;
        let published = computer.publish_now(self.limit)?;
        let mut values = vec![("publish", written + published)];
        if far.publishes_later() {
            values.push(("published", published));
        }
        Ok(values)
    }

    fn seen_after_write(&self, far: &Far, proxy: &Proxy) -> Result<Values, String> {
        Ok(vec![("seen-write", self.seen(far, proxy, false)?)])
    }

    fn seen_after_publish(&self, far: &Far, proxy: &Proxy) -> Result<Values, String> {
        Ok(vec![("seen-publish", self.seen(far, proxy, true)?)])
    }

    /// How long until one open computer sees what was written on another.
    fn seen(&self, far: &Far, proxy: &Proxy, publish: bool) -> Result<f64, String> {
        let computer = |name| far.computer(proxy.address(), &self.work.join(name), true);
        let (mine, theirs) = (computer("mine")?, computer("theirs")?);
        let number = self.files.replace(self.files.get() + 1);
        let name = format!("seen-{number}");
        fs::read_dir(&theirs.root).map_err(text)?.for_each(drop);
        fs::write(mine.root.join(&name), number.to_le_bytes()).map_err(text)?;
        let mut start = Instant::now();
        if publish {
            mine.publish_now(self.limit)?;
            start = Instant::now();
        }
        let there = theirs.root.join(&name);
        while fs::read(&there).ok().as_deref() != Some(&number.to_le_bytes()) {
            if start.elapsed() > self.limit {
                return Err(format!("not within {} s", self.limit.as_secs()));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(start.elapsed().as_secs_f64())
    }
}

fn text(e: io::Error) -> String {
    e.to_string()
}
