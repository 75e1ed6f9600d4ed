//! Error numbers.

/// An error number.
pub type Errno = i32;
