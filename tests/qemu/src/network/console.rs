//! The guest's agent at the other end of the serial line: it is told what to do, and says what became of it
//! (`tests/guest/src/order.rs`).
//!
//! What always holds here: nothing is waited for without a limit.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use safeos_guest_tests::order::Order;

use crate::machine::{Machine, Off};

/// From the start to the agent. Under load an emulator is slow.
const READY_MAX: Duration = Duration::from_secs(900);
/// Lines that belong to no order are kept up to this number.
const HEARD_MAX: usize = 10_000;

/// The guest as a person at its serial console has it.
pub struct Console {
    /// The computer.
    pub machine: Machine,
    orders: BTreeMap<u32, Told>,
    last: u32,
    /// Lines of other programs.
    heard: Vec<String>,
}

/// The answer of the guest to an order.
#[derive(Default)]
struct Told {
    text: String,
    /// Its exit code, or why it has none.
    code: Option<String>,
}

/// A command that has ended.
pub struct Ended {
    /// The output.
    pub text: String,
    /// Whether it succeeded.
    pub well: bool,
}

impl Console {
    /// Waits for the guest's agent.
    pub fn connect(machine: Machine) -> Result<Self, String> {
        machine.hears("guest: ready", READY_MAX)?;
        Ok(Self {
            machine,
            orders: BTreeMap::new(),
            last: 0,
            heard: Vec::new(),
        })
    }

    /// Tells the guest to run a command as a user; its number.
    pub fn start(&mut self, uid: u32, words: &[&str]) -> Result<u32, String> {
        self.last += 1;
        let order = Order {
            number: self.last,
            uid,
            words: words.iter().map(|&word| word.to_owned()).collect(),
        };
        let line = order.line();
        let line = line.ok_or_else(|| format!("{words:?} cannot be said in a line"))?;
        self.orders.insert(self.last, Told::default());
        self.machine.say(&line)?;
        Ok(self.last)
    }

    /// Waits for a command to end.
    pub fn end(&mut self, number: u32, limit: Duration) -> Result<Ended, String> {
        let until = Instant::now() + limit;
        while self.is_running(number) {
            self.listen(until)?.ok_or_else(|| {
                format!("the guest's command did not end in {} s", limit.as_secs())
            })?;
        }
        let told = self.orders.remove(&number).unwrap_or_default();
        Ok(Ended {
            well: told.code.as_deref() == Some("0"),
            text: told.text,
        })
    }

    /// Whether it still runs, after what was said in a moment.
    pub fn still_runs(&mut self, number: u32, moment: Duration) -> Result<bool, String> {
        let until = Instant::now() + moment;
        while self.is_running(number) && self.listen(until)?.is_some() {}
        Ok(self.is_running(number))
    }

    fn is_running(&self, number: u32) -> bool {
        let told = self.orders.get(&number);
        told.is_some_and(|told| told.code.is_none())
    }

    /// Runs a command to its end.
    pub fn run(&mut self, uid: u32, words: &[&str], limit: Duration) -> Result<Ended, String> {
        let number = self.start(uid, words)?;
        self.end(number, limit)
            .map_err(|error| format!("{words:?}: {error}"))
    }

    /// Runs one that must succeed; returns its output.
    pub fn must(&mut self, uid: u32, words: &[&str], limit: Duration) -> Result<String, String> {
        let ended = self.run(uid, words, limit)?;
        match ended.well {
            true => Ok(ended.text),
            false => Err(format!("{words:?} failed: {}", ended.text)),
        }
    }

    /// Waits for something that no order says; the line from there on.
    pub fn hears(&mut self, text: &str, limit: Duration) -> Result<String, String> {
        let until = Instant::now() + limit;
        loop {
            let found = self.heard.iter().position(|line| line.contains(text));
            if let Some(index) = found {
                let line = self.heard.drain(..=index).next_back().unwrap_or_default();
                let at = line.find(text).unwrap_or(0);
                return Ok(line[at..].to_owned());
            }
            self.listen(until)?
                .ok_or_else(|| format!("nobody said {text:?} in {} s", limit.as_secs()))?;
        }
    }

    /// Takes one line in; nothing when the time is over.
    fn listen(&mut self, until: Instant) -> Result<Option<()>, String> {
        let line = match self.machine.line(until) {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(None),
            Err(Off) => return Err("the computer went off".to_owned()),
        };
        // Other programs' output may stand before ours on a line.
        let told = line.find("guest").map(|at| &line[at..]);
        if let Some((number, text)) = told
            .and_then(|told| told.strip_prefix("guest| "))
            .and_then(|told| told.split_once(' '))
        {
            if let Some(told) = number
                .parse()
                .ok()
                .and_then(|n: u32| self.orders.get_mut(&n))
            {
                told.text.push_str(text);
                told.text.push('\n');
            }
        } else if let Some((number, code)) = told
            .and_then(|told| told.strip_prefix("guest: done "))
            .and_then(|told| told.split_once(' '))
        {
            if let Some(told) = number
                .parse()
                .ok()
                .and_then(|n: u32| self.orders.get_mut(&n))
            {
                told.code = Some(code.to_owned());
            }
        } else {
            if self.heard.len() >= HEARD_MAX {
                self.heard.clear();
            }
            self.heard.push(line);
        }
        Ok(Some(()))
    }
}
