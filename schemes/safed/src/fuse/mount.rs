//! Mounting, and what the daemon asks of the kernel afterwards.
//!
//! What always holds here: a mount point that is in use, missing or no folder is refused with words that
//! say what to do; a mount left behind by a daemon that died is cleared away first; notifications
//! to the kernel are sent from a thread of their own, never while a request is being answered, but for those
//! of attributes alone.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fuser::{BackgroundSession, Config, INodeNo, MountOption, Notifier, SessionACL};
use parking_lot::Mutex;
use safeos_session::{Change, Ino, Volume};

use super::broken;
use super::front::Front;
use super::nodes::{self, Nodes};
use super::refresh::Changed;
use super::writes::Writes;
use crate::control::Control;
use crate::daemon::{self, Daemon, Tree};
use crate::namespace::Namespace;

const DEVICE: &str = "/dev/fuse";
const HELPER: &str = "fusermount3";
/// How long a sign-in or sign-out waits for the kernel to hear of it.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

/// Why mounting failed, in words for people.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No FUSE in this kernel, or no access to it.
    #[error(
        "{DEVICE} cannot be opened ({0}); load FUSE with `modprobe fuse`; a container needs the device added, and who is not root needs the right to read and write it"
    )]
    Device(io::Error),
    /// The helper for ordinary users is missing.
    #[error("{HELPER} is missing, and only root can mount without it; install the package `fuse3`")]
    Helper,
    /// The mount point cannot be used.
    #[error("the mount point {} {why}", point.display())]
    MountPoint {
        /// Which.
        point: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The system refused.
    #[error("cannot mount at {}: {why}", point.display())]
    Refused {
        /// Where.
        point: PathBuf,
        /// What it said.
        why: String,
    },
}

/// How to mount.
#[derive(Clone, Copy, Default, Debug)]
pub struct Options {
    /// The mount is for the user the daemon runs as: no other gets to the mount point. Always so unless
    /// that user is root, and also then if the mount point lies in a folder that only root may enter.
    /// Whoever gets there all the same, as a child of a process of that user, sees what the user
    /// sees. So the kernel may remember the namespace's own names: a request less for each path.
    pub one_user: bool,
    /// How many requests are worked on at once; `None`: as fits the computer.
    pub threads: Option<usize>,
}

/// A mounted namespace.
pub struct Mounted {
    background: BackgroundSession,
    point: PathBuf,
}

/// Mounts the namespace of `daemon` at `point`.
pub fn mount(daemon: &Arc<Daemon>, point: &Path, options: &Options) -> Result<Mounted, Error> {
    let point = prepare(point)?;
    broken::watch();
    let root = is_root();
    let one_user = options.one_user || !root || is_closed(&point);
    let nodes = Arc::new(Nodes::default());
    let control = Control::new(Arc::clone(daemon));
    let writes = Arc::new(Writes::default());
    let kernel = Arc::new(OnceLock::new());
    let front = Front::new(
        Arc::clone(&writes),
        Namespace::new(Arc::clone(daemon)),
        Arc::clone(&nodes),
        control,
        one_user,
        Arc::clone(&kernel),
    );
    let background = fuser::spawn_mount(front, &point, &config(root, options.threads))
        .map_err(|error| explain(&point, root, &error))?;
    let (sender, receiver) = channel();
    let notifier = background.notifier();
    let _ = kernel.set(background.notifier());
    let thread = std::thread::Builder::new().name("safed-notify".to_owned());
    let at = point.clone();
    if let Err(error) = thread.spawn(move || notify(&notifier, &nodes, &at, &receiver)) {
        let why = error.to_string();
        return Err(Error::Refused { point, why });
    }
    daemon.set_front(Box::new(Kernel {
        point: point.clone(),
        writes,
        notes: Mutex::new(sender),
    }));
    raise_read_ahead(&point);
    Ok(Mounted { background, point })
}

fn is_root() -> bool {
    // SAFETY: has no arguments and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

fn config(root: bool, threads: Option<usize>) -> Config {
    let mut options = vec![
        MountOption::FSName("safe".to_owned()),
        MountOption::DefaultPermissions,
    ];
    if root {
        // Mounting directly, the kernel takes the subtype itself.
        options.push(MountOption::CUSTOM("subtype=safe".to_owned()));
        options.push(MountOption::Dev);
        options.push(MountOption::Suid);
    } else {
        options.push(MountOption::Subtype("safe".to_owned()));
        options.push(MountOption::NoDev);
        options.push(MountOption::NoSuid);
    }
    let mut config = Config::default();
    config.mount_options = options;
    // Ordinary users may not let others in (unless the system's fuse.conf says so).
    config.acl = if root {
        SessionACL::All
    } else {
        SessionACL::Owner
    };
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
    // Not by its attributes: the kernel remembers those of a daemon that is dead.
    if let Err(error) = point.read_dir()
        && error.raw_os_error() == Some(libc::ENOTCONN)
    {
        clear(point);
    }
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
    let Ok(mounts) = std::fs::read("/proc/self/mountinfo") else {
        return false;
    };
    mounts.split(|byte| *byte == b'\n').any(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let at = fields.nth(4).map(unescape);
        let source = fields.skip_while(|field| *field != b"-").nth(2);
        at.as_deref() == Some(point.as_os_str().as_bytes()) && source == Some(b"safe")
    })
}

