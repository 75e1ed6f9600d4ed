//! A disk that is full or broken: nothing is lost, and nothing is called durable that is not.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use super::*;

fn real() -> RealDisk {
    RealDisk(Arc::new(Reserve::none()))
}

/// A disk that refuses when told so. A failed sync loses what was written since the last good one, as
/// Linux does: the next sync succeeds and the bytes are not there.
#[derive(Clone, Default)]
pub(crate) struct Failing(Arc<Faults>);

/// Offsets and lengths.
type Ranges = Vec<(u64, u64)>;

#[derive(Default)]
struct Faults {
    /// So many bytes fit in all.
    room: AtomicU64,
    broken: AtomicBool,
    /// So many syncs fail from now on.
    bad_syncs: AtomicUsize,
    syncs: AtomicUsize,
    /// Ranges that were written and not synced, by file: offset and length.
    unsynced: Mutex<Vec<(u64, Ranges)>>,
}

impl Failing {
    pub(crate) fn with_room(bytes: u64) -> Self {
        let disk = Self::default();
        disk.0.room.store(bytes, Ordering::SeqCst);
        disk
    }

    /// Whether every write fails, as on a disk that is broken or was remounted read-only.
    pub(crate) fn set_broken(&self, broken: bool) {
        self.0.broken.store(broken, Ordering::SeqCst);
    }

    /// So many bytes fit into a file from now on.
    pub(crate) fn set_room(&self, bytes: u64) {
        self.0.room.store(bytes, Ordering::SeqCst);
    }

    fn unsynced(&self, file: &File) -> io::Result<Ranges> {
        use std::os::unix::fs::MetadataExt;
        let inode = file.metadata()?.ino();
        let mut all = self.0.unsynced.lock();
        let at = all.iter().position(|(which, _)| *which == inode);
        Ok(at.map(|at| all.swap_remove(at).1).unwrap_or_default())
    }
}

