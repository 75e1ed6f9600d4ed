//! A gateway that lies, stalls or floods: a clear error in bounded time and memory, a retry elsewhere, never
//! wrong data.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use safeos_gateway::{Options, Server};
use safeos_gateway_tests::malicious_server::{Asked, MaliciousServer, Reply};
use safeos_gateway_tests::{chunk, client, pointer};
use safeos_record::{Address, FINAL_COUNTER, POINTER_LEN};
use safeos_store::wire::{self, Outcome};
use safeos_store::{Error, Kind, MemoryStore, Store};

/// No call may take longer, whatever the other side does.
const LIMIT: Duration = Duration::from_secs(10);
/// No request may be answered with more than this: a record or two, and what the system's buffers hold.
const BYTES_MAX: u64 = 16 << 20;

/// An honest gateway and its store.
fn honest() -> (Arc<MemoryStore>, Server) {
    let store = Arc::new(MemoryStore::default());
    let server = Server::start(store.clone(), &Options::default()).unwrap();
    (store, server)
}

/// An answer and its name.
type Nonsense = (&'static str, fn() -> Reply);

/// Answers that are wrong whatever was asked.
fn nonsense() -> Vec<Nonsense> {
    vec![
        ("no HTTP at all", || {
            Reply::Bytes(b"SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n".to_vec())
        }),
        ("an empty answer", || Reply::Bytes(Vec::new())),
        ("half a head", || {
            Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Le".to_vec())
        }),
        ("a head without end", || {
            Reply::Endless(b"HTTP/1.1 200 OK\r\nX: y".to_vec())
        }),
        ("headers without end", || {
            Reply::Bytes([&b"HTTP/1.1 200 OK\r\n"[..], &b"A: b\r\n".repeat(100_000)].concat())
        }),
        ("a status that is none", || {
            Reply::Bytes(b"HTTP/1.1 999999 Fine\r\n\r\n".to_vec())
        }),
        ("a status without meaning", || {
            Reply::with("777 Jackpot", "", b"x")
        }),
        ("a redirect", || {
            Reply::with(
                "302 Found",
                "Location: http://127.0.0.1:1/elsewhere\r\n",
                b"",
            )
        }),
        ("a permanent redirect", || {
            Reply::with(
                "308 Permanent Redirect",
                "Location: https://elsewhere.example/\r\n",
                b"",
            )
        }),
        ("a page of a web server", || {
            Reply::with(
                "404 Not Found",
                "Content-Type: text/html\r\n",
                b"<html>no</html>",
            )
        }),
        ("a length below zero", || {
            Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx".to_vec())
        }),
        ("two lengths", || {
            Reply::Bytes(
                b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy".to_vec(),
            )
        }),
        ("a length of the world", || {
            Reply::Bytes(
                b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\nx".to_vec(),
            )
        }),
        ("a body without end", || {
            Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\nx".to_vec())
        }),
        ("pieces without end", || {
            Reply::Endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1".to_vec())
        }),
        ("a piece of any length", || {
            Reply::Endless(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffff\r\nx".to_vec(),
            )
        }),
        ("a body that breaks off", || {
            Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nonly this".to_vec())
        }),
        ("silence", || Reply::Silence),
        ("a head that drips", || {
            Reply::Drip(
                b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc".repeat(20),
                Duration::from_millis(50),
            )
        }),
        ("a body that drips", || {
            let head = &b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"[..];
            Reply::Drip([head, &[b'x'; 5000]].concat(), Duration::from_millis(50))
        }),
        ("interim answers without end", || {
            Reply::Bytes(b"HTTP/1.1 100 Continue\r\n\r\n".repeat(100_000))
        }),
        ("an error as long as the world", || {
            Reply::Endless(b"HTTP/1.1 500 Oops\r\n\r\nx".to_vec())
        }),
        ("an error of control characters", || {
            Reply::with(
                "403 Forbidden",
                "",
                br#"{"error":{"code":"x","message":"a\n\u001b[2Jb"}}"#,
            )
        }),
        ("busy for ever", || {
            Reply::with("503 Busy", "Retry-After: 99999999\r\n", b"")
        }),
    ]
}

#[track_caller]
fn bounded<T>(what: &str, liar: &MaliciousServer, call: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let outcome = call();
    let took = started.elapsed();
    assert!(took < LIMIT, "{what}: {took:?}");
    let each = liar.written() / liar.asked().max(1);
    assert!(each < BYTES_MAX, "{what}: {each} bytes");
    outcome
}

#[track_caller]
fn says_what_to_know(what: &str, liar: &MaliciousServer, error: &Error) {
    let message = error.to_string();
    assert!(message.contains(&liar.url()), "{what}: {message}");
    assert!(
        !message.chars().any(char::is_control),
        "{what}: {message:?}"
    );
    assert!(message.len() < 1000, "{what}: {message}");
    if what.contains("redirect") {
        assert!(message.contains("redirects are not followed"), "{message}");
        assert!(message.contains("elsewhere"), "{message}");
        assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    }
}

/// Calls of every kind; each must fail at a liar.
type Call = (&'static str, fn(&dyn Store) -> Result<(), Error>);
const CALLS: [Call; 7] = [
    ("get", |store| {
        store.get_chunk(&chunk(1, 3000).address()).map(drop)
    }),
    ("get two", |store| {
        let both = [chunk(1, 3000).address(), chunk(2, 3000).address()];
        // Only where both fail has the call failed.
        let found = store.get_chunks(&both);
        assert_eq!(found.iter().filter(|f| f.is_ok()).count() % 2, 0);
        found.into_iter().collect::<Result<Vec<_>, _>>().map(drop)
    }),
    ("has", |store| {
        store.has_chunks(&[chunk(1, 3000).address()]).map(drop)
    }),
    ("pointer", |store| {
        store.get_pointer(&pointer(1, 5).address()).map(drop)
    }),
    ("list", |store| store.list(None, 100).map(drop)),
    ("stats", |store| store.stats().map(drop)),
    ("part", |store| {
        store.read_part(&chunk(1, 3000).address(), 10, 20).map(drop)
    }),
];

#[test]
fn nonsense_is_a_clear_error_in_bounded_time_and_memory() {
    // Waiting, most of the time: all at once.
    std::thread::scope(|scope| {
        for (what, reply) in nonsense() {
            for (call, make) in CALLS {
                scope.spawn(move || {
                    let what = format!("{what}, {call}");
                    let liar = MaliciousServer::start(move |_| reply());
                    let error =
                        bounded(&what, &liar, || make(&client(&[&liar.url()]))).expect_err(&what);
                    says_what_to_know(&what, &liar, &error);
                    assert!(!matches!(error, Error::Missing { .. }), "{what}: {error:?}");
                });
            }
        }
    });
}

#[test]
fn from_nonsense_one_turns_to_an_honest_gateway() {
    let (store, server) = honest();
    let known = [chunk(1, 3000), chunk(2, 3000)];
    store.put_chunks(&known).unwrap();
    store.set_pointer(&pointer(1, 5), None).unwrap();
    for (what, reply) in nonsense() {
        let liar = MaliciousServer::start(move |_| reply());
        let both = client(&[&liar.url(), &server.url()]);
        bounded(what, &liar, || {
            let found = both.get_chunks(&known.each_ref().map(|chunk| chunk.address()));
            for (found, known) in found.into_iter().zip(&known) {
                assert_eq!(&found.unwrap(), known, "{what}");
            }
            let there = both.get_pointer(&pointer(1, 5).address()).unwrap();
            assert_eq!(there.unwrap().counter(), 5, "{what}");
        });
        // A gateway that has lied once is not asked first again.
        let asked = liar.asked();
        assert_eq!(both.stats().unwrap(), store.stats().unwrap(), "{what}");
        both.has_chunks(&[known[0].address()]).unwrap();
        assert_eq!(liar.asked(), asked, "{what}");
    }
}

#[test]
fn wrong_bytes_for_an_address_are_never_taken() {
    let (store, server) = honest();
    let wanted = [chunk(1, 3000), chunk(2, 200_000)];
    store.put_chunks(&wanted).unwrap();
    let flipped = |chunk: &safeos_record::Chunk| {
        let mut bytes = chunk.bytes().to_vec();
        bytes[100] ^= 1;
        bytes
    };
    let lies: Vec<(&str, [Vec<u8>; 2])> = vec![
        ("one bit", [flipped(&wanted[0]), flipped(&wanted[1])]),
        (
            "another chunk",
            [wanted[1].bytes().to_vec(), wanted[0].bytes().to_vec()],
        ),
        ("nothing", [Vec::new(), Vec::new()]),
        (
            "cut",
            [
                wanted[0].bytes()[..2999].to_vec(),
                wanted[1].bytes()[..5].to_vec(),
            ],
        ),
        (
            "longer",
            [[wanted[0].bytes(), &b"x"[..]].concat(), vec![0; 4 << 20]],
        ),
    ];
    for (what, bytes) in lies {
        let addresses = wanted.each_ref().map(|chunk| chunk.address());
        let liar = MaliciousServer::start(move |asked: &Asked| {
            if asked.line.starts_with("POST") {
                let body: Vec<u8> = asked
                    .body
                    .chunks(32)
                    .flat_map(|address| {
                        let which = usize::from(address != addresses[0].as_bytes());
                        let head = wire::answer_head(Outcome::Found, bytes[which].len());
                        [&head[..], &bytes[which]].concat()
                    })
                    .collect();
                return Reply::ok(&body);
            }
            let which = usize::from(!asked.line.contains(&addresses[0].to_string()));
            Reply::ok(&bytes[which])
        });
        let alone = client(&[&liar.url()]);
        let both = client(&[&liar.url(), &server.url()]);
        for wanted in &wanted {
            let error = bounded(what, &liar, || alone.get_chunk(&wanted.address())).unwrap_err();
            assert!(matches!(error, Error::Damaged { address, .. } if address == wanted.address()));
            says_what_to_know(what, &liar, &error);
            assert_eq!(
                &both.get_chunk(&wanted.address()).unwrap(),
                wanted,
                "{what}"
            );
        }
        let both = client(&[&liar.url(), &server.url()]);
        for found in alone.get_chunks(&addresses) {
            assert!(
                matches!(found, Err(Error::Damaged { .. })),
                "{what}: {found:?}"
            );
        }
        for (found, wanted) in both.get_chunks(&addresses).iter().zip(&wanted) {
            assert_eq!(found.as_ref().unwrap(), wanted, "{what}");
        }
    }
}

/// A gateway that has sent a chunk before verifies it again for a client that got it damaged, and reports the damage.
#[test]
fn damage_that_came_later_is_found_by_who_reads() {
    let folder = tempfile::tempdir().unwrap();
    let url = safeos_store::file_url(folder.path()).unwrap();
    let server = Server::start(safeos_store::open(&url).unwrap(), &Options::default()).unwrap();
    let far = client(&[&server.url()]);
    let wanted = chunk(1, 1_000_000);
    far.put_chunks(std::slice::from_ref(&wanted)).unwrap();
    for _ in 0..3 {
        assert_eq!(far.get_chunk(&wanted.address()).unwrap(), wanted);
    }
    let name = wanted.address().to_string();
    let path = folder.path().join("chunks").join(&name[..1]).join(&name);
    let mut bytes = wanted.bytes().to_vec();
    bytes[77] ^= 1;
    // In its place, as a bad disk would have it.
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
    let error = far.get_chunk(&wanted.address()).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
    assert!(
        error.to_string().contains("damaged on the gateway's store"),
        "{error}"
    );
}

/// Says, in due form, that there is no such record.
fn missing(asked: &Asked) -> Reply {
    let address = asked.line.split(['/', ' ']).find(|word| word.len() == 64);
    let body = format!(
        r#"{{"error":{{"code":"missing_record","message":"no","address":"{}"}}}}"#,
        address.unwrap()
    );
    Reply::with("404 Not Found", "", body.as_bytes())
}

#[test]
fn what_one_says_is_missing_is_looked_for_elsewhere() {
    let (store, server) = honest();
    let wanted = chunk(1, 3000);
    store.put_chunks(std::slice::from_ref(&wanted)).unwrap();
    let liar = MaliciousServer::start(|asked| {
        if asked.line.starts_with("POST") {
            let head = wire::answer_head(Outcome::Missing, 32);
            let answers = asked
                .body
                .chunks(32)
                .flat_map(|address| [&head, address].concat());
            return Reply::ok(&answers.collect::<Vec<u8>>());
        }
        missing(asked)
    });
    let both = client(&[&liar.url(), &server.url()]);
    assert_eq!(both.get_chunk(&wanted.address()).unwrap(), wanted);
    let both = client(&[&liar.url(), &server.url()]);
    let none = Address([7; 32]);
    let found = both.get_chunks(&[wanted.address(), none]);
    assert_eq!(found[0].as_ref().unwrap(), &wanted);
    assert!(
        matches!(found[1], Err(Error::Missing { .. })),
        "{:?}",
        found[1]
    );
    // A gateway that is away may have it: then it is not reported missing.
    drop(server);
    let error = both.get_chunk(&none).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    let error = client(&[&liar.url()]).get_chunk(&none).unwrap_err();
    assert!(matches!(error, Error::Missing { .. }), "{error:?}");
}

#[test]
fn pointers_of_others_and_of_the_past_do_not_count() {
    let (store, server) = honest();
    let (old, new) = (pointer(1, 5), pointer(1, 6));
    store.set_pointer(&new, None).unwrap();
    let address = new.address();
    let foreign = pointer(2, 9);
    let mut forged = new.as_bytes().to_vec();
    forged[1960] ^= 1;
    for (what, bytes) in [
        ("foreign", foreign.as_bytes().to_vec()),
        ("forged", forged),
        ("cut", new.as_bytes()[..POINTER_LEN - 1].to_vec()),
        ("long", [new.as_bytes(), &b"x"[..]].concat()),
    ] {
        let liar = MaliciousServer::start(move |_| Reply::ok(&bytes));
        let error = client(&[&liar.url()]).get_pointer(&address).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Damaged {
                    kind: Kind::Pointer,
                    ..
                }
            ),
            "{what}: {error:?}"
        );
        says_what_to_know(what, &liar, &error);
        let both = client(&[&liar.url(), &server.url()]);
        assert_eq!(
            both.get_pointer(&address).unwrap(),
            Some(new.clone()),
            "{what}"
        );
    }
    // An old state is as well signed as a new one. Of several gateways the newest counts.
    let bytes = old.as_bytes().to_vec();
    let liar = MaliciousServer::start(move |_| Reply::ok(&bytes));
    let both = client(&[&liar.url(), &server.url()]);
    assert_eq!(both.get_pointer(&address).unwrap(), Some(new.clone()));
    // The same for one that says there is none.
    let liar = MaliciousServer::start(missing);
    let both = client(&[&liar.url(), &server.url()]);
    assert_eq!(both.get_pointer(&address).unwrap(), Some(new));
}

