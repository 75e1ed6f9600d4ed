//! The session: an account's home open on this computer.
//!
//! Imports go down: `session`, `maintain`, `collect`, `public`, `restore` → `open`, `background` → `attempt`, `backlog` → `publish` → `putback` → `ancestry` → `home_volume` →
//! `names`, `content`, `flush` → `home` → `turns` → `packs`, `stage`, `files`, `owners` → `look` → `lease` → `leases` → `leavable` → `patience` → `volume`, `report`, `error`.

mod ancestry;
mod attempt;
mod background;
mod backlog;
mod cache;
mod clock;
mod collect;
mod content;
mod copy;
mod disk;
mod error;
mod failure;
mod files;
mod flush;
mod frozen;
mod home;
mod home_volume;
mod inert;
mod lease;
mod leases;
mod leavable;
mod local;
mod look;
mod maintain;
#[cfg(feature = "model")]
pub mod model;
mod names;
mod open;
mod owners;
mod packs;
mod patience;
mod problems;
mod public;
mod publish;
mod putback;
mod readahead;
mod report;
mod restore;
mod session;
mod stage;
mod suspects;
mod time;
mod turns;
mod unpublished;
mod volume;

pub use clock::now;
pub use error::{Error, Result};
pub use open::Wishes;
pub use patience::without_waiting;
pub use public::{open_public, open_public_for};
pub use report::{
    AtWork, Change, Checked, Collected, Copied, Progress, Published, Snapshot, Status, Step,
    Waiting,
};
pub use safeos_account::{Credentials, Secret};
pub use session::{Limits, Options, Session};
pub use volume::{
    Allocate, Attr, DirEntry, FileKind, Ino, Nanos, NewNode, RenameMode, Seek, SetAttr, Space,
    Volume, XattrMode,
};
