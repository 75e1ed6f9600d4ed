//! Reading and writing the content of files.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use safeos_tree::{
    BLOCK_BYTES, Batch, Block, FileKind, Inode, Key, ObjectRef, Reader, Source, Wanted,
};

use crate::failure::Fault;
use crate::files::{Dirty, State, pages};
use crate::home::{Home, now, put_inode};
use crate::look::Look;
use crate::{Allocate, Error, Ino, Result, Seek};

const BLOCK: u64 = BLOCK_BYTES as u64;
/// The longest a file can be.
const FILE_BYTES_MAX: u64 = i64::MAX as u64;
/// Block items that one change of the tree removes at most.
const REMOVE_MAX: u64 = 4096;

/// Why a call on a file has to start again with its locks given back.
enum Wait {
    Node(ObjectRef),
    Block(ObjectRef, usize),
    Failed(Error),
}

impl From<Fault> for Wait {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Missing(at) => Self::Node(at),
            Fault::Failed(error) => Self::Failed(error),
        }
    }
}

impl From<Error> for Wait {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Blocks that were fetched for this call.
type Fetched = HashMap<ObjectRef, Bytes>;

/// A file whose lock is held.
struct Open<'a> {
    home: &'a Home,
    ino: Ino,
    state: &'a mut State,
    fetched: &'a Fetched,
}

/// A piece of what is read.
enum Piece {
    Zeros(usize),
    Memory(Arc<Vec<u8>>, Range<usize>),
    Inline(Bytes, Range<usize>),
    Stored(Wanted),
}

