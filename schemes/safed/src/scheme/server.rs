//! The threads that take requests from the kernel and answer them.
//!
//! What always holds here: some thread always waits for the next request, however many others wait for
//! a store (up to a number that no user of one computer reaches); a request is answered exactly once; the
//! caller's memory is never touched after that. A handler that panics costs its one request.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use safeos_session::Change;

use super::front::{Front, Outcome, Ticket, Waiting};
use super::wire::{self, Call, Cqe, Done, ECANCELED, EIO, Errno, Message, Sqe};
use crate::control::Conversation;
use crate::daemon::{self, Daemon, Tree};

/// The way to the kernel and back.
pub trait Wire: Send + Sync {
    /// Waits for the next message; `None` when there will be no more.
    fn next(&self) -> Option<Sqe>;
    /// Sends an answer or an event.
    fn send(&self, answer: Cqe);
}

/// Threads that there are at most: so many requests may wait for a store at once.
const THREADS_MAX: usize = 256;
/// Threads that stay although there is nothing to do.
const IDLE_MAX: usize = 6;
/// From so many on it counts whose requests they work on.
const THREADS_MANY: usize = 64;
/// The most threads that one user's requests have; more of them wait until one of these is done.
const THREADS_OF_USER: usize = 128;
/// The size of its scratch that a thread keeps from one request to the next.
const SCRATCH_KEPT: usize = 1 << 20;
/// A cancellation that comes while its request is between two threads is remembered for so long.
const EARLY_KEPT: Duration = Duration::from_millis(100);
const STACK: usize = 1 << 20;

/// How it stands with the request of a thread; the tag is in the low half.
const IDLE: u64 = 0;
const RUNNING: u64 = 1 << 32;
const COMMITTED: u64 = 2 << 32;
const CANCELLED: u64 = 3 << 32;

/// A thread's request.
struct Slot {
    state: AtomicU64,
    user: AtomicU32,
}

/// The right to answer what a slot holds.
struct Claim<'a> {
    slot: &'a Slot,
    tag: u32,
}

impl Ticket for Claim<'_> {
    fn commit(&self) -> Result<(), Errno> {
        let tag = u64::from(self.tag);
        let to = COMMITTED | tag;
        match self.slot.state.compare_exchange(
            RUNNING | tag,
            to,
            Ordering::AcqRel,
            Ordering::Acquire,
        ) {
            Ok(_) => Ok(()),
            Err(state) if state == to => Ok(()),
            Err(_) => Err(ECANCELED),
        }
    }
}

/// A read that waits for a conversation.
struct Reader {
    conversation: Arc<Conversation>,
    number: u64,
    cancelled: AtomicBool,
}

/// Serves a daemon's namespace over a wire.
pub struct Server {
    front: Arc<Front>,
    wire: Arc<dyn Wire>,
    slots: Mutex<Vec<Arc<Slot>>>,
    threads: AtomicUsize,
    idle: AtomicUsize,
    ended: AtomicBool,
    readers: Mutex<HashMap<u32, Arc<Reader>>>,
    next_reader: AtomicU64,
    early: Mutex<Vec<(u32, Instant)>>,
    early_count: AtomicUsize,
    /// Requests of users who have enough threads, with the user.
    held_back: Mutex<VecDeque<(u32, Call)>>,
    held_back_count: AtomicUsize,
}

impl Server {
    /// A server of `daemon`, which from now on tells it of sign-ins and sign-outs.
    pub fn new(daemon: &Arc<Daemon>, wire: Arc<dyn Wire>) -> Arc<Self> {
        let events = Arc::clone(&wire);
        let front = Arc::new(Front::new(
            daemon,
            Arc::new(move |event| events.send(event)),
        ));
        daemon.set_front(Box::new(Told(Arc::clone(&front))));
        Arc::new(Self {
            front,
            wire,
            slots: Mutex::default(),
            threads: AtomicUsize::new(0),
            idle: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            readers: Mutex::default(),
            next_reader: AtomicU64::new(1),
            early: Mutex::default(),
            early_count: AtomicUsize::new(0),
            held_back: Mutex::default(),
            held_back_count: AtomicUsize::new(0),
        })
    }

