//! The other end, for the command and the login window.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;
use zeroize::{Zeroize, Zeroizing};

use crate::ours::{self, Refused};
use crate::{ErrorReply, FILE_NAME, Progress, REQUEST_LEN_MAX, Reply, Request};

/// The longest line of an answer, in bytes: a log of some hundred thousand snapshots.
const REPLY_LEN_MAX: usize = 64 * 1024 * 1024;
const PORTION_LEN: usize = 64 * 1024;

/// A failure of a request. Each message says what failed and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// There is no control file.
    #[error("no SafeOS is running at {}: sign in with `safe login NAME`", .0.display())]
    NoDaemon(PathBuf),
    /// The mount is there, the daemon is not.
    #[error("the SafeOS daemon behind {} is gone: unmount it with `fusermount3 -u` and sign in again; what was written and synced is not lost", .0.display())]
    DaemonGone(PathBuf),
    /// The control file is another user's.
    #[error("{} belongs to another user: only root and the user who mounted it may use it", .0.display())]
    Forbidden(PathBuf),
    /// Something else than a daemon of this user's or of root's would get what is written.
    #[error("{} is not the control file of a SafeOS of yours ({why}), so nothing was sent to it: name another folder with --mount or SAFE_STATE, or unset SAFE_MOUNT", .path.display())]
    NotOurs {
        /// The supposed control file.
        path: PathBuf,
        /// Its real kind.
        why: String,
    },
    /// The conversation broke off.
    #[error(
        "the SafeOS daemon ended before it answered; look at `safe status`, then repeat the command"
    )]
    Ended,
    /// The caller did not want to wait any longer.
    #[error("stopped before it was done")]
    Stopped,
    /// The system starts no more threads.
    #[error("no thread can be started: {0}")]
    NoThread(std::io::Error),
    /// The request does not fit into a line.
    #[error("the request is longer than 64 KiB")]
    TooLong,
    /// The answer is not one.
    #[error(
        "the SafeOS daemon answered something else than expected ({0}): it may be of another version; sign out and in again"
    )]
    Protocol(String),
    /// The operating system said no.
    #[error("cannot talk to the SafeOS daemon through {}: {error}", .path.display())]
    Io {
        /// The control file.
        path: PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
    /// The daemon did not do what was asked, and says why.
    #[error(transparent)]
    Refused(#[from] ErrorReply),
}

impl ClientError {
    /// A stable word for programs.
    pub fn code(&self) -> &str {
        match self {
            Self::NoDaemon(_) => "no_daemon",
            Self::DaemonGone(_) | Self::Ended => "daemon_gone",
            Self::Forbidden(_) => "forbidden",
            Self::NotOurs { .. } => "not_yours",
            Self::Stopped => "stopped",
            Self::TooLong => "bad_request",
            Self::Protocol(_) => "protocol",
            Self::NoThread(_) => "system",
            Self::Io { .. } => "io",
            Self::Refused(reply) => &reply.code,
        }
    }

    /// Whether the same request may succeed later.
    pub fn retry(&self) -> bool {
        matches!(self, Self::Refused(reply) if reply.retry)
    }
}

/// One conversation with the daemon.
pub struct Client {
    path: PathBuf,
    file: File,
    /// Bytes read that belong to lines not taken yet.
    unread: Vec<u8>,
}

impl Client {
    /// Opens the control file, given itself or the mount point that holds it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ClientError> {
        let path = path.as_ref();
        let path = if path.file_name().is_some_and(|name| name == FILE_NAME) {
            path.to_owned()
        } else {
            path.join(FILE_NAME)
        };
        match ours::open(&path) {
            Ok(file) => Ok(Self {
                path,
                file,
                unread: Vec::new(),
            }),
            Err(Refused::NotOurs(why)) => Err(ClientError::NotOurs { path, why }),
            Err(Refused::System(error)) => Err(explain(path, error)),
        }
    }

    /// Sends a request and waits for the result; `on_progress` gets its progress.
    pub fn call(
        &mut self,
        request: &Request,
        mut on_progress: impl FnMut(Progress),
    ) -> Result<Value, ClientError> {
        self.call_while(request, |progress| {
            on_progress(progress);
            true
        })
    }

    /// The same until `on_progress` says no (the daemon says at least once a second that it goes on). After that
    /// this conversation is of no more use; dropping it lets the daemon stop the request.
    pub fn call_while(
        &mut self,
        request: &Request,
        mut on_progress: impl FnMut(Progress) -> bool,
    ) -> Result<Value, ClientError> {
        self.send(request)?;
        loop {
            match self.reply()? {
                Reply::Progress(progress) => {
                    if !on_progress(progress) {
                        return Err(ClientError::Stopped);
                    }
                }
                Reply::Ok(result) => return Ok(result),
                Reply::Error(error) => return Err(error.into()),
            }
        }
    }

    /// The same with the result as what it is known to be.
    pub fn call_for<T: DeserializeOwned>(
        &mut self,
        request: &Request,
        on_progress: impl FnMut(Progress),
    ) -> Result<T, ClientError> {
        let result = self.call(request, on_progress)?;
        serde_json::from_value(result).map_err(|error| ClientError::Protocol(error.to_string()))
    }

    fn send(&mut self, request: &Request) -> Result<(), ClientError> {
        // Room for the longest at once: a buffer that grows would leave copies of a password behind.
        let mut line = Zeroizing::new(vec![0; REQUEST_LEN_MAX]);
        let mut rest = line.as_mut_slice();
        serde_json::to_writer(&mut rest, request).map_err(|_| ClientError::TooLong)?;
        rest.write_all(b"\n").map_err(|_| ClientError::TooLong)?;
        let len = REQUEST_LEN_MAX - rest.len();
        self.file
            .write_all(&line[..len])
            .map_err(|error| explain(self.path.clone(), error))
    }

    fn reply(&mut self) -> Result<Reply, ClientError> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.unread[searched..]
                .iter()
                .position(|byte| *byte == b'\n')
            {
                let end = searched + end;
                let reply = serde_json::from_slice(&self.unread[..end])
                    .map_err(|error| ClientError::Protocol(error.to_string()));
                // An answer may show a secret key.
                self.unread[..=end].zeroize();
                self.unread.drain(..=end);
                return reply;
            }
            searched = self.unread.len();
            if searched >= REPLY_LEN_MAX {
                return Err(ClientError::Protocol("a line without end".to_owned()));
            }
            self.unread.resize(searched + PORTION_LEN, 0);
            let read = self.file.read(&mut self.unread[searched..]);
            self.unread
                .truncate(searched + read.as_ref().map_or(0, |len| (*len).min(PORTION_LEN)));
            match read {
                Ok(0) => return Err(ClientError::Ended),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(explain(self.path.clone(), error)),
            }
        }
    }
}

