//! Downloads of packs, or of parts of them, from a store that is elsewhere.
//!
//! What always holds here: the same bytes are under way once at most, and whoever asks for them gets what came. What
//! somebody waits for goes before what was only fetched because more of it may be read. Of a pack that is not here few
//! bytes are fetched apart from it: all of them together cost little beside the pack.

mod download;
mod flow;
mod line;
pub(crate) mod part_budget;
pub(crate) mod prefetch;
mod queue;
#[cfg(test)]
mod tests;
mod under_way;

use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use safeos_record::{Address, MAX_CHUNK_SIZE};
use safeos_store::{Error, Store};

use crate::packs::downloads::download::{Download, given_up, is_wanted, lock};
use crate::packs::downloads::flow::Flow;
use crate::packs::downloads::line::Line;
use crate::packs::downloads::part_budget::{PART_BYTES_MAX, PartBudget};
use crate::packs::downloads::prefetch::Prefetch;
use crate::packs::downloads::queue::Queue;
use crate::packs::downloads::under_way::UnderWay;
use crate::packs::extent::{Extent, Piece};

pub(crate) use crate::packs::downloads::line::FETCHERS;

/// How often is looked at what has come while more waits to be asked for.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The downloads under way, and the queue.
#[derive(Default)]
pub(crate) struct Downloads {
    /// Counts what comes in, if it can.
    store: Option<Arc<dyn Store>>,
    state: Mutex<State>,
    queued: Condvar,
    parts: Mutex<PartBudget>,
    line: Line,
}

#[derive(Default)]
struct State {
    under_way: UnderWay,
    flow: Flow,
    queue: Queue,
}

/// A download that this thread makes. Ends it for those who wait, however it goes.
struct Leading<'a> {
    downloads: &'a Downloads,
    what: (Address, Extent),
    download: Arc<Download>,
    outcome: Option<Result<Piece, Error>>,
}

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.downloads.state);
        state.under_way.end(&self.what);
        let brought = self
            .outcome
            .as_ref()
            .and_then(|outcome| outcome.as_ref().ok());
        let brought = brought.map_or(0, Piece::len);
        state.flow.ends(self.what.1.len(), brought);
        drop(state);
        // A panic on the way: whoever waits tries by himself.
        let outcome = self.outcome.take().unwrap_or_else(|| Err(given_up()));
        self.download.end(outcome);
    }
}

impl Leading<'_> {
    fn run(mut self, fetch: impl FnOnce() -> Result<Piece, Error>) -> Result<Piece, Error> {
        let count = || lock(&self.downloads.state).under_way.len();
        let (before, start) = (count(), Instant::now());
        let outcome = fetch();
        if let Ok(piece) = &outcome {
            let beside = before.max(count()) as u64;
            // A small request measures the delay, not the rate.
            if piece.len() > PART_BYTES_MAX as usize && self.downloads.received().is_none() {
                let bytes = piece.len() as u64 * beside;
                self.downloads.line.saw_download(bytes, start.elapsed());
            }
            if self.what.1 == Extent::Whole {
                lock(&self.downloads.parts).forget(&self.what.0);
            }
        }
        self.outcome = Some(outcome.clone());
        outcome
    }
}

/// Whether this thread fetches an extent or waits for another that does.
enum Role<'a> {
    Lead(Leading<'a>),
    Follow(Arc<Download>),
}

/// Something to be fetched that nobody waits for.
pub(crate) struct Job<'a> {
    downloads: &'a Downloads,
    prefetch: Prefetch,
    leading: Option<Leading<'a>>,
}

impl Job<'_> {
    pub(crate) fn run(mut self, fetch: impl FnOnce(&Address, Extent) -> Result<Piece, Error>) {
        if let Some(leading) = self.leading.take() {
            let (pack, extent) = (self.prefetch.pack(), self.prefetch.extent());
            // A reader that needs it gets the error.
            drop(leading.run(|| fetch(pack, extent)));
        }
    }
}

