//! Looking after a home on its store: check, copy.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use safeos_account::Head;
use safeos_record::{Address, Pointer, Target};
use safeos_store::{Error as StoreError, Store};
use safeos_tree::{
    Block, Commit, ObjectKind, ObjectRef, Source, Tree, check, directory, references,
};

use crate::admin::copy::copy;
use crate::sync::ancestry::{Ancestry, State as Published};
use crate::sync::attempt::Told;
use crate::worktree::tree_view::TreeView;
use crate::{Checked, Copied, Error, Ino, Progress, Result, Session, Step};

/// How many records are read with one call.
const READ_AT_ONCE: usize = 8;
/// How many lines a check gives at most.
const LINES_MAX: usize = 10_000;

/// A published state.
struct State {
    name: String,
    tree: Tree,
}

/// The records that a home's history refers to.
pub(crate) struct Reached {
    states: Vec<State>,
    pub(crate) heads: BTreeSet<Address>,
    pub(crate) packs: BTreeSet<Address>,
    /// Nodes that cannot be had, and heads.
    pub(crate) damaged: Vec<String>,
    /// Objects that have been visited.
    seen: HashSet<ObjectRef>,
}

impl Reached {
    /// Adds what a tree refers to.
    pub(crate) fn add(&mut self, tree: &Tree, source: &dyn Source, name: &str) -> Result<()> {
        let Self {
            packs,
            damaged,
            seen,
            ..
        } = self;
        references(
            tree,
            source,
            seen,
            &mut |_: ObjectKind, at| {
                packs.insert(at.pack);
                Ok(())
            },
            &mut |_, error| {
                if damaged.len() < LINES_MAX {
                    damaged.push(format!("{name}: {error}"));
                }
                Ok(())
            },
        )?;
        Ok(())
    }
}

impl Session {
    /// Every state of the home that is published, newest last, and the packs they refer to.
    pub(crate) fn reach(&self, progress: &dyn Progress) -> Result<Reached> {
        let mut reached = Reached {
            states: Vec::new(),
            heads: BTreeSet::new(),
            packs: BTreeSet::new(),
            damaged: Vec::new(),
            seen: HashSet::new(),
        };
        let account = self.sync.account().read().clone();
        let snapshots = self.snapshots()?;
        let total = snapshots.len() as u64;
        for (done, snapshot) in snapshots.into_iter().enumerate() {
            if progress.stopped() {
                return Err(Error::Stopped);
            }
            progress.step(Step {
                what: "reading the history".into(),
                done: done as u64,
                total,
                unit: "commits".into(),
            });
            let Ok(address) = snapshot.head.parse::<Address>() else {
                continue;
            };
            reached.heads.insert(address);
            let state = self
                .sync
                .home()
                .packs()
                .store()
                .get_chunk(&address)
                .map_err(Error::from)
                .and_then(|head| {
                    let commit = Commit::decode(&account.open_head(&head)?)?;
                    Ok(commit.tree()?)
                });
            let tree = match state {
                Ok(state) => state,
                Err(error) if error.retry() => return Err(error),
                Err(error) => {
                    reached
                        .damaged
                        .push(format!("snapshot {}: {error}", snapshot.name));
                    continue;
                }
            };
            let name = format!("snapshot {}", snapshot.name);
            reached.add(&tree, &**self.reader(), &name)?;
            reached.states.push(State {
                name: snapshot.name,
                tree,
            });
        }
        Ok(reached)
    }

    /// Reads everything the home and its history refer to. Only the store is asked, no cache.
    pub fn check(&self, progress: &dyn Progress) -> Result<Checked> {
        self.sync.accompanied(progress, |told| self.check_all(told))
    }

    fn check_all(&self, progress: &Told<'_>) -> Result<Checked> {
        let store = self.sync.home().packs().store();
        let reached = self.reach(progress)?;
        let mut checked = Checked {
            records: reached.heads.len() as u64,
            damaged: reached.damaged,
            ..Checked::default()
        };
        let packs: Vec<Address> = reached.packs.into_iter().collect();
        let mut broken = BTreeMap::new();
        for (done, addresses) in packs.chunks(READ_AT_ONCE).enumerate() {
            if progress.stopped() {
                return Err(Error::Stopped);
            }
            progress.step(Step {
                what: "checking".into(),
                done: (done * READ_AT_ONCE) as u64,
                total: packs.len() as u64,
                unit: "records".into(),
            });
            for (address, outcome) in addresses.iter().zip(store.get_chunks(addresses)) {
                checked.records += 1;
                match outcome {
                    Ok(chunk) => {
                        if let Err(error) = directory(self.reader().keys(), chunk.bytes()) {
                            broken.insert(*address, error.to_string());
                        }
                    }
                    Err(error) if error.retry() => return Err(error.into()),
                    Err(error) => {
                        broken.insert(*address, error.to_string());
                    }
                }
            }
        }
        if store
            .get_pointer(&self.sync.account().read().address())?
            .is_none()
        {
            checked
                .damaged
                .push("the account's pointer is missing".to_owned());
        }
        checked.records += 1;
        let head = self.sync.sync_base(progress)?.head.clone();
        let account = self.sync.account().read().clone();
        match account.check_recovery(store, &head) {
            Err(error) if error.retry() => return Err(error.into()),
            Err(error) => checked.damaged.push(format!("the recovery sheet: {error}")),
            Ok(()) => {}
        }
        for state in &reached.states {
            let newest = reached
                .states
                .last()
                .is_some_and(|last| last.name == state.name);
            let found = self.check_state(state, newest, &broken, &mut checked.damaged)?;
            if newest {
                checked.nodes = found;
            }
        }
        let mut named = HashSet::new();
        checked.damaged.retain(|line| named.insert(line.clone()));
        for (address, error) in &broken {
            if !checked
                .damaged
                .iter()
                .any(|line| line.contains(&address.to_string()))
            {
                checked.damaged.push(error.clone());
            }
        }
        Ok(checked)
    }

