//! The state that was published last, and the base of a publish and a merge.

use std::collections::BTreeSet;

use safeos_account::Head;
use safeos_record::{Address, Chunk};
use safeos_tree::Tree;

use crate::Result;
use crate::sync::ancestry::State;

/// The state that was published last.
pub(crate) struct SyncBase {
    pub(crate) head: Head,
    /// The tree that is the base of the working tree.
    pub(crate) tree: Tree,
    /// [`Home::changes`](crate::worktree::home::Home::changes) when that was.
    pub(crate) changes: u64,
    /// Bytes put when that was.
    pub(crate) bytes: u64,
    /// The head that was the newest here before another computer's was merged: the next commit names both.
    pub(crate) merged: Option<Address>,
    /// When `head` does not come from the state that was published here: the facts to report and repair before the next
    /// commit.
    pub(crate) apart: Option<Apart>,
}

/// See [`SyncBase::apart`].
pub(crate) struct Apart {
    /// The state that was published here last. It is a parent of the next commit.
    pub(crate) ours: State,
    /// Its head chunk, as far as it is to be had; it is put again.
    pub(crate) chunk: Option<Chunk>,
    /// Whose settings are newer.
    pub(crate) newest: Head,
    /// The highest counter that was seen.
    pub(crate) counter: u64,
}

impl Apart {
    /// Takes note of a state that the store has.
    pub(super) fn see(&mut self, theirs: &Head) {
        self.counter = self.counter.max(theirs.counter());
        if theirs.counter() >= self.newest.counter() {
            self.newest = theirs.clone();
        }
    }
}

/// The state that this computer goes on from.
pub(crate) struct Ours {
    pub(crate) state: State,
    /// `None` at sign-in, where it is what a stage was left on.
    pub(super) head: Option<Head>,
}

impl Ours {
    /// The state that was published here last.
    pub(crate) fn published(head: &Head) -> Result<Self> {
        Ok(Self {
            state: State::of(head)?,
            head: Some(head.clone()),
        })
    }

    /// The state that a stage was left on.
    pub(crate) fn left(state: State) -> Self {
        Self { state, head: None }
    }

    pub(super) fn is_before(&self, theirs: &Head) -> bool {
        let head = self.head.as_ref();
        head.is_none_or(|head| theirs.pointer().replaces(head.pointer()))
    }
}

/// See [`Publisher::new_packs`](crate::sync::publisher::Publisher::new_packs).
pub(crate) struct NewPacks {
    pub(super) nodes: BTreeSet<Address>,
    pub(super) blocks: BTreeSet<Address>,
}

impl NewPacks {
    pub(crate) fn all(&self) -> BTreeSet<Address> {
        self.nodes.union(&self.blocks).copied().collect()
    }
}

/// The base of a merge.
pub(crate) struct Base {
    /// `None`: the state that was published here last, as it should be.
    pub(super) apart: Option<Tree>,
}

impl Base {
    pub(crate) fn tree<'a>(&'a self, sync_base: &'a SyncBase) -> &'a Tree {
        self.apart.as_ref().unwrap_or(&sync_base.tree)
    }

    pub(crate) fn is_apart(&self) -> bool {
        self.apart.is_some()
    }
}
