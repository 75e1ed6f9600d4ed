//! The list of computers that may have put records to which nothing published refers.

use crate::account::{Account, newest, salted};
use crate::bytes::Reader;
use crate::{Records, Result, chunk, derive};

/// A computer on the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Computer {
    /// Whether it removes records, instead of putting some.
    pub removes: bool,
    /// Of the state folder.
    pub id: [u8; 16],
    /// By its own clock, in nanoseconds since 1970.
    pub since: u64,
    /// When it was seen last.
    pub renewed: u64,
    /// The computer's name.
    pub name: String,
}

impl Account {
    /// Those at work on the home.
    pub fn at_work(&self, records: &dyn Records) -> Result<Vec<Computer>> {
        let seed = derive(&self.home_key, "safeos 2026 leases owner v1", &[]);
        let Some((counter, address)) = newest(records, &seed)? else {
            return Ok(Vec::new());
        };
        let bytes = chunk(records, &address)?;
        let (version, sealed) = bytes.split_first().ok_or("it is cut short")?;
        if *version != 1 {
            return Err("the list has an unknown version".into());
        }
        let key = derive(&self.home_key, "safeos 2026 leases key v1", &[]);
        let plain = salted(&key, "safeos 2026 leases seal v1", sealed)?;
        if !plain.len().is_multiple_of(256) {
            return Err("the list has another length".into());
        }
        let mut reader = Reader(&plain);
        if u64::from_le_bytes(reader.array()?) != counter {
            return Err("the list has another counter than its pointer".into());
        }
        let count = u16::from_le_bytes(reader.array()?);
        if count > 1024 {
            return Err("the list is too long".into());
        }
        let mut computers = Vec::new();
        for _ in 0..count {
            let kind = reader.byte()?;
            if !(1..=2).contains(&kind) {
                return Err("a computer on the list is of an unknown kind".into());
            }
            let id = reader.array()?;
            let since = u64::from_le_bytes(reader.array()?);
            let renewed = u64::from_le_bytes(reader.array()?);
            let len = reader.byte()?;
            let name = String::from_utf8(reader.take(len.into())?.to_vec());
            computers.push(Computer {
                removes: kind == 2,
                id,
                since,
                renewed,
                name: name.map_err(|e| e.to_string())?,
            });
        }
        match reader.0.iter().any(|byte| *byte != 0) {
            true => Err("the list does not end where it should".into()),
            false => Ok(computers),
        }
    }
}
