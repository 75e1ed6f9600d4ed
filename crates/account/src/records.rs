//! The pointers and chunks of an account on a store: following a pointer, fetching what it names, moving it.

use safeos_record::{Address, Chunk, FINAL_COUNTER, Pointer, Target};
use safeos_store::{Error as StoreError, Store};

use crate::head::damaged;
use crate::marker::NOTHING;
use crate::{Error, Result};

/// The head chunk that a pointer names, unless it is retired.
pub fn target(pointer: &Pointer) -> Result<Address> {
    match pointer.target() {
        _ if pointer.counter() == FINAL_COUNTER => Err(Error::Retired),
        target if target == NOTHING => Err(Error::Retired),
        Target::Chunk(address) => Ok(address),
        Target::Pointer(address) => Err(damaged(address)("its pointer points at no chunk")),
    }
}

/// Fetches a head chunk; damage of the record is damage of the packet in it.
pub fn head_chunk(store: &dyn Store, address: Address) -> Result<Chunk> {
    store.get_chunk(&address).map_err(|error| match error {
        StoreError::Damaged { .. } => damaged(address)("its bytes are not those that were stored"),
        other => other.into(),
    })
}

/// Moves a pointer. A conflict with this very state counts as success: an answer was lost on the way.
pub fn move_pointer(store: &dyn Store, pointer: Pointer, expected: Option<u64>) -> Result<Pointer> {
    match store.set_pointer(&pointer, expected) {
        Ok(()) => Ok(pointer),
        Err(StoreError::Conflict { .. }) => match store.get_pointer(&pointer.address())? {
            Some(there)
                if there.counter() == pointer.counter() && there.target() == pointer.target() =>
            {
                Ok(there)
            }
            Some(there) if there.counter() == FINAL_COUNTER => Err(Error::Retired),
            there => Err(Error::HeadMoved {
                current: there.map(|pointer| pointer.counter()),
            }),
        },
        Err(error) => Err(error.into()),
    }
}
