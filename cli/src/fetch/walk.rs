//! Walking through a tree of folders of any depth: not by recursion, and with few of them open at once.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io;
use std::os::unix::ffi::OsStrExt;

use super::folder::Folder;
use super::seen::{Kind, Seen};
use crate::failure::{Failure, Result};

/// How many folders of a way down are open at once.
const OPEN_MAX: usize = 64;
/// How much of a path a message shows, in bytes.
const SHOWN_BYTES: usize = 300;

/// The visitor of a walk.
pub trait Visit {
    /// A folder comes; its entries come next.
    fn enter(&mut self, way: &Way, name: &OsStr, seen: &Seen) -> Result<()>;
    /// Something that is no folder.
    fn other(&mut self, way: &Way, name: &OsStr, seen: &Seen) -> Result<()>;
    /// A folder was left: everything in it has come. The way ends at the folder it is in.
    fn leave(&mut self, way: &Way, name: &OsStr, seen: &Seen) -> Result<()>;
}

/// The folders from the top to where the walk is, and perhaps a tree that is made beside it.
pub struct Way {
    levels: Vec<Level>,
}

struct Level {
    name: OsString,
    /// `None`: closed meanwhile, and found again from the one below it.
    folder: Option<Folder>,
    id: (u64, u64),
}

impl Way {
    /// A way that begins at a folder.
    pub fn new(top: Folder) -> io::Result<Self> {
        let mut way = Self { levels: Vec::new() };
        way.push(OsString::new(), top)?;
        Ok(way)
    }

    /// The folder it has come to.
    pub fn here(&self) -> io::Result<&Folder> {
        self.levels
            .last()
            .and_then(|level| level.folder.as_ref())
            .ok_or_else(|| io::Error::other("the way is lost"))
    }

    /// How many folders below the top that is.
    pub fn depth(&self) -> usize {
        self.levels.len().saturating_sub(1)
    }

    /// Goes on into a folder.
    pub fn push(&mut self, name: OsString, folder: Folder) -> io::Result<()> {
        let id = folder.id()?;
        self.levels.push(Level {
            name,
            folder: Some(folder),
            id,
        });
        if let Some(far) = self.levels.len().checked_sub(OPEN_MAX + 1)
            && far > 0
        {
            self.levels[far].folder = None;
        }
        Ok(())
    }

    /// Goes back to the folder above; the name of the one that was left.
    pub fn pop(&mut self) -> io::Result<OsString> {
        let left = self
            .levels
            .pop()
            .ok_or_else(|| io::Error::other("the way is lost"))?;
        if let Some(above) = self.levels.last_mut()
            && above.folder.is_none()
        {
            let parent = left
                .folder
                .ok_or_else(|| io::Error::other("the way is lost"))?
                .parent()?;
            if parent.id()? != above.id {
                return Err(io::Error::other("the folder was moved meanwhile"));
            }
            above.folder = Some(parent);
        }
        Ok(left.name)
    }

    /// The path of something here, from the top, as a message shows it.
    pub fn shown(&self, name: &OsStr) -> String {
        let mut path = Vec::new();
        let names = self.levels.iter().skip(1).map(|level| &*level.name);
        for name in names.chain([name]).filter(|name| !name.is_empty()) {
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name.as_bytes());
            if path.len() > SHOWN_BYTES {
                path.truncate(SHOWN_BYTES);
                let mut text = String::from_utf8_lossy(&path).into_owned();
                let _ = write!(text, "… ({} folders deep)", self.depth());
                return text;
            }
        }
        String::from_utf8_lossy(&path).into_owned()
    }
}

/// Visits everything in a folder. Errors while the visitor reads content are errors of reading.
pub fn walk(top: Folder, visit: &mut dyn Visit) -> Result<()> {
    let cannot = |way: &Way, name: &OsStr, error: &io::Error| {
        Failure::system(format!("{} cannot be read", way.shown(name)), error)
    };
    let lost = |error: &io::Error| Failure::system("the folder cannot be read", error);
    let mut way = Way::new(top).map_err(|e| lost(&e))?;
    let names = |way: &Way| -> Result<Vec<OsString>> {
        let here = OsStr::new("");
        way.here()
            .and_then(Folder::names)
            .map_err(|e| cannot(way, here, &e))
    };
    let mut waiting = vec![names(&way)?];
    let mut entered: Vec<Seen> = Vec::new();
    // A hostile tree may name a folder twice, or within itself.
    let mut known = HashSet::new();
    while let Some(left) = waiting.last_mut() {
        if let Some(name) = left.pop() {
            let here = way.here().map_err(|e| lost(&e))?;
            let seen = here.look(&name).map_err(|e| cannot(&way, &name, &e))?;
            if !matches!(seen.kind, Kind::Folder) {
                visit.other(&way, &name, &seen)?;
                continue;
            }
            if !known.insert(seen.ino) {
                return Err(Failure::new(
                    "damaged",
                    format!(
                        "{} is named by two folders: no tree that was published is like that",
                        way.shown(&name)
                    ),
                ));
            }
            visit.enter(&way, &name, &seen)?;
            let here = way.here().map_err(|e| lost(&e))?;
            let child = here.child(&name).map_err(|e| cannot(&way, &name, &e))?;
            way.push(name, child).map_err(|e| lost(&e))?;
            waiting.push(names(&way)?);
            entered.push(seen);
        } else {
            waiting.pop();
            let Some(seen) = entered.pop() else {
                break;
            };
            let name = way.pop().map_err(|e| lost(&e))?;
            visit.leave(&way, &name, &seen)?;
        }
    }
    Ok(())
}
