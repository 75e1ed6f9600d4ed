//! The `http:` and `https:` stores: records at a gateway, or at several that serve the same store.
//!
//! What always holds here: a gateway's answer is checked as if an enemy had sent it. Chunks are held
//! against their addresses, pointers against their owners' keys, lengths against limits before there is
//! room for them. A gateway that does not answer, or answers what cannot be true, is left for the next one
//! of the list; every call ends in bounded time.

mod agent;
mod call;
mod connection;
mod link;
pub mod loss;
mod mixed;
mod network;
mod parts;
mod request_error;
mod settings;
mod spares;
mod tls;
pub mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use safeos_record::{Address, Chunk, MAX_CHUNK_SIZE, POINTER_LEN, Pointer};
use ureq::http::{Method, header};

use self::call::{Answer, Call, Caller, of_io, text};
pub use self::link::Link;
pub use self::network::Network;
use self::parts::in_parallel;
use self::request_error::{RequestError, one_line};
pub use self::settings::{CA_FILE, HttpOptions, Parts, Patience, TOKEN_FILE};
use self::spares::Spares;
use self::wire::{JSON_BYTES_MAX, Outcome, Page};
use crate::check::{checked_chunk, checked_pointer};
use crate::{Entry, Error, Failures, Kind, Result, Room, Stats, Store, Traits, Transport, Watched};

/// Chunks of more bytes are put by themselves, not in a batch.
const ALONE_BYTES: usize = 256 * 1024;
/// Most bytes of a batch that is put.
const BATCH_BYTES: usize = 4 << 20;
/// Most chunks fetched with one request.
const FETCH_MAX: usize = 16;
/// A listed record, in bytes of JSON.
const LISTED_BYTES_MAX: usize = 160;

/// Records at gateways.
pub struct HttpStore {
    url: String,
    /// Base URLs, without a slash at the end.
    gateways: Vec<String>,
    /// The one that answered last.
    preferred: AtomicUsize,
    caller: Caller,
    spares: Arc<Spares>,
    failures: Mutex<Failures>,
}

impl HttpStore {
    /// The store at these gateways (base URLs without a path), which all serve the same records. Nothing is
    /// asked yet. `url` is what the store is called in messages.
    pub fn open(url: &str, gateways: Vec<String>, options: &HttpOptions) -> Result<Self> {
        let tokens = options.tokens(&gateways)?;
        let parallel = options.parallel.max(1);
        let trust = tls::Trust::open(options.ca_file.clone())?;
        let spares = Arc::default();
        let agent = agent::agent(&options.network, options.patience, trust, parallel, &spares);
        Ok(Self {
            url: url.to_owned(),
            gateways,
            preferred: AtomicUsize::new(0),
            caller: Caller::new(agent, options, tokens),
            spares,
            failures: Mutex::default(),
        })
    }

    /// Asks gateways until one of them has answered what can be true. `first` of `ask` tells whether nothing
    /// of this was asked before.
    fn try_each<T>(
        &self,
        ask: &mut dyn FnMut(&str, bool) -> Result<T, RequestError>,
    ) -> Result<T, RequestError> {
        self.spares.close_old(&*self.caller.network);
        let count = self.gateways.len();
        let start = self.preferred.load(Ordering::Relaxed);
        let mut first = true;
        let mut pause = self.caller.patience.again;
        // Of each gateway, what went wrong last.
        let mut troubles: Vec<Option<RequestError>> = vec![None; count];
        for round in 0.. {
            let mut wait: Option<Duration> = None;
            for number in (0..count).map(|n| (start + n) % count) {
                let (Some(gateway), Some(last)) =
                    (self.gateways.get(number), troubles.get_mut(number))
                else {
                    continue;
                };
                if last.as_ref().is_some_and(|last| last.tries() <= round) {
                    continue;
                }
                match ask(gateway, first) {
                    Ok(answer) => {
                        self.preferred.store(number, Ordering::Relaxed);
                        return Ok(answer);
                    }
                    Err(error) => {
                        if error.tries() > 1 {
                            self.failed(&error);
                        }
                        if error.tries() > round + 1 {
                            let after = self.caller.patience.before_again(&error);
                            wait = Some(wait.unwrap_or_default().max(after));
                        }
                        *last = Some(error);
                    }
                }
                first = false;
            }
            let Some(after) = wait else { break };
            self.caller.network.sleep(pause.max(after));
            pause *= 3;
        }
        let worst = troubles
            .into_iter()
            .flatten()
            .max_by_key(RequestError::rank);
        Err(worst.unwrap_or_else(|| RequestError::away("no gateway is named")))
    }

