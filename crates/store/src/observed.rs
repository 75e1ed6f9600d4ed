//! A store whose calls are told of and counted.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use safeos_record::{Address, Chunk, Pointer};
use safeos_telemetry::metrics::{Call, SESSIONS};
use safeos_telemetry::{event, failpoint, span};

use crate::{
    Entry, Error, Failures, Kind, Result, Room, Stats, Store, Traits, Transport, Upload, Wallet,
    Watched, in_batches,
};

/// The same store: each call that may wait is a span, is counted in [`SESSIONS`], and is a place where a test can
/// have it fail before it was made and after it was done.
pub struct Observed(Arc<dyn Store>);

impl Observed {
    /// The same store.
    pub fn around(store: Arc<dyn Store>) -> Arc<dyn Store> {
        Arc::new(Self(store))
    }

    fn call<T>(&self, call: Call, records: usize, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let _span = span!(DEBUG, "store", call = call.name(), records = records);
        let started = Instant::now();
        let outcome = work();
        let took = started.elapsed();
        // That a record is not there, or was moved, is an answer.
        let failure = match &outcome {
            Err(Error::Missing { .. } | Error::Conflict { .. }) | Ok(_) => None,
            Err(error) => Some(error.code()),
        };
        SESSIONS.called(call, failure.is_none(), took);
        if let Some(error) = failure {
            event!(
                WARN,
                "a call of the store failed",
                call = call.name(),
                error = error,
                ms = took
            );
        }
        outcome
    }

    fn put(&self, chunks: &[Chunk], put: impl FnOnce() -> Result<()>) -> Result<()> {
        self.call(Call::Put, chunks.len(), || {
            failpoint!("store: putting chunks", || self.away());
            put()?;
            let bytes: usize = chunks.iter().map(|chunk| chunk.bytes().len()).sum();
            SESSIONS.sent.fetch_add(bytes as u64, Ordering::Relaxed);
            failpoint!("store: chunks were put", || self.away());
            Ok(())
        })
    }

    fn read(&self, read: impl FnOnce() -> Result<Bytes>) -> Result<Bytes> {
        self.call(Call::Read, 1, || {
            failpoint!("store: reading a part", || self.away());
            let bytes = read()?;
            received(bytes.len());
            Ok(bytes)
        })
    }

    #[cfg(feature = "failpoints")]
    fn away(&self) -> Error {
        Error::Unreachable {
            url: self.0.url().to_owned(),
            why: "a test has it so".into(),
        }
    }
}

fn received(bytes: usize) {
    SESSIONS.received.fetch_add(bytes as u64, Ordering::Relaxed);
}

impl Store for Observed {
    fn url(&self) -> &str {
        self.0.url()
    }

    fn traits(&self) -> Traits {
        self.0.traits()
    }

    fn put_chunks(&self, chunks: &[Chunk]) -> Result<()> {
        self.put(chunks, || self.0.put_chunks(chunks))
    }

    fn write_chunks(&self, chunks: &[Chunk]) -> Result<()> {
        self.put(chunks, || self.0.write_chunks(chunks))
    }

    fn write_needed(&self, chunks: &[Chunk]) -> Result<()> {
        self.put(chunks, || self.0.write_needed(chunks))
    }

    fn sync(&self) -> Result<()> {
        self.call(Call::Sync, 0, || {
            failpoint!("store: syncing", || self.away());
            self.0.sync()?;
            failpoint!("store: synced", || self.away());
            Ok(())
        })
    }

    fn upload(&self, addresses: &[Address], from: &dyn Upload) -> Result<()> {
        if self.0.wallet().is_none() {
            return in_batches(self, addresses, from);
        }
        // A store that is paid has its own way.
        self.call(Call::Put, addresses.len(), || {
            self.0.upload(addresses, from)
        })
    }

    fn puts_at_once(&self) -> usize {
        self.0.puts_at_once()
    }

    fn wallet(&self) -> Option<&dyn Wallet> {
        self.0.wallet()
    }

    fn transport(&self) -> Option<&dyn Transport> {
        self.0.transport()
    }

    fn get_chunks(&self, addresses: &[Address]) -> Vec<Result<Chunk>> {
        let fetched = self.call(Call::Get, addresses.len(), || {
            failpoint!("store: fetching chunks", || self.away());
            let chunks = self.0.get_chunks(addresses);
            let found = chunks.iter().flatten();
            received(found.map(|chunk| chunk.bytes().len()).sum());
            Ok(chunks)
        });
        fetched.unwrap_or_else(|error| addresses.iter().map(|_| Err(error.clone())).collect())
    }

    fn get_chunk(&self, address: &Address) -> Result<Chunk> {
        self.call(Call::Get, 1, || {
            failpoint!("store: fetching a chunk", || self.away());
            let chunk = self.0.get_chunk(address)?;
            received(chunk.bytes().len());
            Ok(chunk)
        })
    }

    fn read_part(&self, address: &Address, offset: u32, len: u32) -> Result<Bytes> {
        self.read(|| self.0.read_part(address, offset, len))
    }

    fn read_once(&self, address: &Address, offset: u32, len: u32) -> Result<Bytes> {
        self.read(|| self.0.read_once(address, offset, len))
    }

    fn reads_parts(&self) -> bool {
        self.0.reads_parts()
    }

    /// Waiting is what it is for: neither counted nor told.
    fn watch_pointer(&self, address: &Address, seen: u64, time: Duration) -> Result<Watched> {
        self.0.watch_pointer(address, seen, time)
    }

    fn read_now(&self, address: &Address, offset: u32, out: &mut [u8]) -> bool {
        self.0.read_now(address, offset, out)
    }

    fn read_ahead(&self, address: &Address, offset: u32, len: u32) {
        self.0.read_ahead(address, offset, len);
    }

    fn has_chunks(&self, addresses: &[Address]) -> Result<Vec<bool>> {
        self.call(Call::Has, addresses.len(), || {
            failpoint!("store: asking for chunks", || self.away());
            self.0.has_chunks(addresses)
        })
    }

    fn get_pointer(&self, address: &Address) -> Result<Option<Pointer>> {
        self.call(Call::Pointer, 1, || {
            failpoint!("store: asking for a pointer", || self.away());
            self.0.get_pointer(address)
        })
    }

    fn set_pointer(&self, pointer: &Pointer, expected: Option<u64>) -> Result<()> {
        self.call(Call::SetPointer, 1, || {
            failpoint!("store: moving a pointer", || self.away());
            self.0.set_pointer(pointer, expected)?;
            failpoint!("store: a pointer was moved", || self.away());
            Ok(())
        })
    }

    fn list(&self, after: Option<(Kind, Address)>, limit: usize) -> Result<Vec<Entry>> {
        self.call(Call::List, limit, || {
            failpoint!("store: listing", || self.away());
            self.0.list(after, limit)
        })
    }

    fn delete_chunks(&self, addresses: &[Address]) -> Result<u64> {
        self.call(Call::Delete, addresses.len(), || {
            failpoint!("store: removing chunks", || self.away());
            let removed = self.0.delete_chunks(addresses)?;
            failpoint!("store: chunks were removed", || self.away());
            Ok(removed)
        })
    }

    fn stats(&self) -> Result<Stats> {
        self.call(Call::Stats, 0, || self.0.stats())
    }

    fn room(&self) -> Option<Room> {
        self.0.room()
    }

    fn failures(&self) -> Failures {
        self.0.failures()
    }
}
