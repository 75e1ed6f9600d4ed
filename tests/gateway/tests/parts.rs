//! Uploads from a computer whose network loses what does not fit its buffers, and gateways that take them in parts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use safeos_gateway::{Cached, Limits, Mirrored, Options, Server};
use safeos_gateway_tests::lossy::Lossy;
use safeos_gateway_tests::malicious_server::{MaliciousServer, Reply};
use safeos_gateway_tests::plain::{Answer, ask, read};
use safeos_gateway_tests::{chunk, gateway, pointer};
use safeos_record::{Address, Chunk};
use safeos_store::loss::{Loss, this_system};
use safeos_store::wire::{self, BODY, HAS_MAX, PART_BYTES_MAX, PART_BYTES_MIN};
use safeos_store::{Error, HttpOptions, HttpStore, MemoryStore, Network, Parts, Patience, Store};

/// The bytes that an upload from such a computer may have on a connection before it is answered.
const UNANSWERED_MAX: usize = 48 * 1024;
/// A long time, for events that should come at once.
const SOON: Duration = Duration::from_secs(20);

fn options(network: &Arc<Lossy>, parts: Parts) -> HttpOptions {
    HttpOptions {
        parts,
        network: network.clone(),
        patience: Patience {
            stall: Duration::from_secs(5),
            again: Duration::from_millis(5),
            ..Patience::default()
        },
        ..HttpOptions::default()
    }
}

fn open(url: &str, options: &HttpOptions) -> HttpStore {
    HttpStore::open(url, vec![url.to_owned()], options).unwrap()
}

fn lossy(url: &str) -> (Arc<Lossy>, HttpStore) {
    let network = Arc::new(Lossy::new());
    let store = open(url, &options(&network, Parts::Always));
    (network, store)
}

/// Records of all the kinds of requests that have large bodies: 8 MiB in two chunks, a batch, and their addresses.
fn records() -> Vec<Chunk> {
    let mut chunks = vec![chunk(1, 4 << 20), chunk(2, 4 << 20), chunk(3, 70_000)];
    chunks.extend((10..60).map(|seed| chunk(seed, 1000 * seed as usize)));
    chunks
}

/// Whether all of it is there and reads right.
fn stores_and_reads(far: &dyn Store, held: &MemoryStore) {
    let chunks = records();
    far.put_chunks(&chunks).unwrap();
    assert_eq!(held.stats().unwrap().chunks, chunks.len() as u64);
    let addresses: Vec<Address> = chunks.iter().map(Chunk::address).collect();
    let found = far.get_chunks(&addresses);
    for (found, chunk) in found.into_iter().zip(&chunks) {
        assert!(found.unwrap() == *chunk);
    }
    let mut asked = vec![Address([9; 32]); HAS_MAX];
    asked[HAS_MAX - 1] = addresses[0];
    let there = far.has_chunks(&asked).unwrap();
    assert!(there[HAS_MAX - 1] && !there[..HAS_MAX - 1].contains(&true));
    far.set_pointer(&pointer(1, 1), None).unwrap();
}

#[test]
fn what_a_network_loses_is_never_stored_and_in_parts_all_of_it_is() {
    let (held, server) = gateway(Limits {
        stall: Duration::from_millis(500),
        ..Limits::default()
    });
    // The fault: a body in one request never arrives, and the sender is told so.
    let network = Arc::new(Lossy::new());
    let far = open(&server.url(), &options(&network, Parts::Never));
    let error = far.put_chunks(&records()[..2]).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("upload"), "{error}");
    assert!(network.seen().lost.load(Ordering::Relaxed) > 1 << 20);
    assert_eq!(held.stats().unwrap().chunks, 0);
    // Small records go in any case.
    far.put_chunks(&[chunk(5, 40_000)]).unwrap();
    far.delete_chunks(&[]).unwrap();
    held.delete_chunks(&[chunk(5, 40_000).address()]).unwrap();

    for parts in [Parts::Always, Parts::IfNeeded] {
        let (held, server) = gateway(Limits::default());
        let network = Arc::new(Lossy::new());
        let far = open(&server.url(), &options(&network, parts));
        stores_and_reads(&far, &held);
        let seen = network.seen();
        assert_eq!(seen.lost.load(Ordering::Relaxed), 0);
        let unanswered = seen.unanswered.load(Ordering::Relaxed);
        assert!(unanswered <= UNANSWERED_MAX, "{unanswered}");
        assert!(unanswered > UNANSWERED_MAX - 4096, "{unanswered}");
        // Side by side, and on connections that are used again.
        let connections = seen.connections.load(Ordering::Relaxed);
        assert!((3..=40).contains(&connections), "{connections}");
        let text = metrics(&server);
        assert_eq!(count(&text, "half_bodies"), 0, "{text}");
        assert!(count(&text, "bodies_in_parts_total") >= 4, "{text}");
    }
}

