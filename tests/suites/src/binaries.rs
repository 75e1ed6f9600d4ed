//! The programs under test: `safe` and `safed` of this very checkout.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::run::run_for;

/// The folder that holds `safe` and `safed`: `SAFEOS_BIN`, or this build's own target folder, where they are
/// built first if anything changed since.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| match std::env::var_os("SAFEOS_BIN") {
        Some(folder) => PathBuf::from(folder),
        None => build(),
    })
}

/// The command `safe`.
pub fn safe() -> PathBuf {
    folder().join("safe")
}

/// Puts `safe` and `safed` into a folder, for users who cannot enter the one they were built in; gives the path of
/// `safe` there.
pub fn copied_to(folder: &Path) -> PathBuf {
    for program in ["safe", "safed"] {
        let (from, to) = (self::folder().join(program), folder.join(program));
        if fs::hard_link(&from, &to).is_err() {
            fs::copy(&from, &to).expect("a copy of a program under test");
        }
    }
    folder.join("safe")
}

/// The target folder of this build.
pub fn target() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    // …/target/debug/deps/test-1234
    let parent = test.ancestors().nth(3);
    parent
        .expect("a test lies in target/PROFILE/deps")
        .to_path_buf()
}

fn build() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let profile = test.ancestors().nth(2).expect("target/PROFILE");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args([
        "build",
        "--quiet",
        "--package",
        "safe",
        "--package",
        "safed",
    ]);
    cargo.arg("--target-dir").arg(target());
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    run_for(&mut cargo, Duration::from_secs(1800)).ok();
    profile.to_path_buf()
}
