//! Why a gateway did not do what it was asked, and what that means to the caller.

use std::time::Duration;

use safeos_record::Address;

use super::wire::{Failure, MESSAGE_BYTES_MAX};
use crate::{Error, Kind};

/// What went wrong with one request at one gateway.
#[derive(Clone, Debug)]
pub(super) enum Trouble {
    /// No answer, or “later”: it may work again, here or at another gateway.
    Away {
        why: String,
        /// When the gateway wants to be asked again.
        after: Option<Duration>,
    },
    /// An answer that cannot be true.
    Lie(String),
    /// The gateway has looked, and the record there is damaged.
    Damaged(String),
    /// It does not want to; the cure is in the text.
    Refused(String),
    /// It has no such record; the record's address, if it says which.
    Missing(Option<Address>),
    /// The pointer is at another counter.
    Conflict(Option<u64>),
    /// No room there.
    Full(String),
    /// Its store cannot be used.
    Broken(String),
}

impl Trouble {
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
            Self::Lie(_) => 3,
            _ => 1,
        }
    }

    /// Of two gateways' troubles the one to tell: what may pass before what is wrong, and what is wrong before
    /// what one of them says is not there.
    pub(super) fn rank(&self) -> u32 {
        match self {
            Self::Away { .. } => 7,
            Self::Conflict(_) => 6,
            Self::Full(_) => 5,
            Self::Refused(_) => 4,
            Self::Lie(_) => 3,
            Self::Damaged(_) => 2,
            Self::Broken(_) => 1,
            Self::Missing(_) => 0,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Away { why, .. }
            | Self::Lie(why)
            | Self::Damaged(why)
            | Self::Refused(why)
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
            (Self::Lie(why) | Self::Damaged(why), Some((kind, address))) => Error::Damaged {
                kind,
                address,
                why: format!("{why} ({url})"),
            },
            (Self::Missing(_), Some((kind, address))) => Error::Missing { kind, address },
            (Self::Conflict(current), Some((_, address))) => Error::Conflict { address, current },
            (Self::Refused(why), _) => Error::Refused { url, why },
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

/// What an answer other than success says.
pub(super) fn of_status(
    status: u16,
    location: Option<&str>,
    after: Option<Duration>,
    has_token: bool,
    body: &[u8],
) -> Trouble {
    let said = serde_json::from_slice::<Failure>(body).ok();
    let code = said.as_ref().map_or("", |said| said.error.code.as_str());
    let message = said.as_ref().map_or_else(
        || format!("it answers with status {status}"),
        |said| one_line(&said.error.message),
    );
    match status {
        300..400 => Trouble::Refused(format!(
            "it sends us on to “{}”, and redirects are not followed: use that URL if it is the right one",
            one_line(location.unwrap_or_default())
        )),
        401 if has_token => Trouble::Refused(
            "it does not accept the token in the file that SAFE_TOKEN_FILE names: ask who runs it for a valid one".into(),
        ),
        401 => Trouble::Refused(
            "it wants a token: write the one you were given into a file that only you can read, and name the file in SAFE_TOKEN_FILE".into(),
        ),
        404 if code == "missing_record" => Trouble::Missing(said.and_then(|said| said.error.address)),
        404 => Trouble::Lie("there is nothing where a gateway has its records: check host and port".into()),
        400 if code == "wrong_bytes" => Trouble::away(format!(
            "what was sent did not arrive as it was sent ({message}); over https that could not be"
        )),
        // Our requests are in order: this one was changed on the way, or whoever answers is no gateway.
        400 | 405 | 411 | 413..=415 | 431 => Trouble::Lie(message),
        416 => Trouble::Damaged("it has no such bytes".into()),
        412 if code == "conflict" => Trouble::Conflict(said.and_then(|said| said.error.current)),
        401..500 if !matches!(status, 408 | 425 | 429) => Trouble::Refused(message),
        507 => Trouble::Full(message),
        500 if code == "damaged_record" => Trouble::Damaged(message),
        500 if code == "store_broken" => Trouble::Broken(message),
        408 | 425 | 429 | 500..600 => Trouble::Away {
            why: message,
            after,
        },
        _ => Trouble::Lie(message),
    }
}

/// A stranger's words in a message of ours: short, and on one line.
pub(super) fn one_line(text: &str) -> String {
    text.chars()
        .take(MESSAGE_BYTES_MAX / 4)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
