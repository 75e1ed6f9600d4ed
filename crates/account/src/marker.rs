//! The name marker: a pointer that says of a name that it is in use, and nothing else.
//!
//! What always holds here: a marker never leads to an account. It is derived from the name alone,
//! so anybody who knows a name can find (and could forge) its marker: it decides only which message a failed
//! sign-in gets and whether a sign-up may take the name, and never whether an account opens. Stores where records are
//! paid for have none.

use safeos_record::{Address, OwnerKey, Pointer, Target};
use safeos_store::{Error as StoreError, Store};
use zeroize::Zeroizing;

use crate::Result;
use crate::kdf::{Cost, stretch};
use crate::name::Name;

const SALT_CONTEXT: &str = "safeos 2026 name marker v1";
/// The target of a marker: no chunk has this address.
pub const NOTHING: Target = Target::Chunk(Address([0; 32]));

/// The marker of one name.
pub struct Marker(OwnerKey);

impl Marker {
    /// Derives the marker's key; stretched, so that trying many names costs.
    pub fn of(name: &Name, cost: Cost) -> Result<Self> {
        let salt = blake3::derive_key(SALT_CONTEXT, b"");
        let mut seed = Zeroizing::new([0; 32]);
        stretch(cost, name.as_str().as_bytes(), &salt, seed.as_mut_slice())?;
        Ok(Self(OwnerKey::from_seed(&seed)))
    }

    /// Whether the name is marked on this store.
    pub fn is_set(&self, store: &dyn Store) -> Result<bool> {
        Ok(store.get_pointer(&self.0.address())?.is_some())
    }

    /// Marks the name; false when it was marked already.
    pub fn set(&self, store: &dyn Store) -> Result<bool> {
        let pointer = Pointer::sign(&self.0, 1, NOTHING)?;
        match store.set_pointer(&pointer, None) {
            Ok(()) => Ok(true),
            Err(StoreError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
