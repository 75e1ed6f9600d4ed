//! TLS between a client and a gateway: who vouches for it counts, and a token goes along.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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

    // Nobody vouches for it, or somebody else, or for another name: no record goes there.
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
