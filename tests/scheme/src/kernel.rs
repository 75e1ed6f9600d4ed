//! The kernel's side: submission entries out, completion entries in.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use safed::scheme::Wire;
use syscall::error::{ECANCELED, EINTR, Error};
use syscall::schemev2::{Cqe, CqeOpcode, Opcode, Sqe, SqeFlags};

/// How long an answer may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// An error number.
pub type Errno = i32;

#[derive(Default)]
struct Completions {
    /// By tag; `None`: not answered yet.
    waiting: HashMap<u32, Option<Cqe>>,
    cancelled: Vec<u32>,
    /// Handle and flags, as sent.
    events: Vec<(usize, usize)>,
    /// Answers to nothing that was asked: a fault of the daemon.
    strays: Vec<Cqe>,
}

/// The sender of a request.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Process.
    pub pid: u64,
}

/// A kernel with one scheme.
pub struct Kernel {
    queue: Mutex<VecDeque<Sqe>>,
    sent: Condvar,
    done: Mutex<Completions>,
    answered: Condvar,
    next_tag: AtomicU32,
    gone: AtomicBool,
}

impl Wire for Kernel {
    fn next(&self) -> Option<Sqe> {
        let mut queue = self.queue.lock();
        loop {
            if let Some(sqe) = queue.pop_front() {
                return Some(sqe);
            }
            if self.gone.load(Ordering::Acquire) {
                return None;
            }
            self.sent.wait(&mut queue);
        }
    }

    fn send(&self, cqe: Cqe) {
        let mut done = self.done.lock();
        if cqe.flags & 0b111 == CqeOpcode::SendFevent as u8 {
            done.events.push((cqe.result as usize, cqe.tag as usize));
        } else {
            match done.waiting.get_mut(&cqe.tag) {
                Some(place @ None) => *place = Some(cqe),
                _ => done.strays.push(cqe),
            }
        }
        drop(done);
        self.answered.notify_all();
    }
}

/// A request that was sent and not waited for.
#[must_use]
pub struct Pending {
    /// Its tag.
    pub tag: u32,
}

/// An answer: the number, and the flags of a new descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The number.
    pub value: usize,
    /// The flags beside it.
    pub extra: u32,
    /// The kind of answer.
    pub opcode: u8,
}

impl Kernel {
    /// A kernel that nothing was asked of yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            queue: Mutex::default(),
            sent: Condvar::new(),
            done: Mutex::default(),
            answered: Condvar::new(),
            next_tag: AtomicU32::new(1),
            gone: AtomicBool::new(false),
        })
    }

    /// Ends the scheme's loop.
    pub fn shut(&self) {
        self.gone.store(true, Ordering::Release);
        let _queue = self.queue.lock();
        self.sent.notify_all();
    }

    fn push(&self, sqe: Sqe) {
        self.queue.lock().push_back(sqe);
        self.sent.notify_one();
    }

    /// Sends a request.
    pub fn submit(&self, opcode: Opcode, flags: SqeFlags, args: [u64; 6], pid: u64) -> Pending {
        let tag = self.next_tag.fetch_add(1, Ordering::Relaxed);
        self.done.lock().waiting.insert(tag, None);
        self.push(Sqe {
            opcode: opcode as u8,
            sqe_flags: flags,
            _rsvd: 0,
            tag,
            args,
            caller: pid,
        });
        Pending { tag }
    }

    /// Waits for the answer of a request.
    pub fn wait(&self, pending: Pending) -> Result<Answer, Errno> {
        self.wait_for(&pending, PATIENCE)
            .expect("no answer came in a minute")
    }

    /// Waits for an answer for some time.
    // It never runs on Redox.
    #[allow(clippy::disallowed_methods)]
    pub fn wait_for(&self, pending: &Pending, time: Duration) -> Option<Result<Answer, Errno>> {
        let until = Instant::now() + time;
        let mut done = self.done.lock();
        loop {
            if let Some(Some(cqe)) = done.waiting.get(&pending.tag).copied() {
                done.waiting.remove(&pending.tag);
                let answer = Error::demux(cqe.result as usize)
                    .map(|value| Answer {
                        value,
                        extra: cqe.extra(),
                        opcode: cqe.flags,
                    })
                    .map_err(|error| error.errno);
                // As the kernel does for a caller that a signal woke.
                let cancelled = done.cancelled.contains(&pending.tag);
                return Some(match answer {
                    Err(ECANCELED) if cancelled => Err(EINTR),
                    answer => answer,
                });
            }
            if self.answered.wait_until(&mut done, until).timed_out() {
                return None;
            }
        }
    }

    /// A signal for the caller of a request.
    pub fn interrupt(&self, pending: &Pending) {
        self.done.lock().cancelled.push(pending.tag);
        self.push(Sqe {
            opcode: Opcode::Cancel as u8,
            sqe_flags: SqeFlags::ONEWAY,
            tag: pending.tag,
            ..Sqe::default()
        });
    }

    /// Sends a request and waits for its answer.
    pub fn call(&self, opcode: Opcode, args: [u64; 6], pid: u64) -> Result<Answer, Errno> {
        self.wait(self.submit(opcode, SqeFlags::empty(), args, pid))
    }

    /// Says that the last descriptor of a handle is gone.
    pub fn close(&self, id: usize) {
        self.push(Sqe {
            opcode: Opcode::CloseMsg as u8,
            sqe_flags: SqeFlags::ONEWAY,
            args: [id as u64, 0, 0, 0, 0, 0],
            ..Sqe::default()
        });
    }

    /// Says that a process has one descriptor of a handle less.
    pub fn detach(&self, id: usize, pid: u64) {
        self.push(Sqe {
            opcode: Opcode::Detach as u8,
            sqe_flags: SqeFlags::ONEWAY,
            args: [id as u64, 0, 0, 0, 0, 0],
            caller: pid,
            ..Sqe::default()
        });
    }

    /// The events so far.
    pub fn events(&self) -> Vec<(usize, usize)> {
        self.done.lock().events.clone()
    }

    /// Answers without a waiting request. There must be none.
    pub fn strays(&self) -> usize {
        self.done.lock().strays.len()
    }
}
