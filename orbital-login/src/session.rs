//! The session around the launcher: whose it is, what it sees, and that nothing of it stays.
//!
//! What always holds here: between [`Host::enter`] and [`Host::clean`] there is one person; whatever of these
//! fails, `clean` is called and leaves neither programs nor folders of the session behind.

mod environment;
mod knock;
mod language;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "redox")]
mod redox;
#[cfg(any(target_os = "redox", test))]
mod tables;

use std::ffi::OsString;
use std::path::PathBuf;

use safeos_control::Client;

pub use environment::{Session, variables};
#[cfg(target_os = "linux")]
pub use linux::{Linux as System, adopt_orphans, end_orphans};
#[cfg(target_os = "redox")]
pub use redox::{Redox as System, end_orphans};

use crate::state::{NETWORK, Tell, is_network};
use crate::user_error::UserError;

/// The parts that differ from one operating system to another.
pub trait Host: Send {
    /// Prepares for a person, and opens the control file in their name.
    fn enter(&mut self, account: &str) -> Result<(), UserError>;
    /// Prepares for a guest.
    fn enter_guest(&mut self) -> Result<(), UserError>;
    /// A new conversation in the name of whoever entered.
    fn client(&mut self) -> Result<Client, UserError>;
    /// Runs the launcher, calls `started` when it runs, waits for its end.
    fn launch(&mut self, started: &mut dyn FnMut()) -> Result<(), UserError>;
    /// Ends what the session has left running.
    fn end_programs(&mut self);
    /// Takes away what was made for the session. With `broken` the daemon is ended too, where it is ours:
    /// it keeps what is not published.
    fn clean(&mut self, broken: bool);
    /// The language that is kept in the home of whoever entered, by its code.
    fn language(&mut self) -> Option<String> {
        None
    }
    /// Keeps another one there.
    fn keep_language(&mut self, _code: &str) {}
    /// The keyboard layouts there are.
    fn keymaps(&mut self) -> Vec<String> {
        Vec::new()
    }
    /// Hears from now on when a program of the session wants it covered.
    fn listen(&mut self, _tell: Tell) {}
    /// What can be done at any time, on another thread.
    fn aside(&self) -> Box<dyn Aside>;
    /// Whether [`Host::power`] does anything.
    fn has_power(&self) -> bool {
        false
    }
    /// Turns the computer off, or off and on again.
    fn power(&mut self, _restart: bool) {}
}

/// What can be done while the launcher runs, for which [`Host::launch`] waits.
pub trait Aside: Send {
    /// A conversation in the name of whoever is in.
    fn client(&self) -> Result<Client, UserError>;
    /// Has the launcher end, and with it the session. Returns when it was told.
    fn end_launcher(&self);
    /// Uses another keyboard layout.
    fn set_keymap(&self, _name: &str) {}
}

/// The arguments of the login program.
#[derive(Clone, Debug)]
pub struct Options {
    /// The launcher with its arguments.
    pub launcher: Vec<OsString>,
    /// The folder for local state.
    pub state: PathBuf,
    /// The URL of the store; the daemon's own where it is not ours to start.
    pub store: String,
    /// The daemon's program, where it is ours to start.
    pub daemon: PathBuf,
    /// The image has a console for developers.
    pub console: bool,
}

impl Options {
    /// The URL of the network that can be reached from here, if one can, and whether this computer's own store is that
    /// network. A local network is named as the store.
    pub fn network(&self) -> (Option<String>, bool) {
        // The network's client does not build there.
        if cfg!(target_os = "redox") {
            return (None, false);
        }
        if is_network(&self.store) {
            return (Some(self.store.clone()), true);
        }
        (Some(NETWORK.to_owned()), false)
    }
}

impl Options {
    /// The URL of this computer's own store, where that is on a server.
    pub fn server(&self) -> Option<String> {
        let is_elsewhere = !self.store.starts_with("file:") && !is_network(&self.store);
        (is_elsewhere && !cfg!(target_os = "redox")).then(|| self.store.clone())
    }
}

/// The reason why the launcher cannot be run.
pub(crate) fn not_started(program: &OsString, error: &std::io::Error) -> UserError {
    let code = match error.kind() {
        std::io::ErrorKind::NotFound => "launcher_missing",
        _ => "launcher_failed",
    };
    UserError::new(
        code,
        format!("{} cannot be run: {error}", program.to_string_lossy()),
    )
}

/// The outcome of a launcher that has ended.
pub(crate) fn ended(
    program: &OsString,
    status: std::io::Result<std::process::ExitStatus>,
) -> Result<(), UserError> {
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(UserError::new(
            "launcher_failed",
            format!("{} ended with {status}", program.to_string_lossy()),
        )),
        Err(error) => Err(not_started(program, &error)),
    }
}
