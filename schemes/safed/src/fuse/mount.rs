//! Mounting, and the daemon's requests to the kernel afterwards.
//!
//! What always holds here: a mount point that is in use, missing or no folder is refused with words that
//! say what to do; a mount left behind by a daemon that died is cleared away first, and only what was mounted here is
//! unmounted; a mount that others can enter is `nosuid,nodev`; notifications to the kernel are sent from a thread of
//! their own, never while a request is being answered, but for those of attributes alone.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fuser::{BackgroundSession, Config, INodeNo, Notifier, SessionACL};
use parking_lot::Mutex;
use safeos_mountpoint::{HELPER, MountPoint, Seen, guard};
use safeos_session::{Change, Ino, Volume};

use super::broken;
use super::device::{self, DEVICE, How};
use super::front::{Front, Shown};
use super::nodes::{self, Node, Nodes};
use super::refresh::Changed;
use super::writes::Writes;
use crate::control::Control;
use crate::daemon::{self, Daemon, Tree};
use crate::namespace::Namespace;

/// How long a sign-in or sign-out waits for the kernel to take note.
const TOLD_WITHIN: Duration = Duration::from_secs(2);
/// Where the system says whether ordinary users may let others into their mounts.
const SETTINGS: &str = "/etc/fuse.conf";

/// Why mounting failed, in words for people.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No FUSE in this kernel, or no access to it.
    #[error(
        "{DEVICE} cannot be opened ({0}); load FUSE with `modprobe fuse`; a container needs the device added, and who is not root needs the right to read and write it"
    )]
    Device(io::Error),
    /// Something else has its name.
    #[error(
        "{DEVICE} is not the kernel's FUSE device; as root: `rm {DEVICE}; mknod {DEVICE} c {MAJOR} {MINOR}; chmod 666 {DEVICE}`, or give the container the device"
    )]
    NotFuse,
    /// The helper for ordinary users is missing.
    #[error("{HELPER} is missing, and only root can mount without it; install the package `fuse3`")]
    Helper,
    /// The mount point cannot be used.
    #[error("the mount point {} {why}", point.display())]
    MountPoint {
        /// Which.
        point: PathBuf,
        /// The problem.
        why: String,
    },
    /// Only root may let others in, unless the system's settings say otherwise.
    #[error(
        "--allow-root: ordinary users may let root into their mounts only where {SETTINGS} has a line of its own that says `user_allow_other`; as root: `echo user_allow_other >> {SETTINGS}`, then sign in again"
    )]
    OthersRefused,
    /// An option that only root may use.
    #[error(
        "--suid-dev: only root may have set-id programs and device nodes of a home work, and only for itself"
    )]
    NotRoot,
    /// The system refused.
    #[error("cannot mount at {}: {why}", point.display())]
    Refused {
        /// Where.
        point: PathBuf,
        /// The error of the system.
        why: String,
    },
}

/// How to mount.
#[derive(Clone, Copy, Default, Debug)]
pub struct Options {
    /// The mount is for the user the daemon runs as: no other gets to the mount point. Always so unless
    /// that user is root, and also then if the mount point lies in a folder that only root may enter.
    /// A child of a process of that user that gets there all the same sees what the user
    /// sees. So the kernel may remember the namespace's own names: a request less for each path.
    pub one_user: bool,
    /// How many requests are worked on at once; `None`: as fits the computer.
    pub threads: Option<usize>,
    /// Root gets to the mount of an ordinary user too. It sees what that user sees; no other user gets in.
    pub allow_root: bool,
    /// Set-id programs and device nodes of the home work. Only for root, and then only root gets to the mount.
    pub suid_dev: bool,
    /// Nothing can be written in the folder while nothing is mounted on it.
    pub guard: bool,
}

/// A mounted namespace.
pub struct Mounted {
    background: BackgroundSession,
    place: Arc<MountPoint>,
    seen: Seen,
}

