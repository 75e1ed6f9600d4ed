//! The working tree: the home as it is on this computer, with unpublished changes.

mod ahead;
mod attr;
mod checkpoint;
pub(crate) mod content;
mod files;
mod flush;
mod flush_scheduler;
pub(crate) mod frozen;
mod graft;
pub(crate) mod home;
mod names;
pub(crate) mod owners;
mod ownership;
pub(crate) mod problems;
mod redo;
pub(crate) mod tree_view;
pub(crate) mod volume;

pub(crate) use checkpoint::Checkpoint;
pub(crate) use names::{root_batch, root_inode};
