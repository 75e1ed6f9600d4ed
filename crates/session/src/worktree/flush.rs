//! From memory to the stage, and from memory into packs.
//!
//! What always holds here: a block leaves memory only when the tree has it, and only if it was not written to
//! meanwhile; the tree has a file's new length only when the stage has the content before it.

use std::collections::BTreeMap;
use std::iter;
use std::sync::Arc;

use crate::lock::{Mutex, thread};
use bytes::Bytes;
use safeos_record::Chunk;
use safeos_tree::{
    BLOCK_BYTES, Batch, Block, BlockPack, BlockPacker, Key, ObjectKind, ObjectRef, PackedObject,
    Plain, Source, Value, is_inline, trim,
};

use crate::failure::Fault;
use crate::journal::{Frame, Position};
use crate::worktree::files::{BlockAt, State, runs};
use crate::worktree::flush_scheduler::{BLOCKS_PER_BATCH, FlushBatch, Moving, PACKS_PER_BATCH};
use crate::worktree::home::{Home, put_inode};
use crate::{Error, Ino, Result};

/// A file of which the log would take more than this goes into packs when it is synced, in bytes.
const LOG_BYTES_MAX: usize = 8 * 1024 * 1024;

impl Home {
    /// Makes a file's content and everything else so far durable on this computer.
    pub(crate) fn sync_node(&self, ino: Ino) -> Result<()> {
        self.alive()?;
        if let Some(file) = self.files.get(ino) {
            let (log_bytes, pack_bytes) = file.state.lock().bytes_to_sync();
            drop(file);
            // Few pages of many blocks go through the log whatever there is: the packs would be many times as much.
            if log_bytes > LOG_BYTES_MAX && log_bytes > pack_bytes / 4 {
                self.flush_file(ino)?;
            }
            self.log_file(ino)?;
        }
        self.stage.sync(self.stage.end())
    }

    /// Appends what the stage does not have of any file, and makes it durable.
    pub(crate) fn log_all(&self) -> Result<()> {
        if self.stage.failure().is_some() {
            // A disk that does not take what waits for it is not given more to wait: all of it is in memory already.
            self.stage.sync(self.stage.end())?;
        }
        // A store that does not answer must not keep from the disk what needs nothing from it.
        let mut late = Vec::new();
        for ino in self.files.all() {
            if self.log_once(ino)?.is_some() {
                late.push(ino);
            }
        }
        self.stage.sync(self.stage.end())?;
        if !late.is_empty() {
            for ino in late {
                self.log_file(ino)?;
            }
            self.stage.sync(self.stage.end())?;
        }
        // Also packs that nothing came to refer to yet: they are not to wait for ever.
        self.packs.sync()
    }

    /// Appends what the stage does not have of a file.
    pub(crate) fn log_file(&self, ino: Ino) -> Result<Position> {
        while let Some(at) = self.log_once(ino)? {
            self.reader.node(&at)?;
        }
        Ok(self.stage.end())
    }

    /// The same, unless a node of the tree has to be fetched for it: then which.
    fn log_once(&self, ino: Ino) -> Result<Option<ObjectRef>> {
        let Some(file) = self.files.get(ino) else {
            return Ok(None);
        };
        let mut state = file.state.lock();
        if !state.loaded {
            return Ok(None);
        }
        match self.try_log(ino, &mut state) {
            Err(Fault::Missing(at)) => Ok(Some(at)),
            // It was removed meanwhile.
            Err(Fault::Failed(Error::NotFound)) => Ok(None),
            other => {
                other?;
                Ok(None)
            }
        }
    }

    fn try_log(&self, ino: Ino, state: &mut State) -> Result<(), Fault> {
        // The path to the inode is needed afterwards: have it before anything is appended.
        self.try_look(|look| look.inode(ino))?;
        if state.blocks.values().any(|block| block.unlogged != 0) {
            self.stage.accept(1)?;
        }
        let size = state.size;
        for (number, block) in &mut state.blocks {
            let start = number * BLOCK_BYTES as u64;
            // Holes that were written as zeros at the end of a file are said by its length.
            let len = block.data.len().min(size.saturating_sub(start) as usize);
            for run in runs(std::mem::take(&mut block.unlogged)) {
                if run.start < len {
                    self.stage.append(Frame::Data {
                        ino,
                        offset: start + run.start as u64,
                        bytes: &block.data[run.start..run.end.min(len)],
                    });
                    block.logged = true;
                }
            }
        }
        self.try_change(&mut |look| {
            let inode = look.inode(ino)?;
            let mut new = state.overlay(&inode);
            // The blocks in memory count when the tree has them.
            new.allocated = inode.allocated;
            let batch = if new == *inode {
                Batch::new()
            } else {
                vec![put_inode(ino, new)]
            };
            Ok((batch, ()))
        })?;
        state.mtime = None;
        state.ctime = None;
        Ok(())
    }

