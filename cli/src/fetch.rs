//! Fetching what somebody published: a stranger's tree becomes files here.
//!
//! What always holds here: what is fetched is looked through first, so that its size is known and nothing
//! begins that cannot end; it is built beside its place, under a name of its own, and moved there when
//! it is whole, or else removed; nothing that is there is overwritten; nothing outside of it is touched, whatever names
//! and links are in it; nobody gets set-id bits, devices or folders that everybody may write to.

mod copy;
#[cfg(target_os = "linux")]
mod folder;
#[cfg(not(target_os = "linux"))]
#[path = "fetch/folder_by_path.rs"]
mod folder;
mod place;
#[cfg(test)]
mod tests;
#[cfg(target_os = "linux")]
mod tree;
mod walk;

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use copy::Copier;
use folder::{Folder, next_data};
use place::Place;
use walk::{Visit, Way, walk};

use crate::failure::{Failure, Result};
use crate::output::{Output, bytes, plural};
use crate::progress::Progress;
use crate::signals;

/// The permission bits that are taken over: not who else may write.
const MODE_TAKEN: u32 = 0o755;
/// How many special files are named.
const SPECIAL_SHOWN: usize = 20;

/// What kind of thing a name names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Folder,
    File,
    Link,
    /// Nothing to read; what it is, in words.
    Special(&'static str),
}

/// What `stat` says.
#[derive(Clone, Debug)]
struct Seen {
    kind: Kind,
    mode: u32,
    size: u64,
    /// How much of it is stored, as the tree says.
    stored: u64,
    ino: u64,
    /// Whether it has more names than this one.
    shared: bool,
    /// Seconds and nanoseconds of the last modification.
    time: (i64, i64),
}

/// What was fetched.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Files and links.
    pub files: u64,
    /// Their lengths together.
    pub bytes: u64,
    /// How much of that is no hole.
    pub data: u64,
    /// What was left out, a line each.
    pub special: Vec<String>,
    /// How many of them there were.
    pub specials: u64,
    /// Where it is.
    pub place: PathBuf,
}

/// What is fetched.
enum Source {
    /// Everything in a folder.
    Folder(Folder, Seen),
    /// One thing in it.
    One(Folder, OsString, Seen),
}

/// Fetches `inside` of the public tree shown at `from` into `dir`, or to a place of its own in the current folder.
/// `own` is the name for what has none.
pub fn fetch(
    output: Output,
    (from, url): (&Path, &str),
    inside: &Path,
    dir: Option<&Path>,
    own: &str,
) -> Result<Fetched> {
    let source = Source::open(from, inside, url)?;
    fetch_from(output, source, inside, dir, own)
}

/// The same of a tree that is not mounted.
#[cfg(target_os = "linux")]
pub fn fetch_unmounted(
    output: Output,
    (volume, url): (std::sync::Arc<dyn safeos_session::Volume>, &str),
    inside: &Path,
    dir: Option<&Path>,
    own: &str,
) -> Result<Fetched> {
    let source = Source::find(Folder::Tree(tree::Tree::new(volume)), inside, url)?;
    fetch_from(output, source, inside, dir, own)
}

/// Why what `url` names cannot be fetched.
pub fn not_fetched(url: &str, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Failure::new(
            "not_found",
            format!("nothing is published as {url} on this store: check the address and the store"),
        ),
        _ => Failure::system(format!("{url} cannot be fetched"), error),
    }
}

fn fetch_from(
    output: Output,
    source: Source,
    inside: &Path,
    dir: Option<&Path>,
    own: &str,
) -> Result<Fetched> {
    let mut found = Scan::default();
    source.visit(&mut found)?;
    let source = source.alone(inside, dir)?;
    let place = Place::choose(dir, &source, inside, own)?;
    output.note(&found.said());
    place.has_room_for(found.fetched.data)?;
    let mut staging = place.stage()?;
    let built = Copier::new(&staging, found.fetched.data, Progress::new(output.json))
        .and_then(|mut copier| copier.copy(source))
        .and_then(|finish| staging.move_in(&finish));
    if let Err(failure) = built {
        staging.remove();
        return Err(failure);
    }
    staging.done();
    Ok(Fetched {
        place: place.path,
        ..found.fetched
    })
}

fn stopped() -> Result<()> {
    signals::asked().map_or(Ok(()), |signal| Err(Failure::stopped(signal)))
}

