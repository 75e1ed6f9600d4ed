//! Writing a large file past the system's page cache.
//!
//! A chunk that was just stored is seldom read again soon (what it holds is in the caches above), so a
//! copy of it in the page cache costs memory and time for nothing. Where the file system does not take
//! direct writes it goes the ordinary way; the result is the same.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What direct writes are aligned to in the file and in length, and where the disk wants it in memory too.
const ALIGNMENT: usize = 4096;
/// How much goes through the aligned buffer with one call.
const PIECE: usize = 1 << 20;
/// The flag for it, where the system has one.
#[cfg(target_os = "linux")]
const DIRECT: Option<i32> = Some(libc::O_DIRECT);
#[cfg(not(target_os = "linux"))]
const DIRECT: Option<i32> = None;

/// Makes a new file with these bytes. Whether they are on the disk the file's sync says.
pub(super) fn create(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    if let Some(flag) = DIRECT {
        let direct = options.clone().custom_flags(flag).open(path);
        match direct.and_then(|file| write_direct(&file, bytes).map(|()| file)) {
            Ok(file) => return Ok(file),
            // Refused, at the opening or at the first write: the file system knows only the other way.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => remove(path)?,
            Err(error) => return Err(error),
        }
    }
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    Ok(file)
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn write_direct(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    let (whole, tail) = bytes.split_at(bytes.len() - bytes.len() % ALIGNMENT);
    // Most disks take memory as it comes; the others refuse it before they have written anything.
    match file.write_all(whole) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            file.rewind()?;
            write_aligned(file, bytes)?;
        }
        done => done.and_then(|()| write_aligned(file, tail))?,
    }
    file.set_len(bytes.len() as u64)
}

/// Writes from aligned memory, filled up to whole blocks with zeros.
fn write_aligned(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    let mut buffer = vec![0; PIECE.min(bytes.len().next_multiple_of(ALIGNMENT)) + ALIGNMENT];
    let start = buffer.as_ptr().align_offset(ALIGNMENT);
    let room = buffer.get_mut(start..).ok_or(io::ErrorKind::InvalidInput)?;
    for piece in bytes.chunks(PIECE) {
        let padded = piece.len().next_multiple_of(ALIGNMENT);
        room[..piece.len()].copy_from_slice(piece);
        room[piece.len()..padded].fill(0);
        file.write_all(&room[..padded])?;
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
                assert!(
                    create(&path, &bytes).is_err(),
                    "an existing file was overwritten"
                );
                assert!(std::fs::read(&path).unwrap() == bytes);
            }
        }
    }
}
