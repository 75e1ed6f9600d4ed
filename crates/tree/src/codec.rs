//! Reading and writing of the byte formats: bounded, without panics, one way to write each value.
//!
//! Integers are unsigned LEB128 (at most ten bytes, no needless last byte); signed ones are
//! zigzag-mapped first; byte strings carry their length before them.

use crate::{Error, Result};

/// Reads values off the front of a slice.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (head, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(Error::Format("it ends too early"))?;
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.take(N)?;
        bytes
            .try_into()
            .map_err(|_| Error::Format("it ends too early"))
    }

    pub(crate) fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn number(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(Error::Format("a number is written with needless bytes"));
                }
                return Ok(value);
            }
        }
        Err(Error::Format("a number has more than 64 bits"))
    }

    pub(crate) fn number32(&mut self) -> Result<u32> {
        u32::try_from(self.number()?).map_err(|_| Error::Format("a number has more than 32 bits"))
    }

    pub(crate) fn signed(&mut self) -> Result<i64> {
        let raw = self.number()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// A byte string of at most `max` bytes.
    pub(crate) fn bytes(&mut self, max: usize) -> Result<&'a [u8]> {
        let len = self.number()?;
        if len > max as u64 {
            return Err(Error::Format("a byte string is too long"));
        }
        self.take(len as usize)
    }

    /// A count of things that take at least `each` bytes: never more than the bytes that are left hold,
    /// so that it may size an allocation.
    pub(crate) fn count(&mut self, each: usize) -> Result<usize> {
        let count = self.number()?;
        if count > (self.rest.len() / each.max(1)) as u64 {
            return Err(Error::Format("a count is larger than its contents"));
        }
        Ok(count as usize)
    }

    pub(crate) fn end(&self) -> Result<()> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Error::Format("bytes are left over at the end"))
        }
    }
}

/// Writes values at the end of a buffer.
pub(crate) trait Write {
    fn number(&mut self, value: u64);
    fn signed(&mut self, value: i64) {
        self.number(((value << 1) ^ (value >> 63)) as u64);
    }
    fn bytes(&mut self, bytes: &[u8]);
}

impl Write for Vec<u8> {
    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.push(value as u8);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back(value: u64, signed: i64) {
            let mut buffer = Vec::new();
            buffer.number(value);
            buffer.signed(signed);
            let mut reader = Reader::new(&buffer);
            prop_assert_eq!(reader.number().unwrap(), value);
            prop_assert_eq!(reader.signed().unwrap(), signed);
            reader.end().unwrap();
        }

        #[test]
        fn there_is_one_way_to_write_a_number(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            let mut reader = Reader::new(&bytes);
            if let Ok(value) = reader.number() {
                let mut again = Vec::new();
                again.number(value);
                prop_assert_eq!(&bytes[..bytes.len() - reader.remaining()], &again[..]);
            }
        }
    }

    #[test]
    fn a_count_cannot_ask_for_more_than_there_is() {
        let mut buffer = Vec::new();
        buffer.number(1 << 40);
        buffer.extend_from_slice(&[0; 100]);
        assert!(Reader::new(&buffer).count(1).is_err());
    }
}
