//! What the tests of sessions share: an account, its computers, and what a crash leaves.

// Each test is a program of its own and uses some of it.
#![allow(dead_code)]

use std::path::Path;
use std::sync::Arc;

use safeos_session::{Credentials, Limits, Options, Secret};
use safeos_store::Store;
use tempfile::TempDir;

pub fn credentials() -> Credentials {
    Credentials {
        name: "Ana".into(),
        password: Secret::new("correct horse battery".into()),
        secret_key: None,
    }
}

/// A computer that keeps its state in this folder.
pub fn options(store: Arc<dyn Store>, state: &Path) -> Options {
    Options {
        store,
        state: state.to_owned(),
        owner: (1000, 1000),
        remember: false,
        accept_older: false,
        wallet: None,
        limits: Limits::default(),
    }
}

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

pub fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// What a crash leaves: the folder as it is now.
pub fn after_crash(state: &TempDir) -> TempDir {
    let after = TempDir::new().unwrap();
    copy(state.path(), after.path());
    after
}
