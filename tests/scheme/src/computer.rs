//! A computer: the daemon with its threads, a store, and users with real homes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use safed::daemon::{Daemon, Member};
use safed::scheme::{Server, Wire};
use safeos_session::{Credentials, Options, Secret, Session};
use safeos_store::{MemoryStore, Store, Traits};

use crate::kernel::{Caller, Kernel};
use crate::process::Process;

/// A daemon that a kernel of ours talks to.
pub struct Computer {
    /// The kernel.
    pub kernel: Arc<Kernel>,
    /// The daemon.
    pub daemon: Arc<Daemon>,
    /// The server that answers the kernel.
    pub server: Arc<Server>,
    /// The store of all homes; it can be told to be slow.
    pub store: Arc<MemoryStore>,
    /// The handle that is the root of the scheme.
    pub root: usize,
    state: tempfile::TempDir,
    next_pid: AtomicU64,
}

impl Default for Computer {
    fn default() -> Self {
        Self::new()
    }
}

impl Computer {
    /// A computer without a session.
    pub fn new() -> Self {
        Self::over(|kernel| kernel)
    }

    /// The same, with something between the daemon and the kernel.
    pub fn over(wire: impl FnOnce(Arc<dyn Wire>) -> Arc<dyn Wire>) -> Self {
        let state = tempfile::tempdir().unwrap();
        let url = format!("file://{}/store", state.path().display());
        let daemon = Daemon::new(state.path().join("state"), url, 0);
        daemon.serve_everybody();
        let kernel = Kernel::new();
        let server = Server::new(&daemon, wire(Arc::clone(&kernel) as Arc<dyn Wire>));
        let root = server.scheme_root().unwrap();
        server.start().unwrap();
        // Elsewhere, as homes on a network are: unread records have to be fetched.
        let store = MemoryStore::new(Traits {
            local: false,
            paid: false,
        });
        Self {
            kernel,
            daemon,
            server,
            store: Arc::new(store),
            root,
            state,
            next_pid: AtomicU64::new(100),
        }
    }

    /// Another computer with the same store.
    pub fn another(&self) -> Self {
        let mut other = Self::new();
        other.store = Arc::clone(&self.store);
        other
    }

    /// A program of a user.
    pub fn process(&self, uid: u32) -> Process {
        self.process_in(uid, self.root)
    }

    /// A program of a user in a namespace whose `safe` is another handle.
    pub fn process_in(&self, uid: u32, root: usize) -> Process {
        let pid = self.next_pid.fetch_add(1, Ordering::Relaxed);
        let gid = if uid == 0 { 0 } else { 100 };
        Process::new(&self.kernel, Caller { uid, gid, pid }, root)
    }

    /// The credentials and options of the user who is `account` on the computer that made the account.
    fn opening(&self, account: u32, uid: u32) -> (Credentials, Options) {
        let credentials = Credentials::new(
            format!("user{account}"),
            Secret::new("correct horse".to_owned()),
        );
        let options = Options::new(
            Arc::clone(&self.store) as Arc<dyn Store>,
            self.state.path().join("state"),
            (uid, 100),
        );
        (credentials, options)
    }

    fn attach(&self, uid: u32, session: &Arc<Session>) {
        let attached = self.daemon.attach(
            uid,
            Arc::clone(session) as Arc<dyn Member>,
            Some(Arc::clone(session)),
            Arc::clone(&self.store) as Arc<dyn Store>,
        );
        assert!(attached.unwrap());
    }

    /// Makes an account for a user and signs in.
    pub fn sign_up(&self, uid: u32) -> Arc<Session> {
        let (credentials, options) = self.opening(uid, uid);
        let session = Session::sign_up_small(credentials, options, &()).unwrap();
        self.attach(uid, &session);
        session
    }

    /// Signs in to an account made before.
    pub fn sign_in(&self, uid: u32) -> Arc<Session> {
        self.sign_in_as(uid, uid)
    }

    /// The same for a user who is `account` on the computer that made it.
    pub fn sign_in_as(&self, account: u32, uid: u32) -> Arc<Session> {
        let (credentials, options) = self.opening(account, uid);
        let session = Session::sign_in(credentials, options, &()).unwrap();
        self.attach(uid, &session);
        session
    }

    /// Signs a user out as the control file does.
    pub fn sign_out(&self, uid: u32) {
        let signed = self.daemon.signed(uid).unwrap();
        let session = signed.session.clone().unwrap();
        session.sign_out(false, false, &()).unwrap();
        self.daemon.detach(&signed);
    }
}

impl Drop for Computer {
    fn drop(&mut self) {
        self.kernel.shut();
        if !std::thread::panicking() {
            assert_eq!(self.kernel.strays(), 0, "answers to nothing that was asked");
        }
    }
}