impl Drop for Job<'_> {
    fn drop(&mut self) {
        self.leading.take();
        lock(&self.downloads.state).queue.fetch_ends();
        self.downloads.queued.notify_all();
    }
}

/// Counts somebody who waits for the store.
struct Waiting<'a>(&'a Downloads);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).queue.reader_goes_on();
        self.0.queued.notify_all();
    }
}

impl Downloads {
    /// Downloads from this store.
    pub(crate) fn of(store: Arc<dyn Store>) -> Self {
        Self {
            store: Some(store),
            ..Self::default()
        }
    }

    /// The bytes that the store has received so far, if it counts them.
    fn received(&self) -> Option<u64> {
        let transport = self.store.as_ref()?.transport()?;
        Some(transport.received())
    }

    /// An extent that a reader waits for. It is fetched unless it is under way already.
    pub(crate) fn get(
        &self,
        pack: &Address,
        extent: Extent,
        fetch: impl Fn(Extent) -> Result<Piece, Error>,
    ) -> Result<Piece, Error> {
        let _waiting = self.wait();
        loop {
            let role = self.join(&mut lock(&self.state), pack, extent, &(0..0), u32::MAX);
            if let Some(outcome) = take_part(role, &fetch) {
                return outcome;
            }
        }
    }

    /// The same for what is coming already because somebody reads in order up to there; `None` if it is not.
    pub(crate) fn get_coming(
        &self,
        pack: &Address,
        range: &Range<u32>,
        fetch: impl Fn(Extent) -> Result<Piece, Error>,
    ) -> Option<Result<Piece, Error>> {
        let _waiting = self.wait();
        loop {
            let role = self.coming(pack, range)?;
            if let Some(outcome) = take_part(role, &fetch) {
                return Some(outcome);
            }
        }
    }