    fn failed(&self, error: &RequestError) {
        let error = error.clone().into_error(&self.url, None);
        let mut failures = self.failures.lock();
        failures.count += 1;
        failures.last = Some((error, Instant::now()));
    }

    fn get_one(&self, address: &Address) -> Result<Chunk> {
        let found = self.try_each(&mut |gateway, first| {
            // After a wrong answer, ask the gateway and every cache before it to revalidate.
            let anew = (header::CACHE_CONTROL, "no-cache".to_owned());
            let ask = Call {
                header: (!first).then_some(anew),
                ..Call::get(chunk_path(address), MAX_CHUNK_SIZE)
            };
            match self.caller.ask(gateway, &ask) {
                Ok(answer) => answer.read(|bytes| believed(*address, bytes)),
                Err(RequestError::Missing(which)) if which != Some(*address) => Err(other_answer()),
                Err(error) => Err(error),
            }
        });
        found.map_err(|error| error.into_error(&self.url, Some((Kind::Chunk, *address))))
    }

    /// Fetches at most [`FETCH_MAX`] chunks with one request, and the rest of them with another one as long as there
    /// is another gateway to ask.
    fn get_some(&self, addresses: &[Address]) -> Vec<Result<Chunk>> {
        let mut found: Vec<Option<Result<Chunk, RequestError>>> = vec![None; addresses.len()];
        let outcome = self.try_each(&mut |gateway, _| {
            let open: Vec<usize> = (0..addresses.len())
                .filter(|n| !matches!(found.get(*n), Some(Some(Ok(_)))))
                .collect();
            let asked: Vec<Address> = open
                .iter()
                .filter_map(|n| addresses.get(*n).copied())
                .collect();
            let body = wire::write_addresses(&asked);
            let most = asked.len() * (MAX_CHUNK_SIZE + 5);
            let ask = Call::post("/v1/chunks/get", &body, most);
            let mut worst: Option<RequestError> = None;
            self.caller.stream(gateway, &ask, &mut |from, _, body| {
                if !from.may_be_gateway() {
                    return Err(from.stranger());
                }
                for (number, address) in open.iter().zip(&asked) {
                    let (outcome, bytes) = wire::read_answer(body).map_err(|e| of_io(&e))?;
                    let chunk = match outcome {
                        Outcome::Found => believed(*address, bytes),
                        Outcome::Missing if bytes == address.as_bytes() => {
                            Err(RequestError::Missing(Some(*address)))
                        }
                        Outcome::Missing => Err(other_answer()),
                        Outcome::Damaged => Err(RequestError::Damaged(said(&bytes))),
                        Outcome::Failed => Err(RequestError::away(said(&bytes))),
                    };
                    if let Err(error) = &chunk
                        && worst.as_ref().is_none_or(|w| w.rank() < error.rank())
                    {
                        worst = Some(error.clone());
                    }
                    if let Some(place) = found.get_mut(*number) {
                        // An answer "not there" must not replace another gateway's failure.
                        match (&place, &chunk) {
                            (Some(Err(before)), Err(now)) if before.rank() > now.rank() => {}
                            _ => *place = Some(chunk),
                        }
                    }
                }
                at_end(body)
            })?;
            worst.map_or(Ok(()), Err)
        });
        let rest = outcome.err().unwrap_or(RequestError::Missing(None));
        addresses
            .iter()
            .zip(found)
            .map(|(address, found)| {
                found
                    .unwrap_or_else(|| Err(rest.clone()))
                    .map_err(|error| error.into_error(&self.url, Some((Kind::Chunk, *address))))
            })
            .collect()
    }

