//! Shared parts of the command's tests: computers with helpers for its errors, and programs that are
//! talked to while they run.
// Test support: a failed expectation is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod narrow;

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use safeos_suite_tests::{Computer, Finished};
use serde_json::Value;

/// How long anything here may take before it counts as hanging.
pub const LIMIT: Duration = Duration::from_secs(60);

/// The error that a failed `--json` command reported: one line on standard error.
#[track_caller]
pub fn error(done: &Finished) -> Value {
    let lines: Vec<&str> = done.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "{}: {}", done.what, done.stderr);
    let value: Value =
        serde_json::from_str(lines[0]).unwrap_or_else(|e| panic!("{e}: {:?}", lines[0]));
    value["error"].clone()
}

/// Runs `safe ARGUMENTS --json`, which must fail with exit code `exit` and the error `code`.
#[track_caller]
pub fn refused(computer: &Computer, arguments: &[&str], exit: i32, code: &str) -> String {
    let done = computer
        .try_safe(&[&["--json"], arguments].concat())
        .code(exit);
    let error = error(&done);
    assert_eq!(error["code"], code, "{error}");
    assert!(error["retry"].is_boolean(), "{error}");
    let message = error["message"].as_str().unwrap().to_owned();
    assert!(message.len() > 20, "says nothing: {message}");
    message
}

/// Everything below a folder, for “nothing is left”.
pub fn everything_in(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        found.push(entry.path().display().to_string());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(everything_in(&entry.path()));
        }
    }
    found
}

/// Has what `command` starts write no file that is longer than so many bytes.
pub fn limit_files(command: &mut Command, bytes: u64) {
    use std::os::unix::process::CommandExt;
    // SAFETY: setrlimit may be called between fork and exec, and gets a pointer to a local.
    unsafe {
        command.pre_exec(move || {
            let limit = libc::rlimit {
                rlim_cur: bytes,
                rlim_max: libc::RLIM_INFINITY,
            };
            match libc::setrlimit(libc::RLIMIT_FSIZE, &limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        });
    }
}

/// A program that runs beside the test; its output arrives as it is written.
pub struct Running {
    child: Child,
    output: Receiver<Vec<u8>>,
    seen: String,
}

impl Running {
    /// Starts it in a process group of its own, as a shell does, and with the signals that a shell gives it:
    /// what these tests themselves were told to ignore (`nohup`) is not to reach it.
    pub fn start(command: &mut Command) -> Self {
        use std::os::unix::process::CommandExt;
        let as_usual = || {
            for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
                // SAFETY: a plain system call that may be made between fork and exec.
                unsafe { libc::signal(signal, libc::SIG_DFL) };
            }
            Ok(())
        };
        // SAFETY: the closure makes system calls only.
        unsafe { command.pre_exec(as_usual) };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let (say, output) = mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count) = stdout.read(&mut bytes) {
                if count == 0 || say.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            output,
            seen: String::new(),
        }
    }

    /// Waits until it has written `text`.
    #[track_caller]
    pub fn until(&mut self, text: &str) {
        let start = Instant::now();
        while !self.seen.contains(text) {
            let left = LIMIT.saturating_sub(start.elapsed());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(e) => panic!("{text:?} does not come ({e}): {:?}", self.seen),
            }
        }
    }

    /// All it has written so far.
    pub fn seen(&self) -> &str {
        &self.seen
    }

    /// Types.
    pub fn write(&mut self, text: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(text.as_bytes()).unwrap();
        input.flush().unwrap();
    }

    /// Sends a signal to the program alone.
    pub fn signal(&self, signal: i32) {
        // SAFETY: plain system call on a child of ours.
        unsafe { libc::kill(self.pid(), signal) };
    }

    /// Sends a signal to the whole group, as the keyboard does.
    pub fn signal_group(&self, signal: i32) {
        // SAFETY: plain system call on a group of our own making.
        unsafe { libc::kill(-self.pid(), signal) };
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Waits for its end; the exit code and all it wrote.
    #[track_caller]
    pub fn end(mut self) -> (Option<i32>, String) {
        drop(self.child.stdin.take());
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                while let Ok(bytes) = self.output.recv_timeout(Duration::from_millis(200)) {
                    self.seen.push_str(&String::from_utf8_lossy(&bytes));
                }
                return (status.code(), self.seen);
            }
            if start.elapsed() > LIMIT {
                self.signal_group(libc::SIGKILL);
                let _ = self.child.wait();
                panic!("it does not end; it wrote {:?}", self.seen);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Waits until something is so.
#[track_caller]
pub fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < LIMIT, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
