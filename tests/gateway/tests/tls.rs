//! TLS between a client and a gateway: the certificate's authority counts, and a token goes along.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use safeos_gateway::{Options, Server};
use safeos_gateway_tests::{chunk, pointer};
use safeos_store::{Error, HttpOptions, HttpStore, MemoryStore, Store};

/// A certificate of one's own for these names, and its key, as files.
fn certificate(folder: &Path, names: &[&str]) -> (PathBuf, PathBuf) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let (chain, key) = (folder.join("chain.pem"), folder.join("key.pem"));
    fs::write(&chain, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (chain, key)
}

fn open(url: &str, ca: Option<&Path>, token: Option<&Path>) -> Result<HttpStore, Error> {
    let options = HttpOptions {
        ca_file: ca.map(Path::to_owned),
        token_file: token.map(Path::to_owned),
        ..HttpOptions::default()
    };
    HttpStore::open(url, vec![url.to_owned()], &options)
}

#[test]
fn records_go_over_tls_with_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = certificate(folder.path(), &["127.0.0.1", "localhost"]);
    let tokens = folder.path().join("tokens");
    fs::write(&tokens, "write a-token-of-this-test\n").unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "a-token-of-this-test\n").unwrap();
    let store = Arc::new(MemoryStore::default());
    let options = Options {
        tls: Some((chain.clone(), key)),
        token_file: Some(tokens),
        ..Options::default()
    };
    let server = Server::start(store.clone(), &options).unwrap();
    let url = server.url();
    assert!(url.starts_with("https://"));

    let far = open(&url, Some(&chain), Some(&token)).unwrap();
    let chunks: Vec<_> = (0..30).map(|seed| chunk(seed, 100_000)).collect();
    far.put_chunks(&chunks).unwrap();
    for (found, chunk) in far
        .get_chunks(
            &chunks
                .iter()
                .map(|chunk| chunk.address())
                .collect::<Vec<_>>(),
        )
        .iter()
        .zip(&chunks)
    {
        assert_eq!(found.as_ref().unwrap(), chunk);
    }
    far.set_pointer(&pointer(1, 5), None).unwrap();
    assert_eq!(store.stats().unwrap().chunks, 30);

    // An untrusted certificate, one of another authority, or for another name: no record goes there.
    let other = tempfile::tempdir().unwrap();
    let (stranger, _) = certificate(other.path(), &["127.0.0.1"]);
    for ca in [None, Some(stranger.as_path())] {
        let error = open(&url, ca, Some(&token)).unwrap().stats().unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error:?}");
        assert!(error.to_string().contains("SAFE_CA_FILE"), "{error}");
    }
    // Not over TLS at all: an error, and an error of the client that says what to do.
    let plain = url.replace("https", "http");
    let error = open(&plain, None, None).unwrap().stats().unwrap_err();
    assert!(error.to_string().contains(&plain), "{error}");
    let error = open(&url, Some(&chain), None).unwrap().stats().unwrap_err();
    assert!(error.to_string().contains("SAFE_TOKEN_FILE"), "{error}");
}

#[test]
fn a_certificate_for_another_name_is_not_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = certificate(folder.path(), &["elsewhere.example"]);
    let options = Options {
        tls: Some((chain.clone(), key)),
        ..Options::default()
    };
    let server = Server::start(Arc::new(MemoryStore::default()), &options).unwrap();
    let error = open(&server.url(), Some(&chain), None)
        .unwrap()
        .stats()
        .unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("check the URL"), "{error}");
}

#[test]
fn files_that_do_not_fit_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = certificate(folder.path(), &["localhost"]);
    let other = tempfile::tempdir().unwrap();
    let (_, foreign) = certificate(other.path(), &["localhost"]);
    let empty = folder.path().join("empty");
    fs::write(&empty, "").unwrap();
    for (chain, key) in [
        (&chain, &foreign),
        (&empty, &key),
        (&chain, &empty),
        (&key, &chain),
    ] {
        let options = Options {
            tls: Some((chain.clone(), key.clone())),
            ..Options::default()
        };
        let error = Server::start(Arc::new(MemoryStore::default()), &options)
            .err()
            .unwrap();
        let message = error.to_string();
        assert!(
            message.contains(chain.to_str().unwrap()) || message.contains(key.to_str().unwrap()),
            "{message}"
        );
    }
    let error = open("https://127.0.0.1:1", Some(&empty), None)
        .err()
        .unwrap();
    assert!(error.to_string().contains("SAFE_CA_FILE"), "{error}");
}