    /// Puts chunks with one request. One whose answer was lost is asked for before it is sent again.
    fn put_some(&self, chunks: &[&Chunk]) -> Result<()> {
        let mut open = chunks.to_vec();
        let outcome = self.try_each(&mut |gateway, first| {
            if !first {
                let addresses: Vec<Address> = open.iter().map(|chunk| chunk.address()).collect();
                let mut there = self.has_at(gateway, &addresses)?.into_iter();
                open.retain(|_| !there.next().unwrap_or(false));
            }
            match open.as_slice() {
                [] => Ok(()),
                [chunk] => {
                    let ask = Call {
                        method: Method::PUT,
                        body: Some(chunk.bytes()),
                        ..Call::get(chunk_path(&chunk.address()), JSON_BYTES_MAX)
                    };
                    self.caller.have_done(gateway, &ask).map(drop)
                }
                several => {
                    let body = wire::write_chunks(several);
                    let ask = Call::post("/v1/chunks/put", &body, JSON_BYTES_MAX);
                    self.caller.have_done(gateway, &ask).map(drop)
                }
            }
        });
        outcome.map_err(|error| error.into_error(&self.url, None))
    }

    fn has_at(&self, gateway: &str, addresses: &[Address]) -> Result<Vec<bool>, RequestError> {
        let body = wire::write_addresses(addresses);
        let ask = Call::post("/v1/chunks/has", &body, body.len());
        let answer = self.caller.ask(gateway, &ask)?;
        // An empty one is well-formed, whatever it comes from.
        if !answer.from.may_be_gateway() {
            return Err(answer.from.stranger());
        }
        answer.read(|there| wire::read_there(addresses, &there).ok_or_else(other_answer))
    }

    fn get_pointer_at(
        &self,
        gateway: &str,
        address: &Address,
    ) -> Result<Option<Pointer>, RequestError> {
        let ask = Call::get(pointer_path(address), POINTER_LEN);
        match self.caller.ask(gateway, &ask) {
            Ok(answer) => answer.read(|bytes| {
                checked_pointer(*address, Some(&bytes)).map_err(|error| match error {
                    Error::Damaged { why, .. } => RequestError::Lie(why),
                    other => RequestError::Lie(other.to_string()),
                })
            }),
            Err(RequestError::Missing(which)) if which == Some(*address) => Ok(None),
            Err(RequestError::Missing(_)) => Err(other_answer()),
            Err(error) => Err(error),
        }
    }

    /// Waits at a gateway for a pointer to move.
    fn watch_at(
        &self,
        gateway: &str,
        address: &Address,
        seen: u64,
        time: Duration,
    ) -> Result<Watched, RequestError> {
        let ask = Call {
            header: Some((header::IF_NONE_MATCH, wire::tag(seen))),
            held: time,
            ..Call::get(pointer_path(address), POINTER_LEN)
        };
        let answer = self.caller.ask(gateway, &ask)?;
        if !answer.from.may_be_gateway() {
            return Err(answer.from.stranger());
        }
        if !answer.head.contains_key(wire::PREFERENCE_APPLIED) {
            return Ok(Watched::Unable);
        }
        if answer.from.status == 304 {
            return Ok(Watched::Same);
        }
        // What is no state of this pointer is left to the next one who fetches it.
        let pointer = answer.read(|bytes| Ok(checked_pointer(*address, Some(&bytes))));
        Ok(Watched::Moved(pointer?.unwrap_or_default()))
    }

    /// A set that gateways call a conflict: with their present pointers.
    fn settle(
        &self,
        pointer: &Pointer,
        expected: Option<u64>,
        asked_before: bool,
        claimed: Option<u64>,
    ) -> Result<(), RequestError> {
        let there = self
            .get_pointer(&pointer.address())
            .map_err(|error| RequestError::away(error.to_string()))?;
        let current = there.as_ref().map(Pointer::counter);
        // The answer to an earlier try was lost: it is this very state, signature and all.
        if asked_before && there.as_ref() == Some(pointer) {
            return Ok(());
        }
        let moves = there.is_none_or(|there| pointer.replaces(&there));
        if current == expected && moves {
            return Err(RequestError::Lie(format!(
                "it says that the pointer has moved (to {claimed:?}), but it has not"
            )));
        }
        Err(RequestError::Conflict(current))
    }

