//! Homes at a gateway, and the gateway's counts.

use std::path::Path;
use std::sync::Arc;

use safeos_gateway::Server;
use safeos_session::{Credentials, FileKind, Ino, NewNode, Options, Secret, Session, Volume};
use safeos_store::{HttpOptions, HttpStore, Store};

use crate::plain::ask;

/// Whose home it is.
pub fn credentials() -> Credentials {
    Credentials::new("Ana", Secret::new("correct horse battery".into()))
}

/// A computer that keeps its state in this folder.
pub fn options(store: &Arc<dyn Store>, state: &Path) -> Options {
    Options::new(store.clone(), state, (1000, 1000))
}

/// A computer's way to a gateway.
pub fn far(url: &str) -> Arc<dyn Store> {
    let store = HttpStore::open(url, vec![url.to_owned()], &HttpOptions::default());
    Arc::new(store.unwrap())
}

/// A new computer signs in there.
pub fn sign_in(url: &str, state: &Path) -> Arc<Session> {
    Session::sign_in(credentials(), options(&far(url), state), &()).unwrap()
}

/// Makes something in a folder.
pub fn make(home: &dyn Volume, folder: Ino, name: &str, kind: FileKind) -> Ino {
    let node = NewNode::new(kind, 0o755, (1000, 1000));
    home.create(folder, name.as_bytes(), &node).unwrap().ino
}

/// Makes a file with this content.
pub fn write(home: &dyn Volume, folder: Ino, name: &str, content: &[u8]) {
    let ino = make(home, folder, name, FileKind::File);
    home.write(ino, Some(0), content).unwrap();
}

/// The content of a file there.
pub fn read(home: &dyn Volume, ino: Ino, from: usize, len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    home.read(ino, from as u64, len, &mut out).unwrap();
    out
}

/// The counts of a gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Done {
    /// Requests for chunks.
    pub chunks: u64,
    /// Requests for pointers, and such that wait for one to move.
    pub pointers: u64,
    /// Others, but for the one that asks for this.
    pub others: u64,
    /// Bytes sent.
    pub sent: u64,
}

impl Done {
    /// As its metrics say.
    pub fn of(server: &Server) -> Self {
        let answer = ask(server.address(), "GET", "/metrics", "", b"");
        let mut done = Self::default();
        for line in std::str::from_utf8(&answer.body).unwrap().lines() {
            let Some((name, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let Ok(value) = value.parse::<u64>() else {
                continue;
            };
            let is_of = |endpoint: &str| name.contains(&format!("endpoint=\"{endpoint}\""));
            if name == "safeos_gateway_bytes_sent_total" {
                done.sent = value;
            } else if !name.starts_with("safeos_gateway_requests_total") || is_of("about") {
            } else if is_of("chunk") || is_of("get") {
                done.chunks += value;
            } else if is_of("pointer") || is_of("watch") {
                done.pointers += value;
            } else {
                done.others += value;
            }
        }
        done
    }

    /// Requests of all kinds.
    pub fn requests(&self) -> u64 {
        self.chunks + self.pointers + self.others
    }

    /// The counts since then.
    pub fn since(server: &Server, before: Self) -> Self {
        let now = Self::of(server);
        Self {
            chunks: now.chunks - before.chunks,
            pointers: now.pointers - before.pointers,
            others: now.others - before.others,
            sent: now.sent - before.sent,
        }
    }
}
