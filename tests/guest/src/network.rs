//! The helpers that the agent starts for tests over a network.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Instant;

use safeos_guest_tests::content::{content, sum};

/// Written and read at a time.
const BLOCK: usize = 1 << 20;

/// Runs one of them; its findings go to standard output.
pub fn run(what: &str, arguments: &[String]) {
    let argument = |index: usize| arguments.get(index).expect("an argument").as_str();
    let number = |index: usize| argument(index).parse::<u64>().expect("a number");
    match what {
        "make" => make(argument(0), number(1), number(2) as usize),
        "sum" => println!("{}", read(argument(0))),
        "send" => send(argument(0), number(1) as usize, number(2) as usize),
        "receive" => receive(argument(0), number(1) as usize),
        "desktop" => desktop(argument(0), argument(1), number(2), number(3) as usize),
        _ => panic!("no {what}"),
    }
}

/// Writes a file.
fn make(path: &str, seed: u64, length: usize) {
    let bytes = content(seed, length);
    let start = Instant::now();
    let mut file = File::create(path).expect(path);
    for block in bytes.chunks(BLOCK) {
        file.write_all(block).expect(path);
    }
    println!("made in {:.2} s", start.elapsed().as_secs_f32());
}

/// The sum of a file, its length, and how long reading it took.
fn read(path: &str) -> String {
    let start = Instant::now();
    let mut file = File::open(path).expect(path);
    let (mut bytes, mut block) = (Vec::new(), vec![0; BLOCK]);
    loop {
        match file.read(&mut block).expect(path) {
            0 => break,
            count => bytes.extend_from_slice(&block[..count]),
        }
    }
    let took = start.elapsed().as_secs_f32();
    format!("{:016x} {} {took:.2}", sum(&bytes), bytes.len())
}

/// Sends so many bytes over a plain connection, in parts, each of which is answered by a byte before the next: the
/// network stack of today loses what does not fit its buffer.
fn send(address: &str, length: usize, part: usize) {
    let bytes = content(1, part);
    let mut line = TcpStream::connect(address).expect(address);
    line.write_all(format!("send {length} {part}\n").as_bytes())
        .expect(address);
    let start = Instant::now();
    for _ in 0..length / part {
        line.write_all(&bytes).expect(address);
        line.read_exact(&mut [0]).expect(address);
    }
    println!("{:.2}", start.elapsed().as_secs_f32());
}

/// Takes so many bytes from a plain connection.
fn receive(address: &str, length: usize) {
    let mut line = TcpStream::connect(address).expect(address);
    line.write_all(format!("receive {length}\n").as_bytes())
        .expect(address);
    let (mut left, mut block) = (length, vec![0; BLOCK]);
    let start = Instant::now();
    while left > 0 {
        let count = line.read(&mut block).expect(address);
        assert_ne!(count, 0, "the line ended, and {left} bytes were missing");
        left -= count;
    }
    println!("{:.2}", start.elapsed().as_secs_f32());
}

/// As a program of the desktop: reads one file of the home and writes another.
fn desktop(from: &str, to: &str, seed: u64, length: usize) {
    let home = std::env::var("HOME").expect("HOME");
    println!("guest: desktop read {}", read(&format!("{home}/{from}")));
    fs::write(format!("{home}/{to}"), content(seed, length)).expect(to);
    // The command works in a session of the screen as it does for others.
    let asked = Command::new("safe").arg("status").output().expect("safe");
    let said = String::from_utf8_lossy(&asked.stdout);
    assert!(asked.status.success() && said.contains("http"), "{asked:?}");
    println!("guest: desktop wrote");
}
