//! The packs that come into use while the store is collected.

use std::collections::HashSet;

use crate::lock::Mutex;
use safeos_record::Address;
use safeos_store::Error;

/// While the store is collected: packs that were put or found since, to which something is about to refer.
#[derive(Default)]
pub(super) struct InUse(Mutex<Option<HashSet<Address>>>);

impl InUse {
    /// Begins to take down which packs come into use.
    pub(super) fn watch(&self) -> Watch<'_> {
        *self.0.lock() = Some(HashSet::new());
        Watch(self)
    }

    /// Something is about to refer to these packs.
    pub(super) fn add(&self, packs: impl IntoIterator<Item = Address>) {
        if let Some(in_use) = &mut *self.0.lock() {
            in_use.extend(packs);
        }
    }
}

/// A collection, until this is dropped.
pub(crate) struct Watch<'a>(&'a InUse);

impl Watch<'_> {
    /// Removes a pack that has not come into use since; `false` if it has. Nobody puts one or finds one meanwhile: the
    /// same content makes the same pack.
    pub(crate) fn unless_in_use(
        &self,
        pack: &Address,
        remove: impl FnOnce() -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let in_use = self.0.0.lock();
        if in_use.as_ref().is_some_and(|packs| packs.contains(pack)) {
            return Ok(false);
        }
        remove()?;
        Ok(true)
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        *self.0.0.lock() = None;
    }
}