    fn coming(&self, pack: &Address, range: &Range<u32>) -> Option<Role<'_>> {
        let mut state = lock(&self.state);
        if let Some(download) = state.under_way.coming(pack, range) {
            return Some(Role::Follow(download));
        }
        // A reader that waits for it does not wait for the queue.
        let prefetch = state.queue.take(pack, range)?;
        Some(self.join_prefetch(&mut state, &prefetch))
    }

    /// Takes part in a download under way of at most `len_max` bytes that has all of this, or begins one.
    fn join(
        &self,
        state: &mut State,
        pack: &Address,
        extent: Extent,
        wanted: &Range<u32>,
        len_max: u32,
    ) -> Role<'_> {
        if let Some(download) = state.under_way.join(pack, extent, wanted, len_max) {
            return Role::Follow(download);
        }
        let what = (*pack, extent);
        state.flow.begins(extent.len(), self.received());
        Role::Lead(Leading {
            downloads: self,
            what,
            download: state.under_way.begin(what, wanted),
            outcome: None,
        })
    }

    fn join_prefetch(&self, state: &mut State, prefetch: &Prefetch) -> Role<'_> {
        let (pack, extent) = (prefetch.pack(), prefetch.extent());
        self.join(state, pack, extent, prefetch.wanted(), u32::MAX)
    }

    /// A few bytes of a pack that is not here, by themselves; `None` if the pack is to be waited for.
    pub(crate) fn get_part(
        &self,
        pack: &Address,
        range: Range<u32>,
        fetch: impl Fn(Extent) -> Result<Piece, Error>,
    ) -> Option<Result<Piece, Error>> {
        let _waiting = self.wait();
        let start = Instant::now();
        let mut is_allowed = false;
        loop {
            let role = self.join_part(pack, &range, &mut is_allowed)?;
            let is_own = matches!(role, Role::Lead(_));
            if let Some(outcome) = take_part(role, &fetch) {
                if outcome.is_ok() && is_own {
                    self.line.saw_request(start.elapsed());
                }
                return Some(outcome);
            }
        }
    }

    /// Takes part in a download of about as little, which costs nothing more, or begins one if that is allowed.
    fn join_part(
        &self,
        pack: &Address,
        range: &Range<u32>,
        is_allowed: &mut bool,
    ) -> Option<Role<'_>> {
        let mut state = lock(&self.state);
        let extent = Extent::of(range);
        // Not with a whole pack that is under way: it is to come before that. All of it is wanted.
        let under_way = &mut state.under_way;
        if let Some(download) = under_way.join(pack, extent, range, PART_BYTES_MAX) {
            return Some(Role::Follow(download));
        }
        if !*is_allowed {
            lock(&self.parts).take(pack, extent.len())?;
            *is_allowed = true;
        }
        Some(self.join(&mut state, pack, extent, range, PART_BYTES_MAX))
    }

    fn wait(&self) -> Waiting<'_> {
        lock(&self.state).queue.reader_waits();
        Waiting(self)
    }

    /// How many packs ahead of a reader are to be under way: what the line holds, and one that is ready.
    pub(crate) fn packs_ahead(&self) -> usize {
        self.line.packs()
    }

    /// Has fetched what a reader comes to next.
    pub(crate) fn prefetch(&self, prefetch: Prefetch) {
        let mut state = lock(&self.state);
        // What is under way need not come twice.
        let Some(rest) = state.under_way.rest_of(prefetch) else {
            return;
        };
        state.queue.add_ahead(rest);
        drop(state);
        self.queued.notify_one();
    }

    /// Whether a reader who reads in order comes to something of a pack.
    pub(crate) fn is_ahead(&self, pack: &Address) -> bool {
        let state = lock(&self.state);
        state.under_way.is_ahead(pack) || state.queue.is_ahead(pack)
    }

    /// Has the pack of an object that was fetched apart follow, when nobody waits for anything.
    pub(crate) fn prefetch_behind(&self, pack: Address) {
        let is_near = lock(&self.parts).is_near(&pack);
        lock(&self.state).queue.add_behind(pack, is_near);
        self.queued.notify_one();
    }

    /// Waits for something to be fetched that nobody waits for; `None` when the session ends.
    pub(crate) fn next(&self) -> Option<Job<'_>> {
        let mut state = lock(&self.state);
        loop {
            if state.queue.has_ended() {
                return None;
            }
            let received = self.received();
            if state.flow.measure(received, &self.line) {
                // More was queued than a slow line has use for.
                state.queue.keep_ahead(self.line.packs());
            }
            let is_room =
                state.flow.outstanding(received) + MAX_CHUNK_SIZE as u64 <= self.line.window();
            if is_room && let Some(prefetch) = state.queue.next() {
                if let Role::Lead(leading) = self.join_prefetch(&mut state, &prefetch) {
                    state.queue.fetch_begins();
                    return Some(Job {
                        downloads: self,
                        prefetch,
                        leading: Some(leading),
                    });
                }
                continue;
            }
            let look_again = (!is_room && state.queue.has_ahead()).then_some(LOOK_EVERY);
            state = match look_again.or_else(|| state.queue.due_in()) {
                Some(pause) => {
                    let waited = self.queued.wait_timeout(state, pause);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let waited = self.queued.wait(state);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
    }

    pub(crate) fn begin(&self) {
        lock(&self.state).queue.set_ended(false);
    }

    pub(crate) fn end(&self) {
        lock(&self.state).queue.set_ended(true);
        self.queued.notify_all();
    }
}

/// The outcome; `None` if the thread that fetched it has given it up, and this one has not.
fn take_part(
    role: Role<'_>,
    fetch: &impl Fn(Extent) -> Result<Piece, Error>,
) -> Option<Result<Piece, Error>> {
    match role {
        Role::Lead(leading) => {
            let extent = leading.what.1;
            Some(leading.run(|| fetch(extent)))
        }
        Role::Follow(download) => match download.wait() {
            Err(Error::Stopped { .. }) if is_wanted() => None,
            outcome => Some(outcome),
        },
    }
}
