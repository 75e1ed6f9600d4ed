//! Failures of requests to a gateway, and their meaning to the caller.

use std::time::Duration;

use safeos_record::Address;
use ureq::http::{HeaderMap, header};

use super::wire::{DIGEST, Failure, MARK, MESSAGE_BYTES_MAX};
use crate::{Error, Kind};

/// How much of a body tells whether it is a page of the Web.
pub(super) const START_BYTES: usize = 64;

/// A failure of one request at one gateway.
#[derive(Clone, Debug)]
pub(super) enum RequestError {
    /// No answer, or “later”: it may work again, here or at another gateway.
    Away {
        why: String,
        /// When the gateway wants to be asked again.
        after: Option<Duration>,
    },
    /// An answer that no gateway gives.
    Stranger(String),
    /// An answer that cannot be true.
    Lie(String),
    /// The gateway has looked, and the record there is damaged.
    Damaged(String),
    /// It does not want to; the cure is in the text.
    Refused(String),
    /// It does not want to, for the token's sake.
    Denied(String),
    /// It has no such record; the record's address, if it says which.
    Missing(Option<Address>),
    /// The pointer is at another counter.
    Conflict(Option<u64>),
    /// No room there.
    Full(String),
    /// Its store cannot be used.
    Broken(String),
}

impl RequestError {
    pub(super) fn away(why: impl Into<String>) -> Self {
        Self::Away {
            why: why.into(),
            after: None,
        }
    }

    /// How often the same gateway is asked again.
    pub(super) fn tries(&self) -> u32 {
        match self {
            Self::Away { .. } => 4,
            // Bytes are also damaged on the way.
            Self::Lie(_) | Self::Stranger(_) => 3,
            _ => 1,
        }
    }

    /// Of two gateways' errors the one to report: first errors that may pass, then faults, then
    /// answers that a record is not there.
    pub(super) fn rank(&self) -> u32 {
        match self {
            Self::Away { .. } => 8,
            Self::Stranger(_) => 7,
            Self::Conflict(_) => 6,
            Self::Full(_) => 5,
            Self::Refused(_) | Self::Denied(_) => 4,
            Self::Lie(_) => 3,
            Self::Damaged(_) => 2,
            Self::Broken(_) => 1,
            Self::Missing(_) => 0,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Away { why, .. }
            | Self::Stranger(why)
            | Self::Lie(why)
            | Self::Damaged(why)
            | Self::Refused(why)
            | Self::Denied(why)
            | Self::Full(why)
            | Self::Broken(why) => why.clone(),
            Self::Missing(_) => "it has no such record".into(),
            Self::Conflict(_) => "the pointer has moved".into(),
        }
    }

    /// As an error about a record, if it is about one.
    pub(super) fn into_error(self, url: &str, record: Option<(Kind, Address)>) -> Error {
        let url = url.to_owned();
        match (self, record) {
            (Self::Away { why, .. }, _) => Error::Unreachable { url, why },
            (Self::Stranger(why), _) => Error::NotAGateway { url, why },
            (Self::Lie(why) | Self::Damaged(why), Some((kind, address))) => Error::Damaged {
                kind,
                address,
                why: format!("{why} ({url})"),
            },
            (Self::Missing(_), Some((kind, address))) => Error::Missing { kind, address },
            (Self::Conflict(current), Some((_, address))) => Error::Conflict { address, current },
            (Self::Refused(why) | Self::Denied(why), _) => Error::Refused { url, why },
            (Self::Full(why), _) => Error::Full { url, why },
            (Self::Broken(why), _) => Error::Broken { url, why },
            (other, _) => Error::Broken {
                url,
                why: format!(
                    "{}; see that the URL is a gateway's, and that nothing between here and there changes its answers",
                    other.text()
                ),
            },
        }
    }
}

/// Whether a gateway says that there is nothing at a path: one of before, that this was added after.
pub(super) fn is_unknown_path(status: u16, body: &[u8]) -> bool {
    let code = serde_json::from_slice::<Failure>(body).map(|said| said.error.code);
    match status {
        404 => code.is_ok_and(|code| code == "no_such_path"),
        405 => code.is_ok_and(|code| code == "method_not_allowed"),
        _ => false,
    }
}