#[test]
fn a_conflict_that_is_none_is_seen_through() {
    let (store, server) = honest();
    store.set_pointer(&pointer(1, 5), None).unwrap();
    let conflict = br#"{"error":{"code":"conflict","message":"moved","current":77}}"#;
    let state = pointer(1, 5).as_bytes().to_vec();
    let liar = MaliciousServer::start(move |asked| {
        if asked.line.starts_with("PUT") {
            Reply::with("412 Precondition Failed", "", conflict)
        } else {
            Reply::ok(&state)
        }
    });
    let next = pointer(1, 6);
    let error = client(&[&liar.url()])
        .set_pointer(&next, Some(5))
        .unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
    let both = client(&[&liar.url(), &server.url()]);
    both.set_pointer(&next, Some(5)).unwrap();
    assert_eq!(
        store.get_pointer(&next.address()).unwrap(),
        Some(next.clone())
    );
    // A real one is told with the counter that is really there, whatever the liar says.
    let error = both.set_pointer(&pointer(1, 7), Some(5)).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Conflict {
                current: Some(6),
                ..
            }
        ),
        "{error:?}"
    );
    // A success with another counter is a failure.
    let liar = MaliciousServer::start(|_| Reply::with("204 No Content", "ETag: \"3\"\r\n", b""));
    let error = client(&[&liar.url()])
        .set_pointer(&pointer(1, 7), Some(6))
        .unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
}

