//! Large bodies in parts, where the network loses what does not fit its buffers.
//!
//! What always holds here: no request of an upload is longer than [`WRITE_BYTES_MAX`] in all, with its head and TLS,
//! and nothing follows it on its connection before it is answered. A part is answered when the gateway holds it;
//! nothing is done with the parts before all are there and make the body that the last request names.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use safeos_record::Address;
use ureq::http::{HeaderMap, Method};

use super::call::{Call, Caller, Reading};
use super::request_error::RequestError;
use super::settings::Parts;
use super::wire::JSON_BYTES_MAX;
use super::wire::{BODY, PART_BYTES_MAX};

/// Most bytes that go over a connection before the gateway has answered: less than the smallest buffer that is known to
/// lose, of 64 KiB.
const WRITE_BYTES_MAX: usize = 48 * 1024;
/// Of these, for TLS, and for a request's head without its token.
const AROUND_BYTES: usize = 3 * 1024;
/// Fewest of them for a part: a gateway takes no longer heads than that leaves room for.
const PART_BYTES_LEAST: usize = 24 * 1024;
const _: () = assert!(WRITE_BYTES_MAX <= PART_BYTES_MAX);

/// One of those that are counted, as long as it is there.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    /// It, and how many there are with it.
    fn new(count: &'a AtomicUsize) -> (Self, usize) {
        let before = count.fetch_add(1, Ordering::Relaxed);
        (Self(count), before + 1)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Caller {
    /// How long the parts of this request's body are, if it has to be sent in parts.
    pub(super) fn part_bytes(&self, base: &str, ask: &Call<'_>) -> Option<usize> {
        let token = self.tokens.get(base).map_or(0, |token| token.len());
        let most = (WRITE_BYTES_MAX - AROUND_BYTES).saturating_sub(token);
        let most = most.max(PART_BYTES_LEAST);
        let fits = ask.body.is_none_or(|body| body.len() <= most);
        let needed = !fits
            && match self.parts {
                Parts::Always => true,
                Parts::Never => false,
                Parts::IfNeeded => self.network.loses(),
            };
        needed.then_some(most)
    }

    /// Asks, with the body in parts of this length, some at a time.
    pub(super) fn ask_in_parts<T>(
        &self,
        base: &str,
        ask: &Call<'_>,
        each: usize,
        read: &mut Reading<'_, T>,
    ) -> Result<T, RequestError> {
        let body = ask.body.unwrap_or_default();
        let id = Address::of(body);
        let parts: Vec<(usize, &[u8])> = (0..).step_by(each).zip(body.chunks(each)).collect();
        let part = |(at, bytes): &(usize, &[u8])| {
            let ask = Call {
                method: Method::PUT,
                body: Some(bytes),
                part: true,
                ..Call::get(
                    format!("/v1/bodies/{id}?at={at}&of={}", body.len()),
                    JSON_BYTES_MAX,
                )
            };
            self.have_done(base, &ask).map(drop)
        };
        let (_counted, bodies) = Counted::new(&self.bodies);
        // By the first one is seen whether there is a gateway that takes parts, and has room for them.
        if let Some(first) = parts.first() {
            part(first)?;
            self.take_parts.lock().insert(base.to_owned());
        }
        let stop = AtomicBool::new(false);
        // Other bodies that are under way use connections too.
        let lines = self.parallel.saturating_sub(bodies - 1).max(1);
        let sent = in_parallel(lines, parts.get(1..).unwrap_or_default(), |bytes| {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let sent = self.again(|| part(bytes));
            stop.fetch_or(sent.is_err(), Ordering::Relaxed);
            sent
        });
        sent.into_iter().collect::<Result<(), RequestError>>()?;
        let ask = Call {
            method: ask.method.clone(),
            path: ask.path.clone(),
            header: ask.header.clone(),
            body: Some(&[]),
            sent_before: Some(id),
            ..*ask
        };
        self.ask_once(base, &ask, &mut |from, head, body| {
            if !has_taken(head, &id) {
                return Err(RequestError::Stranger(format!(
                    "it answers without the body that was sent to it in parts: what stands before the gateway must pass the header {BODY} on, both ways, and all requests to the same gateway"
                )));
            }
            read(from, head, body)
        })
    }

    /// Does something again that may work then. Its gateway has answered before.
    fn again(&self, mut ask: impl FnMut() -> Result<(), RequestError>) -> Result<(), RequestError> {
        let mut pause = self.patience.again;
        let mut tried = 0;
        loop {
            tried += 1;
            match ask() {
                Err(error) if error.tries() > tried => {
                    let after = self.patience.before_again(&error);
                    self.network.sleep(pause.max(after));
                    pause *= 3;
                }
                done => return done,
            }
        }
    }
}

fn has_taken(head: &HeaderMap, id: &Address) -> bool {
    head.get(BODY)
        .is_some_and(|taken| taken.as_bytes() == id.to_string().as_bytes())
}

/// Does independent pieces of work, so many at a time, each in its turn.
pub(super) fn in_parallel<J: Sync, T: Send>(
    threads: usize,
    jobs: &[J],
    work: impl Fn(&J) -> T + Sync,
) -> Vec<T> {
    let threads = threads.min(jobs.len());
    if threads < 2 {
        return jobs.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, T)>> = Mutex::new(Vec::with_capacity(jobs.len()));
    let some = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(number) else { return };
            let outcome = work(job);
            done.lock().push((number, outcome));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            let helper = std::thread::Builder::new().name("gateway".into());
            // A thread that cannot be started is one helper less.
            drop(helper.spawn_scoped(scope, some));
        }
        some();
    });
    let mut done = done.into_inner();
    done.sort_unstable_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}
