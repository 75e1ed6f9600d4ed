//! Files with secrets that others can read: said on standard error, once the command has worked.
//!
//! A command that fails says why in one line, and nothing else.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::failure::one_line;

/// Those seen and not yet said.
static SEEN: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Variables that name files which only others open.
const ELSEWHERE: [&str; 2] = [
    safeos_store::TOKEN_FILE,
    safeos_store_autonomi::WALLET_KEY_FILE,
];

/// Looks at an open file with a secret.
pub fn look(path: &Path, about: &Metadata) {
    if is_exposed(about) {
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.iter().any(|known| known == path) {
            seen.push(path.to_owned());
        }
    }
}

/// The same for a file that another program opens.
pub fn look_at(path: &Path) {
    if let Ok(about) = path.metadata() {
        look(path, &about);
    }
}

/// Says what was seen, and of the files whose names are in the environment.
pub fn say(json: bool) {
    for name in ELSEWHERE {
        if let Some(path) = std::env::var_os(name).filter(|path| !path.is_empty()) {
            look_at(Path::new(&path));
        }
    }
    let seen = std::mem::take(&mut *SEEN.lock().unwrap_or_else(PoisonError::into_inner));
    for path in seen {
        let message = message(&path);
        if json {
            let warning = serde_json::json!({
                "warning": {"code": "file_exposed", "message": message, "path": path}
            });
            eprintln!("{warning}");
        } else {
            eprintln!("safe: warning: {}", one_line(&message));
        }
    }
}

/// Whether others may read or replace it; anything else than a file (a pipe of the shell, say) belongs to its holder.
fn is_exposed(about: &Metadata) -> bool {
    about.is_file() && about.mode() & 0o006 != 0
}

fn message(path: &Path) -> String {
    format!(
        "{} holds a secret and can be read by every user of this computer: `chmod 600 {}`",
        path.display(),
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_others_can_read_is_named_with_what_to_type() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "secret").unwrap();
        for (mode, exposed) in [(0o600, false), (0o640, false), (0o644, true), (0o602, true)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_exposed(&path.metadata().unwrap()), exposed, "{mode:o}");
        }
        assert!(!is_exposed(&folder.path().metadata().unwrap()));
        assert!(message(&path).contains(&format!("chmod 600 {}", path.display())));
    }
}
