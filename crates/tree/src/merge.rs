//! Merging: two states of a home that come from the same one become one state.
//!
//! What always holds here: nothing is lost silently. A change of only one side is applied. Where both sides
//! changed the same file, theirs keeps the name and ours gets a name beside it that says whose
//! it is and when. A node that one side removed while the other changed it stays. The result is a tree that
//! [`check`](crate::check()) finds right, and its cost grows with the changes, not with the home.
//!
//! The order of work: names first (which node is called what, in which directory), since they decide
//! which nodes live; then the nodes' contents and attributes; then the links, counted again.
//!
//! ```text
//! changes   what each side did since the base, by node and by name
//! names     the names of the result, over those of ours
//! place     the rules: which name goes where
//! nodes     the rules: which content and attributes a node has
//! naming    conflict names, and the session's part in them
//! renumber  nodes of two sessions that have the same number by mistake
//! ```

mod both;
mod changes;
mod names;
mod naming;
mod nodes;
mod place;
mod renumber;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::Result;
use crate::batch::Batch;
use crate::item::{Ino, Key, Tag, Value};
use crate::read::Source;
use crate::tree::Tree;
use changes::{Changes, Named};
use names::Names;

pub use naming::{Naming, conflict_name};

/// The kind of a conflict.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum ConflictKind {
    /// Both changed the same file's content.
    BothChanged,
    /// Both gave the same name to different things.
    SameName,
    /// One side removed what the other changed; it was kept.
    Restored,
    /// Both moved directories into one another; our move was undone.
    MoveUndone,
}

/// A place where both sides did something that cannot be had at once.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Conflict {
    /// Where it is, from the home's root without a slash before it.
    pub path: Vec<u8>,
    /// The name beside it that our version was given, if it needed one.
    pub copy: Option<Vec<u8>>,
    /// The kind of the conflict.
    pub kind: ConflictKind,
}

/// The result of a merge.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Merged {
    /// Changes that make our tree into the result.
    pub batch: Batch,
    /// The conflicts that people should be told of.
    pub conflicts: Vec<Conflict>,
}

/// Merges what was done since `base` in `theirs` into `ours`.
pub fn merge(
    base: &Tree,
    ours: &Tree,
    theirs: &Tree,
    source: &dyn Source,
    naming: &mut dyn Naming,
) -> Result<Merged> {
    let ours_changes = Changes::between(base, ours, source)?;
    let theirs_changes = Changes::between(base, theirs, source)?;
    if theirs_changes.is_empty() {
        return Ok(Merged::default());
    }
    let numbers = renumber::collisions(&ours_changes, &theirs_changes, naming)?;
    if numbers.is_empty() {
        return Merge::new(ours, theirs, source, naming, ours_changes, theirs_changes).run();
    }
    let mut batch = renumber::renumber(ours, source, &ours_changes, &numbers)?;
    let mut ours = ours.clone();
    ours.apply(source, batch.clone())?;
    let ours_changes = Changes::between(base, &ours, source)?;
    let merged = Merge::new(&ours, theirs, source, naming, ours_changes, theirs_changes).run()?;
    batch.extend(merged.batch);
    Ok(Merged {
        batch,
        conflicts: merged.conflicts,
    })
}

/// A conflict, before paths are known.
struct Noted {
    /// The name that was kept.
    at: Key,
    /// Our version's name.
    copy: Option<Key>,
    kind: ConflictKind,
}

/// Two things that want one name: theirs has it.
struct Contest {
    at: Key,
    ours: Named,
    theirs: Named,
}

struct Merge<'a> {
    theirs: &'a Tree,
    source: &'a dyn Source,
    naming: &'a mut dyn Naming,
    /// The changes of each side.
    o: Changes,
    t: Changes,
    names: Names<'a>,
    /// To be settled.
    contests: Vec<Contest>,
    /// Our directories that became one with one of theirs.
    joined: HashMap<Ino, Ino>,
    /// Our nodes of which theirs has the same.
    same: BTreeSet<Ino>,
    /// The result's items other than names, where they differ from ours.
    items: BTreeMap<Key, Option<Value>>,
    noted: Vec<Noted>,
}

impl<'a> Merge<'a> {
    fn new(
        ours: &'a Tree,
        theirs: &'a Tree,
        source: &'a dyn Source,
        naming: &'a mut dyn Naming,
        o: Changes,
        t: Changes,
    ) -> Self {
        Self {
            theirs,
            source,
            naming,
            o,
            t,
            names: Names::new(ours, source),
            contests: Vec::new(),
            joined: HashMap::new(),
            same: BTreeSet::new(),
            items: BTreeMap::new(),
            noted: Vec::new(),
        }
    }

    fn run(mut self) -> Result<Merged> {
        self.place_names()?;
        self.settle_nodes()?;
        self.settle_home()?;
        let conflicts = self.conflicts()?;
        let mut batch: Batch = Vec::new();
        for (key, value) in self.names.changes()? {
            batch.push((key, value.map(Value::from)));
        }
        for (key, value) in self.items {
            if self.names.ours.get(self.source, &key)? != value {
                batch.push((key, value));
            }
        }
        batch.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Merged { batch, conflicts })
    }

    /// Snapshots and ranges: those of either side.
    fn settle_home(&mut self) -> Result<()> {
        for (key, (_, now)) in &self.t.home {
            let Some((_, ours)) = self.o.home.get(key) else {
                self.items.insert(key.clone(), now.clone());
                continue;
            };
            if ours == now || now.is_none() {
                continue;
            }
            self.items.insert(key.clone(), now.clone());
            // Two commits of the same nanosecond: ours is remembered one later. A range that both took
            // is theirs; its other user has to take a new one.
            if key.tag == Tag::Snapshot && ours.is_some() {
                let mut free = key.clone();
                while self.names.ours.get(self.source, &free)?.is_some()
                    || self.items.contains_key(&free)
                {
                    free.number = free.number.wrapping_add(1);
                }
                self.items.insert(free, ours.clone());
            }
        }
        Ok(())
    }

    fn conflicts(&mut self) -> Result<Vec<Conflict>> {
        let mut conflicts = Vec::new();
        let mut known = HashMap::new();
        for noted in std::mem::take(&mut self.noted) {
            let mut path = self.names.path(noted.at.ino, &mut known)?;
            path.extend_from_slice(&noted.at.name);
            conflicts.push(Conflict {
                path,
                copy: noted.copy.map(|key| key.name.to_vec()),
                kind: noted.kind,
            });
        }
        conflicts.sort();
        conflicts.dedup();
        Ok(conflicts)
    }
}
