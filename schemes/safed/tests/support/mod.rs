//! A model volume as a user's session, mounted by the front.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod gate;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use safed::daemon::{Daemon, Member};
use safed::fuse::{self, Mounted};
use safeos_session::model::ModelVolume;
use safeos_session::{Change, Error, Result, Snapshot, Status, Volume};
use safeos_store::MemoryStore;

type Listener = Box<dyn Fn(Change) + Send + Sync>;

/// A session whose home is a model; its one snapshot is the same model.
pub struct Model {
    pub volume: Arc<ModelVolume>,
    /// The volume shown in the model's place.
    pub shown: Mutex<Option<Arc<dyn Volume>>>,
    listener: Mutex<Option<Listener>>,
}

impl Model {
    pub fn new(uid: u32, gid: u32) -> Arc<Self> {
        Arc::new(Self {
            volume: Arc::new(ModelVolume::new(uid, gid)),
            shown: Mutex::default(),
            listener: Mutex::default(),
        })
    }

    /// Announces a change that did not come through the mount.
    pub fn announce(&self, change: Change) {
        if let Some(listener) = &*self.listener.lock() {
            listener(change);
        }
    }
}

/// The name of a model's snapshot.
pub const SNAPSHOT: &str = "2026-11-22T10:11:12.123Z";

impl Member for Model {
    fn home(&self) -> Result<Arc<dyn Volume>> {
        let shown = self.shown.lock().clone();
        Ok(shown.unwrap_or_else(|| Arc::clone(&self.volume) as Arc<dyn Volume>))
    }

    fn snapshots(&self) -> Result<Vec<Snapshot>> {
        Ok(vec![Snapshot {
            name: SNAPSHOT.to_owned(),
            head: String::new(),
            computer: String::new(),
            added_bytes: 0,
        }])
    }

    fn snapshot(&self, name: &str) -> Result<Arc<dyn Volume>> {
        if name == SNAPSHOT {
            self.home()
        } else {
            Err(Error::NotFound)
        }
    }

    fn status(&self) -> Status {
        Status {
            account: "model".to_owned(),
            problems: vec!["two\nlines".to_owned()],
            ..Status::default()
        }
    }

    fn on_change(&self, listener: Listener) {
        *self.listener.lock() = Some(listener);
    }
    fn on_flush(&self, _: Box<dyn Fn() + Send + Sync>) {}
}

/// A daemon without a session.
pub fn daemon() -> Arc<Daemon> {
    let state = PathBuf::from("/nonexistent/state");
    let store = "file:///nonexistent/store".to_owned();
    Daemon::new(state, store, safed::process::uid())
}

pub fn attach(daemon: &Arc<Daemon>, uid: u32, model: &Arc<Model>) {
    let member = Arc::clone(model) as Arc<dyn Member>;
    let attached = daemon.attach(uid, member, None, Arc::new(MemoryStore::default()));
    assert!(attached.unwrap());
}

/// A mounted daemon with a model for the user who runs the test. Unmounted when dropped.
pub struct Mount {
    pub daemon: Arc<Daemon>,
    pub model: Arc<Model>,
    mounted: Option<Mounted>,
    folder: tempfile::TempDir,
}

impl Mount {
    pub fn new() -> Self {
        Self::of(Model::new(safed::process::uid(), 0))
    }

    /// Mounts a model that may have been mounted before.
    pub fn of(model: Arc<Model>) -> Self {
        let daemon = daemon();
        let folder = tempfile::tempdir().unwrap();
        let point = folder.path().join("safe");
        std::fs::create_dir(&point).unwrap();
        open_to_all(folder.path());
        let mounted = fuse::mount(&daemon, &point, &fuse::Options::default())
            .expect("these tests need FUSE: /dev/fuse, and fusermount3 unless run by root");
        attach(&daemon, safed::process::uid(), &model);
        Self {
            daemon,
            model,
            mounted: Some(mounted),
            folder,
        }
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join("safe")
    }

    pub fn home(&self) -> PathBuf {
        self.root().join("home")
    }
}

fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Some(mounted) = self.mounted.take() {
            mounted.unmount(|| ());
        }
    }
}
