//! The one-writer rule of a `file:` store: a lease that one process at a time holds on its engine.
//!
//! What always holds here: while a [`Lease`] lives, no other one on the same folder does. A process
//! that dies loses its lease. The holder sees a waiting process ([`Lease::wanted`]), which gets the
//! lease before the holder can have it again.
//!
//! Where the system has file locks, two lock files make the lease: `lease.turn` is held by the one
//! that waits, `lease.lock` by the one that has it. Redox has none (`flock` does nothing there, and
//! `fcntl` excludes per file system, not per file). There the file `lease.held` is the lease:
//! made so that only one can make it, rewritten every second by its holder, and taken over by a process
//! that sees it unchanged for [`STALE`]; `lease.wanted` says that a process waits. The weak point of that
//! rule is a holder that slept for longer than [`STALE`] in the middle of a commit; on Redox one
//! daemon serves a store, and other programs open it only while that one is down.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use safeos_record::random_bytes;

/// An unchanged `lease.held` has expired after this long.
const STALE: Duration = Duration::from_secs(10);
/// How often the holder rewrites `lease.held`.
const RENEWAL: Duration = Duration::from_secs(1);

const POLL_MIN: Duration = Duration::from_micros(100);
const POLL_MAX: Duration = Duration::from_millis(4);

/// The right to open the engine.
pub(super) enum Lease {
    /// By the system's locks.
    Locks {
        /// Held until dropped.
        lock: File,
        /// Where those that wait queue.
        turn: File,
    },
    /// By files, where there are no locks.
    Marker(Marker),
}

/// See the module.
pub(super) struct Marker {
    folder: PathBuf,
    token: [u8; 16],
    renewed: Mutex<(Instant, u64)>,
}

