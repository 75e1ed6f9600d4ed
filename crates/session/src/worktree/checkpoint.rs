//! The home at one moment, for a publish; and the tree of a merge in its place.
//!
//! What always holds here: a checkpoint and the stage's segment that ends with it are of the same moment; a merged tree
//! is taken over only if nothing has changed since it was made.

use std::collections::{BTreeSet, HashMap};

use safeos_record::Address;
use safeos_tree::{BLOCK_BYTES, Batch, FileKind, Key, Reader, Source, Tag, Tree, Value};

use crate::failure::Fault;
use crate::journal::Frame;
use crate::lock::thread;
use crate::worktree::files::State;
use crate::worktree::home::{Home, leaves_nameless, put_inode};
use crate::{Ino, Result};

/// The home at one moment.
pub(crate) struct Checkpoint {
    tree: Tree,
    /// The nodes that had no name then. Those of a later moment have one in this tree.
    orphans: Vec<Ino>,
    /// The files that were in memory.
    in_memory: Vec<Ino>,
    /// The stage's segment that ends there.
    segment: u64,
    /// [`Home::changes`] when that was.
    changes: u64,
    /// Whether the tree had everything then that the stage says up to that segment.
    whole: bool,
}

impl Checkpoint {
    /// The stage's segment that ends there.
    pub(crate) fn segment(&self) -> u64 {
        self.segment
    }

    /// [`Home::changes`] when that was.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// The tree to publish: the nodes with a name, and no content beyond a file's end.
    pub(crate) fn into_tree(self, reader: &Reader) -> Result<Tree> {
        let mut tree = self.tree;
        leave_out(reader, self.orphans, &mut tree)?;
        cover(reader, self.in_memory, &mut tree)?;
        Ok(tree)
    }
}

impl Home {
    /// Takes everything of one moment, on top of the head that was published last.
    pub(crate) fn checkpoint(&self, head: &Address) -> Result<Checkpoint> {
        // Content that is being built goes with a later commit, as a whole.
        let _whole = self.building.write();
        loop {
            let work = self.work.write();
            // The holder of the list may wait for the tree.
            let Some(in_memory) = self.files.try_all() else {
                drop(work);
                thread::yield_now();
                continue;
            };
            let segment = self.stage.cut(&head.0)?;
            return Ok(Checkpoint {
                tree: work.tree.clone(),
                orphans: work.orphans.iter().copied().collect(),
                in_memory,
                segment,
                changes: self.changes(),
                // After the cut: content is in memory before it is appended, and is put into the tree under its lock.
                whole: self.files.dirty_bytes() == 0,
            });
        }
    }

    /// Has the stage log what was in memory at a checkpoint, in a segment after it: when the head has moved, the
    /// segment that ended there is never read again, and data that is only in memory was synced, perhaps, into that.
    pub(crate) fn keep_after(&self, checkpoint: &Checkpoint) -> Result<()> {
        self.unlog_all();
        let complete = self.stage.complete(checkpoint.segment);
        match complete.and_then(|()| self.log_all()) {
            // Nothing was in memory only: frames that the disk does not take are published all the same, and then the
            // stage does without it. That is how a full disk is left.
            Err(_) if checkpoint.whole => Ok(()),
            kept => kept,
        }
    }

    /// The tree as it is now, and [`Home::changes`] at that moment.
    pub(crate) fn tree(&self) -> (Tree, u64) {
        let work = self.work.read();
        (work.tree.clone(), self.changes())
    }

    /// Whether nothing is in memory only.
    pub(crate) fn is_flushed(&self) -> bool {
        self.files.dirty_bytes() == 0
    }

    /// Whether a node without a name is in use.
    pub(crate) fn has_orphans(&self) -> bool {
        !self.work.read().orphans.is_empty()
    }

    /// The nodes without a name that are in use.
    pub(crate) fn orphans(&self) -> Vec<Ino> {
        self.work.read().orphans.iter().copied().collect()
    }

    /// Puts a tree in the place of `before` that says the same. Not if the home has changed since.
    pub(crate) fn replace_tree(&self, before: &Tree, with: Tree) -> bool {
        let mut work = self.work.write();
        let is_same = work.tree.is_same(before);
        if is_same {
            work.tree = with;
        }
        is_same
    }

