//! Every endpoint, with right and wrong requests; nothing that comes in over the network harms a gateway.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use safeos_gateway::{Limits, Options, Server};
use safeos_gateway_tests::plain::{ask, read, send};
use safeos_gateway_tests::{chunk, client, pointer};
use safeos_record::{Address, MAX_CHUNK_SIZE};
use safeos_store::wire::{self, BODY_BYTES_MAX};
use safeos_store::{Error, MemoryStore, Method, Store, file_url};

fn start(options: &Options) -> (Arc<MemoryStore>, Server) {
    let store = Arc::new(MemoryStore::default());
    let server = Server::start(store.clone(), options).unwrap();
    (store, server)
}

fn limited(limits: Limits) -> (Arc<MemoryStore>, Server) {
    start(&Options {
        limits,
        ..Options::default()
    })
}

fn is_well(server: &Server) {
    let answer = ask(server.address(), "GET", "/health", "", b"");
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn a_chunk_by_hand() {
    let (store, server) = start(&Options::default());
    let to = server.address();
    let chunk = chunk(1, 5000);
    let path = format!("/v1/chunks/{}", chunk.address());
    assert_eq!(ask(to, "GET", &path, "", b"").code(), "missing_record");
    assert_eq!(ask(to, "HEAD", &path, "", b"").status, 404);
    for _ in 0..2 {
        assert_eq!(ask(to, "PUT", &path, "", chunk.bytes()).status, 204);
    }
    let answer = ask(to, "GET", &path, "", b"");
    assert_eq!((answer.status, &answer.body[..]), (200, &chunk.bytes()[..]));
    assert!(
        answer
            .header("cache-control")
            .unwrap()
            .contains("immutable")
    );
    let head = ask(to, "HEAD", &path, "", b"");
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("5000"))
    );
    for (range, status, part, says) in [
        ("bytes=0-9", 206, 0..10, Some("bytes 0-9/*")),
        ("bytes=4990-", 206, 4990..5000, Some("bytes 4990-4999/5000")),
        (
            "bytes=4990-6000",
            206,
            4990..5000,
            Some("bytes 4990-4999/5000"),
        ),
        ("bytes=-10", 206, 4990..5000, Some("bytes 4990-4999/5000")),
        ("bytes=-9000", 206, 0..5000, Some("bytes 0-4999/5000")),
        ("bytes=5000-", 416, 0..0, None),
        ("bytes=9999999-99999999", 416, 0..0, None),
        (
            "bytes=18446744073709551615-18446744073709551615",
            416,
            0..0,
            None,
        ),
        ("bytes=nonsense", 200, 0..5000, None),
        ("bytes=0-1,5-6", 200, 0..5000, None),
    ] {
        let answer = ask(to, "GET", &path, &format!("Range: {range}\r\n"), b"");
        assert_eq!(answer.status, status, "{range}");
        assert_eq!(answer.header("content-range"), says, "{range}");
        if status != 416 {
            assert_eq!(answer.body, chunk.bytes()[part], "{range}");
        }
    }
    // Damage is told as such, without the store's own words.
    store.set_raw(safeos_store::Kind::Chunk, chunk.address(), "wrong");
    let answer = ask(to, "GET", &path, "", b"");
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (500, "damaged_record")
    );
    assert!(!String::from_utf8_lossy(&answer.body).contains("memory:"));
}

#[test]
fn how_much_room_there_is_is_told_where_it_is_known() {
    let (_, knows_nothing) = start(&Options::default());
    let far = client(&[&knows_nothing.url()]);
    assert!(far.get_pointer(&Address([1; 32])).unwrap().is_none());
    assert_eq!(far.room(), None);

    let folder = tempfile::tempdir().unwrap();
    let store = safeos_store::open(&file_url(folder.path()).unwrap()).unwrap();
    let server = Server::start(store.clone(), &Options::default()).unwrap();
    let far = client(&[&server.url()]);
    assert_eq!(far.room(), None);
    far.put_chunks(&[chunk(7, 900)]).unwrap();
    let (told, there) = (far.room().unwrap(), store.room().unwrap());
    assert_eq!(told.total, there.total);
    assert!(told.free > 0 && told.free <= told.total);
    // A refusal does not reveal the free space to clients without access.
    let refused = ask(server.address(), "GET", "/v1/chunks/nonsense", "", b"");
    assert_eq!(refused.status, 400);
    assert_eq!(refused.header(wire::ROOM), None);
    let told = ask(server.address(), "GET", "/v1/stats", "", b"");
    let told = wire::read_room(told.header(wire::ROOM).unwrap()).unwrap();
    assert_eq!(told.total, there.total);
    for nonsense in [
        "",
        "1",
        "/",
        "2/1",
        "-1/5",
        "1/2/3",
        "99999999999999999999/1",
    ] {
        assert_eq!(wire::read_room(nonsense), None, "{nonsense}");
    }
}