impl Home {
    /// Runs `call` with the file's lock held, as often as it takes.
    fn with_file<T>(
        &self,
        ino: Ino,
        mut call: impl FnMut(&mut Open<'_>) -> Result<T, Wait>,
    ) -> Result<T> {
        self.alive()?;
        let mut fetched = Fetched::new();
        loop {
            let file = self.files.get_or_make(ino);
            let mut state = file.state.lock();
            let loaded = if state.loaded {
                Ok(())
            } else {
                self.try_look(|look| regular(look, ino))
                    .map(|inode| state.load(&inode))
            };
            let answer = loaded.map_err(Wait::from).and_then(|()| {
                call(&mut Open {
                    home: self,
                    ino,
                    state: &mut state,
                    fetched: &fetched,
                })
            });
            drop(state);
            drop(file);
            match answer {
                Ok(answer) => return Ok(answer),
                Err(Wait::Node(at)) => {
                    self.reader.node(&at)?;
                }
                Err(Wait::Block(at, len)) => {
                    let block = self.reader.block(&at, len)?;
                    fetched.insert(at, block);
                }
                Err(Wait::Failed(error)) => {
                    self.files.tidy(ino, |state| !state.loaded);
                    return Err(error);
                }
            }
        }
    }

    pub(crate) fn try_look<T>(
        &self,
        look: impl FnOnce(Look<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        look(Look {
            tree: &self.work.read().tree,
            source: &self.reader.cached(),
        })
    }

    /// The inode as it is with what is in memory.
    pub(crate) fn inode(&self, ino: Ino) -> Result<Inode> {
        let Some(file) = self.files.get(ino) else {
            return self.look(|look| Ok(look.inode(ino)?.as_ref().clone()));
        };
        loop {
            let answer = {
                let state = file.state.lock();
                self.alive()?;
                self.try_look(|look| Ok(state.overlay(&*look.inode(ino)?)))
            };
            match answer {
                Err(Fault::Missing(at)) => {
                    self.reader.node(&at)?;
                }
                other => return Ok(other?),
            }
        }
    }

    pub(crate) fn read_content(
        &self,
        ino: Ino,
        offset: u64,
        len: usize,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let pieces = match self.files.get(ino) {
            Some(_) => self.with_file(ino, |open| Ok(open.pieces(offset, len)?))?,
            None if is_within_block(offset, len) => {
                return self.read_within_block(ino, offset, len, out);
            }
            None => self.look(|look| {
                let inode = regular(look, ino)?;
                pieces(look, ino, inode.size, offset, len, &|_| None)
            })?,
        };
        let read: usize = pieces.iter().map(Piece::len).sum();
        self.read_ahead(ino, offset, offset.saturating_add(read as u64));
        assemble(pieces, &self.reader, out)
    }

    /// What most reads of small pieces are: a part of one block that was not written to. It is answered
    /// without gathering anything first.
    fn read_within_block(
        &self,
        ino: Ino,
        offset: u64,
        len: usize,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let (block, range) = self.look(|look| {
            let size = regular(look, ino)?.size;
            let end = offset.saturating_add(len as u64).min(size);
            if offset >= end {
                return Ok((None, 0..0));
            }
            let number = offset / BLOCK;
            Ok((look.block(ino, number)?, part(number, offset, end)))
        })?;
        self.read_ahead(ino, offset, offset.saturating_add(range.len() as u64));
        match block {
            None => out.resize(out.len() + range.len(), 0),
            Some(Block::Inline(data)) => copy(&data, range, out),
            Some(Block::Stored { at, len }) => {
                let part = self.reader.block_part(&at, len as usize, range.clone())?;
                copy(&part, 0..range.len(), out);
            }
        }
        Ok(())
    }

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
        self.throttle()?;
        Ok(at)
    }

    /// Sets a file's length.
    pub(crate) fn resize(&self, ino: Ino, size: u64) -> Result<()> {
        end_of(size, 0)?;
        // Many blocks go in several changes, the length with the last: nobody sees old content again.
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

    pub(crate) fn seek_content(&self, ino: Ino, offset: u64, what: Seek) -> Result<u64> {
        if self.files.get(ino).is_none() {
            return self.look(|look| {
                let inode = regular(look, ino)?;
                look.seek(ino, inode.size, offset, what, &|_| None)
            });
        }
        self.with_file(ino, |open| {
            let state = &*open.state;
            let also = |from| state.blocks.range(from..).next().map(|(number, _)| *number);
            Ok(open
                .home
                .try_look(|look| look.seek(ino, state.size, offset, what, &also))?)
        })
    }
}

impl Open<'_> {
    fn pieces(&self, offset: u64, len: usize) -> Result<Vec<Piece>, Fault> {
        let memory = |number: u64| {
            self.state
                .blocks
                .get(&number)
                .map(|dirty| dirty.data.clone())
        };
        self.home
            .try_look(|look| pieces(look, self.ino, self.state.size, offset, len, &memory))
    }

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
            // What is only in memory does not count as the tree's length yet.
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

impl Piece {
    fn len(&self) -> usize {
        match self {
            Self::Zeros(len) => *len,
            Self::Memory(_, range) | Self::Inline(_, range) => range.len(),
            Self::Stored(wanted) => wanted.range.len(),
        }
    }
}

/// What a read consists of, block by block.
fn pieces(
    look: Look<'_>,
    ino: Ino,
    size: u64,
    offset: u64,
    len: usize,
    memory: &dyn Fn(u64) -> Option<Arc<Vec<u8>>>,
) -> Result<Vec<Piece>, Fault> {
    let end = offset.saturating_add(len as u64).min(size);
    let mut pieces = Vec::new();
    if offset >= end {
        return Ok(pieces);
    }
    let numbers = offset / BLOCK..end.div_ceil(BLOCK);
    let stored = look.blocks(ino, numbers.start, numbers.end)?;
    let mut stored = stored.into_iter().peekable();
    for number in numbers {
        let range = part(number, offset, end);
        let block = stored.next_if(|(found, _)| *found == number);
        match (memory(number), block) {
            (Some(data), _) => pieces.push(Piece::Memory(data, range)),
            (None, Some((_, Block::Inline(data)))) => pieces.push(Piece::Inline(data, range)),
            (None, Some((_, Block::Stored { at, len }))) => pieces.push(Piece::Stored(Wanted {
                at,
                len: len as usize,
                range,
            })),
            (None, None) => pieces.push(Piece::Zeros(range.len())),
        }
    }
    Ok(pieces)
}

/// For read-only volumes.
pub(crate) fn read_frozen(
    look: Look<'_>,
    reader: &Reader,
    ino: Ino,
    range: (u64, usize),
    out: &mut Vec<u8>,
) -> Result<()> {
    let inode = regular(look, ino)?;
    let pieces = pieces(look, ino, inode.size, range.0, range.1, &|_| None)?;
    assemble(pieces, reader, out)
}

/// Appends the pieces of a read, all of them or none.
fn assemble(pieces: Vec<Piece>, reader: &Reader, out: &mut Vec<u8>) -> Result<()> {
    let before = out.len();
    let mut wanted = Vec::new();
    for piece in pieces {
        if !matches!(piece, Piece::Stored(_)) {
            reader
                .read(&wanted, out)
                .inspect_err(|_| out.truncate(before))?;
            wanted.clear();
        }
        match piece {
            Piece::Zeros(len) => out.resize(out.len() + len, 0),
            Piece::Memory(data, range) => copy(&data, range, out),
            Piece::Inline(data, range) => copy(&data, range, out),
            Piece::Stored(one) => wanted.push(one),
        }
    }
    reader
        .read(&wanted, out)
        .inspect_err(|_| out.truncate(before))?;
    Ok(())
}

/// Whether a range touches one block only.
fn is_within_block(offset: u64, len: usize) -> bool {
    (offset % BLOCK).saturating_add(len as u64) <= BLOCK
}

/// The part of a block that the range `offset..end` of its file covers.
fn part(number: u64, offset: u64, end: u64) -> Range<usize> {
    let start = number * BLOCK;
    let from = offset.saturating_sub(start).min(BLOCK) as usize;
    let to = (end - start).min(BLOCK) as usize;
    from..to
}

/// Appends a range of `data`, zeros where it is shorter.
fn copy(data: &[u8], range: Range<usize>, out: &mut Vec<u8>) {
    let end = out.len() + range.len();
    let there = range.start.min(data.len())..range.end.min(data.len());
    out.extend_from_slice(&data[there]);
    out.resize(end, 0);
}

fn end_of(offset: u64, len: u64) -> Result<u64> {
    offset
        .checked_add(len)
        .filter(|end| *end <= FILE_BYTES_MAX)
        .ok_or(Error::FileTooLarge)
}

fn regular(look: Look<'_>, ino: Ino) -> Result<Arc<Inode>, Fault> {
    let inode = look.inode(ino)?;
    match inode.kind {
        FileKind::File => Ok(inode),
        FileKind::Directory => Err(Error::IsDirectory.into()),
        _ => Err(Error::Invalid("only regular files have content").into()),
    }
}

/// The numbers of at most [`REMOVE_MAX`] blocks.
fn some_blocks(look: Look<'_>, ino: Ino, from: u64, to: u64) -> Result<Vec<u64>, Fault> {
    let mut numbers = Vec::new();
    look.scan(
        Key::block(ino, from),
        safeos_tree::Tag::Block,
        &mut |key, _| {
            if key.number >= to || numbers.len() as u64 >= REMOVE_MAX {
                return std::ops::ControlFlow::Break(());
            }
            numbers.push(key.number);
            std::ops::ControlFlow::Continue(())
        },
    )?;
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
