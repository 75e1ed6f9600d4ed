//! Connections: how many there are, and which one goes when there are too many.
//!
//! What always holds here: a new connection finds a slot, as long as there is one that does nothing or is slower
//! than it may be; of these the one that has been so for longest is closed. One client never has more than its share.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

/// How far a body or an answer may be behind before its connection may go: lines falter.
pub(crate) const FALTER: Duration = Duration::from_secs(2);

/// How often a connection checks whether others wait.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The time that a connection is left before it is closed for another one.
#[derive(Clone, Copy)]
struct Grace {
    /// From its start, or its last answer, to its next request.
    idle: Duration,
    /// Behind what a body or an answer has to keep up with.
    behind: Duration,
}

/// Where all places are taken and a connection waits.
const OF_ALL: Grace = Grace {
    idle: Duration::from_millis(500),
    behind: FALTER,
};
/// Where one client has all that it may have: it is its own affair.
const OF_ONE: Grace = Grace {
    idle: Duration::ZERO,
    behind: Duration::from_millis(500),
};
/// The interval at which a waiting connection looks again for one to close.
const ANEW_EVERY: Duration = Duration::from_millis(50);
/// The time a connection waits whose client has its full share, and uses it, …
const WAIT: Duration = Duration::from_secs(3);
/// … and how many wait so.
const WAITING_MAX: usize = 128;

/// The state of a connection, by which one is chosen to close.
pub(crate) struct Connection {
    state: Mutex<State>,
    end: Notify,
}

struct State {
    /// Whether a request has been read and not been answered.
    asked: bool,
    /// Since when the other side has been waited for; for a slow transfer, when it would be in time.
    since: Option<Instant>,
}

impl Connection {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                asked: false,
                since: Some(Instant::now()),
            }),
            end: Notify::new(),
        })
    }

    /// A request has been read.
    pub(crate) fn asks(&self) {
        *self.state.lock() = State {
            asked: true,
            since: None,
        };
    }

    /// The answer has been given.
    pub(crate) fn is_answered(&self) {
        *self.state.lock() = State {
            asked: false,
            since: Some(Instant::now()),
        };
    }

    /// Within a request, the other side is waited for, which would be in time at `since`.
    pub(crate) fn waits(&self, since: Instant) {
        let mut state = self.state.lock();
        if state.asked {
            state.since = Some(since);
        }
    }

    /// It is not any more.
    pub(crate) fn goes_on(&self) {
        let mut state = self.state.lock();
        if state.asked {
            state.since = None;
        }
    }

    /// Since when it has done nothing, if it may go.
    fn idle_since(&self, now: Instant, grace: Grace) -> Option<Instant> {
        let state = self.state.lock();
        let grace = if state.asked {
            grace.behind
        } else {
            grace.idle
        };
        state.since.filter(|since| *since + grace <= now)
    }

    /// Returns when the connection is to make room.
    pub(crate) async fn ended(&self) {
        self.end.notified().await;
    }
}

/// The places for connections.
pub(crate) struct Connections {
    all: usize,
    each: usize,
    open: Mutex<Open>,
    left: Notify,
    waiting: AtomicUsize,
}

#[derive(Default)]
struct Open {
    next: u64,
    /// By number, with the network of the client, if that has a share.
    connections: HashMap<u64, (Option<IpAddr>, Arc<Connection>)>,
    counts: HashMap<IpAddr, usize>,
}

impl Open {
    fn remove(&mut self, number: u64) -> Option<Arc<Connection>> {
        let (network, connection) = self.connections.remove(&number)?;
        if let Some(network) = network
            && let Some(count) = self.counts.get_mut(&network)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&network);
            }
        }
        Some(connection)
    }

    /// Ends the connection that has done nothing for longest, of those of `network` or of all.
    fn end_one(&mut self, network: Option<IpAddr>, grace: Grace) -> bool {
        let now = Instant::now();
        let oldest = self
            .connections
            .iter()
            .filter(|(_, (of, _))| network.is_none() || *of == network)
            .filter_map(|(number, (_, line))| Some((line.idle_since(now, grace)?, *number)))
            .min();
        let Some(connection) = oldest.and_then(|(_, number)| self.remove(number)) else {
            return false;
        };
        connection.end.notify_one();
        true
    }
}

/// A place that was taken; it is free again when this is dropped.
pub(crate) struct ConnectionSlot {
    connections: Arc<Connections>,
    number: u64,
    pub(crate) connection: Arc<Connection>,
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        drop(self.connections.open.lock().remove(self.number));
        self.connections.left.notify_one();
    }
}

/// The outcome for a new connection.
pub(crate) enum Admission {
    /// There is a place for it.
    In(ConnectionSlot),
    /// Its client has all it may have, and uses it.
    TooMany,
    /// All places are in use.
    Full,
}

