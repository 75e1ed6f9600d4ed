//! Conversations on `.ctl` (design section 7).
//!
//! What always holds here: each open of `.ctl` is its own conversation, and the uid that opened it is
//! the one that counts; a request runs on a thread of its own, so a front never waits for it; a
//! reader waits only while a request runs; the bytes of a request are wiped.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use safeos_control::{ErrorReply, Reply};
use safeos_session::Step;

use crate::daemon::Daemon;

mod exchange;
mod requests;

use exchange::{Exchange, State, progress, send};
pub use exchange::{ReadAnswer, Watcher};

pub use crate::errno::Errno;

/// Requests of one conversation that may wait for their turn.
const QUEUED_MAX: usize = 16;
/// Bytes of answers that a conversation keeps for a caller who does not read them.
const OUTPUT_MAX: usize = 1024 * 1024;
/// Requests that may run at once.
const RUNNING_MAX: usize = 32;
/// A waiting reader gets the last progress again after this long: a waiting program can be interrupted
/// only between two reads.
const HEARTBEAT: Duration = Duration::from_millis(250);

/// Everything that conversations share.
pub struct Control {
    daemon: Arc<Daemon>,
    running: AtomicUsize,
    next_conversation: AtomicU64,
}

impl Control {
    /// The control file of `daemon`.
    pub fn new(daemon: Arc<Daemon>) -> Arc<Self> {
        Arc::new(Self {
            daemon,
            running: AtomicUsize::new(0),
            next_conversation: AtomicU64::new(1),
        })
    }
}

/// One open `.ctl`.
pub struct Conversation {
    exchange: Exchange,
    control: Arc<Control>,
}

impl Conversation {
    /// A conversation with a user and group.
    pub fn new(uid: u32, gid: u32, control: Arc<Control>) -> Arc<Self> {
        Arc::new(Self {
            exchange: Exchange {
                number: control.next_conversation.fetch_add(1, Ordering::Relaxed),
                uid,
                gid,
                daemon: Arc::clone(&control.daemon),
                state: Mutex::default(),
                closed: AtomicBool::new(false),
                watcher: OnceLock::new(),
            },
            control,
        })
    }

    /// The opener's user and group.
    pub fn opener(&self) -> (u32, u32) {
        (self.exchange.uid, self.exchange.gid)
    }

    /// Calls `watcher` from now on whenever there is something to read; only the first one counts.
    pub fn watch(&self, watcher: Watcher) {
        let _ = self.exchange.watcher.set(watcher);
    }

    /// Whether a reader would be answered at once.
    pub fn is_readable(&self) -> bool {
        let state = self.exchange.state.lock();
        !state.output.is_empty() || !state.running
    }

    /// Takes a part of a request; runs what is whole. EBUSY when too much waits already.
    pub fn write(self: &Arc<Self>, data: &[u8]) -> Result<(), Errno> {
        let mut state = self.exchange.state.lock();
        if state.queue.len() >= QUEUED_MAX || state.output.len() >= OUTPUT_MAX {
            return Err(libc::EBUSY);
        }
        let requests = state.lines.push(data);
        state.queue.extend(requests);
        self.start(state)
    }

    /// Runs the queue on a thread of its own, unless one does already.
    fn start(self: &Arc<Self>, mut state: MutexGuard<'_, State>) -> Result<(), Errno> {
        if state.running || state.queue.is_empty() {
            return Ok(());
        }
        if self.control.running.fetch_add(1, Ordering::AcqRel) >= RUNNING_MAX {
            self.control.running.fetch_sub(1, Ordering::AcqRel);
            state.queue.clear();
            return Err(libc::EAGAIN);
        }
        state.running = true;
        state.progress.clear();
        drop(state);
        let conversation = Arc::clone(self);
        // Closed when the request has ended.
        let (running, ended) = mpsc::channel::<()>();
        let work = move || {
            conversation.work();
            drop(running);
        };
        let thread = std::thread::Builder::new().name("safed-request".to_owned());
        if thread.spawn(work).is_err() {
            self.control.running.fetch_sub(1, Ordering::AcqRel);
            let mut state = self.exchange.state.lock();
            state.queue.clear();
            state.running = false;
            return Err(libc::EAGAIN);
        }
        let conversation = Arc::clone(self);
        let thread = std::thread::Builder::new().name("safed-heartbeat".to_owned());
        // Without it a reader only gets progress less often.
        let _ = thread.spawn(move || conversation.beat(&ended));
        Ok(())
    }

