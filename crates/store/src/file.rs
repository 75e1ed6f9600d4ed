//! The `file:` store: records in a folder of this computer.
//!
//! ```text
//! format           one line that says what this folder is
//! records.redb     pointers, and chunks of at most 64 KiB (redb, over checksummed blocks)
//! chunks/a/…       a file for each larger chunk, named by its address
//! incoming/        chunks being written
//! lease.*          the lease on records.redb (see `lease.rs`)
//! reserve          space that is reserved for a full disk (see `reserve.rs`)
//! ```
//!
//! What always holds here: the promises of [`crate::Store`], with any number of processes on one folder.
//! Large chunks need no engine, so reading and writing them never waits for a lock and goes on when the
//! engine's file is damaged. Folders are made with mode 0700, files with 0600. On a full disk pointers are
//! set, chunks deleted and the writes of [`Store::write_needed`] done all the same: only for them the reserve is
//! given back, and while less than that is left no other chunk is taken.

mod checksummed_file;
mod direct;
mod disk;
mod engine;
mod failure;
mod folder;
mod holder;
mod lease;
mod pending_writes;

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use safeos_record::{Address, Chunk, Pointer};

use self::disk::in_parallel;
use self::engine::Engine;
use self::failure::{Failure, io_error};
use self::folder::{Folder, Found};
use self::holder::Holder;
use crate::check::{checked_chunk, checked_pointer};
use crate::disk::{replace, sync_dir};
use crate::{Entry, Error, Kind, Reserve, Result, Room, Stats, Store, Traits, whose};

/// Chunks of more bytes are files of their own.
const INLINE_MAX: usize = 64 * 1024;

const FORMAT_FILE: &str = "format";
const FORMAT: &str = "SafeOS store 2\n";

/// Records in a folder.
pub struct FileStore {
    url: String,
    root: PathBuf,
    folder: Folder,
    engine: Holder,
    reserve: Reserve,
}

impl FileStore {
    /// Opens the store in `root`, an absolute path; makes it when nothing is there. `url` is what the
    /// store is called in messages.
    pub fn open(url: &str, root: &Path) -> Result<Self> {
        // A user who can replace its files could make us write anywhere.
        let ours = || {
            whose::check(root).map_err(|stranger| Error::Strange {
                url: url.to_owned(),
                why: stranger.to_string(),
            })
        };
        ours()?;
        let store = Self {
            url: url.to_owned(),
            root: root.to_owned(),
            folder: Folder::new(root),
            engine: Holder::new(url, root, root.join("records.redb")),
            reserve: Reserve::of(root),
        };
        if !store.check_format()? {
            store.create()?;
            // Another process may have made it before us.
            ours()?;
        }
        store.folder.sweep();
        store.reserve.keep();
        Ok(store)
    }

    /// Whether there is a whole store in this folder.
    pub(crate) fn is_in(root: &Path) -> io::Result<bool> {
        root.join(FORMAT_FILE).try_exists()
    }

    /// Whether the folder is a store; an error when it is something else.
    fn check_format(&self) -> Result<bool> {
        let path = self.root.join(FORMAT_FILE);
        match fs::read(&path) {
            Ok(format) if format == FORMAT.as_bytes() => Ok(true),
            Ok(_) => Err(self.broken(format!(
                "{} is of a version this program does not know; use the SafeOS that made it, or a newer one",
                path.display()
            ))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.failed("reading", &path, &error)),
        }
    }

