//! A body that is put together from parts.
//!
//! What always holds here: a byte is set once; a repeated part must be the same. There are no more gaps than parts of
//! the least length allow.

use std::collections::BTreeMap;

use safeos_store::wire::PART_BYTES_MIN;

/// The received parts of a body, in any order.
pub(crate) struct Assembly {
    bytes: Vec<u8>,
    /// From where to where; no two touch.
    held: BTreeMap<usize, usize>,
    missing: usize,
}

/// Why a part is not one of this body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wrong {
    /// It has no bytes.
    Empty,
    /// It ends behind the end.
    Beyond,
    /// So short ones are too many.
    Short,
    /// Some of it is there, and some is not.
    Overlaps,
    /// It is there, with other bytes.
    Differs,
}

impl Assembly {
    pub(crate) fn new(len: usize) -> Self {
        Self {
            bytes: vec![0; len],
            held: BTreeMap::new(),
            missing: len,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.missing == 0
    }

    /// Whether a part can be one of a body of this length.
    pub(crate) fn fits(len: usize, at: usize, part: usize) -> Result<(), Wrong> {
        let end = at.checked_add(part).filter(|end| *end <= len);
        match end {
            _ if part == 0 => Err(Wrong::Empty),
            None => Err(Wrong::Beyond),
            Some(end) if part < PART_BYTES_MIN && end < len => Err(Wrong::Short),
            Some(_) => Ok(()),
        }
    }

    /// Takes a part; says how many of its bytes were not there.
    pub(crate) fn put(&mut self, at: usize, part: &[u8]) -> Result<usize, Wrong> {
        Self::fits(self.len(), at, part.len())?;
        let end = at + part.len();
        let before = self.held.range(..=at).next_back();
        let before = before.map(|(start, end)| (*start, *end));
        let place = self.bytes.get_mut(at..end).ok_or(Wrong::Beyond)?;
        if before.is_some_and(|(_, held)| end <= held) {
            return if *place == *part {
                Ok(0)
            } else {
                Err(Wrong::Differs)
            };
        }
        let after = self.held.range(at..).next();
        let after = after.map(|(start, end)| (*start, *end));
        if before.is_some_and(|(_, held)| held > at) || after.is_some_and(|(held, _)| held < end) {
            return Err(Wrong::Overlaps);
        }
        place.copy_from_slice(part);
        self.missing -= part.len();
        let (mut start, mut stop) = (at, end);
        if let Some((held, until)) = before
            && until == at
        {
            start = held;
        }
        if let Some((held, until)) = after
            && held == end
        {
            self.held.remove(&held);
            stop = until;
        }
        self.held.insert(start, stop);
        Ok(part.len())
    }

    /// The body, when it is whole.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of numbers that is the same every time.
    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) as usize % limit.max(1)
        }
    }

    /// A body of this length and one way to cut it.
    fn cut(random: &mut Random) -> (Vec<u8>, Vec<(usize, usize)>) {
        let len = 1 + random.below(300_000);
        let body = (0..len).map(|_| random.below(256) as u8).collect();
        let mut parts = Vec::new();
        let mut at = 0;
        while at < len {
            let part = (PART_BYTES_MIN + random.below(60_000)).min(len - at);
            parts.push((at, at + part));
            at += part;
        }
        (body, parts)
    }

    #[test]
    fn parts_in_any_order_and_twice_make_the_body_and_nothing_else_does() {
        for seed in 1..200 {
            let mut random = Random(seed * 0x9E37_79B9);
            let (body, parts) = cut(&mut random);
            let mut assembly = Assembly::new(body.len());
            let mut left = parts.clone();
            let mut held: Vec<(usize, usize)> = Vec::new();
            while !left.is_empty() {
                assert!(!assembly.is_whole());
                let (at, end) = left.swap_remove(random.below(left.len()));
                let new = assembly.put(at, &body[at..end]);
                assert_eq!(new, Ok(end - at), "{seed}");
                held.push((at, end));
                // A part that is there comes again, whole or a piece of it, and changes nothing.
                let (at, end) = held[random.below(held.len())];
                assert_eq!(assembly.put(at, &body[at..end]), Ok(0));
                let mut other = body[at..end].to_vec();
                other[random.below(end - at)] ^= 1;
                assert_eq!(assembly.put(at, &other), Err(Wrong::Differs));
                // Over the edge of the received bytes.
                let free = left
                    .iter()
                    .find(|free| held.iter().any(|held| held.1 == free.0));
                if let Some((start, end)) = free {
                    let over = assembly.put(start - 1, &body[start - 1..*end]);
                    assert_eq!(over, Err(Wrong::Overlaps), "{seed}");
                }
                let beyond = assembly.put(body.len() - 1, &[0; 2]);
                assert_eq!(beyond, Err(Wrong::Beyond));
            }
            assert!(assembly.is_whole() && assembly.held.len() == 1);
            assert_eq!(assembly.put(0, &body[..parts[0].1]), Ok(0));
            assert!(assembly.into_bytes() == body, "{seed}");
        }
    }

    #[test]
    fn a_part_is_not_empty_and_not_too_short_unless_it_is_the_last() {
        let len = 3 * PART_BYTES_MIN;
        let mut assembly = Assembly::new(len);
        let bytes = vec![7; len];
        assert_eq!(assembly.put(0, &[]), Err(Wrong::Empty));
        assert_eq!(assembly.put(usize::MAX, &[1]), Err(Wrong::Beyond));
        assert_eq!(
            assembly.put(0, &bytes[1..PART_BYTES_MIN]),
            Err(Wrong::Short)
        );
        assert_eq!(assembly.put(len - 1, &[7]), Ok(1));
        assert_eq!(assembly.put(0, &bytes[1..]), Ok(len - 1));
        assert!(assembly.is_whole());
    }
}
