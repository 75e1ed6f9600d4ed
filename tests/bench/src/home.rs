//! Figures of a home itself: what opening it costs whatever its size, and how little a change publishes.
//!
//! They have goals instead of competitors. What is published is read from the store itself
//! (`safe store stats`), before and after.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use crate::data::{Random, Stream, source_tree};
use crate::mounts;
use crate::report::Figure;
use crate::systems::{SafeOs, drop_caches, run};

/// The figures, as `--only` calls them.
pub const FIGURES: [&str; 4] = ["open", "one-byte", "many-small", "second-copy"];

/// How much is done.
pub struct Amount {
    /// Files in the small home.
    pub few: u64,
    /// Files in the large home.
    pub many: u64,
    /// Bytes of the file that changes by one byte.
    pub big_bytes: u64,
    /// Small files published at once.
    pub small_files: u64,
    /// Entries of the tree that is copied.
    pub tree_entries: u64,
    /// Sign-ins of which the median counts.
    pub repeats: usize,
}

/// Measures those of [`FIGURES`] that `wanted` allows, each in an account of its own.
pub fn measure(
    program: &Path,
    work: &Path,
    amount: &Amount,
    wanted: impl Fn(&str) -> bool,
) -> Vec<Figure> {
    let mut figures = Vec::new();
    let measures: [(&str, Measure); 4] = [
        ("open", open),
        ("one-byte", one_byte),
        ("many-small", many_small),
        ("second-copy", second_copy),
    ];
    for (id, figure) in measures {
        if !wanted(id) {
            continue;
        }
        eprintln!("home: {id}");
        let home = Home::new(program, &work.join(format!("home-{id}")));
        let done = home.and_then(|home| {
            let done = figure(&home, amount, &mut figures);
            home.remove();
            done
        });
        if let Err(error) = done {
            figures.push(Figure {
                id,
                title: id.to_owned(),
                value: Err(error),
                unit: "",
                goal: String::new(),
                met: None,
            });
        }
    }
    figures
}

/// Measures one of [`FIGURES`] and pushes what came out.
type Measure = fn(&Home, &Amount, &mut Vec<Figure>) -> Result<(), String>;

/// Accounts on one store in a folder, with a place to mount them.
struct Home {
    safe: SafeOs,
    mount: PathBuf,
}

impl Home {
    fn new(program: &Path, folder: &Path) -> Result<Self, String> {
        let safe = SafeOs::new(program.to_path_buf(), folder.to_path_buf())?;
        let mount = folder.join("mount");
        mounts::remember(&mount);
        Ok(Self { safe, mount })
    }

    fn root(&self) -> PathBuf {
        self.mount.join("home")
    }

    fn login(&self, account: &str) -> Result<(), String> {
        self.safe.login(account, &self.mount)
    }

    fn logout(&self) -> Result<(), String> {
        self.safe.logout(&self.mount)
    }

    /// Publishes and says what the store holds then: records, bytes.
    fn published(&self) -> Result<(f64, f64), String> {
        self.safe.json(&self.mount, &["sync"])?;
        let stats = self.safe.json(&self.mount, &["store", "stats"])?;
        let field = |name: &str| {
            stats
                .get(name)
                .and_then(Value::as_f64)
                .ok_or_else(|| format!("`safe store stats --json` has no {name}: {stats}"))
        };
        Ok((field("chunks")? + field("pointers")?, field("bytes")?))
    }

    /// Fills the signed-in home with `count` files in folders of 1,000.
    fn fill(&self, count: u64) -> Result<(), String> {
        for n in 0..count {
            let folder = self.root().join(format!("folder_{}", n / 1000));
            if n % 1000 == 0 {
                fs::create_dir_all(&folder).map_err(text)?;
                if n % 100_000 == 0 && n > 0 {
                    eprintln!("  {n} of {count} files");
                }
            }
            fs::write(folder.join(format!("file_{n}")), n.to_le_bytes()).map_err(text)?;
        }
        Ok(())
    }

