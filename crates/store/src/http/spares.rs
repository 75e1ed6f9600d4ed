//! Connections made before a request needs them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::link::Link;
use super::network::Network;

/// A gateway ends connections on which nothing is asked for.
const AGE_MAX: Duration = Duration::from_secs(8);
/// How long one may take to be made.
const DIAL_MAX: Duration = Duration::from_secs(5);

/// The spare connections to the address that was connected to last.
#[derive(Debug, Default)]
pub(super) struct Spares(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    to: Option<SocketAddr>,
    /// The oldest first, with the time when it was made.
    made: VecDeque<(Duration, Box<dyn Link>)>,
    dialing: usize,
}

impl State {
    fn close_old(&mut self, network: &dyn Network) {
        let now = network.now();
        self.made
            .retain(|(at, _)| now.saturating_sub(*at) < AGE_MAX);
    }
}

impl Spares {
    /// A spare connection to this address, if there is one that can be used.
    pub(super) fn take(&self, to: SocketAddr, network: &dyn Network) -> Option<Box<dyn Link>> {
        let mut state = self.0.lock();
        if state.to.replace(to) != Some(to) {
            state.made.clear();
        }
        state.close_old(network);
        while let Some((_, mut link)) = state.made.pop_front() {
            if link.is_open() {
                return Some(link);
            }
        }
        None
    }

    /// Closes those that nothing has used.
    pub(super) fn close_old(&self, network: &dyn Network) {
        self.0.lock().close_old(network);
    }

    /// Makes connections until there are `count` of them. Does not wait.
    pub(super) fn dial(self: &Arc<Self>, count: usize, network: &Arc<dyn Network>) {
        let mut state = self.0.lock();
        state.close_old(&**network);
        let Some(to) = state.to else { return };
        for _ in state.made.len() + state.dialing..count {
            let (spares, network) = (self.clone(), network.clone());
            let dial = move || {
                let link = network.connect(to, DIAL_MAX);
                let mut state = spares.0.lock();
                state.dialing -= 1;
                if let Ok(link) = link
                    && state.to == Some(to)
                {
                    state.made.push_back((network.now(), link));
                }
            };
            let thread = std::thread::Builder::new().name("dial".into());
            if thread.spawn(dial).is_err() {
                return;
            }
            state.dialing += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

    use super::*;

    /// Counts connections; its clock stands until it is moved.
    #[derive(Debug, Default)]
    struct Counting {
        made: AtomicUsize,
        millis: AtomicU64,
        open: Arc<AtomicBool>,
    }

    #[derive(Debug)]
    struct Wire(Arc<AtomicBool>);

    impl Link for Wire {
        fn read(&mut self, _: &mut [u8], _: Duration) -> io::Result<usize> {
            Ok(0)
        }

        fn write(&mut self, _: &[u8], _: Duration) -> io::Result<usize> {
            Ok(0)
        }

        fn is_open(&mut self) -> bool {
            self.0.load(Ordering::SeqCst)
        }
    }

    impl Network for Counting {
        fn resolve(&self, _: &str, _: u16, _: Duration) -> io::Result<Vec<SocketAddr>> {
            Ok(Vec::new())
        }

        fn connect(&self, _: SocketAddr, _: Duration) -> io::Result<Box<dyn Link>> {
            self.made.fetch_add(1, Ordering::SeqCst);
            Ok(Box::new(Wire(self.open.clone())))
        }

        fn now(&self) -> Duration {
            Duration::from_millis(self.millis.load(Ordering::SeqCst))
        }

        fn sleep(&self, _: Duration) {}
    }

    fn all_made(spares: &Spares, count: usize) {
        while spares.0.lock().made.len() < count {
            std::thread::yield_now();
        }
    }

    #[test]
    fn as_many_are_made_as_are_missing_and_each_is_used_once() {
        let counting = Arc::new(Counting::default());
        counting.open.store(true, Ordering::SeqCst);
        let network: Arc<dyn Network> = counting.clone();
        let (spares, to) = (Arc::new(Spares::default()), "127.0.0.1:1".parse().unwrap());
        // Nothing was asked of anybody.
        spares.dial(3, &network);
        assert!(spares.take(to, &*network).is_none());
        spares.dial(3, &network);
        spares.dial(3, &network);
        all_made(&spares, 3);
        assert_eq!(counting.made.load(Ordering::SeqCst), 3);
        assert!(spares.take(to, &*network).is_some());
        spares.dial(3, &network);
        all_made(&spares, 3);
        assert_eq!(counting.made.load(Ordering::SeqCst), 4);
        let another = "127.0.0.1:2".parse().unwrap();
        assert!(spares.take(another, &*network).is_none());
        assert!(spares.take(to, &*network).is_none());
    }

    #[test]
    fn one_that_has_ended_or_is_old_is_not_used() {
        let counting = Arc::new(Counting::default());
        let network: Arc<dyn Network> = counting.clone();
        let (spares, to) = (Arc::new(Spares::default()), "127.0.0.1:1".parse().unwrap());
        assert!(spares.take(to, &*network).is_none());
        spares.dial(1, &network);
        all_made(&spares, 1);
        assert!(spares.take(to, &*network).is_none(), "it has ended");
        counting.open.store(true, Ordering::SeqCst);
        spares.dial(1, &network);
        all_made(&spares, 1);
        counting.millis.store(8_000, Ordering::SeqCst);
        spares.close_old(&*network);
        assert!(spares.0.lock().made.is_empty(), "it is kept");
        assert!(spares.take(to, &*network).is_none(), "it is old");
    }
}
