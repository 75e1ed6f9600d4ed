//! Answers: words for people, one JSON value a command for programs.
//!
//! A reader that has gone away (`safe log | head`) is no error.

use std::io::{self, Write};

use serde_json::Value;

use crate::failure::{Failure, Result};

/// Where answers go.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// Programs listen.
    pub json: bool,
}

impl Output {
    /// Prints the answer: `value` for programs, `text` for people.
    pub fn answer(&self, value: &Value, text: impl FnOnce() -> String) -> Result<()> {
        let mut text = if self.json { value.to_string() } else { text() };
        if text.is_empty() {
            return Ok(());
        }
        text.push('\n');
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::system("writing the answer failed", &error))
            }
            _ => Ok(()),
        }
    }

    /// Says something to people that is no answer.
    pub fn note(&self, text: &str) {
        if !self.json {
            eprintln!("safe: {}", crate::failure::one_line(text));
        }
    }
}

/// A number of bytes as people read it.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return plural(count, "byte");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A count with its noun.
pub fn plural(count: u64, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(bytes(0), "0 bytes");
        assert_eq!(bytes(1), "1 byte");
        assert_eq!(bytes(1023), "1023 bytes");
        assert_eq!(bytes(1024), "1.0 KiB");
        assert_eq!(bytes(1024 * 1024 - 1), "1.0 MiB");
        assert_eq!(bytes(5 * 1024 * 1024 * 1024 / 2), "2.5 GiB");
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
    }

    #[test]
    fn nouns() {
        assert_eq!(plural(1, "record"), "1 record");
        assert_eq!(plural(0, "record"), "0 records");
    }
}