    /// The handle to register as the root of the scheme.
    pub fn scheme_root(&self) -> Result<usize, Errno> {
        self.front.scheme_root()
    }

    /// Starts to answer.
    pub fn start(self: &Arc<Self>) -> std::io::Result<()> {
        for _ in 0..2 {
            self.start_thread()?;
        }
        Ok(())
    }

    /// Whether the kernel will send nothing any more.
    pub fn is_finished(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    fn start_thread(self: &Arc<Self>) -> std::io::Result<()> {
        self.threads.fetch_add(1, Ordering::AcqRel);
        let server = Arc::clone(self);
        let thread = std::thread::Builder::new()
            .name("safed-scheme".to_owned())
            .stack_size(STACK);
        let started = thread.spawn(move || server.work());
        if started.is_err() {
            self.threads.fetch_sub(1, Ordering::AcqRel);
        }
        started.map(drop)
    }

    /// A worker that answers requests: each thread needs one of its own.
    pub fn worker(self: &Arc<Self>) -> Worker {
        let slot = Arc::new(Slot {
            state: AtomicU64::new(IDLE),
            user: AtomicU32::new(0),
        });
        self.slots.lock().push(Arc::clone(&slot));
        Worker {
            server: Arc::clone(self),
            slot,
            scratch: Vec::new(),
        }
    }

    /// Takes requests until there are no more, or enough others do.
    fn work(self: Arc<Self>) {
        let mut worker = self.worker();
        while self.idle.fetch_add(1, Ordering::AcqRel) < IDLE_MAX {
            let next = self.wire.next();
            let others = self.idle.fetch_sub(1, Ordering::AcqRel) - 1;
            let Some(sqe) = next else {
                self.ended.store(true, Ordering::Release);
                break;
            };
            if others == 0 && self.threads.load(Ordering::Acquire) < THREADS_MAX {
                // No other thread would take the next request. Without a new thread it waits.
                let _ = self.start_thread();
            }
            // SAFETY: the message is the kernel's, which keeps its memory until the answer is sent.
            unsafe { worker.take(&sqe) };
        }
        if !self.is_finished() {
            self.idle.fetch_sub(1, Ordering::AcqRel);
        }
        self.threads.fetch_sub(1, Ordering::AcqRel);
    }

    fn take(self: &Arc<Self>, message: Message, slot: &Slot, scratch: &mut Vec<u8>) {
        match message {
            Message::Call(call) => {
                let Some(call) = self.hold_back(call, slot) else {
                    return;
                };
                self.work_on(&call, slot, scratch);
                while self.held_back_count.load(Ordering::SeqCst) > 0
                    && let Some((user, call)) = self.next_held_back()
                {
                    slot.user.store(user, Ordering::Relaxed);
                    scratch.clear();
                    self.work_on(&call, slot, scratch);
                }
            }
            Message::Cancel(tag) => self.cancel(tag),
            Message::Close(id) => self.guard("close", || self.front.close(id)),
            Message::Detach { id, pid } => self.guard("detach", || self.front.detach(id, pid)),
            Message::Nothing => {}
        }
    }

    fn work_on(self: &Arc<Self>, call: &Call, slot: &Slot, scratch: &mut Vec<u8>) {
        slot.state
            .store(RUNNING | u64::from(call.tag), Ordering::SeqCst);
        self.answer(call, slot, scratch);
        slot.state.store(IDLE, Ordering::SeqCst);
    }

    /// How many threads work on requests of a user.
    fn threads_of(&self, user: u32) -> usize {
        let works = |slot: &Arc<Slot>| {
            slot.state.load(Ordering::SeqCst) != IDLE && slot.user.load(Ordering::Relaxed) == user
        };
        self.slots.lock().iter().filter(|slot| works(slot)).count()
    }

    /// Keeps a request for later if its user has all the threads that one user may have: others' would
    /// wait for this user's stores. `None`: it is kept.
    fn hold_back(&self, call: Call, slot: &Slot) -> Option<Call> {
        if self.threads.load(Ordering::Relaxed) < THREADS_MANY {
            return Some(call);
        }
        let user = self.front.user(&call);
        slot.user.store(user, Ordering::Relaxed);
        let mut held_back = self.held_back.lock();
        // Counted first: a thread that is done from here on looks for it.
        self.held_back_count.fetch_add(1, Ordering::SeqCst);
        if self.threads_of(user) < THREADS_OF_USER {
            self.held_back_count.fetch_sub(1, Ordering::SeqCst);
            // Before the next one is counted.
            slot.state
                .store(RUNNING | u64::from(call.tag), Ordering::SeqCst);
            return Some(call);
        }
        held_back.push_back((user, call));
        None
    }

    /// The first request that was kept and may go on now.
    fn next_held_back(&self) -> Option<(u32, Call)> {
        let mut held_back = self.held_back.lock();
        let mut full: Vec<u32> = Vec::new();
        let place = held_back.iter().position(|(user, _)| {
            if full.contains(user) {
                return false;
            }
            let free = self.threads_of(*user) < THREADS_OF_USER;
            if !free {
                full.push(*user);
            }
            free
        })?;
        let next = held_back.remove(place);
        if next.is_some() {
            self.held_back_count.fetch_sub(1, Ordering::SeqCst);
        }
        next
    }

    /// Runs a handler; whether it came to its end.
    fn guard(&self, what: &str, handler: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(handler)).is_err() {
            let line = format!("the request {what} failed inside the daemon; please report this");
            self.front.daemon().problem(line);
        }
    }