fn explain(path: PathBuf, error: std::io::Error) -> ClientError {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => ClientError::NoDaemon(path),
        ErrorKind::NotConnected | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
            ClientError::DaemonGone(path)
        }
        ErrorKind::PermissionDenied => ClientError::Forbidden(path),
        _ => ClientError::Io { path, error },
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::RequestLines;

    /// A client whose control file is one end of a socket pair; `daemon` has the other.
    fn talk<T: Send + 'static>(
        daemon: impl FnOnce(UnixStream) -> T + Send + 'static,
    ) -> (Client, std::thread::JoinHandle<T>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let file = File::from(OwnedFd::from(ours));
        let client = Client {
            path: PathBuf::from("/safe/.ctl"),
            file,
            unread: Vec::new(),
        };
        (client, std::thread::spawn(move || daemon(theirs)))
    }

    fn read_request(stream: &mut UnixStream) -> Request {
        let mut lines = RequestLines::new();
        let mut byte = [0];
        loop {
            stream.read_exact(&mut byte).unwrap();
            if let Some(request) = lines.push(&byte).pop() {
                return request.unwrap();
            }
        }
    }

    #[test]
    fn progress_and_results_arrive_in_whatever_portions() {
        let progress = |done| Progress {
            what: "uploading".into(),
            done,
            total: 2,
            unit: "records".into(),
        };
        let answer: Vec<u8> = [
            Reply::Progress(progress(1)),
            Reply::Progress(progress(2)),
            Reply::ok(&serde_json::json!({"records": 2, "name": "é\n"})),
        ]
        .iter()
        .flat_map(Reply::to_line)
        .collect();
        for portion in [1, 7, 64, 10_000] {
            let answer = answer.clone();
            let (mut client, daemon) = talk(move |mut stream| {
                for _ in 0..2 {
                    assert_eq!(read_request(&mut stream), Request::Sync);
                    for bytes in answer.chunks(portion) {
                        stream.write_all(bytes).unwrap();
                    }
                }
            });
            for _ in 0..2 {
                let mut heard = Vec::new();
                let result = client.call(&Request::Sync, |p| heard.push(p.done)).unwrap();
                assert_eq!(heard, [1, 2]);
                assert_eq!(result["records"], 2);
                assert_eq!(result["name"], "é\n");
            }
            daemon.join().unwrap();
        }
    }

    #[test]
    fn an_error_keeps_its_code() {
        let (mut client, daemon) = talk(|mut stream| {
            read_request(&mut stream);
            let line =
                r#"{"error": {"code": "wrong_password", "message": "wrong", "retry": false}}"#;
            writeln!(stream, "{line}").unwrap();
        });
        let error = client.call(&Request::Check, |_| ()).unwrap_err();
        assert_eq!(
            (error.code(), error.to_string().as_str()),
            ("wrong_password", "wrong")
        );
        assert!(!error.retry());
        daemon.join().unwrap();
    }

    #[test]
    fn one_can_stop_waiting() {
        let (mut client, daemon) = talk(|mut stream| {
            read_request(&mut stream);
            let progress = Progress {
                what: "uploading".into(),
                done: 1,
                total: 2,
                unit: String::new(),
            };
            stream
                .write_all(&Reply::Progress(progress).to_line())
                .unwrap();
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).unwrap()
        });
        let error = client.call_while(&Request::Sync, |_| false).unwrap_err();
        assert_eq!(error.code(), "stopped");
        drop(client);
        // The daemon sees that the client is gone.
        assert_eq!(daemon.join().unwrap(), 0);
    }

    #[test]
    fn typed_results() {
        #[derive(serde::Deserialize)]
        struct Url {
            url: String,
        }
        let (mut client, daemon) = talk(|mut stream| {
            for _ in 0..2 {
                read_request(&mut stream);
                stream
                    .write_all(&Reply::ok(&serde_json::json!({"url": "safe://x"})).to_line())
                    .unwrap();
            }
        });
        let request = Request::Publish(crate::Publish { path: "a".into() });
        let result: Url = client.call_for(&request, |_| ()).unwrap();
        assert_eq!(result.url, "safe://x");
        let wrong = client.call_for::<u64>(&request, |_| ());
        assert_eq!(wrong.unwrap_err().code(), "protocol");
        daemon.join().unwrap();
    }

    #[test]
    fn a_daemon_that_ends_or_babbles_is_reported() {
        for (answer, code) in [
            ("", "daemon_gone"),
            ("{\"ok\":", "daemon_gone"),
            ("hello\n", "protocol"),
        ] {
            let (mut client, daemon) = talk(move |mut stream| {
                read_request(&mut stream);
                stream.write_all(answer.as_bytes()).unwrap();
            });
            assert_eq!(
                client.call(&Request::Status, |_| ()).unwrap_err().code(),
                code
            );
            daemon.join().unwrap();
        }
    }

    #[test]
    fn a_missing_daemon_is_said_to_be_missing() {
        let folder = tempfile::tempdir().unwrap();
        for path in [
            folder.path().to_owned(),
            folder.path().join(FILE_NAME),
            folder.path().join("x"),
        ] {
            let error = Client::open(&path).err().unwrap();
            assert_eq!(error.code(), "no_daemon");
            assert!(error.to_string().contains("safe login"));
        }
        assert!(!folder.path().join(FILE_NAME).exists());
    }

    #[test]
    fn a_request_too_long_is_not_sent() {
        let (mut client, daemon) = talk(|mut stream| {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            all.len()
        });
        let request = Request::Copy(crate::Copy {
            to: "x".repeat(REQUEST_LEN_MAX),
        });
        assert_eq!(
            client.call(&request, |_| ()).unwrap_err().code(),
            "bad_request"
        );
        drop(client);
        assert_eq!(daemon.join().unwrap(), 0);
    }
}
