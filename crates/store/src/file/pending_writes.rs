//! Large chunks that are written, and not known to be on the disk yet.
//!
//! What always holds here: a file gets its own name only after the disk has it, so what a crash leaves
//! under a name is whole. Until then it has a name of its own among the incoming ones, and is read there.
//!
//! A disk empties its cache for each file that is synced, and little is written meanwhile. Many files that
//! are synced together cost it hardly more than one.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use safeos_record::{Address, Chunk};

use super::direct;
use super::disk::{in_parallel, read_all};
use crate::disk::{make_dir, sync_dir};

/// More files than this do not wait; each is open.
pub(super) const FILES_MAX: usize = 64;

/// With more than this the disk has something to do while the next are made.
pub(super) const FILES_DUE: usize = 16;

/// How many syncs are asked for at once: the system makes one effort of those that wait at a time.
const SYNCS_MAX: usize = 32;

/// Why a file, or a folder, is not on the disk.
pub(super) type Failure = (PathBuf, io::Error);

/// One file.
struct Written {
    file: File,
    temporary: PathBuf,
    /// Its own name.
    path: PathBuf,
    /// A sync has failed: the system may have thrown away what it could not write, and call the next
    /// sync a success.
    doubtful: AtomicBool,
}

/// All of a store.
#[derive(Default)]
pub(super) struct PendingWrites {
    files: Mutex<HashMap<Address, Arc<Written>>>,
    /// Folders with names that may not be on the disk.
    folders: Mutex<BTreeSet<PathBuf>>,
    /// Held during a sync.
    turn: Mutex<()>,
}

impl PendingWrites {
    /// How many files wait.
    pub(super) fn waiting(&self) -> usize {
        self.files.lock().len()
    }

    /// Where the content of a chunk is that has no file of its own name yet.
    pub(super) fn place(&self, address: &Address) -> Option<PathBuf> {
        let files = self.files.lock();
        files.get(address).map(|written| written.temporary.clone())
    }

    /// Writes a chunk to `temporary`; `path` will be its name.
    pub(super) fn write(&self, chunk: &Chunk, temporary: PathBuf, path: PathBuf) -> io::Result<()> {
        let file = direct::create(&temporary, chunk.bytes()).inspect_err(|_| {
            // The error that counts is the first one.
            drop(fs::remove_file(&temporary));
        })?;
        match self.files.lock().entry(chunk.address()) {
            // Another thread was quicker.
            Entry::Occupied(_) => drop(fs::remove_file(&temporary)),
            Entry::Vacant(place) => {
                place.insert(Arc::new(Written {
                    file,
                    temporary,
                    path,
                    doubtful: AtomicBool::new(false),
                }));
            }
        }
        Ok(())
    }

    /// Has a folder synced with the next files.
    pub(super) fn folder(&self, folder: PathBuf) {
        self.folders.lock().insert(folder);
    }

    /// Forgets a chunk; whether it was here.
    pub(super) fn forget(&self, address: &Address) -> bool {
        let Some(written) = self.files.lock().remove(address) else {
            return false;
        };
        // If it stays it is swept away later.
        drop(fs::remove_file(&written.temporary));
        true
    }

    /// Waits until the disk has everything that was written before. Failed writes are tried again by the next call.
    pub(super) fn sync(&self) -> Result<(), Failure> {
        let _turn = self.turn.lock();
        let written: Vec<(Address, Arc<Written>)> = {
            let files = self.files.lock();
            files.iter().map(|(at, file)| (*at, file.clone())).collect()
        };
        let synced = in_parallel(&written, SYNCS_MAX, |(address, written)| {
            self.sync_one(address, written)
                .map_err(|error| (written.path.clone(), error))
        });
        let folders: Vec<PathBuf> = std::mem::take(&mut *self.folders.lock())
            .into_iter()
            .collect();
        let named = in_parallel(&folders, SYNCS_MAX, |folder| {
            sync_dir(folder).map_err(|error| {
                self.folder(folder.clone());
                (folder.clone(), error)
            })
        });
        synced.into_iter().chain(named).collect()
    }

    fn sync_one(&self, address: &Address, written: &Written) -> io::Result<()> {
        if written.doubtful.load(Ordering::Relaxed) {
            write_again(address, &written.temporary)?;
        } else if let Err(error) = written.file.sync_data() {
            written.doubtful.store(true, Ordering::Relaxed);
            return Err(error);
        }
        if !self.files.lock().contains_key(address) {
            // Deleted meanwhile.
            return Ok(());
        }
        if let Some(folder) = written.path.parent() {
            if !folder.is_dir() {
                make_dir(folder)?;
                if let Some(above) = folder.parent() {
                    self.folder(above.to_owned());
                }
            }
            self.folder(folder.to_owned());
        }
        fs::rename(&written.temporary, &written.path)?;
        self.files.lock().remove(address);
        Ok(())
    }
}

