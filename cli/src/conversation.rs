//! Asking the daemon: one request, progress on the way, one answer.
//!
//! The waiting is done beside the main thread, so that a person who asks to stop is heard at once.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use safeos_control::{Client, ClientError, Request};
use serde::de::DeserializeOwned;
use serde_json::Value;
use signal_hook::consts::SIGINT;

use crate::failure::{Failure, Result};
use crate::progress::Progress;
use crate::signals;

const LISTEN_EVERY: Duration = Duration::from_millis(50);
/// The daemon says at least once a second that it goes on.
const STOPS_WITHIN: Duration = Duration::from_secs(3);

enum Heard {
    Progress(safeos_control::Progress),
    Answer(Result<Value, ClientError>),
}

/// Asks the daemon mounted at `mount` and waits for the answer.
pub fn ask(mount: &Path, request: Request, json: bool) -> Result<Value> {
    let mut client = Client::open(mount)?;
    let (say, hear) = mpsc::channel();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let waiting = std::thread::Builder::new().name("conversation".to_owned());
    waiting
        .spawn(move || {
            let answer = client.call_while(&request, |step| {
                let _ = say.send(Heard::Progress(step));
                !stopped.load(Ordering::Acquire)
            });
            // Closed before anything else happens: then the daemon stops the request.
            drop(client);
            let _ = say.send(Heard::Answer(answer));
        })
        .map_err(|e| Failure::system("no thread can be started", &e))?;
    let mut progress = Progress::new(json);
    let mut asked = None;
    loop {
        match hear.recv_timeout(LISTEN_EVERY) {
            Ok(Heard::Progress(step)) => {
                progress.step(&step.what, step.done, step.total, &step.unit);
            }
            Ok(Heard::Answer(Err(ClientError::Stopped))) => {
                return Err(Failure::stopped(asked.map_or(SIGINT, |(signal, _)| signal)));
            }
            Ok(Heard::Answer(answer)) => return answer.map_err(Failure::from),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(ClientError::Ended.into()),
        }
        match asked {
            None => {
                asked = signals::asked().map(|signal| (signal, Instant::now()));
                stop.store(asked.is_some(), Ordering::Release);
            }
            // A daemon that does not say that it goes on is not waited for.
            Some((signal, since)) if since.elapsed() > STOPS_WITHIN => {
                return Err(Failure::stopped(signal));
            }
            Some(_) => {}
        }
    }
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
