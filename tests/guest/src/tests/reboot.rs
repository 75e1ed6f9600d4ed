//! From one start of the computer to the next.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::account::ANA;

const HOME: &str = "/scheme/safe/home";
/// The picture of the home before.
const LOOKED: &str = "/var/lib/safe-guest/home-looked";

/// Every path below a folder with kind, permissions, length, time of change and a sum of the content.
fn picture(folder: &Path, into: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let meta = fs::symlink_metadata(&path).expect("what is listed");
        let content = if meta.is_file() {
            sum(&fs::read(&path).expect("a file"))
        } else if meta.is_symlink() {
            sum(fs::read_link(&path)
                .expect("a link")
                .to_string_lossy()
                .as_bytes())
        } else {
            0
        };
        // The folder of many files is its names.
        let many = path.ends_with("a_hundred_thousand_entries");
        let line = format!(
            "{:o} {} {} {}.{:09} {content:016x}",
            meta.mode(),
            meta.nlink(),
            meta.len(),
            meta.mtime(),
            meta.mtime_nsec(),
        );
        into.insert(path.to_string_lossy().into_owned(), line);
        if meta.is_dir() && !many {
            picture(&path, into);
        }
    }
}

/// FNV-1a, 64 bits.
fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn look() -> String {
    let mut found = BTreeMap::new();
    picture(Path::new(HOME), &mut found);
    assert!(found.len() > 20, "the home is nearly empty: {found:?}");
    found
        .iter()
        .map(|(path, line)| format!("{line} {path}\n"))
        .collect()
}

/// Notes what is there and signs out.
pub fn the_home_is_left_for_the_next_start() {
    fs::write(LOOKED, look()).expect(LOOKED);
    ANA.sign_out();
}

/// The same, byte for byte, after the computer was off.
pub fn the_home_is_there_again() {
    assert!(
        fs::read_dir(HOME).is_err(),
        "the home is there before anybody signed in"
    );
    ANA.sign_in();
    let (before, now) = (fs::read_to_string(LOOKED).expect(LOOKED), look());
    for (before, now) in before.lines().zip(now.lines()) {
        assert_eq!(before, now);
    }
    assert_eq!(before.lines().count(), now.lines().count());
}

/// Every record of the store is whole.
pub fn the_store_checks_clean() {
    ANA.safe(&["store", "check"]);
    let snapshots = ANA.safe(&["log", "--json"]);
    assert!(snapshots.contains("snapshot"), "{snapshots}");
    ANA.sign_out();
}
