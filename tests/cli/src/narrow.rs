//! A proxy before a gateway that does not let large bodies through, in one of several ways, as long as a test wants it
//! so.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

/// Bodies of more bytes are large.
const LARGE_BYTES: usize = 64 * 1024;

/// The fate of large bodies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Way {
    /// They go through.
    Open,
    /// They are answered as by a gateway that they did not reach in time.
    TooSlow,
    /// They are not read, and not answered.
    Hangs,
    /// The connection is reset in their middle.
    Resets,
    /// Nothing goes through, large or small: every connection ends at once.
    Away,
}

/// A running one.
pub struct Narrow {
    address: SocketAddr,
    way: Arc<AtomicU8>,
    ended: Arc<AtomicBool>,
    refused: Arc<AtomicU64>,
}

impl Narrow {
    /// Stands before the gateway at `upstream` (host and port), and lets everything through.
    pub fn before(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let narrow = Self {
            address: listener.local_addr().unwrap(),
            way: Arc::new(AtomicU8::new(Way::Open as u8)),
            ended: Arc::default(),
            refused: Arc::default(),
        };
        let upstream = upstream.to_owned();
        let (way, ended) = (narrow.way.clone(), narrow.ended.clone());
        let refused = narrow.refused.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let (upstream, way, ended) = (upstream.clone(), way.clone(), ended.clone());
                let refused = refused.clone();
                std::thread::spawn(move || pass(stream, &upstream, &way, &ended, &refused));
            }
        });
        narrow
    }

    /// From now on.
    pub fn set(&self, way: Way) {
        self.way.store(way as u8, Ordering::SeqCst);
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests did not go through.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::SeqCst)
    }
}

impl Drop for Narrow {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

/// One request, and no other on this connection.
fn pass(
    mut from: TcpStream,
    upstream: &str,
    way: &AtomicU8,
    ended: &AtomicBool,
    refused: &AtomicU64,
) -> Option<()> {
    let is = |other: Way| way.load(Ordering::SeqCst) == other as u8;
    if is(Way::Away) {
        refused.fetch_add(1, Ordering::SeqCst);
        return None;
    }
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if from.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<usize>().unwrap())
        })
        .unwrap_or(0);
    if length > LARGE_BYTES && !is(Way::Open) {
        refused.fetch_add(1, Ordering::SeqCst);
        if is(Way::Hangs) {
            while is(Way::Hangs) && !ended.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(10));
            }
            return None;
        }
        let mut begun = vec![0; LARGE_BYTES];
        from.read_exact(&mut begun).ok()?;
        if is(Way::Resets) {
            let now = libc::linger {
                l_onoff: 1,
                l_linger: 0,
            };
            // SAFETY: the structure and its length live until the call returns.
            unsafe {
                libc::setsockopt(
                    from.as_raw_fd(),
                    libc::SOL_SOCKET,
                    libc::SO_LINGER,
                    (&raw const now).cast(),
                    size_of::<libc::linger>() as libc::socklen_t,
                );
            }
            return None;
        }
        let said = r#"{"error":{"code":"too_slow","message":"the body came in too slowly or not at all; send it again"}}"#;
        write!(
            from,
            "HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{said}",
            said.len()
        )
        .ok()?;
        // Unread data would make a reset of the end, which takes the answer with it.
        from.shutdown(Shutdown::Write).ok()?;
        let mut rest = Vec::new();
        let _ = from.take(8 << 20).read_to_end(&mut rest);
        return None;
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).ok()?;
    let mut to = TcpStream::connect(upstream).ok()?;
    let head = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    to.write_all(head.as_bytes()).ok()?;
    to.write_all(&body).ok()?;
    std::io::copy(&mut to, &mut from).ok()?;
    Some(())
}
