//! The points at which tests make the program fail.
//!
//! What always holds here: every point that was reached since [`watch`] is in [`seen`], so that a test knows of points
//! that nothing reaches.

use std::collections::BTreeMap;

use parking_lot::Mutex;

type Hook = Box<dyn FnOnce() + Send>;

static HOOK: Mutex<Option<Hook>> = Mutex::new(None);
static SEEN: Mutex<Option<BTreeMap<&'static str, u64>>> = Mutex::new(None);

/// Restarts the counts.
pub fn watch() {
    *SEEN.lock() = Some(BTreeMap::new());
}

/// How often each point was reached since then.
pub fn seen() -> BTreeMap<&'static str, u64> {
    SEEN.lock().clone().unwrap_or_default()
}

/// Has this point fail once, after it was reached `hits` times more; `then` runs at that moment, before the failure.
pub fn once(name: &str, hits: u64, then: impl FnOnce() + Send + 'static) -> Result<(), String> {
    *HOOK.lock() = Some(Box::new(then));
    let actions = match hits {
        0 => "1*return".to_owned(),
        hits => format!("{hits}*off->1*return"),
    };
    ::fail::cfg(name, &actions)
}

/// Has this point fail no more.
pub fn never(name: &str) {
    ::fail::remove(name);
    *HOOK.lock() = None;
}

/// The check of [`failpoint!`](crate::failpoint): whether the caller is to fail.
pub fn reached(name: &'static str) -> bool {
    if let Some(seen) = &mut *SEEN.lock() {
        *seen.entry(name).or_insert(0) += 1;
    }
    let fails = ::fail::eval(name, |_| ()).is_some();
    // The lock is not held while it runs: it may reach other points.
    let hook = if fails { HOOK.lock().take() } else { None };
    if let Some(hook) = hook {
        hook();
    }
    fails
}
