//! The computer with Linux: a gateway on it that serves a store, and `safe` with a state of its own.
//!
//! What always holds here: every started program is ended; nothing of the user's own sessions reaches it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use safeos_guest_tests::PASSWORD;

/// The account.
pub const NAME: &str = "net";
/// A command of this computer, on one that is busy.
const LIMIT: Duration = Duration::from_secs(900);
/// From the start of a gateway to its first word.
const READY_MAX: Duration = Duration::from_secs(300);

/// The variables of SafeOS that a user may have set.
const OWN: [&str; 9] = [
    "SAFE_STATE",
    "SAFE_STORE",
    "SAFE_MOUNT",
    "SAFE_TOKEN_FILE",
    "SAFE_CA_FILE",
    "SAFE_PASSWORD_FILE",
    "SAFE_NEW_PASSWORD_FILE",
    "SAFE_SECRET_KEY_FILE",
    "SAFE_ALLOW_ROOT",
];

/// A program of ours, in an environment that is the test's.
fn command(programs: &Path, home: &Path) -> Command {
    let mut command = Command::new(programs.join("safe"));
    for name in OWN {
        command.env_remove(name);
    }
    command
        .env("HOME", home)
        .env("SAFE_STATE", home.join("state"));
    command
}

/// A gateway.
pub struct Gateway {
    programs: PathBuf,
    folder: PathBuf,
    arguments: Vec<String>,
    running: Option<Child>,
    /// Where it listens, once it has been started.
    pub address: Option<SocketAddr>,
}

impl Gateway {
    /// One to the store in the folder; with a certificate it speaks TLS. It is started.
    pub fn new(
        programs: &Path,
        folder: &Path,
        tls: Option<(&Path, &Path)>,
    ) -> Result<Self, String> {
        let mut arguments = vec![
            "--store".to_owned(),
            format!("file://{}", folder.join("store").display()),
        ];
        if let Some((chain, key)) = tls {
            for (option, file) in [("--tls-cert", chain), ("--tls-key", key)] {
                arguments.extend([option.to_owned(), file.display().to_string()]);
            }
        }
        let mut gateway = Self {
            programs: programs.to_owned(),
            folder: folder.to_owned(),
            arguments,
            running: None,
            address: None,
        };
        gateway.start()?;
        Ok(gateway)
    }

    /// Starts it, again at the same place if it was there before.
    pub fn start(&mut self) -> Result<(), String> {
        let listen = match self.address {
            Some(address) => address.to_string(),
            None => "127.0.0.1:0".to_owned(),
        };
        let mut child = command(&self.programs, &self.folder)
            .args(["store", "serve", "--json", "--listen", &listen])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("the gateway cannot be started: {error}"))?;
        let output = child.stdout.take().ok_or("the gateway has no output")?;
        self.running = Some(child);
        let (says, heard) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(output.take(4096)).read_line(&mut line);
            let _ = says.send(line);
        });
        let line = heard
            .recv_timeout(READY_MAX)
            .map_err(|_| "the gateway does not say that it serves")?;
        let ready: serde_json::Value = serde_json::from_str(&line)
            .map_err(|error| format!("the gateway says {line:?}: {error}"))?;
        let address = ready["url"].as_str().and_then(|url| url.split_once("://"));
        let address = address.and_then(|(_, address)| address.parse().ok());
        self.address = Some(address.ok_or_else(|| format!("the gateway says {line:?}"))?);
        Ok(())
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `safe` on this computer.
pub struct Linux {
    programs: PathBuf,
    folder: PathBuf,
    ca_file: PathBuf,
    signed_in: bool,
}

impl Linux {
    /// With everything in the folder.
    pub fn new(programs: &Path, folder: &Path, ca_file: &Path) -> Result<Self, String> {
        let folder = folder.join("linux");
        let file = folder.join("password");
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(&file, PASSWORD))
            .and_then(|()| fs::set_permissions(&file, fs::Permissions::from_mode(0o600)))
            .map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(Self {
            programs: programs.to_owned(),
            folder,
            ca_file: ca_file.to_owned(),
            signed_in: false,
        })
    }

    /// Runs `safe`, which must succeed; returns its output.
    pub fn safe(&self, arguments: &[&str]) -> Result<String, String> {
        let failed = |why: String| format!("on Linux safe {arguments:?}: {why}");
        // Into files: a daemon that stays has the same ends.
        let said = self.folder.join("said");
        let file = fs::File::create(&said).map_err(|error| failed(error.to_string()))?;
        let again = file
            .try_clone()
            .map_err(|error| failed(error.to_string()))?;
        let mut child = command(&self.programs, &self.folder)
            .env("SAFE_PASSWORD_FILE", self.folder.join("password"))
            .env("SAFE_CA_FILE", &self.ca_file)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(again)
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let start = Instant::now();
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if start.elapsed() < LIMIT => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                _ => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(failed(format!("it did not end in {} s", LIMIT.as_secs())));
                }
            }
        };
        let said = fs::read_to_string(&said).unwrap_or_default();
        match status.success() {
            true => Ok(said),
            false => Err(failed(said)),
        }
    }

    /// Signs in to the account at a store; its home is at [`home`](Self::home) then.
    pub fn login(&mut self, store: &str) -> Result<(), String> {
        self.safe(&["login", NAME, "--store", store])?;
        self.signed_in = true;
        Ok(())
    }

    /// Publishes and signs out.
    pub fn logout(&mut self) -> Result<(), String> {
        self.safe(&["logout"])?;
        self.signed_in = false;
        Ok(())
    }

    /// The home of the session.
    pub fn home(&self) -> PathBuf {
        self.folder.join("state/mnt/home")
    }

    /// A file of the home.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        let path = self.home().join(name);
        fs::read(&path).map_err(|error| format!("on Linux {}: {error}", path.display()))
    }

    /// Writes one.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        let path = self.home().join(name);
        fs::write(&path, bytes).map_err(|error| format!("on Linux {}: {error}", path.display()))
    }

    /// The names in the home.
    pub fn names(&self) -> Result<Vec<String>, String> {
        let listed = fs::read_dir(self.home()).map_err(|error| format!("on Linux: {error}"))?;
        Ok(listed
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect())
    }
}

impl Drop for Linux {
    fn drop(&mut self) {
        if self.signed_in {
            // A test has failed: nothing is waited for that its gateway may not answer any more.
            let _ = self.safe(&["logout", "--later", "--force"]);
        }
    }
}
