//! Requests that look at what is open: attributes, places, listings.
//!
//! What always holds here: nothing is changed by them, so each can be cancelled while it waits.

use safeos_session::{Attr, Error, FileKind, Space};

use super::front::Front;
use super::handles::{Handle, View, What};
use super::walk::MOUNTED_AT;
use super::wire::{self, Done, Errno, Listing};
use super::wire::{EACCES, EBADF, EINVAL, ENODEV, ENOTDIR, ESPIPE, EXDEV};
use crate::namespace::Location;

/// The most bytes of entries that one listing gives.
const LIST_MAX: usize = 1 << 20;
const NOTHING: Done = Done::Value(0);

type Answer<T = Done> = Result<T, Errno>;

fn errno(error: Error) -> Errno {
    error.errno()
}

impl Front {
    /// The attributes of an open node, and the number of its tree.
    pub(super) fn attr(&self, handle: &Handle) -> Answer<(u64, Attr)> {
        let place = |place: &Location| self.namespace.attr(place).map_err(errno);
        Ok(match &handle.what {
            What::Node(held) | What::Link(held) | What::Directory(held, _) => {
                (held.tree.key, self.attr_of(held)?)
            }
            What::Location(at) => {
                if let View::Session(signed) = &handle.view {
                    self.is_signed(signed)?;
                }
                (
                    0,
                    Attr {
                        ino: place_number(at),
                        ..place(at)?
                    },
                )
            }
            What::Sessions => (
                0,
                Attr {
                    perm: 0o111,
                    ..place(&Location::Public)?
                },
            ),
            What::Conversation(_) => (
                0,
                Attr {
                    ino: place_number(&Location::Control),
                    ..place(&Location::Control)?
                },
            ),
            What::Text(text) => {
                let attr = place(&Location::Status)?;
                let size = text.len() as u64;
                (
                    0,
                    Attr {
                        ino: place_number(&Location::Status),
                        size,
                        ..attr
                    },
                )
            }
            What::NewLink(link) => match *link.made.lock() {
                Some(ino) => {
                    let attr = link.dir.tree.volume.attr(ino).map_err(errno)?;
                    (link.dir.tree.key, attr)
                }
                None => {
                    let kind = FileKind::Symlink;
                    (
                        link.dir.tree.key,
                        Attr {
                            kind,
                            perm: 0o777,
                            ..place(&Location::Status)?
                        },
                    )
                }
            },
            What::Ended => return Err(ENODEV),
        })
    }

    pub(super) fn stat(&self, id: usize, out: &mut Vec<u8>) -> Answer {
        let handle = self.handles.get(id)?;
        let (tree, attr) = self.attr(&handle)?;
        wire::stat_bytes(tree, &attr, out);
        Ok(NOTHING)
    }

    pub(super) fn size(&self, id: usize) -> Answer {
        let handle = self.handles.get(id)?;
        if matches!(handle.what, What::Conversation(_)) {
            return Err(ESPIPE);
        }
        let (_, attr) = self.attr(&handle)?;
        Ok(Done::Value(
            usize::try_from(attr.size).unwrap_or(usize::MAX >> 1),
        ))
    }

    pub(super) fn space(&self, id: usize, out: &mut Vec<u8>) -> Answer {
        let handle = self.handles.get(id)?;
        let uid = match &handle.view {
            View::Session(signed) => Some(signed.uid),
            View::Common => handle.who.map(|who| who.uid),
        };
        let space = match handle.held() {
            Some(held) => held.tree.volume.space().map_err(errno)?,
            None => match uid.and_then(|uid| self.namespace.daemon().signed(uid)) {
                Some(signed) => signed.home.volume.space().map_err(errno)?,
                None => Space::default(),
            },
        };
        wire::space_bytes(&space, out);
        Ok(NOTHING)
    }

