//! Publishing for others, and fetching what others published.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink,
};
use std::path::{Component, Path, PathBuf};

use safeos_control::{Publish, Request};
use serde_json::{Value, json};

use super::Context;
use crate::conversation::ask;
use crate::daemon::{self, Daemon, Temporary};
use crate::failure::{Failure, Result};
use crate::output::{bytes, plural};
use crate::paths;
use crate::progress::Progress;
use crate::signals;

/// `safe publish`
pub fn publish(context: &Context, path: &Path) -> Result<()> {
    let mount = context.places.session()?;
    let inside = paths::in_home(&mount, path)?;
    let request = Request::Publish(Publish { path: inside });
    let answer = ask(&mount, request, context.output.json).map_err(|failure| {
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
    let target = dir.unwrap_or(Path::new("."));
    let fetch = |mount: &Path| {
        let from = mount.join("public").join(&address).join(&inside);
        copy(context, &from, url, &inside, target)
    };
    let copied = match context.places.session() {
        Ok(mount) if store.is_none() => fetch(&mount)?,
        _ => {
            signals::watch()?;
            let temporary = Temporary::new()?;
            let mount = temporary.mount();
            let store = context.places.store(store);
            let mut daemon = Daemon::start(&context.places, &store, &mount, true)?;
            let copied = fetch(&mount);
            daemon.end();
            copied?
        }
    };
    context.output.answer(
        &json!({"files": copied.files, "bytes": copied.bytes, "dir": target}),
        || {
            format!(
                "{}, {} in {}",
                plural(copied.files, "file"),
                bytes(copied.bytes),
                target.display()
            )
        },
    )
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

/// What was copied.
#[derive(Debug, Default, PartialEq, Eq)]
struct Copied {
    files: u64,
    bytes: u64,
}

/// Copies what is at `from` into the folder `target`: the content of a published folder, or a file under its
/// own name. Nothing that is there is overwritten.
fn copy(context: &Context, from: &Path, url: &str, inside: &Path, target: &Path) -> Result<Copied> {
    let mut copier = Copier {
        copied: Copied::default(),
        progress: Progress::new(context.output.json),
    };
    let meta = fs::symlink_metadata(from).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => Failure::new(
            "not_found",
            format!("nothing is published as {url} on this store: check the address and the store"),
        ),
        _ => Failure::system(format!("{url} cannot be fetched"), &e),
    })?;
    fs::create_dir_all(target)
        .map_err(|e| Failure::system(format!("{} cannot be made", target.display()), &e))?;
    if meta.is_dir() {
        copier.folder(from, target)?;
    } else {
        let name = inside
            .file_name()
            .or_else(|| from.file_name())
            .unwrap_or(from.as_os_str());
        copier.one(from, &meta, &target.join(name))?;
    }
    Ok(copier.copied)
}

struct Copier {
    copied: Copied,
    progress: Progress,
}

impl Copier {
    fn folder(&mut self, from: &Path, to: &Path) -> Result<()> {
        // Not by recursion: how deep it goes is the publisher's choice.
        let mut open = vec![(from.to_owned(), to.to_owned())];
        let mut modes = Vec::new();
        while let Some((from, to)) = open.pop() {
            let cannot =
                |e: &io::Error| Failure::system(format!("{} cannot be fetched", from.display()), e);
            for entry in fs::read_dir(&from).map_err(|e| cannot(&e))? {
                let entry = entry.map_err(|e| cannot(&e))?;
                let meta = fs::symlink_metadata(entry.path()).map_err(|e| cannot(&e))?;
                let place = to.join(entry.file_name());
                if meta.is_dir() {
                    DirBuilder::new()
                        .mode(0o700)
                        .create(&place)
                        .map_err(|e| not_there(&place, &e))?;
                    modes.push((place.clone(), meta.mode()));
                    open.push((entry.path(), place));
                } else {
                    self.one(&entry.path(), &meta, &place)?;
                }
            }
        }
        // Last, deepest first: a folder may be one that nothing can be put into.
        for (place, mode) in modes.into_iter().rev() {
            fs::set_permissions(&place, fs::Permissions::from_mode(mode & 0o777))
                .map_err(|e| not_there(&place, &e))?;
        }
        Ok(())
    }

    fn one(&mut self, from: &Path, meta: &fs::Metadata, to: &Path) -> Result<()> {
        if let Some(signal) = signals::asked() {
            return Err(Failure::stopped(signal));
        }
        let cannot =
            |e: &io::Error| Failure::system(format!("{} cannot be fetched", from.display()), e);
        let kind = meta.file_type();
        if kind.is_symlink() {
            let target = fs::read_link(from).map_err(|e| cannot(&e))?;
            symlink(target, to).map_err(|e| not_there(to, &e))?;
        } else if kind.is_file() {
            let mut source = File::open(from).map_err(|e| cannot(&e))?;
            let mut copy = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(meta.mode() & 0o777)
                .open(to)
                .map_err(|e| not_there(to, &e))?;
            self.copied.bytes += io::copy(&mut source, &mut copy).map_err(|e| cannot(&e))?;
            if let Ok(modified) = meta.modified() {
                let _ = copy.set_modified(modified);
            }
        } else if kind.is_fifo()
            || kind.is_socket()
            || kind.is_block_device()
            || kind.is_char_device()
        {
            // Nothing to read, and nobody should get a stranger's device.
            return Ok(());
        }
        self.copied.files += 1;
        self.progress
            .step("fetching", self.copied.bytes, 0, "bytes");
        Ok(())
    }
}

fn not_there(place: &Path, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::AlreadyExists {
        Failure::new(
            "exists",
            format!(
                "{} is there already and is not overwritten: fetch into an empty folder",
                place.display()
            ),
        )
    } else {
        Failure::system(format!("{} cannot be written", place.display()), error)
    }
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

    #[test]
    fn a_tree_is_copied_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("sub")).unwrap();
        fs::write(from.join("sub/file"), b"12345").unwrap();
        fs::set_permissions(from.join("sub/file"), fs::Permissions::from_mode(0o640)).unwrap();
        fs::set_permissions(from.join("sub"), fs::Permissions::from_mode(0o550)).unwrap();
        symlink("sub/file", from.join("link")).unwrap();
        let context = Context {
            places: crate::places::Places {
                state: "/s".into(),
                store: "file:///s".into(),
                store_named: false,
                mount: None,
            },
            output: crate::output::Output { json: true },
        };
        let copied = copy(&context, &from, "safe://x", Path::new(""), &to).unwrap();
        assert_eq!(copied, Copied { files: 2, bytes: 5 });
        assert_eq!(fs::read(to.join("link")).unwrap(), b"12345");
        let mode = |path: &str| fs::metadata(to.join(path)).unwrap().mode() & 0o777;
        assert_eq!((mode("sub"), mode("sub/file")), (0o550, 0o640));
        let again = copy(&context, &from, "safe://x", Path::new(""), &to).unwrap_err();
        assert_eq!(again.code, "exists");
        // So that the temporary folder can be removed.
        for place in [&from, &to] {
            fs::set_permissions(place.join("sub"), fs::Permissions::from_mode(0o750)).unwrap();
        }
    }
}
