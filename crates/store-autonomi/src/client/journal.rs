//! Payments under way, on this computer's disk, until the network has the records.
//!
//! What always holds here: a file is whole or not there (written beside its place, synced, renamed), so a reader
//! after a crash finds the state before it or after. No file has a secret or a record's bytes in it; they
//! say which records a user of this computer was storing, and are gone when these are stored.
//!
//! ```text
//! magic      8   "SAFEPAY1"
//! checksum  32   BLAKE3 of all after it
//! count      4   u32 LE
//! addresses 32 each: of chunks, or the one identifier of a pointer's state
//! rest           the client's own checkpoint (chunks), or one payment (a pointer)
//! ```

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use safeos_store::disk::replace;
use safeos_store::{Error, Result};

const MAGIC: &[u8; 8] = b"SAFEPAY1";
const HEADER: usize = 8 + 32 + 4;
/// Longer than any proof of payment is good for.
const KEPT: Duration = Duration::from_secs(3 * 24 * 3600);
/// A checkpoint of 256 records has about 30 MB.
const FILE_BYTES_MAX: u64 = 512 << 20;
/// How long another program of this user that pays from the same journal is waited for.
const TURN_MAX: Duration = Duration::from_secs(600);

/// The subject of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    Chunks,
    Pointer,
}

impl What {
    const fn ending(self) -> &'static str {
        match self {
            Self::Chunks => "chunks",
            Self::Pointer => "pointer",
        }
    }
}

/// The journal of one network on this computer.
pub(crate) struct Journal {
    url: String,
    folder: PathBuf,
}

/// One file of it.
#[derive(Debug)]
pub(crate) struct Entry {
    path: PathBuf,
    /// The addresses it is about.
    pub addresses: Vec<[u8; 32]>,
    /// The state of the payment.
    pub rest: Vec<u8>,
}

/// The right to pay, for one program at a time.
pub(crate) struct PaymentLock(#[expect(dead_code, reason = "held, not read")] File);

impl Journal {
    pub fn new(url: &str, state: &Path) -> Self {
        let name = blake3::hash(url.as_bytes()).to_hex();
        Self {
            url: url.to_owned(),
            folder: state.join("payments").join(&name.as_str()[..16]),
        }
    }

    fn failed(&self, path: &Path, error: &io::Error) -> Error {
        Error::Broken {
            url: self.url.clone(),
            why: format!(
                "the journal of payments {} cannot be used ({error}); nothing is paid without it",
                path.display()
            ),
        }
    }

    /// Waits for the turn of this program.
    pub async fn turn(&self) -> Result<PaymentLock> {
        private_folder(&self.folder).map_err(|error| self.failed(&self.folder, &error))?;
        let path = self.folder.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| self.failed(&path, &error))?;
        let started = tokio::time::Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(PaymentLock(file)),
                Err(fs::TryLockError::WouldBlock) if started.elapsed() < TURN_MAX => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Err(fs::TryLockError::WouldBlock) => {
                    return Err(Error::Unreachable {
                        url: self.url.clone(),
                        why: "another SafeOS of yours has been paying there for ten minutes".into(),
                    });
                }
                Err(fs::TryLockError::Error(error)) => return Err(self.failed(&path, &error)),
            }
        }
    }

    /// The unfinished entries. Entries that are too old to be of use are removed, and damaged ones put aside.
    pub fn entries(&self, what: What) -> Result<Vec<Entry>> {
        let mut found = Vec::new();
        let listing = match fs::read_dir(&self.folder) {
            Ok(listing) => listing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
            Err(error) => return Err(self.failed(&self.folder, &error)),
        };
        for item in listing {
            let item = item.map_err(|error| self.failed(&self.folder, &error))?;
            let path = item.path();
            if path.extension().is_none_or(|e| e != what.ending()) {
                continue;
            }
            let meta = item
                .metadata()
                .map_err(|error| self.failed(&path, &error))?;
            let age = meta.modified().ok();
            let age = age.and_then(|then| SystemTime::now().duration_since(then).ok());
            if age.is_some_and(|age| age > KEPT) {
                fs::remove_file(&path).map_err(|error| self.failed(&path, &error))?;
                continue;
            }
            let whole = if meta.len() > FILE_BYTES_MAX {
                None
            } else {
                let bytes = fs::read(&path).map_err(|error| self.failed(&path, &error))?;
                decode(&bytes)
            };
            match whole {
                Some((addresses, rest)) => found.push(Entry {
                    path,
                    addresses,
                    rest,
                }),
                None => {
                    let aside = path.with_extension("damaged");
                    fs::rename(&path, aside).map_err(|error| self.failed(&path, &error))?;
                }
            }
        }
        Ok(found)
    }

    /// A new entry; not on the disk before it is kept.
    pub fn begin(&self, what: What, addresses: Vec<[u8; 32]>) -> Entry {
        let mut hasher = blake3::Hasher::new();
        for address in &addresses {
            hasher.update(address);
        }
        let name = hasher.finalize().to_hex();
        let name = format!("{}.{}", &name.as_str()[..32], what.ending());
        Entry {
            path: self.folder.join(name),
            addresses,
            rest: Vec::new(),
        }
    }

    /// Makes the entry durable as it is.
    pub fn keep(&self, entry: &Entry) -> Result<()> {
        self.write(&entry.path, &encode(&entry.addresses, &entry.rest))
    }

    /// Makes the entry durable with another rest.
    pub fn keep_rest(&self, entry: &Entry, rest: &[u8]) -> Result<()> {
        self.write(&entry.path, &encode(&entry.addresses, rest))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        replace(path, bytes).map_err(|error| self.failed(path, &error))
    }

    /// The network has everything that the entry is about.
    pub fn done(&self, entry: &Entry) -> Result<()> {
        match fs::remove_file(&entry.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.failed(&entry.path, &error))
            }
            _ => Ok(()),
        }
    }
}

