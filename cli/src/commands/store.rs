//! Looking after stores: counting, verifying, copying and collecting records.
//!
//! Commands on records alone work on the store itself; commands on an account's home are the
//! daemon's work, in the open session or in one for the time of the command.

use std::sync::Arc;

use safeos_control::{Collect, Copy, Request, SignIn};
use safeos_record::Address;
use safeos_store::{Entry, Error, Kind, Store};
use serde_json::{Value, json};

use super::Context;
use super::account::{ask_once, sign_in};
use crate::args::{At, Store as Command, Whose};
use crate::conversation::ask;
use crate::failure::{Failure, Result, one_line};
use crate::output::{bytes, plural};
use crate::progress::Progress;
use crate::signals;

/// Records looked at in one step: so many, …
const STEP_RECORDS: usize = 256;
/// … and so many bytes of them, unless it is one.
const STEP_BYTES: u64 = 48 << 20;
const PAGE: usize = 4096;

/// `safe store …`
pub fn store(context: &Context, what: Command) -> Result<()> {
    match what {
        Command::Serve(how) => super::serve::serve(context, &how),
        Command::Stats { at } => stats(context, &at),
        Command::Check { at, whose, records } => check(context, &at, &whose, records),
        Command::Copy { from, to, whose } => copy(context, &from, &to, &whose),
        Command::Gc {
            at,
            whose,
            dry_run,
            forget,
        } => {
            let request = Request::Collect(Collect {
                dry_run,
                lost: forget,
            });
            let answer = by_account(context, at.store.as_deref(), &whose, request)?;
            context
                .output
                .answer(&answer, || collected(&answer, dry_run))
        }
    }
}

/// The removed records, and the kept ones with the computers that need them.
fn collected(answer: &Value, dry_run: bool) -> String {
    let records = |name: &str| plural(number(answer, name), "record");
    let mut text = format!(
        "{} {}, {}",
        if dry_run { "would remove" } else { "removed" },
        records("records"),
        bytes(number(answer, "bytes"))
    );
    let at_work = answer.get("at_work").and_then(Value::as_array);
    for computer in at_work.into_iter().flatten() {
        let said = |name: &str| computer.get(name).and_then(Value::as_str).unwrap_or("");
        let minute = |time: &str| time.get(..16).unwrap_or(time).replace('T', " ");
        text.push_str(&format!(
            "\nat work: {} since {} UTC, last {} UTC",
            said("computer"),
            minute(said("since")),
            minute(said("last"))
        ));
    }
    if at_work.is_some_and(|at_work| !at_work.is_empty()) {
        text.push_str(&format!(
            "\nkept {}, {}: a computer at work may need them. Publish and sign out there, then collect again; \
             if it is lost for good, safe store gc --forget COMPUTER",
            records("kept_records"),
            bytes(number(answer, "kept_bytes"))
        ));
    }
    text
}

fn number(answer: &Value, name: &str) -> u64 {
    answer.get(name).and_then(Value::as_u64).unwrap_or_default()
}

/// The store that is meant: the one named, SAFE_STORE, the open session's, or the default one.
fn url(context: &Context, at: &At) -> String {
    let session = || {
        let mount = context.dirs.session().ok()?;
        let status = ask(&mount, Request::Status, context.output.json).ok()?;
        status.get("store")?.as_str().map(str::to_owned)
    };
    match &at.store {
        Some(url) => url.clone(),
        None if context.dirs.store_named => context.dirs.store.clone(),
        None => session()
            .filter(|url| !url.is_empty())
            .unwrap_or_else(|| context.dirs.store.clone()),
    }
}

/// Opens a store that must be there: looking at one does not make one.
pub(super) fn open(context: &Context, url: &str) -> Result<Arc<dyn Store>> {
    if !safeos_store::may_be_there(url)? {
        return Err(Failure::new(
            "store_unreachable",
            format!(
                "there is no store at {url}: see that its disk is mounted and check the path, or name another with --store"
            ),
        ));
    }
    Ok(context.dirs.open(url)?)
}

