//! Calls that would rather fail than wait, and calls that nobody waits for any more.
//!
//! What always holds here: only the thread that runs inside of [`without_waiting`] or [`cancellable`] is concerned, and
//! only until that returns.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

thread_local! {
    static NONE: Cell<bool> = const { Cell::new(false) };
    static LEFT: RefCell<Vec<Arc<AtomicBool>>> = const { RefCell::new(Vec::new()) };
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

/// Runs calls that are given up when `left` is set: what asks a store elsewhere fails then, soon, whatever the store does. One
/// inside of another is given up with it.
pub(crate) fn cancellable<T>(left: &Arc<AtomicBool>, calls: impl FnOnce() -> T) -> T {
    struct Restore;
    impl Drop for Restore {
        fn drop(&mut self) {
            LEFT.with_borrow_mut(Vec::pop);
        }
    }
    LEFT.with_borrow_mut(|flags| flags.push(left.clone()));
    let _restore = Restore;
    calls()
}

/// Whether somebody wants what this thread does; `None` where nobody can give it up.
pub(crate) fn cancellation() -> Option<Cancellation> {
    LEFT.with_borrow(|flags| (!flags.is_empty()).then(|| Cancellation(flags.clone())))
}

/// See [`wanted`].
pub(crate) struct Cancellation(Vec<Arc<AtomicBool>>);

impl Cancellation {
    pub(crate) fn still(&self) -> bool {
        !self.0.iter().any(|left| left.load(Ordering::Acquire))
    }

    /// Runs calls of another thread that are given up when those of this one are.
    pub(crate) fn inherited<T>(&self, calls: impl FnOnce() -> T) -> T {
        struct Restore(Vec<Arc<AtomicBool>>);
        impl Drop for Restore {
            fn drop(&mut self) {
                LEFT.set(std::mem::take(&mut self.0));
            }
        }
        let _restore = Restore(LEFT.replace(self.0.clone()));
        calls()
    }
}
