//! The command `safe`, as tests use it.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::runner::run_for;

/// Argon2id takes six seconds on an emulated processor that has a real one to itself, and publishing a hundred
/// thousand files takes as long.
const LIMIT: Duration = Duration::from_secs(400);

/// A user of the computer and the account of that user.
pub struct User {
    /// The number.
    pub uid: u32,
    /// The name of the account.
    pub name: &'static str,
}

/// The user whom most tests are about.
pub const ANA: User = User {
    uid: 1000,
    name: "ana",
};
/// Another.
pub const BOB: User = User {
    uid: 1001,
    name: "bob",
};

impl User {
    /// Runs `safe ARGUMENTS` as whoever runs this; what it said, or panics with it.
    pub fn safe(&self, arguments: &[&str]) -> String {
        match self.try_safe(arguments) {
            Ok(said) => said,
            Err(said) => panic!("safe {arguments:?}: {said}"),
        }
    }

    /// The same where failing is expected.
    pub fn try_safe(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new("/usr/bin/safe");
        command.args(arguments);
        command.env("SAFE_PASSWORD_FILE", self.password());
        let home = format!("/tmp/home-{}", self.name);
        let _ = std::fs::create_dir(&home);
        command.env("HOME", home);
        let (status, said) = run_for(&mut command, LIMIT);
        match status {
            Some(status) if status.success() => Ok(said),
            _ => Err(format!("{said} ({status:?})")),
        }
    }

    /// A file with the password, readable for this user only.
    fn password(&self) -> PathBuf {
        let file = PathBuf::from(format!("/tmp/password-{}", self.name));
        if !file.exists() {
            let text = format!("a long password of {}\n", self.name);
            std::fs::write(&file, text).expect("a file for the password");
        }
        file
    }

    /// Signs in; the home is at its place then.
    pub fn sign_in(&self) {
        self.safe(&["login", self.name]);
    }

    /// Publishes and signs out.
    pub fn sign_out(&self) {
        self.safe(&["logout"]);
    }
}
