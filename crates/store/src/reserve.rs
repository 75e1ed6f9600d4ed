//! Space that is reserved on a disk, so that a full one can be freed again.
//!
//! A person whose disk is full wants to delete something. But a deletion has to be written down too, and so have
//! a collection and a sign-in. So a file holds some blocks of the disk that no other file can take;
//! they are released when there is no other space, to operations that free space, and taken again when there is plenty.
//!
//! What always holds here: the file's content is never needed, and it may be removed by hand at any time; its
//! blocks are really taken (not a hole, and nothing that a file system could compress).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::Room;

/// Such a part of the disk is kept …
const SHARE: u64 = 64;
/// … but at least this, in bytes, which is enough for some hundred small changes …
const BYTES_MIN: u64 = 1 << 20;
/// … and no more than this.
const BYTES_MAX: u64 = 16 << 20;
/// It is only taken from a disk that has so many times as much to give.
const PLENTY: u64 = 4;
/// So much is written at once where blocks cannot be asked for.
const PIECE: usize = 64 * 1024;

/// A reserve in a folder. Several processes may use the same.
#[derive(Debug)]
pub struct Reserve {
    path: PathBuf,
    bytes: u64,
}

impl Reserve {
    /// The reserve of `folder`, in its file `reserve`. Takes nothing yet. Where the disk is memory there is none: it
    /// would take what it is to save, and does not outlive a crash.
    pub fn of(folder: &Path) -> Self {
        let bytes = match Room::of_disk(folder) {
            Some(room) if !is_memory(folder) => (room.total / SHARE).clamp(BYTES_MIN, BYTES_MAX),
            _ => 0,
        };
        Self::with(folder, bytes)
    }

    /// A reserve of nothing.
    pub fn none() -> Self {
        Self::with(Path::new(""), 0)
    }

    pub(crate) fn with(folder: &Path, bytes: u64) -> Self {
        Self {
            path: folder.join("reserve"),
            bytes,
        }
    }

    /// How much it keeps.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether it has its blocks now.
    pub fn is_kept(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|about| about.is_file() && about.len() > 0)
    }

    /// Takes the blocks if the disk has plenty; whether it has them.
    pub fn keep(&self) -> bool {
        if self.bytes == 0 {
            return false;
        }
        if self.is_kept() {
            return true;
        }
        let free = Room::of_disk(&self.path).map_or(0, |room| room.free);
        free >= self.bytes * PLENTY && self.take().is_ok()
    }

    fn take(&self) -> io::Result<()> {
        let file = self.open(true)?;
        let taken = allocate(&file, self.bytes).and_then(|()| file.sync_all());
        if taken.is_err() {
            // A part of the reserve is of no use.
            drop(file.set_len(0));
        }
        taken
    }

    /// Gives the blocks back to the disk; `false` when it had none.
    pub fn give_back(&self) -> bool {
        let give = || -> io::Result<()> {
            let file = self.open(false)?;
            file.set_len(0)?;
            // Only what the disk knows to be free can be had by others.
            file.sync_all()
        };
        self.is_kept() && give().is_ok()
    }

    /// Does something, and once more with the blocks given back if `is_full` says that there was no room.
    pub fn spend<T, E>(
        &self,
        is_full: impl FnOnce(&E) -> bool,
        mut work: impl FnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        match work() {
            Err(error) if is_full(&error) && self.give_back() => work(),
            done => done,
        }
    }

    /// The room of the disk without what is kept, or is to be kept again.
    pub fn room(&self) -> Option<Room> {
        let room = Room::of_disk(&self.path)?;
        let owed = if self.is_kept() { 0 } else { self.bytes };
        Some(Room {
            free: room.free.saturating_sub(owed),
            ..room
        })
    }

    /// Whether it is given back, and less than so many of its bytes are left of the disk.
    pub fn is_below(&self, bytes: u64) -> bool {
        !self.is_kept() && Room::of_disk(&self.path).is_some_and(|room| room.free < bytes)
    }

    fn open(&self, create: bool) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(create).mode(0o600);
        #[cfg(target_os = "linux")]
        options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
        options.open(&self.path)
    }
}

#[cfg(target_os = "linux")]
fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => fill(file, bytes),
        done => Ok(done?),
    }
}

