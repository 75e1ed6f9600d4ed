//! The embedded engine: pointers and small chunks in tables of one redb file.
//!
//! What always holds here: a write that returned is on the disk, and the file opens at once after a
//! crash (every commit is two-phase and saves what a repair would have to compute). Only one
//! `Engine` is open on a file at a time; [`super::holder`] sees to that.

use std::fs::OpenOptions;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use bytes::Bytes;
use redb::{
    Builder, Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
    WriteTransaction,
};
use safeos_record::{Address, Chunk, Pointer};

use super::checksummed_file::{ChecksummedFile, Fault};
use super::failure::Failure;
use crate::check::check_set;
use crate::{Entry, Kind, Stats};

type Records = TableDefinition<'static, &'static [u8; 32], &'static [u8]>;
const POINTERS: Records = TableDefinition::new("pointers");
const CHUNKS: Records = TableDefinition::new("chunks");
/// Sums kept beside the tables, so that statistics need no walk.
const TOTALS: TableDefinition<'static, &'static str, u64> = TableDefinition::new("totals");
const CHUNK_BYTES: &str = "chunk_bytes";

const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// An open engine.
pub(super) struct Engine {
    /// `None` only while it is dropped.
    database: Option<Database>,
    fault: Fault,
}

impl Engine {
    /// Makes a new, empty engine file; there must be none.
    pub(super) fn create(path: &Path) -> Result<Self, Failure> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        let engine = Self::start(ChecksummedFile::create(file)?)?;
        engine.run(|database| {
            let write = begin(database)?;
            write.open_table(POINTERS)?;
            write.open_table(CHUNKS)?;
            write.open_table(TOTALS)?.insert(CHUNK_BYTES, 0)?;
            Ok(write.commit()?)
        })?;
        Ok(engine)
    }

    /// Opens an engine file.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Self::start(ChecksummedFile::open(file)?)
    }

    fn start(blocks: ChecksummedFile) -> Result<Self, Failure> {
        let fault = blocks.fault();
        let database = guarded(&fault, || {
            Ok(Builder::new()
                .set_cache_size(CACHE_BYTES)
                .create_with_backend(blocks)?)
        })?;
        Ok(Self {
            database: Some(database),
            fault,
        })
    }

    fn run<T>(&self, work: impl FnOnce(&Database) -> Result<T, Failure>) -> Result<T, Failure> {
        let Some(database) = &self.database else {
            return Err(io::Error::other("the engine is closed").into());
        };
        guarded(&self.fault, || work(database))
    }

    /// The bytes under each address.
    pub(super) fn chunks(&self, addresses: &[Address]) -> Result<Vec<Option<Bytes>>, Failure> {
        self.run(|database| {
            let table = database.begin_read()?.open_table(CHUNKS)?;
            addresses
                .iter()
                .map(|address| {
                    let found = table.get(address.as_bytes())?;
                    Ok(found.map(|bytes| Bytes::copy_from_slice(bytes.value())))
                })
                .collect()
        })
    }

    /// Which addresses have bytes.
    pub(super) fn has(&self, addresses: &[Address]) -> Result<Vec<bool>, Failure> {
        self.run(|database| {
            let table = database.begin_read()?.open_table(CHUNKS)?;
            addresses
                .iter()
                .map(|address| Ok(table.get(address.as_bytes())?.is_some()))
                .collect()
        })
    }

    /// Stores chunks in one commit; none when all are there, whole.
    pub(super) fn put(&self, chunks: &[&Chunk]) -> Result<(), Failure> {
        self.run(|database| {
            let there = {
                let table = database.begin_read()?.open_table(CHUNKS)?;
                let mut there = Vec::with_capacity(chunks.len());
                for chunk in chunks {
                    let found = table.get(chunk.address().as_bytes())?;
                    there.push(found.is_some_and(|bytes| bytes.value() == &chunk.bytes()[..]));
                }
                there
            };
            if there.iter().all(|there| *there) {
                return Ok(());
            }
            let write = begin(database)?;
            {
                let mut table = write.open_table(CHUNKS)?;
                let mut grown = 0;
                let mut freed = 0;
                for (chunk, there) in chunks.iter().zip(there) {
                    if there {
                        continue;
                    }
                    grown += chunk.bytes().len() as u64;
                    if let Some(old) =
                        table.insert(chunk.address().as_bytes(), &chunk.bytes()[..])?
                    {
                        freed += old.value().len() as u64;
                    }
                }
                add_to_total(&write, grown, freed)?;
            }
            Ok(write.commit()?)
        })
    }

    /// Removes chunks; how many were there.
    pub(super) fn delete(&self, addresses: &[Address]) -> Result<u64, Failure> {
        if !self.has(addresses)?.contains(&true) {
            return Ok(0);
        }
        self.run(|database| {
            let write = begin(database)?;
            let mut deleted = 0;
            {
                let mut table = write.open_table(CHUNKS)?;
                let mut freed = 0;
                for address in addresses {
                    if let Some(old) = table.remove(address.as_bytes())? {
                        freed += old.value().len() as u64;
                        deleted += 1;
                    }
                }
                add_to_total(&write, 0, freed)?;
            }
            write.commit()?;
            Ok(deleted)
        })
    }

    /// The bytes of a pointer record.
    pub(super) fn pointer(&self, address: &Address) -> Result<Option<Bytes>, Failure> {
        self.run(|database| {
            let table = database.begin_read()?.open_table(POINTERS)?;
            let found = table.get(address.as_bytes())?;
            Ok(found.map(|bytes| Bytes::copy_from_slice(bytes.value())))
        })
    }

    /// Compare-and-set of a pointer.
    pub(super) fn set_pointer(
        &self,
        pointer: &Pointer,
        expected: Option<u64>,
    ) -> Result<(), Failure> {
        self.run(|database| {
            let write = begin(database)?;
            {
                let mut table = write.open_table(POINTERS)?;
                let address = pointer.address();
                let there = table
                    .get(address.as_bytes())?
                    .map(|bytes| Bytes::copy_from_slice(bytes.value()));
                check_set(pointer, expected, there.as_deref())?;
                table.insert(address.as_bytes(), pointer.as_bytes())?;
            }
            Ok(write.commit()?)
        })
    }

    /// At most `limit` records of a kind after `after`, in order.
    pub(super) fn list(
        &self,
        kind: Kind,
        after: Option<Address>,
        limit: usize,
    ) -> Result<Vec<Entry>, Failure> {
        let table = match kind {
            Kind::Chunk => CHUNKS,
            Kind::Pointer => POINTERS,
        };
        let from = match &after {
            Some(address) => Bound::Excluded(address.as_bytes()),
            None => Bound::Unbounded,
        };
        self.run(|database| {
            let table = database.begin_read()?.open_table(table)?;
            let mut entries = Vec::new();
            for entry in table
                .range::<&[u8; 32]>((from, Bound::Unbounded))?
                .take(limit)
            {
                let (address, bytes) = entry?;
                entries.push(Entry {
                    kind,
                    address: Address(*address.value()),
                    len: bytes.value().len() as u64,
                });
            }
            Ok(entries)
        })
    }

    /// How much the engine holds.
    pub(super) fn stats(&self) -> Result<Stats, Failure> {
        self.run(|database| {
            let read = database.begin_read()?;
            let pointers = read.open_table(POINTERS)?.len()?;
            let chunk_bytes = read.open_table(TOTALS)?.get(CHUNK_BYTES)?;
            Ok(Stats {
                chunks: read.open_table(CHUNKS)?.len()?,
                pointers,
                bytes: chunk_bytes.map_or(0, |bytes| bytes.value())
                    + pointers * safeos_record::POINTER_LEN as u64,
            })
        })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let Some(database) = self.database.take() else {
            return;
        };
        let spoilt = |(kind, _): &(io::ErrorKind, String)| *kind == io::ErrorKind::InvalidData;
        if self.fault.lock().as_ref().is_some_and(spoilt) {
            // An engine that panicked may panic again while it is dropped, which would end the program;
            // its memory is the smaller loss. Not where a disk was full, which may happen time and again.
            std::mem::forget(database);
        } else if let Err(failure) = guarded(&self.fault, || {
            // All is committed; a close that fails costs the next open a repair, no more.
            drop(database);
            Ok(())
        }) {
            drop(failure);
        }
    }
}

