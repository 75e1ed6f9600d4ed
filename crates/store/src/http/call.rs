//! One request to one gateway, and its answer within bounds of time and memory.
//!
//! What always holds here: an answer longer than it may be is not read, whatever length it announces; no
//! request outlives the time that its size allows it.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use safeos_record::Address;
use ureq::http::{HeaderMap, HeaderValue, Method, Request, header};
use ureq::{Agent, Error as HttpError};
use zeroize::Zeroizing;

use super::Patience;
use super::connection::{Deadline, until};
use super::mixed::Mixed;
use super::network::Network;
use super::request_error::{From, RequestError, START_BYTES, is_unknown_path, of_status, one_line};
use super::settings::{HttpOptions, Parts, Tokens};
use super::tls::refused;
use super::wire::{BODY, PREFER, ROOM, read_room};
use crate::Room;

/// Most bytes of an error's body.
const FAILURE_BYTES_MAX: usize = 8 * 1024;

/// A request.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// With the leading slash.
    pub(super) path: String,
    pub(super) header: Option<(header::HeaderName, String)>,
    pub(super) body: Option<&'a [u8]>,
    /// Whether it is a part of a body.
    pub(super) part: bool,
    /// The body that was sent before, in parts, and takes the place of this one's.
    pub(super) sent_before: Option<Address>,
    /// Whether the answer is JSON.
    pub(super) json: bool,
    /// How long the gateway is asked to hold the answer back.
    pub(super) held: Duration,
    /// Most bytes of the answer.
    pub(super) answer_max: usize,
}

impl<'a> Call<'a> {
    pub(super) fn get(path: String, answer_max: usize) -> Self {
        Self {
            method: Method::GET,
            path,
            header: None,
            body: None,
            part: false,
            sent_before: None,
            json: false,
            held: Duration::ZERO,
            answer_max,
        }
    }

    pub(super) fn post(path: &str, body: &'a [u8], answer_max: usize) -> Self {
        Self {
            method: Method::POST,
            body: Some(body),
            ..Self::get(path.to_owned(), answer_max)
        }
    }
}

/// A successful answer.
pub(super) struct Answer {
    pub(super) from: From,
    pub(super) head: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// Makes of its body what was asked for, or says whose fault it is that it is not that.
    pub(super) fn read<T>(
        self,
        read: impl FnOnce(Vec<u8>) -> Result<T, RequestError>,
    ) -> Result<T, RequestError> {
        let start = self.body.get(..START_BYTES).unwrap_or(&self.body).to_vec();
        read(self.body).map_err(|error| self.from.explain(error, &start))
    }
}

/// Takes a successful answer while it comes in: its sender, its head and body.
pub(super) type Reading<'a, T> =
    dyn FnMut(&From, &HeaderMap, &mut dyn Read) -> Result<T, RequestError> + 'a;

/// Makes requests.
pub(super) struct Caller {
    agent: Agent,
    pub(super) network: Arc<dyn Network>,
    pub(super) patience: Patience,
    pub(super) tokens: Tokens,
    pub(super) parts: Parts,
    /// Most requests at once.
    pub(super) parallel: usize,
    /// Gateways that have taken a part.
    pub(super) take_parts: Mutex<BTreeSet<String>>,
    /// Bytes of successful answers.
    pub(super) received: AtomicU64,
    /// Bodies that are being sent in parts.
    pub(super) bodies: AtomicUsize,
    /// Where a gateway has answered that says of itself that it is one.
    marked: Mutex<BTreeSet<String>>,
    /// The free space that a gateway has reported last.
    pub(super) room: Mutex<Option<Room>>,
}

impl Caller {
    pub(super) fn new(agent: Agent, options: &HttpOptions, tokens: Tokens) -> Self {
        Self {
            agent,
            network: options.network.clone(),
            patience: options.patience,
            tokens,
            parts: options.parts,
            parallel: options.parallel.max(1),
            take_parts: Mutex::default(),
            received: AtomicU64::new(0),
            bodies: AtomicUsize::new(0),
            marked: Mutex::default(),
            room: Mutex::default(),
        }
    }

    /// Makes a request. The caller checks the answer against its address or digest.
    pub(super) fn ask(&self, base: &str, ask: &Call<'_>) -> Result<Answer, RequestError> {
        self.stream(base, ask, &mut |from, head, body| {
            let body = read_whole(head, body, ask.answer_max)?;
            Ok(Answer {
                from: from.clone(),
                head: head.clone(),
                body,
            })
        })
    }

    /// Requests an operation that is answered with no more than its success. That is easily claimed: the sender must
    /// be as much of a gateway as the server that answered here before.
    pub(super) fn have_done(&self, base: &str, ask: &Call<'_>) -> Result<HeaderMap, RequestError> {
        let Answer { from, head, .. } = self.ask(base, ask)?;
        if from.status != 204 || !from.marked && self.marked.lock().contains(base) {
            return Err(from.stranger());
        }
        Ok(head)
    }