    fn answer(self: &Arc<Self>, call: &Call, slot: &Slot, scratch: &mut Vec<u8>) {
        let claim = Claim {
            slot,
            tag: call.tag,
        };
        if self.early_count.load(Ordering::Acquire) > 0 && self.was_cancelled(call.tag) {
            if claim.commit().is_ok() {
                self.wire.send(wire::answer(call.tag, Err(ECANCELED)));
            }
            return;
        }
        let mut outcome = Outcome::Now(Err(EIO));
        self.guard("of a program", || {
            outcome = self.front.perform(call, &claim, scratch);
        });
        match outcome {
            Outcome::Now(answer) => {
                if claim.commit().is_err() {
                    // Another thread has answered, and the caller's memory is gone. A handle opened for
                    // it is closed again.
                    if let Ok(Done::Opened { id, .. }) = answer {
                        self.front.close(id);
                    }
                    return;
                }
                if answer.is_ok()
                    && let Some(output) = call.ask.output()
                {
                    // SAFETY: committed and not answered: the memory is there.
                    unsafe { output.fill(scratch) };
                }
                self.wire.send(wire::answer(call.tag, answer));
            }
            Outcome::Later(waiting) => self.wait(call.tag, waiting, &claim),
        }
    }

    /// Answers a read when its conversation has something to say.
    fn wait(self: &Arc<Self>, tag: u32, waiting: Waiting, claim: &Claim<'_>) {
        let reader = Arc::new(Reader {
            conversation: waiting.conversation,
            number: self.next_reader.fetch_add(1, Ordering::Relaxed),
            cancelled: AtomicBool::new(false),
        });
        // Known before it is given up here: a cancellation finds it in one of both places.
        self.readers.lock().insert(tag, Arc::clone(&reader));
        if claim.commit().is_err() {
            self.readers.lock().remove(&tag);
            return;
        }
        let server = Arc::clone(self);
        let to = waiting.to;
        let answer = Box::new(move |answer: Result<&[u8], Errno>| {
            server.readers.lock().remove(&tag);
            let answer = answer.map(|data| {
                // SAFETY: a reader that is withdrawn is answered first; this one was not withdrawn.
                Done::Value(unsafe { to.fill(data) })
            });
            server.wire.send(wire::answer(tag, answer));
        });
        let (conversation, number) = (&reader.conversation, reader.number);
        self.guard("of .ctl", || {
            conversation.read_as(number, waiting.size, true, answer);
        });
        if reader.cancelled.load(Ordering::Acquire) {
            self.withdraw(tag, &reader);
        }
    }

