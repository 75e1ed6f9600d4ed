//! The protocol between a gateway and its clients: limits, paths and the frames of batches.
//! `docs/gateway.md` describes them for other programs.
//!
//! What always holds here: memory is allocated only for lengths that were checked against a limit first; and no answer
//! can be taken for the answer to something else. A line without TLS has only the checksums of TCP, which
//! let some damage through: so an answer about an address names it, and an answer without an address has a digest.

use std::io::{self, Read};
use std::time::Duration;

use bytes::Bytes;
use safeos_record::{Address, Chunk, MAX_CHUNK_SIZE};
use serde::{Deserialize, Serialize};

use crate::{Entry, Kind, Room};

/// Most bytes of small JSON answers.
pub(super) const JSON_BYTES_MAX: usize = 64 * 1024;

/// Most addresses that one `/v1/chunks/has` asks for.
pub const HAS_MAX: usize = 4096;
/// Most chunks that one `/v1/chunks/get` fetches.
pub const GET_MAX: usize = 64;
/// Most bytes of a body, of a batch to be stored as of anything else.
pub const BODY_BYTES_MAX: usize = 8 << 20;
/// The header of a request whose body was sent before, in parts: the BLAKE3 hash of that body, in hexadecimal digits. A
/// successful answer has it too.
pub const BODY: &str = "safeos-body";
/// Most bytes of a part.
pub const PART_BYTES_MAX: usize = 64 * 1024;
/// Fewest bytes of a part, but for the last one of a body.
pub const PART_BYTES_MIN: usize = 4 * 1024;
/// Most entries of one page of `/v1/list`.
pub const LIST_MAX: usize = 4096;
/// Most bytes of an error's message that are shown.
pub const MESSAGE_BYTES_MAX: usize = 1024;
/// Length of an address on the wire, in bytes.
pub const ADDRESS_LEN: usize = 32;

/// The outcome for one address of `/v1/chunks/get`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Outcome {
    /// The chunk's bytes follow.
    Found = 0,
    /// There is none; the address follows.
    Missing = 1,
    /// It is damaged; a message follows.
    Damaged = 2,
    /// It could not be read now; a message follows.
    Failed = 3,
}

impl Outcome {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Found,
            1 => Self::Missing,
            2 => Self::Damaged,
            3 => Self::Failed,
            _ => return None,
        })
    }
}

/// The addresses of a request, one after another.
pub fn write_addresses(addresses: &[Address]) -> Vec<u8> {
    addresses
        .iter()
        .flat_map(|address| address.as_bytes().iter().copied())
        .collect()
}

/// Reads what [`write_addresses`] wrote; `None` unless there are from one to `max`.
pub fn read_addresses(body: &[u8], max: usize) -> Option<Vec<Address>> {
    let (addresses, rest) = body.as_chunks::<ADDRESS_LEN>();
    let fits = rest.is_empty() && !addresses.is_empty() && addresses.len() <= max;
    fits.then(|| addresses.iter().copied().map(Address).collect())
}

/// Reads which of the requested addresses are there: the answer to `/v1/chunks/has` lists those, in the order of the
/// request. `None` for an answer to another request.
pub fn read_there(asked: &[Address], answer: &[u8]) -> Option<Vec<bool>> {
    let (there, rest) = answer.as_chunks::<ADDRESS_LEN>();
    let mut there = there.iter().peekable();
    let found = asked
        .iter()
        .map(|address| there.next_if(|next| *next == address.as_bytes()).is_some())
        .collect();
    (rest.is_empty() && there.next().is_none()).then_some(found)
}

/// The header that holds the digest of an answer without addresses: the BLAKE3 hash, in hexadecimal digits.
pub const DIGEST: &str = "safeos-blake3";

/// The header that every answer of a gateway carries, with the interface's version: an answer without it comes from
/// something else, or from a gateway of before there was one.
pub const MARK: &str = "safeos-gateway";
/// The interface's version.
pub const MARK_VERSION: &str = "1";

/// The header that says how much room there is for more: `FREE/TOTAL`, in bytes. Not with every store.
pub const ROOM: &str = "safeos-room";

/// With this header a client waits for a pointer that it has seen to move: `wait=SECONDS` (RFC 7240) …
pub const PREFER: &str = "prefer";
/// … and with this one a gateway says that it has let it.
pub const PREFERENCE_APPLIED: &str = "preference-applied";

/// The time in `wait=SECONDS`.
pub fn read_wait(preference: &str) -> Option<Duration> {
    let mut all = preference.split([',', ';']).map(str::trim);
    let seconds = all.find_map(|one| one.strip_prefix("wait="))?;
    Some(Duration::from_secs(
        seconds.trim().parse::<u32>().ok()?.into(),
    ))
}

