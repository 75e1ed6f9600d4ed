//! Runs the tests of a part, each in a process of its own.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use safeos_scheme_tests::cases;
use safeos_scheme_tests::files::Files;
use safeos_scheme_tests::system::System;

use crate::account::{ANA, BOB, make_home};
use crate::tests::{PARTS, Part};

/// The folder that lasts from one start of the computer to the next; tests of all users may write there.
pub const KEPT: &str = "/var/lib/safe-guest";
/// A case of the common list has so long: emulated processors are slow.
const CASE_SECONDS: u64 = 120;
/// One of them makes a hundred thousand files.
const LONG_CASE: (&str, u64) = ("a_hundred_thousand_entries", 1800);
/// How much of a failed test's output is passed on.
const SAID_MAX: usize = 4000;

/// How much longer than on two processors that do nothing else a test may take.
const PATIENCE: u64 = 6;

/// Where the cases are run.
const HOME: &str = "/scheme/safe/home";

/// The tests of the part that is next, then the power goes off.
pub fn run_part() {
    std::fs::create_dir_all(KEPT).expect(KEPT);
    std::fs::set_permissions(KEPT, std::fs::Permissions::from_mode(0o777)).expect(KEPT);
    for user in [ANA, BOB] {
        make_home(user.uid);
    }
    let at = Path::new(KEPT).join("part");
    let part = std::fs::read_to_string(&at).map_or(0, |text| text.trim().parse().unwrap_or(0));
    // Written first: a computer that hangs here does not begin with the same again.
    std::fs::write(&at, format!("{}", part + 1)).expect("the number of the part");
    let program = std::env::current_exe().expect("the own program");
    if let Some(part) = PARTS.get(part) {
        for test in part.first {
            run(&program, test.name, test.uid, test.seconds);
        }
        for case in cases::ALL.iter().filter(|_| part.cases) {
            let long = case.name == LONG_CASE.0;
            let seconds = if long { LONG_CASE.1 } else { CASE_SECONDS };
            run(&program, case.name, ANA.uid, seconds);
        }
        for test in part.then {
            run(&program, test.name, test.uid, test.seconds);
        }
    }
    println!("guest: end {part}");
    turn_off();
}

/// The tests that are wanted, where not all are.
fn is_wanted(name: &str) -> bool {
    std::fs::read_to_string(Path::new(KEPT).join("only"))
        .map_or(true, |only| only.lines().any(|line| line == name))
}

fn run(program: &Path, name: &str, uid: u32, seconds: u64) {
    if !is_wanted(name) {
        return;
    }
    let seconds = seconds * PATIENCE;
    println!("guest: begin {name} {seconds}");
    let start = Instant::now();
    let mut command = Command::new(program);
    command.args(["test", name]).uid(uid).gid(uid);
    let (status, said) = run_for(&mut command, Duration::from_secs(seconds));
    if status.is_some_and(|status| status.success()) {
        println!("guest: ok {name} {:.1} s", start.elapsed().as_secs_f32());
        return;
    }
    for line in said.lines() {
        println!("guest| {line}");
    }
    match status {
        Some(status) => println!("guest| it ended with {status}"),
        None => println!("guest| it took longer than {seconds} s"),
    }
    println!("guest: failed {name}");
}

/// Runs a command to its end, or to the end of its time; returns its output, as much as is worth repeating.
pub fn run_for(command: &mut Command, limit: Duration) -> (Option<ExitStatus>, String) {
    let (mut hears, says) = std::io::pipe().expect("a pipe");
    command.stdin(Stdio::null());
    command.stdout(says.try_clone().expect("a second end"));
    command.stderr(says);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return (None, format!("{command:?} cannot be started: {error}")),
    };
    // The command holds ends of the pipe that must close.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let (done, heard) = mpsc::channel();
    std::thread::spawn(move || {
        let mut said = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = hears.read(&mut buffer) {
            said.extend_from_slice(&buffer[..count]);
            let excess = said.len().saturating_sub(SAID_MAX);
            said.drain(..excess);
        }
        let _ = done.send(said);
    });
    let start = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if start.elapsed() < limit => {
                std::thread::sleep(Duration::from_millis(30));
            }
            _ => {
                let _ = child.kill();
                break None;
            }
        }
    };
    // Something it left running may hold the pipe: not waited for.
    let said = heard
        .recv_timeout(Duration::from_secs(2))
        .unwrap_or_default();
    (status, String::from_utf8_lossy(&said).into_owned())
}

/// One test, in this process.
pub fn run_here(name: &str) {
    if let Some(case) = cases::ALL.iter().find(|case| case.name == name) {
        let folder = format!("{HOME}/{name}");
        System.mkdir(&folder, 0o755).expect(&folder);
        return (case.run)(&System, &folder);
    }
    let test = PARTS
        .iter()
        .flat_map(Part::own)
        .find(|test| test.name == name);
    (test.expect(name).run)();
}

fn turn_off() {
    for file in ["/scheme/sys/kstop", "/scheme/kernel.acpi/kstop"] {
        let _ = std::fs::write(file, "shutdown");
    }
}
