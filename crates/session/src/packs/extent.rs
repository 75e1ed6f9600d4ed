//! The part of a pack that one request fetches, and its bytes.

use std::ops::Range;

use bytes::Bytes;
use safeos_record::MAX_CHUNK_SIZE;

/// Of a pack of which no more than this is wanted only that is fetched. The whole can be held against its address, and
/// tells what need not be stored again: that is worth an eighth of it.
const SPAN_MAX: u32 = MAX_CHUNK_SIZE as u32 / 8 * 7;

/// All of a pack, or a part of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Extent {
    Whole,
    /// From a byte up to another, without that.
    Span(u32, u32),
}

impl Extent {
    /// Just these bytes.
    pub(crate) const fn of(range: &Range<u32>) -> Self {
        Self::Span(range.start, range.end)
    }

    /// The extent to fetch of a pack of which only these bytes are wanted.
    pub(crate) fn for_all_of(range: &Range<u32>) -> Self {
        match range.len() <= SPAN_MAX as usize {
            true => Self::of(range),
            false => Self::Whole,
        }
    }

    /// Its length at most.
    pub(crate) const fn len(self) -> u32 {
        match self {
            Self::Whole => MAX_CHUNK_SIZE as u32,
            Self::Span(start, end) => end.saturating_sub(start),
        }
    }

    /// Whether all of another one is in it.
    pub(crate) fn has(self, other: Self) -> bool {
        match (self, other) {
            (Self::Whole, _) => true,
            (Self::Span(..), Self::Whole) => false,
            (Self::Span(a, b), Self::Span(c, d)) => covers(&(a..b), &(c..d)),
        }
    }

    /// The rest of it beside another extent that is fetched already. `None`: nothing that is in one
    /// piece.
    pub(crate) const fn without(self, other: Self) -> Option<Self> {
        let (Self::Span(start, end), Self::Span(from, to)) = (self, other) else {
            return Some(self);
        };
        if to <= start || end <= from {
            Some(self)
        } else if from <= start && to < end {
            Some(Self::Span(to, end))
        } else if start < from && end <= to {
            Some(Self::Span(start, from))
        } else {
            None
        }
    }

    /// The extent that covers both.
    pub(crate) fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Span(a, b), Self::Span(c, d)) => Self::for_all_of(&(a.min(c)..b.max(d))),
            _ => Self::Whole,
        }
    }
}

/// Whether all of a range is in another one.
pub(crate) const fn covers(all: &Range<u32>, part: &Range<u32>) -> bool {
    all.start <= part.start && part.end <= all.end
}

/// The least range that has both; an empty one has nothing.
pub(crate) fn union(one: &Range<u32>, other: &Range<u32>) -> Range<u32> {
    match (one.is_empty(), other.is_empty()) {
        (true, _) => other.clone(),
        (_, true) => one.clone(),
        _ => one.start.min(other.start)..one.end.max(other.end),
    }
}

/// The bytes of a pack that have arrived.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Piece {
    /// Its first byte in the pack.
    start: u32,
    bytes: Bytes,
}

impl Piece {
    pub(crate) const fn new(start: u32, bytes: Bytes) -> Self {
        Self { start, bytes }
    }

    pub(crate) const fn start(&self) -> u32 {
        self.start
    }

    pub(crate) const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Some bytes of the pack, if they are in it.
    pub(crate) fn part(&self, range: &Range<u32>) -> Option<&[u8]> {
        let start = range.start.checked_sub(self.start)? as usize;
        let end = range.end.checked_sub(self.start)? as usize;
        self.bytes.get(start..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_of_a_pack_is_a_span_and_much_of_it_the_pack() {
        assert_eq!(Extent::for_all_of(&(10..20)), Extent::Span(10, 20));
        assert_eq!(Extent::for_all_of(&(10..11 + SPAN_MAX)), Extent::Whole);
        let (low, high) = (
            Extent::Span(0, SPAN_MAX),
            Extent::Span(SPAN_MAX, SPAN_MAX + 1),
        );
        assert_eq!(low.with(high), Extent::Whole);
        assert_eq!(
            Extent::Span(5, 6).with(Extent::Span(1, 2)),
            Extent::Span(1, 6)
        );
    }

    #[test]
    fn what_is_under_way_is_cut_off() {
        let span = Extent::Span;
        assert_eq!(span(10, 20).without(span(0, 10)), Some(span(10, 20)));
        assert_eq!(span(10, 20).without(span(20, 30)), Some(span(10, 20)));
        assert_eq!(span(10, 20).without(span(5, 15)), Some(span(15, 20)));
        assert_eq!(span(10, 20).without(span(15, 25)), Some(span(10, 15)));
        assert_eq!(span(10, 20).without(span(5, 25)), None);
        assert_eq!(span(10, 20).without(span(12, 15)), None);
        assert_eq!(Extent::Whole.without(span(12, 15)), Some(Extent::Whole));
    }

    #[test]
    fn a_piece_gives_what_it_has() {
        let piece = Piece::new(100, Bytes::from_static(b"something"));
        assert_eq!(piece.part(&(104..109)), Some(&b"thing"[..]));
        assert_eq!(piece.part(&(104..110)), None);
        assert_eq!(piece.part(&(99..104)), None);
    }
}
