//! A panic outside of our handlers.
//!
//! `fuser` 0.18 panics while it decodes one time that 64 bits can hold (`i64::MIN` seconds). Its thread
//! ends, that request is never answered, and its sender could not even be killed. So such a
//! panic is noticed, and the mount ends as for SIGTERM: hanging requests get an error, the sessions lose nothing.

use std::cell::Cell;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

static BROKEN: AtomicBool = AtomicBool::new(false);
static WATCH: Once = Once::new();

/// The name of `fuser`'s threads.
const THREADS: &str = "fuser-";

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a handler that deals with its own panics.
pub fn guarded<T>(handler: impl FnOnce() -> T) -> T {
    GUARDED.set(true);
    let result = handler();
    GUARDED.set(false);
    result
}

/// Begins to look out for panics.
pub fn watch() {
    WATCH.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let thread = std::thread::current();
            let ours = thread.name().is_some_and(|name| name.starts_with(THREADS));
            if ours && !GUARDED.get() {
                BROKEN.store(true, Ordering::Release);
            }
            before(info);
        }));
    });
}

/// Whether there was one.
pub fn is_broken() -> bool {
    BROKEN.load(Ordering::Acquire)
}