/// The error of an answer other than success.
pub(super) fn of_status(
    from: &From,
    location: Option<&str>,
    after: Option<Duration>,
    has_token: bool,
    body: &[u8],
) -> RequestError {
    let said = serde_json::from_slice::<Failure>(body).ok();
    let status = from.status;
    let Some(said) = said else {
        return of_bare_status(from, location, after);
    };
    let code = said.error.code.as_str();
    let message = one_line(&said.error.message);
    match status {
        300..400 => elsewhere(location),
        401 if has_token => RequestError::Denied(
            "it does not accept the token in the file that SAFE_TOKEN_FILE names: ask who runs it for a valid one".into(),
        ),
        401 => RequestError::Denied(
            "it wants a token: write the one you were given into a file that only you can read, and name the file in SAFE_TOKEN_FILE".into(),
        ),
        403 => RequestError::Denied(message),
        404 if code == "missing_record" => RequestError::Missing(said.error.address),
        400 if matches!(code, "wrong_bytes" | "wrong_body" | "part_conflict") => RequestError::away(format!(
            "the request was damaged on the way ({message}); over https that could not be"
        )),
        400 if code == "missing_parts" => {
            RequestError::away(format!("it has not kept what was sent to it in parts ({message})"))
        }
        408 => RequestError::Away {
            why: format!("it got no whole upload from here in time (HTTP 408: {message})"),
            after,
        },
        // Our requests are in order: this one was changed on the way, or the server is no gateway.
        400 | 404 | 405 | 411 | 413..=415 | 431 => RequestError::Stranger(format!(
            "it answers a request that is in order with {} (“{message}”): check host and port",
            from.shown()
        )),
        416 => RequestError::Damaged("it has no such bytes".into()),
        412 if code == "conflict" => RequestError::Conflict(said.error.current),
        401..500 if !matches!(status, 408 | 425 | 429) => RequestError::Refused(message),
        507 => RequestError::Full(message),
        500 if code == "damaged_record" => RequestError::Damaged(message),
        500 if code == "store_broken" => RequestError::Broken(message),
        425 | 429 | 500..600 => RequestError::Away {
            why: message,
            after,
        },
        _ => RequestError::Lie(message),
    }
}

/// The same without the words that a gateway finds for every failure: most often something between here and there says
/// it.
fn of_bare_status(from: &From, location: Option<&str>, after: Option<Duration>) -> RequestError {
    let shown = from.shown();
    match from.status {
        300..400 => elsewhere(location),
        502..=504 => RequestError::Away {
            why: format!(
                "it answers with {shown}: what stands before the gateway does not reach it; see that the gateway runs"
            ),
            after,
        },
        408 | 425 | 429 | 500..600 => RequestError::Away {
            why: format!("it answers with {shown}"),
            after,
        },
        _ if from.marked => RequestError::Lie(format!("it answers with {shown}")),
        404 => RequestError::Stranger(format!(
            "it answers with {shown}: there is nothing where a gateway has its records; check host and port"
        )),
        413 => RequestError::Stranger(format!(
            "it answers with {shown}: what stands before the gateway takes no body of this size; whoever runs it allows 8 MiB there (nginx: `client_max_body_size 9m;`)"
        )),
        _ => from.stranger(),
    }
}

fn elsewhere(location: Option<&str>) -> RequestError {
    RequestError::Refused(format!(
        "it sends us on to “{}”, and redirects are not followed: use that URL if it is the right one; it may also be a network's sign-in page",
        one_line(location.unwrap_or_default())
    ))
}

/// The parts of an answer's head that tell its sender.
#[derive(Clone, Debug)]
pub(super) struct From {
    pub(super) status: u16,
    /// A gateway says that it is one.
    pub(super) marked: bool,
    /// The body's declared type.
    kind: Option<String>,
    /// Whether JSON was asked for.
    json: bool,
}

impl From {
    pub(super) fn of(status: u16, head: &HeaderMap, json: bool) -> Self {
        let kind = head.get(header::CONTENT_TYPE).map(|kind| {
            let kind = String::from_utf8_lossy(kind.as_bytes()).to_ascii_lowercase();
            kind.split(';').next().unwrap_or_default().trim().to_owned()
        });
        Self {
            status,
            marked: head.contains_key(MARK) || head.contains_key(DIGEST),
            kind,
            json,
        }
    }

    /// Whether a gateway can have given this, as far as its head tells: one of before says nothing of itself.
    pub(super) fn may_be_gateway(&self) -> bool {
        let kind = if self.json {
            "application/json"
        } else {
            "application/octet-stream"
        };
        self.marked || self.kind.as_ref().is_none_or(|said| said == kind)
    }

    fn shown(&self) -> String {
        match &self.kind {
            Some(kind) if !kind.is_empty() => format!("HTTP {}, {}", self.status, one_line(kind)),
            _ => format!("HTTP {}", self.status),
        }
    }

    /// Explains a body that begins so: one that does not fit is damage only where a gateway sent it.
    pub(super) fn explain(&self, error: RequestError, start: &[u8]) -> RequestError {
        let does_not_fit = matches!(error, RequestError::Lie(_) | RequestError::Damaged(_));
        if does_not_fit && !self.marked && (is_page(start) || !self.may_be_gateway()) {
            return self.stranger();
        }
        error
    }

    /// The answer comes from another server.
    pub(super) fn stranger(&self) -> RequestError {
        RequestError::Stranger(format!(
            "it answers with {}: perhaps a network's sign-in page (open one in a browser) or a proxy; else check host and port",
            self.shown()
        ))
    }
}

/// Whether this is the start of a page of the Web.
fn is_page(start: &[u8]) -> bool {
    let start = start.get(..START_BYTES).unwrap_or(start);
    let start = start.trim_ascii_start().to_ascii_lowercase();
    [&b"<!doctype"[..], b"<html", b"<head", b"<?xml"]
        .iter()
        .any(|tag| start.starts_with(tag))
}

/// A stranger's words in a message of ours: short, and on one line.
pub(super) fn one_line(text: &str) -> String {
    text.chars()
        .take(MESSAGE_BYTES_MAX / 4)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