fn private_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

fn encode(addresses: &[[u8; 32]], rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER + addresses.len() * 32 + rest.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[0; 32]);
    out.extend_from_slice(&(addresses.len() as u32).to_le_bytes());
    for address in addresses {
        out.extend_from_slice(address);
    }
    out.extend_from_slice(rest);
    let checksum = *blake3::hash(&out[40..]).as_bytes();
    out[8..40].copy_from_slice(&checksum);
    out
}

fn decode(bytes: &[u8]) -> Option<(Vec<[u8; 32]>, Vec<u8>)> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (checksum, body) = rest.split_at_checked(32)?;
    if blake3::hash(body).as_bytes() != checksum {
        return None;
    }
    let (count, body) = body.split_at_checked(4)?;
    let count = u32::from_le_bytes(count.try_into().ok()?) as usize;
    let (addresses, rest) = body.split_at_checked(count.checked_mul(32)?)?;
    let addresses = addresses
        .chunks_exact(32)
        .map(|chunk| chunk.try_into().ok())
        .collect::<Option<_>>()?;
    Some((addresses, rest.to_vec()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_kept_is_found_again_until_it_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::new("autonomi:", folder.path());
        assert!(journal.entries(What::Chunks).unwrap().is_empty());
        private_folder(&journal.folder).unwrap();
        let mut entry = journal.begin(What::Chunks, vec![[1; 32], [2; 32]]);
        entry.rest = b"paid".to_vec();
        journal.keep(&entry).unwrap();
        journal.keep_rest(&entry, b"more").unwrap();
        let other = Journal::new("autonomi:///m.json", folder.path());
        assert!(other.entries(What::Chunks).unwrap().is_empty());
        assert!(journal.entries(What::Pointer).unwrap().is_empty());
        let found = journal.entries(What::Chunks).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].addresses, [[1; 32], [2; 32]]);
        assert_eq!(found[0].rest, b"more");
        journal.done(&found[0]).unwrap();
        assert!(journal.entries(What::Chunks).unwrap().is_empty());
    }

    #[test]
    fn a_damaged_entry_goes_aside_and_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::new("autonomi:", folder.path());
        private_folder(&journal.folder).unwrap();
        let entry = journal.begin(What::Pointer, vec![[1; 32]]);
        let whole = encode(&entry.addresses, b"rest");
        for at in 0..whole.len() {
            let mut spoilt = whole.clone();
            spoilt[at] ^= 1;
            assert_eq!(decode(&spoilt), None, "byte {at}");
            assert_eq!(decode(&whole[..at]), None, "{at} bytes");
        }
        fs::write(&entry.path, &whole[..whole.len() - 1]).unwrap();
        assert!(journal.entries(What::Pointer).unwrap().is_empty());
        assert!(entry.path.with_extension("damaged").exists());
    }
}
