//! The order in which packs are fetched that nobody waits for.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use safeos_record::Address;

use crate::packs::downloads::prefetch::Prefetch;

/// How long a line is quiet before a pack comes of which little was read: that takes nothing from a reader of something
/// else.
pub(super) const QUIET: Duration = Duration::from_millis(500);
/// How many packs wait to be fetched at most; older ones are given up.
const QUEUED_MAX: usize = 16;

/// Packs that nobody waits for, and what the line does meanwhile.
#[derive(Default)]
pub(super) struct Queue {
    /// The extents that a reader in order comes to next.
    ahead: VecDeque<Prefetch>,
    /// The packs of which several objects were fetched apart.
    behind: VecDeque<Address>,
    /// Those of which few were.
    later: VecDeque<Address>,
    /// When the line was used last.
    used: Option<Instant>,
    /// How many are being fetched.
    running: usize,
    /// How many somebody waits for.
    waited_for: usize,
    ended: bool,
}

impl Queue {
    /// The next extent to fetch.
    pub(super) fn next(&mut self) -> Option<Prefetch> {
        if let Some(prefetch) = self.ahead.pop_front() {
            return Some(prefetch);
        }
        let mut pack = None;
        if self.waited_for == 0 {
            pack = self.behind.pop_front();
        }
        if pack.is_none() && self.quiet_in() == Some(Duration::ZERO) {
            pack = self.later.pop_front();
        }
        pack.map(Prefetch::behind)
    }

    /// After which time there may be something to fetch though nothing happens until then.
    pub(super) fn due_in(&self) -> Option<Duration> {
        self.quiet_in().filter(|_| !self.later.is_empty())
    }

    /// After which time the line will have been quiet for a while; `None` while it is in use.
    fn quiet_in(&self) -> Option<Duration> {
        let is_free = self.waited_for == 0 && self.running == 0 && self.ahead.is_empty();
        is_free.then(|| {
            self.used
                .map_or(Duration::ZERO, |used| QUIET.saturating_sub(used.elapsed()))
        })
    }

    /// Adds what a reader comes to next.
    pub(super) fn add_ahead(&mut self, prefetch: Prefetch) {
        let pack = prefetch.pack();
        self.behind.retain(|other| other != pack);
        self.later.retain(|other| other != pack);
        match self.ahead.iter_mut().find(|other| other.pack() == pack) {
            Some(other) => other.add(&prefetch),
            None => push(&mut self.ahead, prefetch),
        }
    }

    /// Adds a pack of which objects were fetched apart: to follow at once, if more of it is likely to be read.
    pub(super) fn add_behind(&mut self, pack: Address, is_near: bool) {
        if self.is_ahead(&pack) {
            return;
        }
        if is_near {
            self.later.retain(|other| *other != pack);
            push(&mut self.behind, pack);
        } else {
            push(&mut self.later, pack);
        }
    }

    /// Whether a reader comes to something of a pack.
    pub(super) fn is_ahead(&self, pack: &Address) -> bool {
        self.ahead.iter().any(|other| other.pack() == pack)
    }

    /// Whether a reader comes to anything.
    pub(super) fn has_ahead(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// Gives up all that a reader comes to but the first of it.
    pub(super) fn keep_ahead(&mut self, len: usize) {
        self.ahead.truncate(len);
    }

    /// Takes out what a reader comes to up to there.
    pub(super) fn take(&mut self, pack: &Address, range: &Range<u32>) -> Option<Prefetch> {
        let mut ahead = self.ahead.iter();
        let place = ahead.position(|prefetch| prefetch.comes_to(pack, range))?;
        self.ahead.remove(place)
    }

    /// Somebody waits for the store.
    pub(super) fn reader_waits(&mut self) {
        self.waited_for += 1;
    }

    pub(super) fn reader_goes_on(&mut self) {
        self.waited_for -= 1;
        self.used = Some(Instant::now());
    }

    /// Something is fetched that nobody waits for.
    pub(super) const fn fetch_begins(&mut self) {
        self.running += 1;
    }

    pub(super) fn fetch_ends(&mut self) {
        self.running -= 1;
        self.used = Some(Instant::now());
    }

    #[cfg(test)]
    pub(super) const fn waited_for(&self) -> usize {
        self.waited_for
    }

    /// Whether nothing is fetched any more: the session ends.
    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }

    pub(super) const fn set_ended(&mut self, ended: bool) {
        self.ended = ended;
    }
}

fn push<T: PartialEq>(queue: &mut VecDeque<T>, next: T) {
    if queue.contains(&next) {
        return;
    }
    if queue.len() == QUEUED_MAX {
        queue.pop_front();
    }
    queue.push_back(next);
}