    fn json<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        max: usize,
        fits: impl Fn(&T) -> bool,
    ) -> Result<T> {
        let answer = self.try_each(&mut |gateway, _| {
            let ask = Call {
                json: true,
                ..Call::get(path.to_owned(), max)
            };
            let Answer { from, head, body } = self.caller.ask(gateway, &ask)?;
            if !from.marked {
                return Err(from.stranger());
            }
            let digest = head.get(wire::DIGEST).map(|digest| digest.as_bytes());
            if digest != Some(Address::of(&body).to_string().as_bytes()) {
                return Err(other_answer());
            }
            let answer = serde_json::from_slice(&body).map_err(|error| {
                RequestError::Lie(format!("its answer makes no sense: {error}"))
            })?;
            if fits(&answer) {
                Ok(answer)
            } else {
                Err(other_answer())
            }
        });
        answer.map_err(|error| error.into_error(&self.url, None))
    }
}

/// A well-formed answer to another question.
fn other_answer() -> RequestError {
    RequestError::Lie("its answer does not fit what it was asked".into())
}

fn chunk_path(address: &Address) -> String {
    format!("/v1/chunks/{address}")
}

fn pointer_path(address: &Address) -> String {
    format!("/v1/pointers/{address}")
}

/// The chunk, unless these are not its bytes.
fn believed(address: Address, bytes: Vec<u8>) -> Result<Chunk, RequestError> {
    checked_chunk(address, Some(bytes.into())).map_err(|error| match error {
        Error::Damaged { why, .. } => RequestError::Lie(why),
        other => RequestError::Lie(other.to_string()),
    })
}

fn said(bytes: &[u8]) -> String {
    one_line(&String::from_utf8_lossy(bytes))
}

/// Reads the end of an answer, without which the connection is not used again.
fn at_end(body: &mut dyn std::io::Read) -> Result<(), RequestError> {
    match body.read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => Err(RequestError::Lie("its answer goes on after its end".into())),
        Err(error) => Err(of_io(&error)),
    }
}

impl Transport for HttpStore {
    fn received(&self) -> u64 {
        self.caller.received.load(Ordering::Relaxed)
    }

    fn dial_ahead(&self, calls: usize) {
        let most = calls.min(self.caller.parallel);
        self.spares.dial(most, &self.caller.network);
    }
}

impl Store for HttpStore {
    fn url(&self) -> &str {
        &self.url
    }

    fn traits(&self) -> Traits {
        Traits {
            local: false,
            paid: false,
        }
    }

    fn puts_at_once(&self) -> usize {
        self.caller.parallel
    }

    fn put_chunks(&self, chunks: &[Chunk]) -> Result<()> {
        let mut jobs: Vec<Vec<&Chunk>> = Vec::new();
        let mut batch = Vec::new();
        let mut bytes = 0;
        for chunk in chunks {
            if chunk.bytes().len() > ALONE_BYTES {
                jobs.push(vec![chunk]);
                continue;
            }
            if bytes + wire::framed_len(chunk) > BATCH_BYTES || batch.len() == wire::HAS_MAX {
                jobs.push(std::mem::take(&mut batch));
                bytes = 0;
            }
            bytes += wire::framed_len(chunk);
            batch.push(chunk);
        }
        if !batch.is_empty() {
            jobs.push(batch);
        }
        in_parallel(self.caller.parallel, &jobs, |job| self.put_some(job))
            .into_iter()
            .collect()
    }

    fn transport(&self) -> Option<&dyn Transport> {
        Some(self)
    }

    fn get_chunks(&self, addresses: &[Address]) -> Vec<Result<Chunk>> {
        if let [address] = addresses {
            return vec![self.get_one(address)];
        }
        let each = addresses
            .len()
            .div_ceil(self.caller.parallel)
            .clamp(1, FETCH_MAX);
        let jobs: Vec<&[Address]> = addresses.chunks(each).collect();
        in_parallel(self.caller.parallel, &jobs, |job| self.get_some(job))
            .into_iter()
            .flatten()
            .collect()
    }

