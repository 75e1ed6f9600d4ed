//! Synchronising: what is written here goes to the store, and what other computers have published comes from there.

mod accompanied;
pub(crate) mod ancestry;
pub(crate) mod attempt;
pub(crate) mod background;
pub(crate) mod backlog;
pub(crate) mod news;
mod publish;
pub(crate) mod publisher;
mod publishing;
mod putback;
pub(crate) mod sync_base;
pub(crate) mod synchronizer;
