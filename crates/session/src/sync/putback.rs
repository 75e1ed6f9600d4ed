//! A store whose newest state does not come from the state that this computer has published: its disk was put back to a
//! backup, or of two states that were published at once the other was kept.
//!
//! What always holds here: the base of a merge is a state that both sides come from, so that nothing counts as removed
//! because the store has forgotten it; where none is known, nothing is merged unless the person was asked, and then
//! nothing is removed. Later publishes refer to records that are there, and have a counter above every one that was
//! seen here, so that no other computer takes them for an older state. The person is told.

use std::collections::{BTreeSet, HashSet};

use safeos_account::Head;
use safeos_record::{Address, Chunk};
use safeos_tree::{Batch, Block, Key, ObjectKind, Tree, Value, diff, references};

use crate::sync::ancestry::{Ancestry, State, unless_lost};
use crate::sync::publisher::Publisher;
use crate::sync::sync_base::{Apart, Base, NewPacks, Ours, SyncBase};
use crate::worktree::tree_view::TreeView;
use crate::{Error, Ino, Result};

/// How many files are named that have lost content.
const NAMED_MAX: usize = 50;
/// How often the tree is taken again when it changes meanwhile.
const TRIES_MAX: usize = 1000;

impl Publisher<'_> {
    fn ancestry(&self) -> Ancestry<'_> {
        Ancestry {
            account: &self.account,
            store: self.sync.home.packs().store(),
            source: &**self.sync.home.reader(),
        }
    }

    /// Finds the base for a merge with another computer's head.
    pub(crate) fn base(&self, sync_base: &SyncBase, ours: &Ours, theirs: &Head) -> Result<Base> {
        let is_before = ours.is_before(theirs);
        let ancestry = self.ancestry();
        let Some(common) = ancestry.common(&ours.state, &State::of(theirs)?)? else {
            return match self.unrelated {
                true => Ok(Base {
                    apart: Some(Tree::new()),
                }),
                false => Err(Error::Unrelated),
            };
        };
        let is_ours = common.bytes == ours.state.bytes;
        if is_ours && is_before {
            return Ok(Base { apart: None });
        }
        // A network may answer what it had before for a while; publishing over that would be paid for.
        let paid = self.sync.home.packs().store().traits().paid;
        if paid && !is_before {
            return Err(Error::RolledBack);
        }
        let tree = match is_ours {
            true => sync_base.tree.clone(),
            false => common.commit.tree()?,
        };
        Ok(Base { apart: Some(tree) })
    }

    /// Takes another computer's head for the newest, now that it is merged. `local`: the home has more than it.
    pub(crate) fn follow(
        &self,
        sync_base: &mut SyncBase,
        ours: Ours,
        theirs: Head,
        their_tree: Tree,
        base: &Base,
        local: bool,
    ) -> Result<()> {
        if base.is_apart() {
            self.note_apart(sync_base, ours, &theirs)?;
        } else {
            if local {
                sync_base.merged.get_or_insert(ours.state.address);
            }
            if let Some(apart) = &mut sync_base.apart {
                apart.see(&theirs);
            }
        }
        sync_base.head = theirs;
        sync_base.tree = their_tree;
        // Until what is here is published again a crash is to find what was seen before.
        match sync_base.apart {
            Some(_) => Ok(()),
            None => self.note(&sync_base.head),
        }
    }

    fn note_apart(&self, sync_base: &mut SyncBase, ours: Ours, theirs: &Head) -> Result<()> {
        let problems = self.sync.home.problems();
        let Ours { state, head } = ours;
        if head
            .as_ref()
            .is_some_and(|head| !theirs.has_packet_of(head))
        {
            problems.add(
                "the store was put back while the account's settings or its recovery sheet were changed: \
                 look whether they are as you want them, and make another sheet (safe recovery-sheet)"
                    .into(),
            );
        }
        let apart = match sync_base.apart.take() {
            Some(apart) => apart,
            None => {
                sync_base.merged = Some(state.address);
                let chunk = match &head {
                    Some(head) => Some(head.chunk().clone()),
                    None => self
                        .sync
                        .home
                        .packs()
                        .store()
                        .get_chunk(&state.address)
                        .ok(),
                };
                // A state of which something is lost would be damage in the history for good.
                let chunk = match chunk {
                    Some(chunk) if self.is_whole(&state)? => Some(chunk),
                    _ => None,
                };
                Apart {
                    ours: state,
                    chunk,
                    counter: head.as_ref().map_or(0, Head::counter),
                    newest: head.unwrap_or_else(|| theirs.clone()),
                }
            }
        };
        problems.add(format!(
            "the store did not have what this computer had published (state {}): it was put back to an older state, or \
             replaced. What is here and what it has are merged and published again; nothing was removed for it",
            apart.ours.address
        ));
        let apart = sync_base.apart.insert(apart);
        apart.see(theirs);
        if let Some(seen) = self.sync.local.seen(self.account.home_key())? {
            apart.counter = apart.counter.max(seen.counter);
        }
        // Where content was seen may be gone with the rest.
        self.sync.home.packs().forget_known();
        let kept = apart.chunk.as_ref().map(Chunk::address);
        self.forget_lost_states(&State::of(theirs)?, kept)
    }

    /// Takes those states from the home's list that the store has lost: nodes that list them would count as damaged for
    /// good.
    fn forget_lost_states(&self, theirs: &State, kept: Option<Address>) -> Result<()> {
        let ancestry = self.ancestry();
        let tree = self.sync.home.tree().0;
        let Some(own) = unless_lost(ancestry.list(&tree))? else {
            return Ok(());
        };
        let other: HashSet<Address> = ancestry
            .list(&theirs.commit.tree()?)?
            .into_values()
            .collect();
        let only: Vec<(u64, Address)> = own
            .into_iter()
            .filter(|(_, head)| {
                !other.contains(head) && Some(*head) != kept && *head != theirs.address
            })
            .collect();
        let heads: Vec<Address> = only.iter().map(|(_, head)| *head).collect();
        let there = self.sync.home.packs().has(&heads)?;
        let lost: Vec<(u64, Address)> = only
            .into_iter()
            .zip(there)
            .filter_map(|(state, there)| (!there).then_some(state))
            .collect();
        if lost.is_empty() {
            return Ok(());
        }
        self.sync.home.change(|look| {
            let mut batch = Batch::new();
            for (time, head) in &lost {
                let key = Key::snapshot(*time);
                if let Some(Value::Snapshot(item)) = look.tree.get(look.source, &key)?
                    && item.head == *head
                {
                    batch.push((key, None));
                }
            }
            Ok((batch, ()))
        })?;
        self.sync.home.problems().add(format!(
            "{} states of the history are gone from the store, which was put back",
            lost.len()
        ));
        Ok(())
    }

    /// The packs that a head with this tree refers to and the one before does not. Where the two have nothing to do
    /// with each other, all of them: the packs of the other head may be lost too, and be here.
    pub(crate) fn new_packs(&self, sync_base: &SyncBase, tree: &Tree) -> Result<NewPacks> {
        let mut new = NewPacks {
            nodes: self.sync.home.packs().fresh_nodes(),
            blocks: BTreeSet::new(),
        };
        if sync_base.apart.is_some() {
            self.packs_of(tree, &mut new.nodes, &mut new.blocks)?;
            return Ok(new);
        }
        diff(
            &sync_base.tree,
            tree,
            &**self.sync.home.reader(),
            &mut |_, _, now| {
                if let Some(Value::Block(Block::Stored { at, .. })) = now {
                    new.blocks.insert(at.pack);
                }
                Ok(())
            },
        )?;
        Ok(new)
    }

    /// Before a head is published: sees that the packs it refers to and the one before does not are on the store, and
    /// brings back what this computer has of them. Content that is lost is told, with the files. `false` if nodes of
    /// the tree were lost: they are in memory now, and a new tree is to be made of them.
    pub(crate) fn see_that_all_is_there(
        &self,
        sync_base: &SyncBase,
        tree: &Tree,
        new: &NewPacks,
    ) -> Result<bool> {
        let packs = self.sync.home.packs();
        // Nothing is ever taken from a store where records are paid for.
        if packs.store().traits().paid {
            return Ok(true);
        }
        if let Some(chunk) = sync_base
            .apart
            .as_ref()
            .and_then(|apart| apart.chunk.as_ref())
        {
            packs.store().put_chunks(std::slice::from_ref(chunk))?;
        }
        let lost = packs.bring_back(&new.nodes)?;
        if !lost.is_empty() {
            self.store_again(&lost)?;
            return Ok(false);
        }
        let lost = packs.bring_back(&new.blocks)?;
        if !lost.is_empty() {
            self.name_lost(sync_base, tree, &lost)?;
        }
        Ok(true)
    }

    fn packs_of(
        &self,
        tree: &Tree,
        nodes: &mut BTreeSet<Address>,
        blocks: &mut BTreeSet<Address>,
    ) -> Result<()> {
        let mut seen = HashSet::new();
        references(
            tree,
            &**self.sync.home.reader(),
            &mut seen,
            &mut |kind, at| {
                match kind {
                    ObjectKind::Node => nodes.insert(at.pack),
                    ObjectKind::Block => blocks.insert(at.pack),
                };
                Ok(())
            },
            &mut |_, error| Err(error),
        )?;
        Ok(())
    }

    /// Whether everything that a state refers to is on the store, or is put again.
    fn is_whole(&self, state: &State) -> Result<bool> {
        let (mut nodes, mut blocks) = (BTreeSet::new(), BTreeSet::new());
        let found = self.packs_of(&state.commit.tree()?, &mut nodes, &mut blocks);
        if unless_lost(found)?.is_none() {
            return Ok(false);
        }
        nodes.append(&mut blocks);
        Ok(self.sync.home.packs().bring_back(&nodes)?.is_empty())
    }

    /// Has the nodes that were in these packs stored again.
    fn store_again(&self, lost: &BTreeSet<Address>) -> Result<()> {
        for _ in 0..TRIES_MAX {
            let home = &self.sync.home;
            let (before, _) = home.tree();
            let mut again = before.clone();
            again.store_again(&**home.reader(), &|pack| lost.contains(pack))?;
            if home.replace_tree(&before, again) {
                return Ok(());
            }
        }
        Err(Error::Damaged(
            "parts of the home's tree are gone from the store, and it changes too quickly to store them again".into(),
        ))
    }

    fn name_lost(&self, sync_base: &SyncBase, tree: &Tree, lost: &BTreeSet<Address>) -> Result<()> {
        let reader = &**self.sync.home.reader();
        let mut hurt: BTreeSet<Ino> = BTreeSet::new();
        diff(&sync_base.tree, tree, reader, &mut |key, _, now| {
            if let Some(Value::Block(Block::Stored { at, .. })) = now
                && lost.contains(&at.pack)
            {
                hurt.insert(key.ino);
            }
            Ok(())
        })?;
        let look = TreeView {
            tree,
            source: reader,
        };
        for ino in hurt.iter().take(NAMED_MAX) {
            let path = look.path(*ino).map_or_else(
                |_| format!("inode {ino}"),
                |path| String::from_utf8_lossy(&path).into_owned(),
            );
            self.sync.home.problems().add(format!(
                "{path}: content of it is gone from the store and not on this computer; an older version may be in snapshots/"
            ));
        }
        if hurt.len() > NAMED_MAX {
            self.sync.home.problems().add(format!(
                "content of {} more files is gone from the store",
                hurt.len() - NAMED_MAX
            ));
        }
        Ok(())
    }
}
