//! The calls that write segments, so that tests can make them fail.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use safeos_store::Reserve;
use safeos_telemetry::failpoint;

use crate::disk::is_full;

/// A disk that holds segments.
pub(crate) trait Disk: Send + Sync {
    /// Makes a folder that only its owner may enter, unless it is there.
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        crate::disk::make_dir(path)
    }
    /// Makes a new file that only its owner may read; one that is there is emptied.
    fn create(&self, path: &Path) -> io::Result<File>;
    /// Writes all of `bytes` at `offset`.
    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// The same for a write that only makes later ones faster: not where room is scarce.
    fn write_ahead(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Returns when everything written to `file` is on the disk.
    fn sync(&self, file: &File) -> io::Result<()>;
    /// Gives back what `file` has beyond `len`.
    fn cut(&self, file: &File, len: u64) -> io::Result<()>;
}

/// The disk itself, with its reserve: a full disk takes little things all the same.
pub(crate) struct RealDisk(pub(crate) Arc<Reserve>);

impl Disk for RealDisk {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        failpoint!("journal: making its folder", broken);
        self.0.spend(is_full, || crate::disk::make_dir(path))
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        failpoint!("journal: beginning a segment", broken);
        self.0.spend(is_full, || crate::disk::create(path))
    }

    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        failpoint!("journal: writing", broken);
        let write = || file.write_all_at(bytes, offset);
        // A write that does not fit into the reserve must not use it up.
        if bytes.len() as u64 > self.0.bytes() / 4 {
            return write();
        }
        self.0.spend(is_full, write)
    }

    fn write_ahead(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self
            .0
            .is_below(self.0.bytes().saturating_add(bytes.len() as u64))
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.write_all_at(bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        failpoint!("journal: syncing", broken);
        file.sync_data()?;
        failpoint!("journal: synced", broken);
        Ok(())
    }

    fn cut(&self, file: &File, len: u64) -> io::Result<()> {
        file.set_len(len)
    }
}

#[cfg(feature = "failpoints")]
fn broken() -> io::Error {
    io::Error::other("a test has it so")
}