#[test]
fn a_large_chunk_of_a_folder_comes_in_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let url = file_url(folder.path()).unwrap();
    let store = safeos_store::open(&url).unwrap();
    let server = Server::start(store.clone(), &Options::default()).unwrap();
    let to = server.address();
    let chunk = chunk(5, MAX_CHUNK_SIZE - 12_345);
    store.put_chunks(std::slice::from_ref(&chunk)).unwrap();
    let path = format!("/v1/chunks/{}", chunk.address());
    // The first is verified as a whole; those after it are read as they are taken.
    for turn in 0..4 {
        let answer = ask(to, "GET", &path, "", b"");
        assert_eq!(answer.status, 200);
        assert!(answer.body == chunk.bytes()[..], "the bytes of turn {turn}");
    }
    let head = ask(to, "HEAD", &path, "", b"");
    let len = chunk.bytes().len().to_string();
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some(&len[..]))
    );
    // It is cut behind the gateway's back: its reader gets no more than is there, and sees that it is not all.
    let hex = chunk.address().to_string();
    let file = folder.path().join("chunks").join(&hex[..1]).join(&hex);
    let file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
    file.set_len(1_000_000).unwrap();
    let answer = ask(to, "GET", &path, "", b"");
    assert!(answer.body.is_empty(), "a short body came as a whole one");
    is_well(&server);
}

#[test]
fn nothing_is_stored_that_is_not_what_it_says() {
    let (store, server) = start(&Options::default());
    let to = server.address();
    let (one, two) = (chunk(1, 100), chunk(2, 100));
    let path = format!("/v1/chunks/{}", one.address());
    for (body, status, code) in [
        (two.bytes().to_vec(), 400, "wrong_bytes"),
        (vec![], 400, "wrong_bytes"),
        (vec![0; MAX_CHUNK_SIZE + 1], 413, "too_large"),
    ] {
        let answer = ask(to, "PUT", &path, "", &body);
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
    }
    let mut batch = wire::write_chunks(&[&one, &two]);
    *batch.last_mut().unwrap() ^= 1;
    for body in [&batch[..], &batch[..50], &[0; 36], &[255; 36], &[1]] {
        let answer = ask(to, "POST", "/v1/chunks/put", "", body);
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "wrong_bytes")
        );
    }
    let answer = ask(
        to,
        "POST",
        "/v1/chunks/put",
        "",
        &vec![0; BODY_BYTES_MAX + 1],
    );
    assert_eq!(answer.status, 413);
    for state in [
        pointer(1, 5).as_bytes().to_vec(),
        vec![0; 5303],
        vec![],
        vec![1; 6000],
    ] {
        let path = format!("/v1/pointers/{}", pointer(2, 5).address());
        let answer = ask(to, "PUT", &path, "If-None-Match: *\r\n", &state);
        assert!((400..500).contains(&answer.status), "{answer:?}");
        assert!(!answer.code().is_empty(), "{answer:?}");
    }
    assert_eq!(store.stats().unwrap(), Default::default());
    assert_eq!(
        store.calls(Method::PutChunks) + store.calls(Method::SetPointer),
        0
    );
}

