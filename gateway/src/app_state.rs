//! The path of every request to the store.
//!
//! What always holds here: the store is called on threads of its own, a bounded number at a time, except for calls that
//! never wait; a call whose client has gone still counts until it has returned.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use hashlink::LruCache;
use parking_lot::Mutex;
use safeos_record::Address;
use safeos_store::Store;
use safeos_store::wire::BODY;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout_at;

use crate::answer::{Outcome, Refusal, address};
use crate::bodies::{Incoming, too_large};
use crate::buffer_pool::BufferPool;
use crate::clients::{Proxies, network};
use crate::halves::Halves;
use crate::lately::Lately;
use crate::memory_limiter::{MemoryLimiter, Permits};
use crate::metrics::Metrics;
use crate::rate::Rate;
use crate::repeats::Repeats;
use crate::tokens::{Access, Tokens};
use crate::visit::Visit;
use crate::watched::Watched;
use crate::watchers::Watchers;
use crate::{Limits, Options};

/// How many chunks are remembered as verified: some 70 bytes each.
const VERIFIED_MAX: usize = 65_536;

/// How much of a body comes in before there is room for it: as much as a head may have.
const BEGUN_BYTES: usize = 16 * 1024;

/// The state that the handlers share.
pub(crate) struct AppState {
    store: Arc<dyn Store>,
    pub(crate) lately: Arc<Lately>,
    calls: Arc<Semaphore>,
    pub(crate) requests: Semaphore,
    pub(crate) memory: MemoryLimiter,
    pub(crate) halves: Halves,
    pub(crate) buffers: BufferPool,
    pub(crate) rate: Rate,
    pub(crate) metrics: Metrics,
    repeats: Mutex<Repeats>,
    tokens: Option<Watched<Tokens>>,
    pub(crate) proxies: Proxies,
    pub(crate) watchers: Watchers,
    /// Chunks that were verified once on their way out, and their lengths.
    verified: Mutex<LruCache<Address, u32>>,
    pub(crate) allow_delete: bool,
    pub(crate) limits: Limits,
    log: Arc<dyn Fn(&str) + Send + Sync>,
}

/// The handlers' argument.
pub(crate) type Shared = axum::extract::State<Arc<AppState>>;

