//! The settings that last between two starts of this computer: the remembered accounts, and the looks.
//!
//! What always holds here: nothing secret is in it. A file that is missing, damaged or of another version
//! is no file: the screen works without.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use safeos_store::disk::replace;
use serde::{Deserialize, Serialize};

/// The largest file that is read.
const BYTES_MAX: u64 = 256 * 1024;

/// Accounts kept at most.
pub const REMEMBERED_MAX: usize = 100;

/// An account that this computer was told to remember.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Remembered {
    /// Its name.
    pub name: String,
    /// Its store; the computer's own when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// The language that its owner chose, by its code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

/// The accessibility switches.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Access {
    /// High contrast.
    pub contrast: bool,
    /// Large text.
    pub large: bool,
    /// Nothing moves.
    pub calm: bool,
    /// A keyboard stands on the screen.
    pub keyboard: bool,
}

/// The settings.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The remembered accounts, the last used first.
    pub accounts: Vec<Remembered>,
    /// Light instead of dark.
    pub light: bool,
    /// The keyboard layout's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keymap: Option<String>,
    /// The language that was chosen on this computer, by its code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The accessibility switches.
    pub access: Access,
}

impl Settings {
    /// Reads them.
    pub fn load(path: &Path) -> Self {
        let small = fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() <= BYTES_MAX);
        let mut settings: Self = small
            .then(|| fs::read(path).ok())
            .flatten()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        settings.accounts.truncate(REMEMBERED_MAX);
        settings
    }

    /// Writes them beside the old ones, then in their place.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        replace(path, &serde_json::to_vec(self)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_come_back_and_damage_is_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/login.json");
        assert_eq!(Settings::load(&path), Settings::default());
        let settings = Settings {
            accounts: vec![Remembered {
                name: "ana".to_owned(),
                store: Some("https://x".to_owned()),
                language: Some("he".to_owned()),
            }],
            light: true,
            keymap: Some("de".to_owned()),
            language: Some("fr".to_owned()),
            access: Access {
                contrast: true,
                ..Access::default()
            },
        };
        settings.save(&path).unwrap();
        settings.save(&path).unwrap();
        assert_eq!(Settings::load(&path), settings);
        for damaged in [&b"{"[..], b"[]", b"\xff", b"{\"accounts\": 3}"] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(Settings::load(&path), Settings::default());
        }
        fs::write(&path, br#"{"later": 1, "light": true}"#).unwrap();
        assert!(Settings::load(&path).light);
    }
}
