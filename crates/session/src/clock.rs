//! The time that changes are stamped with.
//!
//! What always holds here: a change never gets an earlier time than a change before it, whichever side stamps it. Times
//! of regular files are the kernel's (it keeps what is written to them back for a while), those of everything else
//! are ours. The kernel's clock goes in ticks, of up to 10 ms; since Linux 6.13 it never shows a time before a
//! finer one that it gave out on some other file system. No clock that programs can read does the same: the fine
//! one is ahead of it, and the coarse one (`CLOCK_REALTIME_COARSE`) falls behind it. So the kernel is made to stamp
//! a file of ours, a pipe that is never read or written, and its time is used. It costs about half a
//! microsecond.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::Nanos;

/// The time now, on the clock by which files are stamped.
pub fn now() -> Nanos {
    stamp().unwrap_or_else(precise)
}

/// The time now as exactly as it is known: for times that are compared with no stamp, such as those of commits.
pub(crate) fn precise() -> Nanos {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_nanos() as Nanos,
        Err(before) => -(before.duration().as_nanos() as Nanos),
    }
}

/// The time that the kernel stamps files with. Two threads may stamp at once: each gets a time between its call and its
/// return.
#[cfg(target_os = "linux")]
fn stamp() -> Option<Nanos> {
    use std::os::fd::OwnedFd;
    use std::sync::OnceLock;

    use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, fstat, futimens};

    static PIPE: OnceLock<OwnedFd> = OnceLock::new();
    let pipe = match PIPE.get() {
        Some(pipe) => pipe,
        None => {
            let (reader, _) = std::io::pipe().ok()?;
            PIPE.get_or_init(|| reader.into())
        }
    };
    let only = |nanoseconds| Timespec {
        tv_sec: 0,
        tv_nsec: nanoseconds,
    };
    let times = Timestamps {
        last_access: only(UTIME_OMIT),
        last_modification: only(UTIME_NOW),
    };
    futimens(pipe, &times).ok()?;
    let stamped = fstat(pipe).ok()?;
    Some(Nanos::from(stamped.st_mtime) * 1_000_000_000 + Nanos::from(stamped.st_mtime_nsec))
}

/// Elsewhere the daemon stamps everything itself.
#[cfg(not(target_os = "linux"))]
fn stamp() -> Option<Nanos> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::MetadataExt;

    use super::*;

    /// On a file system with fine times, as ext4 since Linux 6.13, and on one with coarse ones: both in turn.
    #[test]
    fn our_times_and_the_kernels_are_in_the_order_of_the_changes() {
        let dir = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(dir.path().join("file")).unwrap();
        let (reader, _writer) = std::io::pipe().unwrap();
        let pipe = std::fs::File::from(std::os::fd::OwnedFd::from(reader));
        let touched = |file: &std::fs::File| {
            use rustix::fs::{Timespec, Timestamps, UTIME_NOW, futimens};
            let now = Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_NOW,
            };
            futimens(
                file,
                &Timestamps {
                    last_access: now,
                    last_modification: now,
                },
            )
            .unwrap();
            let about = file.metadata().unwrap();
            Nanos::from(about.mtime()) * 1_000_000_000 + Nanos::from(about.mtime_nsec())
        };
        let mut last = 0;
        for round in 0..3_000 {
            let kernels = touched(if round % 2 == 0 { &file } else { &pipe });
            assert!(last <= kernels, "{last} before {kernels}");
            last = now();
            assert!(kernels <= last, "{kernels} before {last}");
        }
        assert!((precise() - last).abs() < 60_000_000_000);
    }
}