/// Mounts the namespace of `daemon` at `point`.
pub fn mount(daemon: &Arc<Daemon>, point: &Path, options: &Options) -> Result<Mounted, Error> {
    let point = prepare(point)?;
    broken::watch();
    let root = is_root();
    if options.suid_dev && !root {
        return Err(Error::NotRoot);
    }
    let allow_root = options.allow_root && !root;
    let acl = match (root, options.suid_dev) {
        (true, false) => SessionACL::All,
        (true, true) => SessionACL::Owner,
        (false, _) if allow_root => SessionACL::RootAndOwner,
        (false, _) => SessionACL::Owner,
    };
    let one_user = options.one_user || !root || options.suid_dev || is_closed(&point);
    let nodes = Arc::new(Nodes::default());
    let control = Control::new(Arc::clone(daemon));
    let writes = Arc::new(Writes::default());
    let kernel = Arc::new(OnceLock::new());
    let front = Front::new(
        Arc::clone(&writes),
        Namespace::new(Arc::clone(daemon)),
        Arc::clone(&nodes),
        control,
        match (one_user, allow_root) {
            (true, true) => Shown::UserAndRoot,
            (true, false) => Shown::User,
            (false, _) => Shown::Everybody,
        },
        Arc::clone(&kernel),
    );
    let refused = |error: &io::Error| explain(&point, root, error);
    let place = Arc::new(MountPoint::open(&point).map_err(|error| refused(&error))?);
    let folder = place.folder().map_err(|error| refused(&error))?;
    // A foreign file system that is there already is not ours to guard.
    let guarded =
        options.guard && !matches!(guard::look(&point), Ok(guard::Look::Foreign) | Err(_));
    if guarded && let Err(error) = guard::put(&folder) {
        unguarded(&point, &error);
    }
    let how = How {
        others: acl != SessionACL::Owner,
        suid_dev: options.suid_dev,
    };
    let device = device::mount(&folder, &point, how).map_err(|error| refused(&error))?;
    let seen = place.seen().map_err(|error| refused(&error))?;
    let unmount = |error: &io::Error| {
        let _ = place.unmount(&seen, true);
        refused(error)
    };
    // Below the mount by now.
    if guarded && let Err(error) = guard::close(&folder) {
        unguarded(&point, &error);
    }
    drop(folder);
    let background = fuser::Session::from_fd(front, device, acl, config(acl, options.threads))
        .and_then(fuser::Session::spawn)
        .map_err(|error| unmount(&error))?;
    let (sender, receiver) = channel();
    let notifier = background.notifier();
    let _ = kernel.set(background.notifier());
    let (told, at) = (Arc::clone(&nodes), place.path());
    std::thread::Builder::new()
        .name("safed-notify".to_owned())
        .spawn(move || notify(&notifier, &told, &at, &receiver))
        .map_err(|error| unmount(&error))?;
    daemon.set_front(Box::new(Kernel {
        place: Arc::clone(&place),
        nodes,
        writes,
        notes: Mutex::new(sender),
    }));
    raise_read_ahead(&place.path());
    Ok(Mounted {
        background,
        place,
        seen,
    })
}

/// A home without its guard is a home all the same.
fn unguarded(point: &Path, error: &io::Error) {
    use std::io::Write;
    let _ = writeln!(
        io::stderr(),
        "safed: while nobody is signed in, files can be written in {}: {error}",
        point.display()
    );
}

fn is_root() -> bool {
    // SAFETY: has no arguments and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

fn config(acl: SessionACL, threads: Option<usize>) -> Config {
    let mut config = Config::default();
    config.acl = acl;
    let parallel = std::thread::available_parallelism().map_or(4, usize::from);
    config.n_threads = Some(threads.unwrap_or(parallel.clamp(4, 16)));
    // Each thread its own way to the kernel.
    config.clone_fd = true;
    config
}

/// Makes sure that `point` is a folder with nothing mounted on it.
fn prepare(point: &Path) -> Result<PathBuf, Error> {
    let bad = |why: String| Error::MountPoint {
        point: point.to_owned(),
        why,
    };
    safeos_mountpoint::clear_dead(point).map_err(|error| {
        bad(format!(
            "has the mount of a daemon that died, which cannot be taken away: {error}"
        ))
    })?;
    let metadata = match point.metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(bad("does not exist; make the folder first".to_owned()));
        }
        Err(error) => return Err(bad(format!("cannot be used: {error}"))),
    };
    if !metadata.is_dir() {
        return Err(bad("is not a folder".to_owned()));
    }
    let point = point
        .canonicalize()
        .map_err(|error| bad(format!("cannot be used: {error}")))?;
    if is_ours(&point) {
        return Err(bad(
            "has SafeOS mounted on it already; sign out there or choose another".to_owned(),
        ));
    }
    Ok(point)
}

