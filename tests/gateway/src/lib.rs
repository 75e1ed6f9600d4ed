//! Shared parts of the gateway tests: records, a gateway that lies, and networks that lose.
// Test support: a failed expectation is a failed test.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod homes;
pub mod lossy;
pub mod malicious_server;
pub mod netsim;
pub mod plain;

use std::sync::Arc;
use std::time::Duration;

use safeos_gateway::{Limits, Options, Server};
use safeos_record::{Address, Chunk, OwnerKey, Pointer, Target};
use safeos_store::{HttpOptions, HttpStore, MemoryStore, Patience};

/// A chunk of this length; other seeds, other bytes.
pub fn chunk(seed: u64, len: usize) -> Chunk {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let bytes: Vec<u8> = (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        })
        .collect();
    Chunk::new(bytes).unwrap()
}

/// A state of the pointer of owner `seed`.
pub fn pointer(seed: u8, counter: u64) -> Pointer {
    let target = Target::Chunk(Address([counter as u8; 32]));
    Pointer::sign(&OwnerKey::from_seed(&[seed; 32]), counter, target).unwrap()
}

/// A gateway with these limits in front of an empty store.
pub fn gateway(limits: Limits) -> (Arc<MemoryStore>, Server) {
    let store = Arc::new(MemoryStore::default());
    let options = Options {
        limits,
        ..Options::default()
    };
    let server = Server::start(store.clone(), &options).unwrap();
    (store, server)
}

/// A client that soon loses its patience.
pub fn client(gateways: &[&str]) -> HttpStore {
    let options = HttpOptions {
        patience: Patience {
            connect: Duration::from_secs(2),
            stall: Duration::from_millis(300),
            request: Duration::from_millis(600),
            slowest: 4 << 20,
            again: Duration::from_millis(5),
        },
        ..HttpOptions::default()
    };
    let urls = gateways.iter().map(|url| (*url).to_owned()).collect();
    HttpStore::open(&gateways.join(","), urls, &options).unwrap()
}