    fn create(&self) -> Result<()> {
        let making = |error: io::Error| self.failed("making the folder", &self.root, &error);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.root)
            .map_err(making)?;
        // A folder of a user's files must not become a store by a slip.
        for entry in fs::read_dir(&self.root).map_err(making)? {
            let name = entry.map_err(making)?.file_name();
            let name = name.to_string_lossy();
            let ours = [
                "chunks",
                "incoming",
                "format.new",
                "records.redb",
                "reserve",
            ]
            .contains(&&*name)
                || name.starts_with("lease.")
                || name == "records.redb.new";
            if !ours {
                return Err(self.broken(format!(
                    "{} holds other files (“{name}”) and no store; name an empty or a new folder",
                    self.root.display()
                )));
            }
        }
        let lease = holder::acquire(&self.url, &self.root)?;
        if self.check_format()? {
            return Ok(());
        }
        self.folder.create().map_err(making)?;
        // Everything under its final name is whole; `format`, the last, says that all is there.
        let engine = self.root.join("records.redb");
        if !engine.exists() {
            let fresh = self.root.join("records.redb.new");
            drop(Engine::create(&fresh).map_err(|failure| failure.into_error(&self.url, &fresh))?);
            fs::rename(&fresh, &engine).map_err(making)?;
        }
        sync_dir(&self.root).map_err(making)?;
        replace(&self.root.join(FORMAT_FILE), FORMAT.as_bytes()).map_err(making)?;
        if let Some(parent) = self.root.parent() {
            sync_dir(parent).map_err(making)?;
        }
        drop(lease);
        Ok(())
    }

    fn broken(&self, why: String) -> Error {
        Error::Broken {
            url: self.url.clone(),
            why,
        }
    }

    fn failed(&self, doing: &str, path: &Path, error: &io::Error) -> Error {
        io_error(&self.url, doing, path, error)
    }

    /// Runs something on the engine. Where the disk has no room for it, it gets the reserve.
    fn needed<T>(&self, work: impl Fn(&Engine) -> Result<T, Failure>) -> Result<T> {
        self.reserve.spend(is_full, || self.engine.with(&work))
    }

    /// Refuses to take anything while less than so many of the reserve's bytes are left of the disk.
    fn admit(&self, bytes: u64) -> Result<()> {
        if self.reserve.keep() || !self.reserve.is_below(bytes) {
            return Ok(());
        }
        Err(Error::Full {
            url: self.url.clone(),
            why: "the rest of the disk is kept for deleting and collecting; free some space on it"
                .to_owned(),
        })
    }

    /// Writes chunks for which the reserve is given back. Some of it stays for deleting and for pointers.
    fn write_from_reserve(&self, chunks: &[Chunk]) -> Result<()> {
        let left = self.reserve.bytes() / 2;
        self.admit(left)?;
        match self.write(chunks) {
            Err(error) if is_full(&error) && self.reserve.give_back() => {
                self.admit(left)?;
                self.write(chunks)
            }
            done => done,
        }
    }

    fn write(&self, chunks: &[Chunk]) -> Result<()> {
        let (small, large): (Vec<_>, Vec<_>) = chunks
            .iter()
            .partition(|chunk| chunk.bytes().len() <= INLINE_MAX);
        if !large.is_empty() {
            self.folder
                .write(&large)
                .map_err(|(path, error)| self.failed("writing", &path, &error))?;
        }
        if small.is_empty() {
            return Ok(());
        }
        self.engine.with(|engine| engine.put(&small))
    }

    /// A large chunk, or `None` when it is not among the files.
    fn large(&self, address: &Address) -> Option<Result<Chunk>> {
        let found = match self.folder.find(address) {
            Ok(None) => return None,
            Ok(Some(Found::File(file, len))) => disk::read_all(&file, len),
            Ok(Some(Found::Wrong(why))) => return Some(Err(damaged(address, why))),
            Err(error) => Err(error),
        };
        Some(
            found
                .map_err(|error| self.failed("reading", &self.folder.path(address), &error))
                .and_then(|bytes| checked_chunk(*address, Some(bytes))),
        )
    }
}

fn is_full(error: &Error) -> bool {
    matches!(error, Error::Full { .. })
}

fn damaged(address: &Address, why: String) -> Error {
    Error::Damaged {
        kind: Kind::Chunk,
        address: *address,
        why,
    }
}

impl Store for FileStore {
    fn url(&self) -> &str {
        &self.url
    }

    fn traits(&self) -> Traits {
        Traits {
            local: true,
            paid: false,
        }
    }

    fn put_chunks(&self, chunks: &[Chunk]) -> Result<()> {
        // A head that is put is small, and without it no deletion is published.
        if chunks.iter().all(|chunk| chunk.bytes().len() <= INLINE_MAX) {
            self.write_from_reserve(chunks)?;
        } else {
            self.write_chunks(chunks)?;
        }
        self.sync()
    }

    fn write_chunks(&self, chunks: &[Chunk]) -> Result<()> {
        self.admit(self.reserve.bytes())?;
        self.write(chunks)
    }

    fn write_needed(&self, chunks: &[Chunk]) -> Result<()> {
        self.write_from_reserve(chunks)
    }

    fn sync(&self) -> Result<()> {
        // A file that was written may want a block more for its name.
        self.reserve.spend(is_full, || {
            self.folder
                .sync()
                .map_err(|(path, error)| self.failed("writing", &path, &error))
        })
    }

    fn get_chunks(&self, addresses: &[Address]) -> Vec<Result<Chunk>> {
        let mut outcomes = in_parallel(addresses, folder::THREADS_MAX, |address| {
            self.large(address)
        });
        let rest: Vec<Address> = addresses
            .iter()
            .zip(&outcomes)
            .filter_map(|(address, outcome)| outcome.is_none().then_some(*address))
            .collect();
        if !rest.is_empty() {
            let mut found = match self.needed(|engine| engine.chunks(&rest)) {
                Ok(found) => found.into_iter().map(Ok).collect::<Vec<_>>(),
                Err(error) => vec![Err(error); rest.len()],
            }
            .into_iter();
            for (address, outcome) in addresses.iter().zip(&mut outcomes) {
                if outcome.is_none() {
                    *outcome = found
                        .next()
                        .map(|found| found.and_then(|bytes| checked_chunk(*address, bytes)));
                }
            }
        }
        addresses
            .iter()
            .zip(outcomes)
            .map(|(address, outcome)| outcome.unwrap_or_else(|| checked_chunk(*address, None)))
            .collect()
    }