/// Whether a folder above keeps everybody else out.
fn is_closed(point: &Path) -> bool {
    let own = crate::process::uid();
    point.ancestors().skip(1).any(|folder| {
        folder
            .metadata()
            .is_ok_and(|metadata| metadata.uid() == own && metadata.mode() & 0o011 == 0)
    })
}

/// Whether a SafeOS mount is at exactly this place.
fn is_ours(point: &Path) -> bool {
    let seen = MountPoint::open(point).and_then(|place| place.seen());
    seen.ok()
        .and_then(|seen| safeos_mountpoint::entry(seen.mount))
        .is_some_and(|entry| entry.is_home() && entry.point == point)
}

/// The device's numbers (linux/miscdevice.h: MISC_MAJOR, FUSE_MINOR).
const MAJOR: u32 = 10;
const MINOR: u32 = 229;

fn is_fuse(device: &File) -> bool {
    device.metadata().is_ok_and(|metadata| {
        metadata.file_type().is_char_device() && metadata.rdev() == libc::makedev(MAJOR, MINOR)
    })
}

fn explain(point: &Path, root: bool, error: &io::Error) -> Error {
    match File::options().read(true).write(true).open(DEVICE) {
        Err(error) => return Error::Device(error),
        Ok(device) if !is_fuse(&device) => return Error::NotFuse,
        Ok(_) => {}
    }
    if !root && error.kind() == io::ErrorKind::NotFound {
        return Error::Helper;
    }
    if device::others_refused(error) {
        return Error::OthersRefused;
    }
    Error::Refused {
        point: point.to_owned(),
        why: error.to_string().trim().to_owned(),
    }
}

/// Read-ahead of FUSE mounts is 128 KiB unless an administrator changes it.
fn raise_read_ahead(point: &Path) {
    if let Ok(metadata) = point.metadata() {
        let dev = metadata.dev();
        let (major, minor) = (libc::major(dev), libc::minor(dev));
        let _ = std::fs::write(
            format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb"),
            "2048",
        );
    }
}

impl Mounted {
    /// Whether the mount has ended: it was unmounted, or has to be.
    pub fn is_finished(&self) -> bool {
        self.background.guard.is_finished() || self.is_broken()
    }

    /// Whether requests may hang because the FUSE library failed.
    pub fn is_broken(&self) -> bool {
        broken::is_broken()
    }

    /// Unmounts. Data that programs wrote is taken over first. If some still use the mount, `busy` runs (to
    /// end the sessions while requests are still answered) and then it is taken out of sight.
    pub fn unmount(self, busy: impl FnOnce()) {
        if self.background.guard.is_finished() || self.place.unmount(&self.seen, false).is_ok() {
            let _ = self.background.join();
            return;
        }
        sync_file_system(&self.place);
        busy();
        if let Err(error) = self.place.unmount(&self.seen, true) {
            use std::io::Write;
            let place = self.place.path_now().unwrap_or_default();
            let _ = writeln!(
                io::stderr(),
                "safed: the mount at {} stays: {error}",
                place.display()
            );
        }
        // Programs that still hold it get errors as soon as this process is gone; not waited for.
        std::mem::forget(self.background);
    }
}

/// Writes back what the kernel holds for a mount.
fn sync_file_system(place: &MountPoint) {
    if let Ok(folder) = place.folder() {
        // SAFETY: the descriptor is open until the call returns.
        unsafe { libc::syncfs(folder.as_raw_fd()) };
    }
}

enum Note {
    Changed(Arc<Tree>, Change),
    /// The session of these open files has ended.
    Ended(Vec<u64>),
    /// Says when it was passed on.
    Turned(Sender<()>),
}

/// The kernel as the daemon's front.
struct Kernel {
    place: Arc<MountPoint>,
    nodes: Arc<Nodes>,
    writes: Arc<Writes>,
    notes: Mutex<Sender<Note>>,
}

impl Kernel {
    /// Which files of a tree are open for writing: the kernel's number and the tree's.
    fn written(&self, tree: &Tree) -> Vec<(u64, Ino)> {
        let inner = |id| match self.nodes.find(id)? {
            Node::Inner(of, ino) if of.key == tree.key => Some((id, ino)),
            _ => None,
        };
        self.writes
            .written()
            .into_iter()
            .filter_map(inner)
            .collect()
    }
}

