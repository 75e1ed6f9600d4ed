//! Asking the daemon: one request, progress on the way, one answer.

use std::path::Path;

use safeos_control::{Client, ClientError, Request};
use safeos_telemetry::span;
use serde::de::DeserializeOwned;
use serde_json::Value;
use signal_hook::consts::SIGINT;

use crate::failure::{Failure, Result};
use crate::progress::Progress;
use crate::signals;

/// Asks the daemon mounted at `mount` and waits for the answer, or until a signal asks to stop.
pub fn ask(mount: &Path, request: Request, json: bool) -> Result<Value> {
    let _span = span!(INFO, "asking the daemon", request = request.name());
    let client = Client::open(mount)?;
    let mut progress = Progress::new(json);
    let mut asked = None;
    let answer = safeos_control::ask(
        client,
        request,
        |step| progress.step(&step.what, step.done, step.total, &step.unit),
        || {
            asked = signals::asked();
            asked.is_some()
        },
    );
    answer.map_err(|error| match error {
        ClientError::Stopped => Failure::stopped(asked.unwrap_or(SIGINT)),
        error => error.into(),
    })
}

/// The same with the answer as what it is known to be; the answer itself comes along.
pub fn ask_for<T: DeserializeOwned>(
    mount: &Path,
    request: Request,
    json: bool,
) -> Result<(T, Value)> {
    let value = ask(mount, request, json)?;
    let known = serde_json::from_value(value.clone())
        .map_err(|error| Failure::from(ClientError::Protocol(error.to_string())))?;
    Ok((known, value))
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self {
            retry: error.retry(),
            ..Self::new(error.code(), &error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_daemon_it_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let failure = ask(folder.path(), Request::Status, true).unwrap_err();
        assert_eq!((failure.code.as_str(), failure.exit), ("no_daemon", 1));
        assert!(failure.message.contains("safe login"));
    }

    #[test]
    fn what_the_daemon_refuses_keeps_its_code() {
        let refused = ClientError::Refused(safeos_control::ErrorReply {
            code: "store_unreachable".into(),
            message: "the store is out of reach".into(),
            retry: true,
        });
        let failure = Failure::from(refused);
        assert_eq!(failure.code, "store_unreachable");
        assert!(failure.retry);
    }
}