fn stats(context: &Context, at: &At) -> Result<()> {
    let url = url(context, at);
    let stats = open(context, &url)?.stats()?;
    let value = json!({
        "store": url,
        "chunks": stats.chunks,
        "pointers": stats.pointers,
        "bytes": stats.bytes,
    });
    context.output.answer(&value, || {
        format!(
            "store     {url}\nchunks    {}\npointers  {}\nsize      {}",
            stats.chunks,
            stats.pointers,
            bytes(stats.bytes)
        )
    })
}

fn check(context: &Context, at: &At, whose: &Whose, records: bool) -> Result<()> {
    let by_session = !records && at.store.is_none() && context.dirs.session().is_ok();
    let of_home = whose.account.is_some() || by_session;
    let answer = if of_home {
        by_account(context, at.store.as_deref(), whose, Request::Check)?
    } else {
        check_records(context, &url(context, at))?
    };
    let damaged = answer.get("damaged").and_then(Value::as_array);
    let damaged: Vec<&str> = damaged
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    context.output.answer(&answer, || {
        let mut text = checked_text(&answer, of_home, damaged.is_empty());
        for line in &damaged {
            text.push_str(&format!("\ndamaged: {}", one_line(line)));
        }
        text
    })?;
    if damaged.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        "damaged",
        format!(
            "the check found damage in {}: restore the records from a copy of the store",
            plural(damaged.len() as u64, "place")
        ),
    ))
}

/// The extent of a check, and no more than that.
fn checked_text(answer: &Value, of_home: bool, whole: bool) -> String {
    let records = plural(number(answer, "records"), "record");
    if of_home {
        let nodes = plural(number(answer, "nodes"), "file and folder")
            .replace("file and folders", "files and folders");
        return if whole {
            format!(
                "{records}, {nodes}: everything that this home and its snapshots refer to is there and whole"
            )
        } else {
            format!("{records}, {nodes} of this home and its snapshots were looked at")
        };
    }
    let each = if whole {
        format!("{records}: each one that is there is whole")
    } else {
        format!("{records} were looked at, each by itself")
    };
    format!(
        "{each}; whether a home lacks records shows a check with --account NAME, or in its session"
    )
}

/// Reads every record; the store itself verifies what it hands out.
fn check_records(context: &Context, url: &str) -> Result<Value> {
    const SHOWN_MAX: usize = 1000;
    let store = open(context, url)?;
    let stats = store.stats()?;
    let total = stats.chunks + stats.pointers;
    let mut done = 0;
    let mut damaged = Vec::new();
    let mut damaged_count = 0_u64;
    let mut progress = Progress::new(context.output.json);
    each(store.as_ref(), |entries| {
        let (chunks, pointers) = split(entries);
        let errors = store
            .get_chunks(&chunks)
            .into_iter()
            .filter_map(std::result::Result::err)
            .chain(
                pointers
                    .iter()
                    .filter_map(|address| store.get_pointer(address).err()),
            );
        for error in errors {
            match error {
                // Collected since it was listed.
                Error::Missing { .. } => {}
                Error::Damaged { .. } => {
                    damaged_count += 1;
                    if damaged.len() < SHOWN_MAX {
                        damaged.push(error.to_string());
                    }
                }
                other => return Err(other.into()),
            }
        }
        done += entries.len() as u64;
        progress.step("checking", done, total, "records");
        Ok(())
    })?;
    if damaged_count > damaged.len() as u64 {
        damaged.push(format!("and {} more", damaged_count - damaged.len() as u64));
    }
    Ok(json!({"store": url, "records": done, "damaged": damaged}))
}

