//! Synchronising: changes here go to the store, and changes of other computers come from there.

mod accompanied;
mod alongside;
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
