//! Uploads of many chunks.
//!
//! What always holds here: no more chunks are in memory than are on their way, [`AT_ONCE`] at most.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use safeos_record::{Address, Chunk};

use crate::{Error, Result, Store};

/// Chunks that are put at once.
const AT_ONCE: usize = 8;
/// So many of them are asked for with one call: a long line is not waited for before each batch, and what was there is not
/// taken for being there much later.
const ASKED: usize = 8 * AT_ONCE;

/// The source of chunks for an upload, and the receiver of its progress.
pub trait Upload: Send + Sync {
    /// One of the chunks that are uploaded; may be asked for it more than once.
    fn load(&self, address: &Address) -> Result<Chunk>;

    /// Several of them, in their order.
    fn load_some(&self, addresses: &[Address]) -> Result<Vec<Chunk>> {
        addresses.iter().map(|address| self.load(address)).collect()
    }

    /// So many of them are on the store.
    fn stored(&self, _done: u64) {}

    /// This one was not there and is now.
    fn sent(&self, _chunk: &Address) {}

    /// These are on the store for good: local copies are no longer needed for the upload.
    fn settled(&self, _chunks: &[Address]) {}

    /// Whether to stop.
    fn stopped(&self) -> bool {
        false
    }

    /// Whether some of them may be on the store already; if not, it is not asked.
    fn may_be_there(&self) -> bool {
        true
    }

    /// Runs a part of the upload that has a thread of its own, with whatever belongs to the thread that began it.
    fn in_thread(&self, work: &mut dyn FnMut()) {
        work();
    }
}

/// Uploads those that are not there.
pub fn in_batches<S: Store + ?Sized>(
    store: &S,
    addresses: &[Address],
    from: &dyn Upload,
) -> Result<()> {
    let stored = AtomicUsize::new(0);
    let run = Run {
        store,
        from,
        stored: &stored,
    };
    for asked in addresses.chunks(ASKED) {
        run.goes_on()?;
        let (there, missing) = if from.may_be_there() {
            let there = store.has_chunks(asked)?;
            let (there, missing): (Vec<_>, Vec<_>) =
                asked.iter().zip(there).partition(|(_, there)| *there);
            let only = |some: Vec<(&Address, bool)>| -> Vec<Address> {
                some.into_iter().map(|(address, _)| *address).collect()
            };
            (only(there), only(missing))
        } else {
            (Vec::new(), asked.to_vec())
        };
        run.settled(&there);
        let at_once = store.puts_at_once().min(missing.len()).min(AT_ONCE);
        if at_once > 1 {
            run.side_by_side(&missing, at_once)?;
            continue;
        }
        for batch in missing.chunks(AT_ONCE) {
            run.goes_on()?;
            run.put(batch)?;
        }
    }
    from.stored(addresses.len() as u64);
    Ok(())
}

struct Run<'a, S: ?Sized> {
    store: &'a S,
    from: &'a dyn Upload,
    stored: &'a AtomicUsize,
}

impl<S: Store + ?Sized> Run<'_, S> {
    fn goes_on(&self) -> Result<()> {
        self.from.stored(self.stored.load(Ordering::Relaxed) as u64);
        match self.from.stopped() {
            true => Err(Error::Stopped {
                url: self.store.url().to_owned(),
            }),
            false => Ok(()),
        }
    }

    fn settled(&self, addresses: &[Address]) {
        self.from.settled(addresses);
        self.stored.fetch_add(addresses.len(), Ordering::Relaxed);
    }

    fn put(&self, addresses: &[Address]) -> Result<()> {
        let chunks = self.from.load_some(addresses)?;
        self.store.put_chunks(&chunks)?;
        for chunk in &chunks {
            self.from.sent(&chunk.address());
        }
        self.settled(addresses);
        Ok(())
    }

    /// Puts them over a line that may be long: when one has arrived the next goes, and none waits for the slowest of a batch.
    fn side_by_side(&self, missing: &[Address], at_once: usize) -> Result<()> {
        let next = AtomicUsize::new(0);
        let failed = Mutex::new(None);
        let work = || {
            while failed.lock().is_none() {
                let Some(address) = missing.get(next.fetch_add(1, Ordering::Relaxed)) else {
                    return;
                };
                let put = self.goes_on().and_then(|()| self.put(&[*address]));
                if let Err(error) = put {
                    failed.lock().get_or_insert(error);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..at_once {
                let helper = std::thread::Builder::new().name("upload".into());
                // A thread that cannot be started is one helper less.
                drop(helper.spawn_scoped(scope, || self.from.in_thread(&mut || work())));
            }
            work();
        });
        failed.into_inner().map_or(Ok(()), Err)
    }
}