fn copy(context: &Context, from: &str, to: &str, whose: &Whose) -> Result<()> {
    if from == to {
        return Err(Failure::usage(
            "both are the same store: name two different ones",
        ));
    }
    let answer = if whose.account.is_some() {
        by_account(
            context,
            Some(from),
            whose,
            Request::Copy(Copy { to: to.to_owned() }),
        )?
    } else {
        copy_records(context, from, to)?
    };
    context.output.answer(&answer, || {
        format!(
            "copied {}, {}; {} there already",
            plural(number(&answer, "records"), "record"),
            bytes(number(&answer, "bytes")),
            number(&answer, "skipped")
        )
    })
}

/// Copies every record. Pointers come last: before them, nothing looks for the records they lead to.
fn copy_records(context: &Context, from: &str, to: &str) -> Result<Value> {
    let (from, to) = (open(context, from)?, context.dirs.open(to)?);
    let stats = from.stats()?;
    let total = stats.chunks + stats.pointers;
    let (mut records, mut bytes, mut skipped) = (0_u64, 0_u64, 0_u64);
    let mut damaged = Vec::new();
    let mut progress = Progress::new(context.output.json);
    for kind in [Kind::Chunk, Kind::Pointer] {
        each(from.as_ref(), |entries| {
            let (chunks, pointers) = split(entries);
            if kind == Kind::Chunk {
                let there = to.has_chunks(&chunks)?;
                let missing: Vec<Address> = chunks
                    .iter()
                    .zip(&there)
                    .filter(|(_, there)| !**there)
                    .map(|(address, _)| *address)
                    .collect();
                skipped += (chunks.len() - missing.len()) as u64;
                let mut found = Vec::with_capacity(missing.len());
                for chunk in from.get_chunks(&missing) {
                    match chunk {
                        Ok(chunk) => found.push(chunk),
                        Err(Error::Missing { .. }) => {}
                        Err(error @ Error::Damaged { .. }) => damaged.push(error.to_string()),
                        Err(error) => return Err(error.into()),
                    }
                }
                to.put_chunks(&found)?;
                records += found.len() as u64;
                bytes += found
                    .iter()
                    .map(|chunk| chunk.bytes().len() as u64)
                    .sum::<u64>();
            } else {
                for address in &pointers {
                    let state = match from.get_pointer(address) {
                        Ok(Some(state)) => state,
                        Ok(None) => continue,
                        Err(error @ Error::Damaged { .. }) => {
                            damaged.push(error.to_string());
                            continue;
                        }
                        Err(error) => return Err(error.into()),
                    };
                    let there = to.get_pointer(address)?;
                    match to.set_pointer(&state, there.map(|there| there.counter())) {
                        Ok(()) => {
                            records += 1;
                            bytes += safeos_record::POINTER_LEN as u64;
                        }
                        // A state there that is as new, or newer, stays.
                        Err(Error::Conflict { .. }) => skipped += 1,
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            progress.step("copying", records + skipped, total, "records");
            Ok(())
        })?;
    }
    if !damaged.is_empty() {
        return Err(Failure::new(
            "damaged",
            format!(
                "{records} records were copied, but {} could not be read: {}",
                plural(damaged.len() as u64, "record"),
                damaged[0]
            ),
        ));
    }
    Ok(json!({"records": records, "bytes": bytes, "skipped": skipped}))
}

fn split(entries: &[Entry]) -> (Vec<Address>, Vec<Address>) {
    let of = |kind: Kind| {
        entries
            .iter()
            .filter(|entry| entry.kind == kind)
            .map(|entry| entry.address)
            .collect()
    };
    (of(Kind::Chunk), of(Kind::Pointer))
}

/// Goes through the whole store, some records at a time.
fn each(store: &dyn Store, mut visit: impl FnMut(&[Entry]) -> Result<()>) -> Result<()> {
    let mut after = None;
    loop {
        let page = store.list(after, PAGE)?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = Some((last.kind, last.address));
        let mut rest = page.as_slice();
        while !rest.is_empty() {
            if let Some(signal) = signals::asked() {
                return Err(Failure::stopped(signal));
            }
            let entries;
            (entries, rest) = rest.split_at(step(rest));
            visit(entries)?;
        }
    }
}

/// How many of these are looked at in one step.
fn step(entries: &[Entry]) -> usize {
    let mut bytes = 0;
    let fit = entries.iter().take(STEP_RECORDS).take_while(|entry| {
        bytes += entry.len;
        bytes <= STEP_BYTES
    });
    fit.count().clamp(1, entries.len().max(1))
}

/// Asks in the open session, or in one of `--account` for the time of the command.
pub fn by_account(
    context: &Context,
    store: Option<&str>,
    whose: &Whose,
    request: Request,
) -> Result<Value> {
    let Some(account) = whose.account(store) else {
        let mount = context.dirs.session()?;
        return ask(&mount, request, context.output.json);
    };
    let store = context.dirs.store(store);
    let open = sign_in(context, &account, super::account::Opening::default())?;
    let first = ask_once(context, &store, open.clone(), Some(request.clone()));
    match (first, open) {
        // A check is how one learns what is damaged, be it the home's own folder. That the state is the newest was seen
        // before that.
        (Err(failure), Request::SignIn(again))
            if failure.code == "damaged" && request == Request::Check =>
        {
            let again = SignIn {
                accept_older: true,
                ..again
            };
            ask_once(context, &store, Request::SignIn(again), Some(request))
        }
        (answer, _) => answer,
    }
}

#[cfg(test)]
mod tests {
    use safeos_record::Chunk;

    use std::path::Path;

    use super::*;
    use crate::dirs::Dirs;
    use crate::output::Output;

    fn context() -> Context {
        Context {
            dirs: Dirs {
                state: "/nowhere".into(),
                store: "file:///nowhere".into(),
                store_named: true,
                log: None,
                mount: Some("/nowhere".into()),
            },
            output: Output { json: true },
        }
    }

    fn filled(folder: &Path, count: u8) -> String {
        let url = format!("file://{}", folder.display());
        let chunks: Vec<Chunk> = (0..count)
            .map(|n| Chunk::new(vec![n; 100 + usize::from(n)]).unwrap())
            .collect();
        safeos_store::open(&url)
            .unwrap()
            .put_chunks(&chunks)
            .unwrap();
        url
    }

    #[test]
    fn all_records_are_copied_once() {
        let folder = tempfile::tempdir().unwrap();
        let from = filled(&folder.path().join("from"), 40);
        let to = format!("file://{}", folder.path().join("to").display());
        let first = copy_records(&context(), &from, &to).unwrap();
        assert_eq!(first, json!({"records": 40, "bytes": 4780, "skipped": 0}));
        let second = copy_records(&context(), &from, &to).unwrap();
        assert_eq!(second, json!({"records": 0, "bytes": 0, "skipped": 40}));
        let checked = check_records(&context(), &to).unwrap();
        assert_eq!(checked["records"], 40);
        assert_eq!(checked["damaged"], json!([]));
    }

    #[test]
    fn a_check_says_what_it_looked_at() {
        let records = checked_text(&json!({"records": 2}), false, true);
        assert!(records.starts_with("2 records: each one that is there is whole; "));
        assert!(records.contains("--account NAME"), "{records}");
        let home = checked_text(&json!({"records": 1, "nodes": 1}), true, true);
        assert!(
            home.starts_with("1 record, 1 file and folder: everything"),
            "{home}"
        );
        for of_home in [true, false] {
            let damaged = checked_text(&json!({"records": 3, "nodes": 5}), of_home, false);
            assert!(!damaged.contains("whole"), "{damaged}");
        }
    }

    #[test]
    fn looking_at_a_store_does_not_make_one() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let url = format!("file://{}", missing.display());
        for failure in [
            open(&context(), &url).err().unwrap(),
            check_records(&context(), &url).unwrap_err(),
        ] {
            assert_eq!(failure.code, "store_unreachable");
            assert!(failure.message.contains(&url));
        }
        assert!(!missing.exists());
    }
}
