//! The scheme's socket on Redox: how the daemon comes to its name, and its wire to the kernel.
//!
//! What always holds here: the name is ours before readiness is reported, which never waits for
//! a network; a name that a dead daemon has left is taken over; nothing here
//! opens a path of our own scheme, which would wait for ourselves.

use std::fs::File;
use std::io::Write;
use std::os::fd::FromRawFd;
use std::sync::Arc;

use redox_scheme::Socket;
use redox_scheme::scheme::register_scheme_inner;

use super::server::{Server, Wire};
use super::walk::MOUNTED_AT;
use super::wire::{Cqe, Sqe};
use crate::daemon::Daemon;

/// The scheme's name.
const NAME: &str = "safe";
/// Where init says which descriptor it listens at.
pub const INIT_NOTIFY: &str = "INIT_NOTIFY";

/// The kernel at the other end of the scheme's socket. Messages go as they are, byte for byte.
struct Kernel(Socket);

impl Wire for Kernel {
    fn next(&self) -> Option<Sqe> {
        let mut sqe = Sqe::default();
        loop {
            match self.0.inner().read(&mut sqe) {
                Ok(count) if count == size_of::<Sqe>() => return Some(sqe),
                Err(error) if error.errno() == libc::EINTR => {}
                _ => return None,
            }
        }
    }

    fn send(&self, answer: Cqe) {
        while let Err(error) = self.0.inner().write(&answer) {
            if error.errno() != libc::EINTR {
                return;
            }
        }
    }
}

/// A scheme that is registered and answers.
pub struct Served(Arc<Server>);

impl Served {
    /// Whether the kernel will send nothing any more.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

/// Serves `daemon` as the scheme `safe`. The thread that calls this must live as long as the scheme: the
/// kernel remembers it.
pub fn serve(daemon: &Arc<Daemon>) -> Result<Served, String> {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        format!(
            "{what}: {error}; safed has to be started by root, in a namespace that may make schemes"
        )
    };
    let taken = is_taken();
    if taken && File::open(MOUNTED_AT).is_ok() {
        return Err(format!(
            "{MOUNTED_AT} is served already; end that safed first"
        ));
    }
    let socket = Socket::create().map_err(|error| failed("cannot make a scheme", &error))?;
    daemon.serve_everybody();
    let wire = Arc::new(Kernel(socket));
    let server = Server::new(daemon, Arc::clone(&wire) as Arc<dyn Wire>);
    let root = server.scheme_root().map_err(|errno| {
        failed(
            "cannot open the root",
            &std::io::Error::from_raw_os_error(errno),
        )
    })?;
    // A daemon that died leaves its name, and registering a name that is taken is fatal for the system's
    // namespace manager.
    if taken {
        let _ = std::fs::remove_file(MOUNTED_AT);
    }
    server
        .start()
        .map_err(|error| failed("cannot start threads", &error))?;
    register_scheme_inner(&wire.0, NAME, root)
        .map_err(|error| failed("cannot register the name `safe`", &error))?;
    Ok(Served(server))
}

/// Whether the namespace has the name, of a daemon that lives or of one that died. Listed, since each question for a
/// scheme that is not there is an error in the system's log.
fn is_taken() -> bool {
    match std::fs::read_dir("/scheme") {
        Ok(names) => names.flatten().any(|entry| entry.file_name() == NAME),
        // It cannot be seen, so it is taken for taken.
        Err(_) => true,
    }
}

/// Tells init, if it listens, that the name is there.
pub fn say_ready() {
    let fd = std::env::var(INIT_NOTIFY)
        .ok()
        .and_then(|fd| fd.parse().ok());
    if let Some(fd) = fd {
        // SAFETY: init handed the descriptor over for this; nothing here owns it. Were it none, the write
        // fails, and the starter need not listen.
        let mut pipe = unsafe { File::from_raw_fd(fd) };
        let _ = pipe.write_all(&[0]);
    }
}
