//! A computer: a state folder of its own and a store it may share with others.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::binaries;
use crate::run::{Finished, run_for};
use crate::test_dir::{self, TestDir};

/// How long any `safe` command may take before it counts as hanging.
pub const LIMIT: Duration = Duration::from_secs(120);

/// The account most tests use.
pub const NAME: &str = "ana";
/// Its password.
pub const PASSWORD: &str = "a password for tests only";

/// One computer.
pub struct Computer {
    /// `SAFE_STATE`.
    pub state: PathBuf,
    /// The folder of the `file:` store.
    pub store: PathBuf,
    /// Where it mounts.
    pub mount: PathBuf,
    /// Instead of the folder.
    url: Option<String>,
    password: PathBuf,
    temporary: PathBuf,
}

impl Computer {
    /// A computer called `label` with the store of the place.
    pub fn new(place: &TestDir, label: &str) -> Self {
        Self::with_store(place, label, &place.folder("store"))
    }

    /// A computer called `label` with the store in `store`.
    pub fn with_store(place: &TestDir, label: &str, store: &Path) -> Self {
        let password = place.path().join(format!("{label}.password"));
        fs::write(&password, PASSWORD).unwrap();
        fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
        Self {
            state: place.folder(&format!("{label}.state")),
            store: store.to_path_buf(),
            mount: place.folder(label),
            url: None,
            temporary: place.folder(&format!("{label}.tmp")),
            password,
        }
    }

    /// A computer called `label` with the store at a URL.
    pub fn with_url(place: &TestDir, label: &str, url: &str) -> Self {
        Self {
            url: Some(url.to_owned()),
            ..Self::new(place, label)
        }
    }

    /// A computer with an account just made and signed in.
    pub fn signed_up(place: &TestDir) -> Self {
        let computer = Self::new(place, "first");
        computer.sign_up();
        computer.login();
        computer
    }

    /// The home; only while signed in.
    pub fn home(&self) -> PathBuf {
        self.mount.join("home")
    }

    /// The folder this computer's daemon has for temporary files.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// `safe` with everything of this computer set, and nothing of the machine's own user.
    pub fn command(&self) -> Command {
        let mut command = Command::new(binaries::safe());
        command
            .env("SAFE_STATE", &self.state)
            .env("SAFE_STORE", self.store_url())
            .env("SAFE_PASSWORD_FILE", &self.password)
            .env("SAFE_MOUNT", &self.mount)
            .env_remove("SAFE_TOKEN_FILE")
            .env_remove("SAFE_CA_FILE")
            .env("TMPDIR", &self.temporary)
            .env("RUST_BACKTRACE", "1");
        command
    }

    /// The store as a URL.
    pub fn store_url(&self) -> String {
        match &self.url {
            Some(url) => url.clone(),
            None => format!("file://{}", self.store.display()),
        }
    }

    /// Runs `safe` to its end, well or not.
    #[track_caller]
    pub fn try_safe(&self, arguments: &[&str]) -> Finished {
        let done = run_for(self.command().args(arguments), LIMIT);
        for text in [&done.stdout, &done.stderr] {
            assert!(
                !text.contains("panicked at"),
                "{}: a panic:\n{text}",
                done.what
            );
        }
        done
    }

    /// Runs `safe`, which must succeed.
    #[track_caller]
    pub fn safe(&self, arguments: &[&str]) -> Finished {
        self.try_safe(arguments).ok()
    }

    /// Runs `safe ARGUMENTS --json`, which must succeed, and reads its answer.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let done = self.safe(&[arguments, &["--json"]].concat());
        let last = done
            .stdout
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty());
        serde_json::from_str(&done.stdout)
            .or_else(|_| serde_json::from_str(last.unwrap_or_default()))
            .unwrap_or_else(|e| panic!("{}: {e}: {:?}", done.what, done.stdout))
    }

    /// Makes the account. The small amount of memory is the least the account format allows: tests do this often.
    #[track_caller]
    pub fn sign_up(&self) {
        self.safe(&["signup", NAME, "--small-memory"]);
    }

    /// Signs in and mounts.
    #[track_caller]
    pub fn login(&self) {
        self.safe(&["login", NAME]);
        assert!(self.home().is_dir(), "signed in, but there is no home");
    }

    /// Publishes, unmounts and forgets.
    #[track_caller]
    pub fn logout(&self) {
        self.safe(&["logout"]);
        let left = test_dir::mounts_in(&self.mount);
        assert!(left.is_empty(), "signed out, but still mounted: {left:?}");
    }

    /// Publishes.
    #[track_caller]
    pub fn sync(&self) -> Value {
        self.json(&["sync"])
    }

    /// The text of the file `status`.
    pub fn status_text(&self) -> String {
        fs::read_to_string(self.mount.join("status")).unwrap_or_else(|e| format!("(status: {e})"))
    }

    /// The process of the daemon.
    pub fn daemon(&self) -> Option<i32> {
        test_dir::processes_of(&self.state).first().copied()
    }

    /// Ends the daemon as a power cut would, and waits until it is gone.
    pub fn kill(&self) {
        let Some(pid) = self.daemon() else {
            panic!("there is no daemon to kill");
        };
        // SAFETY: plain system call on the daemon of this computer.
        unsafe { libc::kill(pid, libc::SIGKILL) };
        let start = Instant::now();
        while self.daemon().is_some() {
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "{pid} outlives SIGKILL"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Reads everything the home and its history refer to; must find no damage.
    #[track_caller]
    pub fn check(&self) {
        let found = self.json(&["store", "check"]);
        let damaged = found.get("damaged").and_then(Value::as_array);
        assert!(
            damaged.is_none_or(Vec::is_empty),
            "`safe store check` finds damage: {found}"
        );
    }
}
