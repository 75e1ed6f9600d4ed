//! Requests written by hand, and their answers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// An answer, taken apart.
#[derive(Debug)]
pub struct Answer {
    /// 0 when there was none.
    pub status: u16,
    /// The head as it came.
    pub head: String,
    /// The body, as long as `Content-Length` says.
    pub body: Vec<u8>,
}

impl Answer {
    /// The word of an error.
    pub fn code(&self) -> String {
        let value: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        value["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// One request on a connection of its own; bytes as they are.
pub fn send(to: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(to).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
        .set_write_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    // A server that answers early closes early.
    drop(stream.write_all(request));
    read(&mut stream, request.starts_with(b"HEAD"))
}

/// A well-formed request.
pub fn ask(to: SocketAddr, method: &str, path: &str, lines: &str, body: &[u8]) -> Answer {
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n{lines}\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    send(to, &request)
}

/// Reads one answer.
pub fn read(stream: &mut TcpStream, no_body: bool) -> Answer {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    let mut answer = Answer {
        status: status.unwrap_or(0),
        head,
        body: Vec::new(),
    };
    if !no_body {
        match answer
            .header("content-length")
            .and_then(|length| length.parse().ok())
        {
            Some(length) => {
                answer.body = vec![0; length];
                if stream.read_exact(&mut answer.body).is_err() {
                    answer.body.clear();
                }
            }
            None => {
                let _ = stream.read_to_end(&mut answer.body);
            }
        }
    }
    answer
}
