//! The rows: what is done in every system's folder, and how fast it went.
//!
//! Rows that need each other's files make a group. A group leaves nothing behind, and what it measures does
//! not depend on what other groups did.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::data::{Random, Stream, source_text, source_tree};
use crate::systems::{System, drop_caches, installed, output, run, sync};

/// How a row is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// A rate.
    More,
    /// A time.
    Less,
}

/// One line of the table.
pub struct Row {
    /// Its name for `--only` and in JSON.
    pub id: &'static str,
    /// Its name in the table.
    pub title: &'static str,
    /// The unit of its values.
    pub unit: &'static str,
    /// Whether more or less of it is better.
    pub better: Better,
}

/// A row.
pub const fn row(id: &'static str, title: &'static str, unit: &'static str, better: Better) -> Row {
    Row {
        id,
        title,
        unit,
        better,
    }
}

/// Every row, in the order of the table.
pub const ROWS: [Row; 14] = [
    row(
        "write",
        "sequential write, to the disk",
        "MB/s",
        Better::More,
    ),
    row("read-warm", "sequential read, warm", "MB/s", Better::More),
    row("read-cold", "sequential read, cold", "MB/s", Better::More),
    row(
        "random-read",
        "random 4 KiB read, cold",
        "1/s",
        Better::More,
    ),
    row(
        "random-write",
        "random 4 KiB write, to the disk",
        "1/s",
        Better::More,
    ),
    row("create", "create small files", "1/s", Better::More),
    row("stat", "stat small files", "1/s", Better::More),
    row("read-small", "read small files", "1/s", Better::More),
    row("rename", "rename small files", "1/s", Better::More),
    row("unlink", "unlink small files", "1/s", Better::More),
    row("untar", "untar a source tree", "s", Better::Less),
    row("ls-cold", "ls -lR of it, cold", "s", Better::Less),
    row(
        "git-clone",
        "git clone of a local repository",
        "s",
        Better::Less,
    ),
    row("sqlite", "SQLite, 500 transactions", "s", Better::Less),
];

/// The row called `id`.
#[cfg(test)]
pub fn row_by_id(id: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.id == id)
}

/// How much is done.
#[derive(Clone, Copy)]
pub struct Amount {
    /// Bytes of the large file.
    pub file_bytes: u64,
    /// Reads and writes at random places.
    pub random_operations: u64,
    /// Small files.
    pub small_files: u64,
    /// Entries of the source tree.
    pub tree_entries: u64,
    /// Transactions of SQLite.
    pub transactions: u64,
}

impl Amount {
    /// The rows that have goals.
    pub const FULL: Self = Self {
        file_bytes: 1 << 30,
        random_operations: 4_096,
        small_files: 10_000,
        tree_entries: 9_700,
        transactions: 500,
    };

    /// Enough to see that everything works, and roughly how.
    pub const QUICK: Self = Self {
        file_bytes: 128 << 20,
        random_operations: 1_024,
        small_files: 1_000,
        tree_entries: 1_500,
        transactions: 100,
    };
}

/// The data that is made once and read by every system: a tar and a git repository of the same tree.
pub struct Sources {
    tar: PathBuf,
    repository: Result<PathBuf, String>,
}

impl Sources {
    /// Makes them in `folder` on the bare disk.
    pub fn make(folder: &Path, amount: &Amount) -> Result<Self, String> {
        let tree = folder.join("tree");
        let made = source_tree(&tree, amount.tree_entries, 7)
            .map_err(|e| format!("the source tree: {e}"))?;
        eprintln!(
            "source tree: {} entries, {} MB",
            made.entries,
            made.bytes / 1_000_000
        );
        let tar = folder.join("tree.tar");
        run(Command::new("tar")
            .arg("-cf")
            .arg(&tar)
            .arg("-C")
            .arg(folder)
            .arg("tree"))?;
        Ok(Self {
            tar,
            repository: repository(&tree).map(|()| tree),
        })
    }
}

/// Turns the tree into a repository of a few commits.
pub fn repository(tree: &Path) -> Result<(), String> {
    installed("git")?;
    git(tree, &["init", "-q", "-b", "main"])?;
    git(tree, &["add", "-A"])?;
    git(tree, &["commit", "-q", "-m", "all"])?;
    let mut random = Random::new(11);
    for turn in 0..3 {
        let text = source_text(&mut random, 5_000);
        fs::write(tree.join(format!("new_{turn}.rs")), text).map_err(|e| e.to_string())?;
        git(tree, &["add", "-A"])?;
        git(tree, &["commit", "-q", "-m", "one more"])?;
    }
    git(tree, &["gc", "-q"])
}

fn git(tree: &Path, arguments: &[&str]) -> Result<(), String> {
    run(without_git_settings(&mut Command::new("git"))
        .arg("-C")
        .arg(tree)
        .args([
            "-c",
            "user.name=Bench",
            "-c",
            "user.email=bench@example.org",
            // Git would collect in the background by itself and then be in the way of our own call.
            "-c",
            "maintenance.auto=false",
            "-c",
            "gc.auto=0",
        ])
        .args(arguments))
}

