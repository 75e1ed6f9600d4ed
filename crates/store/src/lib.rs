//! Stores: where records live.
//!
//! What always holds here: every record that comes out of a store was checked (a chunk against its
//! address, a pointer against its owner's signature; only parts of chunks are left to their callers), and
//! what a `put` or `set` returned for is durable. A store is trusted with availability only.

mod about;
mod allocator;
mod check;
pub mod disk;
mod error;
mod file;
mod from_here;
mod hooks;
mod http;
mod kind;
mod memory;
mod observed;
mod open;
mod reserve;
mod room;
mod store;
mod transport;
mod upload;
mod url;
mod wallet;
pub mod whose;

pub use about::{Entry, Failures, Stats, Traits, Watched};
pub use allocator::{allocated_bytes, keep_memory};
pub use error::{Error, Result};
pub use file::FileStore;
pub use from_here::from_here;
pub use hooks::StoreHooks;
pub use http::{
    CA_FILE, HttpOptions, HttpStore, Link, Network, Parts, Patience, TOKEN_FILE, loss, wire,
};
pub use kind::Kind;
pub use memory::{MemoryState, MemoryStore, Method};
pub use observed::Observed;
pub use open::{may_be_there, open};
pub use reserve::Reserve;
pub use room::Room;
pub use store::{Store, in_batches};
pub use transport::Transport;
pub use upload::Upload;
pub use url::{Autonomi, Parsed, file_url, parse};
pub use wallet::{Amount, Money, Price, Spent, Wallet};
