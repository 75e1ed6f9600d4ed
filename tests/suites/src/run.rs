//! Running programs with a time limit.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A program that has ended by itself.
#[derive(Debug)]
pub struct Finished {
    /// The command, for messages.
    pub what: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

impl Finished {
    /// Fails the test unless the program succeeded.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(
            self.status.success(),
            "{} failed ({})\n--- stdout\n{}\n--- stderr\n{}",
            self.what,
            self.status,
            tail(&self.stdout),
            tail(&self.stderr)
        );
        self
    }

    /// Fails the test unless the program ended by itself with `code`.
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(
            self.status.code(),
            Some(code),
            "{} ({})\n--- stdout\n{}\n--- stderr\n{}",
            self.what,
            self.status,
            tail(&self.stdout),
            tail(&self.stderr)
        );
        self
    }
}

/// The end of a long text, which is where the error stands.
pub fn tail(text: &str) -> &str {
    let mut from = text.len().saturating_sub(8_000);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

/// Runs a command, which must end within `limit`.
///
/// Its output goes through files, not pipes: a daemon it leaves behind may keep them open.
#[track_caller]
pub fn run_for(command: &mut Command, limit: Duration) -> Finished {
    let what = format!("{command:?}");
    let (mut out, mut err) = (unnamed_file(), unnamed_file());
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(out.try_clone().unwrap())
        .stderr(err.try_clone().unwrap())
        .process_group(0)
        .spawn()
        .unwrap_or_else(|e| panic!("{what}: {e}"));
    let mut pause = Duration::from_millis(1);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > limit {
            // The group: also what the command itself started.
            // SAFETY: plain system call on a group of our own making.
            unsafe { libc::kill(-(child.id() as i32), libc::SIGKILL) };
            let _ = child.wait();
            panic!(
                "{what} did not end within {limit:?}\n--- stdout\n{}\n--- stderr\n{}",
                tail(&content(&mut out)),
                tail(&content(&mut err))
            );
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    };
    Finished {
        what,
        status,
        stdout: content(&mut out),
        stderr: content(&mut err),
        took: start.elapsed(),
    }
}

/// Runs a shell script in `folder`; it must succeed within two minutes.
#[track_caller]
pub fn sh(folder: &Path, script: &str) -> String {
    let script = format!("set -eu\n{script}");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).current_dir(folder);
    run_for(&mut command, Duration::from_secs(120)).ok().stdout
}

fn unnamed_file() -> File {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_TMPFILE)
        .mode(0o600)
        .open(std::env::temp_dir())
        .expect("a temporary file for a command's output")
}

fn content(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Says something on standard error also when the test passes, which the test harness else keeps to itself.
pub fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what}");
}
