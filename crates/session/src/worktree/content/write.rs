//! Writing the content of files, and their length.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use safeos_tree::{BLOCK_BYTES, Batch, Block, Key, Tag};

use super::{BLOCK, Open, Wait, part};
use crate::failure::Fault;
use crate::worktree::files::{Dirty, pages};
use crate::worktree::home::{Home, now, put_inode};
use crate::worktree::tree_view::TreeView;
use crate::{Allocate, Error, Ino, Result};

/// The longest a file can be.
const FILE_BYTES_MAX: u64 = i64::MAX as u64;
/// Block items that one change of the tree removes at most.
const REMOVE_MAX: u64 = 4096;

impl Home {
    pub(crate) fn write_content(&self, ino: Ino, offset: Option<u64>, data: &[u8]) -> Result<u64> {
        self.put_content(ino, offset, data, true)
    }

    /// Writes; without `change_times` the file's times stay as they are.
    pub(crate) fn put_content(
        &self,
        ino: Ino,
        offset: Option<u64>,
        data: &[u8],
        change_times: bool,
    ) -> Result<u64> {
        self.make_room(data.len())?;
        let at = self.with_file(ino, |open| {
            let offset = offset.unwrap_or(open.state.size);
            let end = end_of(offset, data.len() as u64)?;
            if !data.is_empty() {
                open.write(offset, end, data)?;
                if change_times {
                    let now = now();
                    open.state.mtime = Some(now);
                    open.state.ctime = Some(now);
                }
            }
            Ok(offset)
        })?;
        self.touched();
        Ok(at)
    }

    /// Sets a file's length.
    pub(crate) fn resize(&self, ino: Ino, size: u64) -> Result<()> {
        end_of(size, 0)?;
        // The last block may have to be in memory.
        self.make_room(BLOCK_BYTES)?;
        // Many blocks go in several changes, the length with the last: old content is never seen again.
        let first = size.div_ceil(BLOCK);
        self.remove_many(ino, first, u64::MAX)?;
        self.with_file(ino, |open| open.resize(size))?;
        self.touched();
        Ok(())
    }

    /// Removes what the tree has beyond a file's end, where a replay has ended between the two.
    pub(crate) fn trim_content(&self, ino: Ino) -> Result<()> {
        let size = self.with_file(ino, |open| Ok(open.state.size))?;
        let first = size.div_ceil(BLOCK);
        self.remove_many(ino, first, u64::MAX)?;
        self.with_file(ino, |open| {
            open.remove(first, u64::MAX, None)?;
            open.cut_tail()
        })
    }

    /// Removes blocks in bounded steps until at most [`REMOVE_MAX`] are left.
    fn remove_many(&self, ino: Ino, from: u64, to: u64) -> Result<()> {
        loop {
            let more = self.with_file(ino, |open| {
                let numbers = open
                    .home
                    .try_look(|look| some_blocks(look, ino, from, to))?;
                if (numbers.len() as u64) < REMOVE_MAX {
                    return Ok(false);
                }
                let last = numbers.last().copied().unwrap_or(from);
                open.remove(from, last + 1, None)?;
                Ok(true)
            })?;
            if !more {
                return Ok(());
            }
        }
    }

    pub(crate) fn allocate_content(
        &self,
        ino: Ino,
        offset: u64,
        len: u64,
        what: Allocate,
    ) -> Result<()> {
        if len == 0 {
            return Err(Error::Invalid("the length is zero"));
        }
        let end = end_of(offset, len)?;
        self.make_room(2 * BLOCK_BYTES)?;
        if matches!(what, Allocate::PunchHole | Allocate::Zero { .. }) {
            self.remove_many(ino, offset.div_ceil(BLOCK), end / BLOCK)?;
        }
        self.with_file(ino, |open| {
            let size = open.state.size;
            let grown = match what {
                Allocate::Reserve { keep_size } | Allocate::Zero { keep_size } => {
                    !keep_size && end > size
                }
                Allocate::PunchHole => false,
            };
            if grown {
                open.cut_tail()?;
            }
            if !matches!(what, Allocate::Reserve { .. }) {
                open.clear(offset, end.min(size))?;
            }
            if grown {
                open.state.size = end;
            }
            let now = now();
            if grown || !matches!(what, Allocate::Reserve { .. }) {
                open.state.mtime = Some(now);
            }
            open.state.ctime = Some(now);
            open.save_inode()
        })?;
        self.touched();
        Ok(())
    }
}

