//! The systems that are measured over a line: for each a server that has everything, and computers that have nothing yet.
//!
//! All of them hold the same files. A computer that is dropped is signed out and removed.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::mounts::{self, Daemon};
use crate::rows::without_git_settings;
use crate::serve::{self, Listener};
use crate::systems::{
    ACCOUNT, PASSWORD, SafeOs, installed, make_folder, output, run, wait_for_rclone, write,
};

/// The systems, in the order of the columns.
pub const NAMES: [&str; 4] = ["safeos", "curl", "sshfs+gocryptfs", "rclone"];

const SFTP_SERVERS: [&str; 3] = [
    "/usr/lib/openssh/sftp-server",
    "/usr/lib/ssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
];

/// A process of ours that ends when this is dropped, and when the benchmark is killed.
pub struct Running(Child);

impl Running {
    /// Starts it.
    pub fn start(command: &mut Command) -> Result<Self, String> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null());
        // SAFETY: `prctl` takes numbers, and may be called between fork and exec.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
                Ok(())
            });
        }
        command
            .spawn()
            .map(Self)
            .map_err(|e| format!("{name}: {e}"))
    }

    /// Waits for its end, and ends it at `limit`; returns the seconds that it took.
    pub fn finish(mut self, since: Instant, limit: Duration) -> Result<f64, String> {
        loop {
            let done = self.0.try_wait().map_err(|e| e.to_string())?;
            let took = since.elapsed();
            match done {
                Some(status) if status.success() => return Ok(took.as_secs_f64()),
                Some(status) => return Err(status.to_string()),
                None if took > limit => return Err(format!("over {} s", limit.as_secs())),
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            if let Ok(pid) = i32::try_from(self.0.id()) {
                // SAFETY: a child of ours that was not waited for yet.
                unsafe { libc::kill(pid, libc::SIGTERM) };
            }
            let start = Instant::now();
            while let Ok(None) = self.0.try_wait() {
                if start.elapsed() > Duration::from_secs(5) {
                    let _ = self.0.kill();
                    let _ = self.0.wait();
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// Runs a command to its end, or to `limit`; returns the seconds that it took.
pub fn timed(command: &mut Command, limit: Duration) -> Result<f64, String> {
    let start = Instant::now();
    Running::start(command)?.finish(start, limit)
}

enum Kind {
    SafeOs(PathBuf),
    Curl,
    Sshfs,
    Rclone,
}

enum Server {
    Process { _process: Running },
    Own { _listener: Listener },
}

/// A system's far side: the server, filled and running.
pub struct Far {
    /// One of [`NAMES`].
    pub name: &'static str,
    kind: Kind,
    folder: PathBuf,
    address: SocketAddr,
    _server: Server,
}

impl Far {
    /// Fills the system called `name` with what is in `sources`, beside the line, and starts its server.
    pub fn prepare(
        name: &'static str,
        work: &Path,
        safe: Option<&Path>,
        sources: &Path,
    ) -> Result<Self, String> {
        let folder = work.join(name);
        make_folder(&folder)?;
        write(&folder.join("password"), PASSWORD)?;
        let (kind, address, server) = match name {
            "safeos" => {
                let program = safe.ok_or("not built: cargo build --release")?;
                let (address, server) = safeos(program, &folder, sources)?;
                (Kind::SafeOs(program.to_path_buf()), address, server)
            }
            "curl" => {
                installed("curl")?;
                fill(sources, &folder)?;
                let listener = serve::files(folder.clone()).map_err(|e| e.to_string())?;
                (Kind::Curl, listener.address(), own(listener))
            }
            "sshfs+gocryptfs" => {
                let listener = sshfs(&folder, sources)?;
                (Kind::Sshfs, listener.address(), own(listener))
            }
            _ => {
                let (address, server) = rclone(&folder, sources)?;
                (Kind::Rclone, address, server)
            }
        };
        Ok(Self {
            name,
            kind,
            folder,
            address,
            _server: server,
        })
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether its computers show a folder.
    pub fn mounts(&self) -> bool {
        !matches!(self.kind, Kind::Curl)
    }

    /// Whether what is written there is on the computer first, and goes to the server afterwards.
    pub fn publishes_later(&self) -> bool {
        matches!(self.kind, Kind::SafeOs(_) | Kind::Rclone)
    }

    /// A new computer at the end of the line that `proxy` is; `shared` if another one is open beside it.
    pub fn computer(
        &self,
        proxy: SocketAddr,
        folder: &Path,
        shared: bool,
    ) -> Result<Computer<'_>, String> {
        let mount = folder.join("mount");
        make_folder(&mount)?;
        let mut computer = Computer {
            far: self,
            proxy,
            folder: folder.to_path_buf(),
            root: mount.clone(),
            daemons: Vec::new(),
            safe: None,
            unfinished: false,
        };
        match &self.kind {
            Kind::SafeOs(program) => {
                let store = format!("http://{proxy}");
                let safe = SafeOs::with_store(program.clone(), folder.to_path_buf(), store)?;
                mounts::remember(&mount);
                computer.root = mount.join("home");
                computer.safe.insert(safe).login(ACCOUNT, &mount)?;
            }
            Kind::Curl => {}
            Kind::Sshfs => {
                let cipher = folder.join("cipher");
                make_folder(&cipher)?;
                let mut command = Command::new("sshfs");
                command.args(["-f", "-o"]);
                command.arg(format!("directport={}", proxy.port()));
                let there = self.folder.join("cipher");
                command.arg(format!("127.0.0.1:{}", there.display()));
                command.arg(&cipher);
                computer.mount(&mut command, &cipher)?;
                let mut command = gocryptfs(&self.folder);
                if shared {
                    command.arg("-sharedstorage");
                }
                command.arg(&cipher).arg(&mount);
                computer.mount(&mut command, &mount)?;
            }
            Kind::Rclone => {
                let far = format!("[far]\ntype = webdav\nurl = http://{proxy}\nvendor = other\n");
                let config = folder.join("rclone.conf");
                write(&config, &(far + &crypt("far:")?))?;
                let mut command = Command::new("rclone");
                command.arg("--config").arg(config);
                command.arg("--cache-dir").arg(folder.join("cache"));
                command.args(["mount", "bench:", "--vfs-cache-mode", "full"]);
                command.args(["--vfs-cache-max-size", "off"]).arg(&mount);
                computer.mount(&mut command, &mount)?;
            }
        }
        Ok(computer)
    }
}

fn own(listener: Listener) -> Server {
    Server::Own {
        _listener: listener,
    }
}

/// Copies the files there; afterwards git's index fits the copy, as if the repository had been made there.
fn fill(sources: &Path, root: &Path) -> Result<(), String> {
    run(Command::new("cp")
        .arg("-a")
        .args(["tree", "small", "large"].map(|name| sources.join(name)))
        .arg(root))?;
    run(&mut git_status(&root.join("tree")))
}

/// `git status` of a tree.
pub fn git_status(tree: &Path) -> Command {
    let mut command = Command::new("git");
    without_git_settings(&mut command)
        .arg("-C")
        .arg(tree)
        .args(["status", "--porcelain"])
        .stdout(Stdio::null());
    command
}

fn safeos(program: &Path, folder: &Path, sources: &Path) -> Result<(SocketAddr, Server), String> {
    let first = SafeOs::new(program.to_path_buf(), folder.join("first"))?;
    let mount = folder.join("mount");
    first.sign_up(ACCOUNT)?;
    mounts::remember(&mount);
    first.login(ACCOUNT, &mount)?;
    let filled = fill(sources, &mount.join("home"));
    first.logout(&mount)?;
    mounts::forget(&mount);
    filled?;
    let mut command = first.command();
    command
        .args(["store", "serve", "--listen", "127.0.0.1:0", "--rate", "0"])
        .args(["--json", "--store", first.store()])
        .stdout(Stdio::piped());
    let mut process = Running::start(&mut command)?;
    let mut said = String::new();
    if let Some(out) = process.0.stdout.take() {
        BufReader::new(out)
            .read_line(&mut said)
            .map_err(|e| e.to_string())?;
    }
    let ready: Option<Value> = serde_json::from_str(&said).ok();
    let address = ready
        .as_ref()
        .and_then(|ready| ready.get("url")?.as_str()?.strip_prefix("http://"))
        .and_then(|address| address.parse().ok())
        .ok_or_else(|| format!("safe store serve: {said:?} instead of where it listens"))?;
    Ok((address, Server::Process { _process: process }))
}

fn gocryptfs(folder: &Path) -> Command {
    let mut command = Command::new("gocryptfs");
    command.args(["-q", "-fg", "-passfile"]);
    command.arg(folder.join("password"));
    command
}

fn sshfs(folder: &Path, sources: &Path) -> Result<Listener, String> {
    installed("sshfs")?;
    installed("gocryptfs")?;
    let program = SFTP_SERVERS
        .into_iter()
        .map(PathBuf::from)
        .find(|program| program.is_file())
        .ok_or("not installed")?;
    let (cipher, mount) = (folder.join("cipher"), folder.join("mount"));
    make_folder(&cipher)?;
    make_folder(&mount)?;
    run(Command::new("gocryptfs")
        .args(["-q", "-init", "-passfile"])
        .arg(folder.join("password"))
        .arg(&cipher))?;
    let daemon = Daemon::start(gocryptfs(folder).arg(&cipher).arg(&mount), &mount)?;
    let filled = fill(sources, &mount);
    mounts::unmount(&mount)?;
    daemon.wait();
    mounts::forget(&mount);
    filled?;
    serve::sftp(program).map_err(|e| e.to_string())
}

/// The part of rclone's settings that encrypts what is at `remote`.
fn crypt(remote: &str) -> Result<String, String> {
    let hidden = output(Command::new("rclone").args(["obscure", PASSWORD]))?;
    let hidden = hidden.trim();
    Ok(format!(
        "[bench]\ntype = crypt\nremote = {remote}\npassword = {hidden}\n"
    ))
}

fn rclone(folder: &Path, sources: &Path) -> Result<(SocketAddr, Server), String> {
    installed("rclone")?;
    let cipher = folder.join("cipher");
    make_folder(&cipher)?;
    let config = folder.join("rclone.conf");
    write(&config, &crypt(&cipher.display().to_string())?)?;
    for name in ["tree", "small", "large"] {
        // It has no links: they become files.
        run(Command::new("rclone")
            .arg("--config")
            .arg(&config)
            .args(["copy", "--links", "--create-empty-src-dirs"])
            .arg(sources.join(name))
            .arg(match name {
                "large" => "bench:".to_owned(),
                _ => format!("bench:{name}"),
            }))?;
    }
    // It says where it listens in words alone; so a port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0")
        .and_then(|free| free.local_addr())
        .map_err(|e| e.to_string())?;
    let process = Running::start(
        Command::new("rclone")
            .args(["serve", "webdav", "--addr", &address.to_string()])
            .arg(&cipher)
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    )?;
    let start = Instant::now();
    while TcpStream::connect(address).is_err() {
        if start.elapsed() > Duration::from_secs(20) {
            return Err("rclone serve does not listen".into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok((address, Server::Process { _process: process }))
}

/// A computer at the other end of the line, signed in.
pub struct Computer<'a> {
    far: &'a Far,
    proxy: SocketAddr,
    folder: PathBuf,
    /// Where the files are.
    pub root: PathBuf,
    daemons: Vec<(PathBuf, Daemon)>,
    safe: Option<SafeOs>,
    /// Something is left that need not be published any more.
    pub unfinished: bool,
}

impl Computer<'_> {
    fn mount(&mut self, command: &mut Command, mount: &Path) -> Result<(), String> {
        let daemon = Daemon::start(command, mount)?;
        self.daemons.push((mount.to_path_buf(), daemon));
        Ok(())
    }

    fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.proxy)
    }

    /// The command that reads a file from its start to its end.
    pub fn read(&self, name: &str) -> Command {
        let mut command;
        if self.far.mounts() {
            command = Command::new("cat");
            command.arg(self.root.join(name));
        } else {
            command = Command::new("curl");
            command.args(["-sf", &self.url(name)]);
        }
        command.stdout(Stdio::null());
        command
    }

    /// The command that stores a file under this name.
    pub fn write(&self, file: &Path, name: &str) -> Command {
        let mut command;
        if self.far.mounts() {
            command = Command::new("cp");
            command.arg(file).arg(self.root.join(name));
        } else {
            command = Command::new("curl");
            // Or it waits to be asked for the body.
            command.args(["-sf", "-H", "Expect:", "-T"]).arg(file);
            command.arg(self.url(name));
        }
        command
    }

    /// The command that uploads everything that was written, and ends then. `None` where nothing is left to upload.
    pub fn publish(&self) -> Option<Command> {
        let safe = self.safe.as_ref()?;
        let mut command = safe.command();
        command
            .arg("sync")
            .env("SAFE_MOUNT", self.folder.join("mount"))
            .stdout(Stdio::null());
        Some(command)
    }

    /// Brings everything that was written to the server.
    pub fn publish_now(&self, limit: Duration) -> Result<f64, String> {
        let start = Instant::now();
        match (self.publish(), &self.far.kind) {
            (Some(mut command), _) => return timed(&mut command, limit),
            (None, Kind::Rclone) => wait_for_rclone(&self.folder.join("cache")),
            (None, Kind::Sshfs) => File::open(&self.root)
                .and_then(|folder| folder.sync_all())
                .or_else(|e| match e.raw_os_error() {
                    Some(libc::EINVAL | libc::ENOSYS) => Ok(()),
                    _ => Err(e),
                })
                .map_err(|e| e.to_string())?,
            _ => {}
        }
        Ok(start.elapsed().as_secs_f64())
    }
}

impl Drop for Computer<'_> {
    fn drop(&mut self) {
        let mount = self.folder.join("mount");
        if let Some(safe) = &self.safe {
            if mounts::is_mounted(&mount) {
                let mut command = safe.command();
                command.arg("logout").env("SAFE_MOUNT", &mount);
                if self.unfinished {
                    command.arg("--later");
                }
                if let Err(e) = run(&mut command) {
                    eprintln!("{}: signing out: {e}", self.far.name);
                    let _ = mounts::unmount(&mount);
                }
            }
            mounts::forget(&mount);
        }
        while let Some((mount, daemon)) = self.daemons.pop() {
            if matches!(self.far.kind, Kind::Rclone) && !self.unfinished {
                wait_for_rclone(&self.folder.join("cache"));
            }
            if let Err(e) = mounts::unmount(&mount) {
                eprintln!("{}: {e}", self.far.name);
            }
            daemon.wait();
            mounts::forget(&mount);
        }
        // Which never goes through a mount that is still there.
        mounts::clean_up_folder(&self.folder);
    }
}