#[test]
fn a_pointer_by_hand() {
    let (_store, server) = start(&Options::default());
    let to = server.address();
    let path = format!("/v1/pointers/{}", pointer(1, 0).address());
    let put = |lines: &str, counter| ask(to, "PUT", &path, lines, pointer(1, counter).as_bytes());
    assert_eq!(ask(to, "GET", &path, "", b"").code(), "missing_record");
    assert_eq!(put("", 5).code(), "condition_needed");
    for lines in [
        "If-Match: 5\r\n",
        "If-Match: *\r\n",
        "If-Match: \"5\", \"6\"\r\n",
        "If-Match: \"5\"\r\nIf-Match: \"5\"\r\n",
        "If-None-Match: \"5\"\r\n",
        "If-Match: \"5\"\r\nIf-None-Match: *\r\n",
        "If-Match: \"99999999999999999999999\"\r\n",
        "If-Match: \u{fc}\r\n",
    ] {
        let answer = put(lines, 5);
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "bad_condition"),
            "{lines}"
        );
    }
    let conflict = |answer: &safeos_gateway_tests::plain::Answer, current: Option<u64>| {
        assert_eq!((answer.status, answer.code().as_str()), (412, "conflict"));
        let value: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(value["error"]["current"].as_u64(), current);
        assert_eq!(answer.header("etag").and_then(wire::read_tag), current);
    };
    conflict(&put("If-Match: \"4\"\r\n", 5), None);
    let answer = put("If-None-Match: *\r\n", 5);
    assert_eq!((answer.status, answer.header("etag")), (204, Some("\"5\"")));
    conflict(&put("If-None-Match: *\r\n", 6), Some(5));
    conflict(&put("If-Match: \"5\"\r\n", 4), Some(5));
    assert_eq!(put("If-Match: \"5\"\r\n", 6).status, 204);
    let answer = ask(to, "GET", &path, "", b"");
    assert_eq!((answer.status, answer.header("etag")), (200, Some("\"6\"")));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.body.len(), 5303);
}

#[test]
fn bad_requests_get_errors_that_say_so() {
    let (store, server) = start(&Options::default());
    let to = server.address();
    let zeros = "0".repeat(64);
    let long = "0".repeat(9000);
    for (method, path, body, status, code) in [
        ("GET", "/", &b""[..], 404, "no_such_path"),
        ("GET", "/v1/chunks", b"", 404, "no_such_path"),
        ("GET", "/v2/chunks/x", b"", 404, "no_such_path"),
        ("GET", "/v1/chunks/xyz", b"", 400, "bad_address"),
        ("GET", "/v1/chunks/..%2f..%2fetc", b"", 400, "bad_address"),
        ("GET", "/v1/chunks/%ff%fe", b"", 400, ""),
        ("PUT", "/v1/chunks/xyz", b"", 400, "bad_address"),
        ("GET", "/v1/pointers/xyz", b"", 400, "bad_address"),
        (
            "POST",
            &format!("/v1/chunks/{zeros}"),
            b"",
            405,
            "method_not_allowed",
        ),
        (
            "DELETE",
            &format!("/v1/pointers/{zeros}"),
            b"",
            405,
            "method_not_allowed",
        ),
        (
            "DELETE",
            &format!("/v1/chunks/{zeros}"),
            b"",
            403,
            "delete_not_allowed",
        ),
        (
            "GET",
            &format!("/v1/chunks/{long}"),
            b"",
            400,
            "bad_address",
        ),
        ("GET", "/v1/list?limit=0", b"", 400, "bad_query"),
        ("GET", "/v1/list?limit=1000000", b"", 400, "bad_query"),
        ("GET", "/v1/list?limit=-1", b"", 400, "bad_query"),
        ("GET", "/v1/list?after=chunk", b"", 400, "bad_query"),
        ("GET", "/v1/list?after=file:00", b"", 400, "bad_query"),
        ("GET", "/v1/list?before=x", b"", 400, "bad_query"),
        ("POST", "/v1/chunks/has", b"", 400, "bad_body"),
        ("POST", "/v1/chunks/has", &[0; 33], 400, "bad_body"),
        ("POST", "/v1/chunks/get", &[0; 65 * 32], 413, "too_large"),
        ("POST", "/v1/chunks/has", &[0; 4097 * 32], 413, "too_large"),
    ] {
        let answer = ask(to, method, path, "", body);
        let shown = &path[..path.len().min(60)];
        assert_eq!(answer.status, status, "{method} {shown}: {answer:?}");
        assert_eq!(answer.code(), code, "{method} {shown}");
    }
    // The store's error messages are not shown to strangers.
    let away = Error::Unreachable {
        url: "file:///srv/secret-place".into(),
        why: "the disk".into(),
    };
    store.fail_next(Method::Stats, 1, away.clone());
    store.fail_next(Method::HasChunks, 1, away);
    for path in ["/v1/stats", "/health"] {
        let answer = ask(to, "GET", path, "", b"");
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (503, "store_unreachable")
        );
        assert!(answer.header("retry-after").is_some());
        assert!(!String::from_utf8_lossy(&answer.body).contains("secret"));
    }
    is_well(&server);
}