impl Source {
    fn open(from: &Path, inside: &Path, url: &str) -> Result<Self> {
        let folder = Folder::open(from).map_err(|e| not_fetched(url, &e))?;
        Self::find(folder, inside, url)
    }

    fn find(mut folder: Folder, inside: &Path, url: &str) -> Result<Self> {
        let cannot = |e: &io::Error| not_fetched(url, e);
        let mut seen = folder.look_at_itself().map_err(|e| cannot(&e))?;
        let mut names = inside.iter().peekable();
        while let Some(name) = names.next() {
            // By way of folders only: a link in a stranger's tree may lead anywhere.
            seen = folder.look(name).map_err(|e| cannot(&e))?;
            if names.peek().is_none() && seen.kind != Kind::Folder {
                return Ok(Self::One(folder, name.to_owned(), seen));
            }
            folder = folder.child(name).map_err(|e| cannot(&e))?;
        }
        Ok(Self::Folder(folder, seen))
    }

    fn visit(&self, visit: &mut dyn Visit) -> Result<()> {
        let again = |folder: &Folder| {
            let folder = folder.child(OsStr::new("."));
            folder.map_err(|e| Failure::system("the folder cannot be read", &e))
        };
        match self {
            Self::Folder(folder, _) => walk(again(folder)?, visit),
            Self::One(folder, name, seen) => {
                let way = Way::new(again(folder)?)
                    .map_err(|e| Failure::system("the folder cannot be read", &e))?;
                visit.other(&way, name, seen)
            }
        }
    }

    /// A file that was published alone is in a folder, which nobody who names no folder wants.
    fn alone(self, inside: &Path, dir: Option<&Path>) -> Result<Self> {
        let Self::Folder(folder, seen) = self else {
            return Ok(self);
        };
        let cannot = |e: &io::Error| Failure::system("the folder cannot be read", e);
        if dir.is_none() && inside.as_os_str().is_empty() {
            let mut names = folder.names().map_err(|e| cannot(&e))?;
            if let (Some(name), true) = (names.pop(), names.is_empty()) {
                let only = folder.look(&name).map_err(|e| cannot(&e))?;
                if only.kind == Kind::File {
                    return Ok(Self::One(folder, name, only));
                }
            }
        }
        Ok(Self::Folder(folder, seen))
    }
}

/// Looks a tree through: how much there is.
#[derive(Default)]
struct Scan {
    fetched: Fetched,
}

impl Scan {
    fn said(&self) -> String {
        let Fetched {
            files,
            bytes: all,
            data,
            ..
        } = self.fetched;
        let mut text = format!("fetching {}, {}", plural(files, "file"), bytes(all));
        if data < all {
            text.push_str(&format!(": {} of data, the rest is holes", bytes(data)));
        }
        text
    }
}

impl Visit for Scan {
    fn enter(&mut self, _: &Way, _: &OsStr, _: &Seen) -> Result<()> {
        stopped()
    }

    fn other(&mut self, way: &Way, name: &OsStr, seen: &Seen) -> Result<()> {
        stopped()?;
        let fetched = &mut self.fetched;
        match seen.kind {
            Kind::Special(what) => {
                fetched.specials += 1;
                if fetched.special.len() < SPECIAL_SHOWN {
                    fetched
                        .special
                        .push(format!("{} is {what}", way.shown(name)));
                }
                return Ok(());
            }
            Kind::File if seen.stored < seen.size => {
                let cannot = |e: &io::Error| {
                    Failure::system(format!("{} cannot be read", way.shown(name)), e)
                };
                let file = way.here().and_then(|here| here.file(name));
                let file = file.map_err(|e| cannot(&e))?;
                let mut at = 0;
                while let Some((start, end)) =
                    next_data(&file, at, seen.size).map_err(|e| cannot(&e))?
                {
                    stopped()?;
                    fetched.data = fetched.data.saturating_add(end - start);
                    at = end;
                }
            }
            Kind::File => fetched.data = fetched.data.saturating_add(seen.size),
            Kind::Folder | Kind::Link => {}
        }
        fetched.files += 1;
        if seen.kind == Kind::File {
            fetched.bytes = fetched.bytes.saturating_add(seen.size);
        }
        Ok(())
    }

    fn leave(&mut self, _: &Way, _: &OsStr, _: &Seen) -> Result<()> {
        Ok(())
    }
}
