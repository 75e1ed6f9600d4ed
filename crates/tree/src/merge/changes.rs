//! The changes of one side since the base, by node and by name.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::Result;
use crate::diff::diff;
use crate::item::{FileKind, Ino, Inode, Key, Value};
use crate::read::Source;
use crate::tree::Tree;

/// The node of a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Named {
    pub(super) ino: Ino,
    pub(super) kind: FileKind,
}

impl Named {
    pub(super) fn is_directory(self) -> bool {
        self.kind == FileKind::Directory
    }

    pub(super) fn of(value: Option<&Value>) -> Option<Self> {
        match value {
            Some(Value::Entry { ino, kind }) => Some(Self {
                ino: *ino,
                kind: *kind,
            }),
            _ => None,
        }
    }
}

impl From<Named> for Value {
    fn from(named: Named) -> Self {
        Self::Entry {
            ino: named.ino,
            kind: named.kind,
        }
    }
}

/// A value before and after.
pub(super) type Pair<T> = (Option<T>, Option<T>);

/// The changes of a node, its names apart.
#[derive(Default)]
pub(super) struct NodeChange {
    pub(super) inode: Option<Pair<Arc<Inode>>>,
    pub(super) xattrs: BTreeMap<Key, Pair<Value>>,
    pub(super) blocks: BTreeMap<Key, Pair<Value>>,
}

impl NodeChange {
    /// Whether its content is another.
    pub(super) fn content(&self) -> bool {
        !self.blocks.is_empty()
            || match &self.inode {
                Some((Some(before), Some(now))) => {
                    before.size != now.size || before.target != now.target
                }
                Some(_) => true,
                None => false,
            }
    }

    /// Whether the change would be missed if the node went away. Names, and times that mere reading
    /// or renaming changes, do not count.
    pub(super) fn matters(&self) -> bool {
        self.content()
            || !self.xattrs.is_empty()
            || match &self.inode {
                Some((Some(before), Some(now))) => {
                    (before.perm, before.uid, before.gid, before.mtime)
                        != (now.perm, now.uid, now.gid, now.mtime)
                }
                Some(_) => true,
                None => false,
            }
    }
}

/// The changes of one side.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) names: BTreeMap<Key, Pair<Named>>,
    pub(super) nodes: BTreeMap<Ino, NodeChange>,
    pub(super) home: BTreeMap<Key, Pair<Value>>,
    /// The names that a node got, and those it lost.
    pub(super) gained: BTreeMap<Ino, Vec<Key>>,
    pub(super) lost: BTreeMap<Ino, Vec<Key>>,
    kinds: HashMap<Ino, FileKind>,
}

impl Changes {
    pub(super) fn between(base: &Tree, now: &Tree, source: &dyn Source) -> Result<Self> {
        let mut changes = Self::default();
        diff(base, now, source, &mut |key, before, now| {
            changes.add(key, before, now);
            Ok(())
        })?;
        Ok(changes)
    }

    fn add(&mut self, key: &Key, before: Option<&Value>, now: Option<&Value>) {
        if key.ino == 0 {
            self.home
                .insert(key.clone(), (before.cloned(), now.cloned()));
            return;
        }
        match now.or(before) {
            Some(Value::Entry { .. }) => {
                let (before, now) = (Named::of(before), Named::of(now));
                for (named, list) in [(before, &mut self.lost), (now, &mut self.gained)] {
                    if let Some(named) = named {
                        list.entry(named.ino).or_default().push(key.clone());
                        self.kinds.insert(named.ino, named.kind);
                    }
                }
                self.names.insert(key.clone(), (before, now));
            }
            Some(Value::Inode(_)) => {
                let inode = |value: Option<&Value>| match value {
                    Some(Value::Inode(inode)) => Some(inode.clone()),
                    _ => None,
                };
                let pair = (inode(before), inode(now));
                self.nodes.entry(key.ino).or_default().inode = Some(pair);
            }
            Some(Value::Xattr(_)) => {
                let pair = (before.cloned(), now.cloned());
                let node = self.nodes.entry(key.ino).or_default();
                node.xattrs.insert(key.clone(), pair);
            }
            Some(Value::Block(_)) => {
                let pair = (before.cloned(), now.cloned());
                let node = self.nodes.entry(key.ino).or_default();
                node.blocks.insert(key.clone(), pair);
            }
            Some(Value::Snapshot(_) | Value::Range(_)) | None => {}
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.nodes.is_empty() && self.home.is_empty()
    }

    /// The kind of a node that gained or lost a name.
    pub(super) fn named(&self, ino: Ino) -> Option<Named> {
        let kind = *self.kinds.get(&ino)?;
        Some(Named { ino, kind })
    }

    pub(super) fn gained(&self, ino: Ino) -> &[Key] {
        self.gained.get(&ino).map_or(&[], Vec::as_slice)
    }

    pub(super) fn lost(&self, ino: Ino) -> &[Key] {
        self.lost.get(&ino).map_or(&[], Vec::as_slice)
    }

    pub(super) fn matter(&self, ino: Ino) -> bool {
        self.nodes.get(&ino).is_some_and(NodeChange::matters)
    }

    /// The node that this side has at a name that `other` changed.
    pub(super) fn at(&self, key: &Key, other: &Self) -> Option<Named> {
        match self.names.get(key) {
            Some((_, now)) => *now,
            None => other.names.get(key).and_then(|(before, _)| *before),
        }
    }
}
