//! Other servers in a gateway's place: a network's sign-in page, a proxy, another program. They are reported as such,
//! say nothing about a record, and is forgotten when it has gone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use safeos_gateway::{Options as ServerOptions, Server};
use safeos_gateway_tests::malicious_server::{Asked, MaliciousServer, Reply};
use safeos_gateway_tests::{chunk, client, homes, pointer};
use safeos_session::{
    Credentials, Error as SessionError, FileKind, NewNode, Options, Secret, Session,
};
use safeos_store::wire::{self, Outcome};
use safeos_store::{Error, Kind, MemoryStore, Result, Store, StoreHooks, Traits};

const PAGE: &[u8] = b"<html>please sign in to the network</html>";

/// Calls of every kind.
type Call = (&'static str, fn(&dyn Store) -> Result<()>);
const CALLS: [Call; 11] = [
    ("get", |store| {
        store.get_chunk(&chunk(1, 3000).address()).map(drop)
    }),
    ("get two", |store| {
        let both = [chunk(1, 3000).address(), chunk(2, 3000).address()];
        let found = store.get_chunks(&both);
        found.into_iter().collect::<Result<Vec<_>>>().map(drop)
    }),
    // Shorter than the page, from its middle.
    ("part", |store| {
        store.read_part(&chunk(1, 3000).address(), 2, 7).map(drop)
    }),
    ("has", |store| {
        store.has_chunks(&[chunk(1, 3000).address()]).map(drop)
    }),
    ("pointer", |store| {
        store.get_pointer(&pointer(1, 5).address()).map(drop)
    }),
    ("list", |store| store.list(None, 100).map(drop)),
    ("stats", |store| store.stats().map(drop)),
    ("put", |store| store.put_chunks(&[chunk(1, 3000)])),
    ("put two", |store| {
        store.put_chunks(&[chunk(1, 3000), chunk(2, 3000)])
    }),
    ("set", |store| store.set_pointer(&pointer(1, 5), Some(4))),
    ("delete", |store| {
        store.delete_chunks(&[chunk(1, 3000).address()]).map(drop)
    }),
];

#[test]
fn a_strangers_answer_is_no_damage_and_no_success() {
    let html = "Content-Type: text/html; charset=utf-8\r\n";
    let answers = [
        ("200 OK", html, PAGE, "HTTP 200, text/html"),
        ("200 OK", html, b"", "HTTP 200, text/html"),
        (
            "200 OK",
            "",
            b"\n<!DOCTYPE html><title>Wi-Fi</title>",
            "sign-in page",
        ),
        (
            "200 OK",
            "Content-Type: text/plain\r\n",
            b"\0\0\0\0\x05hello",
            "text/plain",
        ),
        ("404 Not Found", html, PAGE, "check host and port"),
        (
            "404 Not Found",
            "Content-Type: application/json\r\n",
            b"{\"message\":\"no route\"}",
            "HTTP 404",
        ),
        ("413 Content Too Large", html, PAGE, "client_max_body_size"),
        ("403 Forbidden", html, PAGE, "HTTP 403"),
        ("407 Proxy Authentication Required", html, PAGE, "HTTP 407"),
        (
            "511 Network Authentication Required",
            html,
            PAGE,
            "HTTP 511",
        ),
        ("502 Bad Gateway", html, PAGE, "does not reach it"),
        ("504 Gateway Timeout", html, PAGE, "does not reach it"),
    ];
    std::thread::scope(|scope| {
        for (status, lines, body, says) in answers {
            for (call, make) in CALLS {
                scope.spawn(move || {
                    let liar = MaliciousServer::start(move |_| Reply::with(status, lines, body));
                    let what = format!("{status}, {call}");
                    let error = make(&client(&[&liar.url()])).expect_err(&what);
                    assert!(error.is_away() && error.retry(), "{what}: {error:?}");
                    let away = status.starts_with('5');
                    let code = if away {
                        "store_unreachable"
                    } else {
                        "not_a_gateway"
                    };
                    assert_eq!(error.code(), code, "{what}: {error}");
                    let message = error.to_string();
                    assert!(message.contains(says), "{what}: {message}");
                    assert!(message.contains(&liar.url()), "{what}: {message}");
                });
            }
        }
    });
}

#[test]
fn another_program_is_told_as_one() {
    for (bytes, says) in [
        (&b"SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n"[..], "no HTTP"),
        (b"220 mail.example.org ESMTP\r\n\r\n", "no HTTP"),
        // An alert of TLS, which a server gives that wants TLS.
        (&[0x15, 3, 3, 0, 2, 2, 50], "https://"),
    ] {
        let liar = MaliciousServer::start(move |_| Reply::Bytes(bytes.to_vec()));
        let error = client(&[&liar.url()]).get_chunk(&chunk(1, 9).address());
        let error = error.unwrap_err();
        assert_eq!(error.code(), "not_a_gateway", "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
}

/// Answers as gateways did before they said that they are some.
fn of_before(asked: &Asked) -> Reply {
    let octets = "Content-Type: application/octet-stream\r\n";
    let (one, two) = (chunk(1, 3000), pointer(1, 5));
    let mut words = asked.line.split([' ', '/']);
    match (words.next().unwrap(), words.nth(2).unwrap()) {
        ("GET", "chunks") => Reply::with("200 OK", octets, one.bytes()),
        ("GET", _) => Reply::with("200 OK", octets, two.as_bytes()),
        ("PUT", "chunks") => Reply::with("204 No Content", "", b""),
        ("PUT", _) => Reply::with("204 No Content", "ETag: \"6\"\r\n", b""),
        _ if asked.line.contains("has") => Reply::with("200 OK", octets, &asked.body),
        _ => {
            let answers = asked.body.chunks(32).flat_map(|_| {
                let head = wire::answer_head(Outcome::Found, 3000);
                [&head[..], one.bytes()].concat()
            });
            Reply::with("200 OK", octets, &answers.collect::<Vec<u8>>())
        }
    }
}

#[test]
fn a_gateway_of_before_is_one_and_its_damage_is_damage() {
    let liar = MaliciousServer::start(of_before);
    let store = client(&[&liar.url()]);
    let (one, two) = (chunk(1, 3000), chunk(2, 3000));
    assert_eq!(store.get_chunk(&one.address()).unwrap(), one);
    // A gateway without ranges answers with the whole chunk.
    assert_eq!(
        store.read_part(&one.address(), 5, 9).unwrap(),
        one.bytes()[5..14]
    );
    let there = store.has_chunks(&[one.address(), two.address()]).unwrap();
    assert_eq!(there, [true, true]);
    assert_eq!(
        store
            .get_pointer(&pointer(1, 5).address())
            .unwrap()
            .unwrap()
            .counter(),
        5
    );
    store.put_chunks(&[one.clone(), two.clone()]).unwrap();
    store.set_pointer(&pointer(1, 6), Some(5)).unwrap();
    // Other bytes than those of the address, from a server that may be a gateway.
    for error in [
        store.get_chunk(&two.address()).unwrap_err(),
        store.read_part(&two.address(), 5, 9).unwrap_err(),
        store.get_chunks(&[two.address(), two.address()])[0]
            .clone()
            .unwrap_err(),
        store.get_pointer(&pointer(2, 5).address()).unwrap_err(),
    ] {
        assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
    }
}

#[test]
fn every_answer_of_a_gateway_says_that_it_is_one() {
    let server = Server::start(Arc::new(MemoryStore::default()), &ServerOptions::default());
    let server = server.unwrap();
    for (method, path) in [
        ("GET", "/health"),
        ("GET", "/metrics"),
        ("GET", "/v1/stats"),
        ("GET", "/nothing"),
        ("PATCH", "/v1/stats"),
        ("GET", "/v1/chunks/x"),
        ("PUT", "/v1/pointers/x"),
    ] {
        let answer = safeos_gateway_tests::plain::ask(server.address(), method, path, "", b"");
        assert_eq!(
            answer.header(wire::MARK),
            Some(wire::MARK_VERSION),
            "{path}"
        );
    }
}

/// Where a gateway has answered once, an answer without the gateway's mark is not accepted.
#[test]
fn nobody_takes_over_from_a_gateway_that_was_there() {
    let gone = Arc::new(AtomicBool::new(false));
    let is_gone = gone.clone();
    let liar = MaliciousServer::start(move |_| {
        let mark = format!("{}: 1\r\n", wire::MARK);
        let mark = if is_gone.load(Ordering::Relaxed) {
            ""
        } else {
            &mark
        };
        // It is gone after one answer, and says so.
        let head = format!("ETag: \"5\"\r\nConnection: close\r\n{mark}");
        Reply::with("204 No Content", &head, b"")
    });
    let store = client(&[&liar.url()]);
    store.put_chunks(&[chunk(1, 3000)]).unwrap();
    gone.store(true, Ordering::Relaxed);
    for error in [
        store.put_chunks(&[chunk(1, 3000)]).unwrap_err(),
        store.set_pointer(&pointer(1, 5), None).unwrap_err(),
    ] {
        assert_eq!(error.code(), "not_a_gateway", "{error}");
    }
}

/// A store in whose place another one can be put.
struct Switch {
    good: Arc<dyn Store>,
    bad: Arc<dyn Store>,
    is_bad: AtomicBool,
}

impl Switch {
    fn now(&self) -> &dyn Store {
        if self.is_bad.load(Ordering::Relaxed) {
            &*self.bad
        } else {
            &*self.good
        }
    }

    fn set(&self, is_bad: bool) {
        self.is_bad.store(is_bad, Ordering::Relaxed);
    }
}

impl StoreHooks for Switch {
    fn inner(&self) -> &dyn Store {
        self.now()
    }

    fn on_url(&self) -> &str {
        self.good.url()
    }

    fn on_traits(&self) -> Traits {
        self.good.traits()
    }
}

fn credentials(password: &str) -> Credentials {
    Credentials::new("Ana", Secret::new(password.into()))
}

fn options(store: &Arc<dyn Store>, state: &tempfile::TempDir, remember: bool) -> Options {
    Options {
        remember,
        ..homes::options(store, state.path())
    }
}

const PASSWORD: &str = "correct horse battery";

#[test]
fn a_session_survives_a_sign_in_page_and_forgets_it() {
    let memory = Arc::new(MemoryStore::default());
    let server = Server::start(memory.clone(), &ServerOptions::default()).unwrap();
    let page =
        MaliciousServer::start(|_| Reply::with("200 OK", "Content-Type: text/html\r\n", PAGE));
    let switch = Arc::new(Switch {
        good: Arc::new(client(&[&server.url()])),
        bad: Arc::new(client(&[&page.url()])),
        is_bad: AtomicBool::new(false),
    });
    let store: Arc<dyn Store> = switch.clone();
    let state = tempfile::tempdir().unwrap();
    let made = Session::sign_up(credentials(PASSWORD), options(&store, &state, false), &());
    let made = made.unwrap();
    let home = made.home().unwrap();
    let node = NewNode::new(FileKind::File, 0o644, (1000, 1000));
    let file = home.create(home.root(), b"f", &node).unwrap();
    let written = chunk(7, 300_000);
    home.write(file.ino, Some(0), written.bytes()).unwrap();
    drop(home);
    made.sign_out(false, false, &()).unwrap();

    // Another computer, which has to fetch all of it.
    let state = tempfile::tempdir().unwrap();
    let session = Session::sign_in(credentials(PASSWORD), options(&store, &state, true), &());
    let session = session.unwrap();
    let home = session.home().unwrap();
    let read = || {
        let attr = home.lookup(home.root(), b"f")?;
        let mut out = Vec::new();
        home.read(attr.ino, 0, 300_000, &mut out)?;
        Ok::<_, SessionError>(out)
    };
    switch.set(true);
    let error = read().unwrap_err();
    assert_eq!(error.code(), "not_a_gateway", "{error}");
    let error = session.publish(&()).unwrap_err();
    assert_eq!(error.code(), "not_a_gateway", "{error}");
    let status = session.status();
    assert!(status.offline, "{status:?}");
    assert_eq!(status.problems.len(), 1, "{status:?}");
    assert!(status.problems[0].contains("text/html"), "{status:?}");
    switch.set(false);
    assert!(read().unwrap() == written.bytes()[..]);
    session.publish(&()).unwrap();
    let status = session.status();
    assert!(!status.offline && status.problems.is_empty(), "{status:?}");

    // Real damage is reported as damage, until it is repaired.
    let kept = memory.state();
    drop(home);
    session.sign_out(false, false, &()).unwrap();
    let fresh = tempfile::tempdir().unwrap();
    let session = Session::sign_in(credentials(PASSWORD), options(&store, &fresh, false), &());
    let session = session.unwrap();
    let home = session.home().unwrap();
    let attr = home.lookup(home.root(), b"f").unwrap();
    for entry in memory.list(None, 1000).unwrap() {
        if entry.kind == Kind::Chunk {
            memory.set_raw(Kind::Chunk, entry.address, "wrong");
        }
    }
    let mut out = Vec::new();
    let error = home.read(attr.ino, 0, 300_000, &mut out).unwrap_err();
    assert!(matches!(error, SessionError::Damaged(_)), "{error:?}");
    assert_eq!(session.status().problems.len(), 1);
    memory.restore(kept);
    out.clear();
    home.read(attr.ino, 0, 300_000, &mut out).unwrap();
    assert!(out == written.bytes()[..]);
    assert_eq!(session.status().problems, Vec::<String>::new());
    drop(home);
    session.sign_out(false, false, &()).unwrap();
}

#[test]
fn a_remembered_account_opens_beside_a_sign_in_page_and_by_its_password_only() {
    let server = Server::start(Arc::new(MemoryStore::default()), &ServerOptions::default());
    let server = server.unwrap();
    let html = "Content-Type: text/html\r\n";
    let page = MaliciousServer::start(move |_| Reply::with("200 OK", html, PAGE));
    let redirect = MaliciousServer::start(|_| {
        Reply::with("302 Found", "Location: http://wifi.example/\r\n", b"")
    });
    let nobody = {
        let liar = MaliciousServer::start(|_| Reply::Silence);
        liar.url()
    };
    let store: Arc<dyn Store> = Arc::new(client(&[&server.url()]));
    let state = tempfile::tempdir().unwrap();
    let made = Session::sign_up(credentials(PASSWORD), options(&store, &state, true), &());
    made.unwrap().sign_out(false, false, &()).unwrap();
    for url in [page.url(), redirect.url(), nobody.clone()] {
        let away: Arc<dyn Store> = Arc::new(client(&[&url]));
        let session = Session::sign_in(credentials(PASSWORD), options(&away, &state, true), &());
        let session = session.unwrap();
        assert!(session.status().offline);
        drop(session);
    }
    for url in [page.url(), nobody] {
        let away: Arc<dyn Store> = Arc::new(client(&[&url]));
        for (wrong, code) in [("wrong", "wrong_or_unknown"), ("", "weak_password")] {
            let opened = Session::sign_in(credentials(wrong), options(&away, &state, true), &());
            let error = opened.err().unwrap();
            assert_eq!(error.code(), code, "{error}");
            assert!(error.to_string().contains("password"), "{error}");
        }
        // Where nothing is remembered, nothing can be said about the password.
        let empty = tempfile::tempdir().unwrap();
        let opened = Session::sign_in(credentials("wrong"), options(&away, &empty, true), &());
        assert!(opened.err().unwrap().is_away());
    }
}