    /// Checks one state: the newest as a whole, the others for files in broken packs.
    fn check_state(
        &self,
        state: &State,
        newest: bool,
        broken: &BTreeMap<Address, String>,
        lines: &mut Vec<String>,
    ) -> Result<u64> {
        if !newest && broken.is_empty() {
            return Ok(0);
        }
        let mut hurt: BTreeMap<Ino, Address> = BTreeMap::new();
        let found = check(&state.tree, &**self.reader(), &mut |ino, _, block| {
            if let Block::Stored { at, .. } = block
                && broken.contains_key(&at.pack)
            {
                hurt.entry(ino).or_insert(at.pack);
            }
            Ok(())
        })?;
        let place = if newest {
            String::new()
        } else {
            format!("snapshots/{}/", state.name)
        };
        let look = TreeView {
            tree: &state.tree,
            source: &**self.reader(),
        };
        for (ino, pack) in hurt {
            if lines.len() >= LINES_MAX {
                break;
            }
            let path = look.path(ino).map_or_else(
                |_| format!("inode {ino}"),
                |path| String::from_utf8_lossy(&path).into_owned(),
            );
            let why = broken.get(&pack).map_or("", String::as_str);
            lines.push(format!("{place}{path}: {why}"));
        }
        for problem in found.problems {
            let path = match (&problem.path, problem.ino) {
                (Some(path), _) => String::from_utf8_lossy(path).into_owned(),
                (None, Some(ino)) => format!("inode {ino}"),
                (None, None) => "the tree".to_owned(),
            };
            if lines.len() < LINES_MAX {
                lines.push(format!("{place}{path}: {}", problem.what));
            }
        }
        Ok(found.nodes)
    }

    /// Copies the account, the home and its history to another store. Records that are there already are not
    /// copied again; the pointer comes last.
    pub fn copy_to(&self, to: &dyn Store, progress: &dyn Progress) -> Result<Copied> {
        self.sync
            .accompanied(progress, |told| self.copy_all(to, told))
    }

    fn copy_all(&self, to: &dyn Store, progress: &Told<'_>) -> Result<Copied> {
        self.publish(progress)?;
        let head = self.sync.sync_base(progress)?.head.clone();
        let reached = self.reach(progress)?;
        if let Some(damage) = reached.damaged.first() {
            return Err(Error::Damaged(format!(
                "the copy would not be whole: {damage}"
            )));
        }
        let from = self.sync.home().packs().store();
        let all: Vec<Address> = reached
            .packs
            .iter()
            .chain(&reached.heads)
            .copied()
            .collect();
        if let (Some(wallet), Some(key)) = (
            to.wallet(),
            self.sync.account().read().settings(&head)?.wallet,
        ) {
            wallet.fund(key.expose())?;
        }
        let mut copied = copy(from, to, &all, progress)?;
        let account = self.sync.account().read().clone();
        account.mark_name(to)?;
        account.copy_recovery(from, to, &head)?;
        let pointer = head.pointer();
        let there = to.get_pointer(&pointer.address())?;
        if let Some(there) = &there {
            self.refuse_to_replace(to, there, &head)?;
        }
        let expected = there.as_ref().map(Pointer::counter);
        match there {
            Some(there)
                if there.counter() == pointer.counter() && there.target() == pointer.target() =>
            {
                copied.skipped += 1;
            }
            Some(there) if !pointer.replaces(&there) => {
                return Err(StoreError::Conflict {
                    address: pointer.address(),
                    current: Some(there.counter()),
                }
                .into());
            }
            _ => {
                to.set_pointer(pointer, expected)?;
                copied.records += 1;
                copied.bytes += pointer.as_bytes().len() as u64;
            }
        }
        Ok(copied)
    }

    /// Refuses to replace a state that the copied one does not come from: another computer has worked with it.
    fn refuse_to_replace(&self, to: &dyn Store, there: &Pointer, head: &Head) -> Result<()> {
        let Target::Chunk(address) = there.target() else {
            return Ok(());
        };
        let account = self.sync.account().read().clone();
        let ancestry = |store| Ancestry {
            account: &account,
            store,
            source: &**self.reader(),
        };
        // A head that is lost there leads nowhere.
        let Some(other) = ancestry(to).open(&address)? else {
            return Ok(());
        };
        // The other way round the copy would be the older one, which is said where the pointer is set.
        let ours = Published::of(head)?;
        if ancestry(self.sync.home().packs().store()).comes_from(&ours, &other)? {
            return Ok(());
        }
        Err(Error::Apart {
            url: to.url().to_owned(),
        })
    }
}
