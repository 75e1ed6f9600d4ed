//! Reading the content of files.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use safeos_tree::{Block, Reader, Wanted, append_range};

use super::{BLOCK, Open, part, regular};
use crate::failure::Fault;
use crate::worktree::files::pages_with_data;
use crate::worktree::home::Home;
use crate::worktree::tree_view::TreeView;
use crate::{Ino, Result, Seek};

/// A piece of a read.
enum Piece {
    Zeros(usize),
    Memory(Arc<Vec<u8>>, Range<usize>),
    Inline(Bytes, Range<usize>),
    Stored(Wanted),
}

impl Home {
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

    /// The most frequent read of small pieces: a part of one block that was not written to. It is answered
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
            Some(Block::Inline(data)) => append_range(&data, range, out),
            Some(Block::Stored { at, len }) => {
                let part = self.reader.block_part(&at, len as usize, range.clone())?;
                append_range(&part, 0..range.len(), out);
            }
        }
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
            let also = |from| {
                let (number, dirty) = state.blocks.range(from..).next()?;
                Some((*number, pages_with_data(&dirty.data)))
            };
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

/// The pieces of a read, block by block.
fn pieces(
    look: TreeView<'_>,
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
    look: TreeView<'_>,
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
            Piece::Memory(data, range) => append_range(&data, range, out),
            Piece::Inline(data, range) => append_range(&data, range, out),
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