#[test]
fn where_nothing_is_lost_nothing_goes_in_parts() {
    let (held, server) = gateway(Limits::default());
    let network = Arc::new(Lossy::honest());
    let far = open(&server.url(), &options(&network, Parts::IfNeeded));
    stores_and_reads(&far, &held);
    let asked = network.seen().asked.lock().clone();
    assert!(!asked.is_empty());
    assert!(
        asked.iter().all(|line| !line.contains("/v1/bodies/")),
        "{asked:?}"
    );
}

#[test]
fn a_system_that_loses_is_found_out() {
    assert!(Lossy::new().loses());
    assert!(!Lossy::honest().loses());
    // No loss was seen here.
    let started = Instant::now();
    assert_eq!(this_system(), Loss::Keeps);
    assert!(!this_system().loses());
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[test]
fn parts_and_tls_together_fit_too() {
    let folder = tempfile::tempdir().unwrap();
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let (chain, key) = (
        folder.path().join("chain.pem"),
        folder.path().join("key.pem"),
    );
    fs::write(&chain, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    // As long as tokens get.
    let token = "t".repeat(4000);
    let (tokens, own) = (folder.path().join("tokens"), folder.path().join("own"));
    fs::write(&tokens, format!("write {token}\n")).unwrap();
    fs::write(&own, format!("{token}\n")).unwrap();
    let held = Arc::new(MemoryStore::default());
    let server = Options {
        tls: Some((chain.clone(), key)),
        token_file: Some(tokens),
        ..Options::default()
    };
    let server = Server::start(held.clone(), &server).unwrap();
    let network = Arc::new(Lossy::new());
    let far = HttpOptions {
        ca_file: Some(chain),
        token_file: Some(own),
        ..options(&network, Parts::IfNeeded)
    };
    stores_and_reads(&open(&server.url(), &far), &held);
    let seen = network.seen();
    assert_eq!(seen.lost.load(Ordering::Relaxed), 0);
    let unanswered = seen.unanswered.load(Ordering::Relaxed);
    assert!(unanswered <= UNANSWERED_MAX, "{unanswered}");
}

#[test]
fn an_answer_that_is_lost_is_made_up_for() {
    // Of a part in the middle and of the first one, of the request itself, and of a batch.
    for lost in [
        "at=46080&",
        "at=0&",
        "PUT /v1/chunks/",
        "POST /v1/chunks/put",
        "POST /v1/chunks/has",
    ] {
        let (held, server) = gateway(Limits::default());
        let (network, far) = lossy(&server.url());
        let seen = network.seen();
        *seen.lose_answer.lock() = Some(lost.to_owned());
        stores_and_reads(&far, &held);
        assert_eq!(*seen.lose_answer.lock(), None, "{lost}");
        assert_eq!(seen.lost.load(Ordering::Relaxed), 0, "{lost}");
    }
}

#[test]
fn what_stands_between_two_stores_sends_in_parts_as_well() {
    let (held, server) = gateway(Limits::default());
    let (network, far) = lossy(&server.url());
    let far: Arc<dyn Store> = Arc::new(far);
    let near = || Arc::new(MemoryStore::default());
    let cached = Cached::new(far.clone(), near(), 64 << 20).unwrap();
    stores_and_reads(&cached, &held);
    held.delete_chunks(&records().iter().map(Chunk::address).collect::<Vec<_>>())
        .unwrap();
    let mirrored = Mirrored::new(near(), far, Arc::new(|_| {}));
    mirrored.put_chunks(&records()).unwrap();
    until("the mirror follows", || {
        held.stats().unwrap().chunks == records().len() as u64
    });
    assert_eq!(network.seen().lost.load(Ordering::Relaxed), 0);
}

/// A part by hand.
fn part(to: SocketAddr, id: &Address, at: usize, of: usize, lines: &str, bytes: &[u8]) -> Answer {
    let path = format!("/v1/bodies/{id}?at={at}&of={of}");
    ask(to, "PUT", &path, lines, bytes)
}

/// The request that the body was sent for, by hand.
fn then(to: SocketAddr, line: &str, id: &Address, lines: &str) -> Answer {
    let (method, path) = line.split_once(' ').unwrap();
    ask(to, method, path, &format!("{BODY}: {id}\r\n{lines}"), b"")
}

fn metrics(server: &Server) -> String {
    let answer = ask(server.address(), "GET", "/metrics", "", b"");
    String::from_utf8(answer.body).unwrap()
}

fn count(metrics: &str, name: &str) -> u64 {
    let name = format!("safeos_gateway_{name} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.unwrap().parse().unwrap()
}

#[test]
fn a_body_in_parts_by_hand() {
    let (held, server) = gateway(Limits::default());
    let to = server.address();
    let one = chunk(1, 100_000);
    let (id, bytes, of) = (one.address(), one.bytes(), 100_000);
    let put = format!("PUT /v1/chunks/{id}");
    assert_eq!(then(to, &put, &id, "").code(), "missing_parts");
    // In any order, and twice.
    for (at, end) in [
        (90_000, 100_000),
        (0, 50_000),
        (0, 50_000),
        (10_000, 20_000),
    ] {
        let answer = part(to, &id, at, of, "", &bytes[at..end]);
        assert_eq!((answer.status, answer.body.len()), (204, 0), "{answer:?}");
        assert_eq!(then(to, &put, &id, "").code(), "missing_parts");
    }
    assert_eq!(
        part(to, &id, 50_000, of, "", &bytes[50_000..90_000]).status,
        204
    );
    let text = metrics(&server);
    assert_eq!(count(&text, "half_bodies"), 1, "{text}");
    assert_eq!(count(&text, "half_bodies_bytes"), 100_000, "{text}");
    assert_eq!(count(&text, "memory_bytes"), 128 << 10, "{text}");
    let answer = then(to, &put, &id, "");
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(answer.header(BODY), Some(id.to_string().as_str()));
    assert!(held.get_chunk(&id).unwrap() == one);
    // A used body is gone.
    assert_eq!(then(to, &put, &id, "").code(), "missing_parts");
    let text = metrics(&server);
    assert_eq!(count(&text, "half_bodies"), 0, "{text}");
    assert_eq!(count(&text, "memory_bytes"), 0, "{text}");
    assert_eq!(count(&text, "bodies_in_parts_total"), 1, "{text}");
    assert!(
        text.contains("requests_total{endpoint=\"body\",status=\"2xx\"} 5"),
        "{text}"
    );
    // A pointer, a batch and a question, all in one part.
    let state = pointer(1, 1);
    let id = Address::of(state.as_bytes());
    let len = state.as_bytes().len();
    assert_eq!(part(to, &id, 0, len, "", state.as_bytes()).status, 204);
    let put = format!("PUT /v1/pointers/{}", state.address());
    assert_eq!(then(to, &put, &id, "").code(), "condition_needed");
    let answer = then(to, &put, &id, "If-None-Match: *\r\n");
    assert_eq!(answer.header("etag"), Some("\"1\""), "{answer:?}");
    let two = chunk(2, 500);
    for (line, body) in [
        ("POST /v1/chunks/put", wire::write_chunks(&[&two])),
        (
            "POST /v1/chunks/has",
            wire::write_addresses(&[two.address()]),
        ),
        (
            "POST /v1/chunks/get",
            wire::write_addresses(&[two.address()]),
        ),
    ] {
        let id = Address::of(&body);
        assert_eq!(part(to, &id, 0, body.len(), "", &body).status, 204);
        let answer = then(to, line, &id, "");
        assert!((200..300).contains(&answer.status), "{answer:?}");
        assert_eq!(answer.header(BODY), Some(id.to_string().as_str()), "{line}");
    }
    assert!(held.get_chunk(&two.address()).unwrap() == two);
}

#[test]
fn what_makes_no_body_is_refused_by_name_and_stores_nothing() {
    let (held, server) = gateway(Limits::default());
    let to = server.address();
    let one = chunk(1, 100_000);
    let (id, bytes) = (one.address(), one.bytes());
    let of = bytes.len();
    let put = format!("PUT /v1/chunks/{id}");
    for query in [
        "",
        "?",
        "?at=0",
        "?of=10",
        "?at=0&of=0",
        "?at=-1&of=10",
        "?at=0&of=10&of=10",
        "?at=+0&of=9",
        "?at=0&of=10&x=1",
        "?at=99999999999999999999999&of=10",
    ] {
        let answer = ask(
            to,
            "PUT",
            &format!("/v1/bodies/{id}{query}"),
            "",
            &bytes[..10],
        );
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "bad_query"),
            "{query}"
        );
    }
    let nonsense = ask(
        to,
        "PUT",
        "/v1/bodies/nonsense?at=0&of=10",
        "",
        &bytes[..10],
    );
    assert_eq!(nonsense.code(), "bad_address");
    assert_eq!(
        ask(to, "GET", &format!("/v1/bodies/{id}"), "", b"").status,
        405
    );
    for (at, of, len, status, code) in [
        (of - 10, of, 11, 400, "bad_part"),
        (of, of, 5000, 400, "bad_part"),
        (usize::MAX, of, 5000, 400, "bad_part"),
        (0, of, 0, 400, "bad_part"),
        (0, of, PART_BYTES_MIN - 1, 400, "bad_part"),
        (0, of, PART_BYTES_MAX + 1, 413, "too_large"),
        (0, (8 << 20) + 1, 5000, 413, "too_large"),
        (0, usize::MAX, 5000, 413, "too_large"),
    ] {
        let answer = part(to, &id, at, of, "", &bytes[..len]);
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{at} {of} {len}"
        );
    }
    assert_eq!(count(&metrics(&server), "half_bodies"), 0);
    // Parts that contradict earlier ones: all of it is forgotten, for one of the two is wrong.
    for (at, of, from, len) in [
        (0, of - 1, 0, 5000),
        (45_000, of, 45_000, 10_000),
        (0, of, 1, 5000),
        (10_000, of, 0, 5000),
    ] {
        assert_eq!(
            part(to, &id, 0, bytes.len(), "", &bytes[..50_000]).status,
            204
        );
        let answer = part(to, &id, at, of, "", &bytes[from..from + len]);
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "part_conflict"),
            "{at} {of}"
        );
        let text = metrics(&server);
        assert_eq!(
            (count(&text, "half_bodies"), count(&text, "memory_bytes")),
            (0, 0),
            "{text}"
        );
        assert_eq!(then(to, &put, &id, "").code(), "missing_parts");
    }
    // Other bytes than those of the name.
    assert_eq!(part(to, &id, 0, 50_000, "", &bytes[..50_000]).status, 204);
    assert_eq!(then(to, &put, &id, "").code(), "wrong_body");
    assert_eq!(then(to, &put, &id, "").code(), "missing_parts");
    // The body of another request, a body besides, a malformed name.
    let other = format!("PUT /v1/chunks/{}", chunk(2, 10).address());
    assert_eq!(part(to, &id, 0, of, "", &bytes[..60_000]).status, 204);
    assert_eq!(part(to, &id, 60_000, of, "", &bytes[60_000..]).status, 204);
    let line = format!("{BODY}: {id}\r\n");
    let both = ask(to, "PUT", &format!("/v1/chunks/{id}"), &line, bytes);
    assert_eq!((both.status, both.code().as_str()), (400, "bad_body"));
    assert_eq!(then(to, "POST /v1/chunks/get", &id, "").code(), "too_large");
    assert_eq!(then(to, &other, &id, "").code(), "wrong_bytes");
    let bad = ask(
        to,
        "PUT",
        &format!("/v1/chunks/{id}"),
        &format!("{BODY}: x\r\n"),
        b"",
    );
    assert_eq!(bad.code(), "bad_address");
    let text = metrics(&server);
    assert_eq!(
        (count(&text, "half_bodies"), count(&text, "memory_bytes")),
        (0, 0),
        "{text}"
    );
    assert_eq!(held.stats().unwrap().chunks, 0);
}