/// The value of [`ROOM`].
pub fn write_room(room: &Room) -> String {
    format!("{}/{}", room.free, room.total)
}

/// Reads what [`ROOM`] holds; nothing where it makes no sense.
pub fn read_room(text: &str) -> Option<Room> {
    let (free, total) = text.split_once('/')?;
    let room = Room {
        total: total.parse().ok()?,
        free: free.parse().ok()?,
    };
    (room.free <= room.total).then_some(room)
}

/// The head of one answer of `/v1/chunks/get`: the outcome, and the length of its body.
pub fn answer_head(outcome: Outcome, len: usize) -> [u8; 5] {
    let mut head = [outcome as u8; 5];
    // Neither a chunk nor a message comes near 4 GiB.
    head[1..].copy_from_slice(&(len as u32).to_be_bytes());
    head
}

/// Reads one answer of `/v1/chunks/get`.
pub fn read_answer(from: &mut dyn Read) -> io::Result<(Outcome, Vec<u8>)> {
    let mut head = [0; 5];
    from.read_exact(&mut head)?;
    let [outcome, len @ ..] = head;
    let outcome = Outcome::from_byte(outcome)
        .ok_or_else(|| wrong(format!("an outcome {outcome}, which there is not")))?;
    let len = u32::from_be_bytes(len) as usize;
    let max = match outcome {
        Outcome::Found => MAX_CHUNK_SIZE,
        Outcome::Missing => ADDRESS_LEN,
        Outcome::Damaged | Outcome::Failed => MESSAGE_BYTES_MAX,
    };
    if len > max {
        return Err(wrong(format!(
            "{len} bytes where at most {max} can be ({outcome:?})"
        )));
    }
    let mut bytes = vec![0; len];
    from.read_exact(&mut bytes)?;
    Ok((outcome, bytes))
}

/// The body of `/v1/chunks/put`: address, length and bytes of each chunk.
pub fn write_chunks(chunks: &[&Chunk]) -> Vec<u8> {
    let len = chunks.iter().map(|chunk| framed_len(chunk)).sum();
    let mut body = Vec::with_capacity(len);
    for chunk in chunks {
        body.extend_from_slice(chunk.address().as_bytes());
        body.extend_from_slice(&(chunk.bytes().len() as u32).to_be_bytes());
        body.extend_from_slice(chunk.bytes());
    }
    body
}

/// How long a chunk is in the body of `/v1/chunks/put`.
pub fn framed_len(chunk: &Chunk) -> usize {
    ADDRESS_LEN + 4 + chunk.bytes().len()
}

/// Reads and verifies the body that [`write_chunks`] wrote; returns the problem of a malformed one.
pub fn read_chunks(mut body: Bytes) -> Result<Vec<Chunk>, String> {
    let mut chunks = Vec::new();
    while !body.is_empty() {
        let number = chunks.len();
        let cut = || format!("the body ends within chunk {number} (counted from 0)");
        if body.len() < ADDRESS_LEN + 4 {
            return Err(cut());
        }
        let head = body.split_to(ADDRESS_LEN + 4);
        let (address, len) = head.split_at(ADDRESS_LEN);
        let address = Address(address.try_into().map_err(|_| cut())?);
        let len = u32::from_be_bytes(len.try_into().map_err(|_| cut())?) as usize;
        if len > body.len() {
            return Err(cut());
        }
        // A copy of its own: a chunk that a store keeps must not keep the whole body in memory.
        let bytes = Bytes::copy_from_slice(&body.split_to(len));
        let chunk = Chunk::verify(address, bytes)
            .map_err(|error| format!("chunk {number} (counted from 0): {error}"))?;
        chunks.push(chunk);
    }
    Ok(chunks)
}

/// A page of `/v1/list`.
#[derive(Serialize, Deserialize)]
pub struct Page {
    /// The requested start, `KIND:ADDRESS`; nothing for the first page.
    pub after: Option<String>,
    /// The records, in order; none at the end.
    pub records: Vec<Listed>,
}

/// A record in a [`Page`].
#[derive(Serialize, Deserialize)]
pub struct Listed {
    /// Chunk or pointer.
    pub kind: Kind,
    /// Where it lives.
    pub address: Address,
    /// Its length in bytes.
    pub len: u64,
}

impl From<Entry> for Listed {
    fn from(entry: Entry) -> Self {
        Self {
            kind: entry.kind,
            address: entry.address,
            len: entry.len,
        }
    }
}

