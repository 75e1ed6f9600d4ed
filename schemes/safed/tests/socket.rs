//! Conversations without a mount: on a socket, with the user that the kernel names for the other end.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use std::sync::{Arc, mpsc};
use std::time::Duration;

use safed::control::{Control, Conversation};
use safed::daemon::Daemon;
use safed::{process, socket};
use safeos_control::{Client, Request, Secret, SignOut, SignUp};
use serde_json::Value;

fn sign_up(generate: bool) -> Request {
    Request::SignUp(SignUp {
        name: "ana".to_owned(),
        password: Secret::new("correct horse battery".to_owned()),
        store: None,
        secret_key: None,
        wallet_key: None,
        generate_secret_key: generate,
        remember: false,
        small_memory: true,
        recovery_key: None,
        generate_recovery_key: generate,
    })
}

fn daemon(place: &Path) -> Arc<Daemon> {
    let store = format!("file://{}", place.join("store").display());
    Daemon::new(place.join("state"), store, process::uid())
}

fn serve(place: &Path) -> socket::Listening {
    let daemon = daemon(place);
    std::fs::create_dir(place.join("here")).unwrap();
    socket::serve(&daemon, &place.join("here/.ctl")).unwrap()
}

#[test]
fn an_account_is_made_and_asked_about_without_a_mount() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().canonicalize().unwrap();
    let listening = serve(&place);
    let here = place.join("here");
    let ask = |request: Request| Client::open(&here).unwrap().call(&request, |_| ());
    let error = ask(Request::Status).unwrap_err();
    assert_eq!(error.code(), "no_session");
    assert_eq!(ask(sign_up(false)).unwrap()["account"], "ana");
    // Each connection is a conversation of its own with the one session; one may ask several times.
    let mut client = Client::open(&here).unwrap();
    for _ in 0..2 {
        let status = client.call(&Request::Status, |_| ()).unwrap();
        assert_eq!(status["account"], "ana");
    }
    ask(Request::SignOut(SignOut::default())).unwrap();
    drop(listening);
    assert!(!here.join(".ctl").exists());
}

#[test]
fn requests_come_in_portions_and_more_than_one_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().canonicalize().unwrap();
    let _listening = serve(&place);
    let mut stream = UnixStream::connect(place.join("here/.ctl")).unwrap();
    for part in [
        &b"\"sta"[..],
        b"tus\"\n{\"stat",
        b"us\":{}}\n\"fly\"\n\"sync\"\n",
    ] {
        stream.write_all(part).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut lines = BufReader::new(stream).lines();
    for code in ["no_session", "no_session", "bad_request", "no_session"] {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(line["error"]["code"], code);
    }
}

#[test]
fn keys_that_the_daemon_generates_are_read_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().canonicalize().unwrap();
    let control = Control::new(daemon(&place));
    let ask = || {
        let conversation = Conversation::new(process::uid(), 0, Arc::clone(&control));
        let mut line = serde_json::to_vec(&sign_up(true)).unwrap();
        line.push(b'\n');
        conversation.write(&line).unwrap();
        conversation
    };
    let read = |conversation: &Arc<Conversation>| -> Value {
        let (say, hear) = mpsc::channel();
        let answer = move |line: Result<&[u8], i32>| say.send(line.unwrap().to_vec()).unwrap();
        conversation.read(1 << 20, true, Box::new(answer));
        serde_json::from_slice(&hear.recv().unwrap()).unwrap()
    };
    // The answer is not read, and then the caller is gone.
    let gone = ask();
    std::thread::sleep(Duration::from_millis(300));
    assert!(!place.join("store").exists());
    gone.close();
    std::thread::sleep(Duration::from_millis(100));
    assert!(!place.join("store").exists());

    let conversation = ask();
    let shown = read(&conversation)["progress"].clone();
    let (key, words) = (shown["secret_key"].clone(), shown["recovery_key"].clone());
    assert!(key.is_string() && words.is_string(), "{shown}");
    let answer = loop {
        let line = read(&conversation);
        if line.get("progress").is_none() {
            break line;
        }
    };
    assert_eq!(answer["ok"]["secret_key"], key, "{answer}");
    assert_eq!(answer["ok"]["recovery_key"], words);
}

#[test]
fn a_caller_that_goes_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().canonicalize().unwrap();
    let _listening = serve(&place);
    let mut stream = UnixStream::connect(place.join("here/.ctl")).unwrap();
    stream.write_all(b"\"status\"").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    // A request without its end does not count; the conversation ends with the connection.
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
}
