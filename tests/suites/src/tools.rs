//! Programs of others that the suites run: pjdfstest and fsx, from the registry, built once into the
//! build cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use parking_lot::Mutex;

use crate::binaries;
use crate::run::{run_for, say};

/// A program of the crate `package` in exactly this version.
///
/// `SAFEOS_TOOLS` names a folder to keep them in; else it is `tools` in the target folder.
pub fn installed(package: &str, version: &str) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock();
    let cache = match std::env::var_os("SAFEOS_TOOLS") {
        Some(folder) => PathBuf::from(folder),
        None => binaries::target().join("tools"),
    };
    let root = cache.join(format!("{package}-{version}"));
    let program = root.join("bin").join(package);
    if program.is_file() {
        return program;
    }
    let libraries = cache.join("lib");
    fs::create_dir_all(&libraries).unwrap();
    let mut cargo = Command::new("cargo");
    cargo
        .args(["install", "--quiet", "--locked", "--version", version])
        .arg("--root")
        .arg(&root)
        .arg("--target-dir")
        .arg(cache.join("build"))
        .arg(package)
        // Not in the checkout: its toolchain file and settings are not meant for other people's programs.
        .current_dir(&cache);
    if link_to_libacl(&libraries) {
        cargo.env("RUSTFLAGS", format!("-L {}", libraries.display()));
    }
    run_for(&mut cargo, Duration::from_secs(1800)).ok();
    assert!(
        program.is_file(),
        "{package} installs no program of that name"
    );
    program
}

/// pjdfstest links with libacl. The library itself is on every Debian, the link that linkers want comes only with
/// the development package: makes one here.
fn link_to_libacl(libraries: &Path) -> bool {
    let link = libraries.join("libacl.so");
    if link.exists() {
        return true;
    }
    let mut folders = vec![
        PathBuf::from("/usr/lib64"),
        PathBuf::from("/usr/lib"),
        PathBuf::from("/lib"),
    ];
    for entry in fs::read_dir("/usr/lib").into_iter().flatten().flatten() {
        folders.push(entry.path());
    }
    let library = folders
        .iter()
        .map(|f| f.join("libacl.so.1"))
        .find(|l| l.exists());
    library.is_some_and(|library| std::os::unix::fs::symlink(library, link).is_ok())
}

/// Whether a program is installed on this machine; if not, says on standard error that `what` is skipped.
pub fn has(program: &str, what: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()));
    if !found {
        say(&format!("SKIPPED: {what} needs the program {program}"));
    }
    found
}
