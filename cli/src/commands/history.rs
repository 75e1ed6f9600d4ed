//! History: published states, and bringing things back from them.

use std::path::Path;

use safeos_control::{Log, PathText, Request, Restore};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Context;
use crate::conversation::{ask, ask_for};
use crate::failure::{Failure, Result};
use crate::output::bytes;
use crate::paths;

#[derive(Debug, Deserialize)]
struct Answer {
    snapshots: Vec<Snapshot>,
}

#[derive(Debug, Deserialize)]
struct Snapshot {
    name: String,
    #[serde(default)]
    computer: String,
    #[serde(default)]
    added_bytes: u64,
}

/// `safe log`
pub fn log(context: &Context, limit: Option<usize>) -> Result<()> {
    let mount = context.dirs.session()?;
    let request = Request::Log(Log {
        limit: limit.map(|limit| limit as u64),
    });
    let (answer, mut value) = ask_for::<Answer>(&mount, request, context.output.json)?;
    if let Some(list) = value.get_mut("snapshots").and_then(Value::as_array_mut) {
        list.reverse();
    }
    context.output.answer(&value, || {
        let lines = answer.snapshots.iter().rev().map(|snapshot| {
            format!(
                "{}  {:>10}  {}",
                snapshot.name,
                bytes(snapshot.added_bytes),
                crate::failure::one_line(&snapshot.computer)
            )
        });
        lines.collect::<Vec<_>>().join("\n")
    })
}

/// `safe restore`
pub fn restore(
    context: &Context,
    snapshot: &str,
    path: &Path,
    to: Option<&Path>,
    replace: bool,
) -> Result<()> {
    let mount = context.dirs.session()?;
    let json = context.output.json;
    let path = paths::in_home(&mount, path)?;
    let to = to.map(|to| paths::in_home(&mount, to)).transpose()?;
    let (all, _) = ask_for::<Answer>(&mount, Request::Log(Log::default()), json)?;
    let names = all.snapshots.iter().map(|one| one.name.as_str());
    let snapshot = choose(names, snapshot)?.to_owned();
    let shown = |path: &PathText| String::from_utf8_lossy(path.as_bytes()).into_owned();
    let (source, target) = (shown(&path), shown(to.as_ref().unwrap_or(&path)));
    ask(
        &mount,
        Request::Restore(Restore {
            snapshot: snapshot.clone(),
            path,
            to,
            replace,
        }),
        json,
    )
    .map_err(|failure| explain(failure, &snapshot, &source, &target))?;
    context
        .output
        .answer(&json!({"snapshot": snapshot, "path": target}), || {
            format!("{target} is back as it was at {snapshot}")
        })
}

/// The daemon's answer does not say which path it is about.
fn explain(failure: Failure, snapshot: &str, source: &str, target: &str) -> Failure {
    let message = match failure.code.as_str() {
        "exists" => format!(
            "{target} is there already and was left as it is: add --replace, or another place with --to"
        ),
        "not_found" => format!(
            "{source} is not in the snapshot {snapshot}, or the folder for {target} is not in the home: see snapshots/{snapshot}/ at the mount point"
        ),
        _ => return failure,
    };
    Failure { message, ..failure }
}

/// The snapshot that is meant: by its whole name, or the newest of those that begin so.
fn choose<'a>(names: impl Iterator<Item = &'a str>, wanted: &str) -> Result<&'a str> {
    if wanted.is_empty() {
        return Err(Failure::usage(
            "name a snapshot, or the beginning of its time, as `safe log` shows it",
        ));
    }
    names
        .filter(|name| name.starts_with(wanted))
        .max()
        .ok_or_else(|| {
            Failure::new(
                "not_found",
                format!("there is no snapshot “{wanted}”: `safe log` lists them"),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_by_its_beginning() {
        let names = ["2026-11-22T10:00:00.000Z", "2026-11-23T10:00:00.000Z"];
        let choose = |wanted| choose(names.into_iter(), wanted);
        assert_eq!(choose("2026-11-22").unwrap(), names[0]);
        assert_eq!(choose(names[1]).unwrap(), names[1]);
        assert_eq!(choose("2026-11").unwrap(), names[1]);
        assert_eq!(choose("").unwrap_err().exit, 2);
        assert_eq!(choose("2025").unwrap_err().code, "not_found");
    }
}
