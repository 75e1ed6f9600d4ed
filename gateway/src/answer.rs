//! Answers that are not what was asked for.
//!
//! What always holds here: a stranger is not told where the store is or what the system said of it; the gateway's
//! operator is.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use safeos_record::Address;
use safeos_store::Error;
use safeos_store::wire::{Failure, FailureText, tag};

/// Why a request was not done.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) current: Option<u64>,
    pub(crate) address: Option<Address>,
    /// For the log.
    pub(crate) reason: Option<String>,
}

/// The result of a handler.
pub(crate) type Outcome<T = Response> = Result<T, Refusal>;

/// The address in a path or header.
pub(crate) fn address(text: &str) -> Outcome<Address> {
    text.parse()
        .map_err(|error: safeos_record::Error| Refusal::bad("bad_address", error.to_string()))
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            current: None,
            address: None,
            reason: None,
        }
    }

    /// The request makes no sense.
    pub(crate) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// Too much at once.
    pub(crate) fn busy() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "the gateway has too much to do at the moment; try again in a second",
        )
    }

    /// A client's view of a store's error.
    pub(crate) fn of_store(error: &Error) -> Self {
        let mut refusal = match error {
            Error::Missing { kind, address } => {
                let kind = safeos_store::wire::kind_word(*kind);
                return Self {
                    address: Some(*address),
                    ..Self::new(
                        StatusCode::NOT_FOUND,
                        "missing_record",
                        format!("there is no {kind} {address} here"),
                    )
                };
            }
            Error::Conflict { address, current } => {
                let now = match current {
                    Some(counter) => format!("is at counter {counter} now"),
                    None => "is not there".to_owned(),
                };
                return Self {
                    current: *current,
                    ..Self::new(
                        StatusCode::PRECONDITION_FAILED,
                        "conflict",
                        format!(
                            "the pointer {address} {now}, or the state sent replaces nothing: fetch it, merge, and set one past it"
                        ),
                    )
                };
            }
            Error::Damaged { kind, address, .. } => {
                let kind = safeos_store::wire::kind_word(*kind);
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "damaged_record",
                    format!(
                        "the {kind} {address} is damaged on the gateway's store; a copy of the store brings it back (`safe store copy`)"
                    ),
                )
            }
            Error::Full { .. } => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "store_full",
                "the gateway's store is full: whoever runs it must make room",
            ),
            Error::Unreachable { .. } | Error::NotAGateway { .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "store_unreachable",
                "the gateway's store is out of reach; try again later",
            ),
            _ => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "store_broken",
                "the gateway's store cannot be used: whoever runs it finds the reason where it writes its messages",
            ),
        };
        refusal.reason = Some(error.to_string());
        refusal
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Failure {
            error: FailureText {
                code: self.code.to_owned(),
                message: self.message,
                current: self.current,
                address: self.address,
            },
        };
        let mut response = (self.status, Json(body)).into_response();
        let head = response.headers_mut();
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                head.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            StatusCode::UNAUTHORIZED => {
                head.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::REQUEST_TIMEOUT => {
                head.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        if let Some(current) = self
            .current
            .and_then(|c| HeaderValue::from_str(&tag(c)).ok())
        {
            head.insert(header::ETAG, current);
        }
        response
    }
}