    fn reads_parts(&self) -> bool {
        true
    }

    fn read_part(&self, address: &Address, offset: u32, len: u32) -> Result<Bytes> {
        let end = u64::from(offset) + u64::from(len);
        let none = || Error::Damaged {
            kind: Kind::Chunk,
            address: *address,
            why: format!("it has no bytes {offset}+{len}"),
        };
        if end > MAX_CHUNK_SIZE as u64 {
            // Missing, rather than too short, if it is not there at all.
            return self.get_one(address).and_then(|_| Err(none()));
        }
        if len == 0 {
            let chunk = self.get_one(address)?;
            return if offset as usize <= chunk.bytes().len() {
                Ok(Bytes::new())
            } else {
                Err(none())
            };
        }
        let part = self.try_each(&mut |gateway, _| {
            let ask = Call {
                header: Some((header::RANGE, format!("bytes={offset}-{}", end - 1))),
                ..Call::get(chunk_path(address), MAX_CHUNK_SIZE)
            };
            let answer = self.caller.ask(gateway, &ask)?;
            let cut = || RequestError::Damaged(format!("it has no bytes {offset}+{len}"));
            // A server or proxy may know no ranges: then this is the chunk, or something else.
            if answer.from.status != 206 {
                let whole = answer.read(|bytes| believed(*address, bytes))?.into_bytes();
                let (start, end) = (offset as usize, end as usize);
                if end > whole.len() {
                    return Err(cut());
                }
                return Ok(whole.slice(start..end));
            }
            let said = text(&answer.head, &header::CONTENT_RANGE).unwrap_or_default();
            let fits = said.starts_with(&format!("bytes {offset}-{}/", end - 1));
            answer.read(|bytes| match bytes.len() == len as usize {
                true if fits => Ok(Bytes::from(bytes)),
                true => Err(other_answer()),
                false => Err(cut()),
            })
        });
        part.map_err(|error| error.into_error(&self.url, Some((Kind::Chunk, *address))))
    }

    fn has_chunks(&self, addresses: &[Address]) -> Result<Vec<bool>> {
        let jobs: Vec<&[Address]> = addresses.chunks(wire::HAS_MAX).collect();
        let answers = in_parallel(self.caller.parallel, &jobs, |job| {
            self.try_each(&mut |gateway, _| self.has_at(gateway, job))
        });
        let mut there = Vec::with_capacity(addresses.len());
        for answer in answers {
            there.extend(answer.map_err(|error| error.into_error(&self.url, None))?);
        }
        Ok(there)
    }

    /// Of several gateways all are asked, and the newest state counts: an old one is as well signed as a new
    /// one.
    fn get_pointer(&self, address: &Address) -> Result<Option<Pointer>> {
        let of_record =
            |error: RequestError| error.into_error(&self.url, Some((Kind::Pointer, *address)));
        if self.gateways.len() == 1 {
            return self
                .try_each(&mut |gateway, _| self.get_pointer_at(gateway, address))
                .map_err(of_record);
        }
        for round in 0.. {
            let answers = in_parallel(self.caller.parallel, &self.gateways, |gateway| {
                self.get_pointer_at(gateway, address)
            });
            let mut newest: Option<Option<Pointer>> = None;
            let mut worst: Option<RequestError> = None;
            for answer in answers {
                match (answer, &newest) {
                    (Ok(Some(one)), Some(Some(other))) if !one.replaces(other) => {}
                    (Ok(None), Some(_)) => {}
                    (Ok(answer), _) => newest = Some(answer),
                    (Err(error), _) => {
                        if worst
                            .as_ref()
                            .is_none_or(|worst| worst.rank() < error.rank())
                        {
                            worst = Some(error);
                        }
                    }
                }
            }
            match (newest, worst) {
                (Some(newest), None) => return Ok(newest),
                (Some(Some(newest)), Some(_)) => return Ok(Some(newest)),
                // No gateway has it, but one did not say: it may be there.
                (_, Some(worst)) if worst.tries() <= round + 1 => return Err(of_record(worst)),
                (None, None) => break,
                _ => self
                    .caller
                    .network
                    .sleep(self.caller.patience.again * 3_u32.pow(round)),
            }
        }
        Err(of_record(RequestError::away("no gateway is named")))
    }

