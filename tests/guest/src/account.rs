//! The command `safe`, as tests use it.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::runner::run_for;

/// Argon2id takes six seconds on an emulated processor that has a real one to itself, and publishing a hundred
/// thousand files takes as long. Beside other work it has been twenty times that.
const LIMIT: Duration = Duration::from_secs(1800);

/// A user of the computer and the account of that user.
pub struct User {
    /// The number.
    pub uid: u32,
    /// The name of the account.
    pub name: &'static str,
}

/// The user of most tests.
pub const ANA: User = User {
    uid: 1000,
    name: "ana",
};
/// Another.
pub const BOB: User = User {
    uid: 1001,
    name: "bob",
};

/// Where a user's own files are. Not in `/tmp`: others may replace files there, and `safe` keeps nothing there.
fn home_of(uid: u32) -> String {
    format!("/home/safe-guest-{uid}")
}

/// Makes it; only root can.
pub fn make_home(uid: u32) -> String {
    let home = home_of(uid);
    std::fs::create_dir_all(&home).expect(&home);
    std::os::unix::fs::chown(&home, Some(uid), Some(uid)).expect(&home);
    home
}

impl User {
    /// Runs `safe ARGUMENTS` as the current user; returns its output, or panics with it.
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
        command.env("HOME", home_of(self.uid));
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
