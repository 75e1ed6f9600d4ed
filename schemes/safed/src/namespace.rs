//! The view of `safe:` for each user (design section 6), independent of the front.
//!
//! What always holds here: everything is answered for one uid; a name that belongs to another uid's
//! session is as absent as one that never was.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use safeos_session::{Attr, Error, FileKind, Nanos, Result};

use crate::daemon::{Daemon, Tree};
use crate::permission::Who;

/// The longest address worth asking the store for.
const ADDRESS_LEN_MAX: usize = 255;

/// A place in the namespace.
#[derive(Clone)]
pub enum Location {
    /// `/`
    Root,
    /// `.ctl`
    Control,
    /// `status`
    Status,
    /// `snapshots`
    Snapshots,
    /// `public`
    Public,
    /// The root of a volume.
    Tree(Arc<Tree>),
}

/// A name in one of the namespace's own folders.
pub struct Name {
    /// The name.
    pub name: String,
    /// The location that it names, where that is known without opening it.
    pub place: Option<Location>,
    /// Whether it is a folder.
    pub folder: bool,
}

/// The namespace of a daemon.
pub struct Namespace {
    daemon: Arc<Daemon>,
    started: Nanos,
}

impl Namespace {
    /// The namespace of `daemon`.
    pub fn new(daemon: Arc<Daemon>) -> Self {
        let started = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos() as Nanos);
        Self { daemon, started }
    }

    /// The daemon.
    pub fn daemon(&self) -> &Arc<Daemon> {
        &self.daemon
    }

    /// The location of `name` in `place` for `who`. Trees are searched by their volume, not here.
    pub fn find(&self, place: &Location, name: &[u8], who: Who) -> Result<Location> {
        let uid = who.uid;
        let name = std::str::from_utf8(name).map_err(|_| Error::NotFound)?;
        match (place, name) {
            (Location::Root, ".ctl") => Ok(Location::Control),
            (Location::Root, "status") => Ok(Location::Status),
            (Location::Root, "public") => Ok(Location::Public),
            (Location::Root, "home") => {
                let signed = self.daemon.signed(uid).ok_or(Error::NotFound)?;
                Ok(Location::Tree(Arc::clone(&signed.home)))
            }
            (Location::Root, "snapshots") if self.daemon.signed(uid).is_some() => {
                Ok(Location::Snapshots)
            }
            (Location::Snapshots, name) => {
                let signed = self.daemon.signed(uid).ok_or(Error::NotFound)?;
                self.daemon.snapshot(&signed, name).map(Location::Tree)
            }
            (Location::Public, address)
                if address.len() <= ADDRESS_LEN_MAX && !address.starts_with('.') =>
            {
                self.daemon.public(who, address).map(Location::Tree)
            }
            (Location::Control | Location::Status, _) => Err(Error::NotDirectory),
            _ => Err(Error::NotFound),
        }
    }

    /// The names in a folder of the namespace for `uid`. `public` lists nothing: a caller with an address
    /// may enter it, but learns none here.
    pub fn list(&self, place: &Location, uid: u32) -> Result<Vec<Name>> {
        let name = |name: &str, place: Location| Name {
            name: name.to_owned(),
            folder: !matches!(place, Location::Control | Location::Status),
            place: Some(place),
        };
        match place {
            Location::Root => {
                let mut names = vec![name(".ctl", Location::Control)];
                if let Some(signed) = self.daemon.signed(uid) {
                    names.push(name("home", Location::Tree(Arc::clone(&signed.home))));
                    names.push(name("snapshots", Location::Snapshots));
                }
                names.push(name("public", Location::Public));
                names.push(name("status", Location::Status));
                Ok(names)
            }
            Location::Snapshots => {
                let signed = self.daemon.signed(uid).ok_or(Error::NotFound)?;
                let snapshots = signed.member.snapshots()?;
                Ok(snapshots
                    .into_iter()
                    .map(|snapshot| Name {
                        name: snapshot.name,
                        place: None,
                        folder: true,
                    })
                    .collect())
            }
            Location::Public => Ok(Vec::new()),
            Location::Control | Location::Status => Err(Error::NotDirectory),
            Location::Tree(_) => Err(Error::Invalid("not one of the namespace's own folders")),
        }
    }

    /// The attributes of a place; `ino` is 0 where the front gives the number.
    pub fn attr(&self, place: &Location) -> Result<Attr> {
        let (kind, perm, nlink) = match place {
            Location::Root => (FileKind::Directory, 0o555, 5),
            Location::Snapshots | Location::Public => (FileKind::Directory, 0o555, 2),
            Location::Control => (FileKind::File, 0o666, 1),
            Location::Status => (FileKind::File, 0o444, 1),
            Location::Tree(tree) => return tree.volume.attr(tree.root),
        };
        Ok(Attr {
            ino: 0,
            kind,
            perm,
            nlink,
            uid: self.daemon.uid,
            gid: 0,
            rdev: 0,
            size: 0,
            blocks: 0,
            atime: self.started,
            mtime: self.started,
            ctime: self.started,
            btime: self.started,
        })
    }

    /// The text of `status` for `uid`: one `key: value` a line.
    pub fn status(&self, uid: u32) -> String {
        let mut text = String::new();
        let mut line = |key: &str, value: &str| {
            // A value never spans lines, whatever is in a name or a message.
            let value: String = value
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect();
            text.push_str(key);
            text.push_str(": ");
            text.push_str(value.trim_end());
            text.push('\n');
        };
        let mut problems = self.daemon.problems();
        match self.daemon.signed(uid) {
            None => {
                line("account", "none");
                line("store", &self.daemon.store);
            }
            Some(signed) => {
                let status = signed.member.status();
                line("account", &status.account);
                line("store", &status.store);
                line("offline", if status.offline { "yes" } else { "no" });
                line("used", &status.used_bytes.to_string());
                line("nodes", &status.nodes.to_string());
                line("unpublished", &status.unpublished_bytes.to_string());
                if let Some(waiting) = &status.waiting {
                    line("waiting since", &waiting.since);
                    line("waiting because", &waiting.why);
                    line("next try", &waiting.next_try);
                }
                line("published", &status.published);
                line("records", &status.records.to_string());
                line("cost", &status.cost);
                line("peers", "0");
                problems.extend(status.problems);
            }
        }
        line("problems", &problems.len().to_string());
        for problem in problems {
            line("problem", &problem);
        }
        text
    }
}
