//! Stores: where records live.
//!
//! What always holds here: every record that comes out of a store was checked (a chunk against its
//! address, a pointer against its owner's signature; only parts of chunks are left to their callers), and
//! what a `put` or `set` returned for is durable. A store is trusted with availability only.

mod check;
mod error;
mod file;
mod http;
mod memory;
mod observed;
mod purse;
mod reserve;
mod room;
mod upload;
mod url;
pub mod whose;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
pub use error::{Error, Result};
pub use file::FileStore;
pub use http::{
    CA_FILE, HttpOptions, HttpStore, Link, Network, Parts, Patience, TOKEN_FILE, loss, wire,
};
pub use memory::{MemoryState, MemoryStore, Method};
pub use observed::Observed;
pub use purse::{Amount, Money, Price, Purse, Spent};
pub use reserve::Reserve;
pub use room::Room;
use safeos_record::{Address, Chunk, Pointer};
use serde::{Deserialize, Serialize};
pub use upload::{Upload, in_batches};
pub use url::{Autonomi, Parsed, file_url, parse};

/// What a store is like, for the policies of those above it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Traits {
    /// Records are on this computer: reading one is as fast as a local cache, which is then pointless.
    pub local: bool,
    /// Records are paid for: publish seldom.
    pub paid: bool,
}

/// One of the two kinds of record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Immutable; the address is the hash of the bytes.
    Chunk,
    /// Mutable; signed by its owner.
    Pointer,
}

/// A record as [`Store::list`] shows it. Ordered by kind, then address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Entry {
    /// Chunk or pointer.
    pub kind: Kind,
    /// Where it lives.
    pub address: Address,
    /// Its length in bytes.
    pub len: u64,
}

/// How much a store holds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Stats {
    /// How many chunks.
    pub chunks: u64,
    /// How many pointers.
    pub pointers: u64,
    /// Bytes of all records together.
    pub bytes: u64,
}

/// Requests to a store elsewhere that have failed.
#[derive(Clone, Default, Debug)]
pub struct Failures {
    /// How many, also of those that were tried again and have succeeded then.
    pub count: u64,
    /// What went wrong with the last one, and when.
    pub last: Option<(Error, Instant)>,
    /// Since when a request is under way that somebody waits for and that has no answer yet, as far as that is counted.
    pub unanswered_since: Option<Instant>,
}

/// What became of waiting for a pointer to move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Watched {
    /// It has moved, or is said to have.
    Moved,
    /// It is where it was, as far as can be told.
    Same,
    /// This store cannot tell; it is to be asked now and then.
    Unable,
}

/// A place for records. Every method may be called from several threads at once and may block.
pub trait Store: Send + Sync {
    /// The URL this store was opened by.
    fn url(&self) -> &str;

    /// What this store is like.
    fn traits(&self) -> Traits;

    /// Stores chunks; when it returns, all of them are durable. Chunks that are there are left alone.
    fn put_chunks(&self, chunks: &[Chunk]) -> Result<()>;

    /// The same, but durable only when [`Store::sync`] has returned. Until then nobody but this value
    /// need see them, and a crash may take them; who refers to them in anything durable syncs before.
    fn write_chunks(&self, chunks: &[Chunk]) -> Result<()> {
        self.put_chunks(chunks)
    }

    /// [`Store::write_chunks`] for what makes room, such as the nodes of a tree from which something was deleted: a store
    /// on a full disk has some kept back for these.
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

    /// How records are paid for, where they are.
    fn purse(&self) -> Option<&dyn Purse> {
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

    /// The requests that have failed since the store was opened: for whoever waits for one that is tried again, and is to know
    /// why.
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

/// The same place, as a path from the current directory where that is `/` on Redox.
///
/// There an absolute path is opened by way of the system's namespace manager, which on older systems is waiting meanwhile
/// for the scheme that it was last asked for: a daemon that serves one would wait for itself. A path from the current
/// directory goes to the file system at once.
pub fn from_here(path: std::path::PathBuf) -> std::path::PathBuf {
    let in_root = || std::env::current_dir().is_ok_and(|dir| dir.parent().is_none());
    match path.strip_prefix("/") {
        Ok(rest) if cfg!(target_os = "redox") && in_root() => rest.to_owned(),
        _ => path,
    }
}

/// Opens a store by its URL: `file:///path` (made when missing), `http://host:port` or `https://host`, several of
/// these with commas between them for gateways to the same store; [`Error::Url`] for what is none. The network's
/// client is a crate above this one, which opens `autonomi:` too.
pub fn open(url: &str) -> Result<Arc<dyn Store>> {
    match parse(url)? {
        Parsed::File(path) => Ok(Arc::new(FileStore::open(url, &from_here(path))?)),
        Parsed::Http(gateways) => {
            let options = HttpOptions::from_environment();
            Ok(Arc::new(HttpStore::open(url, gateways, &options)?))
        }
        Parsed::Autonomi(_) => Err(Error::Url(format!(
            "“{url}” cannot be reached from here by itself: use a gateway to it, https://host, which `safe store serve` makes"
        ))),
    }
}
