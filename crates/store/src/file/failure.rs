//! Errors of the system and the engine, turned into errors for people.

use std::io;
use std::path::Path;

use crate::Error;

/// Why an operation inside the engine did not happen.
#[derive(Debug)]
pub(super) enum Failure {
    /// The store's own answer (a conflict, a damaged record): the engine is well.
    Answer(Error),
    /// The engine or the file under it failed: it must be closed and opened again.
    Engine {
        /// The system's error, if there is one.
        kind: io::ErrorKind,
        /// The problem.
        why: String,
    },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Answer(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Engine {
            kind: error.kind(),
            why: error.to_string(),
        }
    }
}

impl From<redb::Error> for Failure {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) => error.into(),
            other => Self::Engine {
                kind: io::ErrorKind::Other,
                why: other.to_string(),
            },
        }
    }
}

macro_rules! from_redb {
    ($($error:ident),*) => {$(
        impl From<redb::$error> for Failure {
            fn from(error: redb::$error) -> Self {
                redb::Error::from(error).into()
            }
        }
    )*};
}
from_redb!(
    DatabaseError,
    TransactionError,
    TableError,
    StorageError,
    CommitError
);

impl Failure {
    /// The error for the caller. `file` is the engine's file.
    pub(super) fn into_error(self, url: &str, file: &Path) -> Error {
        match self {
            Self::Answer(error) => error,
            Self::Engine { kind, why } if is_full(kind) => Error::Full {
                url: url.to_owned(),
                why,
            },
            Self::Engine { kind, why } if is_access(kind) => Error::Broken {
                url: url.to_owned(),
                why: format!("{}: {why}{}", file.display(), cure(kind)),
            },
            Self::Engine { why, .. } => Error::Broken {
                url: url.to_owned(),
                why: format!(
                    "{} is damaged or cannot be read ({why}); put a backup of this file back in its \
                     place (large chunks are files of their own and stay readable)",
                    file.display()
                ),
            },
        }
    }
}

/// The error for something that failed on a file or folder of the store.
pub(super) fn io_error(url: &str, doing: &str, path: &Path, error: &io::Error) -> Error {
    let url = url.to_owned();
    let kind = error.kind();
    if is_full(kind) {
        return Error::Full {
            url,
            why: error.to_string(),
        };
    }
    Error::Broken {
        url,
        why: format!("{doing} {}: {error}{}", path.display(), cure(kind)),
    }
}

/// Advice for the error.
fn cure(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::PermissionDenied => "; check its owner and its mode",
        io::ErrorKind::ReadOnlyFilesystem => {
            "; a store needs a disk that can be written to, also to be read: mount it so, or copy the folder to another one"
        }
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            "; check the store's URL, or choose another folder"
        }
        _ => "",
    }
}

fn is_full(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

fn is_access(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}
