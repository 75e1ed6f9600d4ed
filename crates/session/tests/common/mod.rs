//! Shared parts of the session tests: an account, its computers, and the files after a crash.

// Each test is a program of its own and uses some of it.
#![allow(dead_code)]

mod homes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safeos_session::{Attr, Credentials, Error, FileKind, NewNode, Options, Secret, Volume};
use tempfile::TempDir;

pub use homes::*;

/// Bytes that do not compress, the same for the same seed.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

/// The state folder after a crash: as it is now.
pub fn after_crash(state: &TempDir) -> TempDir {
    let after = TempDir::new().unwrap();
    copy(state.path(), after.path());
    after
}

/// The files in a folder that may be written to, once they have settled.
pub fn at_rest(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = read_all(dir);
    let mut tries = 0;
    loop {
        let again = read_all(dir);
        if again == files {
            return files;
        }
        files = again;
        tries += 1;
        assert!(tries < 100, "the folder does not come to rest");
    }
}

fn read_all(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(dir: &Path, root: &Path, out: &mut BTreeMap<PathBuf, Vec<u8>>) {
        let Ok(entries) = std::fs::read_dir(dir) else {
            return;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                walk(&path, root, out);
            } else if let Ok(bytes) = std::fs::read(&path) {
                out.insert(path.strip_prefix(root).unwrap().to_owned(), bytes);
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(dir, dir, &mut out);
    out
}

/// Puts files back that [`at_rest`] has read.
pub fn put_files(dir: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) {
    for (path, bytes) in files {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}