/// The certificate of `openssl req -x509`: an authority of its own that is used as a server's certificate.
fn authority(folder: &Path, name: &str, names: &[&str], until: Option<i32>) -> (PathBuf, PathBuf) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut wanted = rcgen::CertificateParams::new(names).unwrap();
    wanted.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    wanted
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    if let Some(year) = until {
        wanted.not_before = rcgen::date_time_ymd(2001, 1, 1);
        wanted.not_after = rcgen::date_time_ymd(year, 1, 1);
    }
    let key = rcgen::KeyPair::generate().unwrap();
    let made = wanted.self_signed(&key).unwrap();
    let (chain, secret) = (
        folder.join(format!("{name}.pem")),
        folder.join(format!("{name}.key")),
    );
    fs::write(&chain, made.pem()).unwrap();
    fs::write(&secret, key.serialize_pem()).unwrap();
    (chain, secret)
}

fn serve(chain: &Path, key: &Path) -> (Server, Arc<Mutex<Vec<String>>>) {
    let said = Arc::new(Mutex::new(Vec::new()));
    let heard = said.clone();
    let options = Options {
        tls: Some((chain.to_owned(), key.to_owned())),
        log: Arc::new(move |line| heard.lock().unwrap().push(line.to_owned())),
        ..Options::default()
    };
    let server = Server::start(Arc::new(MemoryStore::default()), &options).unwrap();
    (server, said)
}

#[test]
fn a_certificate_that_is_its_own_authority_is_accepted_where_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = authority(folder.path(), "own", &["127.0.0.1", "localhost"], None);
    let (server, said) = serve(&chain, &key);
    open(&server.url(), Some(&chain), None)
        .unwrap()
        .stats()
        .unwrap();
    assert!(said.lock().unwrap().is_empty());
    // Another one of the same name vouches for nothing, nor does the public.
    let elsewhere = tempfile::tempdir().unwrap();
    let (other, _) = authority(elsewhere.path(), "own", &["127.0.0.1", "localhost"], None);
    for ca in [None, Some(other.as_path())] {
        let error = open(&server.url(), ca, None).unwrap().stats().unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error:?}");
        assert!(error.to_string().contains("SAFE_CA_FILE"), "{error}");
    }
    // Names and dates count for it as for any other; the gateway says at its start which no client will accept.
    for (name, names, until, says, start) in [
        (
            "wrong",
            &["elsewhere.example"][..],
            None,
            "elsewhere.example",
            "",
        ),
        ("none", &[], None, "subjectAltName", "subjectAltName"),
        ("old", &["127.0.0.1"], Some(2002), "expired", "expired"),
    ] {
        let (chain, key) = authority(folder.path(), name, names, until);
        let (server, said) = serve(&chain, &key);
        let error = open(&server.url(), Some(&chain), None).unwrap().stats();
        let error = error.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error:?}");
        assert!(error.to_string().contains(says), "{error}");
        let said = said.lock().unwrap().join(" ");
        assert_eq!(said.is_empty(), start.is_empty(), "{said}");
        assert!(said.contains(start), "{said}");
    }
}

#[test]
fn a_renewed_certificate_is_taken_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["127.0.0.1"];
    let (chain, key) = authority(folder.path(), "served", &names, None);
    let trusted = folder.path().join("trusted");
    fs::copy(&chain, &trusted).unwrap();
    let (server, said) = serve(&chain, &key);
    let far = open(&server.url(), Some(&trusted), None).unwrap();
    far.stats().unwrap();
    let (new, new_key) = authority(folder.path(), "renewed", &names, None);
    // Between the two files nothing fits, and the former certificate holds.
    fs::copy(&new, &chain).unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    far.stats().unwrap();
    open(&server.url(), Some(&trusted), None)
        .unwrap()
        .stats()
        .unwrap();
    assert!(said.lock().unwrap().join(" ").contains("still holds"));
    fs::copy(&new_key, &key).unwrap();
    let started = Instant::now();
    while open(&server.url(), Some(&new), None)
        .unwrap()
        .stats()
        .is_err()
    {
        assert!(started.elapsed() < Duration::from_secs(20));
    }
    // An open store reads its file again too. Its connection may still be of the time before: another store has none.
    let other = open(&server.url(), Some(&trusted), None).unwrap();
    assert!(other.stats().is_err());
    fs::copy(&new, &trusted).unwrap();
    other.stats().unwrap();
}

#[test]
fn with_tls_and_without_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = certificate(folder.path(), &["127.0.0.1"]);
    let (with, _) = serve(&chain, &key);
    let without = Server::start(Arc::new(MemoryStore::default()), &Options::default()).unwrap();
    let plain = with.url().replace("https", "http");
    let error = open(&plain, None, None).unwrap().stats().unwrap_err();
    assert_eq!(error.code(), "not_a_gateway");
    assert!(error.to_string().contains("write https://"), "{error}");
    let secure = without.url().replace("http", "https");
    let error = open(&secure, Some(&chain), None).unwrap();
    let error = error.get_chunk(&chunk(1, 9).address()).unwrap_err();
    assert_eq!(error.code(), "not_a_gateway");
    assert!(error.to_string().contains("write http://"), "{error}");
}
