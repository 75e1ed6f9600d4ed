//! `safe doctor`: one file that can be attached to a report.
//!
//! What always holds here: it contains no name, path, host or secret of a person; a value that may be one of
//! these is left out.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use safeos_control::Request;
use serde_json::{Value, json};

use super::Context;
use crate::conversation::ask;
use crate::failure::{Failure, Result};

/// Where it goes when nothing else is said.
const FILE: &str = "safeos-doctor.txt";
/// Of the log file so much is taken.
const LOG_BYTES_MAX: usize = 256 << 10;

/// Writes what a report needs into a file, or to standard output for `-`.
pub fn doctor(context: &Context, file: Option<&Path>) -> Result<()> {
    let text = report(context);
    let path = file.unwrap_or(Path::new(FILE));
    if path == Path::new("-") {
        return context
            .output
            .answer(&json!({ "report": text }), || text.trim_end().to_owned());
    }
    let write = || {
        let mut out = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .custom_flags(libc::O_NOFOLLOW)
            .mode(0o600)
            .open(path)?;
        out.write_all(text.as_bytes())
    };
    write().map_err(|e: io::Error| {
        Failure::system(format!("{} cannot be written", path.display()), &e)
    })?;
    context.output.answer(&json!({ "file": path }), || {
        format!(
            "written: {}. It holds numbers and SafeOS's own words, no names and no secrets: look at it, and attach it to your report",
            path.display()
        )
    })
}

fn report(context: &Context) -> String {
    let mut text = String::new();
    let mut part = |title: &str, body: &str| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "== {title}\n{}\n", body.trim_end());
    };
    part("safe", &here());
    part("state folder", &state(&context.dirs.state));
    match context.dirs.session() {
        Ok(mount) => match ask(&mount, Request::Doctor, true) {
            Ok(daemon) => {
                let numbers = pretty(&daemon);
                part("daemon", &numbers);
                part("metrics", daemon["metrics"].as_str().unwrap_or_default());
                let lines = daemon["log"].as_array().into_iter().flatten();
                let lines: Vec<&str> = lines.filter_map(Value::as_str).collect();
                part("last events", &lines.join("\n"));
            }
            Err(failure) => part("daemon", &format!("does not answer: {}", failure.code)),
        },
        Err(failure) => part("daemon", &failure.code),
    }
    part("log", &log(&context.dirs.state.join("log")));
    text
}

/// The daemon's numbers, a line each.
fn pretty(daemon: &Value) -> String {
    let fields = daemon.as_object().into_iter().flatten();
    fields
        .filter(|(name, _)| !matches!(name.as_str(), "metrics" | "log"))
        .map(|(name, value)| format!("{name} {value}\n"))
        .collect()
}

/// This program and this computer.
fn here() -> String {
    let mut text = format!(
        "version {}\nsystem {} {}\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH
    );
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    for name in ["ID", "VERSION_ID"] {
        let value = release
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        if let Some(value) = value {
            let _ = writeln!(text, "{} {}", name.to_lowercase(), value.trim_matches('"'));
        }
    }
    if let Ok(kernel) = fs::read_to_string("/proc/sys/kernel/osrelease") {
        let _ = writeln!(text, "kernel {}", kernel.trim());
    }
    if let Ok(memory) = fs::read_to_string("/proc/meminfo") {
        for line in memory.lines().take(3) {
            let _ = writeln!(text, "{line}");
        }
    }
    let _ = writeln!(text, "fuse {}", Path::new("/dev/fuse").exists());
    let _ = writeln!(text, "fusermount3 {}", in_path("fusermount3"));
    // Which are set, without their values.
    for (name, value) in std::env::vars_os() {
        if let Some(name) = name.to_str()
            && OUR_VARIABLES.contains(&name)
            && !value.is_empty()
        {
            let _ = writeln!(text, "{name} is set");
        }
    }
    text
}

const OUR_VARIABLES: &[&str] = &[
    "SAFE_STORE",
    "SAFE_STATE",
    "SAFE_MOUNT",
    "SAFE_LOG",
    "SAFE_TOKEN_FILE",
    "SAFE_CA_FILE",
    "SAFE_WALLET_KEY_FILE",
    "SAFE_SPEND_MAX",
    "SAFE_ALLOW_ROOT",
    "SAFE_PASSWORD_FILE",
];

fn in_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

/// How many files of which kind lie there; their names say nothing either, and are left out all the same.
fn state(dir: &Path) -> String {
    const DEPTH_MAX: usize = 6;
    const ENTRIES_MAX: usize = 100_000;
    const PARTS: &[&str] = &["homes", "accounts", "mounts", "payments", "packs", "stage"];
    let mut text = String::new();
    let mut seen = 0;
    let mut waiting: Vec<(PathBuf, usize, &str)> = vec![(dir.to_owned(), 0, "state")];
    let mut counts = std::collections::BTreeMap::<&str, (u64, u64)>::new();
    while let Some((dir, depth, part)) = waiting.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            seen += 1;
            if seen > ENTRIES_MAX {
                return "too many files to count\n".to_owned();
            }
            let Ok(found) = entry.metadata() else {
                continue;
            };
            let name = entry.file_name();
            let part = PARTS
                .iter()
                .find(|known| name.to_str() == Some(**known))
                .unwrap_or(&part);
            // A mount there is a home.
            if found.is_dir() && depth < DEPTH_MAX && name != "mnt" {
                waiting.push((entry.path(), depth + 1, part));
            } else if found.is_file() {
                let (files, bytes) = counts.entry(part).or_default();
                *files += 1;
                *bytes += found.len();
            }
        }
    }
    for (part, (files, bytes)) in counts {
        let _ = writeln!(text, "{part}: {files} files, {bytes} bytes");
    }
    text
}

/// The end of the log, which holds no names by itself.
fn log(path: &Path) -> String {
    let Ok(bytes) = fs::read(path) else {
        return "none".to_owned();
    };
    let from = bytes.len().saturating_sub(LOG_BYTES_MAX);
    String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).into_owned()
}
