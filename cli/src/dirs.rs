//! Where things are on this computer: the state folder, the default store, and the open sessions.
//!
//! An open session is noted in `SAFE_STATE/mounts/` by one small file with the mount point and the
//! daemon's process id, never the account's name. Notes that nothing answers to are swept away, and their mounts
//! with them.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf, absolute};

use safeos_control::{Client, ClientError};
use safeos_record::Address;
pub use safeos_store::whose::private_dir;
use safeos_telemetry::log;
use serde::{Deserialize, Serialize};

use crate::daemon;
use crate::dead_mount::clear_dead;
use crate::failure::{Failure, Result};
use crate::waiting;

/// The mount point of the session a program runs in.
pub const MOUNT: &str = "SAFE_MOUNT";
/// The folder for local state.
pub const STATE: &str = "SAFE_STATE";
/// The default store.
pub const STORE: &str = "SAFE_STORE";

/// The error of a session whose daemon is gone.
pub const LOST: &str = "daemon_gone";
/// How the names of files end that are only locked.
const LOCK: &str = "lock";

/// The places of one run of `safe`.
#[derive(Debug, Clone)]
pub struct Dirs {
    /// The folder for local state.
    pub state: PathBuf,
    /// The store used when none is named.
    pub store: String,
    /// Whether SAFE_STORE named it.
    pub store_named: bool,
    /// The mount point named by `--mount`.
    pub mount: Option<PathBuf>,
    /// The file named by `--log`.
    pub log: Option<PathBuf>,
}

/// A session that `safe login` opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// The daemon's process id.
    pub pid: i32,
}

impl Dirs {
    /// From the environment and `--mount`.
    pub fn new(mount: Option<PathBuf>) -> Result<Self> {
        let dirs = Self::from(|name| env::var_os(name).filter(|v| !v.is_empty()), mount)?;
        // Notes of sessions, mount points and remembered accounts lie there.
        safeos_store::whose::check(&dirs.state).map_err(|stranger| {
            Failure::new(
                "not_yours",
                format!("the state folder cannot be trusted: {stranger} with {STATE}"),
            )
        })?;
        Ok(dirs)
    }

    fn from(
        variable: impl Fn(&str) -> Option<std::ffi::OsString>,
        mount: Option<PathBuf>,
    ) -> Result<Self> {
        let folder = |own: &str, xdg: &str, below: &str, rest: &str| -> Result<PathBuf> {
            let found = match (variable(own), variable(xdg), variable("HOME")) {
                (Some(path), _, _) => PathBuf::from(path),
                (None, Some(path), _) if Path::new(&path).is_absolute() => {
                    Path::new(&path).join(rest)
                }
                (None, _, Some(home)) => Path::new(&home).join(below).join(rest),
                (None, _, None) => {
                    return Err(Failure::usage(format!(
                        "no folder is known for SafeOS's own files: set {own} or HOME"
                    )));
                }
            };
            absolute(&found).map_err(|e| Failure::system(format!("{}", found.display()), &e))
        };
        let state = folder(STATE, "XDG_STATE_HOME", ".local/state", "safeos")?;
        let named = variable(STORE);
        let store_named = named.is_some();
        let store = match named {
            Some(url) => url.into_string().map_err(|_| {
                Failure::usage(format!("{STORE} is not UTF-8 text: set it to a store URL"))
            })?,
            None => {
                let data = folder("", "XDG_DATA_HOME", ".local/share", "safeos/store")?;
                let data = data.to_str().ok_or_else(|| {
                    Failure::usage(format!(
                        "the path of the default store is not UTF-8 text: set {STORE}"
                    ))
                })?;
                format!("file://{data}")
            }
        };
        let mount = mount
            .map(|path| {
                absolute(&path).map_err(|e| Failure::system(format!("{}", path.display()), &e))
            })
            .transpose()?;
        Ok(Self {
            state,
            store,
            store_named,
            mount,
            log: None,
        })
    }

    /// Begins to log, where SAFE_LOG or `--log` ask for it.
    pub fn begin_log(&mut self) -> Result<()> {
        if let Some(file) = self.log.take() {
            let whole = absolute(&file);
            let whole = whole.map_err(|e| Failure::system(format!("{}", file.display()), &e))?;
            self.log = Some(whole);
        }
        let options = log::Options {
            no_journal: Some(self.state.join("log")),
            ..log::Options::from_environment(self.log.clone())
        };
        if options.filter.is_none() && options.file.is_none() {
            return Ok(());
        }
        // The daemon says why the folder cannot be made, should it be so.
        let _ = private_dir(&self.state);
        log::begin("safe", &options).map_err(|why| Failure::new("no_log", why))
    }

