//! An account, its computers and the files in its home. The crate's own tests have this file too: the module around it
//! says which crate's types these are.

use std::path::Path;
use std::sync::Arc;

use safeos_store::Store;
use tempfile::TempDir;

use super::{Attr, Credentials, Error, FileKind, NewNode, Options, Secret, Volume};

pub fn credentials() -> Credentials {
    safeos_account::remember_derivations();
    Credentials::new("Ana", Secret::new("correct horse battery".into()))
}

/// A computer that keeps its state in this folder.
pub fn options(store: Arc<dyn Store>, state: &Path) -> Options {
    Options::new(store, state, (1000, 1000))
}

/// Makes an empty file.
pub fn make(home: &dyn Volume, name: &str) -> Result<Attr, Error> {
    let node = NewNode::new(FileKind::File, 0o644, (1000, 1000));
    home.create(home.root(), name.as_bytes(), &node)
}

/// The content of a file, and what may be behind its end.
pub fn read(home: &dyn Volume, name: &str) -> Result<Vec<u8>, Error> {
    let attr = home.lookup(home.root(), name.as_bytes())?;
    let mut content = Vec::new();
    home.read(attr.ino, 0, attr.size as usize + 10, &mut content)?;
    Ok(content)
}

/// A folder in memory, where the system has such a place: for tests that are not about the disk.
pub fn memory_folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| TempDir::new().unwrap())
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