    fn remove(&self) {
        if mounts::is_mounted(&self.mount) {
            let _ = self.logout();
            let _ = mounts::unmount(&self.mount);
        }
        mounts::forget(&self.mount);
        let _ = fs::remove_dir_all(&self.safe.folder);
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Opening a home of few files and one of many: time and memory.
///
/// The key derivation takes the same for every home and hides everything else; so the time of
/// signing in to an empty home is taken away. What remains is what the home's size costs.
fn open(home: &Home, amount: &Amount, figures: &mut Vec<Figure>) -> Result<(), String> {
    let sizes = [("empty", 0), ("few", amount.few), ("many", amount.many)];
    for (account, count) in sizes {
        home.safe.sign_up(account)?;
        home.login(account)?;
        home.fill(count)?;
        home.logout()?;
    }
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); sizes.len()];
    let mut lists: Vec<Vec<f64>> = vec![Vec::new(); sizes.len()];
    let mut memory = 0;
    for _ in 0..amount.repeats.max(3) {
        for (at, (account, _)) in sizes.iter().enumerate() {
            drop_caches(3);
            let start = Instant::now();
            home.login(account)?;
            times[at].push(start.elapsed().as_secs_f64());
            let start = Instant::now();
            let entries = fs::read_dir(home.root()).map_err(text)?.count() as u64;
            lists[at].push(start.elapsed().as_secs_f64());
            let expected = sizes[at].1.div_ceil(1000);
            if entries < expected {
                return Err(format!("{entries} folders where {expected} were made"));
            }
            if *account == "many" {
                memory = memory.max(home.safe.memory().unwrap_or(0));
            }
            home.logout()?;
        }
    }
    let [empty, few, many] = [median(&times[0]), median(&times[1]), median(&times[2])];
    let compared = many / few;
    push(
        figures,
        "open-few",
        format!("sign in to {} files", amount.few),
        few,
        "s",
        "",
        None,
    );
    push(
        figures,
        "open-many",
        format!("sign in to {} files", amount.many),
        many,
        "s",
        "",
        None,
    );
    push(
        figures,
        "open-ratio",
        "the one against the other".into(),
        compared,
        "",
        "at most 1.2",
        Some(compared <= 1.2),
    );
    push(
        figures,
        "open-extra",
        format!("what {} files add to signing in", amount.many),
        (many - empty) * 1e3,
        "ms",
        "",
        None,
    );
    push(
        figures,
        "ls-few",
        format!("first ls of {} files", amount.few),
        median(&lists[1]) * 1e3,
        "ms",
        "",
        None,
    );
    push(
        figures,
        "ls-many",
        format!("first ls of {} files", amount.many),
        median(&lists[2]) * 1e3,
        "ms",
        "",
        None,
    );
    if memory > 0 {
        // The key derivation's own memory is given back before the home is opened.
        let memory = memory as f64 / f64::from(1 << 20);
        push(
            figures,
            "open-memory",
            format!("memory with {} files open and listed", amount.many),
            memory,
            "MiB",
            "under 150",
            Some(memory < 150.0),
        );
    }
    Ok(())
}

/// A byte in the middle of a large file changes: how many bytes the store grows by.
fn one_byte(home: &Home, amount: &Amount, figures: &mut Vec<Figure>) -> Result<(), String> {
    home.safe.sign_up("bytes")?;
    home.login("bytes")?;
    let path = home.root().join("large");
    let mut file = fs::File::create(&path).map_err(text)?;
    let mut stream = Stream::new(5);
    let mut left = amount.big_bytes;
    while left > 0 {
        let part = stream.next(left.min(1 << 20) as usize);
        file.write_all(part).map_err(text)?;
        left = left.saturating_sub(part.len() as u64);
    }
    file.sync_all().map_err(text)?;
    drop(file);
    let (_, before) = home.published()?;
    let file = OpenOptions::new().write(true).open(&path).map_err(text)?;
    file.write_all_at(b"!", amount.big_bytes / 2 + 1)
        .map_err(text)?;
    file.sync_all().map_err(text)?;
    drop(file);
    let (_, after) = home.published()?;
    let grown = (after - before) / 1024.0;
    push(
        figures,
        "one-byte",
        format!(
            "one byte changed in {:.1} GiB publishes",
            gib(amount.big_bytes)
        ),
        grown,
        "KiB",
        "under 1,024",
        Some(grown > 0.0 && grown < 1024.0),
    );
    home.logout()
}

/// Many files of 1 KiB at once: how many records the store grows by.
fn many_small(home: &Home, amount: &Amount, figures: &mut Vec<Figure>) -> Result<(), String> {
    home.safe.sign_up("small")?;
    home.login("small")?;
    let (before, _) = home.published()?;
    let mut random = Random::new(3);
    let mut content = [0u8; 1024];
    let folder = home.root().join("many");
    fs::create_dir(&folder).map_err(text)?;
    for n in 0..amount.small_files {
        random.fill(&mut content);
        fs::write(folder.join(format!("file_{n}")), content).map_err(text)?;
    }
    let (after, _) = home.published()?;
    let records = after - before;
    push(
        figures,
        "many-small",
        format!("{} files of 1 KiB publish as", amount.small_files),
        records,
        "records",
        "at most 8",
        Some(records > 0.0 && records <= 8.0),
    );
    home.logout()
}

/// A second copy of a tree: what share of the first one's bytes the store grows by.
fn second_copy(home: &Home, amount: &Amount, figures: &mut Vec<Figure>) -> Result<(), String> {
    home.safe.sign_up("copy")?;
    home.login("copy")?;
    let (first, second) = (home.root().join("first"), home.root().join("second"));
    let made = source_tree(&first, amount.tree_entries, 21).map_err(text)?;
    let (_, before) = home.published()?;
    run(Command::new("cp").arg("-a").arg(&first).arg(&second))?;
    let (_, after) = home.published()?;
    let share = (after - before) / made.bytes as f64 * 100.0;
    push(
        figures,
        "second-copy",
        format!("a second copy of {} MB publishes", made.bytes / 1_000_000),
        share,
        "%",
        "under 2",
        Some(share < 2.0),
    );
    home.logout()
}

fn push(
    figures: &mut Vec<Figure>,
    id: &'static str,
    title: String,
    value: f64,
    unit: &'static str,
    goal: &str,
    met: Option<bool>,
) {
    figures.push(Figure {
        id,
        title,
        value: Ok(value),
        unit,
        goal: goal.to_owned(),
        met,
    });
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

fn text(e: std::io::Error) -> String {
    e.to_string()
}
