//! The systems that are measured: the bare disk and the mounts on it, each in a folder of its own.
//!
//! A system that is not installed is a column that says so, never a failure. Every mount is known to
//! [`crate::mounts`] from before it is made until after it is gone, so nothing stays mounted whatever
//! happens.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::mounts::{self, Daemon};

/// The systems, in the order of the columns.
pub const NAMES: [&str; 5] = ["safeos", "passthrough", "gocryptfs", "rclone", "disk"];

/// The password of everything that wants one; there is nothing to protect here.
pub const PASSWORD: &str = "benchmark password, not a secret";

/// The account of the SafeOS system.
pub const ACCOUNT: &str = "bench";

enum Kind {
    Disk,
    PassThrough { writeback: bool },
    Gocryptfs,
    Rclone,
    SafeOs(SafeOs),
}

/// The command `safe` with its state and its store in a folder of its own.
pub struct SafeOs {
    program: PathBuf,
    /// The folder that holds `state`, the password file and, if it has one of its own, the store.
    pub folder: PathBuf,
    store: String,
}

/// One system, mounted or not.
pub struct System {
    /// Its name, one of [`NAMES`].
    pub name: &'static str,
    kind: Kind,
    folder: PathBuf,
    mount: PathBuf,
    daemon: Option<Daemon>,
    mounted: bool,
}

impl System {
    /// Prepares the system called `name` in `work`. The error says why it cannot be measured.
    pub fn prepare(
        name: &'static str,
        work: &Path,
        safe: Option<&Path>,
        writeback: bool,
    ) -> Result<Self, String> {
        let folder = work.join(name);
        let mount = match name {
            "disk" => folder.join("files"),
            _ => folder.join("mount"),
        };
        fs::create_dir_all(&mount).map_err(|e| format!("{}: {e}", mount.display()))?;
        let kind = match name {
            "disk" => Kind::Disk,
            "passthrough" => {
                make_folder(&folder.join("files"))?;
                Kind::PassThrough { writeback }
            }
            "gocryptfs" => {
                installed("gocryptfs")?;
                let cipher = folder.join("cipher");
                make_folder(&cipher)?;
                write(&folder.join("password"), PASSWORD)?;
                run(Command::new("gocryptfs")
                    .args(["-q", "-init", "-passfile"])
                    .arg(folder.join("password"))
                    .arg(&cipher))?;
                Kind::Gocryptfs
            }
            "rclone" => {
                installed("rclone")?;
                make_folder(&folder.join("cipher"))?;
                make_folder(&folder.join("cache"))?;
                let hidden = output(Command::new("rclone").args(["obscure", PASSWORD]))?;
                let config = format!(
                    "[bench]\ntype = crypt\nremote = {}\npassword = {}\n",
                    folder.join("cipher").display(),
                    hidden.trim()
                );
                write(&folder.join("rclone.conf"), &config)?;
                Kind::Rclone
            }
            _ => {
                let program = safe
                    .ok_or("not built: cargo build --release")?
                    .to_path_buf();
                let safe = SafeOs::new(program, folder.clone())?;
                safe.sign_up(ACCOUNT)?;
                Kind::SafeOs(safe)
            }
        };
        Ok(Self {
            name,
            kind,
            folder,
            mount,
            daemon: None,
            mounted: false,
        })
    }

    /// The folder in which the rows work; only while mounted.
    pub fn root(&self) -> PathBuf {
        match self.kind {
            Kind::SafeOs(_) => self.mount.join("home"),
            _ => self.mount.clone(),
        }
    }

    /// Mounts it.
    pub fn mount(&mut self) -> Result<(), String> {
        let mount = self.mount.clone();
        match &self.kind {
            Kind::Disk => return Ok(()),
            Kind::PassThrough { writeback } => {
                let me = std::env::current_exe().map_err(|e| e.to_string())?;
                let mut command = Command::new(me);
                command
                    .arg("--serve-passthrough")
                    .arg(self.folder.join("files"));
                command.arg("--at").arg(&mount);
                if !writeback {
                    command.arg("--no-writeback");
                }
                self.daemon = Some(Daemon::start(&mut command, &mount)?);
            }
            Kind::Gocryptfs => {
                let mut command = Command::new("gocryptfs");
                command.args(["-q", "-fg", "-passfile"]);
                command.arg(self.folder.join("password"));
                command.arg(self.folder.join("cipher")).arg(&mount);
                self.daemon = Some(Daemon::start(&mut command, &mount)?);
            }
            Kind::Rclone => {
                let mut command = Command::new("rclone");
                command.arg("--config").arg(self.folder.join("rclone.conf"));
                command.arg("--cache-dir").arg(self.folder.join("cache"));
                // `full` is what lets a program read and write anywhere in a file, as programs do.
                command.args(["mount", "bench:", "--vfs-cache-mode", "full"]);
                command.args(["--vfs-cache-max-size", "off", "--dir-cache-time", "24h"]);
                command.arg(&mount);
                self.daemon = Some(Daemon::start(&mut command, &mount)?);
            }
            Kind::SafeOs(safe) => {
                mounts::remember(&mount);
                safe.login(ACCOUNT, &mount)?;
            }
        }
        self.mounted = true;
        Ok(())
    }

