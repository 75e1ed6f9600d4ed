//! The working tree: the home as it is on this computer, with what is not published yet.

pub(crate) mod content;
pub(crate) mod files;
pub(crate) mod flush;
pub(crate) mod frozen;
pub(crate) mod home;
pub(crate) mod look;
pub(crate) mod names;
pub(crate) mod owners;
pub(crate) mod problems;
pub(crate) mod turns;
pub(crate) mod volume;
