//! Writing and reading past the system's page cache.
//!
//! A chunk that was just stored is seldom read again soon (what it holds is in the caches above), so a
//! copy of it in the page cache costs memory and time for nothing; so does one of a few bytes at a random
//! place. Where the file system does not take direct writes it goes the ordinary way; the result is the same.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use bytes::Bytes;
use rustix::fs::OFlags;

/// The alignment of direct writes in the file and in length, and in memory where the disk wants it.
const ALIGNMENT: usize = 4096;
/// How much goes through the aligned buffer with one call.
const PIECE: usize = 1 << 20;
/// A pipe may be in a chunk's place: opening it would wait for ever.
pub(super) const NOT_WAITING: i32 = OFlags::NONBLOCK.bits().cast_signed();
/// The flag for it, where the system has one.
#[cfg(target_os = "linux")]
const DIRECT: Option<i32> = Some(OFlags::DIRECT.bits().cast_signed());
#[cfg(not(target_os = "linux"))]
const DIRECT: Option<i32> = None;

/// Makes a new file with these bytes. Whether they are on the disk the file's sync says.
pub(super) fn create(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    if let Some(flag) = DIRECT {
        let (whole, tail) = bytes.split_at(bytes.len() - bytes.len() % ALIGNMENT);
        let direct = options.clone().custom_flags(flag).open(path);
        match direct.and_then(|mut file| write_direct(&mut file, whole).map(|()| file)) {
            Ok(file) if tail.is_empty() => return Ok(file),
            Ok(_) => {
                // The rest goes the ordinary way. Filled up to a whole block and cut off again it would cost the
                // disk a read and two writes.
                let file = OpenOptions::new().write(true).open(path)?;
                file.write_all_at(tail, whole.len() as u64)?;
                return Ok(file);
            }
            // Refused, at the opening or at the first write: the file system knows only the other way.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => remove(path)?,
            Err(error) => return Err(error),
        }
    }
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    Ok(file)
}

/// Opens a file for [`read`]. An error where there is no such way.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flag = DIRECT.ok_or(io::ErrorKind::Unsupported)?;
    OpenOptions::new()
        .read(true)
        .custom_flags(flag | NOT_WAITING)
        .open(path)
}

/// Reads a part of a file that was opened for it.
pub(super) fn read(file: &File, offset: u32, len: u32) -> io::Result<Bytes> {
    let (offset, len) = (offset as usize, len as usize);
    let start = offset - offset % ALIGNMENT;
    let window = (offset + len).next_multiple_of(ALIGNMENT) - start;
    let mut memory: Vec<u8> = Vec::with_capacity(window + ALIGNMENT);
    let memory = memory.spare_capacity_mut();
    let lead = memory.as_ptr().align_offset(ALIGNMENT);
    let room = memory
        .get_mut(lead..)
        .and_then(|memory| memory.get_mut(..window))
        .ok_or(io::ErrorKind::InvalidInput)?;
    let (read, _) = rustix::io::pread(file, room, start as u64)?;
    read.get(offset - start..offset - start + len)
        .map(Bytes::copy_from_slice)
        .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Writes whole blocks.
fn write_direct(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    // Most disks take memory as it comes; the others refuse it before they have written anything.
    match file.write_all(bytes) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            file.rewind()?;
            write_aligned(file, bytes)
        }
        done => done,
    }
}

/// Writes whole blocks from aligned memory.
fn write_aligned(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    let mut buffer = vec![0; PIECE.min(bytes.len()) + ALIGNMENT];
    let start = buffer.as_ptr().align_offset(ALIGNMENT);
    let room = buffer.get_mut(start..).ok_or(io::ErrorKind::InvalidInput)?;
    for piece in bytes.chunks(PIECE) {
        room[..piece.len()].copy_from_slice(piece);
        file.write_all(&room[..piece.len()])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_there_whatever_its_length() {
        // On a disk, as far as the temporary folder is on one, and in memory.
        for folder in [std::env::temp_dir(), "/dev/shm".into()] {
            let Ok(dir) = tempfile::tempdir_in(folder) else {
                continue;
            };
            for len in [
                0,
                1,
                ALIGNMENT - 1,
                ALIGNMENT,
                PIECE,
                PIECE + 1,
                4 * PIECE - 3,
            ] {
                let bytes: Vec<u8> = (0..len).map(|place| (place * 7 % 251) as u8).collect();
                let path = dir.path().join(len.to_string());
                create(&path, &bytes).unwrap();
                assert!(std::fs::read(&path).unwrap() == bytes, "{len} bytes");
                if let Ok(file) = open(&path) {
                    for (start, end) in [(0, len), (len / 3, len / 2), (len.min(4095), len)] {
                        let part = read(&file, start as u32, (end - start) as u32).unwrap();
                        assert!(part == bytes[start..end], "{start}..{end} of {len}");
                    }
                    assert!(read(&file, len as u32, 1).is_err());
                }
                assert!(
                    create(&path, &bytes).is_err(),
                    "an existing file was overwritten"
                );
                assert!(std::fs::read(&path).unwrap() == bytes);
            }
        }
    }
}