#[test]
fn garbage_of_any_kind_leaves_the_gateway_well() {
    let (store, server) = limited(Limits {
        head: Duration::from_millis(200),
        stall: Duration::from_millis(200),
        rate: 0,
        ..Limits::default()
    });
    store.put_chunks(&[chunk(1, 100)]).unwrap();
    let seed = std::env::var("SAFEOS_SEED")
        .ok()
        .and_then(|s| s.parse().ok());
    let seed: u64 = seed.unwrap_or(20_261_124);
    println!("SAFEOS_SEED={seed}");
    let noise = chunk(seed, 400_000);
    let mut noise = noise.bytes().iter().copied();
    let mut next = move || noise.next().unwrap_or(0);
    let whole = format!(
        "PUT /v1/chunks/{} HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\nRange: bytes=0-9\r\nIf-Match: \"5\"\r\n\r\n{}",
        Address([3; 32]),
        "b".repeat(40)
    )
    .into_bytes();
    for round in 0..250 {
        let mut request = whole.clone();
        match round % 3 {
            // Bytes changed here and there.
            0 => {
                for _ in 0..=next() % 6 {
                    let at = usize::from(u16::from_le_bytes([next(), next()])) % request.len();
                    request[at] = next();
                }
            }
            // Cut anywhere.
            1 => request.truncate(usize::from(next())),
            // Nothing but noise.
            _ => request = (0..next()).map(|_| next()).collect(),
        }
        let mut stream = TcpStream::connect(server.address()).unwrap();
        drop(stream.write_all(&request));
        if round % 2 == 0 {
            drop(stream.shutdown(std::net::Shutdown::Write));
        }
        if round % 10 == 0 {
            stream
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            let answer = read(&mut stream, false);
            assert!(answer.status < 500, "{answer:?}: {request:?}");
        }
    }
    for request in [
        &b"GET /health HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"[..],
        b"PUT /v1/chunks/has HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n\r\n",
        b"PUT /v1/chunks/has HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT elsewhere:443 HTTP/1.1\r\n\r\n",
        b"GET http://elsewhere/v1/stats HTTP/1.1\r\nHost: x\r\n\r\n",
        &[
            b"GET / HTTP/1.1\r\n".to_vec(),
            b"A: b\r\n".repeat(5000),
            b"\r\n".to_vec(),
        ]
        .concat(),
        &[
            b"GET /".to_vec(),
            vec![b'a'; 100_000],
            b" HTTP/1.1\r\n\r\n".to_vec(),
        ]
        .concat(),
    ] {
        let answer = send(server.address(), request);
        assert!(answer.status < 500, "{answer:?}");
    }
    is_well(&server);
    assert_eq!(store.stats().unwrap().chunks, 1);
}

/// How long until the gateway closes the connection.
fn until_closed(stream: &mut TcpStream) -> Duration {
    let started = Instant::now();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut bytes = [0; 1024];
    while matches!(stream.read(&mut bytes), Ok(count) if count > 0) {}
    started.elapsed()
}

