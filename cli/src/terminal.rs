//! A hidden line from the terminal.
//!
//! Whatever happens while the line is typed, the terminal is put back as it was: the signals of the
//! keyboard are off meanwhile, and Ctrl-C is read as what it means.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::failure::{Failure, Result};

/// No password is longer; what is not a password (a wrong file, say) is refused instead of read to its end.
pub const LINE_BYTES_MAX: usize = 4096;

/// Asks on the terminal, whatever standard input and output are, without echo. `instead` is the other way, for
/// where there is no terminal.
pub fn ask_hidden(prompt: &str, instead: &str) -> Result<Zeroizing<String>> {
    let no_terminal = |_| {
        Failure::usage(format!(
            "{}: there is no terminal to ask on; {instead}",
            prompt.trim_end_matches([':', ' '])
        ))
    };
    let mut terminal = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/tty")
        .map_err(no_terminal)?;
    let broken = |error: &io::Error| Failure::system("reading from the terminal failed", error);
    let line = {
        // Before the prompt: who sees it may begin to type at once.
        let _quiet = Quiet::new(&terminal).map_err(|e| broken(&e))?;
        (&terminal)
            .write_all(prompt.as_bytes())
            .and_then(|()| read_line(&mut &terminal))
    };
    terminal.write_all(b"\n").map_err(|e| broken(&e))?;
    match line {
        Ok(line) if line.contains('\u{3}') => Err(Failure::stopped(2)),
        Ok(line) => Ok(line),
        Err(error) => Err(broken(&error)),
    }
}

/// Asks a question on the terminal; no where there is none.
pub fn asks(question: &str) -> Result<bool> {
    let opened = OpenOptions::new().read(true).write(true).open("/dev/tty");
    let Ok(mut terminal) = opened else {
        return Ok(false);
    };
    let answer = terminal
        .write_all(question.as_bytes())
        .and_then(|()| read_line(&mut &terminal))
        .map_err(|error| Failure::system("reading from the terminal failed", &error))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Reads one line byte by byte (what follows it belongs to somebody else) and drops its end.
pub fn read_line(input: &mut impl Read) -> io::Result<Zeroizing<String>> {
    // All the room at once: a buffer that grew would leave copies behind.
    let mut line = Zeroizing::new(Vec::with_capacity(LINE_BYTES_MAX));
    let mut byte = Zeroizing::new([0u8]);
    loop {
        match input.read(&mut *byte) {
            Ok(0) => break,
            Ok(_) if byte[0] == b'\n' => break,
            Ok(_) if line.len() == LINE_BYTES_MAX => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the line is longer than 4096 bytes",
                ));
            }
            Ok(_) => {
                line.push(byte[0]);
                if byte[0] == 3 {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    std::str::from_utf8(&line)
        .map(|text| {
            let mut copy = Zeroizing::new(String::with_capacity(LINE_BYTES_MAX));
            copy.push_str(text);
            copy
        })
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the line is not UTF-8 text"))
}

/// The terminal without echo, until dropped.
struct Quiet<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Quiet<'a> {
    fn new(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal.as_fd())?;
        let mut quiet = before.clone();
        quiet
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ISIG);
        tcsetattr(terminal.as_fd(), OptionalActions::Flush, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // Nothing better can be done when the terminal has gone away.
        let _ = tcsetattr(self.terminal.as_fd(), OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_at_its_end_and_leaves_the_rest() {
        let mut input: &[u8] = b"correct horse\r\nthe rest";
        assert_eq!(*read_line(&mut input).unwrap(), "correct horse");
        assert_eq!(input, b"the rest");
    }

    #[test]
    fn spaces_belong_to_the_password() {
        let mut input: &[u8] = b"  a b  ";
        assert_eq!(*read_line(&mut input).unwrap(), "  a b  ");
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut input = io::repeat(b'x');
        assert_eq!(
            read_line(&mut input).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        let mut input: &[u8] = &[0xff, 0xfe, b'\n'];
        assert!(read_line(&mut input).is_err());
    }
}
