//! Telemetry of a running SafeOS: events and spans, counts, and the points at which tests make it fail.
//!
//! What always holds here: a value gets into a log only if its type can hold nothing personal ([`Loggable`]):
//! numbers, the program's own words, times, the beginnings of addresses. Names, paths, URLs and messages are text of
//! another origin, and have no such type. So a log can be given away as it is.
//!
//! An event without a listener costs one look at a number. Everything else in the workspace uses [`event!`],
//! [`span!`] and [`failpoint!`], and `tracing` nowhere.

#![forbid(unsafe_code)]

pub mod metrics;
mod value;

#[cfg(feature = "failpoints")]
pub mod fail;
#[cfg(feature = "subscriber")]
pub mod log;

pub use value::{Hidden, Loggable, Short, shown};

pub use tracing::Instrument;

#[doc(hidden)]
pub use tracing;

/// Tells that something has happened: `event!(INFO, "published", records = 3, took = started.elapsed())`.
#[macro_export]
macro_rules! event {
    ($level:ident, $message:literal $(, $key:ident = $value:expr)* $(,)?) => {
        $crate::tracing::event!(
            $crate::tracing::Level::$level,
            $($key = $crate::shown($value),)*
            message = $message
        )
    };
}

/// Something that takes its time, until what this gives is dropped: `let _span = span!(INFO, "publish")`.
#[macro_export]
macro_rules! span {
    ($level:ident, $name:literal $(, $key:ident = $value:expr)* $(,)?) => {
        $crate::task_span!($level, $name $(, $key = $value)*).entered()
    };
}

/// The same for a task, which is not in it all the time: `work.instrument(task_span!(INFO, "request"))`.
#[macro_export]
macro_rules! task_span {
    ($level:ident, $name:literal $(, $key:ident = $value:expr)* $(,)?) => {
        $crate::tracing::span!(
            $crate::tracing::Level::$level,
            $name,
            $($key = $crate::shown($value)),*
        )
    };
}

/// A place where a test may have the program fail or end: `failpoint!("publish: before the head", || error())`, with
/// an error that is returned then, or without one. In a release it is nothing.
#[cfg(feature = "failpoints")]
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {
        $crate::fail::reached($name);
    };
    ($name:literal, $error:expr) => {
        if $crate::fail::reached($name) {
            return Err(($error)().into());
        }
    };
}

/// A place where a test may have the program fail or end; here it is nothing.
#[cfg(not(feature = "failpoints"))]
#[macro_export]
macro_rules! failpoint {
    ($name:literal $(, $error:expr)?) => {};
}