#[test]
fn who_is_slow_is_left() {
    let (store, server) = limited(Limits {
        head: Duration::from_millis(300),
        stall: Duration::from_millis(300),
        slowest: 1 << 20,
        ..Limits::default()
    });
    let to = server.address();
    let connect = |to: SocketAddr| TcpStream::connect(to).unwrap();
    let soon = Duration::from_secs(5);
    // Nothing at all; and nothing after an answer.
    assert!(until_closed(&mut connect(to)) < soon);
    let mut idle = connect(to);
    idle.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    assert!(until_closed(&mut idle) < soon);
    // A head, then a body, a byte at a time.
    let body = format!(
        "PUT /v1/chunks/{} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
        Address([1; 32])
    );
    for start in ["GET /health HTTP/1.1\r\nX: ", &body] {
        let mut drip = connect(to);
        drip.write_all(start.as_bytes()).unwrap();
        let started = Instant::now();
        while drip.write_all(b"x").is_ok() {
            assert!(started.elapsed() < soon, "{start}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    // A client that does not read its answers.
    let large: Vec<_> = (0..8).map(|seed| chunk(seed, MAX_CHUNK_SIZE)).collect();
    store.put_chunks(&large).unwrap();
    let addresses: Vec<Address> = large.iter().map(|chunk| chunk.address()).collect();
    let asked = wire::write_addresses(&addresses);
    let mut deaf = connect(to);
    let head = format!(
        "POST /v1/chunks/get HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        asked.len()
    );
    deaf.write_all(&[head.as_bytes(), &asked].concat()).unwrap();
    let started = Instant::now();
    loop {
        let text = String::from_utf8(ask(to, "GET", "/metrics", "", b"").body).unwrap();
        let taken = text
            .lines()
            .find_map(|line| line.strip_prefix("safeos_gateway_memory_bytes "));
        if taken == Some("0") && started.elapsed() > Duration::from_millis(100) {
            break;
        }
        assert!(
            started.elapsed() < soon,
            "the room is not given back: {taken:?}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(deaf);
    is_well(&server);
}

#[test]
fn too_much_is_refused_and_the_rest_served() {
    let (store, server) = limited(Limits {
        rate: 5,
        ..Limits::default()
    });
    let statuses: Vec<u16> = (0..60)
        .map(|_| ask(server.address(), "GET", "/v1/stats", "", b"").status)
        .collect();
    assert_eq!(statuses.first(), Some(&200));
    assert_eq!(statuses.last(), Some(&429));
    assert!(store.calls(Method::Stats) < 40);

    // Fewer places than requests: they wait for each other, and all of them are served.
    let (store, server) = limited(Limits {
        connections: 4,
        requests: 2,
        store_calls: 1,
        memory_bytes: 1 << 20,
        ..Limits::default()
    });
    let chunk = chunk(1, 900_000);
    store.put_chunks(std::slice::from_ref(&chunk)).unwrap();
    store.delay(Method::GetChunks, Duration::from_millis(5));
    let path = format!("/v1/chunks/{}", chunk.address());
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let answer = ask(server.address(), "GET", &path, "", b"");
                assert_eq!((answer.status, answer.body.len()), (200, 900_000));
            });
        }
    });
    // Where waiting is short, a busy gateway says so.
    let (store, server) = limited(Limits {
        store_calls: 1,
        wait: Duration::from_millis(50),
        ..Limits::default()
    });
    store.delay(Method::Stats, Duration::from_millis(1000));
    std::thread::scope(|scope| {
        scope.spawn(|| ask(server.address(), "GET", "/v1/stats", "", b""));
        std::thread::sleep(Duration::from_millis(300));
        let answer = ask(server.address(), "GET", "/v1/stats", "", b"");
        assert_eq!((answer.status, answer.code().as_str()), (503, "busy"));
    });
}

#[test]
fn what_is_under_way_is_finished_before_the_end() {
    let (store, server) = start(&Options::default());
    store.delay(Method::Stats, Duration::from_millis(500));
    let to = server.address();
    let waiting = std::thread::spawn(move || ask(to, "GET", "/v1/stats", "", b"").status);
    std::thread::sleep(Duration::from_millis(150));
    let _idle = TcpStream::connect(to).unwrap();
    let started = Instant::now();
    server.stop();
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(waiting.join().unwrap(), 200);
    assert!(TcpStream::connect(to).is_err());
}

#[test]
fn it_counts_what_it_does() {
    let (_store, server) = start(&Options::default());
    let chunk = chunk(1, 1000);
    let path = format!("/v1/chunks/{}", chunk.address());
    ask(server.address(), "PUT", &path, "", chunk.bytes());
    ask(server.address(), "GET", &path, "", b"");
    ask(server.address(), "GET", "/v1/chunks/x", "", b"");
    let answer = ask(server.address(), "GET", "/metrics", "", b"");
    assert!(
        answer
            .header("content-type")
            .unwrap()
            .starts_with("text/plain; version=0.0.4")
    );
    let text = String::from_utf8(answer.body).unwrap();
    for line in [
        "safeos_gateway_requests_total{endpoint=\"chunk\",status=\"2xx\"} 2",
        "safeos_gateway_requests_total{endpoint=\"chunk\",status=\"4xx\"} 1",
        "safeos_gateway_request_seconds_count{endpoint=\"chunk\"} 3",
        "safeos_gateway_bytes_received_total 1000",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').unwrap();
        value.parse::<f64>().unwrap();
    }
}
