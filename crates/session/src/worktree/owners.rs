//! The owners of a tree's nodes, in the numbers of this computer.
//!
//! What always holds here: nowhere else does an owner of a tree become a number of this computer, or a number an
//! owner. The person's nodes are shown as the session's user's, and nodes that a caller gives to that user are kept as
//! the person's. Other numbers are kept as they are.

use crate::lock::RwLock;
use safeos_tree::{Inode, Owner};

use crate::worktree::attr::attr;
use crate::{Attr, Error, Ino};

/// The attribute of the root folder that says which numbers of an earlier home are the person's, from when that folder
/// has another owner. No program can set or see an attribute with NUL in its name.
pub(super) const EARLY_NAME: &[u8] = b"\0early";
/// Where it says that there is no such number.
const NO_NUMBER: u32 = u32::MAX;
/// The number that a system shows for an unknown user or group, and that its calls take for "leave as it is".
pub(super) const UNKNOWN: u32 = u32::MAX;
/// The owner of a node whose maker has no number: the one that systems show for that.
const NOBODY: u32 = 65534;

/// Whether an attribute is the format's own, and not a program's.
pub(crate) fn is_own_attribute(name: &[u8]) -> bool {
    name.contains(&0)
}

/// The numbers that meant the person in a home made before there was [`Owner::Person`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Early {
    pub(super) user: Option<u32>,
    pub(super) group: Option<u32>,
}

impl Early {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Error> {
        let number = |part: &[u8]| {
            let number = u32::from_le_bytes(part.try_into().ok()?);
            Some((number != NO_NUMBER).then_some(number))
        };
        match (
            bytes.get(..4).and_then(number),
            bytes.get(4..).and_then(number),
        ) {
            (Some(user), Some(group)) => Ok(Self { user, group }),
            _ => Err(Error::Damaged(
                "the root folder does not say whose it was".into(),
            )),
        }
    }

    pub(super) fn write(self) -> Vec<u8> {
        let number = |number: Option<u32>| number.unwrap_or(NO_NUMBER).to_le_bytes();
        [number(self.user), number(self.group)].concat()
    }
}

/// Whose the nodes of one tree are.
pub(crate) struct Owners {
    /// The session's user and group here.
    pub(super) user: u32,
    pub(super) group: u32,
    /// Whether all nodes are shown as theirs.
    pub(super) all: bool,
    /// The root folder's answer, once it was read.
    pub(super) early: RwLock<Option<Early>>,
}

impl Owners {
    /// Of a home of this user and group, or a snapshot of one.
    pub(crate) fn of_home((user, group): (u32, u32)) -> Self {
        Self {
            user,
            group,
            all: false,
            early: RwLock::new(None),
        }
    }

    /// Of a public tree, which belongs to its viewer: its former owner is not shown.
    pub(crate) fn of_public(viewer: (u32, u32)) -> Self {
        Self {
            all: true,
            ..Self::of_home(viewer)
        }
    }

    /// The same for another tree of the home.
    pub(crate) fn of_another_tree(&self) -> Self {
        Self::of_home((self.user, self.group))
    }

    /// Forgets what the root folder said: it may be another now.
    pub(crate) fn forget(&self) {
        *self.early.write() = None;
    }

    /// The same without looking; `None` if that is needed.
    pub(crate) fn attr_at_once(&self, ino: Ino, inode: &Inode) -> Option<Attr> {
        let asks = |owner| matches!(owner, Owner::Early(_));
        let early = match *self.early.read() {
            Some(early) => early,
            None if self.all || !asks(inode.uid) && !asks(inode.gid) => Early::default(),
            None => return None,
        };
        Some(self.shown(early, ino, inode))
    }

    pub(super) fn shown(&self, early: Early, ino: Ino, inode: &Inode) -> Attr {
        let number = |owner, early, own| match settled(owner, early) {
            Owner::Number(number) | Owner::Early(number) if !self.all => number,
            _ => own,
        };
        let owner = (
            number(inode.uid, early.user, self.user),
            number(inode.gid, early.group, self.group),
        );
        attr(ino, inode, owner)
    }

    /// The owner and the group of a caller's new node.
    pub(crate) fn maker(&self, uid: u32, gid: u32) -> (Owner, Owner) {
        let known = |number| if number == UNKNOWN { NOBODY } else { number };
        (kept(known(uid), self.user), kept(known(gid), self.group))
    }
}

/// The owner that is kept for a number that a caller gives.
pub(super) fn kept(number: u32, own: u32) -> Owner {
    if number == own {
        Owner::Person
    } else {
        Owner::Number(number)
    }
}

/// An owner without regard to when it was written.
pub(super) fn settled(owner: Owner, early: Option<u32>) -> Owner {
    match owner {
        Owner::Early(number) if early == Some(number) => Owner::Person,
        Owner::Early(number) => Owner::Number(number),
        other => other,
    }
}
