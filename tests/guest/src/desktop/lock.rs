//! A program of a session that has it locked, and says which keys and clicks it hears from then on.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Command;
use std::time::Duration;

/// Two windows that tell of events without waiting for them: the second is in front of all.
const WINDOWS: [&str; 2] = ["a/300/200/240/160/~ SafeOS test", "af/0/0/640/480/~ front"];
/// An event of Orbital: a kind and two numbers.
const EVENT_SIZE: usize = 24;
const KEY: i64 = 1;
const BUTTON: i64 = 3;
const QUIT: i64 = 5;
/// In the second number of a key that was pressed.
const PRESSED: i64 = 1 << 8;
/// The last key that is waited for: the one with an X.
const LAST: i64 = 0x2d;
const PAUSE: Duration = Duration::from_millis(50);

/// Locks, and listens until the last key.
pub(super) fn lock() {
    let mut windows = WINDOWS.map(|name| {
        File::open(format!("/scheme/orbital/{name}")).expect("a window of the session")
    });
    for window in &mut windows {
        // The place of the one that covers is root's.
        assert!(
            window.write(b"L").is_err(),
            "a program may lock everybody out"
        );
    }
    let asked = Command::new("safe").arg("lock").output().expect("safe");
    if !asked.status.success() {
        let why = String::from_utf8_lossy(&asked.stderr);
        return println!("guest: desktop lock: {}", why.trim().replace('\n', " "));
    }
    println!("guest: desktop lock: done");
    loop {
        for window in &mut windows {
            if hears(window) == Some(LAST) {
                return;
            }
        }
        std::thread::sleep(PAUSE);
    }
}

/// Says what was pressed; the last key.
fn hears(window: &mut File) -> Option<i64> {
    let mut events = [0; 16 * EVENT_SIZE];
    let length = window.read(&mut events).expect("events");
    let mut last = None;
    for event in events[..length].chunks_exact(EVENT_SIZE) {
        let number = |at: usize| {
            let bytes = event[8 * at..][..8].try_into();
            i64::from_le_bytes(bytes.expect("eight bytes"))
        };
        match number(0) {
            KEY if number(2) & PRESSED != 0 => {
                last = Some(number(2) & 0xff);
                println!("guest: desktop hears key {}", number(2) & 0xff);
            }
            BUTTON if number(1) != 0 => println!("guest: desktop hears a button"),
            QUIT => println!("guest: desktop hears that it is to end"),
            _ => {}
        }
    }
    last
}
