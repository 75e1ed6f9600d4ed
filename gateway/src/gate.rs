//! What every request passes through on its way to the store.
//!
//! What always holds here: the store is called on threads of its own, a bounded number at a time, but for what takes
//! no waiting; a call whose client has gone still counts until it has returned.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use hashlink::LruCache;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use safeos_record::Address;
use safeos_store::Store;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use crate::answer::{Outcome, Refusal};
use crate::budget::{Budget, Room};
use crate::metrics::Metrics;
use crate::rate::Rate;
use crate::spare::Spare;
use crate::tokens::{Access, Tokens};
use crate::{Limits, Options};

/// How many chunks are remembered as verified: some 70 bytes each.
const VERIFIED_MAX: usize = 65_536;

/// What the handlers share.
pub(crate) struct Gate {
    store: Arc<dyn Store>,
    calls: Arc<Semaphore>,
    pub(crate) requests: Semaphore,
    pub(crate) budget: Budget,
    pub(crate) spare: Spare,
    pub(crate) rate: Rate,
    pub(crate) metrics: Metrics,
    tokens: Option<Tokens>,
    /// Chunks that were verified once on their way out, and their lengths.
    verified: Mutex<LruCache<Address, u32>>,
    pub(crate) allow_delete: bool,
    pub(crate) limits: Limits,
    log: Arc<dyn Fn(&str) + Send + Sync>,
}

/// What handlers get.
pub(crate) type Shared = axum::extract::State<Arc<Gate>>;

impl Gate {
    pub(crate) fn new(store: Arc<dyn Store>, options: &Options) -> Result<Self, String> {
        let limits = options.limits.clone();
        let tokens = match &options.token_file {
            Some(path) => Some(Tokens::load(path)?),
            None => None,
        };
        Ok(Self {
            store,
            calls: Arc::new(Semaphore::new(limits.store_calls.max(1))),
            requests: Semaphore::new(limits.requests.max(1)),
            budget: Budget::new(limits.memory_bytes, limits.wait),
            spare: Spare::default(),
            rate: Rate::new(limits.rate),
            metrics: Metrics::default(),
            tokens,
            verified: Mutex::new(LruCache::new(VERIFIED_MAX)),
            allow_delete: options.allow_delete,
            limits,
            log: options.log.clone(),
        })
    }

    pub(crate) fn access(&self, authorization: Option<&[u8]>) -> Access {
        self.tokens
            .as_ref()
            .map_or(Access::Write, |tokens| tokens.access(authorization))
    }

    /// Calls the store on a thread that may wait.
    pub(crate) async fn store<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn Store) -> T + Send + 'static,
    ) -> Outcome<T> {
        let place = timeout(self.limits.wait, self.calls.clone().acquire_owned()).await;
        let Ok(Ok(place)) = place else {
            return Err(Refusal::busy());
        };
        let store = self.store.clone();
        let called = tokio::task::spawn_blocking(move || {
            let _place = place;
            call(&*store)
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

    /// The length of a chunk that was verified on its way out before. It is not verified again for each reader, who
    /// does it in any case. A store elsewhere is asked, and what it sends verified, as ever.
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

    /// What the client is told of the store's error; whoever runs the gateway hears it too.
    pub(crate) fn refusal(&self, error: &safeos_store::Error) -> Refusal {
        let refusal = Refusal::of_store(error);
        if let Some(reason) = &refusal.reason {
            self.metrics.store_failures.fetch_add(1, Ordering::Relaxed);
            self.log(reason);
        }
        refusal
    }

    pub(crate) fn log(&self, line: &str) {
        (self.log)(line);
    }

    /// Reads a body of at most `max` bytes, and the room it takes.
    pub(crate) async fn body(&self, body: Body, max: usize) -> Outcome<(Bytes, Room)> {
        let too_large = || {
            Refusal::new(
                axum::http::StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                format!("at most {max} bytes are taken here"),
            )
        };
        let hint = http_body::Body::size_hint(&body);
        if hint.lower() > max as u64 {
            return Err(too_large());
        }
        let announced = hint.exact().map_or(max, |exact| exact as usize);
        let mut room = self.budget.room(announced).await?;
        let mut bytes = BytesMut::with_capacity(hint.exact().map_or(0, |exact| exact as usize));
        self.each_part(body, &mut |part| {
            if bytes.len() + part.len() > max {
                return Err(too_large());
            }
            bytes.extend_from_slice(&part);
            Ok(())
        })
        .await?;
        room.shrink(bytes.len());
        self.metrics
            .bytes_in
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok((bytes.freeze(), room))
    }

    /// Reads a body that nobody wants, so that its sender gets to read the answer.
    pub(crate) async fn drain(&self, body: Body, max: usize) {
        let mut left = max;
        let _ = self
            .each_part(body, &mut |part| {
                left = left.checked_sub(part.len()).ok_or_else(Refusal::busy)?;
                Ok(())
            })
            .await;
    }

    async fn each_part(
        &self,
        mut body: Body,
        take: &mut (dyn FnMut(Bytes) -> Outcome<()> + Send),
    ) -> Outcome<()> {
        let mut deadline = Instant::now() + self.limits.stall;
        loop {
            match timeout_at(deadline, body.frame()).await {
                Err(_) => {
                    return Err(Refusal::new(
                        axum::http::StatusCode::REQUEST_TIMEOUT,
                        "too_slow",
                        "the body came in too slowly or not at all; send it again",
                    ));
                }
                Ok(None) => return Ok(()),
                Ok(Some(Err(_))) => {
                    return Err(Refusal::bad(
                        "bad_body",
                        "the body broke off or is malformed",
                    ));
                }
                Ok(Some(Ok(frame))) => {
                    let Ok(part) = frame.into_data() else {
                        continue;
                    };
                    // Every byte earns its time, up to a full pause.
                    let earned = deadline + self.limits.for_bytes(part.len());
                    deadline = earned.min(Instant::now() + self.limits.stall);
                    take(part)?;
                }
            }
        }
    }
}