impl Connections {
    pub(crate) fn new(all: usize, each: usize) -> Arc<Self> {
        let all = all.max(1);
        Arc::new(Self {
            all,
            each: each.clamp(1, all),
            open: Mutex::default(),
            left: Notify::new(),
            waiting: AtomicUsize::new(0),
        })
    }

    /// A place for a connection of this network (`None`: one that has no share of its own). Waits as long as all are in
    /// use; never [`Admission::Full`].
    pub(crate) async fn enter(self: &Arc<Self>, network: Option<IpAddr>) -> Admission {
        loop {
            match self.come(network) {
                // Either a connection ends or one falls behind.
                Admission::Full => drop(timeout(ANEW_EVERY, self.left.notified()).await),
                came => return came,
            }
        }
    }

    /// The same for one whose client has all it may have: a little while, in which it falls behind with something.
    pub(crate) async fn enter_later(
        self: &Arc<Self>,
        network: Option<IpAddr>,
    ) -> Option<ConnectionSlot> {
        struct Waits<'a>(&'a AtomicUsize);
        impl Drop for Waits<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waits = Waits(&self.waiting);
        if before >= WAITING_MAX {
            return None;
        }
        let until = Instant::now() + WAIT;
        while Instant::now() < until {
            sleep(ANEW_EVERY).await;
            if let Admission::In(slot) = self.come(network) {
                return Some(slot);
            }
        }
        None
    }

    fn come(self: &Arc<Self>, network: Option<IpAddr>) -> Admission {
        let mut open = self.open.lock();
        let count = |network| open.counts.get(&network).copied().unwrap_or(0);
        let has_all = self.each < self.all && network.is_some_and(|n| count(n) >= self.each);
        if has_all {
            if !open.end_one(network, OF_ONE) {
                return Admission::TooMany;
            }
        } else if open.connections.len() >= self.all && !open.end_one(None, OF_ALL) {
            return Admission::Full;
        }
        let number = open.next;
        open.next += 1;
        let connection = Connection::new();
        open.connections
            .insert(number, (network, connection.clone()));
        if let Some(network) = network {
            *open.counts.entry(network).or_default() += 1;
        }
        Admission::In(ConnectionSlot {
            connections: self.clone(),
            number,
            connection,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    fn is_ended(slot: &ConnectionSlot) -> bool {
        !slot
            .connections
            .open
            .lock()
            .connections
            .contains_key(&slot.number)
    }

    async fn enter(connections: &Arc<Connections>, network: Option<IpAddr>) -> ConnectionSlot {
        match connections.enter(network).await {
            Admission::In(slot) => slot,
            _ => panic!("no place"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_does_nothing_for_longest_goes() {
        let connections = Connections::new(4, 3);
        let mut open = Vec::new();
        for last in [1, 1, 2, 1] {
            open.push(enter(&connections, address(last)).await);
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        // One is at work; of its client's others the older one goes.
        open[0].connection.asks();
        let fifth = enter(&connections, address(1)).await;
        let ended: Vec<bool> = open.iter().map(is_ended).collect();
        assert_eq!(ended, [false, true, false, false]);
        open[1].connection.ended().await;
        // All places are taken: the oldest of all is closed, whichever client has it, when it has had a moment.
        let started = Instant::now();
        let sixth = enter(&connections, address(3)).await;
        assert!(is_ended(&open[2]) && !is_ended(&open[3]) && !is_ended(&fifth));
        assert!((Duration::from_millis(400)..OF_ALL.idle * 2).contains(&started.elapsed()));
        // A connection with a request under way is not closed.
        for connection in [&open[3].connection, &fifth.connection, &sixth.connection] {
            connection.asks();
        }
        assert!(matches!(connections.come(address(1)), Admission::TooMany));
        assert!(matches!(connections.come(address(4)), Admission::Full));
        // A slow one is, after a while.
        let now = Instant::now();
        sixth.connection.waits(now);
        drop(enter(&connections, address(4)).await);
        assert!(is_ended(&sixth) && (FALTER..FALTER * 2).contains(&now.elapsed()));
        fifth.connection.waits(Instant::now());
        assert!(connections.enter_later(address(1)).await.is_some());
        assert!(is_ended(&fifth));
        drop(open);
        assert_eq!(
            connections.open.lock().counts.get(&address(2).unwrap()),
            None
        );
    }

    #[tokio::test]
    async fn a_proxy_has_no_share() {
        let connections = Connections::new(10, 2);
        let open: Vec<_> = [(); 8]
            .map(|()| connections.come(None))
            .into_iter()
            .collect();
        assert!(open.iter().all(|came| matches!(came, Admission::In(_))));
    }
}
