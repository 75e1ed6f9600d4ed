//! Bodies that do not come in whole: whatever is cut off where, nothing of it becomes a record.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use safeos_gateway::{Limits, Server};
use safeos_gateway_tests::{chunk, gateway, pointer};
use safeos_record::{Address, Chunk};
use safeos_store::{Kind, MemoryStore, Store, wire};

/// How a request does not come whole.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// The connection ends after so many bytes of the body.
    Ends(usize),
    /// The same, and waits for an answer instead of closing.
    Stops(usize),
    /// Its length is said to be so much less than it is.
    Short(usize),
    /// Its length is said to be so much more than it is.
    Long(usize),
    /// In parts, of which the last one is missing after so many bytes.
    Parts(usize),
}

fn start() -> (Arc<MemoryStore>, Server) {
    gateway(Limits {
        stall: Duration::from_millis(150),
        ..Limits::default()
    })
}

/// Sends it; returns the status of the answer, 0 if there is none.
fn send(to: SocketAddr, method: &str, path: &str, lines: &str, body: &[u8], cut: Cut) -> u16 {
    let mut stream = TcpStream::connect(to).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let length = match cut {
        Cut::Ends(_) | Cut::Stops(_) => body.len(),
        Cut::Short(less) => body.len() - less,
        Cut::Long(more) => body.len() + more,
        Cut::Parts(_) => 0,
    };
    let length = match cut {
        Cut::Parts(_) => "Transfer-Encoding: chunked".to_owned(),
        _ => format!("Content-Length: {length}"),
    };
    let mut request =
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{length}\r\n{lines}\r\n").into_bytes();
    match cut {
        Cut::Ends(at) | Cut::Stops(at) => request.extend_from_slice(&body[..at]),
        Cut::Short(_) | Cut::Long(_) => request.extend_from_slice(body),
        Cut::Parts(at) => {
            request.extend_from_slice(format!("{at:x}\r\n").as_bytes());
            request.extend_from_slice(&body[..at]);
        }
    }
    // A server that answers early closes early.
    drop(stream.write_all(&request));
    if matches!(cut, Cut::Ends(_) | Cut::Parts(_)) {
        drop(stream.shutdown(Shutdown::Write));
    }
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1);
    status.and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// Every stored record must be right, and among `allowed`.
fn only(store: &MemoryStore, allowed: &BTreeSet<Address>, how: &str) {
    for entry in store.list(None, 10_000).unwrap() {
        assert_eq!(entry.kind, Kind::Chunk, "{how}");
        assert!(allowed.contains(&entry.address), "{how}: {entry:?}");
        assert!(store.get_chunk(&entry.address).is_ok(), "{how}");
    }
}

/// Positions in a body: its ends, those at a boundary, and some between.
fn positions(len: usize, boundaries: &[usize]) -> Vec<usize> {
    let near = |at: &usize| [at.saturating_sub(1), *at, at + 1];
    let mut found: BTreeSet<usize> = boundaries.iter().flat_map(near).collect();
    found.extend([0, 1, len / 3, len / 2, len - 1]);
    found.into_iter().filter(|at| *at < len).collect()
}

fn cuts(len: usize, boundaries: &[usize]) -> Vec<Cut> {
    let mut cuts = Vec::new();
    for at in positions(len, boundaries) {
        cuts.extend([Cut::Ends(at), Cut::Parts(at), Cut::Short(len - at)]);
    }
    // These take the gateway's patience each.
    cuts.extend([Cut::Stops(len / 2), Cut::Stops(len - 1)]);
    cuts.extend([Cut::Long(1), Cut::Long(100_000)]);
    cuts
}

#[test]
fn a_chunk_that_is_cut_anywhere_is_no_record() {
    let (store, server) = start();
    for len in [1, 5000, 300_000] {
        let chunk = chunk(len as u64, len);
        let path = format!("/v1/chunks/{}", chunk.address());
        // The ends of a buffer, of a block of ciphers and of the gateway's memory units.
        for cut in cuts(len, &[4096, 16 * 1024, 64 * 1024, 128 * 1024]) {
            let status = send(server.address(), "PUT", &path, "", chunk.bytes(), cut);
            let how = format!("{len} bytes, {cut:?}: {status}");
            assert!(!(200..300).contains(&status), "{how}");
            only(&store, &BTreeSet::new(), &how);
        }
        // Whole, it is one.
        let whole = send(
            server.address(),
            "PUT",
            &path,
            "Connection: close\r\n",
            chunk.bytes(),
            Cut::Short(0),
        );
        assert_eq!(whole, 204);
        assert_eq!(store.list(None, 10).unwrap().len(), 1);
        store.delete_chunks(&[chunk.address()]).unwrap();
    }
}

#[test]
fn of_a_batch_that_is_cut_only_whole_chunks_are_records() {
    let (store, server) = start();
    let chunks: Vec<Chunk> = (0..4).map(|n| chunk(100 + n, 3000 + n as usize)).collect();
    let all: Vec<&Chunk> = chunks.iter().collect();
    let body = wire::write_chunks(&all);
    let ends: Vec<usize> = (0..=all.len())
        .map(|count| wire::write_chunks(&all[..count]).len())
        .collect();
    for cut in cuts(body.len(), &ends) {
        let status = send(server.address(), "POST", "/v1/chunks/put", "", &body, cut);
        let how = format!("{cut:?}: {status}");
        // A length that ends with a chunk says that the batch has no more.
        let whole = match cut {
            Cut::Short(less) => ends.iter().position(|end| *end == body.len() - less),
            _ => None,
        };
        assert!(whole.is_some() || !(200..300).contains(&status), "{how}");
        let there = &chunks[..whole.unwrap_or(0)];
        let there: BTreeSet<Address> = there.iter().map(Chunk::address).collect();
        only(&store, &there, &how);
        let there: Vec<Address> = there.into_iter().collect();
        store.delete_chunks(&there).unwrap();
    }
}

#[test]
fn a_pointer_that_is_cut_anywhere_is_no_record() {
    let (store, server) = start();
    let pointer = pointer(1, 7);
    let body = pointer.as_bytes();
    let path = format!("/v1/pointers/{}", pointer.address());
    let lines = "If-None-Match: *\r\n";
    let every: Vec<usize> = (0..body.len()).collect();
    for at in every {
        for cut in [Cut::Ends(at), Cut::Short(body.len() - at)] {
            let status = send(server.address(), "PUT", &path, lines, body, cut);
            let how = format!("{cut:?}: {status}");
            assert!(!(200..300).contains(&status), "{how}");
            assert!(
                store.get_pointer(&pointer.address()).unwrap().is_none(),
                "{how}"
            );
        }
    }
    for cut in [Cut::Long(1), Cut::Stops(body.len() - 1), Cut::Parts(40)] {
        let status = send(server.address(), "PUT", &path, lines, body, cut);
        assert!(!(200..300).contains(&status), "{cut:?}: {status}");
        assert!(store.list(None, 10).unwrap().is_empty(), "{cut:?}");
    }
    let lines = "If-None-Match: *\r\nConnection: close\r\n";
    let whole = send(server.address(), "PUT", &path, lines, body, Cut::Short(0));
    assert_eq!(whole, 204);
}
