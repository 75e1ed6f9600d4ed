//! Questions on a real terminal: the effect of signals on them, and that the terminal is as it was afterwards.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

/// How long anything here may take before it counts as hanging.
const LIMIT: Duration = Duration::from_secs(30);
const PROMPT: &str = "New password for ana: ";

/// A terminal with a program on it.
struct Terminal {
    keyboard: File,
    line: File,
    child: Child,
    output: Receiver<Vec<u8>>,
    seen: String,
    _state: tempfile::TempDir,
}

impl Terminal {
    fn run(program: &str, arguments: &[&str]) -> Self {
        // SAFETY: plain system calls; the descriptor is this function's own, the name ends with NUL within its buffer.
        let (keyboard, line) = unsafe {
            let keyboard = libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC);
            assert!(keyboard >= 0);
            assert_eq!(libc::grantpt(keyboard), 0);
            assert_eq!(libc::unlockpt(keyboard), 0);
            let mut name = [0; 64];
            assert_eq!(libc::ptsname_r(keyboard, name.as_mut_ptr(), 64), 0);
            let name = std::ffi::CStr::from_ptr(name.as_ptr()).to_str().unwrap();
            let mut options = OpenOptions::new();
            options.read(true).write(true);
            std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOCTTY);
            (File::from_raw_fd(keyboard), options.open(name).unwrap())
        };
        let state = tempfile::tempdir().unwrap();
        let mut command = Command::new(program);
        let terminal = line.as_raw_fd();
        command
            .args(arguments)
            .env("SAFE_STATE", state.path())
            .env("SAFE_STORE", "file:///nowhere")
            .env_remove("SAFE_PASSWORD_FILE")
            .stdin(line.try_clone().unwrap())
            .stdout(line.try_clone().unwrap())
            .stderr(line.try_clone().unwrap());
        // SAFETY: the closure makes system calls only, on a descriptor that stays open.
        unsafe {
            command.pre_exec(move || {
                for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
                    libc::signal(signal, libc::SIG_DFL);
                }
                libc::setsid();
                match libc::ioctl(terminal, libc::TIOCSCTTY, 0) {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                }
            });
        }
        let child = command.spawn().unwrap();
        let mut reader = keyboard.try_clone().unwrap();
        let (say, output) = mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count) = reader.read(&mut bytes) {
                if count == 0 || say.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            keyboard,
            line,
            child,
            output,
            seen: String::new(),
            _state: state,
        }
    }

    /// Waits for `text`, and forgets what came up to its end.
    #[track_caller]
    fn until(&mut self, text: &str) {
        let start = Instant::now();
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            match self
                .output
                .recv_timeout(LIMIT.saturating_sub(start.elapsed()))
            {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(e) => {
                    let _ = self.child.kill();
                    panic!("{text:?} does not come ({e}): {:?}", self.seen);
                }
            }
        }
    }

    fn type_in(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    fn echoes(&self) -> bool {
        // SAFETY: the structure lives until the call returns, which fills it.
        unsafe {
            let mut modes = std::mem::zeroed();
            assert_eq!(libc::tcgetattr(self.line.as_raw_fd(), &mut modes), 0);
            modes.c_lflag & libc::ECHO != 0
        }
    }

    #[track_caller]
    fn ended(&mut self) -> i32 {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().expect("ended by a signal");
            }
            if start.elapsed() > LIMIT {
                let _ = self.child.kill();
                panic!("it does not end");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn signup() -> Terminal {
    let mut terminal = Terminal::run(env!("CARGO_BIN_EXE_safe"), &["signup", "ana"]);
    terminal.until(PROMPT);
    assert!(!terminal.echoes());
    terminal
}

#[test]
fn ctrl_c_ends_it_at_once() {
    let mut terminal = signup();
    terminal.type_in("half a passw\u{3}");
    assert_eq!(terminal.ended(), 130);
    assert!(terminal.echoes());
    terminal.until("stopped before it was done");
    assert!(!terminal.seen.contains("half"), "{}", terminal.seen);
}

#[test]
fn also_at_the_second_question_and_by_ctrl_backslash() {
    let mut terminal = signup();
    terminal.type_in("a password\n");
    terminal.until("The same again: ");
    assert!(!terminal.echoes());
    terminal.type_in("\u{1c}");
    assert_eq!(terminal.ended(), 131);
    assert!(terminal.echoes());
}

#[test]
fn signals_from_elsewhere_put_the_terminal_back() {
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT, libc::SIGQUIT] {
        let mut terminal = signup();
        let pid = i32::try_from(terminal.child.id()).unwrap();
        // SAFETY: a plain system call on a child of ours.
        unsafe { libc::kill(pid, signal) };
        assert_eq!(terminal.ended(), 128 + signal);
        assert!(terminal.echoes(), "after signal {signal}");
    }
}

#[test]
fn ctrl_z_stops_it_and_fg_asks_again() {
    let script = "set -m; \"$0\" signup ana; echo \"stopped $?\"; \
                  case \"$(stty -a)\" in *' -echo '*) echo hidden;; *) echo shown;; esac; \
                  fg >/dev/null; echo \"ended $?\"";
    let mut terminal = Terminal::run("sh", &["-c", script, env!("CARGO_BIN_EXE_safe")]);
    terminal.until(PROMPT);
    assert!(!terminal.echoes());
    terminal.type_in("half a passw\u{1a}");
    terminal.until("stopped 148");
    terminal.until("shown");
    terminal.until(PROMPT);
    assert!(!terminal.echoes());
    // Earlier input counts no more.
    terminal.type_in("one password\n");
    terminal.until("The same again: ");
    terminal.type_in("one password too many\n");
    terminal.until("the two passwords differ");
    terminal.until("ended 2");
    assert!(terminal.echoes());
}