impl Open<'_> {
    /// Writes at `offset..end`, everything it needs being at hand before anything changes.
    fn write(&mut self, offset: u64, end: u64, data: &[u8]) -> Result<(), Wait> {
        if end > self.state.size {
            self.cut_tail()?;
        }
        for number in offset / BLOCK..end.div_ceil(BLOCK) {
            let part = part(number, offset, end);
            let whole = part == (0..BLOCK_BYTES);
            self.make_dirty(number, whole)?;
        }
        let mut rest = data;
        for number in offset / BLOCK..end.div_ceil(BLOCK) {
            let part = part(number, offset, end);
            let (now, later) = rest.split_at(part.len());
            rest = later;
            self.edit(number, part.clone(), |block| {
                if block.len() < part.end {
                    block.resize(part.start.max(block.len()), 0);
                    let overlap = block.len() - part.start;
                    block[part.start..].copy_from_slice(&now[..overlap]);
                    block.extend_from_slice(&now[overlap..]);
                } else {
                    block[part.clone()].copy_from_slice(now);
                }
            });
        }
        self.state.size = self.state.size.max(end);
        Ok(())
    }

    /// Changes a block in memory; `touched` has to be logged again.
    fn edit(&mut self, number: u64, touched: Range<usize>, change: impl FnOnce(&mut Vec<u8>)) {
        let Some(dirty) = self.state.blocks.get_mut(&number) else {
            return;
        };
        let before = dirty.data.len();
        change(Arc::make_mut(&mut dirty.data));
        let after = dirty.data.len();
        dirty.unlogged |= pages(touched.start.min(before), touched.end);
        self.home.files.grew(after.saturating_sub(before));
        self.home.files.forgot(before.saturating_sub(after));
    }

    /// Brings a block into memory. With `whole` its content does not matter.
    fn make_dirty(&mut self, number: u64, whole: bool) -> Result<(), Wait> {
        if self.state.blocks.contains_key(&number) {
            return Ok(());
        }
        let block = self.home.try_look(|look| look.block(self.ino, number))?;
        let stored_len = block.as_ref().map_or(0, Block::len);
        let mut data = Vec::new();
        if !whole {
            match block {
                Some(Block::Inline(bytes)) => data.extend_from_slice(&bytes),
                Some(Block::Stored { at, len }) => match self.fetched.get(&at) {
                    Some(bytes) => data.extend_from_slice(bytes),
                    None => return Err(Wait::Block(at, len as usize)),
                },
                None => {}
            }
            let within = self.state.size.saturating_sub(number * BLOCK).min(BLOCK);
            data.truncate(within as usize);
        }
        self.home.files.grew(data.len());
        self.home.files.queue(self.ino, number);
        self.state.blocks.insert(
            number,
            Dirty {
                // The stage finds what was there before in the tree.
                unlogged: 0,
                data: Arc::new(data),
                logged: false,
                stored_len,
                batch: None,
            },
        );
        Ok(())
    }

    /// Takes away what the last block has beyond the file's end, before the file grows.
    fn cut_tail(&mut self) -> Result<(), Wait> {
        let (number, within) = (self.state.size / BLOCK, self.state.size % BLOCK);
        if within == 0 || self.state.blocks.contains_key(&number) {
            return Ok(());
        }
        let block = self.home.try_look(|look| look.block(self.ino, number))?;
        if block.is_some_and(|block| block.len() as u64 > within) {
            self.make_dirty(number, false)?;
            // A page of it in the stage makes a replay cut the block too, while the file is short.
            let within = within as usize;
            self.edit(number, within - 1..within, |_| {});
        }
        Ok(())
    }

    fn resize(&mut self, size: u64) -> Result<(), Wait> {
        if size > self.state.size {
            self.cut_tail()?;
        } else if size < self.state.size {
            let (number, within) = (size / BLOCK, (size % BLOCK) as usize);
            // The tree is to hold nothing beyond the end either.
            let stored = self.home.try_look(|look| look.block(self.ino, number))?;
            if within > 0 && stored.is_some_and(|block| block.len() > within) {
                self.make_dirty(number, false)?;
            }
            self.remove(size.div_ceil(BLOCK), u64::MAX, Some(size))?;
            // A page of it in the stage makes a replay cut the block too.
            let last = within.saturating_sub(1);
            self.edit(number, last..within, |block| block.truncate(within));
        }
        self.state.size = size;
        let now = now();
        self.state.mtime = Some(now);
        self.state.ctime = Some(now);
        self.save_inode()
    }

    /// Makes a range read as zeros.
    fn clear(&mut self, offset: u64, end: u64) -> Result<(), Wait> {
        if offset >= end {
            return Ok(());
        }
        // At the file's end the whole last block may go.
        let last = if end == self.state.size {
            end.div_ceil(BLOCK)
        } else {
            end / BLOCK
        };
        let first = offset.div_ceil(BLOCK);
        let edges: Vec<u64> = [offset / BLOCK, (end - 1) / BLOCK]
            .into_iter()
            .filter(|number| !(first..last).contains(number))
            .collect();
        for number in &edges {
            let there = self.state.blocks.contains_key(number)
                || self
                    .home
                    .try_look(|look| look.block(self.ino, *number))?
                    .is_some();
            if there {
                self.make_dirty(*number, false)?;
            }
        }
        for number in edges {
            let part = part(number, offset, end);
            self.edit(number, part.clone(), |block| {
                let end = part.end.min(block.len());
                if part.start < end {
                    block[part.start..end].fill(0);
                }
            });
        }
        if first < last {
            self.remove(first, last, None)?;
        }
        Ok(())
    }

    /// Removes whole blocks, here, in the tree and for the stage; with `size` the file is cut too.
    fn remove(&mut self, from: u64, to: u64, size: Option<u64>) -> Result<(), Wait> {
        let ino = self.ino;
        let state = &mut *self.state;
        self.home.try_change(&mut |look| {
            let inode = look.inode(ino)?;
            let mut batch = Batch::new();
            let mut freed = 0;
            for (number, block) in look.blocks(ino, from, to)? {
                freed += block.len() as u64;
                batch.push((Key::block(ino, number), None));
            }
            // The stage may know blocks that the tree does not.
            for (number, dirty) in state.blocks.range(from..to) {
                if dirty.logged && dirty.stored_len == 0 {
                    batch.push((Key::block(ino, *number), None));
                }
            }
            let mut inode = inode.as_ref().clone();
            // A length that is only in memory is not the tree's length yet.
            if freed > 0 || size.is_some_and(|size| size < inode.size) {
                inode.allocated = inode.allocated.saturating_sub(freed);
                inode.size = size.unwrap_or(inode.size).min(inode.size);
                batch.push(put_inode(ino, inode));
            }
            Ok((batch, ()))
        })?;
        let gone: Vec<u64> = state
            .blocks
            .range(from..to)
            .map(|(number, _)| *number)
            .collect();
        for number in gone {
            if let Some(dirty) = state.blocks.remove(&number) {
                self.home.files.forgot(dirty.data.len());
            }
        }
        Ok(())
    }

    /// Puts the length and the times into the tree, when no content would be missing there.
    fn save_inode(&mut self) -> Result<(), Wait> {
        if !self.state.blocks.is_empty() {
            return Ok(());
        }
        let (ino, state) = (self.ino, &*self.state);
        self.home.try_change(&mut |look| {
            let inode = look.inode(ino)?;
            Ok((vec![put_inode(ino, state.overlay(&inode))], ()))
        })?;
        self.state.mtime = None;
        self.state.ctime = None;
        Ok(())
    }
}