/// Waits for a condition that must come soon.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < SOON, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn half_a_body_is_forgotten_and_gives_its_memory_back() {
    let (_, server) = gateway(Limits {
        stall: Duration::from_millis(300),
        ..Limits::default()
    });
    let to = server.address();
    for seed in 0..5 {
        let one = chunk(seed, 1 << 20);
        assert_eq!(
            part(to, &one.address(), 0, 1 << 20, "", &one.bytes()[..9000]).status,
            204
        );
    }
    // A body that is whole and not used goes too.
    let two = chunk(9, 9000);
    assert_eq!(
        part(to, &two.address(), 0, 9000, "", two.bytes()).status,
        204
    );
    until("they are forgotten", || {
        let text = metrics(&server);
        (count(&text, "half_bodies"), count(&text, "memory_bytes")) == (0, 0)
            && count(&text, "half_bodies_forgotten_total") == 6
    });
    let put = format!("PUT /v1/chunks/{}", two.address());
    assert_eq!(then(to, &put, &two.address(), "").code(), "missing_parts");
    // It earns no time with bytes that were there.
    let one = chunk(1, 1 << 20);
    assert_eq!(
        part(to, &one.address(), 0, 1 << 20, "", &one.bytes()[..9000]).status,
        204
    );
    until("it is forgotten though it is sent again and again", || {
        let again = part(to, &one.address(), 0, 1 << 20, "", &one.bytes()[..9000]);
        assert_eq!(again.status, 204);
        count(&metrics(&server), "half_bodies_forgotten_total") > 6
    });
}