    /// Asks, and gives a successful answer to `read` while it comes in.
    pub(super) fn stream<T>(
        &self,
        base: &str,
        ask: &Call<'_>,
        read: &mut Reading<'_, T>,
    ) -> Result<T, RequestError> {
        match self.part_bytes(base, ask) {
            Some(each) => self.ask_in_parts(base, ask, each, read),
            None => self.ask_once(base, ask, read),
        }
    }

    /// The same with the body as it is.
    pub(super) fn ask_once<T>(
        &self,
        base: &str,
        ask: &Call<'_>,
        read: &mut Reading<'_, T>,
    ) -> Result<T, RequestError> {
        let token = self.tokens.get(base);
        let outcome = self.timed(base, ask, token.as_ref(), read);
        let Err(RequestError::Denied(why)) = outcome else {
            return outcome;
        };
        // The person may have been given another one since.
        match self.tokens.renew(base, token.as_ref()) {
            Ok(true) => self.timed(base, ask, self.tokens.get(base).as_ref(), read),
            Ok(false) => Err(RequestError::Denied(why)),
            Err(error) => Err(RequestError::Denied(format!("{why} ({error})"))),
        }
    }

    fn timed<T>(
        &self,
        base: &str,
        ask: &Call<'_>,
        token: Option<&Arc<Zeroizing<String>>>,
        read: &mut Reading<'_, T>,
    ) -> Result<T, RequestError> {
        let bytes = ask.body.map_or(0, <[u8]>::len) + ask.answer_max;
        let now = self.network.now() + self.patience.request + ask.held;
        let deadline = Deadline {
            now,
            last: now + self.patience.for_bytes(bytes),
            held: ask.held,
        };
        until(deadline, || self.send(base, ask, token, read))
    }

    fn send<T>(
        &self,
        base: &str,
        ask: &Call<'_>,
        token: Option<&Arc<Zeroizing<String>>>,
        read: &mut Reading<'_, T>,
    ) -> Result<T, RequestError> {
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(format!("{base}{}", ask.path));
        if let Some((name, value)) = &ask.header {
            request = request.header(name, value);
        }
        if !ask.held.is_zero() {
            request = request.header(PREFER, format!("wait={}", ask.held.as_secs()));
        }
        if let Some(id) = &ask.sent_before {
            request = request.header(BODY, id.to_string());
        }
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(token).map_err(|_| {
                RequestError::Refused("the token has characters that no token has".into())
            })?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        let unbuilt = |error: ureq::http::Error| RequestError::Refused(error.to_string());
        let answer = match ask.body {
            Some(body) => {
                let request = request
                    .header(header::CONTENT_TYPE, "application/octet-stream")
                    .body(body)
                    .map_err(unbuilt)?;
                self.agent.run(request)
            }
            None => self.agent.run(request.body(()).map_err(unbuilt)?),
        };
        let (head, body) = answer
            .map_err(|error| of_upload(&error, ask.body))?
            .into_parts();
        let mut body = body.into_reader();
        let from = From::of(head.status.as_u16(), &head.headers, ask.json);
        if from.marked && !self.marked.lock().contains(base) {
            self.marked.lock().insert(base.to_owned());
        }
        let room = head.headers.get(ROOM).and_then(|room| room.to_str().ok());
        if let Some(room) = room.and_then(read_room) {
            *self.room.lock() = Some(room);
        }
        let is_same = from.status == 304 && !ask.held.is_zero();
        if is_same || (200..300).contains(&from.status) {
            let mut body = Starting {
                body: &mut body,
                start: Vec::new(),
                received: &self.received,
            };
            return read(&from, &head.headers, &mut body).map_err(|error| {
                body.read_start();
                from.explain(error, &body.start)
            });
        }
        let after = text(&head.headers, &header::RETRY_AFTER)
            .and_then(|seconds| seconds.trim().parse().ok())
            .map(Duration::from_secs);
        // A failure whose body does not come is the failure that its status says.
        let said = read_whole(&head.headers, &mut body, FAILURE_BYTES_MAX).unwrap_or_default();
        // A gateway that has taken parts before got a damaged request.
        let is_of_before = ask.part && is_unknown_path(from.status, &said);
        if is_of_before && !self.take_parts.lock().contains(base) {
            return Err(RequestError::Refused(format!(
                "the gateway {base} is of a version that takes no uploads in parts, and the network of this computer loses longer ones: whoever runs `safe store serve` there updates it"
            )));
        }
        let location = text(&head.headers, &header::LOCATION);
        Err(of_status(&from, location, after, token.is_some(), &said))
    }
}

/// A body of which the start is kept, and whose bytes are counted.
struct Starting<'a> {
    body: &'a mut dyn Read,
    start: Vec<u8>,
    received: &'a AtomicU64,
}

