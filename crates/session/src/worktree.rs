//! The working tree: the home as it is on this computer, with what is not published yet.

mod ahead;
mod attr;
pub(crate) mod content;
pub(crate) mod files;
pub(crate) mod flush;
pub(crate) mod flush_scheduler;
pub(crate) mod frozen;
mod graft;
pub(crate) mod home;
pub(crate) mod names;
pub(crate) mod owners;
mod ownership;
pub(crate) mod problems;
mod redo;
pub(crate) mod tree_view;
pub(crate) mod volume;
