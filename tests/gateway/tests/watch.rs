//! Clients that wait for a pointer to move: they hear of it at once, and take no place from others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use safeos_gateway::{Limits, Options, Server};
use safeos_gateway_tests::malicious_server::{MaliciousServer, Reply};
use safeos_gateway_tests::plain::{ask, read};
use safeos_gateway_tests::{client, pointer};
use safeos_store::{Error, MemoryStore, Method, Store, Watched};

/// Longer than anything here takes, and shorter than a gateway takes to look by itself.
const SOON: Duration = Duration::from_secs(15);
const LONG: Duration = Duration::from_secs(50);

fn start(limits: Limits) -> (Arc<MemoryStore>, Server) {
    let store = Arc::new(MemoryStore::default());
    store.set_pointer(&pointer(1, 1), None).unwrap();
    let options = Options {
        limits,
        ..Options::default()
    };
    let server = Server::start(store.clone(), &options).unwrap();
    (store, server)
}

/// Waits until the gateway has looked so often.
fn looked(store: &MemoryStore, times: u64) {
    let start = Instant::now();
    while store.calls(Method::GetPointer) < times {
        assert!(start.elapsed() < SOON, "the gateway does not look");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A connection that waits for the pointer to move from counter 1.
fn hold(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let path = format!("/v1/pointers/{}", pointer(1, 1).address());
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: here\r\nIf-None-Match: \"1\"\r\nPrefer: wait=50\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// The counter of the state that a pointer is said to have moved to; the answer carries all of it.
fn counter(outcome: &Watched) -> Option<u64> {
    match outcome {
        Watched::Moved(pointer) => pointer.as_ref().map(safeos_record::Pointer::counter),
        _ => None,
    }
}

#[test]
fn who_waits_hears_at_once_of_what_moves() {
    let (store, server) = start(Limits::default());
    let address = pointer(1, 1).address();
    let waits = client(&[&server.url()]);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let start = Instant::now();
            let outcome = waits.watch_pointer(&address, 1, LONG).unwrap();
            (outcome, start.elapsed())
        });
        looked(&store, 1);
        client(&[&server.url()])
            .set_pointer(&pointer(1, 2), Some(1))
            .unwrap();
        let (outcome, time) = waiting.join().unwrap();
        assert_eq!(counter(&outcome), Some(2));
        assert!(time < SOON, "{time:?}");
    });
    // An earlier move is reported without waiting.
    let outcome = waits.watch_pointer(&address, 1, LONG).unwrap();
    assert_eq!(counter(&outcome), Some(2));
    // A pointer that is gone has moved too.
    let gone = pointer(2, 1).address();
    assert!(matches!(
        waits.watch_pointer(&gone, 1, LONG),
        Err(Error::Missing { .. })
    ));
}

#[test]
fn when_the_time_is_over_it_is_the_same() {
    let (_store, server) = start(Limits::default());
    let address = pointer(1, 1).address();
    let second = Duration::from_secs(1);
    let outcome = client(&[&server.url()]).watch_pointer(&address, 1, second);
    assert_eq!(outcome.unwrap(), Watched::Same);

    let path = format!("/v1/pointers/{address}");
    let lines = "If-None-Match: \"1\"\r\nPrefer: respond-async, wait=1\r\n";
    let answer = ask(server.address(), "GET", &path, lines, b"");
    assert_eq!(answer.status, 304);
    assert_eq!(answer.header("etag"), Some("\"1\""));
    assert_eq!(answer.header("preference-applied"), Some("wait"));
    // Without both of the headers the request does not wait.
    for lines in [
        "Prefer: wait=50\r\n",
        "If-None-Match: \"1\"\r\n",
        "If-None-Match: \"1\"\r\nPrefer: wait=soon\r\n",
        "If-None-Match: nonsense\r\nPrefer: wait=50\r\n",
    ] {
        let answer = ask(server.address(), "GET", &path, lines, b"");
        assert_eq!(answer.status, 200, "{lines}");
        assert_eq!(answer.header("preference-applied"), None, "{lines}");
    }
}

#[test]
fn who_waits_takes_no_place_from_others() {
    let (store, server) = start(Limits {
        connections: 8,
        connections_each: 8,
        requests: 1,
        store_calls: 1,
        ..Limits::default()
    });
    let waiting: Vec<TcpStream> = (0..8).map(|_| hold(&server)).collect();
    looked(&store, 8);
    // The one place among the requests is free, and a waiting connection is closed for a new one.
    for _ in 0..3 {
        let path = format!("/v1/pointers/{}", pointer(1, 1).address());
        let answer = ask(server.address(), "GET", &path, "", b"");
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    drop(waiting);
}

/// Sessions that do nothing: one look at the store for each, and none while they wait. So many that a process may have the
/// files.
#[test]
fn hundreds_that_wait_cost_a_look_each() {
    const MANY: u64 = 400;
    let (store, server) = start(Limits {
        connections: 2048,
        connections_each: 2048,
        rate: 0,
        ..Limits::default()
    });
    let waiting: Vec<TcpStream> = (0..MANY).map(|_| hold(&server)).collect();
    looked(&store, MANY);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(store.calls(Method::GetPointer), MANY);
    drop(waiting);
}

#[test]
fn a_gateway_that_ends_lets_nobody_wait() {
    let (store, server) = start(Limits::default());
    let mut waiting = hold(&server);
    looked(&store, 1);
    let start = Instant::now();
    server.stop();
    assert!(start.elapsed() < SOON);
    assert_eq!(read(&mut waiting, true).status, 304);
}

#[test]
fn a_gateway_that_cannot_tell_says_so_and_one_that_breaks_off_is_an_error() {
    let address = pointer(1, 1).address();
    // A gateway of before answers as ever.
    let bytes = pointer(1, 1).as_bytes().to_vec();
    let before = MaliciousServer::start(move |_| {
        let head = "safeos-gateway: 1\r\nContent-Type: application/octet-stream\r\n";
        Reply::with("200 OK", head, &bytes)
    });
    let outcome = client(&[&before.url()]).watch_pointer(&address, 1, LONG);
    assert_eq!(outcome.unwrap(), Watched::Unable);
    assert_eq!(before.asked(), 1);
    // A page of a hotel's is no news.
    let page = MaliciousServer::start(|_| {
        let head = "Content-Type: text/html\r\nPreference-Applied: wait\r\n";
        Reply::with("200 OK", head, b"<html>Welcome</html>")
    });
    let outcome = client(&[&page.url()]).watch_pointer(&address, 1, LONG);
    assert!(
        matches!(outcome, Err(Error::NotAGateway { .. })),
        "{outcome:?}"
    );
    let cut = MaliciousServer::start(|_| Reply::Bytes(Vec::new()));
    let outcome = client(&[&cut.url()]).watch_pointer(&address, 1, LONG);
    assert!(
        matches!(outcome, Err(Error::Unreachable { .. })),
        "{outcome:?}"
    );
    // A store that knows nothing of this is asked now and then.
    let memory = MemoryStore::default();
    let outcome = memory.watch_pointer(&address, 1, LONG);
    assert_eq!(outcome.unwrap(), Watched::Unable);
}