/// From another address of this computer.
fn ask_from(from: &str, to: SocketAddr, request: &[u8]) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(from.parse().unwrap()).unwrap();
        socket.connect(to).await.unwrap().into_std().unwrap()
    });
    let mut stream: TcpStream = stream;
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(request).unwrap();
    read(&mut stream, false)
}

/// Begins bodies of this length until one is refused; says how many were begun.
fn flood(from: &str, to: SocketAddr, of: usize) -> usize {
    for number in 0..2000_u32 {
        let mut id = [7; 32];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let mut request = format!(
            "PUT /v1/bodies/{}?at=0&of={of} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4096\r\n\r\n",
            Address(id)
        )
        .into_bytes();
        request.extend_from_slice(&[b'x'; 4096]);
        let answer = ask_from(from, to, &request);
        if answer.status != 204 {
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (503, "busy"),
                "{answer:?}"
            );
            assert_eq!(answer.header("retry-after"), Some("1"));
            return number as usize;
        }
    }
    panic!("there is no limit");
}

#[test]
fn a_flood_of_half_bodies_stops_nobody_else() {
    let limits = || Limits {
        memory_bytes: 64 << 20,
        stall: Duration::from_secs(120),
        wait: Duration::from_millis(500),
        bodies_each: 50,
        ..Limits::default()
    };
    for (of, begun) in [(8 << 20, 2), (4097, 50)] {
        let (held, server) = gateway(limits());
        let to = server.address();
        assert_eq!(flood("127.0.0.2:0", to, of), begun);
        // Others send in parts and at once; so does the client that floods, in what is left of its share.
        let (_, far) = lossy(&server.url());
        stores_and_reads(&far, &held);
        let one = chunk(99, 1 << 20);
        let mut request = format!(
            "PUT /v1/chunks/{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            one.address(),
            1 << 20
        )
        .into_bytes();
        request.extend_from_slice(one.bytes());
        assert_eq!(ask_from("127.0.0.2:0", to, &request).status, 204);
    }
    // Many addresses have no more than half of the memory, and no more than so many.
    let (_, server) = gateway(Limits {
        bodies: 60,
        ..limits()
    });
    let to = server.address();
    assert_eq!(flood("127.0.0.2:0", to, 4097), 50);
    assert_eq!(flood("127.0.0.3:0", to, 4097), 10);
    let one = chunk(1, 1 << 20);
    let path = format!("/v1/chunks/{}", one.address());
    assert_eq!(ask(to, "PUT", &path, "", one.bytes()).status, 204);
    // A waiting request makes idle ones lose theirs.
    let (held, server) = gateway(Limits {
        wait: SOON,
        ..limits()
    });
    let to = server.address();
    for from in 2..6 {
        let id = Address([from; 32]);
        let head = format!(
            "PUT /v1/bodies/{id}?at=0&of={} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4096\r\n\r\n",
            8 << 20
        );
        let request = [head.as_bytes(), &[b'x'; 4096]].concat();
        assert_eq!(
            ask_from(&format!("127.0.0.{from}:0"), to, &request).status,
            204
        );
    }
    let (_, far) = lossy(&server.url());
    stores_and_reads(&far, &held);
}

