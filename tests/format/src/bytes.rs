//! The notation of the document: `num`, `snum`, `bytes`.

use crate::Result;

pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or("bytes end too early")?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| "bytes end too early".into())
    }

    pub(crate) fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn num(&mut self) -> Result<u64> {
        let mut value = 0u128;
        for place in 0..10 {
            let byte = self.byte()?;
            value |= u128::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                if byte == 0 && place > 0 {
                    return Err("a number could be shorter".into());
                }
                return u64::try_from(value).map_err(|_| "a number is too large".into());
            }
        }
        Err("a number is too long".into())
    }

    pub(crate) fn num32(&mut self) -> Result<u32> {
        u32::try_from(self.num()?).map_err(|_| "a number is too large".into())
    }

    pub(crate) fn snum(&mut self) -> Result<i64> {
        let raw = self.num()?;
        let half = (raw / 2) as i64;
        Ok(if raw % 2 == 0 { half } else { -half - 1 })
    }

    pub(crate) fn bytes(&mut self, max: u64) -> Result<&'a [u8]> {
        let len = self.num()?;
        if len > max {
            return Err("bytes are longer than they may be".into());
        }
        self.take(len as usize)
    }

    pub(crate) fn end(&self) -> Result<()> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err("bytes are left over".into())
        }
    }
}
