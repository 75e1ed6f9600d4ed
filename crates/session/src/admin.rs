//! Administration: requested operations on a whole home or its store.

pub(crate) mod collect;
pub(crate) mod copy;
pub(crate) mod inert;
pub(crate) mod maintain;
pub(crate) mod public;
pub(crate) mod restore;