/// Spaces and their like stand as three octal digits in mountinfo.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        if *first == b'\\'
            && let Some(digits) = tail.get(..3)
            && let Some(code) = std::str::from_utf8(digits)
                .ok()
                .and_then(|digits| u8::from_str_radix(digits, 8).ok())
        {
            out.push(code);
            rest = &tail[3..];
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    out
}

/// Takes a mount out of sight at once; it ends when its last user is gone.
fn clear(point: &Path) {
    let Ok(path) = CString::new(point.as_os_str().as_bytes()) else {
        return;
    };
    // SAFETY: `path` is a string that ends with NUL and lives until the call returns.
    if unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) } != 0 {
        let _ = Command::new(HELPER)
            .args(["-u", "-q", "-z", "--"])
            .arg(point)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

fn explain(point: &Path, root: bool, error: &io::Error) -> Error {
    if let Err(error) = File::options().read(true).write(true).open(DEVICE) {
        return Error::Device(error);
    }
    if !root && error.kind() == io::ErrorKind::NotFound {
        return Error::Helper;
    }
    Error::Refused {
        point: point.to_owned(),
        why: error.to_string().trim().to_owned(),
    }
}

/// Read-ahead of FUSE mounts is 128 KiB unless somebody with the right to says otherwise.
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
    /// Whether the mount has ended, be it that somebody unmounted it, or has to.
    pub fn is_finished(&self) -> bool {
        self.background.guard.is_finished() || self.is_broken()
    }

    /// Whether requests may hang because the FUSE library failed.
    pub fn is_broken(&self) -> bool {
        broken::is_broken()
    }

    /// Unmounts. What programs wrote is taken over first. If some still use the mount, `busy` runs (to
    /// end the sessions while requests are still answered) and then it is taken out of sight.
    pub fn unmount(self, busy: impl FnOnce()) {
        let Ok(path) = CString::new(self.point.as_os_str().as_bytes()) else {
            return;
        };
        if self.background.guard.is_finished() {
            let _ = self.background.join();
            return;
        }
        // SAFETY: `path` is a string that ends with NUL and lives until the call returns.
        let gone = unsafe { libc::umount2(path.as_ptr(), libc::UMOUNT_NOFOLLOW) } == 0
            || !is_root() && helper_unmounts(&self.point);
        if gone {
            let _ = self.background.join();
            return;
        }
        sync_file_system(&self.point);
        busy();
        clear(&self.point);
        // Those who still hold it get errors as soon as this process is gone; not waited for.
        std::mem::forget(self.background);
    }
}

fn helper_unmounts(point: &Path) -> bool {
    Command::new(HELPER)
        .args(["-u", "-q", "--"])
        .arg(point)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Writes back what the kernel holds for a mount.
fn sync_file_system(point: &Path) {
    if let Ok(folder) = File::open(point) {
        // SAFETY: the descriptor is open until the call returns.
        unsafe { libc::syncfs(folder.as_raw_fd()) };
    }
}

enum Note {
    Changed(Arc<Tree>, Change),
    /// Says when it was passed on.
    Turned(Sender<()>),
}

/// The kernel as the daemon's front.
struct Kernel {
    point: PathBuf,
    writes: Arc<Writes>,
    notes: Mutex<Sender<Note>>,
}

impl daemon::Front for Kernel {
    fn flush(&self) {
        sync_file_system(&self.point);
        self.writes.settle();
    }

    fn changed(&self, tree: &Arc<Tree>, change: Change) {
        let _ = self
            .notes
            .lock()
            .send(Note::Changed(Arc::clone(tree), change));
    }

    fn turned(&self) {
        let (done, told) = channel();
        if self.notes.lock().send(Note::Turned(done)).is_ok() {
            // Who signed out finds nothing any more as soon as it is told so.
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
                // A file that nobody has open, and that has one name, is forgotten with it.
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
    fn names_in_mountinfo_are_unescaped() {
        assert_eq!(unescape(b"/mnt/a\\040b\\134"), b"/mnt/a b\\");
        assert_eq!(unescape(b"/x\\9"), b"/x\\9");
    }

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
