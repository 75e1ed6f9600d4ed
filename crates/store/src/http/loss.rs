//! Whether this system's network keeps what it says it has taken.
//!
//! There are systems (Redox, up to June 2026 at least) that answer a write with the length that was asked for although
//! only as much was taken as there was room for. The rest never arrives. What always holds here: this is found out by
//! trying, in milliseconds and bounded time, on a connection of this computer with itself; there is no wait for
//! the network to be there.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::link::{Link, Tcp, timed_out};

/// Bytes written to a peer that does not read: more than the buffers of a system that loses have room for.
const BULK_BYTES: usize = 1 << 20;
/// Read before one more thing is written, so that there is room for that.
const ROOM_BYTES: usize = 32 * 1024;
/// The last bytes. The bytes before are counted numbers, and never these.
const END: [u8; 16] = [0xff; 16];
/// For the next bytes to come or go.
const STEP: Duration = Duration::from_millis(500);
/// For a writer whose reader does not read.
const AT_ONCE: Duration = Duration::ZERO;
/// How often nothing comes in such a time before it is given up: a system may have other things to do.
const SILENCES: u32 = 6;
/// For all of it: it takes milliseconds.
const WHOLE: Duration = Duration::from_secs(4);
/// Where it could not be found out, it is tried again so much later.
const AGAIN: Duration = Duration::from_secs(60);

/// The knowledge about this system's network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loss {
    /// It keeps what it takes.
    Keeps,
    /// It answers a write with more than it has taken.
    Loses,
    /// It could not be found out: perhaps it is not there yet.
    Unknown,
}

impl Loss {
    /// Whether to reckon with loss. Where it is unknown, the system's reputation decides.
    pub fn loses(self) -> bool {
        self == Self::Loses || self == Self::Unknown && cfg!(target_os = "redox")
    }
}

/// The knowledge about this system. The first caller waits until it is found out, some milliseconds.
pub fn this_system() -> Loss {
    static KNOWN: Mutex<Option<(Loss, Instant)>> = Mutex::new(None);
    let mut known = KNOWN.lock();
    match *known {
        Some((loss, _)) if loss != Loss::Unknown => loss,
        Some((loss, tried)) if tried.elapsed() < AGAIN => loss,
        _ => {
            let loss = try_loopback();
            *known = Some((loss, Instant::now()));
            loss
        }
    }
}

/// On a thread of its own: not everything it waits for has a time-out.
fn try_loopback() -> Loss {
    let (say, heard) = mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name("network-test".into());
    let started = thread.spawn(move || {
        // The receiver is gone: then it took too long.
        let _ = say.send(loopback().and_then(|(mut near, mut far)| loses(&mut near, &mut far)));
    });
    match started.map(|_| heard.recv_timeout(WHOLE)) {
        Ok(Ok(Ok(true))) => Loss::Loses,
        Ok(Ok(Ok(false))) => Loss::Keeps,
        _ => Loss::Unknown,
    }
}

/// The two ends of a connection.
fn loopback() -> io::Result<(Tcp, Tcp)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    Ok((Tcp::new(near), Tcp::new(far)))
}

/// Whether a connection loses what is written to its near end: of more than its buffers take, whether as much arrives
/// at the far end as the writes were answered with.
pub fn loses(near: &mut dyn Link, far: &mut dyn Link) -> io::Result<bool> {
    // Until something has gone over it, it may not be there at either end.
    let mut buffer = vec![0; 64 * 1024];
    write_all(near, b"?")?;
    if far.read(&mut buffer, STEP)? != 1 {
        return Err(wrong());
    }
    let bulk: Vec<u8> = (0..BULK_BYTES as u64 / 8)
        .flat_map(u64::to_be_bytes)
        .collect();
    let mut written = 0;
    while let Some(rest) = bulk.get(written..).filter(|rest| !rest.is_empty()) {
        match near.write(rest, AT_ONCE) {
            Ok(0) => return Err(wrong()),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // No more fits.
            Err(error) if error.kind() == io::ErrorKind::TimedOut => break,
            Err(error) => return Err(error),
        }
    }
    let mut end: &[u8] = &END;
    let mut arrived = 0;
    let mut silences = 0;
    let mut last = [0; END.len()];
    // Nothing arrives but the bytes sent.
    while arrived <= written + (1 + SILENCES as usize) * END.len() {
        let count = match far.read(&mut buffer, STEP) {
            Ok(0) => return Err(wrong()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // The end may have been lost too.
            Err(error) if error.kind() == io::ErrorKind::TimedOut && silences < SILENCES => {
                silences += 1;
                end = &END;
                0
            }
            Err(error) => return Err(error),
        };
        arrived += count;
        for byte in buffer.get(..count).unwrap_or_default() {
            last.rotate_left(1);
            last[END.len() - 1] = *byte;
        }
        if last == END {
            return Ok(arrived < written + END.len());
        }
        if !end.is_empty() && (arrived >= ROOM_BYTES.min(written) || count == 0) {
            match near.write(end, AT_ONCE) {
                Ok(count) => end = end.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                Err(error) => return Err(error),
            }
        }
    }
    Err(wrong())
}

fn write_all(to: &mut dyn Link, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.write(bytes, STEP) {
            Ok(0) => return Err(timed_out()),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Another program is at the other end, or it has gone.
fn wrong() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not what was written")
}