/// A transaction whose commit is durable and leaves nothing to repair.
fn begin(database: &Database) -> Result<WriteTransaction, Failure> {
    let mut write = database.begin_write()?;
    write.set_quick_repair(true);
    Ok(write)
}

fn add_to_total(write: &WriteTransaction, grown: u64, freed: u64) -> Result<(), Failure> {
    let mut totals = write.open_table(TOTALS)?;
    let total = totals.get(CHUNK_BYTES)?.map_or(0, |total| total.value());
    totals.insert(CHUNK_BYTES, (total + grown).saturating_sub(freed))?;
    Ok(())
}

/// Runs engine code. The checksums under it keep damage from it. A file made by hand, with checksums
/// that fit and tables that do not, can still make it panic; that becomes an error here where the
/// panic can be caught (`docs/decisions/0001-embedded-store.md` says where not).
fn guarded<T>(fault: &Fault, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let outcome = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let why = "its tables contradict themselves".to_owned();
        fault
            .lock()
            .get_or_insert((io::ErrorKind::InvalidData, why.clone()));
        Err(Failure::Engine {
            kind: io::ErrorKind::InvalidData,
            why,
        })
    });
    match outcome {
        // The engine repeats “previous I/O error” from the second call on; the first one says more.
        Err(Failure::Engine { kind, why }) => {
            let first = fault.lock().get_or_insert((kind, why)).clone();
            Err(Failure::Engine {
                kind: first.0,
                why: first.1,
            })
        }
        other => other,
    }
}

#[cfg(test)]
mod tests;
