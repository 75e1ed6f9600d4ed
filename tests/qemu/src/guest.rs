//! The output of `safe-guest` on the serial line (its format is in `tests/guest/src/main.rs`).

use std::time::{Duration, Instant};

use crate::machine::{Machine, Off};
use crate::report::Report;

/// How many times the computer is started.
pub const PARTS: usize = 2;
/// From the start to the first test.
const START_MAX: Duration = Duration::from_secs(900);
/// From one test to the next.
const BETWEEN_MAX: Duration = Duration::from_secs(300);
/// The guest ends tests that take too long; only if it cannot is it ended from here.
const GRACE: Duration = Duration::from_secs(300);
/// From the end to the power going off.
const OFF_MAX: Duration = Duration::from_secs(300);
/// Lines of a failed test that are repeated.
const SAID_MAX: usize = 60;

/// Listens to one part; whether the next one can follow. `some`: there may be no test in it.
pub fn listen(mut machine: Machine, part: usize, some: bool, report: &mut Report) -> bool {
    let mut running: Option<String> = None;
    let mut said = Vec::new();
    let mut until = Instant::now() + START_MAX;
    let mut heard = 0;
    loop {
        let line = match machine.line(until) {
            Ok(Some(line)) => line,
            Ok(None) => {
                let name = running.unwrap_or_else(|| format!("part_{part}"));
                report.failed(&name, &["nothing was heard of it in time".to_owned()]);
                return false;
            }
            Err(Off) => {
                let name = running.unwrap_or_else(|| format!("part_{part}"));
                report.failed(&name, &["the computer went off".to_owned()]);
                return false;
            }
        };
        // Other programs' output may stand before ours on a line.
        let Some(at) = line.find("guest") else {
            continue;
        };
        let (head, rest) = line[at..].split_at("guest".len());
        debug_assert_eq!(head, "guest");
        if let Some(text) = rest.strip_prefix("| ") {
            if said.len() < SAID_MAX {
                said.push(text.to_owned());
            }
            continue;
        }
        let Some(rest) = rest.strip_prefix(": ") else {
            continue;
        };
        match rest.split(' ').collect::<Vec<_>>()[..] {
            ["begin", name, seconds] => {
                let limit = Duration::from_secs(seconds.parse().unwrap_or(60));
                until = Instant::now() + limit + GRACE;
                running = Some(name.to_owned());
                said.clear();
            }
            ["ok", name, ref took @ ..] => {
                report.passed(name, &took.join(" "));
                heard += 1;
                running = None;
                until = Instant::now() + BETWEEN_MAX;
            }
            ["failed", name] => {
                report.failed(name, &said);
                heard += 1;
                running = None;
                until = Instant::now() + BETWEEN_MAX;
            }
            ["end", number] if number == part.to_string() => break,
            _ => {}
        }
    }
    let end = format!("part_{part}_ends_and_the_power_goes_off");
    match machine.off(OFF_MAX) {
        Some(status) if status.success() && (heard > 0 || some) => {
            report.passed(&end, "");
            true
        }
        Some(status) => {
            report.failed(&end, &[format!("{status}, after {heard} tests")]);
            false
        }
        None => {
            report.failed(&end, &["the power stays on".to_owned()]);
            false
        }
    }
}