    /// Runs requests until the queue is empty.
    fn work(&self) {
        loop {
            let request = self.exchange.state.lock().queue.pop_front();
            let reply = match request {
                None => Vec::new(),
                Some(Err(error)) => Reply::Error(error).to_line(),
                Some(Ok(request)) => {
                    let run =
                        std::panic::AssertUnwindSafe(|| requests::run(&self.exchange, request));
                    std::panic::catch_unwind(run)
                        .unwrap_or_else(|_| {
                            let what =
                                "a request on .ctl failed inside the daemon; please report it";
                            self.control.daemon.problem(what.to_owned());
                            Reply::Error(ErrorReply {
                                code: "failed".to_owned(),
                                message: what.to_owned(),
                                retry: false,
                            })
                        })
                        .to_line()
                }
            };
            let (answers, done) = {
                let mut state = self.exchange.state.lock();
                state.output.extend(reply);
                state.progress.clear();
                if state.queue.is_empty() {
                    state.running = false;
                    self.control.running.fetch_sub(1, Ordering::AcqRel);
                }
                (state.answers(), !state.running)
            };
            send(answers);
            self.exchange.tell_watcher();
            if done {
                return;
            }
        }
    }

    /// Repeats the last progress to readers that wait, until the request has ended.
    fn beat(&self, ended: &mpsc::Receiver<()>) {
        while ended.recv_timeout(HEARTBEAT) == Err(mpsc::RecvTimeoutError::Timeout) {
            let mut state = self.exchange.state.lock();
            if !state.running || state.waiting.is_empty() {
                continue;
            }
            let again = if state.progress.is_empty() {
                progress(Step {
                    what: "working".to_owned(),
                    done: 0,
                    total: 0,
                    unit: String::new(),
                })
            } else {
                state.progress.clone()
            };
            state.output.extend(again);
            let answers = state.answers();
            drop(state);
            send(answers);
        }
    }

    /// Hands `answer` what there is to read, at most `size` bytes; nothing when no request runs. If
    /// one runs and has said nothing new, the answer comes later, or is EAGAIN unless `wait`.
    pub fn read(self: &Arc<Self>, size: usize, wait: bool, answer: ReadAnswer) {
        self.read_as(0, size, wait, answer);
    }

    /// The same for a reader that may not want to wait to the end: [`Conversation::withdraw`] knows it by
    /// `reader`.
    pub fn read_as(self: &Arc<Self>, reader: u64, size: usize, wait: bool, answer: ReadAnswer) {
        let mut state = self.exchange.state.lock();
        if !state.running && state.output.is_empty() {
            // A reader has written its request, also without a line end.
            if let Some(request) = state.lines.finish() {
                state.queue.push_back(request);
                let started = self.start(state);
                state = self.exchange.state.lock();
                if let Err(errno) = started {
                    drop(state);
                    return answer(Err(errno));
                }
            }
        }
        let now = if state.output.is_empty() && state.running {
            if wait {
                state.waiting.push_back((reader, size, answer));
                return;
            }
            Err(libc::EAGAIN)
        } else {
            Ok(state.take(size))
        };
        drop(state);
        match now {
            Ok(data) => answer(Ok(&data)),
            Err(errno) => answer(Err(errno)),
        }
    }

    /// A reader waits no longer; `false` if it does not wait (any more).
    pub fn withdraw(&self, reader: u64) -> bool {
        let mut state = self.exchange.state.lock();
        let place = state
            .waiting
            .iter()
            .position(|(other, ..)| *other == reader);
        place
            .and_then(|place| state.waiting.remove(place))
            .is_some()
    }

    /// The caller has closed it: a request that can stop will, and no reader is answered any more.
    pub fn close(&self) {
        self.exchange.closed.store(true, Ordering::Release);
        let waiting = std::mem::take(&mut self.exchange.state.lock().waiting);
        for (_, _, answer) in waiting {
            answer(Ok(&[]));
        }
        self.control
            .daemon
            .conversation_closed(self.exchange.number);
    }
}
