//! Requests for a person who may not want to wait.
//!
//! What always holds here: the caller is heard within [`LISTEN_EVERY`], also while the daemon says
//! nothing; once stopped, the wait ends within [`STOPS_WITHIN`], and the conversation is
//! closed as soon as the daemon says anything, which lets it stop the request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Client, ClientError, Progress, Request};

const LISTEN_EVERY: Duration = Duration::from_millis(50);
/// An answer that is on its way is still heard.
const STOPS_WITHIN: Duration = Duration::from_millis(300);

enum Heard {
    Progress(Progress),
    Answer(Result<Value, ClientError>),
}

/// Asks and waits for the result, until `stopped`. The waiting is done on a thread of its own.
pub fn ask(
    mut client: Client,
    request: Request,
    mut on_progress: impl FnMut(Progress),
    mut stopped: impl FnMut() -> bool,
) -> Result<Value, ClientError> {
    let (say, hear) = mpsc::channel();
    let stop = Arc::new(AtomicBool::new(false));
    let stop_there = Arc::clone(&stop);
    let waiting = std::thread::Builder::new().name("conversation".to_owned());
    waiting
        .spawn(move || {
            let answer = client.call_while(&request, |step| {
                let _ = say.send(Heard::Progress(step));
                !stop_there.load(Ordering::Acquire)
            });
            // Closed before anything else happens: then the daemon stops the request.
            drop(client);
            let _ = say.send(Heard::Answer(answer));
        })
        .map_err(ClientError::NoThread)?;
    let mut since = None;
    loop {
        match hear.recv_timeout(LISTEN_EVERY) {
            Ok(Heard::Progress(step)) => on_progress(step),
            Ok(Heard::Answer(answer)) => return answer,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(ClientError::Ended),
        }
        match since {
            None if stopped() => {
                since = Some(Instant::now());
                stop.store(true, Ordering::Release);
            }
            // A daemon that does not say that it goes on is not waited for.
            Some(since) if Instant::now().duration_since(since) > STOPS_WITHIN => {
                return Err(ClientError::Stopped);
            }
            _ => {}
        }
    }
}
