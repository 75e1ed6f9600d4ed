//! Publishing for others, and fetching what others published.

use std::path::{Component, Path, PathBuf};

use safeos_control::{Publish, Request};
use serde_json::{Value, json};

use super::Context;
use super::store::by_account;
use crate::args::Whose;
use crate::daemon;
use crate::failure::{Failure, Result};
use crate::fetch::{Fetched, fetch};
use crate::output::{bytes, plural};
use crate::paths;
use crate::signals;
use crate::terminal;

/// The digits of an address in the name of a fetched folder.
const NAME_DIGITS: usize = 8;

/// `safe publish`
pub fn publish(
    context: &Context,
    path: &Path,
    yes: bool,
    store: Option<&str>,
    whose: &Whose,
) -> Result<()> {
    let inside = match whose.account {
        // No home is mounted.
        Some(_) => paths::from_root(path)?,
        None => {
            let mount = context.dirs.session()?;
            paths::means_one(&mount, path)?;
            paths::in_home(&mount, path)?
        }
    };
    if inside.as_bytes().is_empty() && !yes {
        // A dot too many, and everything one has is everybody's for good.
        let question = "This publishes the whole home: who gets the address can read all of it, and it cannot be taken back. Publish it? [y/N] ";
        if context.output.json || !terminal::asks(question)? {
            return Err(Failure::new(
                "not_confirmed",
                "the whole home was not published: name a file or folder in it, or say --yes",
            ));
        }
    }
    let request = Request::Publish(Publish { path: inside });
    let answer = by_account(context, store, whose, request).map_err(|failure| {
        if failure.code != "not_found" {
            return failure;
        }
        Failure {
            message: format!(
                "{} is not in the home: name a file or folder that is",
                path.display()
            ),
            ..failure
        }
    })?;
    context.output.answer(&answer, || {
        let url = answer.get("url").and_then(Value::as_str);
        url.unwrap_or_default().to_owned()
    })
}

/// `safe get`
pub fn get(context: &Context, url: &str, dir: Option<&Path>, store: Option<&str>) -> Result<()> {
    let (address, inside) = parse(url)?;
    if daemon::SHARED && store.is_some() {
        return Err(Failure::usage(
            "the daemon of this computer fetches from its own store: leave --store out",
        ));
    }
    signals::watch()?;
    let digits: String = address.chars().take(NAME_DIGITS).collect();
    let own = format!("safe-{digits}");
    let from = |mount: &Path| {
        let from = mount.join("public").join(&address);
        fetch(context.output, (&from, url), &inside, dir, &own)
    };
    let fetched = match context.dirs.session() {
        Ok(mount) if store.is_none() => from(&mount)?,
        _ => {
            let what = What {
                address: &address,
                url,
                inside: &inside,
                dir,
                own: &own,
            };
            unmounted(context, &context.dirs.store(store), &what)?
        }
    };
    for line in &fetched.special {
        context.output.note(&format!("left out: {line}"));
    }
    let unnamed = fetched.specials - fetched.special.len() as u64;
    if unnamed > 0 {
        context
            .output
            .note(&format!("left out: {unnamed} more that are no files"));
    }
    let place = &fetched.destination;
    context.output.answer(
        &json!({
            "files": fetched.files,
            "bytes": fetched.bytes,
            "data": fetched.data,
            "dir": place,
            "left_out": fetched.special,
        }),
        || {
            format!(
                "{}, {} in {}",
                plural(fetched.files, "file"),
                bytes(fetched.bytes),
                place.display()
            )
        },
    )
}

/// A published tree of a store: public records need neither a daemon nor a mount.
#[cfg(target_os = "linux")]
fn unmounted(context: &Context, store: &str, what: &What<'_>) -> Result<Fetched> {
    use crate::fetch::{fetch_unmounted, not_fetched};
    let store = super::store::open(context, store)?;
    let tree = safeos_session::open_public(&store, what.address).map_err(|error| match error {
        safeos_session::Error::NotFound => {
            not_fetched(what.url, &std::io::ErrorKind::NotFound.into())
        }
        other => Failure {
            retry: other.retry(),
            ..Failure::new(other.code(), &other)
        },
    })?;
    let from = (tree, what.url);
    fetch_unmounted(context.output, from, what.inside, what.dir, what.own)
}

/// Elsewhere the daemon of the computer has it, while a session is open.
#[cfg(not(target_os = "linux"))]
fn unmounted(context: &Context, _: &str, what: &What<'_>) -> Result<Fetched> {
    let from = context.dirs.session()?.join("public").join(what.address);
    fetch(
        context.output,
        (&from, what.url),
        what.inside,
        what.dir,
        what.own,
    )
}

/// The source and the destination of a fetch.
struct What<'a> {
    address: &'a str,
    url: &'a str,
    inside: &'a Path,
    dir: Option<&'a Path>,
    own: &'a str,
}

/// The address and the path in `safe://ADDRESS/path`.
fn parse(url: &str) -> Result<(String, PathBuf)> {
    let wrong = |why: &str| {
        Failure::usage(format!(
            "“{}” is no address to fetch from ({why}): give safe://ADDRESS as `safe publish` printed it",
            url.chars().take(200).collect::<String>()
        ))
    };
    let rest = url
        .strip_prefix("safe://")
        .ok_or_else(|| wrong("it does not begin with safe://"))?;
    let (address, inside) = rest.split_once('/').unwrap_or((rest, ""));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if address.is_empty() || !address.chars().all(plain) || address.starts_with('.') {
        return Err(wrong("the address is letters and digits"));
    }
    let inside = Path::new(inside);
    if inside
        .components()
        .any(|part| !matches!(part, Component::Normal(_)))
    {
        return Err(wrong("the path after it may not contain . or .."));
    }
    Ok((address.to_owned(), inside.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let (address, inside) = parse("safe://00ff/a/b").unwrap();
        assert_eq!((address.as_str(), inside), ("00ff", "a/b".into()));
        assert_eq!(parse("safe://00ff").unwrap().1, PathBuf::new());
        assert_eq!(parse("safe://00ff/").unwrap().1, PathBuf::new());
        for wrong in [
            "http://x",
            "safe://",
            "safe:///x",
            "safe://../x",
            "safe://00/../x",
            "safe://00//x",
        ] {
            assert_eq!(parse(wrong).unwrap_err().exit, 2, "{wrong}");
        }
    }
}
