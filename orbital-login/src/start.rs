//! Arguments, places, and the process that is started again.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use orbital_login::again::Pauses;
use orbital_login::session::Options;
use orbital_login::window::{self, Look};

const USAGE: &str = "usage: orbital-login [--size WIDTHxHEIGHT] [--scale PERCENT] [--once] [--lock-after MINUTES]
       LAUNCHER [ARGUMENT…]

Shows the sign-in screen; whoever signs in gets LAUNCHER with their home on safe:.
  --size   a window of this size instead of the whole screen (not on Redox)
  --scale  everything at least so large, 100 to 800, as far as the screen has room; on an X display
           what its resource Xft.dpi says, unless said otherwise
  --once   end after one session
  --lock-after
           lock a session that nobody has used for so long, 10 minutes unless said otherwise; 0: never
           (where the display counts it: X displays do, and Orbital with our patch)

SAFE_STATE and SAFE_STORE name the folder for local state and the store of this computer.
If there is a file /etc/safeos/console (not on Redox: SAFE_CONSOLE_FILE), the screen says that this
image has a console for developers.";

/// A session that nobody has used for so long is locked, unless another time is given.
const LOCK_AFTER: Duration = Duration::from_secs(600);
/// What can be asked for as the size of everything.
const PERCENT: std::ops::RangeInclusive<u16> = 100..=800;
/// Given to the process that has the screen.
const INNER: &str = "--inner";
/// There on images with a console for developers (`./build.sh image --console`).
const CONSOLE: &str = "/etc/safeos/console";

pub fn main() -> ExitCode {
    let given: Vec<OsString> = std::env::args_os().skip(1).collect();
    let mut look = Look {
        lock_after: Some(LOCK_AFTER),
        ..Look::default()
    };
    let mut inner = false;
    let mut rest = given.as_slice();
    while let [first, others @ ..] = rest {
        match first.to_str() {
            Some(INNER) => inner = true,
            Some("--once") => look.once = true,
            Some("--size") => {
                let size = others
                    .first()
                    .and_then(|size| size.to_str()?.split_once('x'));
                let Some((Ok(width), Ok(height))) = size.map(|(w, h)| (w.parse(), h.parse()))
                else {
                    return usage();
                };
                look.size = Some((width, height));
                rest = &others[1..];
                continue;
            }
            Some("--scale") => {
                let percent = others.first().and_then(|percent| percent.to_str());
                let percent = percent.and_then(|percent| percent.parse().ok());
                let Some(percent) = percent.filter(|percent| PERCENT.contains(percent)) else {
                    return usage();
                };
                look.percent = Some(percent);
                rest = &others[1..];
                continue;
            }
            Some("--lock-after") => {
                let minutes = others.first().and_then(|minutes| minutes.to_str());
                let Some(after) = minutes.and_then(lock_after) else {
                    return usage();
                };
                look.lock_after = (!after.is_zero()).then_some(after);
                rest = &others[1..];
                continue;
            }
            Some("--help") => {
                println!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            Some(option) if option.starts_with("--") => return usage(),
            _ => break,
        }
        rest = others;
    }
    if rest.is_empty() {
        return usage();
    }
    if !inner && !look.once {
        return again_and_again(&given);
    }
    let options = match places(rest.to_vec()) {
        Ok(options) => options,
        Err(message) => return failed(&message),
    };
    harden();
    match window::run(options, look) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => failed(&message),
    }
}

/// So many minutes, also parts of one.
fn lock_after(minutes: &str) -> Option<Duration> {
    let minutes: f64 = minutes.parse().ok()?;
    Duration::try_from_secs_f64(minutes * 60.0).ok()
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn failed(message: &str) -> ExitCode {
    eprintln!("orbital-login: {message}");
    ExitCode::FAILURE
}

/// Starts the screen in a process of its own, and again when that one dies.
fn again_and_again(arguments: &[OsString]) -> ExitCode {
    let mut pauses = Pauses::default();
    #[cfg(target_os = "linux")]
    orbital_login::session::adopt_orphans();
    loop {
        let since = Instant::now();
        let program = match std::env::current_exe() {
            Ok(program) => program,
            Err(_) => "orbital-login".into(),
        };
        let mut command = Command::new(program);
        command.arg(INNER).args(arguments);
        end_together(&mut command);
        let ended = command.status();
        if ended.is_ok_and(|status| status.success()) {
            // The window was closed, where that is possible.
            return ExitCode::SUCCESS;
        }
        // A session may have been behind a card: nothing of it is left to whoever comes next.
        #[cfg(target_os = "linux")]
        orbital_login::session::end_orphans(&beside("safed"));
        #[cfg(target_os = "redox")]
        orbital_login::session::end_orphans();
        std::thread::sleep(pauses.next(since.elapsed()));
    }
}

/// Has the screen end when this process is ended.
fn end_together(_command: &mut Command) {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;
        let with_parent = || {
            // SAFETY: takes numbers and touches no memory of ours.
            match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM, 0, 0, 0) } {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        };
        // SAFETY: between fork and exec only one system call is made, which allocates nothing.
        unsafe { _command.pre_exec(with_parent) };
    }
}

/// Where state and store are: of the system on Redox, of the user elsewhere.
fn places(launcher: Vec<OsString>) -> Result<Options, String> {
    let variable = |name: &str| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
    let folder = |base: &str, under_home: &str| -> Result<PathBuf, String> {
        if cfg!(target_os = "redox") {
            return Ok("/var/lib/safeos".into());
        }
        let named = variable(base)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute());
        let folder =
            named.or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(under_home)));
        folder.map(|folder| folder.join("safeos")).ok_or_else(|| {
            "no folder is known for SafeOS's own files: set SAFE_STATE or HOME".to_owned()
        })
    };
    let state = match variable("SAFE_STATE") {
        Some(state) => std::path::absolute(state).map_err(|error| error.to_string())?,
        None if cfg!(target_os = "redox") => folder("", "")?.join("login"),
        None => folder("XDG_STATE_HOME", ".local/state")?,
    };
    // The remembered accounts are read from it, and the daemon's state lies in it.
    safeos_store::whose::check(&state)
        .map_err(|stranger| format!("the state folder cannot be trusted: {stranger}"))?;
    let store = match variable("SAFE_STORE") {
        Some(url) => url
            .into_string()
            .map_err(|_| "SAFE_STORE is not UTF-8 text: set it to a store URL".to_owned())?,
        None => format!(
            "file://{}",
            folder("XDG_DATA_HOME", ".local/share")?
                .join("store")
                .display()
        ),
    };
    let console = match variable("SAFE_CONSOLE_FILE") {
        Some(file) if !cfg!(target_os = "redox") => PathBuf::from(file),
        _ => CONSOLE.into(),
    };
    Ok(Options {
        launcher,
        state,
        store,
        daemon: beside("safed"),
        // Any entry counts: better one warning too many.
        console: console.symlink_metadata().is_ok(),
    })
}

/// A program that was installed with this one, else the one in PATH.
fn beside(name: &str) -> PathBuf {
    std::env::current_exe()
        .ok()
        .and_then(|own| own.parent().map(|folder| folder.join(name)))
        .filter(|path| path.is_file())
        .unwrap_or_else(|| name.into())
}

/// No dumps of this process's memory, and no reading of it by other programs of the same user.
fn harden() {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the limit lives until the call returns. Refused, there is nothing else to do.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
    #[cfg(target_os = "linux")]
    // SAFETY: takes numbers and touches no memory of ours.
    unsafe {
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
    }
}