    fn watch_pointer(&self, address: &Address, seen: u64, time: Duration) -> Result<Watched> {
        self.spares.close_old(&*self.caller.network);
        let number = self.preferred.load(Ordering::Relaxed);
        let Some(gateway) = self.gateways.get(number).or(self.gateways.first()) else {
            return Ok(Watched::Unable);
        };
        self.watch_at(gateway, address, seen, time)
            .map_err(|error| error.into_error(&self.url, Some((Kind::Pointer, *address))))
    }

    fn set_pointer(&self, pointer: &Pointer, expected: Option<u64>) -> Result<()> {
        let address = pointer.address();
        let condition = match expected {
            Some(counter) => (header::IF_MATCH, wire::tag(counter)),
            None => (header::IF_NONE_MATCH, "*".to_owned()),
        };
        let outcome = self.try_each(&mut |gateway, first| {
            let ask = Call {
                method: Method::PUT,
                header: Some(condition.clone()),
                body: Some(pointer.as_bytes()),
                ..Call::get(pointer_path(&address), JSON_BYTES_MAX)
            };
            match self.caller.have_done(gateway, &ask) {
                Ok(head) => match text(&head, &header::ETAG).and_then(wire::read_tag) {
                    Some(counter) if counter == pointer.counter() => Ok(Ok(())),
                    Some(_) => Err(RequestError::Lie(
                        "it says it has set the pointer to another counter".into(),
                    )),
                    None => Err(RequestError::Stranger(
                        "it says it has set a pointer, but not to which state: check host and port"
                            .into(),
                    )),
                },
                Err(RequestError::Conflict(claimed)) => {
                    match self.settle(pointer, expected, !first, claimed) {
                        // Settled with all of them: no other need be asked.
                        Err(conflict @ RequestError::Conflict(_)) => Ok(Err(conflict)),
                        other => other.map(Ok),
                    }
                }
                Err(error) => Err(error),
            }
        });
        outcome
            .and_then(|settled| settled)
            .map_err(|error| error.into_error(&self.url, Some((Kind::Pointer, address))))
    }

    fn list(&self, after: Option<(Kind, Address)>, limit: usize) -> Result<Vec<Entry>> {
        let limit = limit.min(wire::LIST_MAX);
        if limit == 0 {
            return Ok(Vec::new());
        }
        let mut path = format!("/v1/list?limit={limit}");
        if let Some(place) = after {
            path.push_str("&after=");
            path.push_str(&wire::write_place(place));
        }
        let asked = after.map(wire::write_place);
        // A list that does not go forward would be read for ever.
        let fits = |page: &Page| {
            let mut last = after;
            let forward = page.records.iter().all(|listed| {
                let place = Some((listed.kind, listed.address));
                std::mem::replace(&mut last, place) < place
            });
            page.after == asked && page.records.len() <= limit && forward
        };
        let page = self.json(&path, limit * LISTED_BYTES_MAX + JSON_BYTES_MAX, fits)?;
        Ok(page.records.into_iter().map(Entry::from).collect())
    }

    fn delete_chunks(&self, addresses: &[Address]) -> Result<u64> {
        let outcomes = in_parallel(self.caller.parallel, addresses, |address| {
            let gone = self.try_each(&mut |gateway, _| {
                let ask = Call {
                    method: Method::DELETE,
                    ..Call::get(chunk_path(address), JSON_BYTES_MAX)
                };
                self.caller.have_done(gateway, &ask).map(drop)
            });
            match gone {
                Ok(()) => Ok(1),
                Err(RequestError::Missing(_)) => Ok(0),
                Err(error) => Err(error.into_error(&self.url, None)),
            }
        });
        outcomes.into_iter().sum()
    }

    fn stats(&self) -> Result<Stats> {
        self.json("/v1/stats", JSON_BYTES_MAX, |_| true)
    }

    fn room(&self) -> Option<Room> {
        *self.caller.room.lock()
    }

    fn failures(&self) -> Failures {
        self.failures.lock().clone()
    }
}
