//! Attributes, times and errors in the kernel's terms.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{Errno, FileAttr, FileType, INodeNo, RenameFlags, TimeOrNow};
use safeos_session::{Attr, Error, FileKind, Nanos, RenameMode};

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// The best size of a caller's buffers; the page size, as local file systems say.
const BLOCK_SIZE: u32 = 4096;

/// The error number of a session's error.
pub fn errno(error: &Error) -> Errno {
    Errno::from_i32(error.errno())
}

/// The kind of a file.
pub fn kind(kind: FileKind) -> FileType {
    match kind {
        FileKind::File => FileType::RegularFile,
        FileKind::Directory => FileType::Directory,
        FileKind::Symlink => FileType::Symlink,
        FileKind::Fifo => FileType::NamedPipe,
        FileKind::Socket => FileType::Socket,
        FileKind::CharDevice => FileType::CharDevice,
        FileKind::BlockDevice => FileType::BlockDevice,
    }
}

/// The kind in the type bits of a mode.
pub fn kind_of_mode(mode: u32) -> Option<FileKind> {
    match mode & libc::S_IFMT {
        0 | libc::S_IFREG => Some(FileKind::File),
        libc::S_IFIFO => Some(FileKind::Fifo),
        libc::S_IFSOCK => Some(FileKind::Socket),
        libc::S_IFCHR => Some(FileKind::CharDevice),
        libc::S_IFBLK => Some(FileKind::BlockDevice),
        _ => None,
    }
}

/// The mode that the flags of `renameat2` ask for.
pub fn rename_mode(flags: RenameFlags) -> Result<RenameMode, Errno> {
    let keep = flags.contains(RenameFlags::RENAME_NOREPLACE);
    match flags - RenameFlags::RENAME_NOREPLACE {
        rest if rest == RenameFlags::RENAME_WHITEOUT => Ok(RenameMode::Whiteout { replace: !keep }),
        rest if rest == RenameFlags::RENAME_EXCHANGE && !keep => Ok(RenameMode::Exchange),
        rest if !rest.is_empty() => Err(Errno::EINVAL),
        _ if keep => Ok(RenameMode::NoReplace),
        _ => Ok(RenameMode::Replace),
    }
}

/// Attributes under the id the kernel knows the node by.
pub fn attr(id: u64, attr: &Attr) -> FileAttr {
    FileAttr {
        ino: INodeNo(id),
        size: attr.size,
        blocks: attr.blocks,
        atime: system_time(attr.atime),
        mtime: system_time(attr.mtime),
        ctime: system_time(attr.ctime),
        crtime: system_time(attr.btime),
        kind: kind(attr.kind),
        perm: attr.perm,
        nlink: attr.nlink,
        uid: attr.uid,
        gid: attr.gid,
        rdev: attr.rdev,
        blksize: BLOCK_SIZE,
        flags: 0,
    }
}

fn system_time(nanos: Nanos) -> SystemTime {
    let seconds = nanos
        .div_euclid(NANOS_PER_SECOND)
        .clamp(i64::MIN.into(), i64::MAX.into()) as i64;
    let part = Duration::from_nanos(nanos.rem_euclid(NANOS_PER_SECOND) as u64);
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let base = if seconds < 0 {
        UNIX_EPOCH.checked_sub(whole)
    } else {
        UNIX_EPOCH.checked_add(whole)
    };
    base.and_then(|base| base.checked_add(part))
        .unwrap_or(UNIX_EPOCH)
}

/// A time out of a request. The protocol has whole seconds, negative before 1970, and nanoseconds
/// that always count forwards; `fuser` counts them backwards before 1970, which is undone here.
pub fn nanos(time: SystemTime) -> Nanos {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_nanos() as Nanos,
        Err(before) => {
            let before = before.duration();
            Nanos::from(before.subsec_nanos()) - Nanos::from(before.as_secs()) * NANOS_PER_SECOND
        }
    }
}

/// A time out of `utimens`.
pub fn time_or_now(time: TimeOrNow) -> Nanos {
    match time {
        TimeOrNow::SpecificTime(time) => nanos(time),
        TimeOrNow::Now => safeos_session::now(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_count_their_nanoseconds_forwards() {
        // The time that fuser makes of (-2 s, 800_000_000 ns).
        let decoded = UNIX_EPOCH - Duration::new(2, 800_000_000);
        assert_eq!(nanos(decoded), -1_200_000_000);
        assert_eq!(
            system_time(-1_200_000_000),
            UNIX_EPOCH - Duration::new(1, 200_000_000)
        );
    }

    #[test]
    fn flags_of_a_rename_that_contradict_each_other_are_refused() {
        use RenameFlags as F;
        let known = [
            (F::empty(), RenameMode::Replace),
            (F::RENAME_NOREPLACE, RenameMode::NoReplace),
            (F::RENAME_EXCHANGE, RenameMode::Exchange),
            (F::RENAME_WHITEOUT, RenameMode::Whiteout { replace: true }),
            (
                F::RENAME_WHITEOUT | F::RENAME_NOREPLACE,
                RenameMode::Whiteout { replace: false },
            ),
        ];
        for bits in 0..16 {
            let flags = F::from_bits_retain(bits);
            let expected = known.iter().find(|(known, _)| *known == flags);
            let mode = rename_mode(flags).ok();
            assert_eq!(mode, expected.map(|(_, mode)| *mode), "{bits:#b}");
        }
    }

    #[test]
    fn times_out_of_range_are_clamped() {
        for nanos in [i128::MIN, i128::MAX, i128::from(i64::MIN) * 1_000_000_000] {
            system_time(nanos);
        }
    }
}