#[test]
fn batches_that_do_not_fit_what_was_asked_are_refused() {
    let (store, server) = honest();
    let known: Vec<_> = (0..5).map(|seed| chunk(seed, 500)).collect();
    store.put_chunks(&known).unwrap();
    let addresses: Vec<Address> = known.iter().map(|chunk| chunk.address()).collect();
    type Lie = fn(&[u8]) -> Reply;
    let lies: [(&str, Lie); 6] = [
        ("half an address", |_| Reply::ok(&[1; 16])),
        ("more than asked for", |asked| {
            Reply::ok(&[asked, &[1; 32]].concat())
        }),
        ("another address", |_| Reply::ok(&[7; 32])),
        ("a found chunk of 4 GiB", |_| {
            Reply::Endless([&[0, 255, 255, 255, 255][..], b"x"].concat())
        }),
        ("another is missing", |_| {
            Reply::ok(&[&[1, 0, 0, 0, 32][..], &[7; 32]].concat())
        }),
        ("a message that is long", |_| {
            Reply::ok(&[&[3, 0, 1, 0, 0][..], &[b'm'; 65536]].concat())
        }),
    ];
    for (what, lie) in lies {
        let liar = MaliciousServer::start(move |asked| lie(&asked.body));
        let alone = client(&[&liar.url()]);
        for found in bounded(what, &liar, || alone.get_chunks(&addresses)) {
            let error = found.unwrap_err();
            assert!(!matches!(error, Error::Missing { .. }), "{what}: {error:?}");
        }
        let both = client(&[&liar.url(), &server.url()]);
        for (found, known) in both.get_chunks(&addresses).iter().zip(&known) {
            assert_eq!(found.as_ref().unwrap(), known, "{what}");
        }
        let both = client(&[&liar.url(), &server.url()]);
        if !what.starts_with("a ") {
            let error = alone.has_chunks(&addresses).unwrap_err();
            assert!(matches!(error, Error::Broken { .. }), "{what}: {error:?}");
        }
        assert_eq!(both.has_chunks(&addresses).unwrap(), [true; 5], "{what}");
    }
}

