//! The client's errors in the words of a store.

use std::time::Duration;

use ant_core::data::Error as Theirs;
use safeos_store::Error;

/// As much of a message as a person reads.
const SHOWN_MAX: usize = 300;

/// Converts an error of the network; the caller adds the record, where it is known.
pub(crate) fn of(url: &str, error: &Theirs) -> Error {
    let url = url.to_owned();
    match error {
        Theirs::ClientUpdateRequired(_) => Error::Refused {
            url,
            why: "the network settles payments by newer rules than this program: get a newer SafeOS; nothing was paid".into(),
        },
        Theirs::Payment(why) if is_dry(why) => unpaid(&url, why),
        Theirs::Io(error) => Error::Broken {
            url,
            why: error.to_string(),
        },
        other => Error::Unreachable {
            url,
            why: shown(&other.to_string()),
        },
    }
}

/// Whether the chain says that the wallet has too little.
pub(crate) fn is_dry(why: &str) -> bool {
    let why = why.to_ascii_lowercase();
    why.contains("insufficient")
}

pub(crate) fn unpaid(url: &str, why: &str) -> Error {
    Error::Unpaid {
        url: url.to_owned(),
        why: format!(
            "the wallet has too little: {}. What is not stored stays here and goes on when the wallet is funded",
            shown(why)
        ),
    }
}

/// No answer in a time in which there ought to be one.
pub(crate) fn late(url: &str, what: &str, after: Duration) -> Error {
    Error::Unreachable {
        url: url.to_owned(),
        why: format!("{what} took more than {} seconds", after.as_secs()),
    }
}

pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
