use std::time::Duration;

use bytes::Bytes;
use safeos_record::{Address, Chunk, Pointer};

use crate::upload::in_batches;
use crate::{Entry, Error, Failures, Kind, Result, Room, Stats, Traits, Upload, Wallet, Watched};

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
