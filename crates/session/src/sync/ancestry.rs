//! Ancestry: whether one published state comes from another, and which state two of them come from.
//!
//! What always holds here: "yes" follows only from a commit itself, by its parents or by the list of states in its
//! tree, and both are sealed: a store cannot make one up. "No" may be the answer for a history that the store has lost;
//! a wrong "no" costs nothing but the person's time.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::ops::ControlFlow;

use safeos_account::{Account, Head};
use safeos_record::Address;
use safeos_store::{Error as StoreError, Store};
use safeos_tree::{Commit, Key, Source, Tree, Value};

use crate::{Error, Result};

/// How many commits are fetched to follow parents. The list in a tree answers without, unless states were taken from
/// it.
const WALK_MAX: usize = 64;
/// States of the same nanosecond stand behind one another in the list: so far, at most.
const NEAR: u64 = 16;

/// A published state, opened.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) address: Address,
    /// The commit as it was sealed. Two heads with the same (other settings, another password) are one state.
    pub(crate) bytes: Vec<u8>,
    pub(crate) commit: Commit,
}

impl State {
    pub(crate) fn of(head: &Head) -> Result<Self> {
        Self::read(head.address(), head.commit().to_vec())
    }

    pub(crate) fn read(address: Address, bytes: Vec<u8>) -> Result<Self> {
        let commit = Commit::decode(&bytes)?;
        Ok(Self {
            address,
            bytes,
            commit,
        })
    }
}

/// Answers questions about the states of one account.
pub(crate) struct Ancestry<'a> {
    pub(crate) account: &'a Account,
    pub(crate) store: &'a dyn Store,
    pub(crate) source: &'a dyn Source,
}

impl Ancestry<'_> {
    /// Whether `later` is `earlier` or was made from it.
    pub(crate) fn comes_from(&self, later: &State, earlier: &State) -> Result<bool> {
        Ok(later.bytes == earlier.bytes
            || later.commit.parents.contains(&earlier.address)
            || self.lists(later, earlier)?
            || self
                .before(later, WALK_MAX, &|state| {
                    state.bytes == earlier.bytes || state.commit.parents.contains(&earlier.address)
                })?
                .is_some())
    }

    /// The newest state that both come from, as far as one is known: it may be one of the two.
    pub(crate) fn common(&self, ours: &State, theirs: &State) -> Result<Option<State>> {
        if self.comes_from(theirs, ours)? {
            return Ok(Some(ours.clone()));
        }
        // A store that was put back has lost, perhaps, records that ours refers to.
        if unless_lost(self.comes_from(ours, theirs))?.unwrap_or(false) {
            return Ok(Some(theirs.clone()));
        }
        let own = unless_lost(self.list(&ours.commit.tree()?))?.unwrap_or_default();
        let other = self.list(&theirs.commit.tree()?)?;
        let known: HashSet<Address> = other.values().copied().collect();
        for (time, address) in own.iter().rev() {
            if known.contains(address) {
                if let Some(state) = self.open(address)? {
                    return Ok(Some(state));
                }
            } else if let Some(twin) = other.get(time)
                && let (Some(one), Some(two)) = (self.open(address)?, self.open(twin)?)
                && one.bytes == two.bytes
            {
                return Ok(Some(two));
            }
        }
        let mut before = HashSet::new();
        self.walk(ours, WALK_MAX, &mut |state| {
            before.insert(state.address);
            false
        })?;
        self.before(theirs, WALK_MAX, &|state| before.contains(&state.address))
    }

    /// The nearest of `later` and the states before it of which `is_it` says so, among so many.
    pub(crate) fn before(
        &self,
        later: &State,
        max: usize,
        is_it: &dyn Fn(&State) -> bool,
    ) -> Result<Option<State>> {
        if is_it(later) {
            return Ok(Some(later.clone()));
        }
        let mut found = None;
        self.walk(later, max, &mut |state| {
            found = is_it(state).then(|| state.clone());
            found.is_some()
        })?;
        Ok(found)
    }

    /// Whether the list of states in the later one's tree has the earlier one, or another head of the same commit.
    fn lists(&self, later: &State, earlier: &State) -> Result<bool> {
        let time = earlier.commit.time;
        let mut near = Vec::new();
        let (from, to) = (
            Key::snapshot(time),
            Key::snapshot(time.saturating_add(NEAR)),
        );
        later
            .commit
            .tree()?
            .scan(self.source, &from, &to, &mut |_, value| {
                if let Value::Snapshot(item) = value {
                    near.push(item.head);
                }
                ControlFlow::Continue(())
            })?;
        if near.contains(&earlier.address) {
            return Ok(true);
        }
        for address in near {
            if self
                .open(&address)?
                .is_some_and(|state| state.bytes == earlier.bytes)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Every state that a tree lists, by time.
    pub(crate) fn list(&self, tree: &Tree) -> Result<BTreeMap<u64, Address>> {
        let mut list = BTreeMap::new();
        let (from, to) = (Key::snapshot(0), Key::snapshot(u64::MAX));
        tree.scan(self.source, &from, &to, &mut |key, value| {
            if let Value::Snapshot(item) = value {
                list.insert(key.number, item.head);
            }
            ControlFlow::Continue(())
        })?;
        Ok(list)
    }

    /// Follows parents, the nearest first, until `stop` returns true for one. A state that the store has lost ends a
    /// branch.
    fn walk(&self, from: &State, max: usize, stop: &mut dyn FnMut(&State) -> bool) -> Result<()> {
        let mut waiting: VecDeque<Address> = from.commit.parents.iter().copied().collect();
        let mut seen = HashSet::new();
        while let Some(address) = waiting.pop_front() {
            if seen.len() == max {
                return Ok(());
            }
            if !seen.insert(address) {
                continue;
            }
            let Some(state) = self.open(&address)? else {
                continue;
            };
            if stop(&state) {
                return Ok(());
            }
            waiting.extend(state.commit.parents);
        }
        Ok(())
    }

    /// A state by its head; `None` where the store has lost it.
    pub(crate) fn open(&self, address: &Address) -> Result<Option<State>> {
        let head = match self.store.get_chunk(address) {
            Ok(head) => head,
            Err(StoreError::Missing { .. } | StoreError::Damaged { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(self
            .account
            .open_head(&head)
            .ok()
            .and_then(|bytes| State::read(*address, bytes).ok()))
    }
}

/// Nothing where the store has lost what the answer needs.
pub(crate) fn unless_lost<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Err(Error::Damaged(_)) => Ok(None),
        other => other.map(Some),
    }
}