    /// Lets go of those nodes in memory that are stored.
    pub(crate) fn release_stored(&self) {
        self.work.write().tree.release_stored(&self.reader);
    }

    /// Makes the merged tree the working tree. Returns `false` if it has changed since `ours`, or if a file that
    /// the batch changes was written to: its content in memory is of the old version.
    pub(crate) fn take_over(
        &self,
        ours: &Tree,
        batch: &Batch,
        whole: Option<&Tree>,
    ) -> Result<bool> {
        let content = |(key, _): &(Key, Option<Value>)| {
            matches!(key.tag, Tag::Inode | Tag::Block).then_some(key.ino)
        };
        let inos: BTreeSet<Ino> = batch.iter().filter_map(content).collect();
        loop {
            let files = self.files.of(&inos);
            let mut states: Vec<_> = files.iter().map(|file| file.state.lock()).collect();
            if states.iter().any(|state| state.is_pending()) {
                return Ok(false);
            }
            let missing = {
                let mut work = self.work.write();
                if !work.tree.is_same(ours) || !self.files.are(&inos, &files) {
                    return Ok(false);
                }
                let mut bytes = Vec::new();
                safeos_tree::encode_batch(batch, &mut bytes);
                let applied = match whole {
                    // Nothing of ours is new, and nothing without a name is in use: theirs is the answer,
                    // stored as it is.
                    Some(theirs) if work.orphans.is_empty() && !leaves_nameless(batch) => {
                        work.tree = theirs.clone();
                        Ok(())
                    }
                    _ => work.apply(&self.reader.cached(), batch.clone()),
                };
                match applied {
                    Ok(()) => {
                        self.stage.append(Frame::Batch(&bytes));
                        self.touched();
                        for state in &mut states {
                            **state = State::default();
                        }
                        return Ok(true);
                    }
                    Err(error) => match Fault::from(error) {
                        Fault::Missing(at) => at,
                        Fault::Failed(error) => return Err(error),
                    },
                }
            };
            drop(states);
            self.reader.node(&missing)?;
        }
    }
}

/// A file of which the end is in packs and something before it still in memory gets its length: missing blocks
/// read as zeros, and nothing lies beyond the end.
fn cover(reader: &Reader, in_memory: Vec<Ino>, tree: &mut Tree) -> Result<()> {
    for ino in in_memory {
        let Some(Value::Inode(inode)) = tree.get(reader, &Key::inode(ino))? else {
            continue;
        };
        let mut end = inode.size;
        let last = Key::block(ino, inode.size / BLOCK_BYTES as u64);
        tree.scan(reader, &last, &Key::inode(ino + 1), &mut |key, value| {
            if let Value::Block(block) = value {
                end = end.max(key.number * BLOCK_BYTES as u64 + block.len() as u64);
            }
            std::ops::ControlFlow::Continue(())
        })?;
        if end > inode.size {
            let mut inode = inode.as_ref().clone();
            inode.size = end;
            tree.apply(reader, vec![put_inode(ino, inode)])?;
        }
    }
    Ok(())
}
/// Nodes without names are this session's alone, with nodes that have a name in them only.
fn leave_out(reader: &Reader, mut orphans: Vec<Ino>, tree: &mut Tree) -> Result<()> {
    let mut named: HashMap<Ino, u32> = HashMap::new();
    loop {
        while let Some(ino) = orphans.pop() {
            let mut batch = Batch::new();
            let (from, to) = (Key::inode(ino), Key::inode(ino + 1));
            tree.scan(reader, &from, &to, &mut |key, value| {
                batch.push((key.clone(), None));
                match value {
                    Value::Entry { ino, kind } if *kind == FileKind::Directory => {
                        orphans.push(*ino);
                    }
                    Value::Entry { ino, .. } => *named.entry(*ino).or_insert(0) += 1,
                    _ => {}
                }
                std::ops::ControlFlow::Continue(())
            })?;
            tree.apply(reader, batch)?;
        }
        for (ino, lost) in named.drain() {
            let Some(Value::Inode(inode)) = tree.get(reader, &Key::inode(ino))? else {
                continue;
            };
            if inode.nlink <= lost {
                orphans.push(ino);
                continue;
            }
            let mut inode = inode.as_ref().clone();
            inode.nlink -= lost;
            tree.apply(reader, vec![put_inode(ino, inode)])?;
        }
        if orphans.is_empty() {
            return Ok(());
        }
    }
}
