//! Opening and closing the engine.
//!
//! What always holds here: the engine is open only under the lease; an operation never sees it
//! close; a process that waits for the lease gets it as soon as the operations under way are done;
//! and an idle store holds nothing (it lets go [`LINGER`] after its last operation).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::engine::Engine;
use super::failure::{Failure, io_error};
use super::lease::Lease;
use crate::{Error, Result};

/// An unused engine is kept open this long: opening and closing it costs some three disk
/// syncs, a burst of calls pays them once.
const LINGER: Duration = Duration::from_millis(20);
/// How often an open engine's lease is looked at.
const TICK: Duration = Duration::from_millis(5);
/// How long another process may keep us waiting before that is an error.
const PATIENCE: Duration = Duration::from_secs(30);

/// Opens and closes the engine of one store.
pub(super) struct Holder {
    shared: Arc<Shared>,
    closer: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    url: String,
    folder: PathBuf,
    file: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

enum State {
    Closed,
    /// One thread is opening it, or closing it; the others wait.
    Changing,
    Open(Open),
    /// The store is being dropped.
    Ended,
}

struct Open {
    engine: Arc<Engine>,
    lease: Lease,
    users: usize,
    used: Instant,
    /// It failed or another process waits: no new users, and closed as soon as there are none.
    leaving: bool,
}

impl Holder {
    /// For the engine `file` in `folder`; opens nothing yet.
    pub(super) fn new(url: &str, folder: &Path, file: PathBuf) -> Self {
        Self {
            shared: Arc::new(Shared {
                url: url.to_owned(),
                folder: folder.to_owned(),
                file,
                state: Mutex::new(State::Closed),
                changed: Condvar::new(),
            }),
            closer: Mutex::new(None),
        }
    }

    /// Runs `work` on the open engine.
    pub(super) fn with<T>(&self, work: impl FnOnce(&Engine) -> Result<T, Failure>) -> Result<T> {
        self.start_closer()?;
        let engine = self.shared.enter()?;
        let outcome = work(&engine);
        drop(engine);
        self.shared
            .leave(matches!(outcome, Err(Failure::Engine { .. })));
        outcome.map_err(|failure| self.shared.error(failure))
    }

    fn start_closer(&self) -> Result<()> {
        let mut closer = self.closer.lock();
        if closer.is_none() {
            let shared = self.shared.clone();
            let thread = std::thread::Builder::new()
                .name("store-closer".to_owned())
                .spawn(move || shared.close_when_idle())
                .map_err(|error| {
                    io_error(
                        &self.shared.url,
                        "starting a thread for",
                        &self.shared.folder,
                        &error,
                    )
                })?;
            *closer = Some(thread);
        }
        Ok(())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        while matches!(*state, State::Changing) {
            self.shared.changed.wait(&mut state);
        }
        let last = std::mem::replace(&mut *state, State::Ended);
        self.shared.changed.notify_all();
        drop(state);
        close(last);
        if let Some(closer) = self.closer.lock().take() {
            drop(closer.join());
        }
    }
}

/// The engine first, then the lease.
fn close(state: State) {
    if let State::Open(open) = state {
        drop(open.engine);
        drop(open.lease);
    }
}

impl Shared {
    fn enter(&self) -> Result<Arc<Engine>> {
        let mut state = self.state.lock();
        loop {
            match &mut *state {
                State::Open(open) if !open.leaving => {
                    // A lease that was lost to another process must not be written under.
                    if open.lease.renew().is_err() {
                        open.leaving = true;
                        continue;
                    }
                    open.users += 1;
                    return Ok(open.engine.clone());
                }
                State::Open(Open { users: 0, .. }) => self.close(&mut state),
                State::Closed => {
                    *state = State::Changing;
                    let opened = MutexGuard::unlocked(&mut state, || self.open());
                    match opened {
                        Ok(open) => *state = State::Open(open),
                        Err(error) => {
                            *state = State::Closed;
                            self.changed.notify_all();
                            return Err(error);
                        }
                    }
                    self.changed.notify_all();
                }
                State::Open(_) | State::Changing => self.changed.wait(&mut state),
                State::Ended => {
                    return Err(Error::Broken {
                        url: self.url.clone(),
                        why: "it was closed".to_owned(),
                    });
                }
            }
        }
    }

    fn open(&self) -> Result<Open> {
        let lease = acquire(&self.url, &self.folder)?;
        let engine = Engine::open(&self.file).map_err(|failure| self.error(failure))?;
        Ok(Open {
            engine: Arc::new(engine),
            lease,
            users: 0,
            used: Instant::now(),
            leaving: false,
        })
    }

    fn leave(&self, failed: bool) {
        let mut state = self.state.lock();
        if let State::Open(open) = &mut *state {
            open.users -= 1;
            open.used = Instant::now();
            open.leaving |= failed;
            if open.users == 0 && (open.leaving || open.lease.wanted()) {
                self.close(&mut state);
            }
        }
    }

    fn close(&self, state: &mut MutexGuard<'_, State>) {
        let open = std::mem::replace(&mut **state, State::Changing);
        MutexGuard::unlocked(state, || close(open));
        **state = State::Closed;
        self.changed.notify_all();
    }

    /// The closer thread: asleep while the engine is closed.
    fn close_when_idle(&self) {
        let mut state = self.state.lock();
        loop {
            match &mut *state {
                State::Ended => return,
                State::Open(open) => {
                    if !open.leaving && (open.lease.wanted() || open.lease.renew().is_err()) {
                        open.leaving = true;
                    }
                    if open.users == 0 && (open.leaving || open.used.elapsed() >= LINGER) {
                        self.close(&mut state);
                    } else {
                        // No caller waits for this thread, and it checks everything again.
                        MutexGuard::unlocked(&mut state, || std::thread::sleep(TICK));
                    }
                }
                State::Closed | State::Changing => self.changed.wait(&mut state),
            }
        }
    }

    fn error(&self, failure: Failure) -> Error {
        failure.into_error(&self.url, &self.file)
    }
}

/// The lease on a store's folder, or an error for people.
pub(super) fn acquire(url: &str, folder: &Path) -> Result<Lease> {
    match Lease::acquire(folder, PATIENCE) {
        Ok(Some(lease)) => Ok(lease),
        Ok(None) => Err(Error::Unreachable {
            url: url.to_owned(),
            why: format!(
                "another program has kept it busy for {} s; end that one or try again",
                PATIENCE.as_secs()
            ),
        }),
        Err(error) => Err(io_error(url, "locking", folder, &error)),
    }
}
