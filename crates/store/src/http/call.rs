//! One request to one gateway, and its answer within bounds of time and memory.
//!
//! What always holds here: an answer longer than it may be is not read, whatever length it announces; no
//! request outlives the time that its size allows it.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use ureq::http::{HeaderMap, HeaderValue, Method, Request, header};
use ureq::{Agent, Error as HttpError};

use super::Patience;
use super::agent::{Deadline, until};
use super::network::Network;
use super::settings::Tokens;
use super::trouble::{Trouble, of_status, one_line};

/// Most bytes of an error's body.
const FAILURE_BYTES_MAX: usize = 8 * 1024;

/// What is asked.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    /// With the leading slash.
    pub(super) path: String,
    pub(super) header: Option<(header::HeaderName, String)>,
    pub(super) body: Option<&'a [u8]>,
    /// Most bytes of the answer.
    pub(super) answer_max: usize,
}

impl<'a> Ask<'a> {
    pub(super) fn get(path: String, answer_max: usize) -> Self {
        Self {
            method: Method::GET,
            path,
            header: None,
            body: None,
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

/// Takes a successful answer while it comes in: its status, head and body.
type Reading<'a, T> = dyn FnMut(u16, &HeaderMap, &mut dyn Read) -> Result<T, Trouble> + 'a;

/// What makes requests.
pub(super) struct Caller {
    pub(super) agent: Agent,
    pub(super) network: Arc<dyn Network>,
    pub(super) patience: Patience,
    pub(super) tokens: Tokens,
}

impl Caller {
    /// Asks; the answer's status, head and body.
    pub(super) fn ask(
        &self,
        base: &str,
        ask: &Ask<'_>,
    ) -> Result<(u16, HeaderMap, Vec<u8>), Trouble> {
        self.stream(base, ask, &mut |status, head, body| {
            let body = read_whole(head, body, ask.answer_max)?;
            Ok((status, head.clone(), body))
        })
    }

    /// Asks, and gives a successful answer to `read` while it comes in.
    pub(super) fn stream<T>(
        &self,
        base: &str,
        ask: &Ask<'_>,
        read: &mut Reading<'_, T>,
    ) -> Result<T, Trouble> {
        let bytes = ask.body.map_or(0, <[u8]>::len) + ask.answer_max;
        let now = self.network.now() + self.patience.request;
        let deadline = Deadline {
            now,
            last: now + self.patience.for_bytes(bytes),
        };
        until(deadline, || self.send(base, ask, read))
    }

    fn send<T>(&self, base: &str, ask: &Ask<'_>, read: &mut Reading<'_, T>) -> Result<T, Trouble> {
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(format!("{base}{}", ask.path));
        if let Some((name, value)) = &ask.header {
            request = request.header(name, value);
        }
        let token = self.tokens.get(base);
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(token).map_err(|_| {
                Trouble::Refused("the token has characters that no token has".into())
            })?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        let unbuilt = |error: ureq::http::Error| Trouble::Refused(error.to_string());
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
        let (head, body) = answer.map_err(|error| of_http(&error))?.into_parts();
        let mut body = body.into_reader();
        let status = head.status.as_u16();
        if (200..300).contains(&status) {
            return read(status, &head.headers, &mut body);
        }
        let after = text(&head.headers, &header::RETRY_AFTER)
            .and_then(|seconds| seconds.trim().parse().ok())
            .map(Duration::from_secs);
        // A failure whose body does not come is the failure that its status says.
        let said = read_whole(&head.headers, &mut body, FAILURE_BYTES_MAX).unwrap_or_default();
        let location = text(&head.headers, &header::LOCATION);
        Err(of_status(status, location, after, token.is_some(), &said))
    }
}

/// A header as text.
pub(super) fn text<'a>(head: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    head.get(name)?.to_str().ok()
}

/// The body, if it has at most `max` bytes.
fn read_whole(head: &HeaderMap, body: &mut dyn Read, max: usize) -> Result<Vec<u8>, Trouble> {
    let announced: Option<u64> =
        text(head, &header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
    let too_long = || {
        Trouble::Lie(format!(
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

/// What a failure while reading an answer means.
pub(super) fn of_io(error: &io::Error) -> Trouble {
    if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        return of_http(inner);
    }
    if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        return of_tls(inner);
    }
    match error.kind() {
        io::ErrorKind::InvalidData => Trouble::Lie(format!("its answer makes no sense: {error}")),
        io::ErrorKind::UnexpectedEof => {
            Trouble::away("the connection ended in the middle of an answer")
        }
        io::ErrorKind::TimedOut => Trouble::away("no answer in time"),
        io::ErrorKind::ConnectionRefused => Trouble::away(
            "nothing listens at this address: see that the gateway runs, and check host and port",
        ),
        _ => Trouble::away(one_line(&error.to_string())),
    }
}

fn of_http(error: &HttpError) -> Trouble {
    match error {
        HttpError::Io(error) => of_io(error),
        HttpError::HostNotFound => Trouble::away("its name is not known: check the host"),
        HttpError::Rustls(error) => of_tls(error),
        HttpError::Tls(why) => Trouble::Refused(format!("TLS does not work with it: {why}")),
        HttpError::Protocol(_) | HttpError::LargeResponseHeader(..) | HttpError::Http(_) => {
            Trouble::Lie(format!(
                "its answer is no HTTP that can be understood: {}",
                one_line(&error.to_string())
            ))
        }
        other => Trouble::away(one_line(&other.to_string())),
    }
}

fn of_tls(error: &rustls::Error) -> Trouble {
    match error {
        rustls::Error::InvalidCertificate(_) => Trouble::Refused(format!(
            "{}: check the URL and this computer's date; for a certificate of your own name the file of who signed it in SAFE_CA_FILE",
            one_line(&error.to_string())
        )),
        // Damage on the way, which this is there for.
        rustls::Error::DecryptError => Trouble::away("what came was damaged on the way"),
        other => Trouble::Lie(format!(
            "TLS does not work with it ({}): see whether it serves https",
            one_line(&other.to_string())
        )),
    }
}