    /// Unmounts it, everything written being as safe as the system makes it then.
    pub fn unmount(&mut self) -> Result<(), String> {
        if !std::mem::take(&mut self.mounted) {
            return Ok(());
        }
        let done = match &self.kind {
            Kind::SafeOs(safe) => safe.logout(&self.mount),
            Kind::Rclone => {
                wait_for_rclone(&self.folder.join("cache"));
                mounts::unmount(&self.mount)
            }
            _ => mounts::unmount(&self.mount),
        };
        if let Some(daemon) = self.daemon.take() {
            daemon.wait();
        }
        mounts::forget(&self.mount);
        done
    }

    /// Unmounts, drops the kernel's caches and mounts again: whatever is read next comes from the disk.
    pub fn make_cold(&mut self) -> Result<(), String> {
        self.unmount()?;
        drop_caches(3);
        self.mount()
    }

    /// Lets the system finish what it does in the background, so that the next one is measured alone.
    pub fn settle(&self) {
        match &self.kind {
            Kind::SafeOs(safe) if self.mounted => {
                // A failed publish shows in the rows that need it; here it only means more noise.
                let _ = safe.json(&self.mount, &["sync"]);
            }
            Kind::Rclone => wait_for_rclone(&self.folder.join("cache")),
            _ => {}
        }
        sync();
    }
}

impl Drop for System {
    fn drop(&mut self) {
        let _ = self.unmount();
    }
}

impl SafeOs {
    /// Keeps everything of it in `folder`.
    pub fn new(program: PathBuf, folder: PathBuf) -> Result<Self, String> {
        make_folder(&folder.join("store"))?;
        let store = format!("file://{}", folder.join("store").display());
        Self::with_store(program, folder, store)
    }

    /// Keeps all but the store in `folder`: a computer that others share a store with.
    pub fn with_store(program: PathBuf, folder: PathBuf, store: String) -> Result<Self, String> {
        make_folder(&folder.join("state"))?;
        write(&folder.join("password"), PASSWORD)?;
        Ok(Self {
            program,
            folder,
            store,
        })
    }

    /// `safe` as it is called here.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env("SAFE_STATE", self.folder.join("state"))
            .env("SAFE_STORE", &self.store)
            .env("SAFE_PASSWORD_FILE", self.folder.join("password"));
        command
    }

    /// Where its records are.
    pub fn store(&self) -> &str {
        &self.store
    }

    /// Makes the account.
    pub fn sign_up(&self, account: &str) -> Result<(), String> {
        run(self.command().args(["signup", account]))
    }

    /// Signs in and mounts.
    pub fn login(&self, account: &str, mount: &Path) -> Result<(), String> {
        make_folder(mount)?;
        run(self
            .command()
            .args(["login", account, "--mount"])
            .arg(mount))
    }

    /// Publishes, unmounts and signs out.
    pub fn logout(&self, mount: &Path) -> Result<(), String> {
        run(self.command().arg("logout").env("SAFE_MOUNT", mount))
    }

    /// Runs `safe ARGUMENTS --json` and reads what it says.
    pub fn json(&self, mount: &Path, arguments: &[&str]) -> Result<serde_json::Value, String> {
        let mut command = self.command();
        command
            .args(arguments)
            .arg("--json")
            .env("SAFE_MOUNT", mount);
        let text = output(&mut command)?;
        let last = text.lines().rev().find(|line| !line.trim().is_empty());
        serde_json::from_str(&text)
            .or_else(|_| serde_json::from_str(last.unwrap_or_default()))
            .map_err(|e| format!("safe {}: {e} in {text:?}", arguments.join(" ")))
    }

    /// The memory that the daemon of this folder holds now, in bytes.
    pub fn memory(&self) -> Option<u64> {
        let pid = *mounts::safe_daemons(&self.folder).first()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
    }
}

/// Has everything that was written go to the disks.
pub fn sync() {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::sync() };
}

/// Drops the kernel's caches (1 pages, 2 names and inodes, 3 both). Only root may; see [`may_drop_caches`].
pub fn drop_caches(which: u8) {
    sync();
    let _ = fs::write("/proc/sys/vm/drop_caches", which.to_string());
}

/// Whether [`drop_caches`] works here. Without it "cold" means only "mounted anew".
pub fn may_drop_caches() -> bool {
    fs::OpenOptions::new()
        .write(true)
        .open("/proc/sys/vm/drop_caches")
        .is_ok()
}

/// Waits until rclone has written back what it keeps in its cache, as far as can be seen from outside:
/// no file under `vfsMeta` says `"Dirty":true`.
pub fn wait_for_rclone(cache: &Path) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(120) && has_dirty(&cache.join("vfsMeta")) {
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn has_dirty(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => has_dirty(&path),
            Ok(kind) if kind.is_file() => fs::read_to_string(&path).is_ok_and(|text| {
                text.split_whitespace()
                    .collect::<String>()
                    .contains("\"Dirty\":true")
            }),
            _ => false,
        }
    })
}

/// Whether a program can be started.
pub fn installed(program: &str) -> Result<(), String> {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()));
    if found {
        Ok(())
    } else {
        Err("not installed".into())
    }
}

/// Runs a command to its end; the error holds the last line it wrote.
pub fn run(command: &mut Command) -> Result<(), String> {
    output(command).map(drop)
}

/// Runs a command to its end and returns what it wrote.
pub fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = command
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("{name}: {e}"))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        let line = said.lines().rev().find(|line| !line.trim().is_empty());
        return Err(format!(
            "{name}: {}: {}",
            done.status,
            line.unwrap_or("no message")
        ));
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Makes a folder and those above it.
pub fn make_folder(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))
}

/// Writes a small file.
pub fn write(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|e| format!("{}: {e}", file.display()))
}