#[test]
fn little_memory_is_enough() {
    for memory in [1, 16] {
        let (held, server) = gateway(Limits {
            memory_bytes: memory << 20,
            ..Limits::default()
        });
        let (_, far) = lossy(&server.url());
        stores_and_reads(&far, &held);
        assert_eq!(count(&metrics(&server), "memory_bytes"), 0);
    }
}

#[test]
fn parts_are_their_senders_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    let word = |name: &str| format!("{name}-0123456789abcdef");
    let lines = ["write a", "write b", "read c"].map(word);
    fs::write(&file, lines.join("\n")).unwrap();
    let held = Arc::new(MemoryStore::default());
    let options = Options {
        token_file: Some(file),
        ..Options::default()
    };
    let server = Server::start(held.clone(), &options).unwrap();
    let to = server.address();
    let [a, b, c] = ["a", "b", "c"].map(|name| format!("Authorization: Bearer {}\r\n", word(name)));
    let one = chunk(1, 20_000);
    let (id, bytes) = (one.address(), one.bytes());
    let put = format!("PUT /v1/chunks/{id}");
    assert_eq!(part(to, &id, 0, 20_000, "", bytes).code(), "token_needed");
    assert_eq!(part(to, &id, 0, 20_000, &a, &bytes[..10_000]).status, 204);
    // Another one neither completes it nor harms it nor has it.
    assert_eq!(
        part(to, &id, 10_000, 20_000, &b, &bytes[10_000..]).status,
        204
    );
    assert_eq!(part(to, &id, 0, 20_000, &b, &[0; 10_000]).status, 204);
    for token in [&a, &b] {
        let answer = then(to, &put, &id, token);
        let code = answer.code();
        assert!(
            ["missing_parts", "wrong_body"].contains(&code.as_str()),
            "{answer:?}"
        );
    }
    assert_eq!(
        part(to, &id, 10_000, 20_000, &a, &bytes[10_000..]).status,
        204
    );
    assert_eq!(then(to, &put, &id, &b).code(), "missing_parts");
    assert_eq!(then(to, &put, &id, "").code(), "token_needed");
    // Nor has one from another address, with the same token.
    let request = format!(
        "PUT /v1/chunks/{id} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n{BODY}: {id}\r\n{a}\r\n"
    );
    assert_eq!(
        ask_from("127.0.0.2:0", to, request.as_bytes()).code(),
        "missing_parts"
    );
    assert_eq!(held.stats().unwrap().chunks, 0);
    assert_eq!(then(to, &put, &id, &a).status, 204);
    // A client that may only fetch asks in parts, but stores nothing, and keeps little.
    let asked = wire::write_addresses(&[id; HAS_MAX]);
    let name = Address::of(&asked);
    for (number, bytes) in asked.chunks(PART_BYTES_MAX).enumerate() {
        let at = number * PART_BYTES_MAX;
        assert_eq!(part(to, &name, at, asked.len(), &c, bytes).status, 204);
    }
    assert_eq!(
        then(to, "POST /v1/chunks/has", &name, &c).body.len(),
        asked.len()
    );
    assert_eq!(
        part(to, &id, 0, asked.len() + 1, &c, &bytes[..5000]).code(),
        "too_large"
    );
    let two = chunk(2, 5000);
    assert_eq!(
        part(to, &two.address(), 0, 5000, &c, two.bytes()).status,
        204
    );
    let put = format!("PUT /v1/chunks/{}", two.address());
    assert_eq!(then(to, &put, &two.address(), &c).code(), "read_only");
    assert_eq!(held.stats().unwrap().chunks, 1);
}