impl Lease {
    /// Waits for the lease; `None` when `timeout` passes.
    pub(super) fn acquire(folder: &Path, timeout: Duration) -> io::Result<Option<Self>> {
        let until = Instant::now() + timeout;
        let turn = open(&folder.join("lease.turn"))?;
        match turn.try_lock() {
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                return Ok(Marker::acquire(folder, until)?.map(Self::Marker));
            }
            Ok(()) => {}
            Err(_) => {
                if !lock_until(&turn, until)? {
                    return Ok(None);
                }
            }
        }
        let lock = open(&folder.join("lease.lock"))?;
        if !lock_until(&lock, until)? {
            return Ok(None);
        }
        turn.unlock()?;
        Ok(Some(Self::Locks { lock, turn }))
    }

    /// Whether another process waits for it.
    pub(super) fn wanted(&self) -> bool {
        match self {
            Self::Locks { turn, .. } => match turn.try_lock() {
                Ok(()) => {
                    // An unlock that fails is made good when the file is closed.
                    turn.unlock().is_err()
                }
                Err(_) => true,
            },
            Self::Marker(marker) => marker.folder.join("lease.wanted").exists(),
        }
    }

    /// To be called every now and then while it is held; an error when it was lost.
    pub(super) fn renew(&self) -> io::Result<()> {
        match self {
            Self::Locks { .. } => Ok(()),
            Self::Marker(marker) => marker.renew(),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        match self {
            // Closing the file releases it too; this only makes it plain.
            Self::Locks { lock, .. } => drop(lock.unlock()),
            Self::Marker(marker) => marker.release(),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

/// Waiting by trying: the systems' blocking locks know no time limit.
fn lock_until(file: &File, until: Instant) -> io::Result<bool> {
    let mut pause = POLL_MIN;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        if Instant::now() >= until {
            return Ok(false);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(POLL_MAX);
    }
}

impl Marker {
    fn acquire(folder: &Path, until: Instant) -> io::Result<Option<Self>> {
        let mut token = [0; 16];
        random_bytes(&mut token).map_err(io::Error::other)?;
        let held = folder.join("lease.held");
        let mut seen: Option<(Vec<u8>, Instant)> = None;
        loop {
            let fresh = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&held);
            match fresh {
                Ok(mut file) => {
                    file.write_all(&content(&token, 0))?;
                    remove(&folder.join("lease.wanted"))?;
                    return Ok(Some(Self {
                        folder: folder.to_owned(),
                        token,
                        renewed: Mutex::new((Instant::now(), 0)),
                    }));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            let now = fs::read(&held).unwrap_or_default();
            match &seen {
                Some((before, since)) if *before == now => {
                    if since.elapsed() >= STALE {
                        take_away(folder, &held, before, &token)?;
                        seen = None;
                        continue;
                    }
                }
                _ => seen = Some((now, Instant::now())),
            }
            open(&folder.join("lease.wanted"))?;
            if Instant::now() >= until {
                return Ok(None);
            }
            std::thread::sleep(POLL_MAX);
        }
    }

    fn renew(&self) -> io::Result<()> {
        let mut renewed = self.renewed.lock();
        if renewed.0.elapsed() < RENEWAL {
            return Ok(());
        }
        let held = self.folder.join("lease.held");
        if fs::read(&held)? != content(&self.token, renewed.1) {
            return Err(io::Error::other("another program has taken the store over"));
        }
        let next = renewed.1 + 1;
        OpenOptions::new()
            .write(true)
            .open(&held)?
            .write_all(&content(&self.token, next))?;
        *renewed = (Instant::now(), next);
        Ok(())
    }

    fn release(&self) {
        let held = self.folder.join("lease.held");
        let waited_for = self.folder.join("lease.wanted").exists();
        if fs::read(&held).is_ok_and(|now| now.starts_with(&self.token)) {
            // A file that stays behind is taken over after `STALE`.
            drop(remove(&held));
        }
        if waited_for {
            // Those that wait look every `POLL_MAX`; let them be first.
            std::thread::sleep(POLL_MAX * 2);
        }
    }
}

/// Moves an expired lease out of the way, unless it is another one by now.
fn take_away(folder: &Path, held: &Path, before: &[u8], token: &[u8; 16]) -> io::Result<()> {
    let name: String = token.iter().map(|byte| format!("{byte:02x}")).collect();
    let aside = folder.join(format!("lease.stale.{name}"));
    match fs::rename(held, &aside) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    if fs::read(&aside)? != before {
        // Another one was quicker and this is its lease: back with it.
        return fs::rename(&aside, held);
    }
    remove(&aside)
}

fn content(token: &[u8; 16], renewals: u64) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..16].copy_from_slice(token);
    bytes[16..].copy_from_slice(&renewals.to_be_bytes());
    bytes
}

/// On Redox a removal goes by way of the namespace manager, which older systems have wait for the very request that
/// waits for the lease; a renaming goes to the file system at once. So one file is left there, under another name.
fn remove(path: &Path) -> io::Result<()> {
    let removed = if cfg!(target_os = "redox") {
        fs::rename(path, path.with_file_name("lease.gone"))
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SOON: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(60);

    fn marker(folder: &Path, timeout: Duration) -> Option<Lease> {
        let until = Instant::now() + timeout;
        Marker::acquire(folder, until).unwrap().map(Lease::Marker)
    }

    fn locks(folder: &Path, timeout: Duration) -> Option<Lease> {
        Lease::acquire(folder, timeout).unwrap()
    }

    #[test]
    fn one_at_a_time_and_who_waits_is_seen() {
        for acquire in [locks, marker] {
            let folder = tempfile::tempdir().unwrap();
            let first = acquire(folder.path(), SOON).unwrap();
            assert!(!first.wanted());
            std::thread::scope(|scope| {
                let second = scope.spawn(|| acquire(folder.path(), LONG).unwrap());
                let until = Instant::now() + LONG;
                while !first.wanted() && Instant::now() < until {
                    std::thread::sleep(Duration::from_millis(1));
                }
                assert!(first.wanted());
                first.renew().unwrap();
                drop(first);
                let second = second.join().unwrap();
                assert!(!second.wanted());
                assert!(acquire(folder.path(), SOON).is_none());
                drop(second);
            });
            assert!(acquire(folder.path(), SOON).is_some());
        }
    }

    #[test]
    fn a_marker_that_nobody_renews_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let dead = marker(folder.path(), SOON).unwrap();
        std::thread::scope(|scope| {
            let next = scope.spawn(|| marker(folder.path(), STALE * 3));
            assert!(next.join().unwrap().is_some());
        });
        // The one that was thought dead finds out before it writes, and leaves the new one alone.
        let Lease::Marker(held) = &dead else {
            unreachable!("made by `marker`")
        };
        held.renewed.lock().0 -= RENEWAL;
        assert!(dead.renew().is_err());
    }

    #[test]
    fn a_marker_that_is_renewed_stays() {
        let folder = tempfile::tempdir().unwrap();
        let held = marker(folder.path(), SOON).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| marker(folder.path(), STALE + Duration::from_secs(2)));
            while !waiting.is_finished() {
                held.renew().unwrap();
                std::thread::sleep(Duration::from_millis(200));
            }
            assert!(waiting.join().unwrap().is_none());
        });
    }

    #[test]
    fn a_takeover_that_comes_too_late_puts_the_new_lease_back() {
        let folder = tempfile::tempdir().unwrap();
        let held = folder.path().join("lease.held");
        fs::write(&held, "new").unwrap();
        take_away(folder.path(), &held, b"old", &[1; 16]).unwrap();
        assert_eq!(fs::read(&held).unwrap(), b"new");
        take_away(folder.path(), &held, b"new", &[1; 16]).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        take_away(folder.path(), &held, b"new", &[1; 16]).unwrap();
    }
}
