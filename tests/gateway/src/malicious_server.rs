//! A server that answers what a test wants, byte for byte and at any pace.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// A request that it received.
pub struct Asked {
    /// `GET /v1/…`
    pub line: String,
    /// All of the head.
    pub head: String,
    /// The body, if it has a length.
    pub body: Vec<u8>,
}

/// How it answers.
pub enum Reply {
    /// These bytes, then the end of the connection.
    Bytes(Vec<u8>),
    /// These bytes, then the last one again and again as long as they are read.
    Endless(Vec<u8>),
    /// These bytes, one at a time.
    Drip(Vec<u8>, Duration),
    /// Nothing at all, and no end either.
    Silence,
}

impl Reply {
    /// A well-formed answer.
    pub fn ok(body: &[u8]) -> Self {
        Self::with("200 OK", "", body)
    }

    /// A well-formed answer with this status and further header lines.
    pub fn with(status: &str, lines: &str, body: &[u8]) -> Self {
        let mut bytes = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{lines}\r\n",
            body.len()
        )
        .into_bytes();
        bytes.extend_from_slice(body);
        Self::Bytes(bytes)
    }
}

/// A running one.
pub struct MaliciousServer {
    address: SocketAddr,
    end: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    written: Arc<AtomicU64>,
}

impl MaliciousServer {
    /// Starts one that answers with `reply`.
    pub fn start(reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let liar = Self {
            address: listener.local_addr().unwrap(),
            end: Arc::default(),
            asked: Arc::default(),
            written: Arc::default(),
        };
        let (end, asked, written) = (liar.end.clone(), liar.asked.clone(), liar.written.clone());
        let reply = Arc::new(reply);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::Relaxed) {
                    return;
                }
                let (reply, end) = (reply.clone(), end.clone());
                let (asked, written) = (asked.clone(), written.clone());
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let Some(request) = read(&mut stream) else {
                        return;
                    };
                    asked.fetch_add(1, Ordering::Relaxed);
                    answer(stream, reply(&request), &end, &written);
                });
            }
        });
        liar
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests it has had.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// How many bytes it got rid of.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

impl Drop for MaliciousServer {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
    }
}

fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head);
    let length = text
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length:")?
                .trim()
                .parse()
                .ok()
        })
        .unwrap_or(0_usize);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(Asked {
        line: text.lines().next().unwrap_or_default().to_owned(),
        head: text.into_owned(),
        body,
    })
}

fn answer(mut stream: TcpStream, reply: Reply, end: &AtomicBool, written: &AtomicU64) {
    let mut send = |bytes: &[u8]| {
        let done = stream.write_all(bytes).is_ok();
        written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        done && !end.load(Ordering::Relaxed)
    };
    match reply {
        Reply::Bytes(bytes) => {
            send(&bytes);
        }
        Reply::Endless(bytes) => {
            let more = vec![*bytes.last().unwrap_or(&0); 64 * 1024];
            let mut open = send(&bytes);
            while open {
                open = send(&more);
            }
        }
        Reply::Drip(bytes, pause) => {
            for byte in bytes {
                if !send(&[byte]) {
                    return;
                }
                std::thread::sleep(pause);
            }
        }
        Reply::Silence => {
            while !end.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}
