use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::Secret;

/// How far something long is.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Progress {
    /// The current step: `finding the account`, `uploading`, `checking` …
    pub what: String,
    /// How much of it is done.
    pub done: u64,
    /// How much there is; 0 when not known.
    pub total: u64,
    /// The unit of the counts: `bytes`, `records`, `files`; empty when nothing is counted.
    pub unit: String,
}

/// Why a request was not done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ErrorReply {
    /// A stable word for programs.
    pub code: String,
    /// For people: what failed, on what, and what to do.
    pub message: String,
    /// Whether the same request may succeed later without any change.
    pub retry: bool,
}

impl ErrorReply {
    /// A malformed request.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self {
            code: "bad_request".to_owned(),
            message: message.into(),
            retry: false,
        }
    }
}

/// Keys that were generated, before they count.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Keys {
    /// The secret key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<Secret>,
    /// The words of the recovery key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_key: Option<Secret>,
}

impl Keys {
    /// The line that shows them, with its end: progress for clients that do not know of keys.
    pub fn to_line(&self) -> Zeroizing<Vec<u8>> {
        #[derive(Serialize)]
        struct Shown<'a> {
            #[serde(flatten)]
            step: &'a Progress,
            #[serde(flatten)]
            keys: &'a Keys,
        }
        #[derive(Serialize)]
        struct Line<'a> {
            progress: Shown<'a>,
        }
        let step = &Progress {
            what: "showing the keys".to_owned(),
            ..Progress::default()
        };
        let line = Line {
            progress: Shown { step, keys: self },
        };
        // Texts only: writing these to memory does not fail.
        let mut line = Zeroizing::new(serde_json::to_vec(&line).unwrap_or_default());
        line.push(b'\n');
        line
    }
}

/// One line of an answer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It goes on.
    Progress(Progress),
    /// It is done; the result.
    Ok(Value),
    /// It failed.
    Error(ErrorReply),
}

impl Reply {
    /// The result of a request that is done.
    pub fn ok(result: &impl Serialize) -> Self {
        match serde_json::to_value(result) {
            // Every result is an object, also the one with nothing in it.
            Ok(Value::Null) => Self::Ok(Value::Object(serde_json::Map::new())),
            Ok(value) => Self::Ok(value),
            Err(error) => Self::Error(ErrorReply {
                code: "failed".to_owned(),
                message: format!("it was done, but the answer cannot be written: {error}"),
                retry: false,
            }),
        }
    }

    /// The line, with its end.
    pub fn to_line(&self) -> Vec<u8> {
        // Texts, numbers and values that came from JSON: writing these to memory does not fail.
        let mut line = serde_json::to_vec(self).unwrap_or_else(|_| {
            br#"{"error":{"code":"failed","message":"the answer cannot be written","retry":false}}"#
                .to_vec()
        });
        line.push(b'\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_progress_for_who_does_not_know_of_them() {
        let keys = Keys {
            secret_key: Some(Secret::new("60RK4".to_owned())),
            recovery_key: None,
        };
        let line = keys.to_line();
        let Ok(Reply::Progress(step)) = serde_json::from_slice(&line) else {
            panic!("{}", String::from_utf8_lossy(&line));
        };
        assert_eq!(step.what, "showing the keys");
        let value: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(value["progress"]["secret_key"], "60RK4");
        assert!(value["progress"].get("recovery_key").is_none());
    }
}
