//! Whose the nodes of a tree are, in the numbers of this computer.
//!
//! What always holds here: nowhere else does an owner of a tree become a number of this computer, or a number an
//! owner. What is the person's is shown as the session's user's, and what a caller gives to that user is kept as the
//! person's. Other numbers are kept as they are.

use parking_lot::RwLock;
use safeos_tree::{Inode, Key, Owner, ROOT, Value};

use crate::failure::Fault;
use crate::worktree::look::{self, Look};
use crate::{Attr, Error, Ino};

/// The attribute of the root folder that says which numbers of an earlier home are the person's, from when somebody else
/// has that folder. No program can set or see an attribute with NUL in its name.
const EARLY_NAME: &[u8] = b"\0early";
/// Where it says that there is no such number.
const NO_NUMBER: u32 = u32::MAX;
/// What a system says for a user or group that it has no number for, and what its calls take for "leave as it is".
const UNKNOWN: u32 = u32::MAX;
/// What a node belongs to whose maker has no number: the one that systems show for that.
const NOBODY: u32 = 65534;

/// Whether an attribute is the format's own, and not a program's.
pub(crate) fn is_own_attribute(name: &[u8]) -> bool {
    name.contains(&0)
}

/// The numbers that meant the person in a home made before there was [`Owner::Person`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Early {
    user: Option<u32>,
    group: Option<u32>,
}

impl Early {
    fn of(look: Look<'_>) -> Result<Self, Fault> {
        let key = Key::xattr(ROOT, EARLY_NAME);
        if let Some(Value::Xattr(bytes)) = look.tree.get(look.source, &key)? {
            return Ok(Self::read(&bytes)?);
        }
        let root = look.inode(ROOT)?;
        let number = |owner| match owner {
            Owner::Early(number) => Some(number),
            Owner::Person | Owner::Number(_) => None,
        };
        Ok(Self {
            user: number(root.uid),
            group: number(root.gid),
        })
    }

    fn read(bytes: &[u8]) -> Result<Self, Error> {
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

    fn write(self) -> Vec<u8> {
        let number = |number: Option<u32>| number.unwrap_or(NO_NUMBER).to_le_bytes();
        [number(self.user), number(self.group)].concat()
    }
}

/// Whose the nodes of one tree are.
pub(crate) struct Owners {
    /// The session's user and group here.
    user: u32,
    group: u32,
    /// Whether all nodes are shown as theirs.
    all: bool,
    /// What the root folder says, once it was asked.
    early: RwLock<Option<Early>>,
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

    /// Of a public tree, which belongs to whoever looks: whose it was is nobody's business.
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

    fn early(&self, look: Look<'_>) -> Result<Early, Fault> {
        let known = *self.early.read();
        if let Some(early) = known {
            return Ok(early);
        }
        let early = Early::of(look)?;
        *self.early.write() = Some(early);
        Ok(early)
    }

    /// The same where these owners ask for it at all.
    fn early_for(&self, look: Look<'_>, inode: &Inode) -> Result<Early, Fault> {
        let asks = |owner| matches!(owner, Owner::Early(_));
        if !self.all && (asks(inode.uid) || asks(inode.gid)) {
            self.early(look)
        } else {
            Ok(Early::default())
        }
    }

    /// What `stat` shows.
    pub(crate) fn attr(&self, look: Look<'_>, ino: Ino, inode: &Inode) -> Result<Attr, Fault> {
        Ok(self.shown(self.early_for(look, inode)?, ino, inode))
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

    fn shown(&self, early: Early, ino: Ino, inode: &Inode) -> Attr {
        let number = |owner, early, own| match settled(owner, early) {
            Owner::Number(number) | Owner::Early(number) if !self.all => number,
            _ => own,
        };
        let owner = (
            number(inode.uid, early.user, self.user),
            number(inode.gid, early.group, self.group),
        );
        look::attr(ino, inode, owner)
    }

    /// The owner and the group of what a caller makes.
    pub(crate) fn maker(&self, uid: u32, gid: u32) -> (Owner, Owner) {
        let known = |number| if number == UNKNOWN { NOBODY } else { number };
        (kept(known(uid), self.user), kept(known(gid), self.group))
    }

    /// Gives a node to another user or group, and says what else is to change. A node that stays the same person's
    /// stays as it is.
    pub(crate) fn give(
        &self,
        look: Look<'_>,
        ino: Ino,
        inode: &mut Inode,
        (uid, gid): (Option<u32>, Option<u32>),
    ) -> Result<Option<(Key, Option<Value>)>, Fault> {
        let early = self.early_for(look, inode)?;
        let given = |number: Option<u32>, own, before, early| match number {
            Some(number) if number != UNKNOWN => {
                let new = kept(number, own);
                if settled(before, early) == new {
                    before
                } else {
                    new
                }
            }
            _ => before,
        };
        inode.uid = given(uid, self.user, inode.uid, early.user);
        inode.gid = given(gid, self.group, inode.gid, early.group);
        let number = |owner| matches!(owner, Owner::Number(_));
        if ino != ROOT || !number(inode.uid) && !number(inode.gid) {
            return Ok(None);
        }
        // The root folder does not say any more which numbers were the person's.
        let key = Key::xattr(ROOT, EARLY_NAME);
        if look.tree.get(look.source, &key)?.is_some() {
            return Ok(None);
        }
        let record = self.early(look)?.write();
        Ok(Some((key, Some(Value::Xattr(record.into())))))
    }

    /// Makes a node of this tree mean the same in any other of the home.
    pub(crate) fn settle(&self, look: Look<'_>, inode: &mut Inode) -> Result<(), Fault> {
        let early = self.early_for(look, inode)?;
        inode.uid = settled(inode.uid, early.user);
        inode.gid = settled(inode.gid, early.group);
        Ok(())
    }
}

/// What is kept for a number that a caller gives.
fn kept(number: u32, own: u32) -> Owner {
    if number == own {
        Owner::Person
    } else {
        Owner::Number(number)
    }
}

/// An owner without regard to when it was written.
fn settled(owner: Owner, early: Option<u32>) -> Owner {
    match owner {
        Owner::Early(number) if early == Some(number) => Owner::Person,
        Owner::Early(number) => Owner::Number(number),
        other => other,
    }
}