impl From<Listed> for Entry {
    fn from(listed: Listed) -> Self {
        Self {
            kind: listed.kind,
            address: listed.address,
            len: listed.len,
        }
    }
}

/// A place in the list, as `/v1/list?after=KIND:ADDRESS` has it.
pub fn write_place((kind, address): (Kind, Address)) -> String {
    format!("{}:{address}", kind_word(kind))
}

/// The word for a kind.
pub fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Chunk => "chunk",
        Kind::Pointer => "pointer",
    }
}

/// Reads what [`write_place`] wrote.
pub fn read_place(text: &str) -> Option<(Kind, Address)> {
    let (kind, address) = text.split_once(':')?;
    let kind = match kind {
        "chunk" => Kind::Chunk,
        "pointer" => Kind::Pointer,
        _ => return None,
    };
    Some((kind, address.parse().ok()?))
}

/// The body of every error.
#[derive(Serialize, Deserialize)]
pub struct Failure {
    /// The error.
    pub error: FailureText,
}

/// See [`Failure`].
#[derive(Serialize, Deserialize)]
pub struct FailureText {
    /// A stable word for programs.
    pub code: String,
    /// The failure, its object, and what to do.
    pub message: String,
    /// With code `conflict`: the counter that is there now, if anything is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<u64>,
    /// With code `missing_record`: which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
}

/// A counter as an entity tag, the way `ETag`, `If-Match` and `If-None-Match` carry it.
pub fn tag(counter: u64) -> String {
    format!("\"{counter}\"")
}

/// Reads what [`tag`] wrote.
pub fn read_tag(text: &str) -> Option<u64> {
    let digits = text.trim().strip_prefix('"')?.strip_suffix('"')?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

fn wrong(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let addresses = [Address([1; 32]), Address([2; 32])];
        let body = write_addresses(&addresses);
        assert_eq!(read_addresses(&body, 2).unwrap(), addresses);
        for (body, max) in [(&body[..], 1), (&body[..63], 2), (&[], 2)] {
            assert!(read_addresses(body, max).is_none());
        }
        let there = |answer: &[Address]| read_there(&addresses, &write_addresses(answer));
        assert_eq!(there(&[]), Some(vec![false, false]));
        assert_eq!(there(&addresses[1..]), Some(vec![false, true]));
        assert_eq!(there(&addresses), Some(vec![true, true]));
        assert_eq!(there(&[addresses[1], addresses[0]]), None);
        assert_eq!(there(&[Address([3; 32])]), None);
        assert_eq!(read_there(&addresses, &[1; 33]), None);
        let chunks = [
            Chunk::new(vec![7; 10]).unwrap(),
            Chunk::new(vec![]).unwrap(),
        ];
        let body = write_chunks(&chunks.each_ref());
        assert_eq!(read_chunks(body.clone().into()).unwrap(), chunks);
        for len in 1..body.len() {
            let cut = read_chunks(Bytes::copy_from_slice(&body[..len]));
            assert!(cut.is_err() || len == 46, "{len}");
        }
        for at in 0..body.len() {
            let mut body = body.clone();
            body[at] ^= 1;
            assert!(read_chunks(body.into()).is_err(), "{at}");
        }
        assert_eq!(read_tag(&tag(u64::MAX)), Some(u64::MAX));
        for text in [
            "",
            "5",
            "\"\"",
            "\"+5\"",
            "\"-1\"",
            "\"99999999999999999999\"",
            "W/\"5\"",
        ] {
            assert_eq!(read_tag(text), None, "{text}");
        }
        let place = format!("chunk:{}", addresses[0]);
        assert_eq!(read_place(&place), Some((Kind::Chunk, addresses[0])));
        assert_eq!(read_place("chunk"), None);
        assert_eq!(read_place("file:00"), None);
    }

    #[test]
    fn an_answer_of_any_bytes_is_read_or_refused() {
        let head = answer_head(Outcome::Found, 3);
        let mut found: &[u8] = &[&head[..], b"abc", b"rest"].concat();
        let read = read_answer(&mut found).unwrap();
        assert_eq!(read, (Outcome::Found, b"abc".to_vec()));
        for head in [
            answer_head(Outcome::Found, MAX_CHUNK_SIZE + 1),
            answer_head(Outcome::Missing, 33),
            answer_head(Outcome::Failed, usize::MAX),
            [9, 0, 0, 0, 0],
        ] {
            assert!(read_answer(&mut &head[..]).is_err(), "{head:?}");
        }
        assert!(read_answer(&mut &b""[..]).is_err());
    }
}
