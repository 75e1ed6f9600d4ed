//! One client that takes all it can get, and the other clients.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use safeos_gateway::{Cached, Limits, Mirrored, Options, Server};
use safeos_gateway_tests::plain::{Answer, ask, read};
use safeos_gateway_tests::{chunk, client, gateway, pointer};
use safeos_record::{Address, MAX_CHUNK_SIZE};
use safeos_store::wire;
use safeos_store::{Error, HttpOptions, HttpStore, MemoryStore, Method, Store, Traits};

/// Far below what the slow are left, and far above what a busy computer needs.
const SOON: Duration = Duration::from_secs(20);
/// The time that slow clients have here.
const LONG: Duration = Duration::from_secs(120);

fn patient() -> Limits {
    Limits {
        head: LONG,
        stall: LONG,
        wait: LONG,
        ..Limits::default()
    }
}

/// Connections on which this was sent, and no more.
fn begun(to: SocketAddr, count: usize, bytes: &[u8]) -> Vec<TcpStream> {
    (0..count)
        .map(|_| {
            let mut stream = TcpStream::connect(to).unwrap();
            stream.write_all(bytes).unwrap();
            stream
        })
        .collect()
}

/// Asks from another address of this computer.
fn ask_from(from: &str, to: SocketAddr, path: &str) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(from.parse().unwrap()).unwrap();
        socket.connect(to).await.unwrap().into_std().unwrap()
    });
    drop(runtime);
    let mut stream = stream;
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    read(&mut stream, false)
}

#[track_caller]
fn soon<T>(what: &str, call: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let done = call();
    assert!(started.elapsed() < SOON, "{what}: {:?}", started.elapsed());
    done
}

#[test]
fn half_requests_stop_nobody() {
    for each in [10, 40] {
        let (_, server) = gateway(Limits {
            connections: 40,
            connections_each: each,
            ..patient()
        });
        let to = server.address();
        let half = begun(to, 200, b"GET /health HTTP/1.1\r\nHost: x\r\nX-Half: ");
        let answer = soon("the same address", || ask(to, "GET", "/health", "", b""));
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer = soon("another one", || ask_from("127.0.0.2:0", to, "/health"));
        assert_eq!(answer.status, 200, "{answer:?}");
        drop(half);
    }
}

#[test]
fn one_address_has_no_more_than_its_share() {
    let (store, server) = gateway(Limits {
        connections: 8,
        connections_each: 4,
        ..patient()
    });
    store.delay(Method::Stats, Duration::from_secs(4));
    let to = server.address();
    // They are at work: none of them goes.
    let busy = begun(to, 6, b"GET /v1/stats HTTP/1.1\r\nHost: x\r\n\r\n");
    let started = Instant::now();
    let answer = ask_from("127.0.0.2:0", to, "/health");
    assert_eq!(answer.status, 200);
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "it waited for the other address"
    );
    drop(busy);
}

/// A body of which no more than a part comes.
fn slow_body(announced: usize, sent: usize) -> Vec<u8> {
    let head = format!(
        "PUT /v1/chunks/{} HTTP/1.1\r\nHost: x\r\nContent-Length: {announced}\r\n\r\n",
        Address([1; 32])
    );
    [head.into_bytes(), vec![b'x'; sent]].concat()
}

#[test]
fn slow_bodies_stop_no_writer() {
    // Clients that only announce something, and clients that have sent enough to have got memory for it.
    for sent in [100, 100_000] {
        let (store, server) = gateway(Limits {
            memory_bytes: 16 << 20,
            connections: 1024,
            ..patient()
        });
        let to = server.address();
        let slow = begun(to, 12, &slow_body(MAX_CHUNK_SIZE, sent));
        let chunk = chunk(1, 1_000_000);
        let path = format!("/v1/chunks/{}", chunk.address());
        let answer = soon("a writer", || ask(to, "PUT", &path, "", chunk.bytes()));
        assert_eq!(answer.status, 204, "{answer:?}");
        assert_eq!(store.stats().unwrap().chunks, 1);
        drop(slow);
    }
}

