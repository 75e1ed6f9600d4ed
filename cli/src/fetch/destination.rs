//! Where what is fetched goes, and where it is until it is whole.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use super::finish::Finish;
use super::folder::Folder;
use super::seen::{Kind, Seen};
use super::source::Source;
use super::walk::{Visit, Way, walk};
use crate::failure::{Failure, Result};
use crate::output::bytes;

/// In the staging folder: the fetched tree, and second names of files that have several.
const TREE: &str = "tree";
const LINKS: &str = "links";

/// Where what is fetched goes.
#[derive(Debug)]
pub struct Destination {
    /// As a person calls it.
    pub path: PathBuf,
    /// The folder that is there already.
    into: PathBuf,
    /// The name of the new folder in it; `None`: everything goes into it as it is.
    new: Option<OsString>,
    /// Folders above it that have to be made, the outermost first.
    above: Vec<PathBuf>,
}

impl Destination {
    /// `dir` as it was named; or a place of its own in the current folder.
    pub fn choose(dir: Option<&Path>, source: &Source, inside: &Path, own: &str) -> Result<Self> {
        let destination = match (dir, source) {
            (None, Source::One(_, name, _)) => Self {
                path: Path::new(".").join(name),
                into: ".".into(),
                new: None,
                above: Vec::new(),
            },
            (None, Source::Folder(..)) => {
                let name = inside.file_name().unwrap_or(OsStr::new(own));
                Self {
                    path: Path::new(".").join(name),
                    into: ".".into(),
                    new: Some(name.to_owned()),
                    above: Vec::new(),
                }
            }
            (Some(dir), _) => Self::named(dir)?,
        };
        destination.is_free(source)?;
        Ok(destination)
    }

    fn named(dir: &Path) -> Result<Self> {
        let path = dir.to_owned();
        match dir.metadata() {
            Ok(found) if found.is_dir() => Ok(Self {
                into: path.clone(),
                path,
                new: None,
                above: Vec::new(),
            }),
            Ok(_) => Err(taken(dir)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let name = dir.file_name().ok_or_else(|| cannot_write(dir, &error))?;
                let mut into = parent(dir);
                let mut above = Vec::new();
                while !into.exists() {
                    above.insert(0, into.clone());
                    into = parent(&into);
                }
                Ok(Self {
                    into: parent(dir),
                    path: path.clone(),
                    new: Some(name.to_owned()),
                    above,
                })
            }
            Err(error) => Err(cannot_write(dir, &error)),
        }
    }

    /// Nothing that is there is overwritten, and that is said before anything is fetched.
    fn is_free(&self, source: &Source) -> Result<()> {
        if !self.above.is_empty() {
            return Ok(());
        }
        let into = Folder::open(&self.into).map_err(|e| cannot_write(&self.into, &e))?;
        let names = match (&self.new, source) {
            (Some(new), _) => vec![new.clone()],
            (None, Source::One(_, name, _)) => vec![name.clone()],
            (None, Source::Folder(folder, _)) => folder
                .names()
                .map_err(|e| Failure::system("the folder cannot be read", &e))?,
        };
        let there = names.iter().find(|name| into.look(name).is_ok());
        there.map_or(Ok(()), |name| Err(taken(&self.into.join(name))))
    }

    /// Refuses what does not fit on the disk.
    pub fn has_room_for(&self, data: u64) -> Result<()> {
        let there = self
            .above
            .first()
            .map_or(self.into.clone(), |dir| parent(dir));
        let free = Folder::open(&there).and_then(|there| there.free());
        let free = free.map_err(|e| cannot_write(&there, &e))?;
        if data > free {
            return Err(Failure::new(
                "no_space",
                format!(
                    "{} do not fit where {} is to be, {} are free there: free some, or name another folder",
                    bytes(data),
                    self.path.display(),
                    bytes(free)
                ),
            ));
        }
        Ok(())
    }

    /// Makes the folder that everything is in until it is whole.
    pub fn stage(&self) -> Result<Staging> {
        let mut staging = Staging {
            destination: self.path.clone(),
            into: None,
            new: self.new.clone(),
            name: OsString::new(),
            folder: None,
            above: Vec::new(),
            moved: Vec::new(),
            links: Cell::new(false),
        };
        let made = staging.make(self);
        if let Err(error) = made {
            staging.remove();
            return Err(cannot_write(&self.path, &error));
        }
        Ok(staging)
    }
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => ".".into(),
    }
}

fn taken(path: &Path) -> Failure {
    Failure::new(
        "exists",
        format!(
            "{} is there already and is not overwritten: fetch into an empty folder",
            path.display()
        ),
    )
}

/// An error of the disk here, not of the source.
pub fn cannot_write(destination: &Path, error: &io::Error) -> Failure {
    let shown = destination.display();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Failure::new(
            "no_space",
            format!(
                "{shown} cannot be written, the disk here is full: free some, or name another folder"
            ),
        ),
        _ => Failure::system(format!("{shown} cannot be written"), error),
    }
}

/// The folder that everything is in until it is whole.
pub struct Staging {
    destination: PathBuf,
    into: Option<Folder>,
    new: Option<OsString>,
    name: OsString,
    folder: Option<Folder>,
    /// Folders that were made on the way.
    above: Vec<PathBuf>,
    /// Entries that were moved to their place already.
    moved: Vec<OsString>,
    links: Cell<bool>,
}

