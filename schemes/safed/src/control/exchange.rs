//! A request's view of its conversation: the opener, the daemon, and the way back to the reader.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use safeos_control::{ErrorReply, Keys, Reply, Request, RequestLines};
use safeos_session::{Progress, Step};
use zeroize::Zeroizing;

use crate::daemon::Daemon;
use crate::errno::Errno;

/// Keys that were shown have to be read within this time.
const READ_WITHIN: Duration = Duration::from_secs(60);

const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Progress is passed on at most this often.
const PROGRESS_EVERY: Duration = Duration::from_millis(50);

/// Is called when a reader would not wait.
pub type Watcher = Box<dyn Fn() + Send + Sync>;

/// Takes what a reader waits for.
pub type ReadAnswer = Box<dyn FnOnce(Result<&[u8], Errno>) + Send>;

#[derive(Default)]
pub(super) struct State {
    pub(super) lines: RequestLines,
    pub(super) queue: VecDeque<Result<Request, ErrorReply>>,
    pub(super) output: VecDeque<u8>,
    pub(super) progress: Vec<u8>,
    pub(super) running: bool,
    /// A number to know it by, the size of its buffer, and where the answer goes.
    pub(super) waiting: VecDeque<(u64, usize, ReadAnswer)>,
}

impl State {
    /// The readers that can be answered now, with their answers.
    pub(super) fn answers(&mut self) -> Vec<(ReadAnswer, Zeroizing<Vec<u8>>)> {
        let mut answers = Vec::new();
        while !self.waiting.is_empty() && (!self.output.is_empty() || !self.running) {
            if let Some((_, size, answer)) = self.waiting.pop_front() {
                answers.push((answer, self.take(size)));
            }
        }
        answers
    }

    pub(super) fn take(&mut self, size: usize) -> Zeroizing<Vec<u8>> {
        let size = size.min(self.output.len());
        Zeroizing::new(self.output.drain(..size).collect())
    }
}

/// The state that a conversation shares with the request that runs in it.
pub(super) struct Exchange {
    /// Never the same for two of one daemon.
    pub(super) number: u64,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) daemon: Arc<Daemon>,
    pub(super) state: Mutex<State>,
    pub(super) closed: AtomicBool,
    pub(super) watcher: OnceLock<Watcher>,
}

impl Exchange {
    /// Shows keys that are to open an account, and waits until they were read: an account made after this cannot be
    /// lost by an answer that does not arrive. An error if they are not read; then nothing may be made.
    pub(super) fn hand_over(&self, keys: &Keys) -> Result<(), ErrorReply> {
        if *keys == Keys::default() {
            return Ok(());
        }
        let answers = {
            let mut state = self.state.lock();
            state.output.extend(keys.to_line().iter());
            state.answers()
        };
        send(answers);
        self.tell_watcher();
        let start = std::time::Instant::now();
        while !self.state.lock().output.is_empty() {
            if self.closed.load(Ordering::Acquire) || start.elapsed() > READ_WITHIN {
                return Err(ErrorReply {
                    code: "stopped".to_owned(),
                    message: "nobody has read the keys, so nothing was made: read the answer while it is written, or give the keys with the request".to_owned(),
                    retry: false,
                });
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    pub(super) fn say(&self, line: Vec<u8>) {
        let answers = {
            let mut state = self.state.lock();
            // A reader that sleeps gets the newest progress, not all that ever was.
            if state.output.is_empty() {
                state.output.extend(&line);
            }
            state.progress = line;
            state.answers()
        };
        send(answers);
        self.tell_watcher();
    }

    pub(super) fn tell_watcher(&self) {
        if let Some(watcher) = self.watcher.get() {
            watcher();
        }
    }
}

pub(super) fn send(answers: Vec<(ReadAnswer, Zeroizing<Vec<u8>>)>) {
    for (answer, data) in answers {
        answer(Ok(&data));
    }
}

/// The line that says how far a request is.
pub(super) fn progress(step: Step) -> Vec<u8> {
    Reply::Progress(safeos_control::Progress {
        what: step.what,
        done: step.done,
        total: step.total,
        unit: step.unit,
    })
    .to_line()
}

/// Passes the steps of a request on to its conversation.
pub(super) struct Listener<'a> {
    conversation: &'a Exchange,
    /// See [`Progress::waits`].
    waits: bool,
    last: Mutex<Option<(std::time::Instant, String)>>,
}

impl<'a> Listener<'a> {
    pub(super) fn new(conversation: &'a Exchange, waits: bool) -> Self {
        Self {
            conversation,
            waits,
            last: Mutex::new(None),
        }
    }
}

impl Progress for Listener<'_> {
    fn step(&self, step: Step) {
        {
            let mut last = self.last.lock();
            let now = std::time::Instant::now();
            if let Some((at, what)) = &*last
                && *what == step.what
                && step.done != step.total
                && now.duration_since(*at) < PROGRESS_EVERY
            {
                return;
            }
            *last = Some((now, step.what.clone()));
        }
        self.conversation.say(progress(step));
    }

    fn stopped(&self) -> bool {
        self.conversation.closed.load(Ordering::Acquire)
    }

    fn waits(&self) -> bool {
        self.waits
    }
}
