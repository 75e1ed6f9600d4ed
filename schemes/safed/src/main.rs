//! `safed`: serves `safe:` until it is told to end: on Linux at a mount point, on Redox as the scheme.
//!
//! What always holds here: secrets in this process's memory are kept from core dumps and debuggers
//! before the first one arrives; SIGTERM, SIGINT and an unmount by another program end every session, whose
//! unpublished changes are published or stay in the encrypted stage: the second signal asks for no more waiting.

use std::io::Write;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser;
use safed::daemon::Daemon;
use safed::process::{self, Signals};
use safed::supervise::supervise;
use safeos_session::{Error, Progress, Step};
use safeos_telemetry::{event, log};

/// Serves `safe:`.
#[derive(Parser)]
#[command(name = "safed", version)]
struct Arguments {
    #[cfg(target_os = "linux")]
    #[command(flatten)]
    place: MountOptions,
    /// The folder for local state (default: SAFE_STATE, or the user's state folder).
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The store for requests that name none (default: SAFE_STORE, or a folder of the user's).
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Write one byte to this open file once it serves, and close it.
    #[arg(long, value_name = "FD")]
    ready_fd: Option<RawFd>,
    /// Serve in a process of its own, and start it again when it dies: for an init that does not.
    #[arg(long)]
    supervise: bool,
    /// Log to this file. SAFE_LOG sets the level, such as debug; without a file the log goes to the system's journal,
    /// else to the file `log` in the state folder.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Stay in the foreground. It always does; accepted for the sake of service files.
    #[arg(long)]
    foreground: bool,
}

/// Where to serve; the scheme on Redox has its name.
#[cfg(target_os = "linux")]
#[derive(clap::Args)]
struct MountOptions {
    /// The folder to mount at.
    #[arg(long, value_name = "DIR", required_unless_present = "socket")]
    mount: Option<PathBuf>,
    /// Mount nothing: answer requests at this socket, which is made.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["mount", "supervise"])]
    socket: Option<PathBuf>,
    /// Only one user reaches the mount point: show the session to every process there (only root needs to say).
    #[arg(long)]
    one_user: bool,
    /// Let root into the mount of an ordinary user; it sees what that user sees.
    #[arg(long)]
    allow_root: bool,
    /// Have set-id programs and device nodes of the home work: for root alone, which then is the only user to get in.
    #[arg(long)]
    suid_dev: bool,
    /// End with the session, or when standard input ends and no program has joined the session.
    #[arg(long)]
    bound: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match serve(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            let _ = writeln!(std::io::stderr(), "safed: {message}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: Arguments) -> Result<(), String> {
    #[cfg(target_os = "linux")]
    process::close_inherited(arguments.ready_fd);
    process::keep_owner();
    safeos_store::keep_memory();
    process::harden().map_err(|error| format!("cannot protect its memory: {error}"))?;
    let signals = Signals::block().map_err(|error| format!("cannot take signals: {error}"))?;
    if arguments.supervise {
        return supervised(&arguments, &signals);
    }
    let state = match arguments.state {
        Some(state) => state,
        None => process::default_state()?,
    };
    let store = match arguments.store {
        Some(store) => store,
        None => process::default_store()?,
    };
    // A daemon keeps no folder busy; relative paths are of the folder it was started in.
    let absolute = |path: PathBuf| {
        std::path::absolute(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let state = absolute(state)?;
    let log = arguments.log.map(absolute).transpose()?;
    #[cfg(target_os = "linux")]
    let place = MountOptions {
        mount: arguments.place.mount.map(absolute).transpose()?,
        socket: arguments.place.socket.map(absolute).transpose()?,
        ..arguments.place
    };
    let _ = std::env::set_current_dir("/");
    own_state(&state)?;
    let log = log::Options {
        no_journal: Some(state.join("log")),
        ..log::Options::from_environment(log)
    };
    log::begin("safed", &log)?;
    event!(
        INFO,
        "the daemon begins",
        version = env!("CARGO_PKG_VERSION")
    );

    let daemon = Daemon::new(safeos_store::from_here(state), store, process::uid());
    #[cfg(target_os = "linux")]
    return match (&place.mount, &place.socket) {
        (Some(mount), _) => serve_mounted(&daemon, mount, &place, arguments.ready_fd, &signals),
        (None, Some(socket)) => {
            serve_at(&daemon, socket, place.bound, arguments.ready_fd, &signals)
        }
        (None, None) => Err("neither a mount point nor a socket was named".to_owned()),
    };
    #[cfg(target_os = "redox")]
    return serve_scheme(&daemon, arguments.ready_fd, &signals);
}

#[cfg(target_os = "linux")]
fn serve_mounted(
    daemon: &Arc<Daemon>,
    mount: &Path,
    place: &MountOptions,
    ready_fd: Option<RawFd>,
    signals: &Signals,
) -> Result<(), String> {
    use safed::fuse;
    let options = fuse::Options {
        one_user: place.one_user,
        threads: None,
        allow_root: place.allow_root,
        suid_dev: place.suid_dev,
        guard: true,
    };
    if place.bound {
        bind(daemon)?;
    }
    let mounted = fuse::mount(daemon, mount, &options).map_err(|error| error.to_string())?;
    tell_ready(ready_fd);
    signals.wait(|| mounted.is_finished() || daemon.is_over());
    let broken = mounted.is_broken();
    let hurry = Hurry::when_told_again(signals);
    mounted.unmount(|| end_sessions(daemon, &hurry));
    end_sessions(daemon, &hurry);
    event!(INFO, "the daemon ends", broken = broken);
    if broken {
        return Err("a request could not be decoded, so the mount was ended; what was written is kept: sign in again".to_owned());
    }
    Ok(())
}

/// Ends with its starter. Standard input is a pipe whose other end the starter holds.
#[cfg(target_os = "linux")]
fn bind(daemon: &Arc<Daemon>) -> Result<(), String> {
    daemon.bind();
    let daemon = Arc::clone(daemon);
    let listen = move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        daemon.starter_gone();
    };
    let thread = std::thread::Builder::new().name("safed-starter".to_owned());
    match thread.spawn(listen) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("cannot start a thread: {error}")),
    }
}

/// Without a mount, for as long as a command needs it.
#[cfg(target_os = "linux")]
fn serve_at(
    daemon: &Arc<Daemon>,
    socket: &Path,
    bound: bool,
    ready_fd: Option<RawFd>,
    signals: &Signals,
) -> Result<(), String> {
    if bound {
        bind(daemon)?;
    }
    let listening = safed::socket::serve(daemon, socket)
        .map_err(|error| format!("cannot listen at {}: {error}", socket.display()))?;
    tell_ready(ready_fd);
    // The client that signed out has read the answer by then.
    signals.wait(|| daemon.is_over() && listening.is_quiet());
    drop(listening);
    end_sessions(daemon, &Hurry::when_told_again(signals));
    Ok(())
}

/// Sees that the files in the state folder are this user's alone.
fn own_state(state: &Path) -> Result<(), String> {
    let ours = || {
        safeos_store::whose::check(state)
            .map_err(|stranger| format!("the state folder cannot be trusted: {stranger}"))
    };
    ours()?;
    // Now, before another user makes it. Where it cannot be made, signing in says why.
    let _ = safeos_store::whose::private_dir(state);
    ours()
}

#[cfg(target_os = "redox")]
fn serve_scheme(
    daemon: &Arc<Daemon>,
    ready_fd: Option<RawFd>,
    signals: &Signals,
) -> Result<(), String> {
    let served = safed::scheme::redox::serve(daemon)?;
    tell_ready(ready_fd);
    signals.wait(|| served.is_finished());
    end_sessions(daemon, &Hurry::when_told_again(signals));
    Ok(())
}

/// Serves in a child. The starter is told of the first child's readiness, from here.
fn supervised(arguments: &Arguments, signals: &Signals) -> Result<(), String> {
    let program =
        std::env::current_exe().map_err(|error| format!("cannot find its own program: {error}"))?;
    let command = |ready_fd: RawFd| {
        let mut command = Command::new(&program);
        #[cfg(target_os = "linux")]
        {
            if let Some(mount) = &arguments.place.mount {
                command.arg("--mount").arg(mount);
            }
            for (asked, option) in [
                (arguments.place.one_user, "--one-user"),
                (arguments.place.allow_root, "--allow-root"),
                (arguments.place.suid_dev, "--suid-dev"),
                (arguments.place.bound, "--bound"),
            ] {
                command.args(asked.then_some(option));
            }
        }
        #[cfg(target_os = "redox")]
        command.env_remove(safed::scheme::redox::INIT_NOTIFY);
        for (option, value) in [
            (
                "--state",
                arguments.state.as_ref().map(|path| path.as_os_str()),
            ),
            ("--store", arguments.store.as_ref().map(|url| url.as_ref())),
            ("--log", arguments.log.as_ref().map(|path| path.as_os_str())),
        ] {
            if let Some(value) = value {
                command.arg(option).arg(value);
            }
        }
        command.arg("--ready-fd").arg(ready_fd.to_string());
        command
    };
    let ready_fd = arguments.ready_fd;
    supervise(signals, command, move || tell_ready(ready_fd))
}

/// Says that `safe:` is there: to init where it listens, and as it was asked for.
fn tell_ready(fd: Option<RawFd>) {
    #[cfg(target_os = "redox")]
    {
        safed::scheme::redox::say_ready();
        if fd.is_none() {
            return;
        }
    }
    say_ready(fd);
}

/// A byte to the file asked for, else a line on stdout.
fn say_ready(fd: Option<RawFd>) {
    let done = match fd {
        Some(fd) => {
            // SAFETY: the caller of this program handed the descriptor over for this; nothing here
            // owns it. Were it none, the write fails.
            let mut file = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(fd) });
            file.write_all(b"r")
        }
        None => writeln!(std::io::stdout(), "ready"),
    };
    // The starter need not listen.
    let _ = done;
}

