//! The processor time that a gateway takes for sessions that wait for changes, each for a pointer of its own.
//!
//! `cargo run --release -p safeos-gateway-tests --example idle_sessions -- SAFE [SECONDS [SESSIONS]]`; `SAFE` is the command,
//! which serves a `file:` store. The sessions do what a session does that nobody uses: a request that is held for 50 s,
//! again and again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use safeos_gateway_tests::plain::read;
use safeos_record::{Address, OwnerKey, Pointer, Target};

/// What a session waits for, as `sync/news.rs` of the session says.
const HELD: u64 = 50;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let safe = arguments
        .next()
        .expect("the path of the command `safe` is wanted");
    let mut number = |other: u64| {
        arguments
            .next()
            .map_or(other, |word| word.parse::<u64>().expect("a number"))
    };
    let (seconds, sessions) = (number(300), number(1000));
    let folder = tempfile::tempdir().unwrap();
    let url = safeos_store::file_url(&folder.path().join("store")).unwrap();
    let store = safeos_store::open(&url).unwrap();
    let addresses: Vec<Address> = (0..sessions)
        .map(|number| {
            let mut seed = [7; 32];
            seed[..8].copy_from_slice(&number.to_le_bytes());
            let target = Target::Chunk(Address([1; 32]));
            let pointer = Pointer::sign(&OwnerKey::from_seed(&seed), 1, target).unwrap();
            store.set_pointer(&pointer, None).unwrap();
            pointer.address()
        })
        .collect();
    drop(store);
    let mut gateway = Command::new(safe)
        .args(["store", "serve", "--listen", "127.0.0.1:0", "--store", &url])
        .args(["--connections", &(sessions + 16).to_string()])
        .env("SAFE_STATE", folder.path().join("state"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(gateway.stdout.take().unwrap()).lines();
    let said = lines.next().unwrap().unwrap();
    let address = said
        .split_whitespace()
        .find_map(|word| word.trim_start_matches("http://").parse().ok())
        .unwrap_or_else(|| panic!("{said:?} names no address"));
    let ask = |stream: &mut TcpStream, pointer: &Address| {
        let request = format!(
            "GET /v1/pointers/{pointer} HTTP/1.1\r\nHost: {address}\r\nIf-None-Match: \"1\"\r\nPrefer: wait={HELD}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
    };
    let mut streams: Vec<TcpStream> = addresses
        .iter()
        .map(|pointer| {
            let mut stream = TcpStream::connect::<std::net::SocketAddr>(address).unwrap();
            ask(&mut stream, pointer);
            // People do not sign in all at once.
            std::thread::sleep(Duration::from_millis(HELD * 1000 / sessions / 2));
            stream
        })
        .collect();
    let (start, before) = (Instant::now(), busy(gateway.id()));
    while start.elapsed() < Duration::from_secs(seconds) {
        for (stream, pointer) in streams.iter_mut().zip(&addresses) {
            let answer = read(stream, true);
            assert_eq!(answer.status, 304, "{}", answer.head);
            ask(stream, pointer);
        }
    }
    let share = (busy(gateway.id()) - before) / start.elapsed().as_secs_f64();
    println!(
        "{sessions} sessions for {:.0} s: {:.2} % of a core, {} MiB",
        start.elapsed().as_secs_f64(),
        share * 100.0,
        memory(gateway.id())
    );
    gateway.kill().unwrap();
    gateway.wait().unwrap();
}

/// The processor time of a process, in seconds.
fn busy(process: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = text
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let ticks = |field: usize| fields[field].parse::<f64>().unwrap();
    // A hundredth of a second each, on every Linux there is.
    (ticks(11) + ticks(12)) / 100.0
}

/// Its memory that is resident, in MiB.
fn memory(process: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.unwrap().parse::<u64>().unwrap() / 1024
}
