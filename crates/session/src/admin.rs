//! Administration: what is done to a home or its store as a whole, when somebody asks for it.

pub(crate) mod collect;
pub(crate) mod copy;
pub(crate) mod inert;
pub(crate) mod maintain;
pub(crate) mod public;
pub(crate) mod restore;
