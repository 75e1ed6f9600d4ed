//! Owners that need a look at the tree: the root folder's note on an earlier home, and giving a node away.

use safeos_tree::{Inode, Key, Owner, ROOT, Value};

use crate::failure::Fault;
use crate::worktree::owners::{EARLY_NAME, Early, Owners, UNKNOWN, kept, settled};
use crate::worktree::tree_view::TreeView;
use crate::{Attr, Ino};

impl Early {
    fn of(look: TreeView<'_>) -> Result<Self, Fault> {
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
}

impl Owners {
    fn early(&self, look: TreeView<'_>) -> Result<Early, Fault> {
        let known = *self.early.read();
        if let Some(early) = known {
            return Ok(early);
        }
        let early = Early::of(look)?;
        *self.early.write() = Some(early);
        Ok(early)
    }

    /// The same where these owners ask for it at all.
    fn early_for(&self, look: TreeView<'_>, inode: &Inode) -> Result<Early, Fault> {
        let asks = |owner| matches!(owner, Owner::Early(_));
        if !self.all && (asks(inode.uid) || asks(inode.gid)) {
            self.early(look)
        } else {
            Ok(Early::default())
        }
    }

    /// The attributes that `stat` shows.
    pub(crate) fn attr(&self, look: TreeView<'_>, ino: Ino, inode: &Inode) -> Result<Attr, Fault> {
        Ok(self.shown(self.early_for(look, inode)?, ino, inode))
    }

    /// Gives a node to another user or group, and says what else is to change. A node that stays the same person's
    /// stays as it is.
    pub(crate) fn give(
        &self,
        look: TreeView<'_>,
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
    pub(crate) fn settle(&self, look: TreeView<'_>, inode: &mut Inode) -> Result<(), Fault> {
        let early = self.early_for(look, inode)?;
        inode.uid = settled(inode.uid, early.user);
        inode.gid = settled(inode.gid, early.group);
        Ok(())
    }
}
