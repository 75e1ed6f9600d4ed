//! The source of a fetch.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use super::folder::Folder;
use super::seen::{Kind, Seen};
use super::walk::{Visit, Way, walk};
use crate::failure::{Failure, Result};
use crate::signals;

/// The source of a fetch.
pub enum Source {
    /// Everything in a folder.
    Folder(Folder, Seen),
    /// One thing in it.
    One(Folder, OsString, Seen),
}

impl Source {
    pub fn open(from: &Path, inside: &Path, url: &str) -> Result<Self> {
        let folder = Folder::open(from).map_err(|e| not_fetched(url, &e))?;
        Self::find(folder, inside, url)
    }

    pub fn find(mut folder: Folder, inside: &Path, url: &str) -> Result<Self> {
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

    pub fn visit(&self, visit: &mut dyn Visit) -> Result<()> {
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

    /// A file that was published alone is in a folder, which is left out unless a folder is named.
    pub fn alone(self, inside: &Path, dir: Option<&Path>) -> Result<Self> {
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

/// Why what `url` names cannot be fetched.
pub fn not_fetched(url: &str, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Failure::new(
            "not_found",
            format!("nothing is published as {url} on this store: check the address and the store"),
        ),
        // All that a file system can say of it.
        _ if error.raw_os_error() == Some(libc::EIO) => Failure::new(
            "cannot_read",
            format!(
                "{url} cannot be opened: a letter of the address is wrong, the store does not answer, or what it has of this is damaged; compare the address with the one that `safe publish` printed, and try again"
            ),
        ),
        _ => Failure::system(format!("{url} cannot be fetched"), error),
    }
}

/// Fails once the command was asked to end.
pub fn stopped() -> Result<()> {
    signals::asked().map_or(Ok(()), |signal| Err(Failure::stopped(signal)))
}