impl daemon::Front for Kernel {
    fn flush(&self) {
        sync_file_system(&self.place);
        self.writes.settle();
    }

    fn changed(&self, tree: &Arc<Tree>, change: Change) {
        let _ = self
            .notes
            .lock()
            .send(Note::Changed(Arc::clone(tree), change));
    }

    fn open_for_writing(&self, tree: &Tree) -> Vec<Ino> {
        self.written(tree).into_iter().map(|(_, ino)| ino).collect()
    }

    fn ended(&self, tree: &Tree) {
        let open = self.written(tree).into_iter().map(|(id, _)| id).collect();
        let _ = self.notes.lock().send(Note::Ended(open));
    }

    fn turned(&self) {
        let (done, told) = channel();
        if self.notes.lock().send(Note::Turned(done)).is_ok() {
            // A client that signed out finds nothing any more as soon as it is told so.
            let _ = told.recv_timeout(TOLD_WITHIN);
        }
    }
}

/// Passes notes on to the kernel until the daemon ends. Failures mean that the kernel had nothing to
/// forget.
fn notify(notifier: &Notifier, nodes: &Nodes, point: &Path, notes: &Receiver<Note>) {
    let forget_name = |dir: u64, name: &[u8]| {
        let _ = notifier.inval_entry(INodeNo(dir), OsStr::from_bytes(name));
    };
    for note in notes {
        match note {
            // The kernel asks for the attributes before the next write, and hears that there is no session. With
            // remembered attributes the write would go to its memory, and from there nowhere.
            Note::Ended(open) => {
                for id in open {
                    let _ = notifier.inval_inode(INodeNo(id), -1, 0);
                }
            }
            Note::Turned(done) => {
                forget_name(nodes::ROOT, b"home");
                forget_name(nodes::ROOT, b"snapshots");
                let _ = notifier.inval_inode(INodeNo(nodes::SNAPSHOTS), 0, 0);
                let _ = done.send(());
            }
            Note::Changed(tree, Change::Entry(dir, name)) => {
                let dir = nodes.id(&tree, dir);
                forget_name(dir, &name);
                let _ = notifier.inval_inode(INodeNo(dir), -1, 0);
            }
            Note::Changed(tree, Change::Node(ino)) => {
                let id = nodes.id(&tree, ino);
                let _ = notifier.inval_inode(INodeNo(id), 0, 0);
                // A closed file that has one name is forgotten with it.
                if let Some((dir, name)) = name_of(&*tree.volume, ino) {
                    forget_name(nodes.id(&tree, dir), &name);
                }
                let changed = Changed {
                    volume: &*tree.volume,
                    ino,
                    id,
                    generation: nodes.generation(&tree).0 as u32,
                };
                changed.tell(point, &nodes.asking);
            }
        }
    }
}

/// A directory and the name that a node has there.
fn name_of(volume: &dyn Volume, ino: Ino) -> Option<(Ino, Vec<u8>)> {
    let path = volume.path(ino).ok()?;
    let (folders, name) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&path[..0], &path[..]),
    };
    let mut dir = volume.root();
    for folder in folders
        .split(|byte| *byte == b'/')
        .filter(|f| !f.is_empty())
    {
        dir = volume.lookup(dir, folder).ok()?.ino;
    }
    (!name.is_empty()).then(|| (dir, name.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_for_its_owner_only_closes_what_is_in_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a");
        std::fs::create_dir(&inner).unwrap();
        for (mode, closed) in [
            (0o700, true),
            (0o750, false),
            (0o701, false),
            (0o711, false),
        ] {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(folder.path(), permissions).unwrap();
            assert_eq!(is_closed(&inner.join("b")), closed, "{mode:o}");
        }
    }

    #[test]
    fn a_mount_point_must_be_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        assert!(prepare(folder.path()).is_ok());
        let file = folder.path().join("file");
        std::fs::write(&file, b"").unwrap();
        let error = prepare(&file).unwrap_err().to_string();
        assert!(error.contains("is not a folder"), "{error}");
        let error = prepare(&folder.path().join("none"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("does not exist"), "{error}");
    }
}