    /// Forgets files in memory that say nothing new.
    pub(crate) fn tidy(&self) {
        for ino in self.files.all() {
            self.files.tidy(ino, |state| {
                self.try_look(|look| Ok(state.is_clean(&*look.inode(ino)?)))
                    .unwrap_or(false)
            });
        }
    }

    /// Has writers wait for packs when with so much more too much would be in memory. An error if it cannot leave it:
    /// nothing more is taken then.
    pub(crate) fn make_room(&self, bytes: usize) -> Result<()> {
        while self.files.dirty_bytes().saturating_add(bytes) > self.limits.dirty_bytes_max {
            if !self.flush_oldest()? && !self.scheduler.wait() {
                break;
            }
        }
        Ok(())
    }

    /// Whether enough is in memory to fill packs, and no thread does.
    pub(crate) fn is_to_be_flushed(&self) -> bool {
        self.files.dirty_bytes() * 3 > self.limits.dirty_bytes_max && !self.files.is_being_emptied()
    }

    /// Waits for the flushes that are under way.
    pub(crate) fn wait_for_flushes(&self) {
        self.scheduler.wait();
    }

    /// Moves the blocks that were written first into packs. Whether there were any.
    pub(crate) fn flush_oldest(&self) -> Result<bool> {
        let mut oldest = iter::from_fn(|| self.files.oldest());
        let batch = self.scheduler.take(&self.files, &mut oldest);
        self.pack(&batch)?;
        Ok(!batch.blocks.is_empty())
    }

    /// Moves everything in memory into packs.
    pub(crate) fn flush_all(&self) -> Result<()> {
        let _emptying = self.files.start_emptying();
        let files = self.files.all().into_iter();
        self.flush(files.flat_map(|ino| self.blocks_of(ino)).collect())?;
        for ino in self.files.all() {
            self.log_file(ino)?;
        }
        self.tidy();
        Ok(())
    }

    fn flush_file(&self, ino: Ino) -> Result<()> {
        let _emptying = self.files.start_emptying();
        self.flush(self.blocks_of(ino))
    }

    fn blocks_of(&self, ino: Ino) -> Vec<BlockAt> {
        self.files.get(ino).map_or_else(Vec::new, |file| {
            let state = file.state.lock();
            state.blocks.keys().map(|number| (ino, *number)).collect()
        })
    }

    /// Moves these blocks into packs, or waits until others have.
    fn flush(&self, blocks: Vec<BlockAt>) -> Result<()> {
        let elsewhere = self.flush_free(blocks)?;
        if !elsewhere.is_empty() {
            self.scheduler.wait();
            // Retries the blocks that failed there.
            self.flush_free(elsewhere)?;
        }
        Ok(())
    }

    /// Moves those blocks that are in no batch yet; the others are the answer.
    fn flush_free(&self, blocks: Vec<BlockAt>) -> Result<Vec<BlockAt>> {
        // More than a batch is worth a second thread.
        let is_much = blocks.len() > BLOCKS_PER_BATCH;
        let blocks = Mutex::new(blocks.into_iter());
        let elsewhere = Mutex::new(Vec::new());
        let work = || -> Result<()> {
            loop {
                let batch = self.scheduler.take(&self.files, &mut *blocks.lock());
                elsewhere.lock().extend_from_slice(&batch.elsewhere);
                if batch.blocks.is_empty() {
                    return Ok(());
                }
                self.pack(&batch)?;
            }
        };
        if is_much {
            thread::scope(|scope| {
                let other = scope.spawn(work);
                let own = work();
                match other.join() {
                    Ok(done) => own.and(done),
                    Err(_) => Err(Error::State("a thread that packs has panicked".into())),
                }
            })?;
        } else {
            work()?;
        }
        Ok(elsewhere.into_inner())
    }

