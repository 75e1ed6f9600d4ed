//! The names of the result, as changes of ours.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::Result;
use crate::item::{Ino, Inode, Key, ROOT, Tag, Value};
use crate::read::Source;
use crate::tree::Tree;

use super::changes::Named;

pub(super) struct Names<'a> {
    pub(super) ours: &'a Tree,
    source: &'a dyn Source,
    overlay: BTreeMap<Key, Option<Named>>,
    /// How many names more than in ours a node has.
    more: HashMap<Ino, i64>,
    /// How many subdirectories more than in ours a directory has.
    more_directories: HashMap<Ino, i64>,
    /// The names of the overlay, by node.
    given: HashMap<Ino, BTreeSet<Key>>,
    /// Directories that got a name since they were last asked for: they have to be somewhere.
    pub(super) used: BTreeSet<Ino>,
}

impl<'a> Names<'a> {
    pub(super) fn new(ours: &'a Tree, source: &'a dyn Source) -> Self {
        Self {
            ours,
            source,
            overlay: BTreeMap::new(),
            more: HashMap::new(),
            more_directories: HashMap::new(),
            given: HashMap::new(),
            used: BTreeSet::new(),
        }
    }

    pub(super) fn inode(&self, ino: Ino) -> Result<Option<Arc<Inode>>> {
        inode(self.ours, self.source, ino)
    }

    /// The node at a name in the result.
    pub(super) fn get(&self, key: &Key) -> Result<Option<Named>> {
        match self.overlay.get(key) {
            Some(named) => Ok(*named),
            None => Ok(Named::of(self.ours.get(self.source, key)?.as_ref())),
        }
    }

    pub(super) fn set(&mut self, key: &Key, to: Option<Named>) -> Result<()> {
        let old = self.get(key)?;
        if old == to {
            return Ok(());
        }
        if let Some(old) = old {
            self.count(key, old, -1);
            if let Some(given) = self.given.get_mut(&old.ino) {
                given.remove(key);
            }
        }
        if let Some(new) = to {
            self.count(key, new, 1);
            self.given.entry(new.ino).or_default().insert(key.clone());
            self.used.insert(key.ino);
        }
        self.overlay.insert(key.clone(), to);
        Ok(())
    }

    fn count(&mut self, key: &Key, named: Named, change: i64) {
        *self.more.entry(named.ino).or_default() += change;
        if named.is_directory() {
            *self.more_directories.entry(key.ino).or_default() += change;
        }
    }

    /// How many names a node has in the result; the root has one.
    pub(super) fn links(&self, ino: Ino) -> Result<i64> {
        if ino == ROOT {
            return Ok(1);
        }
        let ours = match self.inode(ino)? {
            Some(inode) if inode.kind == crate::FileKind::Directory => i64::from(inode.nlink > 0),
            Some(inode) => i64::from(inode.nlink),
            None => 0,
        };
        Ok(ours + self.more.get(&ino).copied().unwrap_or(0))
    }

    /// Whether it has a name in the result.
    pub(super) fn lives(&self, ino: Ino) -> Result<bool> {
        Ok(self.links(ino)? > 0)
    }

    /// How many subdirectories a directory has in the result.
    pub(super) fn subdirectories(&self, ino: Ino) -> Result<i64> {
        let ours = match self.inode(ino)? {
            Some(inode) => i64::from(inode.nlink).saturating_sub(2).max(0),
            None => 0,
        };
        Ok(ours + self.more_directories.get(&ino).copied().unwrap_or(0))
    }

    /// Names that the result gives to a node and ours does not.
    pub(super) fn given(&self, ino: Ino) -> impl Iterator<Item = &Key> {
        self.given.get(&ino).into_iter().flatten()
    }

    /// The directory that a directory is in, in the result.
    pub(super) fn holder(&self, dir: Ino) -> Result<Option<Ino>> {
        if let Some(key) = self.given(dir).next() {
            return Ok(Some(key.ino));
        }
        if self.more.get(&dir).is_some_and(|more| *more < 0) {
            return Ok(None);
        }
        Ok(self.inode(dir)?.map(|inode| inode.parent))
    }