    /// Opens a store by its URL.
    pub fn open(&self, url: &str) -> safeos_store::Result<std::sync::Arc<dyn safeos_store::Store>> {
        let options = safeos_store_autonomi::Options {
            state: self.state.clone(),
        };
        safeos_store_autonomi::open(url, &options)
    }

    /// The store named by `--store`, or the default one.
    pub fn store(&self, named: Option<&str>) -> String {
        named.unwrap_or(&self.store).to_owned()
    }

    /// Where `safe login` mounts when nothing else is said.
    pub fn default_mount(&self) -> PathBuf {
        if daemon::SHARED {
            return daemon::PLACE.into();
        }
        self.state.join("mnt")
    }

    /// The mount point of the open session that is meant.
    pub fn session(&self) -> Result<PathBuf> {
        let inside = env::var_os(MOUNT)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from);
        if let Some(mount) = self.mount.clone().or(inside) {
            match Client::open(&mount) {
                Ok(_) => return Ok(mount),
                Err(error @ ClientError::NotOurs { .. }) => return Err(error.into()),
                Err(_) => {}
            }
            let (_, lost) = self.sorted_notes();
            if clear_dead(&mount) || lost.contains(&mount) {
                return Err(self.lost(&mount));
            }
            return Err(Failure::new(
                "no_session",
                format!(
                    "no session is mounted at {}: sign in with `safe login NAME --mount {}`, or unset {MOUNT}{}",
                    mount.display(),
                    mount.display(),
                    self.waiting()
                ),
            ));
        }
        let (mut notes, lost) = self.sorted_notes();
        match notes.len() {
            1 => Ok(notes.remove(0).mount),
            0 if answers(&self.default_mount()) => Ok(self.default_mount()),
            0 => {
                let default = self.default_mount();
                let dead = clear_dead(&default).then_some(default);
                Err(match lost.first().or(dead.as_ref()) {
                    Some(mount) => self.lost(mount),
                    None => Failure::new(
                        "no_session",
                        format!(
                            "nobody is signed in here: sign in with `safe login NAME`, or work inside `safe run NAME`{}",
                            self.waiting()
                        ),
                    ),
                })
            }
            _ => Err(Failure::usage(format!(
                "several sessions are open ({}): say which with --mount",
                notes
                    .iter()
                    .map(|note| note.mount.display().to_string())
                    .collect::<Vec<_>>()
                    .join(", ")
            ))),
        }
    }

    /// The failure of a session whose daemon is gone.
    fn lost(&self, mount: &Path) -> Failure {
        Failure::new(
            LOST,
            format!(
                "the daemon of the session at {} has died (or this computer was restarted), and its mount is taken away; what was not synced is lost. {}",
                mount.display(),
                sentence(&waiting::advice(&self.state))
            ),
        )
    }

    /// A note on changes that wait to be published, to follow another sentence.
    fn waiting(&self) -> String {
        match waiting::waiting(&self.state) {
            0 => String::new(),
            _ => format!(". {}", sentence(&waiting::advice(&self.state))),
        }
    }

    /// The file that is locked while a daemon is started for a mount point.
    #[cfg(not(target_os = "redox"))]
    pub fn lock_path(&self, mount: &Path) -> PathBuf {
        self.note_path(mount).with_extension(LOCK)
    }

    /// Notes that a session is open.
    pub fn note(&self, note: &Note) -> Result<()> {
        let path = self.note_path(&note.mount);
        let write = || -> io::Result<()> {
            private_dir(&self.state.join("mounts"))?;
            let file = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&path)?;
            serde_json::to_writer(file, note)?;
            Ok(())
        };
        // A home on a full disk is signed in to all the same, and one on a disk that can only be read: without a note
        // it is found at the default place, or by its name.
        safeos_store::Reserve::of(&self.state)
            .spend(
                |e: &io::Error| e.kind() == io::ErrorKind::StorageFull,
                write,
            )
            .or_else(|e| match e.kind() {
                io::ErrorKind::ReadOnlyFilesystem => Ok(()),
                _ => Err(e),
            })
            .map_err(|e| Failure::system(format!("{} cannot be written", path.display()), &e))
    }

    /// The note about a mount point.
    pub fn noted(&self, mount: &Path) -> Option<Note> {
        self.notes().into_iter().find(|note| note.mount == mount)
    }

    /// Forgets the note about a mount point.
    pub fn forget(&self, mount: &Path) {
        // A note that stays is swept away by the next reader.
        let _ = fs::remove_file(self.note_path(mount));
    }

    fn note_path(&self, mount: &Path) -> PathBuf {
        let name = Address::of(mount.as_os_str().as_encoded_bytes()).to_string();
        self.state.join("mounts").join(&name[..16])
    }

    fn notes(&self) -> Vec<Note> {
        self.sorted_notes().0
    }

    /// The notes of open sessions, and the mount points of those that nothing answers at any more: their notes and
    /// mounts are taken away.
    fn sorted_notes(&self) -> (Vec<Note>, Vec<PathBuf>) {
        let (mut notes, mut lost) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(self.state.join("mounts"))
            .into_iter()
            .flatten()
            .flatten()
            .take(1000)
        {
            if entry.path().extension().is_some_and(|kind| kind == LOCK) {
                continue;
            }
            let note = fs::read(entry.path())
                .ok()
                .and_then(|bytes| serde_json::from_slice::<Note>(&bytes).ok());
            match note {
                Some(note) if answers(&note.mount) => notes.push(note),
                note => {
                    if let Some(note) = note {
                        clear_dead(&note.mount);
                        lost.push(note.mount);
                    }
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
        notes.sort_by(|a, b| a.mount.cmp(&b.mount));
        (notes, lost)
    }
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

/// Whether a daemon that may be talked to has its control file there. Opened, not looked at: only that asks the
/// daemon, the attributes of a dead one's files the kernel remembers.
pub fn answers(mount: &Path) -> bool {
    Client::open(mount).is_ok()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Result<Dirs> {
        let pairs: Vec<(String, OsString)> = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), OsString::from(value)))
            .collect();
        Dirs::from(
            move |name| {
                pairs
                    .iter()
                    .find(|(n, _)| n == name)
                    .map(|(_, v)| v.clone())
            },
            None,
        )
    }

    #[test]
    fn places_follow_the_environment() {
        let dirs = with(&[("HOME", "/h")]).unwrap();
        assert_eq!(dirs.state, Path::new("/h/.local/state/safeos"));
        assert_eq!(dirs.store, "file:///h/.local/share/safeos/store");

        let dirs = with(&[
            ("HOME", "/h"),
            ("XDG_STATE_HOME", "/x"),
            ("XDG_DATA_HOME", "relative"),
        ])
        .unwrap();
        assert_eq!(dirs.state, Path::new("/x/safeos"));
        assert_eq!(dirs.store, "file:///h/.local/share/safeos/store");

        let dirs = with(&[("SAFE_STATE", "/s"), ("SAFE_STORE", "http://host:1")]).unwrap();
        assert_eq!(dirs.state, Path::new("/s"));
        assert_eq!(dirs.store, "http://host:1");
        assert_eq!(dirs.store(Some("file:///y")), "file:///y");
    }

    #[test]
    fn without_a_home_it_says_what_to_set() {
        let failure = with(&[]).unwrap_err();
        assert_eq!(failure.exit, 2);
        assert!(failure.message.contains("SAFE_STATE"));
    }

    #[test]
    fn a_note_is_found_until_nothing_answers() {
        let folder = tempfile::tempdir().unwrap();
        let mount = folder.path().join("mnt");
        private_dir(&mount).unwrap();
        // A daemon of this user's, as far as one can see.
        let control = mount.join(safeos_control::FILE_NAME);
        let daemon = std::os::unix::net::UnixListener::bind(&control).unwrap();
        let mut dirs = with(&[("SAFE_STATE", "/s"), ("HOME", "/h")]).unwrap();
        dirs.state = folder.path().join("state");
        let note = Note {
            mount: mount.clone(),
            pid: 12,
        };
        dirs.note(&note).unwrap();
        assert_eq!(dirs.noted(&mount), Some(note));
        drop(daemon);
        assert_eq!(dirs.noted(&mount), None);
        assert_eq!(fs::read_dir(dirs.state.join("mounts")).unwrap().count(), 0);
    }
}
