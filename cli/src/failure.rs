//! The message of a failed command, for a person or a script.
//!
//! Always one line, and always with what to do; the exit code is 1 for "failed" and 2 for "used wrongly".

use std::fmt;
use std::process::ExitCode;

/// Why a command ended without having done what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A stable word for programs.
    pub code: String,
    /// The failure, its object, and what to do.
    pub message: String,
    /// Whether the same command may succeed later.
    pub retry: bool,
    /// The exit code.
    pub exit: u8,
}

/// The outcome of a command.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// The command failed (exit code 1).
    pub fn new(code: &str, message: impl fmt::Display) -> Self {
        Self {
            code: code.to_owned(),
            message: message.to_string(),
            retry: false,
            exit: 1,
        }
    }

    /// The command was used wrongly (exit code 2).
    pub fn usage(message: impl fmt::Display) -> Self {
        Self {
            exit: 2,
            ..Self::new("usage", message)
        }
    }

    /// The person stopped it with a signal; the exit code is the one shells give for it.
    pub fn stopped(signal: i32) -> Self {
        Self {
            exit: signal_exit(signal),
            ..Self::new("stopped", "stopped before it was done")
        }
    }

    /// Something the operating system refused: `what` names the action and its object.
    pub fn system(what: impl fmt::Display, error: &std::io::Error) -> Self {
        Self::new("system", format!("{what}: {error}"))
    }

    /// Says it on stderr: one line for people, or one line of JSON.
    pub fn report(&self, json: bool) -> ExitCode {
        if json {
            let error = serde_json::json!({
                "error": {"code": self.code, "message": self.message, "retry": self.retry}
            });
            eprintln!("{error}");
        } else {
            eprintln!("safe: {}", one_line(&self.message));
        }
        ExitCode::from(self.exit)
    }
}

impl From<safeos_store::Error> for Failure {
    fn from(error: safeos_store::Error) -> Self {
        Self {
            retry: error.retry(),
            ..Self::new(error.code(), &error)
        }
    }
}

/// The exit code that shells give to a program ended by `signal`.
pub fn signal_exit(signal: i32) -> u8 {
    u8::try_from(128 + signal.clamp(0, 127)).unwrap_or(u8::MAX)
}

/// Control characters (a file name may hold any) would let a message move the cursor or fake a second line.
pub fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes() {
        assert_eq!(Failure::new("x", "y").exit, 1);
        assert_eq!(Failure::usage("y").exit, 2);
        assert_eq!(Failure::stopped(2).exit, 130);
        assert_eq!(signal_exit(9), 137);
        assert_eq!(signal_exit(15), 143);
        assert_eq!(signal_exit(-3), 128);
        assert_eq!(signal_exit(4000), 255);
    }

    #[test]
    fn a_message_stays_on_one_line() {
        assert_eq!(one_line("a\nb\x1b[2Jc\td"), "a b [2Jc d");
    }

    #[test]
    fn a_store_that_is_away_may_be_tried_again() {
        let failure = Failure::from(safeos_store::Error::Unreachable {
            url: "file:///nowhere".into(),
            why: "no such folder".into(),
        });
        assert_eq!(failure.code, "store_unreachable");
        assert!(failure.retry);
        assert!(failure.message.contains("file:///nowhere"));
    }
}