    fn read_part(&self, address: &Address, offset: u32, len: u32) -> Result<Bytes> {
        if let Some(part) = self.folder.read_recent(address, offset, len) {
            return Ok(part);
        }
        let found = self
            .folder
            .find(address)
            .map_err(|error| self.failed("reading", &self.folder.path(address), &error))?;
        let none = || damaged(address, format!("it has no bytes {offset}+{len}"));
        match found {
            Some(Found::File(file, file_len)) => {
                if u64::from(offset) + u64::from(len) > file_len {
                    return Err(none());
                }
                let part = folder::read_part(&file, offset, len)
                    .map_err(|error| self.failed("reading", &self.folder.path(address), &error))?;
                self.folder.keep(*address, file);
                Ok(part)
            }
            Some(Found::Wrong(why)) => Err(damaged(address, why)),
            None => {
                let bytes = self.get_chunk(address)?.into_bytes();
                let start = offset as usize;
                match start.checked_add(len as usize) {
                    Some(end) if end <= bytes.len() => Ok(bytes.slice(start..end)),
                    _ => Err(none()),
                }
            }
        }
    }

    fn read_once(&self, address: &Address, offset: u32, len: u32) -> Result<Bytes> {
        match self.folder.read_direct(address, offset, len) {
            Some(part) => Ok(part),
            None => self.read_part(address, offset, len),
        }
    }

    fn read_now(&self, address: &Address, offset: u32, out: &mut [u8]) -> bool {
        self.folder.read_now(address, offset, out)
    }

    fn read_ahead(&self, address: &Address, offset: u32, len: u32) {
        self.folder.read_ahead(address, offset, len);
    }

    fn has_chunks(&self, addresses: &[Address]) -> Result<Vec<bool>> {
        // A client that is told that a chunk is there does not put it again.
        self.sync()?;
        let mut there = Vec::with_capacity(addresses.len());
        for address in addresses {
            there.push(self.folder.path(address).is_file());
        }
        let rest: Vec<Address> = addresses
            .iter()
            .zip(&there)
            .filter_map(|(address, there)| (!there).then_some(*address))
            .collect();
        if !rest.is_empty() {
            let mut small = self.needed(|engine| engine.has(&rest))?.into_iter();
            for there in there.iter_mut().filter(|there| !**there) {
                *there = small.next().unwrap_or(false);
            }
        }
        Ok(there)
    }

    fn get_pointer(&self, address: &Address) -> Result<Option<Pointer>> {
        let bytes = self.needed(|engine| engine.pointer(address))?;
        checked_pointer(*address, bytes.as_deref())
    }

    fn set_pointer(&self, pointer: &Pointer, expected: Option<u64>) -> Result<()> {
        self.needed(|engine| engine.set_pointer(pointer, expected))
    }

    fn list(&self, after: Option<(Kind, Address)>, limit: usize) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        if after.is_none_or(|(kind, _)| kind == Kind::Chunk) {
            let after = after.map(|(_, address)| address);
            let large = self
                .folder
                .list(after, limit)
                .map_err(|error| self.failed("listing", &self.root.join("chunks"), &error))?;
            entries.extend(large.into_iter().map(|(address, len)| Entry {
                kind: Kind::Chunk,
                address,
                len,
            }));
            entries.extend(self.needed(|engine| engine.list(Kind::Chunk, after, limit))?);
            entries.sort_unstable();
            entries.dedup_by_key(|entry| entry.address);
            entries.truncate(limit);
        }
        if entries.len() < limit {
            let after = after
                .filter(|(kind, _)| *kind == Kind::Pointer)
                .map(|(_, address)| address);
            let rest = limit - entries.len();
            entries.extend(self.needed(|engine| engine.list(Kind::Pointer, after, rest))?);
        }
        Ok(entries)
    }

    fn delete_chunks(&self, addresses: &[Address]) -> Result<u64> {
        let mut deleted = 0;
        let mut rest = Vec::new();
        for address in addresses {
            match self.folder.delete(address) {
                Ok(true) => deleted += 1,
                Ok(false) => rest.push(*address),
                Err(error) => {
                    return Err(self.failed("deleting", &self.folder.path(address), &error));
                }
            }
        }
        if !rest.is_empty() {
            deleted += self.needed(|engine| engine.delete(&rest))?;
        }
        if deleted > 0 {
            self.reserve.keep();
        }
        Ok(deleted)
    }

    fn stats(&self) -> Result<Stats> {
        let mut stats = self.needed(Engine::stats)?;
        let (count, bytes) = self
            .folder
            .stats()
            .map_err(|error| self.failed("counting", &self.root.join("chunks"), &error))?;
        stats.chunks += count;
        stats.bytes += bytes;
        Ok(stats)
    }

    fn room(&self) -> Option<Room> {
        self.reserve.room()
    }
}

#[cfg(test)]
mod tests;
