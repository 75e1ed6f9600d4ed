//! Changes that wait on this computer to be published: a session left them in the encrypted stage, because it was told
//! to or because its daemon died. Without its keys the account they belong to is unknown.

use std::fs;
use std::path::Path;

use crate::output::bytes;

/// The folders of a home, in `SAFE_STATE/homes/ID`, that hold what no store has yet.
const HELD: [&str; 3] = ["stage", "stage.old", "packs/pinned"];
/// More is not counted.
const FILES_MAX: usize = 100_000;

/// How many bytes wait in a state folder.
pub fn waiting(state: &Path) -> u64 {
    let mut left = FILES_MAX;
    let mut sum = 0;
    for home in fs::read_dir(state.join("homes"))
        .into_iter()
        .flatten()
        .flatten()
    {
        for held in HELD {
            sum += size(&home.path().join(held), &mut left);
        }
    }
    sum
}

fn size(folder: &Path, left: &mut usize) -> u64 {
    let mut sum = 0;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if *left == 0 {
            break;
        }
        *left -= 1;
        // Not through links.
        if let Ok(metadata) = fs::symlink_metadata(entry.path())
            && metadata.is_file()
        {
            sum += metadata.len();
        }
    }
    sum
}

/// Advice on them, in words.
pub fn advice(state: &Path) -> String {
    match waiting(state) {
        0 => "sign in with `safe login NAME`, or work inside `safe run NAME`".to_owned(),
        count => format!(
            "up to {} that are not published yet wait, encrypted, in {}: `safe login NAME` goes on from them",
            bytes(count),
            state.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_counted() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(waiting(state.path()), 0);
        assert!(advice(state.path()).contains("safe login"));
        let home = state.path().join("homes/0a");
        fs::create_dir_all(home.join("packs/pinned")).unwrap();
        fs::create_dir_all(home.join("stage")).unwrap();
        fs::write(home.join("stage/1"), vec![0; 1000]).unwrap();
        fs::write(home.join("packs/pinned/2"), vec![0; 24]).unwrap();
        fs::write(home.join("packs/cached"), vec![0; 5000]).unwrap();
        assert_eq!(waiting(state.path()), 1024);
        let advice = advice(state.path());
        assert!(
            advice.contains("1.0 KiB") && advice.contains("safe login"),
            "{advice}"
        );
    }
}