    /// Ends a waiting read, if it still waits.
    fn withdraw(&self, tag: u32, reader: &Reader) -> bool {
        let still = reader.conversation.withdraw(reader.number);
        if still {
            self.readers.lock().remove(&tag);
            self.wire.send(wire::answer(tag, Err(ECANCELED)));
        }
        still
    }

    /// Ends a request whose caller does not want to wait. A request that cannot be undone goes on to its end.
    fn cancel(&self, tag: u32) {
        let running = RUNNING | u64::from(tag);
        let cancelled = CANCELLED | u64::from(tag);
        let mut known = false;
        for slot in self.slots.lock().iter() {
            let state = &slot.state;
            let found =
                state.compare_exchange(running, cancelled, Ordering::AcqRel, Ordering::Acquire);
            match found {
                Ok(_) => {
                    self.wire.send(wire::answer(tag, Err(ECANCELED)));
                    return;
                }
                Err(state) => known |= state == COMMITTED | u64::from(tag),
            }
        }
        let reader = self.readers.lock().get(&tag).cloned();
        if let Some(reader) = reader {
            reader.cancelled.store(true, Ordering::Release);
            self.withdraw(tag, &reader);
        } else if self.cancel_held_back(tag) {
            self.wire.send(wire::answer(tag, Err(ECANCELED)));
        } else if !known {
            let mut early = self.early.lock();
            early.retain(|(_, at)| at.elapsed() < EARLY_KEPT);
            early.push((tag, Instant::now()));
            self.early_count.store(early.len(), Ordering::Release);
        }
    }

    /// Takes a request away that was kept for later.
    fn cancel_held_back(&self, tag: u32) -> bool {
        let mut held_back = self.held_back.lock();
        let place = held_back.iter().position(|(_, call)| call.tag == tag);
        let found = place.and_then(|place| held_back.remove(place)).is_some();
        if found {
            self.held_back_count.fetch_sub(1, Ordering::SeqCst);
        }
        found
    }

    /// Whether a cancellation overtook its request.
    fn was_cancelled(&self, tag: u32) -> bool {
        let mut early = self.early.lock();
        early.retain(|(_, at)| at.elapsed() < EARLY_KEPT);
        let place = early.iter().position(|(other, _)| *other == tag);
        if let Some(place) = place {
            early.swap_remove(place);
        }
        self.early_count.store(early.len(), Ordering::Release);
        place.is_some()
    }
}

/// Answers requests, one at a time.
pub struct Worker {
    server: Arc<Server>,
    slot: Arc<Slot>,
    scratch: Vec<u8>,
}

impl Worker {
    /// Does what a message asks. The answer goes over the server's wire: mostly before this returns, else
    /// when there is one.
    ///
    /// # Safety
    /// The addresses in the message must be mapped as its lengths say, until it is answered.
    pub unsafe fn take(&mut self, sqe: &Sqe) {
        // SAFETY: the caller's promise is the same; it is answered once, by the first to commit.
        let message = unsafe { wire::decode(sqe) };
        self.server.take(message, &self.slot, &mut self.scratch);
        self.scratch.clear();
        if self.scratch.capacity() > SCRATCH_KEPT {
            self.scratch = Vec::new();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let own = |other: &Arc<Slot>| Arc::ptr_eq(other, &self.slot);
        self.server.slots.lock().retain(|other| !own(other));
    }
}

/// The front as the daemon knows it.
struct Told(Arc<Front>);

impl daemon::Front for Told {
    fn flush(&self) {
        self.0.memory.sync_all();
    }

    fn changed(&self, tree: &Arc<Tree>, change: Change) {
        // Nothing is remembered here but mapped files.
        if let Change::Node(ino) = change {
            self.0.memory.changed((tree.key, ino));
        }
    }

    fn turned(&self) {
        self.0.turned();
    }
}