/// Has git work alike for everybody.
pub fn without_git_settings(command: &mut Command) -> &mut Command {
    command
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
}

/// The values of one group on one system, in the order its rows appear in [`ROWS`].
pub type Values = Vec<(&'static str, Result<f64, String>)>;

/// A group: its rows and what measures them.
pub struct Group {
    /// The ids of its rows.
    pub rows: &'static [&'static str],
    run: fn(&mut System, &Sources, &Amount, u64) -> Values,
}

impl Group {
    /// Measures it. `turn` numbers the repeats, so that no repeat writes what an earlier one wrote.
    pub fn measure(
        &self,
        system: &mut System,
        sources: &Sources,
        amount: &Amount,
        turn: u64,
    ) -> Values {
        let mut values = (self.run)(system, sources, amount, turn);
        for id in self.rows {
            if !values.iter().any(|(row, _)| row == id) {
                values.push((id, Err("not reached".into())));
            }
        }
        system.settle();
        values
    }
}

/// Every group.
pub const GROUPS: [Group; 5] = [
    Group {
        rows: &[
            "write",
            "read-warm",
            "read-cold",
            "random-read",
            "random-write",
        ],
        run: large_file,
    },
    Group {
        rows: &["create", "stat", "read-small", "rename", "unlink"],
        run: small_files,
    },
    Group {
        rows: &["untar", "ls-cold"],
        run: tree,
    },
    Group {
        rows: &["git-clone"],
        run: clone,
    },
    Group {
        rows: &["sqlite"],
        run: sqlite,
    },
];

/// Measures one row; the error is kept as its value and ends the group.
fn measured(
    values: &mut Values,
    id: &'static str,
    work: impl FnOnce() -> Result<f64, String>,
) -> Option<()> {
    let value = work();
    let go_on = value.is_ok().then_some(());
    values.push((id, value));
    go_on
}

fn large_file(system: &mut System, _: &Sources, amount: &Amount, turn: u64) -> Values {
    let mut values = Values::new();
    let path = system.root().join("large");
    let _ = large_file_rows(system, &path, amount, turn, &mut values);
    let _ = fs::remove_file(&path);
    values
}

fn large_file_rows(
    system: &mut System,
    path: &Path,
    amount: &Amount,
    turn: u64,
    values: &mut Values,
) -> Option<()> {
    let bytes = amount.file_bytes;
    let mut stream = Stream::new(turn + 1);
    measured(values, "write", || {
        let start = Instant::now();
        let mut file = File::create(path).map_err(text)?;
        let mut left = bytes;
        while left > 0 {
            let part = stream.next(left.min(1 << 20) as usize);
            file.write_all(part).map_err(text)?;
            left -= part.len() as u64;
        }
        onto_disk(&file)?;
        Ok(megabytes(bytes, start))
    })?;
    measured(values, "read-warm", || read_through(path, bytes))?;
    measured(values, "read-cold", || {
        system.make_cold()?;
        read_through(path, bytes)
    })?;
    measured(values, "random-read", || {
        system.make_cold()?;
        let file = File::open(path).map_err(text)?;
        let mut random = Random::new(turn);
        let mut page = [0u8; 4096];
        let start = Instant::now();
        for _ in 0..amount.random_operations {
            let at = random.below(bytes / 4096) * 4096;
            file.read_exact_at(&mut page, at).map_err(text)?;
        }
        Ok(rate(amount.random_operations, start))
    })?;
    measured(values, "random-write", || {
        let file = OpenOptions::new().write(true).open(path).map_err(text)?;
        let mut random = Random::new(turn + 1_000);
        let start = Instant::now();
        for _ in 0..amount.random_operations {
            let at = random.below(bytes / 4096) * 4096;
            file.write_all_at(stream.next(4096), at).map_err(text)?;
        }
        onto_disk(&file)?;
        Ok(rate(amount.random_operations, start))
    })
}

/// Waits until what was written is on the disk: `fsync`, and for a system whose `fsync` does nothing, `sync`.
fn onto_disk(file: &File) -> Result<(), String> {
    file.sync_all().map_err(text)?;
    sync();
    Ok(())
}

fn read_through(path: &Path, bytes: u64) -> Result<f64, String> {
    let mut buffer = vec![0u8; 1 << 20];
    let start = Instant::now();
    let mut file = File::open(path).map_err(text)?;
    let mut read = 0u64;
    loop {
        match file.read(&mut buffer).map_err(text)? {
            0 => break,
            n => read += n as u64,
        }
    }
    let speed = megabytes(bytes, start);
    if read != bytes {
        return Err(format!("read {read} bytes of {bytes}"));
    }
    Ok(speed)
}

const FILES_PER_FOLDER: u64 = 100;

fn small_files(system: &mut System, _: &Sources, amount: &Amount, turn: u64) -> Values {
    let mut values = Values::new();
    let root = system.root().join("small");
    let _ = small_file_rows(&root, amount.small_files, turn, &mut values);
    let _ = fs::remove_dir_all(&root);
    values
}