    /// Where a handle is, as an absolute path that opens it again.
    fn full_path(&self, handle: &Handle) -> Answer<String> {
        let inside = match handle.held() {
            Some(held) => self.path_in_tree(handle, held)?,
            None => handle.path.to_string(),
        };
        let mut path = MOUNTED_AT.to_owned();
        if !inside.is_empty() {
            path.push('/');
            path.push_str(&inside);
        }
        Ok(path)
    }

    pub(super) fn path(&self, id: usize, room: usize, out: &mut Vec<u8>) -> Answer {
        let handle = self.handles.get(id)?;
        let path = self.full_path(&handle)?;
        out.extend_from_slice(path.as_bytes());
        out.truncate(room);
        Ok(Done::Value(out.len()))
    }

    pub(super) fn relative(&self, id: usize, dir: usize, room: usize, out: &mut Vec<u8>) -> Answer {
        let path = self.full_path(&*self.handles.get(id)?)?;
        let base = self.full_path(&*self.handles.get(dir)?)?;
        let rest = path.strip_prefix(&base).ok_or(EXDEV)?;
        let rest = match rest.strip_prefix('/') {
            Some(rest) => rest,
            None if rest.is_empty() => "",
            None => return Err(EXDEV),
        };
        if rest.len() > room {
            return Err(EINVAL);
        }
        out.extend_from_slice(rest.as_bytes());
        Ok(Done::Value(out.len()))
    }

    pub(super) fn list(
        &self,
        id: usize,
        room: usize,
        header: u16,
        at: u64,
        out: &mut Vec<u8>,
    ) -> Answer {
        let handle = self.handles.get(id)?;
        out.resize(room.min(LIST_MAX), 0);
        let mut listing = Listing::new(out, header)?;
        // Whether an entry did not fit.
        let mut full = false;
        match &handle.what {
            What::Directory(held, shared) => {
                if !handle.read {
                    return Err(EBADF);
                }
                // Taken out so that no lock is held while the volume works; a second reader of the same
                // handle meanwhile starts with an empty memory, which is only slower.
                let mut cursor = std::mem::take(&mut *shared.lock());
                let volume = &*held.tree.volume;
                let result = cursor.read(volume, held.ino, at, |next, entry| {
                    // A name that is no text cannot be said here, nor asked for.
                    let Ok(name) = std::str::from_utf8(&entry.name) else {
                        return true;
                    };
                    full = !listing.add(next, entry.attr.ino, entry.attr.kind, name);
                    !full
                });
                *shared.lock() = cursor;
                // Entries before an error are returned.
                if let Err(error) = result
                    && listing.is_empty()
                {
                    return Err(errno(error));
                }
            }
            What::Location(place) if !matches!(place, Location::Control | Location::Status) => {
                let uid = match &handle.view {
                    View::Session(signed) => {
                        self.is_signed(signed)?;
                        signed.uid
                    }
                    View::Common => handle.who.ok_or(EACCES)?.uid,
                };
                let names = self.namespace.list(place, uid).map_err(errno)?;
                let skip = usize::try_from(at).unwrap_or(usize::MAX);
                for (index, name) in names.iter().enumerate().skip(skip) {
                    let kind = if name.folder {
                        FileKind::Directory
                    } else {
                        FileKind::File
                    };
                    let number = name.place.as_ref().map_or(u64::MAX, place_number);
                    full = !listing.add(index as u64 + 1, number, kind, &name.name);
                    if full {
                        break;
                    }
                }
            }
            What::Sessions => return Err(EACCES),
            What::Ended => return Err(ENODEV),
            _ => return Err(ENOTDIR),
        }
        if full && listing.is_empty() {
            return Err(EINVAL);
        }
        let written = listing.finish();
        out.truncate(written);
        Ok(Done::Value(written))
    }
}

/// The number that a place of the namespace shows.
fn place_number(place: &Location) -> u64 {
    match place {
        Location::Root => 1,
        Location::Control => 2,
        Location::Status => 3,
        Location::Snapshots => 4,
        Location::Public => 5,
        Location::Tree(tree) => tree.root,
    }
}