    /// The entries of a directory in the result.
    pub(super) fn entries(&self, dir: Ino) -> Result<Vec<(Key, Named)>> {
        let from = Key::entry(dir, b"");
        let to = Key::after(dir, Tag::Entry);
        let mut entries: BTreeMap<Key, Named> = BTreeMap::new();
        self.ours.scan(self.source, &from, &to, &mut |key, value| {
            if let Some(named) = Named::of(Some(value)) {
                entries.insert(key.clone(), named);
            }
            ControlFlow::Continue(())
        })?;
        for (key, named) in self.overlay.range(from..to) {
            match named {
                Some(named) => entries.insert(key.clone(), *named),
                None => entries.remove(key),
            };
        }
        Ok(entries.into_iter().collect())
    }

    /// A name that a node has in the directory `dir`.
    fn name_in(&self, dir: Ino, ino: Ino) -> Result<Option<Key>> {
        if let Some(key) = self.given(ino).find(|key| key.ino == dir) {
            return Ok(Some(key.clone()));
        }
        let mut found = HashMap::new();
        let (from, to) = (Key::entry(dir, b""), Key::after(dir, Tag::Entry));
        self.find_in(&from, &to, &mut BTreeSet::from([ino]), &mut found)?;
        Ok(found.remove(&ino))
    }

    /// Some name of each of these nodes, looked for where it should be found cheaply first. Each directory is
    /// read once, however many of them are in it.
    pub(super) fn find_names(&self, inos: &BTreeSet<Ino>) -> Result<HashMap<Ino, Key>> {
        let mut found = HashMap::new();
        let mut by_parent: BTreeMap<Ino, BTreeSet<Ino>> = BTreeMap::new();
        for ino in inos {
            if let Some(key) = self.given(*ino).next() {
                found.insert(*ino, key.clone());
            } else if let Some(inode) = self.inode(*ino)? {
                by_parent.entry(inode.parent).or_default().insert(*ino);
            }
        }
        for (dir, wanted) in &mut by_parent {
            let (from, to) = (Key::entry(*dir, b""), Key::after(*dir, Tag::Entry));
            self.find_in(&from, &to, wanted, &mut found)?;
        }
        // Their hints were old, as they may be with hard links.
        let mut rest: BTreeSet<Ino> = by_parent.into_values().flatten().collect();
        let (from, to) = (Key::inode(ROOT), Key::inode(Ino::MAX));
        self.find_in(&from, &to, &mut rest, &mut found)?;
        Ok(found)
    }

    fn find_in(
        &self,
        from: &Key,
        to: &Key,
        wanted: &mut BTreeSet<Ino>,
        found: &mut HashMap<Ino, Key>,
    ) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        self.ours.scan(self.source, from, to, &mut |key, value| {
            if let Value::Entry { ino, .. } = value
                && !self.overlay.contains_key(key)
                && wanted.remove(ino)
            {
                found.insert(*ino, key.clone());
            }
            if wanted.is_empty() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
    }

    /// The path of a directory in the result, with a slash after each name; the root's is empty. `known`
    /// keeps what was found.
    pub(super) fn path(&self, dir: Ino, known: &mut HashMap<Ino, Vec<u8>>) -> Result<Vec<u8>> {
        known.insert(ROOT, Vec::new());
        let mut way = Vec::new();
        let mut seen = BTreeSet::new();
        let mut at = dir;
        while !known.contains_key(&at) {
            let Some(holder) = self.holder(at)?.filter(|_| seen.insert(at)) else {
                break;
            };
            let Some(key) = self.name_in(holder, at)? else {
                break;
            };
            way.push((at, key));
            at = holder;
        }
        let mut path = known.get(&at).cloned().unwrap_or_default();
        for (dir, key) in way.into_iter().rev() {
            path.extend_from_slice(&key.name);
            path.push(b'/');
            known.insert(dir, path.clone());
        }
        Ok(path)
    }

    /// The nodes whose names or subdirectories are not as in ours.
    pub(super) fn touched(&self) -> impl Iterator<Item = Ino> {
        self.more
            .keys()
            .chain(self.more_directories.keys())
            .copied()
    }

    /// The names that are not as in ours.
    pub(super) fn changes(&self) -> Result<Vec<(Key, Option<Named>)>> {
        let mut changes = Vec::new();
        for (key, named) in &self.overlay {
            if Named::of(self.ours.get(self.source, key)?.as_ref()) != *named {
                changes.push((key.clone(), *named));
            }
        }
        Ok(changes)
    }
}

pub(super) fn inode(tree: &Tree, source: &dyn Source, ino: Ino) -> Result<Option<Arc<Inode>>> {
    match tree.get(source, &Key::inode(ino))? {
        Some(Value::Inode(inode)) => Ok(Some(inode)),
        _ => Ok(None),
    }
}
