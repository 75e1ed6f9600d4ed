//! The emulated computer's keyboard, mouse, screen and cable, through QEMU's monitor (QMP, lines of JSON on a socket).
//!
//! What always holds here: every answer is waited for with a limit of time.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::picture::Picture;

/// From the start to the socket being there, and from a question to its answer. Under load an emulator is slow.
const ANSWER_MAX: Duration = Duration::from_secs(180);
/// Between a key going down and up, and two events of the mouse.
const HELD: Duration = Duration::from_millis(60);
/// The mouse says at most so much of a movement at once.
const MOVED_MAX: i32 = 100;
/// No answer is longer than this.
const LINE_MAX: usize = 1 << 20;

/// A connection to the monitor.
pub struct Monitor {
    answers: BufReader<UnixStream>,
    dump: PathBuf,
}

impl Monitor {
    /// Connects to the socket; pictures are dumped into `folder`.
    pub fn connect(socket: &Path, folder: &Path) -> Result<Self, String> {
        let start = Instant::now();
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(_) if start.elapsed() < ANSWER_MAX => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(error) => {
                    return Err(format!("QEMU's monitor at {}: {error}", socket.display()));
                }
            }
        };
        stream
            .set_read_timeout(Some(ANSWER_MAX))
            .map_err(|error| format!("QEMU's monitor: {error}"))?;
        let mut monitor = Self {
            answers: BufReader::new(stream),
            dump: folder.join("screen.ppm"),
        };
        monitor.line()?;
        monitor.ask("qmp_capabilities", json!({}))?;
        Ok(monitor)
    }

    fn line(&mut self) -> Result<Value, String> {
        let mut line = String::new();
        let mut limited = std::io::Read::take(&mut self.answers, LINE_MAX as u64);
        match limited.read_line(&mut line) {
            Ok(0) => Err("QEMU's monitor is gone".to_owned()),
            Ok(_) => serde_json::from_str(&line)
                .map_err(|error| format!("QEMU's monitor says {line:?}: {error}")),
            Err(error) => Err(format!("QEMU's monitor: {error}")),
        }
    }

    fn ask(&mut self, command: &str, arguments: Value) -> Result<(), String> {
        let mut text = json!({ "execute": command, "arguments": arguments }).to_string();
        text.push('\n');
        self.answers
            .get_mut()
            .write_all(text.as_bytes())
            .map_err(|error| format!("QEMU's monitor: {error}"))?;
        loop {
            // Between question and answer it tells of events.
            let answer = self.line()?;
            if answer.get("return").is_some() {
                return Ok(());
            }
            if let Some(error) = answer.get("error") {
                return Err(format!("QEMU's monitor refuses {command}: {error}"));
            }
        }
    }

    fn send(&mut self, events: Value) -> Result<(), String> {
        self.ask("input-send-event", json!({ "events": events }))?;
        std::thread::sleep(HELD);
        Ok(())
    }

    /// Presses keys together and lets them go; QEMU's names.
    pub fn keys(&mut self, names: &[&str]) -> Result<(), String> {
        let event = |name: &str, down: bool| json!({ "type": "key", "data": { "down": down, "key": { "type": "qcode", "data": name } } });
        for name in names {
            self.send(json!([event(name, true)]))?;
        }
        for name in names.iter().rev() {
            self.send(json!([event(name, false)]))?;
        }
        Ok(())
    }

    fn moved(&mut self, axis: &str, mut by: i32) -> Result<(), String> {
        while by != 0 {
            let part = by.clamp(-MOVED_MAX, MOVED_MAX);
            self.send(json!([{ "type": "rel", "data": { "axis": axis, "value": part } }]))?;
            by -= part;
        }
        Ok(())
    }

    /// Moves the pointer there; by way of a corner, since its position is unknown.
    pub fn point(&mut self, x: i32, y: i32, size: (usize, usize)) -> Result<(), String> {
        let [width, height] = [size.0, size.1].map(|side| i32::try_from(side).unwrap_or(0));
        self.moved("x", -width - MOVED_MAX)?;
        self.moved("y", -height - MOVED_MAX)?;
        self.moved("x", x)?;
        self.moved("y", y)
    }

    /// Presses the left button, or lets it go.
    pub fn button(&mut self, down: bool) -> Result<(), String> {
        self.send(json!([{ "type": "btn", "data": { "down": down, "button": "left" } }]))
    }

    /// Puts the cable of a network card in, or takes it out.
    pub fn cable(&mut self, card: &str, is_in: bool) -> Result<(), String> {
        self.ask("set_link", json!({ "name": card, "up": is_in }))
    }

    /// The picture on the screen.
    pub fn picture(&mut self) -> Result<Picture, String> {
        let file = self.dump.clone();
        self.ask("screendump", json!({ "filename": file }))?;
        let bytes = std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        Picture::of_ppm(&bytes).ok_or_else(|| format!("{} is no picture", file.display()))
    }
}

/// The keys of an American keyboard for a letter.
pub fn keys_of(letter: char) -> Option<Vec<String>> {
    Some(match letter {
        'a'..='z' | '0'..='9' => vec![letter.to_string()],
        'A'..='Z' => vec!["shift".to_owned(), letter.to_ascii_lowercase().to_string()],
        ' ' => vec!["spc".to_owned()],
        '.' => vec!["dot".to_owned()],
        '/' => vec!["slash".to_owned()],
        ':' => vec!["shift".to_owned(), "semicolon".to_owned()],
        _ => return None,
    })
}