/// Of a gateway, on a connection that carries one request.
const MARKED: &str = "safeos-gateway: 1\r\nContent-Type: application/json\r\nConnection: close\r\n";

#[test]
fn a_gateway_of_before_is_told_as_one_that_has_to_be_updated() {
    let stored = Arc::new(AtomicUsize::new(0));
    let count = stored.clone();
    let before = MaliciousServer::start(move |asked| {
        if asked.line.contains("/v1/bodies/") {
            let body =
                br#"{"error":{"code":"no_such_path","message":"there is nothing at this path"}}"#;
            return Reply::with("404 Not Found", MARKED, body);
        }
        count.fetch_add(1, Ordering::Relaxed);
        Reply::with("204 No Content", MARKED, b"")
    });
    let (network, far) = lossy(&before.url());
    let error = far.put_chunks(&[chunk(1, 100_000)]).unwrap_err();
    assert_eq!(error.code(), "store_refused", "{error}");
    assert!(!error.is_away(), "{error}");
    for says in [before.url().as_str(), "safe store serve", "update"] {
        assert!(error.to_string().contains(says), "{says}: {error}");
    }
    assert_eq!(stored.load(Ordering::Relaxed), 0);
    // It is asked once, and small records go.
    assert_eq!(network.seen().asked.lock().len(), 1);
    far.put_chunks(&[chunk(2, 40_000)]).unwrap();
    assert_eq!(stored.load(Ordering::Relaxed), 1);
    // Another gateway of the same store that knows it does it.
    let (held, server) = gateway(Limits::default());
    let urls = vec![before.url(), server.url()];
    let both = HttpStore::open("both", urls, &options(&network, Parts::Always)).unwrap();
    both.put_chunks(&[chunk(1, 100_000)]).unwrap();
    assert_eq!(held.stats().unwrap().chunks, 1);
}

