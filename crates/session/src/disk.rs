//! Small things that everything kept in the state folder needs of a disk.

use std::fs;
use std::io;
use std::path::Path;

pub(crate) use safeos_store::disk::{create, make_dir, replace, sync_dir, sync_parent};

use crate::Error;

/// Removes a file; one that is not there is as good.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Removes a folder with everything in it; one that is not there is as good.
pub(crate) fn remove_all(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done.and_then(|()| sync_parent(path)),
    }
}

/// Whether there was no room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// The session's error for a failed call.
pub(crate) fn failed(what: &str, path: &Path, error: &io::Error) -> Error {
    let message = format!("cannot {what} {}: {error}", path.display());
    match error.kind() {
        _ if is_full(error) => Error::Full(format!("{message}; free some space on that disk")),
        io::ErrorKind::ReadOnlyFilesystem => Error::StateReadOnly(message),
        _ => Error::State(message),
    }
}
