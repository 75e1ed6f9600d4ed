//! Frames: the entries of the stage, and how they are cut into pieces that fit.
//!
//! What always holds here: a piece is at most [`PIECE_MAX`] bytes; long data become several frames of
//! data, and a long batch becomes several pieces that come back as one or not at all.

/// The longest piece, in bytes: with length and tag just under 2 MiB.
pub(super) const PIECE_MAX: usize = 2 * 1024 * 1024 - 64;

const BATCH: u8 = 1;
const DATA: u8 = 2;
/// Set in the kind of a piece that the next piece continues.
const MORE: u8 = 0x80;

const DATA_HEAD: usize = 1 + 8 + 8;

/// An entry that is appended to a stage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Frame<'a> {
    /// Changes to the tree that belong together.
    Batch(&'a [u8]),
    /// Content of a file.
    Data {
        /// The file's inode number.
        ino: u64,
        /// Where in the file, in bytes.
        offset: u64,
        /// The content.
        bytes: &'a [u8],
    },
}

/// An entry that replaying a stage returns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum OwnedFrame {
    /// Changes to the tree that belong together.
    Batch(Vec<u8>),
    /// Content of a file; may be a part of one append.
    Data {
        /// The file's inode number.
        ino: u64,
        /// Where in the file, in bytes.
        offset: u64,
        /// The content.
        bytes: Vec<u8>,
    },
}

/// The pieces of a frame.
pub(super) fn pieces(frame: Frame<'_>) -> Vec<Vec<u8>> {
    match frame {
        Frame::Batch(bytes) => parts(bytes),
        Frame::Data { ino, offset, bytes } => {
            let step = PIECE_MAX - DATA_HEAD;
            let mut at = offset;
            let mut rest = bytes;
            let mut out = Vec::with_capacity(bytes.len() / step + 1);
            loop {
                let (part, after) = rest.split_at(rest.len().min(step));
                let mut piece = Vec::with_capacity(DATA_HEAD + part.len());
                piece.push(DATA);
                piece.extend_from_slice(&ino.to_le_bytes());
                piece.extend_from_slice(&at.to_le_bytes());
                piece.extend_from_slice(part);
                out.push(piece);
                at = at.saturating_add(part.len() as u64);
                rest = after;
                if rest.is_empty() {
                    return out;
                }
            }
        }
    }
}

fn parts(bytes: &[u8]) -> Vec<Vec<u8>> {
    let step = PIECE_MAX - 1;
    let mut rest = bytes;
    let mut out = Vec::with_capacity(bytes.len() / step + 1);
    loop {
        let (part, after) = rest.split_at(rest.len().min(step));
        let mut piece = Vec::with_capacity(1 + part.len());
        piece.push(if after.is_empty() {
            BATCH
        } else {
            BATCH | MORE
        });
        piece.extend_from_slice(part);
        out.push(piece);
        rest = after;
        if rest.is_empty() {
            return out;
        }
    }
}

/// Puts pieces together again.
#[derive(Default)]
pub(super) struct Joiner {
    bytes: Vec<u8>,
    open: bool,
}

/// The outcome of adding a piece.
pub(super) enum Joined {
    /// A whole frame.
    Frame(OwnedFrame),
    /// More pieces are to come.
    More,
    /// A piece that cannot be here.
    Wrong,
}

impl Joiner {
    /// Takes the next piece.
    pub(super) fn push(&mut self, piece: &[u8]) -> Joined {
        let Some((&kind, rest)) = piece.split_first() else {
            return Joined::Wrong;
        };
        if kind == DATA {
            return if self.open { Joined::Wrong } else { data(rest) };
        }
        if kind & !MORE != BATCH {
            return Joined::Wrong;
        }
        self.bytes.extend_from_slice(rest);
        self.open = kind & MORE != 0;
        if self.open {
            return Joined::More;
        }
        Joined::Frame(OwnedFrame::Batch(std::mem::take(&mut self.bytes)))
    }
}

fn data(rest: &[u8]) -> Joined {
    let Some((ino, rest)) = rest.split_first_chunk() else {
        return Joined::Wrong;
    };
    let Some((offset, bytes)) = rest.split_first_chunk() else {
        return Joined::Wrong;
    };
    Joined::Frame(OwnedFrame::Data {
        ino: u64::from_le_bytes(*ino),
        offset: u64::from_le_bytes(*offset),
        bytes: bytes.to_vec(),
    })
}
