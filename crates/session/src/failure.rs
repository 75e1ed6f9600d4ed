//! From the tree's errors to the session's.

use safeos_tree::{Error as TreeError, ObjectRef};

use crate::Error;

/// A failed operation, or a request for a node that has to be fetched without a lock.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Fetch this node, then ask again.
    Missing(ObjectRef),
    /// The answer is an error.
    Failed(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<TreeError> for Fault {
    fn from(error: TreeError) -> Self {
        match error {
            TreeError::NotCached(at) => Self::Missing(at),
            other => Self::Failed(other.into()),
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            // Sources that fetch by themselves return this only to callers that do not want to wait.
            Fault::Missing(_) => Self::WouldWait,
            Fault::Failed(error) => error,
        }
    }
}

impl From<TreeError> for Error {
    fn from(error: TreeError) -> Self {
        match error {
            TreeError::Store(
                error @ (safeos_store::Error::Missing { .. } | safeos_store::Error::Damaged { .. }),
            ) => Self::Damaged(error.to_string()),
            TreeError::NotCached(_) => Self::WouldWait,
            TreeError::Store(error) => Self::Store(error),
            TreeError::Record(error) => Self::Account(error.into()),
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl From<safeos_record::Error> for Error {
    fn from(error: safeos_record::Error) -> Self {
        Self::Account(error.into())
    }
}