#[test]
fn a_list_that_goes_round_is_not_read_for_ever() {
    let page = |records: &[(&str, u8)]| {
        let records: Vec<String> = records
            .iter()
            .map(|(kind, byte)| {
                let address = Address([*byte; 32]);
                format!(r#"{{"kind":"{kind}","address":"{address}","len":1}}"#)
            })
            .collect();
        let after = Address([5; 32]);
        format!(
            r#"{{"after":"chunk:{after}","records":[{}]}}"#,
            records.join(",")
        )
        .into_bytes()
    };
    let after = Some((Kind::Chunk, Address([5; 32])));
    for (what, body) in [
        ("the same again", page(&[("chunk", 5)])),
        ("backwards", page(&[("chunk", 9), ("chunk", 8)])),
        ("before", page(&[("chunk", 1)])),
        ("twice", page(&[("chunk", 9), ("chunk", 9)])),
        ("kinds mixed up", page(&[("pointer", 9), ("chunk", 10)])),
        (
            "too long",
            page(&[("chunk", 6), ("chunk", 7), ("chunk", 8), ("chunk", 9)]),
        ),
        ("no kind", page(&[("thing", 9)])),
        ("no list", b"{}".to_vec()),
        ("deep", [vec![b'['; 50_000], vec![b']'; 50_000]].concat()),
    ] {
        let digest = format!("{}: {}\r\n", wire::DIGEST, Address::of(&body));
        let liar = MaliciousServer::start(move |_| Reply::with("200 OK", &digest, &body));
        let error = client(&[&liar.url()]).list(after, 3).unwrap_err();
        assert!(matches!(error, Error::Broken { .. }), "{what}: {error:?}");
        says_what_to_know(what, &liar, &error);
    }
}

/// Chunks uploaded to a gateway that takes them and breaks off are not lost, and not sent again where they arrived.
#[test]
fn an_upload_goes_on_elsewhere() {
    let (store, server) = honest();
    let chunks: Vec<_> = (0..20)
        .map(|seed| chunk(seed, if seed < 3 { 300_000 } else { 900 }))
        .collect();
    for (what, reply) in nonsense() {
        let liar = MaliciousServer::start(move |_| reply());
        let outcome = bounded(what, &liar, || client(&[&liar.url()]).put_chunks(&chunks));
        // A status of success is all that can be known of a gateway that lies about that alone.
        if outcome.is_ok() {
            assert!(
                what.contains("body") || what.contains("length") || what.contains("piece"),
                "{what}"
            );
            continue;
        }
        says_what_to_know(what, &liar, &outcome.unwrap_err());
        client(&[&liar.url(), &server.url()])
            .put_chunks(&chunks)
            .unwrap();
        assert_eq!(store.stats().unwrap().chunks, 20);
    }
    let last = pointer(3, FINAL_COUNTER);
    client(&[&server.url()]).set_pointer(&last, None).unwrap();
}
