//! The Linux front: the namespace as a mounted file system, through FUSE.

mod broken;
mod caller;
mod convert;
mod device;
mod filesystem;
mod front;
mod mount;
mod nodes;
mod refresh;
mod reply;
mod writes;

pub use mount::{Error, Mounted, Options, mount};
