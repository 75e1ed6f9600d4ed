use std::ffi::OsString;

use super::seen::Seen;

/// What is done when everything is in its place: a folder that nobody may write to cannot be moved.
#[derive(Default)]
pub struct Finish {
    /// What the top folder was like.
    pub top: Option<Seen>,
    /// The folders in it.
    pub folders: Vec<(OsString, Seen)>,
}
