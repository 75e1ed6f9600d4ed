//! Which writes of the kernel are under way, and which files are open for writing.
//!
//! When the kernel is asked to hand over everything (`syncfs`), it says that it has as soon as the
//! writes are on their way; only newer kernels wait until they were answered. So the daemon waits itself.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// No write for this long: those on their way have come.
const QUIET: Duration = Duration::from_millis(10);
/// Programs that never stop writing are not waited for longer.
const SETTLE_MAX: Duration = Duration::from_secs(2);

/// Counts writes.
#[derive(Default)]
pub struct Writes {
    begun: AtomicU64,
    ended: AtomicU64,
    /// How many times each node is open for writing.
    writers: Mutex<HashMap<u64, u64>>,
}

/// A write under way, until dropped.
pub struct UnderWay<'a>(&'a Writes);

impl Writes {
    /// A write begins.
    pub fn begin(&self) -> UnderWay<'_> {
        self.begun.fetch_add(1, Ordering::AcqRel);
        UnderWay(self)
    }

    /// A file was opened for writing.
    pub fn writer_came(&self, id: u64) {
        *self.writers.lock().entry(id).or_default() += 1;
    }

    /// A file that was open for writing was closed.
    pub fn writer_went(&self, id: u64) {
        let mut writers = self.writers.lock();
        if let Some(count) = writers.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                writers.remove(&id);
            }
        }
    }

    /// Whether a file is open for writing.
    pub fn is_written(&self, id: u64) -> bool {
        self.writers.lock().contains_key(&id)
    }

    /// All that are.
    pub fn written(&self) -> Vec<u64> {
        self.writers.lock().keys().copied().collect()
    }

    /// Waits until the writes that are on their way were answered.
    pub fn settle(&self) {
        let start = Instant::now();
        loop {
            let ended = self.ended.load(Ordering::Acquire);
            let begun = self.begun.load(Ordering::Acquire);
            std::thread::sleep(QUIET);
            let still = self.begun.load(Ordering::Acquire) == begun;
            if still && ended == begun || start.elapsed() > SETTLE_MAX {
                return;
            }
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_waits_for_what_is_under_way() {
        let writes = Writes::default();
        let start = Instant::now();
        writes.settle();
        assert!(start.elapsed() < SETTLE_MAX);
        std::thread::scope(|scope| {
            let under_way = writes.begin();
            let (sender, receiver) = std::sync::mpsc::channel();
            let writes = &writes;
            scope.spawn(move || {
                writes.settle();
                sender.send(()).unwrap();
            });
            let early = receiver.recv_timeout(Duration::from_millis(200));
            assert!(early.is_err());
            drop(under_way);
            receiver.recv().unwrap();
        });
    }
}
