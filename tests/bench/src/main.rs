//! The benchmark: SafeOS, a plain pass-through FUSE mount, gocryptfs, `rclone mount` with a crypt
//! remote and the bare disk, side by side in one run on the same disk.
//!
//! Systems take turns row by row and repeat by repeat, so that whatever else the machine does hits
//! all alike; while one works, the others are idle. What is printed are medians.
//!
//! With `--line` it measures instead what computers get that are far from where everything is stored ([`line`]).

mod chart;
mod computers;
mod data;
mod home;
mod line;
mod mounts;
mod passthrough;
mod proxy;
mod report;
mod rows;
mod serve;
mod systems;

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use serde_json::{Value, json};

use report::Results;
use rows::{Amount, GROUPS, ROWS, Row, Sources};
use systems::System;

/// Measures a SafeOS home beside other file systems.
#[derive(Parser)]
#[command(name = "safeos-bench")]
struct Arguments {
    /// The folder to work in, on the disk to measure; a new folder in it is used and removed. Needs room for a few large files
    #[arg(long, default_value = "target/bench")]
    work: PathBuf,
    /// Where the JSON and the chart go
    #[arg(long, default_value = "target/bench-results")]
    out: PathBuf,
    /// How often each row is measured on each system [default: 3, over a line 1]
    #[arg(long)]
    repeats: Option<u64>,
    /// Measure over a line that is longer and thinner than this computer's own
    #[arg(long, conflicts_with_all = ["big_gib", "many", "no_home", "no_writeback"])]
    line: bool,
    /// Round trips of the line, in ms [default: 0,50,200; with --quick 50]
    #[arg(long, value_delimiter = ',', value_name = "MS", requires = "line", value_parser = clap::value_parser!(u64).range(..=10_000))]
    delay: Vec<u64>,
    /// Rates of the line in each direction, in Mbit/s [default: 20,100,1000; with --quick 100]
    #[arg(long, value_delimiter = ',', value_name = "MBIT", requires = "line", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    rate: Vec<u64>,
    /// How many seconds a row over a line may take
    #[arg(long, default_value_t = 200, value_name = "SECONDS", requires = "line")]
    limit: u64,
    /// Small amounts, once: whether everything works
    #[arg(long)]
    quick: bool,
    /// Only these rows or figures
    #[arg(long, value_delimiter = ',', value_name = "ROW")]
    only: Vec<String>,
    /// Only these systems
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    systems: Vec<String>,
    /// The size of the file in which one byte changes
    #[arg(long, default_value_t = 10)]
    big_gib: u64,
    /// Files in the large home that is opened
    #[arg(long)]
    many: Option<u64>,
    /// Leave out the figures of a home, which take long
    #[arg(long)]
    no_home: bool,
    /// The command `safe` to measure; next to this program when not given
    #[arg(long)]
    safe: Option<PathBuf>,
    /// Mount the pass-through without the kernel's write-back cache
    #[arg(long)]
    no_writeback: bool,
    #[arg(long, hide = true, requires = "at")]
    serve_passthrough: Option<PathBuf>,
    #[arg(long, hide = true)]
    at: Option<PathBuf>,
    #[arg(long, hide = true)]
    clean_up: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let (Some(folder), Some(mount)) = (&arguments.serve_passthrough, &arguments.at) {
        return match passthrough::serve(folder, mount, !arguments.no_writeback) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => {
                eprintln!("passthrough: {e}");
                ExitCode::FAILURE
            }
        };
    }
    if let Some(folder) = &arguments.clean_up {
        mounts::clean_up_folder(folder);
        return ExitCode::from(130);
    }
    let done = if arguments.line {
        line::measure(&arguments)
    } else {
        measure(&arguments)
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("safeos-bench: {e}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<(), String> {
    let wanted = |id: &str| arguments.only.is_empty() || arguments.only.iter().any(|o| o == id);
    let rows: Vec<&str> = ROWS.iter().map(|r| r.id).chain(home::FIGURES).collect();
    known("--only", &arguments.only, &rows)?;
    known("--systems", &arguments.systems, &systems::NAMES)?;
    let names = chosen(&systems::NAMES, &arguments.systems);
    let selected: Vec<&'static Row> = ROWS.iter().filter(|row| wanted(row.id)).collect();
    let repeats = if arguments.quick {
        1
    } else {
        arguments.repeats.unwrap_or(3).max(1)
    };
    let amount = if arguments.quick {
        Amount::QUICK
    } else {
        Amount::FULL
    };
    let safe = find_safe(arguments.safe.as_deref());
    let cold = systems::may_drop_caches();
    if !cold {
        eprintln!(
            "not root: the kernel's caches cannot be dropped, cold rows are only mounted anew"
        );
    }
    let work = make_work(&arguments.work)?;
    mounts::clean_up_on_signal(&work)?;
    let settings = json!({
        "repeats": repeats,
        "quick": arguments.quick,
        "large_file_bytes": amount.file_bytes,
        "small_files": amount.small_files,
        "tree_entries": amount.tree_entries,
        "caches_dropped": cold,
        "passthrough_writeback": !arguments.no_writeback,
        "processors": std::thread::available_parallelism().map_or(0, |n| n.get()),
    });
    let mut results = Results::new(names.clone(), selected, settings);
    let done = (|| {
        if !results.rows.is_empty() {
            compare(
                arguments,
                &names,
                safe.as_deref(),
                &work,
                &amount,
                repeats,
                &mut results,
            )?;
        }
        if !arguments.no_home
            && names.contains(&"safeos")
            && home::FIGURES.iter().any(|f| wanted(f))
        {
            match &safe {
                Some(program) => {
                    let amount = home_amount(arguments, &amount);
                    results.figures = home::measure(program, &work, &amount, wanted);
                }
                None => eprintln!("home figures: `safe` is not built (cargo build --release)"),
            }
        }
        Ok(())
    })();
    mounts::clean_up();
    print!("{}", results.table());
    write_results(&arguments.out, "bench.json", &results.json())?;
    if !results.rows.is_empty() {
        let picture = arguments.out.join("bench.svg");
        fs::write(&picture, chart::svg(&results))
            .map_err(|e| format!("{}: {e}", picture.display()))?;
    }
    done
}

/// Whether everything that was named with `option` is there.
fn known(option: &str, named: &[String], there: &[&str]) -> Result<(), String> {
    match named.iter().find(|name| !there.contains(&name.as_str())) {
        Some(name) => Err(format!("{option} {name}: there are {}", there.join(", "))),
        None => Ok(()),
    }
}

/// Those of `all` that were named, or all of them.
fn chosen(all: &[&'static str], named: &[String]) -> Vec<&'static str> {
    let wanted = |name: &&&'static str| named.is_empty() || named.iter().any(|n| n == *name);
    all.iter().filter(wanted).copied().collect()
}

fn home_amount(arguments: &Arguments, amount: &Amount) -> home::Amount {
    let quick = arguments.quick;
    home::Amount {
        few: 1_000,
        many: arguments
            .many
            .unwrap_or(if quick { 20_000 } else { 1_000_000 }),
        big_bytes: if quick {
            256 << 20
        } else {
            arguments.big_gib.max(1) << 30
        },
        small_files: 10_000,
        tree_entries: amount.tree_entries,
        repeats: 3,
    }
}

fn compare(
    arguments: &Arguments,
    names: &[&'static str],
    safe: Option<&Path>,
    work: &Path,
    amount: &Amount,
    repeats: u64,
    results: &mut Results,
) -> Result<(), String> {
    let sources = work.join("sources");
    fs::create_dir_all(&sources).map_err(|e| format!("{}: {e}", sources.display()))?;
    let sources = Sources::make(&sources, amount)?;
    let mut systems = Vec::new();
    for &name in names {
        let ready = System::prepare(name, work, safe, !arguments.no_writeback).and_then(|mut s| {
            s.mount()?;
            Ok(s)
        });
        match ready {
            Ok(system) => systems.push(system),
            Err(why) => {
                eprintln!("{name}: {why}");
                results.missing.push((name, why));
            }
        }
    }
    for turn in 0..repeats {
        for group in &GROUPS {
            if !group
                .rows
                .iter()
                .any(|id| results.rows.iter().any(|r| r.id == *id))
            {
                continue;
            }
            // Another one begins each time, so that none always works on the quietest disk.
            let first = turn as usize % systems.len().max(1);
            systems.rotate_left(first);
            for system in &mut systems {
                eprintln!(
                    "{} of {repeats}: {}: {}",
                    turn + 1,
                    system.name,
                    group.rows.join(", ")
                );
                for (row, value) in group.measure(system, &sources, amount, turn) {
                    results.add(system.name, row, value);
                }
            }
            systems.rotate_right(first);
        }
    }
    for system in &mut systems {
        if let Err(e) = system.unmount() {
            eprintln!("{}: {e}", system.name);
        }
    }
    Ok(())
}

/// The command to measure: as given, else beside this program.
fn find_safe(given: Option<&Path>) -> Option<PathBuf> {
    if let Some(given) = given {
        return Some(given.to_path_buf());
    }
    let beside = std::env::current_exe().ok()?.parent()?.join("safe");
    beside.is_file().then_some(beside)
}

fn make_work(parent: &Path) -> Result<PathBuf, String> {
    let work = parent.join(format!("run-{}", std::process::id()));
    // Closed to others, as a home's mount point is by default: then the kernel may keep its names.
    fs::create_dir_all(parent)
        .and_then(|()| fs::DirBuilder::new().mode(0o700).create(&work))
        .map_err(|e| format!("{}: {e}", work.display()))?;
    work.canonicalize()
        .map_err(|e| format!("{}: {e}", work.display()))
}

fn write_results(out: &Path, name: &str, results: &Value) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("{}: {e}", out.display());
    fs::create_dir_all(out).map_err(failed)?;
    let text = serde_json::to_string_pretty(results).map_err(|e| e.to_string())?;
    fs::write(out.join(name), text + "\n").map_err(failed)?;
    eprintln!("written: {}", out.join(name).display());
    Ok(())
}