fn small_file_rows(root: &Path, count: u64, turn: u64, values: &mut Values) -> Option<()> {
    let name = |kind: &str, n: u64| root.join(format!("{}/{kind}{n:06}", n / FILES_PER_FOLDER));
    let mut random = Random::new(turn + 77);
    let mut content = vec![0u8; 1024];
    measured(values, "create", || {
        let start = Instant::now();
        for n in 0..count {
            if n % FILES_PER_FOLDER == 0 {
                let folder = root.join((n / FILES_PER_FOLDER).to_string());
                fs::create_dir_all(folder).map_err(text)?;
            }
            random.fill(&mut content);
            let mut options = OpenOptions::new();
            let mut file = options
                .write(true)
                .create_new(true)
                .open(name("file", n))
                .map_err(text)?;
            file.write_all(&content).map_err(text)?;
        }
        Ok(rate(count, start))
    })?;
    // With names and inodes dropped, the question goes through to the file system.
    drop_caches(2);
    measured(values, "stat", || {
        let start = Instant::now();
        for n in 0..count {
            let meta = fs::symlink_metadata(name("file", n)).map_err(text)?;
            if meta.len() != 1024 {
                return Err(format!("file {n} has {} bytes instead of 1024", meta.len()));
            }
        }
        Ok(rate(count, start))
    })?;
    drop_caches(3);
    measured(values, "read-small", || {
        let start = Instant::now();
        for n in 0..count {
            let mut file = File::open(name("file", n)).map_err(text)?;
            file.read_exact(&mut content).map_err(text)?;
        }
        Ok(rate(count, start))
    })?;
    measured(values, "rename", || {
        let start = Instant::now();
        for n in 0..count {
            fs::rename(name("file", n), name("renamed", n)).map_err(text)?;
        }
        Ok(rate(count, start))
    })?;
    measured(values, "unlink", || {
        let start = Instant::now();
        for n in 0..count {
            fs::remove_file(name("renamed", n)).map_err(text)?;
        }
        Ok(rate(count, start))
    })
}

fn tree(system: &mut System, sources: &Sources, amount: &Amount, _: u64) -> Values {
    let mut values = Values::new();
    let folder = system.root().join("untarred");
    let _ = tree_rows(system, sources, &folder, amount, &mut values);
    let _ = fs::remove_dir_all(&folder);
    values
}

fn tree_rows(
    system: &mut System,
    sources: &Sources,
    folder: &Path,
    amount: &Amount,
    values: &mut Values,
) -> Option<()> {
    measured(values, "untar", || {
        fs::create_dir_all(folder).map_err(text)?;
        let start = Instant::now();
        run(Command::new("tar")
            .arg("-xf")
            .arg(&sources.tar)
            .arg("-C")
            .arg(folder))?;
        Ok(start.elapsed().as_secs_f64())
    })?;
    measured(values, "ls-cold", || {
        system.make_cold()?;
        let start = Instant::now();
        let listed = output(Command::new("ls").env("LC_ALL", "C").arg("-lR").arg(folder))?;
        let seconds = start.elapsed().as_secs_f64();
        if (listed.lines().count() as u64) < amount.tree_entries {
            return Err("entries are missing".into());
        }
        Ok(seconds)
    })
}

fn clone(system: &mut System, sources: &Sources, _: &Amount, _: u64) -> Values {
    let target = system.root().join("cloned");
    let mut values = Values::new();
    measured(&mut values, "git-clone", || {
        let repository = sources.repository.as_ref().map_err(Clone::clone)?;
        let start = Instant::now();
        run(without_git_settings(&mut Command::new("git"))
            .args(["clone", "-q", "--no-hardlinks"])
            .arg(repository)
            .arg(&target))?;
        Ok(start.elapsed().as_secs_f64())
    });
    let _ = fs::remove_dir_all(&target);
    values
}

fn sqlite(system: &mut System, _: &Sources, amount: &Amount, _: u64) -> Values {
    let database = system.root().join("rows.db");
    let mut values = Values::new();
    measured(&mut values, "sqlite", || {
        installed("sqlite3")?;
        let mut script = String::from("CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT);\n");
        for n in 0..amount.transactions {
            script += &format!("INSERT INTO t (text) VALUES ('row {n} of a table');\n");
        }
        script += "SELECT count(*) FROM t;\n";
        let start = Instant::now();
        let mut child = Command::new("sqlite3")
            .arg(&database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(text)?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(script.as_bytes()).map_err(text)?;
        }
        let done = child.wait_with_output().map_err(text)?;
        let seconds = start.elapsed().as_secs_f64();
        let said = String::from_utf8_lossy(&done.stdout).trim().to_owned();
        if said != amount.transactions.to_string() {
            let error = String::from_utf8_lossy(&done.stderr);
            return Err(error.lines().next().unwrap_or("rows are missing").into());
        }
        Ok(seconds)
    });
    let _ = fs::remove_file(&database);
    values
}

fn megabytes(bytes: u64, since: Instant) -> f64 {
    bytes as f64 / 1e6 / since.elapsed().as_secs_f64()
}

fn rate(count: u64, since: Instant) -> f64 {
    count as f64 / since.elapsed().as_secs_f64()
}

fn text(e: std::io::Error) -> String {
    e.to_string()
}
