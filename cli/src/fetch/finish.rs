use std::ffi::OsString;

use super::seen::Seen;

/// The last steps, once everything is in its place: a folder without write permission cannot be moved.
#[derive(Default)]
pub struct Finish {
    /// The mode and times of the top folder.
    pub top: Option<Seen>,
    /// The folders in it.
    pub folders: Vec<(OsString, Seen)>,
}
