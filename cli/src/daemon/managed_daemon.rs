//! The daemon `safed`: found, started, waited for, ended.
//!
//! Its stderr goes to memory, not to a file: its lines may name files of the home. A daemon
//! that belongs to one command ends with it, also when the command is killed, unless others have joined its session.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use safeos_mountpoint::{Launched, MountPoint, NotReady, READY_WITHIN, entry, guard};
use safeos_store::whose;
use safeos_telemetry::event;

use super::MountOptions;
use crate::dead_mount::clear_dead;
use crate::dirs::{self, Dirs};
use crate::failure::{Failure, Result};
use crate::output::Output;
use crate::signals;

const ENDS_WITHIN: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A running `safed`.
pub struct Daemon {
    launched: Launched,
    /// Where its control file is.
    place: PathBuf,
    mounted: bool,
}

impl Daemon {
    /// Starts it with the mount options, and waits until its control file is there. `bound`: it ends with this
    /// program.
    pub fn start_as(
        dirs: &Dirs,
        store: &str,
        mount: &Path,
        bound: bool,
        options: MountOptions,
    ) -> Result<Self> {
        clear_dead(mount);
        Self::run(dirs, store, mount, bound, Some(options))
    }

    /// The same without a mount, for a command that only asks: its control file is a socket. It ends with this program.
    pub fn start_unmounted(dirs: &Dirs, store: &str, place: &Path) -> Result<Self> {
        Self::run(dirs, store, place, true, None)
    }

    fn run(
        dirs: &Dirs,
        store: &str,
        place: &Path,
        bound: bool,
        mounted: Option<MountOptions>,
    ) -> Result<Self> {
        dirs::private_dir(&dirs.state).map_err(|e| {
            Failure::system(
                format!("the state folder {} cannot be made", dirs.state.display()),
                &e,
            )
        })?;
        let program = find()?;
        let mut command = Command::new(&program);
        match mounted {
            Some(options) => command
                .arg("--mount")
                .arg(place)
                .args(options.allow_root.then_some("--allow-root"))
                .args(options.suid_dev.then_some("--suid-dev")),
            None => command
                .arg("--socket")
                .arg(place.join(safeos_control::FILE_NAME)),
        };
        command
            .arg("--state")
            .arg(&dirs.state)
            .arg("--store")
            .arg(store)
            .args(
                dirs.log
                    .iter()
                    .flat_map(|file| [OsStr::new("--log"), file.as_os_str()]),
            )
            .args(bound.then_some("--bound"))
            // Open for as long as this program lives: that is how the daemon knows.
            .stdin(if bound { Stdio::piped() } else { Stdio::null() });
        for name in safeos_control::SECRET_VARIABLES {
            command.env_remove(name);
        }
        // Relative paths are of the folder we are in, not of the daemon's.
        for name in [
            safeos_store::TOKEN_FILE,
            safeos_store::CA_FILE,
            // For accounts that have no wallet of their own.
            safeos_store_autonomi::WALLET_KEY_FILE,
        ] {
            if let Some(path) = std::env::var_os(name).filter(|path| !path.is_empty())
                && let Ok(path) = std::path::absolute(path)
            {
                command.env(name, path);
            }
        }
        event!(
            INFO,
            "starting the daemon",
            mounted = mounted.is_some(),
            bound = bound
        );
        let launched = Launched::start(&mut command, place.to_owned(), false)
            .map_err(|e| Failure::system(format!("{} cannot be run", program.display()), &e))?;
        let mut daemon = Self {
            launched,
            place: place.to_owned(),
            mounted: mounted.is_some(),
        };
        daemon.ready().inspect_err(|_| daemon.end())?;
        Ok(daemon)
    }

    fn ready(&mut self) -> Result<()> {
        let failed = |message: String| Failure::new("daemon_failed", message);
        let place = &self.place;
        let ready = self
            .launched
            .wait_ready(|| dirs::answers(place), || signals::asked().is_none());
        let seconds = READY_WITHIN.as_secs();
        ready.map_err(|why| match why {
            NotReady::Ended(status, words) if words.is_empty() => {
                failed(format!("safed ended at once ({status})"))
            }
            NotReady::Ended(_, words) => failed(words),
            NotReady::Unwanted => Failure::stopped(signals::asked().unwrap_or(libc::SIGTERM)),
            NotReady::System(error) => Failure::system("waiting for safed failed", &error),
            NotReady::Late if !self.mounted => {
                failed(format!("safed was not ready within {seconds} seconds"))
            }
            NotReady::Late => failed(format!(
                "safed did not mount {} within {seconds} seconds: see whether FUSE works here (ls -l /dev/fuse; fusermount3 --version)",
                place.display(),
            )),
        })
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.launched.pid() as i32
    }

