//! The checks every store makes on every record, in one place.

use bytes::Bytes;
use safeos_record::{Address, Chunk, Pointer};

use crate::{Error, Kind, Result};

/// The chunk found under an address, checked against it.
pub(crate) fn checked_chunk(address: Address, found: Option<Bytes>) -> Result<Chunk> {
    let Some(bytes) = found else {
        return Err(Error::Missing {
            kind: Kind::Chunk,
            address,
        });
    };
    Chunk::verify(address, bytes).map_err(|error| Error::Damaged {
        kind: Kind::Chunk,
        address,
        why: error.to_string(),
    })
}

/// The pointer found under an address: verified, and the pointer of that very address.
pub(crate) fn checked_pointer(address: Address, found: Option<&[u8]>) -> Result<Option<Pointer>> {
    let Some(bytes) = found else {
        return Ok(None);
    };
    let damaged = |why: String| Error::Damaged {
        kind: Kind::Pointer,
        address,
        why,
    };
    let pointer = Pointer::parse(bytes).map_err(|error| damaged(error.to_string()))?;
    if pointer.address() != address {
        return Err(damaged(format!(
            "the pointer {} is in its place",
            pointer.address()
        )));
    }
    Ok(Some(pointer))
}

/// Whether `pointer` may take the place of the present one, for [`crate::Store::set_pointer`].
pub(crate) fn check_set(
    pointer: &Pointer,
    expected: Option<u64>,
    there: Option<&[u8]>,
) -> Result<()> {
    let current = checked_pointer(pointer.address(), there)?;
    let counter = current.as_ref().map(Pointer::counter);
    let replaces = current.is_none_or(|current| pointer.replaces(&current));
    if counter != expected || !replaces {
        return Err(Error::Conflict {
            address: pointer.address(),
            current: counter,
        });
    }
    Ok(())
}