impl Staging {
    fn make(&mut self, destination: &Destination) -> io::Result<()> {
        for dir in &destination.above {
            std::fs::create_dir(dir)?;
            self.above.push(dir.clone());
        }
        let into = self.into.insert(Folder::open(&destination.into)?);
        let number = std::process::id();
        let mut attempt = 0;
        let folder = loop {
            let name = OsString::from(format!(".safe-get-{number}-{attempt}"));
            match into.make_folder(&name) {
                Ok(folder) => {
                    self.name = name;
                    break folder;
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => attempt += 1,
                Err(error) => return Err(error),
            }
        };
        self.folder.insert(folder).make_folder(OsStr::new(TREE))?;
        Ok(())
    }

    fn folder(&self) -> io::Result<&Folder> {
        self.folder.as_ref().ok_or(io::ErrorKind::NotFound.into())
    }

    /// The place that it is for.
    pub fn shown(&self) -> PathBuf {
        self.destination.clone()
    }

    /// The top of the fetched tree.
    pub fn tree(&self) -> Result<Way> {
        self.folder()
            .and_then(|folder| folder.child(OsStr::new(TREE)))
            .and_then(Way::new)
            .map_err(|e| cannot_write(&self.destination, &e))
    }

    /// Where files with several names have one more.
    pub fn links(&self) -> io::Result<Folder> {
        let (folder, name) = (self.folder()?, OsStr::new(LINKS));
        if self.links.replace(true) {
            folder.child(name)
        } else {
            folder.make_folder(name)
        }
    }

    /// Moves everything to its destination.
    pub fn move_in(&mut self, finish: &Finish) -> Result<()> {
        let destination = self.destination.clone();
        self.try_move_in(finish)
            .map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => taken(&destination),
                _ => cannot_write(&destination, &error),
            })
    }

    fn try_move_in(&mut self, finish: &Finish) -> io::Result<()> {
        let lost = || io::Error::from(io::ErrorKind::NotFound);
        let into = self.into.as_ref().ok_or_else(lost)?;
        let folder = self.folder.as_ref().ok_or_else(lost)?;
        let tree = folder.child(OsStr::new(TREE))?;
        let top = match &self.new {
            Some(new) => {
                folder.rename(OsStr::new(TREE), into, new)?;
                self.moved.push(new.clone());
                into.child(new)?
            }
            None => {
                for name in tree.names()? {
                    tree.rename(&name, into, &name)?;
                    self.moved.push(name);
                }
                into.child(OsStr::new("."))?
            }
        };
        for (name, seen) in &finish.folders {
            top.child(name)?.finish(seen)?;
        }
        match (&self.new, &finish.top) {
            (Some(_), Some(seen)) => top.finish(seen),
            (Some(_), None) => top.finish(&plain_folder()),
            (None, _) => Ok(()),
        }
    }

    /// It is whole and in its place: only what was needed on the way goes.
    pub fn done(mut self) {
        self.moved.clear();
        self.above.clear();
        self.remove();
    }

    /// Removes everything that was made.
    pub fn remove(&mut self) {
        if let Some(into) = &self.into {
            for name in self.moved.drain(..) {
                remove(into, &name);
            }
            if !self.name.is_empty() {
                self.folder = None;
                remove(into, &self.name);
            }
        }
        for dir in self.above.drain(..).rev() {
            let _ = std::fs::remove_dir(dir);
        }
    }
}

/// A folder that a file which was published alone is put into.
fn plain_folder() -> Seen {
    Seen {
        kind: Kind::Folder,
        mode: 0o755,
        size: 0,
        stored: 0,
        ino: 0,
        shared: false,
        time: std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or((0, 0), |since| {
                (since.as_secs() as i64, i64::from(since.subsec_nanos()))
            }),
    }
}

/// Removes a name with everything in it, as well as that can be done.
pub(super) fn remove(from: &Folder, name: &OsStr) {
    let is_folder = matches!(from.look(name), Ok(seen) if seen.kind == Kind::Folder);
    if is_folder {
        let _ = from.open_up(name);
        if let Ok(folder) = from.child(name) {
            let _ = walk(folder, &mut Remover);
        }
    }
    let _ = from.remove(name, is_folder);
}

struct Remover;

impl Remover {
    fn gone(way: &Way, name: &OsStr, folder: bool) -> Result<()> {
        way.here()
            .and_then(|here| here.remove(name, folder))
            .map_err(|e| Failure::system(format!("{} cannot be removed", way.shown(name)), &e))
    }
}

impl Visit for Remover {
    fn enter(&mut self, way: &Way, name: &OsStr, _: &Seen) -> Result<()> {
        way.here()
            .and_then(|here| here.open_up(name))
            .map_err(|e| Failure::system(format!("{} cannot be removed", way.shown(name)), &e))
    }

    fn other(&mut self, way: &Way, name: &OsStr, _: &Seen) -> Result<()> {
        Self::gone(way, name, false)
    }

    fn leave(&mut self, way: &Way, name: &OsStr, _: &Seen) -> Result<()> {
        Self::gone(way, name, true)
    }
}
