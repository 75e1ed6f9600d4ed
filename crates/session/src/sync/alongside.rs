//! Two calls of a store side by side, so that a long line is waited for once.

use safeos_telemetry::tracing::Span;

use crate::lock::{Mutex, spawn_scoped, thread};
use crate::packs::cancellation;

/// Runs `other` in a thread of its own, with the cancellation of this one, while this one runs `own`. Where no thread is to
/// be had they run one after the other.
pub(crate) fn alongside<A, B>(other: impl FnOnce() -> A + Send, own: impl FnOnce() -> B) -> (A, B)
where
    A: Send,
{
    let (span, cancellation) = (Span::current(), cancellation::cancellation());
    let other = Mutex::new(Some(other));
    let run = || {
        let work = other.lock().take()?;
        span.in_scope(|| match &cancellation {
            Some(cancellation) => Some(cancellation.inherited(work)),
            None => Some(work()),
        })
    };
    thread::scope(|scope| {
        let helper = spawn_scoped(scope, "alongside", run).ok();
        let own = own();
        let done = match helper.map(thread::ScopedJoinHandle::join) {
            Some(Ok(done)) => done,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => run(),
        };
        match done {
            Some(done) => (done, own),
            None => unreachable!("it runs once"),
        }
    })
}