impl Starting<'_> {
    /// Reads what has not been read of the start.
    fn read_start(&mut self) {
        while self.start.len() < START_BYTES
            && self.read(&mut [0; START_BYTES]).is_ok_and(|n| n > 0)
        {}
    }
}

impl Read for Starting<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.body.read(into)?;
        self.received.fetch_add(count as u64, Ordering::Relaxed);
        let left = START_BYTES.saturating_sub(self.start.len()).min(count);
        self.start
            .extend_from_slice(into.get(..left).unwrap_or_default());
        Ok(count)
    }
}

/// A header as text.
pub(super) fn text<'a>(head: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    head.get(name)?.to_str().ok()
}

/// The body, if it has at most `max` bytes.
fn read_whole(head: &HeaderMap, body: &mut dyn Read, max: usize) -> Result<Vec<u8>, RequestError> {
    let announced: Option<u64> =
        text(head, &header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
    let too_long = || {
        RequestError::Lie(format!(
            "its answer is longer than {max} bytes, which it cannot be"
        ))
    };
    if announced.is_some_and(|length| length > max as u64) {
        return Err(too_long());
    }
    let mut bytes = Vec::with_capacity(announced.unwrap_or(0) as usize);
    body.take(max as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| of_io(&error))?;
    if bytes.len() > max {
        return Err(too_long());
    }
    Ok(bytes)
}

/// Classifies a failure while reading an answer.
pub(super) fn of_io(error: &io::Error) -> RequestError {
    if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        return of_http(inner);
    }
    if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        return of_tls(inner);
    }
    if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        return of_mixed(*inner);
    }
    match error.kind() {
        io::ErrorKind::InvalidData => {
            RequestError::Lie(format!("its answer makes no sense: {error}"))
        }
        io::ErrorKind::UnexpectedEof => {
            RequestError::away("the connection ended in the middle of an answer")
        }
        io::ErrorKind::TimedOut => RequestError::away("no answer in time"),
        io::ErrorKind::ConnectionRefused => RequestError::away(
            "nothing listens at this address: see that the gateway runs, and check host and port",
        ),
        _ => RequestError::away(
            of_lookup(&error.to_string()).unwrap_or_else(|| one_line(&error.to_string())),
        ),
    }
}

/// Classifies a failure of the system's resolver; std gives it no kind of its own, only getaddrinfo's words.
fn of_lookup(error: &str) -> Option<String> {
    let why = error.strip_prefix("failed to lookup address information")?;
    Some(if why.contains("Temporary failure") {
        "no name server answers: see that this computer has a network".to_owned()
    } else {
        "its name is not known: check the host, and that this computer has a network".to_owned()
    })
}

/// The same for a request with this body. An upload without an answer is reported as one.
fn of_upload(error: &HttpError, body: Option<&[u8]>) -> RequestError {
    match (error, body) {
        (HttpError::Io(error), Some(body))
            if error.kind() == io::ErrorKind::TimedOut && !body.is_empty() =>
        {
            RequestError::away(format!(
                "no answer in time to an upload of {} bytes",
                body.len()
            ))
        }
        _ => of_http(error),
    }
}

fn of_http(error: &HttpError) -> RequestError {
    match error {
        HttpError::Io(error) => of_io(error),
        HttpError::HostNotFound => RequestError::away(
            "its name is not known: check the host, and that this computer has a network",
        ),
        HttpError::Rustls(error) => of_tls(error),
        HttpError::Tls(why) => RequestError::Refused(format!("TLS does not work with it: {why}")),
        HttpError::Protocol(_) | HttpError::LargeResponseHeader(..) | HttpError::Http(_) => {
            RequestError::Stranger(format!(
                "its answer is no HTTP that can be understood ({}): check host and port",
                one_line(&error.to_string())
            ))
        }
        other => RequestError::away(one_line(&other.to_string())),
    }
}

fn of_mixed(mixed: Mixed) -> RequestError {
    match mixed {
        Mixed::Ended => RequestError::away(mixed.to_string()),
        _ => RequestError::Stranger(mixed.to_string()),
    }
}

fn of_tls(error: &rustls::Error) -> RequestError {
    if let Some(why) = refused(error) {
        return RequestError::Refused(one_line(&why));
    }
    match error {
        // Damage on the way, which this is there for.
        rustls::Error::DecryptError => RequestError::away("the answer was damaged on the way"),
        other => RequestError::Stranger(format!(
            "TLS does not work with it ({}): see whether it serves https",
            one_line(&other.to_string())
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::of_lookup;

    #[test]
    fn a_name_that_is_not_found_is_told_from_no_name_server() {
        let why = |detail: &str| {
            of_lookup(&format!("failed to lookup address information: {detail}"))
                .unwrap_or_default()
        };
        assert!(why("Name or service not known").contains("check the host"));
        assert!(why("Temporary failure in name resolution").contains("no name server answers"));
        assert_eq!(of_lookup("broken pipe"), None);
    }
}