#[test]
fn who_does_not_read_stops_no_reader() {
    let (store, server) = gateway(Limits {
        memory_bytes: 16 << 20,
        ..patient()
    });
    let to = server.address();
    let large: Vec<_> = (0..4).map(|seed| chunk(seed, MAX_CHUNK_SIZE)).collect();
    store.put_chunks(&large).unwrap();
    let asked: Vec<Address> = large.iter().map(|chunk| chunk.address()).collect();
    let asked = wire::write_addresses(&asked);
    let head = format!(
        "POST /v1/chunks/get HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        asked.len()
    );
    let deaf = begun(to, 3, &[head.as_bytes(), &asked].concat());
    let path = format!("/v1/chunks/{}", large[0].address());
    let answer = soon("a reader", || ask(to, "GET", &path, "", b""));
    assert_eq!((answer.status, answer.body.len()), (200, MAX_CHUNK_SIZE));
    drop(deaf);
}

#[test]
fn batches_wait_for_memory_in_turn() {
    let (store, server) = gateway(Limits {
        memory_bytes: 16 << 20,
        ..Limits::default()
    });
    let to = server.address();
    std::thread::scope(|scope| {
        for batch in 0..4 {
            scope.spawn(move || {
                let chunks: Vec<_> = (0..8).map(|n| chunk(batch * 8 + n, 500_000)).collect();
                let body = wire::write_chunks(&chunks.iter().collect::<Vec<_>>());
                let answer = ask(to, "POST", "/v1/chunks/put", "", &body);
                assert_eq!(answer.status, 204, "{answer:?}");
            });
        }
    });
    assert_eq!(store.stats().unwrap().chunks, 32);
}

#[test]
fn a_shared_token_or_proxy_does_not_make_one_limit_for_everybody() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    fs::write(
        &tokens,
        "read one-0123456789abcdef\nread two-0123456789abcdef\n",
    )
    .unwrap();
    let options = |proxies: &[&str]| Options {
        token_file: Some(tokens.clone()),
        proxies: proxies.iter().map(|proxy| (*proxy).to_owned()).collect(),
        limits: Limits {
            rate: 2,
            ..Limits::default()
        },
        ..Options::default()
    };
    let store = Arc::new(MemoryStore::default());
    let status = |server: &Server, token: &str, of: &str| {
        let lines =
            format!("Authorization: Bearer {token}-0123456789abcdef\r\nX-Forwarded-For: {of}\r\n");
        ask(server.address(), "GET", "/v1/stats", &lines, b"").status
    };
    let exhaust = |server: &Server, token: &str, of: &str| {
        let started = Instant::now();
        while status(server, token, of) != 429 {
            assert!(started.elapsed() < SOON);
        }
    };
    let server = Server::start(store.clone(), &options(&[])).unwrap();
    exhaust(&server, "one", "192.0.2.1");
    assert_eq!(status(&server, "two", "192.0.2.1"), 200);
    // A client's own claim makes no difference, nor does an unknown token.
    exhaust(&server, "one", "192.0.2.1");
    assert_eq!(status(&server, "one", "192.0.2.2"), 429);
    exhaust(&server, "nonsense-a", "192.0.2.1");
    assert_eq!(status(&server, "nonsense-b", "192.0.2.1"), 429);
    drop(server);
    let server = Server::start(store.clone(), &options(&["127.0.0.0/8"])).unwrap();
    exhaust(&server, "one", "192.0.2.1");
    assert_eq!(status(&server, "one", "192.0.2.2"), 200);
    let error = Server::start(store, &options(&["nonsense"])).err().unwrap();
    assert!(error.to_string().contains("nonsense"), "{error}");
}

#[test]
fn a_store_that_is_paid_for_is_not_served_to_everybody() {
    let paid = || {
        Arc::new(MemoryStore::new(Traits {
            local: false,
            paid: true,
        }))
    };
    let free = || Arc::new(MemoryStore::default());
    let stores: [Arc<dyn Store>; 3] = [
        paid(),
        Arc::new(Cached::new(paid(), free(), 1 << 20).unwrap()),
        Arc::new(Mirrored::new(free(), paid(), Arc::new(|_| {}))),
    ];
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    fs::write(&tokens, "write one-0123456789abcdef\n").unwrap();
    for store in stores {
        let error = Server::start(store.clone(), &Options::default())
            .err()
            .unwrap();
        assert!(error.to_string().contains("--token-file"), "{error}");
        let options = Options {
            token_file: Some(tokens.clone()),
            ..Options::default()
        };
        Server::start(store, &options).unwrap();
    }
}