impl Disk for Failing {
    fn create(&self, path: &Path) -> io::Result<File> {
        if self.0.broken.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        real().create(path)
    }

    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        use std::os::unix::fs::MetadataExt;
        if self.0.broken.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        let end = offset + bytes.len() as u64;
        let room = self.0.room.load(Ordering::SeqCst);
        if end > room {
            // A full disk takes the first part.
            let fits = bytes.len().min(room.saturating_sub(offset) as usize);
            real().write(file, &bytes[..fits], offset)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        let inode = file.metadata()?.ino();
        let mut written = self.unsynced(file)?;
        written.push((offset, bytes.len() as u64));
        self.0.unsynced.lock().push((inode, written));
        real().write(file, bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.0.syncs.fetch_add(1, Ordering::SeqCst);
        let written = self.unsynced(file)?;
        let left = self.0.bad_syncs.load(Ordering::SeqCst);
        if left > 0 {
            self.0.bad_syncs.store(left - 1, Ordering::SeqCst);
            for (offset, len) in written {
                real().write(file, &vec![0; len as usize], offset)?;
            }
            return Err(io::Error::from_raw_os_error(5));
        }
        real().sync(file)
    }

    fn write_ahead(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write(file, bytes, offset)
    }

    fn cut(&self, file: &File, len: u64) -> io::Result<()> {
        real().cut(file, len)
    }
}

fn create(disk: &Failing, dir: &Path) -> Stage {
    Stage::create_on(Box::new(disk.clone()), dir, &key(), [1; 16], &[]).unwrap()
}

fn batch(at: usize) -> Vec<u8> {
    let mut bytes = vec![at as u8; 1000];
    bytes[..8].copy_from_slice(&(at as u64).to_le_bytes());
    bytes
}

fn all(range: std::ops::Range<usize>) -> Vec<OwnedFrame> {
    range.map(|at| OwnedFrame::Batch(batch(at))).collect()
}

#[test]
fn a_full_disk_is_an_error_until_there_is_room() {
    let dir = folder();
    let disk = Failing::with_room(20_000);
    let stage = create(&disk, dir.path());
    let mut synced = 0;
    for at in 0..40 {
        let position = stage.append(Frame::Batch(&batch(at)));
        match stage.sync(position) {
            Ok(()) => {
                assert_eq!(synced, at, "durable out of order");
                synced = at + 1;
                assert!(stage.failure().is_none());
            }
            Err(error) => {
                assert!(matches!(error, Error::Full(_)), "{error:?}");
                assert!(matches!(stage.failure(), Some(Error::Full(_))));
            }
        }
    }
    assert!((10..20).contains(&synced), "{synced}");
    // Confirmed frames stay confirmed; others are refused every time.
    stage.sync(Position(synced as u64 * 1021)).unwrap();
    assert!(stage.sync(stage.end()).is_err());
    // A crash now: exactly the confirmed ones, and perhaps more of the right ones.
    let copy = folder();
    for name in segment::list(dir.path()).unwrap() {
        fs::copy(&name.path, copy.path().join(name.path.file_name().unwrap())).unwrap();
    }
    let found = frames(reopen(copy.path()).1);
    assert!(found.len() >= synced && found == all(0..found.len()));
    // Space is freed.
    disk.0.room.store(u64::MAX, Ordering::SeqCst);
    stage.sync(stage.end()).unwrap();
    assert!(stage.failure().is_none());
    drop(stage);
    assert_eq!(frames(reopen(dir.path()).1), all(0..40));
}

#[test]
fn a_failed_sync_is_never_followed_by_a_false_success() {
    for failures in 1..6 {
        let dir = folder();
        let disk = Failing::with_room(u64::MAX);
        let stage = create(&disk, dir.path());
        stage.append(Frame::Batch(&batch(0)));
        stage.sync(stage.end()).unwrap();
        stage.append(Frame::Batch(&batch(1)));
        disk.0.bad_syncs.store(failures, Ordering::SeqCst);
        for at in 0..failures {
            let error = stage.sync(stage.end()).unwrap_err();
            assert!(matches!(error, Error::State(_)), "{error:?}");
            stage.append(Frame::Batch(&batch(2 + at)));
        }
        stage.sync(stage.end()).unwrap();
        let bytes = stage.bytes();
        drop(stage);
        let (stage, events) = reopen(dir.path());
        assert_eq!(frames(events), all(0..2 + failures));
        assert_eq!((stage.bytes(), stage.damage()), (bytes, None));
    }
}

#[test]
fn a_failed_sync_in_a_rotation_keeps_the_numbers() {
    let dir = folder();
    let disk = Failing::with_room(u64::MAX);
    let stage = create(&disk, dir.path());
    stage.append(Frame::Batch(&batch(0)));
    stage.sync(stage.end()).unwrap();
    stage.append(Frame::Batch(&batch(1)));
    disk.0.bad_syncs.store(1, Ordering::SeqCst);
    assert!(stage.rotate(b"lost").is_err());
    // The cut was made in memory; later frames belong to the next segment all the same.
    stage.append(Frame::Batch(&batch(2)));
    stage.complete(0).unwrap();
    assert_eq!(stage.rotate(b"x").unwrap(), 1);
    stage.append(Frame::Batch(&batch(3)));
    stage.sync(stage.end()).unwrap();
    stage.forget(0).unwrap();
    drop(stage);
    assert_eq!(frames(reopen(dir.path()).1), all(2..4));
}

#[test]
fn one_sync_serves_many() {
    let dir = folder();
    let disk = Failing::with_room(u64::MAX);
    let stage = create(&disk, dir.path());
    let ends: Vec<_> = (0..100)
        .map(|at| stage.append(Frame::Batch(&batch(at))))
        .collect();
    let before = disk.0.syncs.load(Ordering::SeqCst);
    std::thread::scope(|scope| {
        for end in &ends {
            scope.spawn(|| stage.sync(*end).unwrap());
        }
    });
    assert_eq!(disk.0.syncs.load(Ordering::SeqCst) - before, 1);
}

/// Random failures under several writers: frames confirmed by `sync` are there, in order.
#[test]
fn nothing_is_lost_under_random_failures() {
    let dir = folder();
    let disk = Failing::with_room(u64::MAX);
    let stage = create(&disk, dir.path());
    let failing = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (stage, disk, failing) = (&stage, &disk, &failing);
            scope.spawn(move || {
                for round in 0..100u64 {
                    let at = stage.append(data(thread, round, &[thread as u8; 500]));
                    if (round * 7 + thread) % 11 == 0 {
                        disk.0.bad_syncs.store(1, Ordering::SeqCst);
                    }
                    if (round * 5 + thread) % 17 == 0 {
                        disk.0.room.store(3000, Ordering::SeqCst);
                    }
                    while stage.sync(at).is_err() {
                        failing.fetch_add(1, Ordering::SeqCst);
                        disk.0.room.store(u64::MAX, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    assert!(failing.load(Ordering::SeqCst) > 10);
    let bytes = stage.bytes();
    drop(stage);
    let (stage, events) = reopen(dir.path());
    assert_eq!((stage.bytes(), stage.damage()), (bytes, None));
    let mut next = [0; 4];
    for frame in frames(events) {
        let OwnedFrame::Data { ino, offset, .. } = frame else {
            panic!("not data");
        };
        assert_eq!(next[ino as usize], offset);
        next[ino as usize] += 1;
    }
    assert_eq!(next, [100; 4]);
}

/// Published frames need not be written any more: a full disk recovers this way.
#[test]
fn what_the_disk_did_not_take_is_passed_over_when_it_is_published() {
    let dir = folder();
    let disk = Failing::with_room(20_000);
    let stage = create(&disk, dir.path());
    for at in 0..10 {
        stage.append(Frame::Batch(&batch(at)));
    }
    stage.sync(stage.end()).unwrap();
    for at in 10..40 {
        stage.append(Frame::Batch(&batch(at)));
    }
    assert!(stage.sync(stage.end()).is_err());
    let closed = stage.cut(b"published").unwrap();
    assert!(stage.complete(closed).is_err());
    let later = stage.append(Frame::Batch(&batch(40)));
    // Twice, as after a publish that failed.
    let closed = stage.cut(b"published again").unwrap();
    let last = stage.append(Frame::Batch(&batch(41)));
    assert!(stage.sync(later).is_err());
    stage.forget(closed).unwrap();
    assert!(stage.failure().is_none());
    stage.sync(last).unwrap();
    let bytes = stage.bytes();
    assert!(bytes < 1100, "{bytes}");
    drop(stage);
    let (stage, events) = reopen(dir.path());
    assert_eq!((stage.bytes(), stage.damage()), (bytes, None));
    assert!(matches!(&events[0], Event::Segment { base, .. } if base == b"published again"));
    assert_eq!(frames(events), all(41..42));
}

/// No two frames are sealed with one key and nonce: those that were passed over may be on the disk in part.
#[test]
fn after_what_was_passed_over_comes_a_file_of_its_own() {
    let dir = folder();
    let disk = Failing::with_room(3_000);
    let stage = create(&disk, dir.path());
    for at in 0..10 {
        stage.append(Frame::Batch(&batch(at)));
    }
    assert!(stage.sync(stage.end()).is_err());
    let before: Vec<_> = segment::list(dir.path()).unwrap();
    let closed = stage.cut(&[]).unwrap();
    assert!(stage.complete(closed).is_err());
    stage.forget(closed).unwrap();
    stage.append(Frame::Batch(&batch(10)));
    stage.sync(stage.end()).unwrap();
    let after: Vec<_> = segment::list(dir.path()).unwrap();
    assert_eq!(after.len(), 1);
    assert!(!before.contains(&after[0]));
}

#[test]
fn a_stage_on_a_full_disk_begins_when_there_is_room() {
    let dir = folder();
    let disk = Failing::with_room(100);
    let stage = create(&disk, dir.path());
    assert!(matches!(stage.failure(), Some(Error::Full(_))));
    stage.append(Frame::Batch(&batch(0)));
    assert!(stage.sync(stage.end()).is_err());
    assert_eq!(segment::list(dir.path()).unwrap(), []);
    disk.set_room(u64::MAX);
    stage.sync(stage.end()).unwrap();
    drop(stage);
    assert_eq!(frames(reopen(dir.path()).1), all(0..1));
}

#[test]
fn what_replaces_another_stage_confirms_nothing_before_that_is_gone() {
    for published in [false, true] {
        let dir = folder();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        let left = begin(&old, &key(), [2; 16], &[]).unwrap();
        left.append(Frame::Batch(b"left"));
        left.sync(left.end()).unwrap();
        drop(left);
        let disk = Failing::with_room(20_000);
        let stage = create(&disk, &new);
        stage.replaces(&old);
        for at in 0..30 {
            stage.append(Frame::Batch(&batch(at)));
        }
        let first = Position(1);
        assert!(stage.sync(stage.end()).is_err());
        assert!(old.is_dir());
        // Some of it is on the disk, but a crash would have the other one read.
        assert!(stage.sync(first).is_err());
        if published {
            let closed = stage.cut(&[]).unwrap();
            assert!(stage.complete(closed).is_err());
            stage.forget(closed).unwrap();
        } else {
            disk.set_room(u64::MAX);
            stage.sync(stage.end()).unwrap();
        }
        assert!(!old.exists());
        stage.sync(first).unwrap();
    }
}

#[test]
fn a_stage_that_refuses_takes_nothing_and_owes_nothing() {
    let dir = folder();
    let place = dir.path().join("stage");
    let why = Error::StateReadOnly("for a test".into());
    let stage = Stage::refusing(&place, &key(), why, &Arc::new(Reserve::none()));
    assert!(matches!(stage.accept(2), Err(Error::StateReadOnly(_))));
    assert!(stage.failure().is_some());
    let at = stage.append(Frame::Batch(b"merged"));
    stage.sync(at).unwrap();
    stage.sync(stage.end()).unwrap();
    let closed = stage.cut(&[]).unwrap();
    stage.complete(closed).unwrap();
    stage.forget(closed).unwrap();
    assert_eq!(stage.bytes(), 0);
    assert!(!place.exists());
}