#[cfg(not(target_os = "linux"))]
fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    fill(file, bytes)
}

/// Fills a file with bytes that cannot be compressed.
fn fill(mut file: &File, bytes: u64) -> io::Result<()> {
    let mut seed = [0; 32];
    safeos_record::random_bytes(&mut seed).map_err(io::Error::other)?;
    let mut noise = blake3::Hasher::new_keyed(&seed).finalize_xof();
    let mut piece = vec![0; PIECE];
    let mut left = bytes;
    while left > 0 {
        let len = left.min(PIECE as u64) as usize;
        noise.fill(&mut piece[..len]);
        file.write_all(&piece[..len])?;
        left -= len as u64;
    }
    Ok(())
}

/// Whether a folder is in memory.
#[cfg(target_os = "linux")]
fn is_memory(folder: &Path) -> bool {
    const TMPFS: u64 = 0x0102_1994;
    const RAMFS: u64 = 0x8584_58f6;
    folder
        .ancestors()
        .find_map(|place| rustix::fs::statfs(place).ok())
        // The field is as wide as the system's word.
        .is_some_and(|found| [TMPFS, RAMFS].contains(&(found.f_type as u64 & 0xffff_ffff)))
}

#[cfg(not(target_os = "linux"))]
fn is_memory(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    const BYTES: u64 = 3 << 20;

    fn blocks(path: &Path) -> u64 {
        fs::metadata(path).unwrap().blocks() * 512
    }

    #[test]
    fn it_has_real_blocks_and_gives_them_back() {
        let dir = tempfile::tempdir().unwrap();
        let reserve = Reserve::with(dir.path(), BYTES);
        assert!(!reserve.is_kept() && !reserve.give_back());
        assert!(reserve.keep() && reserve.is_kept() && reserve.keep());
        assert!(blocks(&reserve.path) >= BYTES);
        assert!(!reserve.is_below(u64::MAX), "what is kept is not lacking");
        let other = Reserve::with(dir.path(), BYTES);
        assert!(other.give_back() && !reserve.is_kept());
        assert_eq!(blocks(&reserve.path), 0);
        assert!(reserve.is_below(u64::MAX));
        let room = Room::of_disk(dir.path()).unwrap();
        assert!(reserve.room().unwrap().free <= room.free.saturating_sub(BYTES) + (1 << 20));
    }

    #[test]
    fn what_is_written_instead_of_asked_for_takes_as_much() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("filled");
        let file = File::create(&path).unwrap();
        fill(&file, BYTES + 5).unwrap();
        file.sync_all().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), BYTES + 5);
        assert!(blocks(&path) >= BYTES);
    }

    #[test]
    fn it_is_spent_once_and_only_where_there_is_no_room() {
        let dir = tempfile::tempdir().unwrap();
        let reserve = Reserve::with(dir.path(), BYTES);
        let full = |error: &&str| *error == "full";
        let mut tries = 0;
        let mut fail = |why| {
            tries += 1;
            Err::<(), &str>(why)
        };
        assert_eq!(reserve.spend(full, || fail("full")), Err("full"));
        assert!(reserve.keep());
        assert_eq!(reserve.spend(full, || fail("broken")), Err("broken"));
        assert!(reserve.is_kept());
        assert_eq!(reserve.spend(full, || fail("full")), Err("full"));
        assert!(!reserve.is_kept());
        assert_eq!(tries, 4);
        assert!(reserve.keep());
        let mut first = true;
        let done = reserve.spend(full, || {
            if std::mem::take(&mut first) {
                Err("full")
            } else {
                Ok(7)
            }
        });
        assert_eq!(done, Ok(7));
    }

    #[test]
    fn a_disk_that_has_little_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let free = Room::of_disk(dir.path()).unwrap().free;
        let reserve = Reserve::with(dir.path(), free / 2);
        assert!(!reserve.keep() && !reserve.path.exists());
        assert!(!Reserve::with(dir.path(), 0).keep());
        if Path::new("/dev/shm").is_dir() && is_memory(Path::new("/dev/shm")) {
            assert_eq!(Reserve::of(Path::new("/dev/shm")).bytes(), 0);
        }
    }
}