#[test]
fn a_replaced_token_is_taken_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let (tokens, token) = (folder.path().join("tokens"), folder.path().join("token"));
    let put = |path, text: &str| fs::write(path, text).unwrap();
    put(&tokens, "write old-0123456789abcdef\n");
    put(&token, "old-0123456789abcdef\n");
    let options = Options {
        token_file: Some(tokens.clone()),
        ..Options::default()
    };
    let server = Server::start(Arc::new(MemoryStore::default()), &options).unwrap();
    let options = HttpOptions {
        token_file: Some(token.clone()),
        ..HttpOptions::default()
    };
    let store = HttpStore::open(&server.url(), vec![server.url()], &options).unwrap();
    store.put_chunks(&[chunk(1, 100)]).unwrap();
    // At the gateway: the old one is refused as soon as it has looked, and not before that.
    put(&tokens, "# changed\nwrite new-0123456789abcdef\n");
    let started = Instant::now();
    let error = loop {
        match store.put_chunks(&[chunk(2, 100)]) {
            Ok(()) => assert!(started.elapsed() < SOON, "the old token is still taken"),
            Err(error) => break error,
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("SAFE_TOKEN_FILE"), "{error}");
    // A malformed token changes nothing but the message.
    put(&token, "two words\n");
    let error = store.stats().unwrap_err().to_string();
    assert!(error.contains("is no token"), "{error}");
    put(&token, "new-0123456789abcdef\n");
    store.put_chunks(&[chunk(3, 100)]).unwrap();
    // A token that may not write, and one that may.
    put(
        &tokens,
        "read new-0123456789abcdef\nwrite third-0123456789abcdef\n",
    );
    let started = Instant::now();
    while store.put_chunks(&[chunk(4, 100)]).is_ok() {
        assert!(started.elapsed() < SOON);
        std::thread::sleep(Duration::from_millis(20));
    }
    put(&token, "third-0123456789abcdef\n");
    store.put_chunks(&[chunk(5, 100)]).unwrap();
}

/// A disk that is full is made empty again through the gateway: deletion and pointers need no room there.
#[test]
fn what_frees_room_goes_through_a_full_gateway() {
    let full = Error::Full {
        url: "memory:".into(),
        why: "told to".into(),
    };
    for kind in 0..3 {
        let (store, second) = (
            Arc::new(MemoryStore::default()),
            Arc::new(MemoryStore::default()),
        );
        let there = chunk(1, 1000);
        store.put_chunks(std::slice::from_ref(&there)).unwrap();
        for full_one in [&store, &second] {
            full_one.fail_next(Method::PutChunks, u64::MAX, full.clone());
        }
        let served: Arc<dyn Store> = match kind {
            0 => store.clone(),
            1 => Arc::new(Cached::new(store.clone(), second.clone(), 1 << 20).unwrap()),
            _ => Arc::new(Mirrored::new(
                store.clone(),
                second.clone(),
                Arc::new(|_| {}),
            )),
        };
        let options = Options {
            allow_delete: true,
            ..Options::default()
        };
        let server = Server::start(served, &options).unwrap();
        let far = client(&[&server.url()]);
        let error = far.put_chunks(&[chunk(2, 1000)]).unwrap_err();
        assert!(matches!(error, Error::Full { .. }), "{error:?}");
        assert_eq!(far.get_chunk(&there.address()).unwrap(), there);
        far.set_pointer(&pointer(1, 1), None).unwrap();
        far.set_pointer(&pointer(1, 2), Some(1)).unwrap();
        assert_eq!(far.delete_chunks(&[there.address()]).unwrap(), 1);
        assert_eq!(far.has_chunks(&[there.address()]).unwrap(), [false]);
    }
}
