//! The control file's protocol: one line of JSON asks, lines of JSON answer.
//!
//! What always holds here: a request is at most [`REQUEST_LEN_MAX`] bytes and has no field that is
//! not known; passwords are wiped wherever they stood in memory on the way; error codes are stable.
//! Fronts, the command and the login window share this crate and need nothing else of the house.
//!
//! A request is `{"NAME": {…}}`, or `"NAME"` when no argument is needed. The answer is any number of
//! `{"progress": {"what", "done", "total", "unit"}}` and then one `{"ok": {…}}` or
//! `{"error": {"code", "message", "retry"}}`:
//!
//! | request | `ok` holds |
//! |---|---|
//! | `sign_up`, `sign_in` | `account`, `store`; `secret_key`, `recovery_key` when they were generated (see below) |
//! | `price` | where records are paid for: `records`, `cost` and `has` (each `tokens`, `gas`), `wallet`; else nothing |
//! | `recover` | `account`, `store`; `secret_key` if the account has one |
//! | `sign_out`, `sync` | `changed`, `records`, `bytes`, `conflicts` |
//! | `join` | `account`, `store` |
//! | `leave` | `last`: there is no other member, and the session ends with this one: it has to sign out |
//! | `status` | the account, the store, unpublished changes, … |
//! | `check_password`, `change_password`, `restore` | nothing |
//! | `new_recovery_key` | `recovery_key` when it was generated |
//! | `publish` | `url` |
//! | `log` | `snapshots`: each `name`, `head`, `computer`, `added_bytes` |
//! | `check` | `records`, `nodes`, `damaged` |
//! | `collect` | `records`, `bytes`, `kept_records`, `kept_bytes`, `at_work` (each: `computer`, `since`, `last`) |
//! | `copy` | `records`, `bytes`, `skipped` |
//! | `metrics` | `text`, as Prometheus reads it; for root and the daemon's own user |
//! | `doctor` | numbers and words of the program, `metrics`, `log`; for the same |
//!
//! Keys that open an account are in the person's hands before they count: the client makes them and gives them with the
//! request, having shown them. Where the daemon is to generate them, a `progress` line has them as further fields
//! (`secret_key`, `recovery_key`), and nothing is made until that line was read.

mod ask;
mod client;
mod ours;
mod path;
#[cfg(target_os = "linux")]
mod peer;
mod price;
mod reply;
mod request;
mod server;

pub use ask::ask;
pub use client::{Client, ClientError};
pub use path::PathText;
#[cfg(target_os = "linux")]
pub use peer::peer;
pub use price::{Price, Priced, Sum};
pub use reply::{ErrorReply, Keys, Progress, Reply};
pub use request::{
    ChangePassword, CheckPassword, Collect, Copy, Join, Log, NewRecoveryKey, Publish, Recover,
    Request, Restore, SignIn, SignOut, SignUp, Spend,
};
pub use safeos_secret::Secret;
pub use server::{RequestLines, parse_request};

/// The variables that name files with passwords and keys, for the programs that ask. A daemon is told what it needs in
/// requests, and no other program needs them.
pub const SECRET_VARIABLES: [&str; 4] = [
    "SAFE_PASSWORD_FILE",
    "SAFE_NEW_PASSWORD_FILE",
    "SAFE_SECRET_KEY_FILE",
    "SAFE_RECOVERY_KEY_FILE",
];
/// The variable of a session that names the place where it is asked to be locked.
pub const LOCK_VARIABLE: &str = "SAFE_LOCK";
/// The longest request, in bytes, with its line end.
pub const REQUEST_LEN_MAX: usize = 64 * 1024;
/// The control file's name, under the mount point or the scheme's root.
pub const FILE_NAME: &str = ".ctl";
