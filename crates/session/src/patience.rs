//! Calls that would rather fail than wait.
//!
//! What always holds here: only the thread that runs inside of [`without_waiting`] is concerned, and only
//! until that returns.

use std::cell::Cell;

thread_local! {
    static NONE: Cell<bool> = const { Cell::new(false) };
}

/// Runs calls that only read; where one would have to wait for a store elsewhere it answers
/// [`crate::Error::WouldWait`] instead.
pub fn without_waiting<T>(calls: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            NONE.set(self.0);
        }
    }
    let _restore = Restore(NONE.replace(true));
    calls()
}

/// Whether this thread must not wait.
pub(crate) fn has_none() -> bool {
    NONE.get()
}
