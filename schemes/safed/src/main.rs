//! `safed`: serves `safe:` at a mount point until it is told to end.
//!
//! What always holds here: secrets in this process's memory are kept from core dumps and debuggers
//! before the first one arrives; SIGTERM, SIGINT and an unmount by somebody else end every session, whose
//! unpublished changes are published or stay in the encrypted stage.

use std::io::Write;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use safed::daemon::Daemon;
use safed::process::{self, Signals};

/// Serves `safe:` at a mount point.
#[derive(Parser)]
#[command(name = "safed", version)]
struct Arguments {
    /// The folder to mount at.
    #[arg(long, value_name = "DIR")]
    mount: PathBuf,
    /// The folder for local state (default: SAFE_STATE, or the user's state folder).
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The store for requests that name none (default: SAFE_STORE, or a folder of the user's).
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Nobody else gets to the mount point: show the session to whoever asks (only root needs to say).
    #[arg(long)]
    one_user: bool,
    /// Write one byte to this open file once mounted, and close it.
    #[arg(long, value_name = "FD")]
    ready_fd: Option<RawFd>,
    /// Stay in the foreground. It always does; accepted for the sake of service files.
    #[arg(long)]
    foreground: bool,
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
    process::harden().map_err(|error| format!("cannot protect its memory: {error}"))?;
    let signals = Signals::block().map_err(|error| format!("cannot take signals: {error}"))?;
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
    let (state, point) = (absolute(state)?, absolute(arguments.mount)?);
    let _ = std::env::set_current_dir("/");

    let daemon = Daemon::new(state, store, process::uid());
    serve_mounted(
        &daemon,
        &point,
        arguments.one_user,
        arguments.ready_fd,
        &signals,
    )
}

#[cfg(target_os = "linux")]
fn serve_mounted(
    daemon: &Arc<Daemon>,
    point: &std::path::Path,
    one_user: bool,
    ready_fd: Option<RawFd>,
    signals: &Signals,
) -> Result<(), String> {
    use safed::fuse;
    let options = fuse::Options {
        one_user,
        threads: None,
    };
    let mounted = fuse::mount(daemon, point, &options).map_err(|error| error.to_string())?;
    say_ready(ready_fd);
    signals.wait(|| mounted.is_finished());
    let broken = mounted.is_broken();
    mounted.unmount(|| end_sessions(daemon));
    end_sessions(daemon);
    if broken {
        return Err("a request could not be decoded, so the mount was ended; what was written is kept: sign in again".to_owned());
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn serve_mounted(
    _: &Arc<Daemon>,
    _: &std::path::Path,
    _: bool,
    _: Option<RawFd>,
    _: &Signals,
) -> Result<(), String> {
    Err("this system has no FUSE: its own front serves `safe:`".to_owned())
}

/// Says that the mount is there: a byte to the file asked for, else a line on stdout.
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
    // Who does not listen need not hear.
    let _ = done;
}

/// Ends every session: published, or kept in the encrypted stage until the next sign-in.
fn end_sessions(daemon: &Daemon) {
    for uid in daemon.uids() {
        let Some(signed) = daemon.signed(uid) else {
            continue;
        };
        if let Some(session) = &signed.session
            && let Err(error) = session.sign_out(false, true, &())
        {
            let _ = writeln!(std::io::stderr(), "safed: ending the session: {error}");
        }
        daemon.detach(&signed);
    }
}