    /// Whether it has ended by itself.
    pub fn ended(&mut self) -> bool {
        self.launched.has_ended()
    }

    /// The last line it said on stderr.
    pub fn said(&mut self) -> String {
        self.launched.last_words()
    }

    /// Asks it to unmount and end, waits, and makes sure that it has.
    pub fn end(&mut self) {
        let (place, mounted) = (&self.place, self.mounted);
        self.launched.end(|| {
            if mounted {
                unmount(place);
            }
        });
    }
}

/// Ends a daemon that another run of `safe` started: by its process id if that is still the daemon of this
/// mount, else by unmounting.
pub fn end_other(pid: Option<i32>, mount: &Path) -> Result<()> {
    let pid = pid
        .filter(|pid| serves(*pid, mount))
        .and_then(Pid::from_raw);
    let gone = |pid: Option<Pid>| match pid {
        Some(pid) => !serves(pid.as_raw_nonzero().get(), mount),
        None => true,
    };
    match pid {
        Some(pid) => {
            let _ = kill_process(pid, Signal::TERM);
        }
        None => unmount(mount),
    }
    let start = Instant::now();
    let mut forced = false;
    while dirs::answers(mount) || !gone(pid) {
        let waited = start.elapsed();
        if waited > ENDS_WITHIN && !forced {
            forced = true;
            unmount(mount);
            if let Some(pid) = pid {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        if waited > ENDS_WITHIN * 2 {
            return Err(Failure::new(
                "still_mounted",
                format!(
                    "signed out, but {} is still mounted: close the programs that use it, then `fusermount3 -u {}`",
                    mount.display(),
                    mount.display()
                ),
            ));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    clear_dead(mount);
    Ok(())
}

/// Whether a process is a `safed` that serves this mount: a process id may have passed to another program.
fn serves(pid: i32, mount: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    // Empty for a process that has ended and was not waited for.
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| {
        let mut words = line.split(|byte| *byte == 0);
        words
            .next()
            .is_some_and(|program| program.ends_with(b"safed"))
            && words.any(|word| word == mount.as_os_str().as_bytes())
    })
}

/// Waits until a daemon that another run of `safe` started has ended by itself.
pub fn wait_ended(mount: &Path) {
    let start = Instant::now();
    while dirs::answers(mount) && start.elapsed() < ENDS_WITHIN {
        std::thread::sleep(LOOK_EVERY);
    }
    clear_dead(mount);
}

/// Unmounts at once, even while it is in use; a mount that is no home stays.
fn unmount(mount: &Path) {
    let Ok(place) = MountPoint::open(mount) else {
        return;
    };
    let Ok(seen) = place.seen() else {
        return;
    };
    let is_here = |point: &Path| place.path_now().is_ok_and(|path| path == point);
    if entry(seen.mount).is_some_and(|entry| entry.is_home() && is_here(&entry.point)) {
        let _ = place.unmount(&seen, true);
    }
}

/// Makes a folder to mount at if it is not there, and sees that nothing would be covered; whether it was made.
pub fn prepare(mount: &Path, output: Output) -> Result<bool> {
    clear_dead(mount);
    let cannot = |e: &io::Error| {
        Failure::system(
            format!(
                "{} cannot be mounted on: name an empty folder of yours with --mount",
                mount.display()
            ),
            e,
        )
    };
    match guard::look(mount) {
        Ok(guard::Look::Free) => Ok(false),
        Ok(guard::Look::Written(written)) => {
            let names: Vec<_> = written.iter().map(|name| name.to_string_lossy()).collect();
            let what = format!(
                "while nobody was signed in, {} was written in {}, unencrypted",
                names.join(", "),
                mount.display()
            );
            output.note(&match guard::move_aside(mount, &written) {
                Ok(aside) => format!(
                    "{what}: it is in {} now; take into the home what belongs there, and remove the rest",
                    aside.display()
                ),
                Err(error) => format!(
                    "{what}; it stays there, covered while you are signed in, for it cannot be moved: {error}"
                ),
            });
            Ok(false)
        }
        Ok(guard::Look::Foreign) => Err(Failure::usage(format!(
            "{} is not empty: name an empty folder with --mount",
            mount.display()
        ))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => dirs::private_dir(mount)
            .map(|()| true)
            .map_err(|e| cannot(&e)),
        Err(error) => Err(cannot(&error)),
    }
}

/// Removes a folder that [`prepare`] made.
pub fn unprepare(mount: &Path) {
    // Files that are in it all the same are not ours.
    let _ = guard::remove(mount);
}

/// Keeps other runs of `safe` from starting a daemon for this mount point, until it is dropped. Nothing where the state
/// folder can only be read: two that start at once are told by the second daemon then.
pub fn starting(dirs: &Dirs, mount: &Path) -> Result<Option<File>> {
    let path = dirs.lock_path(mount);
    let failed = |e: &io::Error| Failure::system(format!("{} cannot be locked", path.display()), e);
    let open = || {
        if let Some(folder) = path.parent() {
            dirs::private_dir(folder)?;
        }
        fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
    };
    let file = match open() {
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => return Ok(None),
        opened => opened.map_err(|e| failed(&e))?,
    };
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) => {}
            // The same where there are no locks.
            Err(fs::TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                return Ok(None);
            }
            Err(fs::TryLockError::Error(error)) => return Err(failed(&error)),
        }
        if let Some(signal) = signals::asked() {
            return Err(Failure::stopped(signal));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Whether another run of `safe` is about to sign in there.
pub fn is_starting(dirs: &Dirs, mount: &Path) -> bool {
    File::open(dirs.lock_path(mount))
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock)))
}

fn find() -> Result<PathBuf> {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|own| own.parent().map(|folder| folder.join("safed")))
        .filter(|path| path.is_file());
    if let Some(path) = beside {
        return Ok(path);
    }
    std::env::var_os("PATH")
        .iter()
        .flat_map(std::env::split_paths)
        .map(|folder| folder.join("safed"))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            Failure::new(
                "daemon_missing",
                "safed is neither beside safe nor in PATH: install both together, or build them with ./build.sh setup",
            )
        })
}

