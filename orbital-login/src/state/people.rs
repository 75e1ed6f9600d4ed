//! The people that this computer remembers: a list to choose from, by keyboard, wheel or name.
//!
//! What always holds here: at most [`SHOWN`] of them stand on the screen, and the one in focus is one of those; what is typed
//! finds, and is never a secret: it is shown as it is.

use crate::typed::Typed;

/// As many stand on the screen at once.
pub const SHOWN: usize = 5;

/// The list.
#[derive(Debug, Default)]
pub struct People {
    /// The text that was typed to find somebody.
    pub find: Typed,
    /// The first one on the screen, counted among those found.
    pub first: usize,
}
