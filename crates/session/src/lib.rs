//! The session: an account's home open on this computer.
//!
//! Each folder is one idea. Imports go down: `session` → `admin` → `sync` → `worktree` → `packs` → `lease` →
//! `local` → `journal` → `disk`, `clock`, `time`, `failure` → `volume`, `report`, `error`.

#![forbid(unsafe_code)]

mod admin;
mod clock;
mod computer;
mod disk;
mod error;
mod failure;
mod journal;
mod lease;
mod limits;
mod local;
mod lock;
#[cfg(feature = "model")]
pub mod model;
mod packs;
mod report;
mod session;
mod sync;
mod time;
mod volume;
mod worktree;

pub use admin::public::{open_public, open_public_for};
pub use clock::now;

pub use error::{Error, Result};
pub use limits::Limits;
pub use packs::cancellation::without_waiting;
pub use report::{
    AtWork, Change, Checked, Collected, Copied, Progress, Published, Snapshot, Status, Step,
    Waiting,
};
pub use safeos_account::{Credentials, Secret};
pub use session::open::SignUpOptions;
pub use session::{Options, Session};
pub use volume::{
    Allocate, Attr, DirEntry, FileKind, Ino, Nanos, NewNode, RenameMode, Seek, SetAttr, Space,
    Volume, XattrMode,
};