/// A place for the time of one command, to mount at or for a control file alone, in a folder only this user can enter,
/// under an unguessable name.
pub struct Temporary {
    folder: PathBuf,
}

impl Temporary {
    /// Makes it where the system keeps such things.
    pub fn new() -> Result<Self> {
        let mut random = [0; 8];
        safeos_record::random_bytes(&mut random).map_err(|e| Failure::new("no_randomness", e))?;
        let name = format!("safe-{:016x}", u64::from_le_bytes(random));
        // Of another user's (`sudo` and `su` hand them on) the next is taken.
        let named = |variable: &str| {
            std::env::var_os(variable)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute() && path.is_dir())
                .filter(|path| whose::check(&path.join(&name)).is_ok())
        };
        let base = named("XDG_RUNTIME_DIR")
            .or_else(|| named("TMPDIR"))
            .unwrap_or_else(|| PathBuf::from("/tmp"));
        // As the kernel names it: programs compare HOME with where they are.
        let folder = base.canonicalize().unwrap_or(base).join(name);
        whose::check(&folder).map_err(|stranger| Failure::new("not_yours", stranger))?;
        let made = fs::DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .and_then(|()| fs::create_dir(folder.join("safe")));
        made.map_err(|e| {
            let what = format!(
                "{} cannot be made (TMPDIR names another place for it)",
                folder.display()
            );
            Failure::system(what, &e)
        })?;
        Ok(Self { folder })
    }

    /// Where to mount, or where the control file is.
    pub fn mount(&self) -> PathBuf {
        self.folder.join("safe")
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        use std::os::unix::fs::FileTypeExt;
        // The control file of a daemon without a mount that was killed.
        let control = self.mount().join(safeos_control::FILE_NAME);
        if fs::symlink_metadata(&control).is_ok_and(|meta| meta.file_type().is_socket()) {
            let _ = fs::remove_file(control);
        }
        // Never recursively: were the home still mounted, that would delete it.
        unprepare(&self.mount());
        let _ = fs::remove_dir(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_mount_point_is_private_and_goes_away() {
        use std::os::unix::fs::PermissionsExt;
        let temporary = Temporary::new().unwrap();
        let folder = temporary.folder.clone();
        let mode = fs::metadata(&folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert!(temporary.mount().is_dir());
        drop(temporary);
        assert!(!folder.exists());
    }

    #[test]
    fn what_is_not_ours_is_never_removed_with_it() {
        let temporary = Temporary::new().unwrap();
        let folder = temporary.folder.clone();
        fs::write(temporary.mount().join("file"), b"kept").unwrap();
        drop(temporary);
        assert_eq!(fs::read(folder.join("safe/file")).unwrap(), b"kept");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn another_program_is_not_taken_for_the_daemon() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(!serves(own, Path::new("/")));
        assert!(!serves(i32::MAX, Path::new("/")));
    }
}