    fn pack(&self, batch: &FlushBatch<'_>) -> Result<()> {
        let moving = &batch.blocks[..];
        let mut packer = BlockPacker::new(self.reader.keys());
        let mut placed: Vec<(usize, Option<Block>)> = Vec::new();
        let mut ready = Vec::new();
        let mut lens: BTreeMap<usize, u32> = BTreeMap::new();
        for (index, block) in moving.iter().enumerate() {
            let content = trim(&block.data);
            if content.is_empty() {
                placed.push((index, None));
                continue;
            }
            if is_inline(content.len()) {
                placed.push((index, Some(Block::Inline(Bytes::copy_from_slice(content)))));
                continue;
            }
            let plain = Plain::new(self.reader.keys(), ObjectKind::Block, content)?;
            let len = content.len() as u32;
            if let Some(at) = self.packs.find(&plain.hash()) {
                placed.push((index, Some(Block::Stored { at, len })));
                continue;
            }
            lens.insert(index, len);
            if let Some(pack) = packer.add(index as u64, plain)? {
                ready.push(pack);
            }
            if ready.len() == PACKS_PER_BATCH {
                self.keep(std::mem::take(&mut ready), &lens, &mut placed)?;
                self.settle(moving, std::mem::take(&mut placed))?;
            }
        }
        ready.extend(packer.finish()?);
        self.keep(ready, &lens, &mut placed)?;
        self.settle(moving, placed)
    }

    /// Stores finished packs and notes where each block went.
    fn keep(
        &self,
        packs: Vec<BlockPack>,
        lens: &BTreeMap<usize, u32>,
        placed: &mut Vec<(usize, Option<Block>)>,
    ) -> Result<()> {
        if packs.is_empty() {
            return Ok(());
        }
        for pack in &packs {
            for (index, at) in pack.blocks() {
                let index = index as usize;
                if let Some(len) = lens.get(&index) {
                    placed.push((index, Some(Block::Stored { at, len: *len })));
                }
            }
        }
        let packs: Vec<(Chunk, Vec<PackedObject>)> = packs
            .into_iter()
            .map(|pack| (pack.chunk, pack.places))
            .collect();
        self.packs.put(packs)
    }

    /// Tells the tree where blocks are now, and takes them out of memory.
    fn settle(&self, moving: &[Moving], placed: Vec<(usize, Option<Block>)>) -> Result<()> {
        let mut by_file: BTreeMap<Ino, Vec<(usize, Option<Block>)>> = BTreeMap::new();
        for (index, block) in placed {
            by_file
                .entry(moving[index].ino)
                .or_default()
                .push((index, block));
        }
        for (ino, blocks) in by_file {
            while let Some(file) = self.files.get(ino) {
                let mut state = file.state.lock();
                let settled = self.try_settle(ino, &mut state, moving, &blocks);
                drop(state);
                match settled {
                    Ok(()) => break,
                    // It was removed meanwhile.
                    Err(Fault::Failed(Error::NotFound)) => break,
                    Err(Fault::Missing(at)) => {
                        self.reader.node(&at)?;
                    }
                    Err(other) => return Err(other.into()),
                }
            }
        }
        Ok(())
    }

    fn try_settle(
        &self,
        ino: Ino,
        state: &mut State,
        moving: &[Moving],
        blocks: &[(usize, Option<Block>)],
    ) -> Result<(), Fault> {
        let mut done = Vec::with_capacity(blocks.len());
        for (index, block) in blocks {
            let number = moving[*index].number;
            // Blocks that were written to meanwhile stay.
            if let Some(dirty) = state.blocks.get(&number)
                && Arc::ptr_eq(&dirty.data, &moving[*index].data)
            {
                done.push((number, block));
            }
        }
        self.try_change(&mut |look| {
            let inode = look.inode(ino)?;
            let mut new = inode.as_ref().clone();
            let mut batch = Batch::with_capacity(done.len() + 1);
            for (number, block) in &done {
                let stored_len = look.block(ino, *number)?.map_or(0, |block| block.len());
                let len = block.as_ref().map_or(0, Block::len);
                new.allocated = (new.allocated + len as u64).saturating_sub(stored_len as u64);
                // A hole is told even where the tree has none: the stage may know a block here.
                batch.push((Key::block(ino, *number), (*block).clone().map(Value::Block)));
            }
            // The length grows as far as there is nothing in memory before it.
            let in_memory = state
                .blocks
                .keys()
                .find(|number| !done.iter().any(|(other, _)| other == *number));
            let known = in_memory.map_or(state.size, |number| {
                state.size.min(number * BLOCK_BYTES as u64)
            });
            new.size = new.size.max(known);
            if new != *inode {
                batch.push(put_inode(ino, new));
            }
            Ok((batch, ()))
        })?;
        for (number, _) in done {
            if let Some(dirty) = state.blocks.remove(&number) {
                self.files.forgot(dirty.data.len());
            }
        }
        Ok(())
    }

    /// Before the stage's older segments go: everything that is still in memory counts as not logged.
    pub(crate) fn unlog_all(&self) {
        for ino in self.files.all() {
            if let Some(file) = self.files.get(ino) {
                for block in file.state.lock().blocks.values_mut() {
                    block.unlogged = crate::worktree::files::pages(0, block.data.len());
                }
            }
        }
    }
}
