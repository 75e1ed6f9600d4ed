//! Reads the workspace's sources as text and says how they depend on each other.
//!
//! [`modules`] reads a crate's files, [`imports`] finds which file imports from which and where that goes in a
//! circle, [`floors`] compares the manifests with the list of floors, [`documents`] finds the files that a document
//! names.

#![forbid(unsafe_code)]

pub mod documents;
pub mod floors;
pub mod imports;
pub mod modules;

use std::path::{Path, PathBuf};

/// A result; the error says what could not be read.
pub type Result<T> = std::result::Result<T, String>;

/// The workspace's root. Tests run in their package's folder; a path from the time of the build would lead to another
/// checkout that shares the build folder.
pub fn root() -> PathBuf {
    PathBuf::from("../..")
}

/// A file as text.
pub fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}