/// Whether the end is not to wait for a store any more.
struct Hurry(Arc<AtomicBool>);

impl Hurry {
    /// From the next signal on.
    fn when_told_again(signals: &Signals) -> Self {
        let told = Arc::new(AtomicBool::new(false));
        let (signals, tells) = (*signals, Arc::clone(&told));
        // It is left with the process. Without a thread the store is waited for.
        let thread = std::thread::Builder::new().name("safed-hurry".to_owned());
        let _ = thread.spawn(move || tells.store(signals.wait(|| false), Ordering::Release));
        Self(told)
    }
}

impl Progress for Hurry {
    fn step(&self, _: Step) {}

    fn stopped(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Ends every session: published, or kept in the encrypted stage until the next sign-in.
fn end_sessions(daemon: &Daemon, hurry: &Hurry) {
    for uid in daemon.uids() {
        let Some(signed) = daemon.signed(uid) else {
            continue;
        };
        if let Some(session) = &signed.session {
            let ended = match session.sign_out(false, true, hurry) {
                // Another sign-out is under way, and waits.
                Err(Error::Stopped) => session.sign_out_later(),
                ended => ended,
            };
            if let Err(error) = ended {
                let _ = writeln!(std::io::stderr(), "safed: ending the session: {error}");
            }
        }
        daemon.detach(&signed);
    }
}