impl AppState {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        options: &Options,
        ending: watch::Receiver<bool>,
    ) -> Result<Self, String> {
        let limits = options.limits.clone();
        let tokens = match options.token_file.clone() {
            Some(path) => Some(Watched::open(&[&path.clone()], move || {
                Tokens::load(&path)
            })?),
            None if store.traits().paid => {
                return Err(format!(
                    "the store {} is paid for with every record: without tokens anybody who reaches the gateway would spend your money; name a file of tokens (--token-file)",
                    store.url()
                ));
            }
            None => None,
        };
        let memory = MemoryLimiter::new(limits.memory_bytes);
        Ok(Self {
            store,
            lately: Arc::default(),
            calls: Arc::new(Semaphore::new(limits.store_calls.max(1))),
            requests: Semaphore::new(limits.requests.max(1)),
            halves: Halves::new(&memory, &limits),
            memory,
            buffers: BufferPool::default(),
            rate: Rate::new(limits.rate),
            metrics: Metrics::default(),
            repeats: Mutex::default(),
            tokens,
            proxies: Proxies::parse(&options.proxies)?,
            watchers: Watchers::new(ending),
            verified: Mutex::new(LruCache::new(VERIFIED_MAX)),
            allow_delete: options.allow_delete,
            limits,
            log: options.log.clone(),
        })
    }

    /// The rights of a client, and a number for its token.
    pub(crate) fn access(&self, authorization: Option<&[u8]>) -> (Access, Option<u64>) {
        match &self.tokens {
            None => (Access::Write, None),
            Some(tokens) => tokens.get(&*self.log).access(authorization),
        }
    }

    /// Whether others have waited for long for the memory that this address keeps.
    pub(crate) fn is_wanted_of(&self, address: IpAddr) -> bool {
        self.memory.is_wanted_of(network(address))
    }

    /// Calls the store on a thread that may wait.
    pub(crate) async fn store<T: Send + 'static>(
        &self,
        visit: &Visit,
        call: impl FnOnce(&dyn Store) -> T + Send + 'static,
    ) -> Outcome<T> {
        let place = timeout_at(visit.until, self.calls.clone().acquire_owned()).await;
        let Ok(Ok(place)) = place else {
            return Err(Refusal::busy());
        };
        let (store, lately) = (self.store.clone(), self.lately.clone());
        let called = tokio::task::spawn_blocking(move || {
            let _place = place;
            let done = call(&*store);
            lately.look(&*store);
            done
        });
        called.await.map_err(|error| {
            self.log(&format!("a call of the store ended badly: {error}"));
            Refusal::of_store(&safeos_store::Error::Broken {
                url: String::new(),
                why: String::new(),
            })
        })
    }

    /// Fills `out` with a part of a chunk, if that takes no waiting.
    pub(crate) fn reads_now(&self, address: &Address, offset: u32, out: &mut [u8]) -> bool {
        self.store.read_now(address, offset, out)
    }

    /// The length of a chunk that was verified on its way out before. It is not verified again for each reader, which
    /// does it in any case. A store elsewhere is asked, and its answer verified, as ever.
    pub(crate) fn verified(&self, address: &Address) -> Option<u32> {
        let local = self.store.traits().local;
        local
            .then(|| self.verified.lock().get(address).copied())
            .flatten()
    }

    /// Takes note of one.
    pub(crate) fn is_verified(&self, address: Address, len: usize) {
        self.verified.lock().insert(address, len as u32);
    }

    /// The client's view of the store's error; the gateway's operator gets it too.
    pub(crate) fn refusal(&self, error: &safeos_store::Error) -> Refusal {
        let refusal = Refusal::of_store(error);
        if let Some(reason) = &refusal.reason {
            self.metrics.store_failures.fetch_add(1, Ordering::Relaxed);
            // A store that is full or out of reach fails every request the same way.
            let lines = self.repeats.lock().lines(reason, Instant::now());
            lines.iter().for_each(|line| self.log(line));
        }
        refusal
    }

    pub(crate) fn log(&self, line: &str) {
        (self.log)(line);
    }

    /// Reads a body of at most `max` bytes, and takes room for it and for `copies` copies of it. If the request names a
    /// body that was sent in parts, it is that.
    ///
    /// Memory is requested when the body has begun to come in: a client that only announces one, or drips, keeps none
    /// from others.
    pub(crate) async fn body(
        &self,
        visit: &Visit,
        body: Body,
        max: usize,
        copies: usize,
    ) -> Outcome<(Bytes, Permits)> {
        let hint = http_body::Body::size_hint(&body);
        if let Some(id) = &visit.body {
            if hint.exact() != Some(0) {
                return Err(Refusal::bad(
                    "bad_body",
                    format!("with the header {BODY} comes an empty body"),
                ));
            }
            return self.in_parts(visit, id, max, copies).await;
        }
        if hint.lower() > max as u64 {
            return Err(too_large(max));
        }
        let exact = hint.exact().map(|exact| exact as usize);
        let mut incoming = Incoming::new(&self.limits, &self.memory, visit, body);
        let mut bytes = BytesMut::new();
        let mut room = None;
        loop {
            let begun = bytes.len() >= BEGUN_BYTES.min(exact.unwrap_or(BEGUN_BYTES));
            if room.is_none() && begun {
                let needed = exact.unwrap_or(max) * (1 + copies);
                // Something has come in since the request was made.
                let until = visit.goes_on(&self.limits).until;
                room = Some(self.memory.room(visit.network(), needed, until).await?);
                bytes.reserve(exact.map_or(0, |exact| exact.saturating_sub(bytes.len())));
                incoming.keeps_room();
            }
            let Some(part) = incoming.next().await? else {
                break;
            };
            if bytes.len() + part.len() > max {
                return Err(too_large(max));
            }
            bytes.extend_from_slice(&part);
        }
        drop(incoming);
        let needed = bytes.len() * (1 + copies);
        let mut room = match room {
            Some(room) => room,
            None => {
                let room = self.memory.room(visit.network(), needed, visit.until);
                room.await?
            }
        };
        room.shrink(needed);
        self.metrics
            .bytes_in
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok((bytes.freeze(), vec![room]))
    }

    /// The same of a body that was sent in parts before. It is gone from among them then.
    async fn in_parts(
        &self,
        visit: &Visit,
        id: &str,
        max: usize,
        copies: usize,
    ) -> Outcome<(Bytes, Permits)> {
        let id = address(id)?;
        let key = (visit.client, id);
        let len = self.halves.len(&key)?;
        if len > max {
            return Err(too_large(max));
        }
        let mut rooms = Permits::new();
        if copies > 0 {
            let needed = (len * copies).min(self.halves.most());
            let room = self.memory.room(visit.network(), needed, visit.until);
            rooms.push(room.await?);
        }
        let (assembly, held) = self.halves.take(&key, len)?;
        rooms.extend(held);
        let whole = self.store(visit, move |_| {
            let bytes = assembly.into_bytes();
            (Address::of(&bytes) == id).then_some(bytes)
        });
        let bytes = whole.await?.ok_or_else(|| {
            Refusal::bad(
                "wrong_body",
                format!("its parts do not make the body {id}: send them again"),
            )
        })?;
        Ok((bytes.into(), rooms))
    }

    /// Reads and discards a body, so that its sender gets to read the answer.
    pub(crate) async fn drain(&self, visit: &Visit, body: Body, max: usize) {
        let mut left = max;
        let mut incoming = Incoming::new(&self.limits, &self.memory, visit, body);
        while let Ok(Some(part)) = incoming.next().await {
            match left.checked_sub(part.len()) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    }
}
