//! Batches: changes of items that belong together, as the tree applies them and the stage's log keeps
//! them.

use crate::codec::{Reader, Write};
use crate::item::{Absolute, Key, Value, read_key, read_value, write_key, write_value};
use crate::{Error, Result};

/// Changes to be made together: `None` removes the item.
pub type Batch = Vec<(Key, Option<Value>)>;

/// Appends a batch to `out`, as [`decode_batch`] reads it.
pub fn encode_batch(batch: &[(Key, Option<Value>)], out: &mut Vec<u8>) {
    out.number(batch.len() as u64);
    for (key, value) in batch {
        write_key(key, 0, out);
        match value {
            None => out.push(0),
            Some(value) => {
                out.push(1);
                write_value(key, value, &mut Absolute, out);
            }
        }
    }
}

/// Reads a batch; nothing may follow it.
pub fn decode_batch(bytes: &[u8]) -> Result<Batch> {
    let mut reader = Reader::new(bytes);
    let count = reader.count(3)?;
    let mut batch = Batch::with_capacity(count.min(1024));
    for _ in 0..count {
        let key = read_key(0, &mut reader)?;
        let value = match reader.byte()? {
            0 => None,
            1 => Some(read_value(&key, &Absolute, &mut reader)?),
            _ => return Err(Error::Format("a change is of an unknown kind")),
        };
        batch.push((key, value));
    }
    reader.end()?;
    Ok(batch)
}