/// Puts a file of the same content, which is checked, in the place of one that was not synced.
fn write_again(address: &Address, path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    let bytes = read_all(&file, file.metadata()?.len())?;
    let chunk = Chunk::new(bytes).ok();
    let Some(chunk) = chunk.filter(|chunk| chunk.address() == *address) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the disk has lost what was written to it",
        ));
    };
    let again = path.with_extension("again");
    direct::create(&again, chunk.bytes())?.sync_data()?;
    fs::rename(&again, path)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::file::FileStore;
    use crate::{Error, Store};

    use super::*;

    fn chunk(byte: u8) -> Chunk {
        Chunk::new(Bytes::from(vec![byte; 100_000])).unwrap()
    }

    /// Whether another process sees a chunk, as one after a crash would.
    fn is_seen(store: &FileStore, chunk: &Chunk) -> bool {
        let other = FileStore::open(store.url(), Path::new(&store.url()[7..])).unwrap();
        match other.get_chunk(&chunk.address()) {
            Ok(found) => found.bytes() == chunk.bytes(),
            Err(Error::Missing { .. }) => false,
            Err(error) => panic!("{error}"),
        }
    }

    fn store() -> (tempfile::TempDir, FileStore) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("store");
        let store = FileStore::open(&format!("file://{}", root.display()), &root).unwrap();
        (dir, store)
    }

    #[test]
    fn what_is_written_is_read_here_at_once_and_has_its_name_when_it_is_synced() {
        let (dir, store) = store();
        let (one, two) = (chunk(1), chunk(2));
        store.write_chunks(&[one.clone(), two.clone()]).unwrap();
        store.write_chunks(std::slice::from_ref(&one)).unwrap();
        assert_eq!(
            store.get_chunk(&one.address()).unwrap().bytes(),
            one.bytes()
        );
        let part = store.read_part(&two.address(), 7, 9).unwrap();
        assert_eq!(part, [2; 9][..]);
        assert!(!is_seen(&store, &one) && !is_seen(&store, &two));
        store.sync().unwrap();
        assert!(is_seen(&store, &one) && is_seen(&store, &two));
        assert_eq!(
            fs::read_dir(dir.path().join("store/incoming"))
                .unwrap()
                .count(),
            0
        );
        assert_eq!(store.read_part(&two.address(), 7, 9).unwrap(), [2; 9][..]);
    }

    #[test]
    fn who_is_told_that_a_chunk_is_there_can_rely_on_it() {
        let (_dir, store) = store();
        let one = chunk(1);
        store.write_chunks(std::slice::from_ref(&one)).unwrap();
        assert_eq!(store.has_chunks(&[one.address()]).unwrap(), [true]);
        assert!(is_seen(&store, &one));
    }

    #[test]
    fn many_do_not_wait() {
        let (_dir, store) = store();
        for byte in 0..=FILES_MAX as u8 {
            store.write_chunks(&[chunk(byte)]).unwrap();
        }
        assert!(is_seen(&store, &chunk(0)));
    }

    #[test]
    fn what_is_deleted_before_it_is_synced_stays_away() {
        let (_dir, store) = store();
        let one = chunk(1);
        store.write_chunks(std::slice::from_ref(&one)).unwrap();
        assert_eq!(store.delete_chunks(&[one.address()]).unwrap(), 1);
        store.sync().unwrap();
        assert!(!is_seen(&store, &one));
        assert!(store.get_chunk(&one.address()).is_err());
    }

    #[test]
    fn after_a_failed_sync_it_is_written_again_or_said_to_be_lost() {
        let dir = tempfile::tempdir().unwrap();
        let one = chunk(1);
        let temporary = |name: &str| dir.path().join(name);
        let (good, bad) = (temporary("good"), temporary("bad"));
        fs::write(&good, one.bytes()).unwrap();
        write_again(&one.address(), &good).unwrap();
        assert!(fs::read(&good).unwrap() == **one.bytes());
        fs::write(&bad, &one.bytes()[1..]).unwrap();
        let error = write_again(&one.address(), &bad).unwrap_err();
        assert!(error.to_string().contains("lost"), "{error}");
    }
}