fn end_of(offset: u64, len: u64) -> Result<u64> {
    offset
        .checked_add(len)
        .filter(|end| *end <= FILE_BYTES_MAX)
        .ok_or(Error::FileTooLarge)
}

/// The numbers of at most [`REMOVE_MAX`] blocks.
fn some_blocks(look: TreeView<'_>, ino: Ino, from: u64, to: u64) -> Result<Vec<u64>, Fault> {
    let mut numbers = Vec::new();
    look.scan(Key::block(ino, from), Tag::Block, &mut |key, _| {
        if key.number >= to || numbers.len() as u64 >= REMOVE_MAX {
            return ControlFlow::Break(());
        }
        numbers.push(key.number);
        ControlFlow::Continue(())
    })?;
    Ok(numbers)
}

/// For doing again what an earlier session has logged.
impl Home {
    /// A block that the tree has from now on.
    pub(crate) fn forget_block(&self, ino: Ino, number: u64) {
        if let Some(file) = self.files.get(ino)
            && let Some(block) = file.state.lock().blocks.remove(&number)
        {
            self.files.forgot(block.data.len());
        }
    }

    /// The tree says how long a file is from now on.
    pub(crate) fn cut_memory(&self, ino: Ino, size: u64) {
        let Some(file) = self.files.get(ino) else {
            return;
        };
        let mut state = file.state.lock();
        if !state.loaded {
            return;
        }
        state.size = size;
        for (_, gone) in state.blocks.split_off(&size.div_ceil(BLOCK)) {
            self.files.forgot(gone.data.len());
        }
        let (number, within) = (size / BLOCK, (size % BLOCK) as usize);
        if let Some(last) = state.blocks.get_mut(&number)
            && last.data.len() > within
        {
            self.files.forgot(last.data.len() - within);
            Arc::make_mut(&mut last.data).truncate(within);
        }
    }

    /// The times of a write that is done again are in the batch after it.
    pub(crate) fn keep_times(&self, ino: Ino) {
        if let Some(file) = self.files.get(ino) {
            let mut state = file.state.lock();
            state.mtime = None;
            state.ctime = None;
        }
    }
}
