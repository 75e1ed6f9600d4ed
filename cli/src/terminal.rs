//! A line from the terminal, hidden where it is a secret.
//!
//! In every case the terminal is put back as it was: a signal that ends or stops `safe` during the input is held until
//! that is done, and takes effect at once, not only after Enter. Continued (`fg`), `safe` asks again.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::failure::{Failure, Result};
use crate::held::Held;

/// No password is longer; longer input (a wrong file, say) is refused instead of read to its end.
pub const LINE_BYTES_MAX: usize = 4096;

/// Ctrl-C where the terminal makes no signal of it.
const CTRL_C: u8 = 3;

/// Asks on the terminal, whatever standard input and output are, without echo. `instead` is the other way, for
/// where there is no terminal.
pub fn ask_hidden(prompt: &str, instead: &str) -> Result<Zeroizing<String>> {
    let terminal = open().map_err(|_| {
        Failure::usage(format!(
            "{}: there is no terminal to ask on; {instead}",
            prompt.trim_end_matches([':', ' '])
        ))
    })?;
    ask_on(&terminal, prompt, true)
}

/// Asks a question on the terminal; the answer is no where there is none.
pub fn asks(question: &str) -> Result<bool> {
    let Ok(terminal) = open() else {
        return Ok(false);
    };
    let answer = ask_on(&terminal, question, false)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn open() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open("/dev/tty")
}

fn ask_on(terminal: &File, prompt: &str, hidden: bool) -> Result<Zeroizing<String>> {
    let broken = |error: &io::Error| Failure::system("reading from the terminal failed", error);
    loop {
        let held = Held::new().map_err(|e| broken(&e))?;
        let line = ask_once(terminal, prompt, hidden, &held);
        let signal = held.signal();
        if hidden || signal.is_some() {
            // The end of the line was not echoed. A terminal that has gone away is no reason to forget the line.
            let _ = (&mut &*terminal).write_all(b"\n");
        }
        drop(held);
        match signal {
            None => return line.map_err(|e| broken(&e)),
            Some(libc::SIGTSTP) => crate::held::stop_here(),
            Some(signal) => return Err(Failure::stopped(signal)),
        }
    }
}

/// The terminal is as it was when this returns.
fn ask_once(
    terminal: &File,
    prompt: &str,
    hidden: bool,
    held: &Held,
) -> io::Result<Zeroizing<String>> {
    // Before the prompt: a person who sees it may begin to type at once.
    let _quiet = hidden.then(|| Quiet::new(terminal)).transpose()?;
    (&mut &*terminal).write_all(prompt.as_bytes())?;
    read_line(&mut Typed { terminal, held })
}

/// The typed bytes, until a signal comes.
struct Typed<'a> {
    terminal: &'a File,
    held: &'a Held,
}

impl Read for Typed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let stopped = || Err(io::Error::other("a signal came"));
        if !self.held.or_readable(self.terminal.as_raw_fd())? {
            return stopped();
        }
        let count = (&mut &*self.terminal).read(buffer)?;
        if buffer[..count].contains(&CTRL_C) {
            self.held.note(libc::SIGINT);
            return stopped();
        }
        Ok(count)
    }
}

/// Reads one line byte by byte (later bytes belong to another reader) and drops its end.
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
            Ok(_) => line.push(byte[0]),
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
            .remove(LocalModes::ECHO | LocalModes::ECHONL);
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
    fn a_control_character_in_a_file_ends_nothing() {
        let mut input: &[u8] = b"a\x03b\n";
        assert_eq!(*read_line(&mut input).unwrap(), "a\u{3}b");
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
