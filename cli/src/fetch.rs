//! Fetching a published tree: a stranger's tree becomes files here.
//!
//! What always holds here: the tree is looked through first, so that its size is known and nothing
//! begins that cannot end; it is built beside its destination, under a name of its own, and moved there when
//! it is whole, or else removed; nothing that is there is overwritten; nothing outside of it is touched, whatever names
//! and links are in it; no set-id bits, devices or folders that everybody may write to are made.

mod copy;
mod destination;
mod finish;
#[cfg(target_os = "linux")]
mod folder;
#[cfg(not(target_os = "linux"))]
#[path = "fetch/folder_by_path.rs"]
mod folder;
mod seen;
mod source;
#[cfg(test)]
mod tests;
#[cfg(target_os = "linux")]
mod tree;
mod walk;

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use copy::Copier;
use destination::Destination;
#[cfg(target_os = "linux")]
use folder::Folder;
use folder::next_data;
use seen::{Kind, Seen};
#[cfg(target_os = "linux")]
pub use source::not_fetched;
use source::{Source, stopped};
use walk::{Visit, Way};

use crate::failure::{Failure, Result};
use crate::output::{Output, bytes, plural};
use crate::progress::Progress;

/// How many special files are named.
const SPECIAL_SHOWN: usize = 20;

/// The result of a fetch.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Files and links.
    pub files: u64,
    /// Their lengths together.
    pub bytes: u64,
    /// How much of that is no hole.
    pub data: u64,
    /// Entries that were left out, a line each.
    pub special: Vec<String>,
    /// How many of them there were.
    pub specials: u64,
    /// Where it is.
    pub destination: PathBuf,
}

/// Fetches `inside` of the public tree shown at `from` into `dir`, or to a place of its own in the current folder.
/// `own` is the name for a tree without one.
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
    let destination = Destination::choose(dir, &source, inside, own)?;
    output.note(&found.said());
    destination.has_room_for(found.fetched.data)?;
    let mut staging = destination.stage()?;
    let built = Copier::new(&staging, found.fetched.data, Progress::new(output.json))
        .and_then(|mut copier| copier.copy(source))
        .and_then(|finish| staging.move_in(&finish));
    if let Err(failure) = built {
        staging.remove();
        return Err(failure);
    }
    staging.done();
    Ok(Fetched {
        destination: destination.path,
        ..found.fetched
    })
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
