//! Synchronising: what is written here goes to the store, and what other computers have published comes from there.

pub(crate) mod ancestry;
pub(crate) mod attempt;
pub(crate) mod background;
pub(crate) mod backlog;
pub(crate) mod news;
pub(crate) mod publish;
pub(crate) mod putback;