#[test]
fn a_request_that_comes_without_its_body_is_no_success() {
    // Parts that went to one, and the request to another; or a header that got lost on the way.
    let elsewhere = MaliciousServer::start(|asked| {
        let empty_batch = asked.line.starts_with("POST");
        let status = if empty_batch && asked.line.contains("has") {
            "200 OK"
        } else {
            "204 No Content"
        };
        Reply::with(status, MARKED, b"")
    });
    let (_, far) = lossy(&elsewhere.url());
    for chunks in [
        vec![chunk(1, 300_000)],
        vec![chunk(2, 90_000), chunk(3, 90_000)],
    ] {
        let error = far.put_chunks(&chunks).unwrap_err();
        assert!(matches!(error, Error::NotAGateway { .. }), "{error:?}");
        assert!(error.to_string().contains(BODY), "{error}");
    }
}

#[test]
fn a_gateway_that_wants_to_be_left_alone_is() {
    for (status, code) in [
        ("429 Too Many Requests", "too_many_requests"),
        ("503 Service Unavailable", "busy"),
    ] {
        let (held, server) = gateway(Limits::default());
        let to = server.address();
        let refusals = AtomicUsize::new(3);
        // Every other answer is one, for a while; all else is passed on.
        let between = MaliciousServer::start(move |asked| {
            let left = refusals.load(Ordering::Relaxed);
            if left > 0 && asked.line.contains("/v1/bodies/") && !asked.line.contains("at=0&") {
                refusals.store(left - 1, Ordering::Relaxed);
                let body = format!(r#"{{"error":{{"code":"{code}","message":"later"}}}}"#);
                let lines = format!("Retry-After: 1\r\n{MARKED}");
                return Reply::with(status, &lines, body.as_bytes());
            }
            let (method, rest) = asked.line.split_once(' ').unwrap();
            let path = rest.split(' ').next().unwrap();
            let body = asked.head.lines().find(|line| line.starts_with(BODY));
            let lines = body.map_or(String::new(), |line| format!("{line}\r\n"));
            let answer = ask(to, method, path, &lines, &asked.body);
            let mut bytes = answer.head.into_bytes();
            bytes.extend(answer.body);
            Reply::Bytes(bytes)
        });
        let (network, far) = lossy(&between.url());
        far.put_chunks(&[chunk(1, 300_000)]).unwrap();
        assert_eq!(held.stats().unwrap().chunks, 1);
        let slept = network.seen().slept.lock().clone();
        assert_eq!(slept, [Duration::from_secs(1); 3], "{code}");
        let asked = network.seen().asked.lock().len();
        assert_eq!(asked, 300_000_usize.div_ceil(45 * 1024) + 1 + 3);
    }
}
