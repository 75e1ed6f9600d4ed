use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use safeos_record::{Address, Chunk, Pointer};

use crate::{
    Entry, Error, Failures, Kind, Result, Room, Stats, Traits, Transport, Upload, Wallet, Watched,
};

/// Chunks of an upload that are put at once, and no more of them are in memory.
const AT_ONCE: usize = 8;
/// So many of them are asked for with one call: a long line is not waited for before each batch, and what was there is not
/// taken for being there much later.
const ASKED: usize = 8 * AT_ONCE;

/// A place for records. Every method may be called from several threads at once and may block.
pub trait Store: Send + Sync {
    /// The URL this store was opened by.
    fn url(&self) -> &str;

    /// The properties of this store.
    fn traits(&self) -> Traits;

    /// Stores chunks; when it returns, all of them are durable. Chunks that are there are left alone.
    fn put_chunks(&self, chunks: &[Chunk]) -> Result<()>;

    /// The same, but durable only when [`Store::sync`] has returned. Until then only this value
    /// needs to see them, and a crash may take them; a caller that makes a durable reference to them syncs before.
    fn write_chunks(&self, chunks: &[Chunk]) -> Result<()> {
        self.put_chunks(chunks)
    }

    /// [`Store::write_chunks`] for chunks that free space, such as the nodes of a tree from which something was
    /// deleted: a store on a full disk has some kept back for these.
    fn write_needed(&self, chunks: &[Chunk]) -> Result<()> {
        self.write_chunks(chunks)
    }

    /// Waits until everything that [`Store::write_chunks`] was given is durable.
    fn sync(&self) -> Result<()> {
        Ok(())
    }

    /// Stores chunks that `from` loads in its turn; interrupted and called again, it goes on. This is the way for
    /// many: a store that pays for records pays for them together.
    fn upload(&self, addresses: &[Address], from: &dyn Upload) -> Result<()> {
        in_batches(self, addresses, from)
    }

    /// How many calls of [`Store::put_chunks`] are worth making at once: more than one where each waits for a line.
    fn puts_at_once(&self) -> usize {
        1
    }

    /// How records are paid for, where they are.
    fn wallet(&self) -> Option<&dyn Wallet> {
        None
    }

    /// The connections under a store that is elsewhere.
    fn transport(&self) -> Option<&dyn Transport> {
        None
    }

    /// Fetches chunks, each with its own outcome, in the order of `addresses`.
    fn get_chunks(&self, addresses: &[Address]) -> Vec<Result<Chunk>>;

    /// Reads `len` bytes of a chunk from `offset`, for callers that check them by themselves (sealed
    /// objects carry their own authentication). A store that can reads no more than that.
    fn read_part(&self, address: &Address, offset: u32, len: u32) -> Result<Bytes> {
        let bytes = self.get_chunk(address)?.into_bytes();
        let start = offset as usize;
        match start.checked_add(len as usize) {
            Some(end) if end <= bytes.len() => Ok(bytes.slice(start..end)),
            _ => Err(Error::Damaged {
                kind: Kind::Chunk,
                address: *address,
                why: format!("it has no bytes {offset}+{len}"),
            }),
        }
    }

    /// Whether [`Store::read_part`] costs about as much as what it reads, and not the whole chunk.
    fn reads_parts(&self) -> bool {
        false
    }

    /// The same, of a part that is hardly asked for again soon, nor what is around it.
    fn read_once(&self, address: &Address, offset: u32, len: u32) -> Result<Bytes> {
        self.read_part(address, offset, len)
    }

    /// Fills `out` from `offset` if that takes no waiting: the chunk was read from lately, and the system has this part
    /// in memory. `false` says no more than that another way has to be gone; `out` holds anything then.
    fn read_now(&self, address: &Address, offset: u32, out: &mut [u8]) -> bool {
        let _ = (address, offset, out);
        false
    }

    /// A hint that a part of a chunk is read soon. Does not wait, and says nothing when it cannot help.
    fn read_ahead(&self, address: &Address, offset: u32, len: u32) {
        let _ = (address, offset, len);
    }

    /// Which of these are there (by address, without reading them).
    fn has_chunks(&self, addresses: &[Address]) -> Result<Vec<bool>>;

    /// The newest state of a pointer, if there is one.
    fn get_pointer(&self, address: &Address) -> Result<Option<Pointer>>;

    /// Waits until the counter of a pointer is another one than `seen`, for this long at most, or about that.
    fn watch_pointer(&self, address: &Address, seen: u64, time: Duration) -> Result<Watched> {
        let _ = (address, seen, time);
        Ok(Watched::Unable)
    }

    /// Compare-and-set: stores `pointer` if the counter now there is `expected` (`None`: nothing is
    /// there), else [`Error::Conflict`]. A state that does not replace the one there is a conflict too.
    fn set_pointer(&self, pointer: &Pointer, expected: Option<u64>) -> Result<()>;

    /// At most `limit` records after `after`, in order; empty at the end.
    fn list(&self, after: Option<(Kind, Address)>, limit: usize) -> Result<Vec<Entry>>;

    /// Removes chunks, for collection; says how many were there.
    fn delete_chunks(&self, addresses: &[Address]) -> Result<u64>;

    /// How much the store holds.
    fn stats(&self) -> Result<Stats>;

    /// How much room the store has for more, if that can be said without waiting.
    fn room(&self) -> Option<Room> {
        None
    }

    /// The requests that have failed since the store was opened, for callers that wait for a retried request and report
    /// the reason.
    fn failures(&self) -> Failures {
        Failures::default()
    }

    /// Fetches one chunk.
    fn get_chunk(&self, address: &Address) -> Result<Chunk> {
        self.get_chunks(std::slice::from_ref(address))
            .pop()
            .unwrap_or(Err(Error::Missing {
                kind: Kind::Chunk,
                address: *address,
            }))
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
