//! A session on Linux: a daemon of our own at a mount point of our own, and the launcher as whoever runs us.
//!
//! What always holds here: the daemon and the launcher end with this program, however it ends. What the launcher
//! leaves running becomes our child (we are its reaper) and is ended with the session.

mod child;
mod daemon;
mod launcher;
mod programs;

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use safeos_control::{Client, FILE_NAME};
use safeos_store::whose;

use super::{Aside, Host, Options, Session, ended, knock, language, not_started, variables};
use crate::state::Tell;
use crate::user_error::UserError;
use daemon::Daemon;
use launcher::Launcher;

/// Folders with shared data, where no variable says otherwise.
const DATA: &str = "/usr/local/share:/usr/share";

/// The person who is signed in.
enum Person {
    Account(String),
    Guest(PathBuf),
}

/// Processes that a launcher leaves behind come to us instead of to init.
pub fn adopt_orphans() {
    // SAFETY: this operation takes one number and touches no memory of ours.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
}

/// Ends what a screen that broke off has left of its session; the daemon, which keeps what is not published, ends by itself.
pub fn end_orphans(daemon: &Path) {
    programs::end_all(|pid| programs::runs(pid, daemon));
}

/// This computer.
pub struct Linux {
    options: Options,
    folder: Option<PathBuf>,
    daemon: Option<Daemon>,
    person: Option<Person>,
    launcher: Arc<Launcher>,
    /// Where programs of the session ask that it be covered.
    knock: Option<PathBuf>,
    /// The language of whoever is in, by its code.
    language: Option<String>,
}

impl Linux {
    /// Prepares; starts nothing yet.
    pub fn new(options: Options) -> Self {
        adopt_orphans();
        Self {
            options,
            folder: None,
            daemon: None,
            person: None,
            launcher: Arc::default(),
            knock: None,
            language: None,
        }
    }

    /// A folder that only we can enter, under a name nobody can guess: for guests.
    fn folder(&mut self) -> io::Result<PathBuf> {
        if let Some(folder) = &self.folder {
            return Ok(folder.clone());
        }
        let name = format!("safe-login-{:016x}", random()?);
        // Of another user's (`sudo` and `su` hand them on) the next is taken.
        let base = ["XDG_RUNTIME_DIR", "TMPDIR"]
            .iter()
            .filter_map(std::env::var_os)
            .map(PathBuf::from)
            .find(|path| {
                path.is_absolute() && path.is_dir() && whose::check(&path.join(&name)).is_ok()
            })
            .unwrap_or_else(|| "/tmp".into());
        let folder = base.canonicalize().unwrap_or(base).join(name);
        whose::check(&folder).map_err(io::Error::other)?;
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
        self.folder = Some(folder.clone());
        Ok(folder)
    }

    /// Where homes are mounted: at the same place each time, for programs write the path of their home down.
    fn place(&self) -> io::Result<PathBuf> {
        let place = self.options.state.join("mnt");
        if let Err(error) = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&place)
            // A dead mount is no folder; the daemon takes it away.
            && !safeos_mountpoint::is_dead(&place)
        {
            return Err(error);
        }
        let above = self.options.state.canonicalize()?;
        Ok(above.join("mnt"))
    }

    /// The home of the account that is open.
    fn home(&mut self) -> Option<PathBuf> {
        match &self.person {
            Some(Person::Account(_)) => Some(self.mount().ok()?.join("home")),
            _ => None,
        }
    }

    /// The mount point of a daemon that answers.
    fn mount(&mut self) -> Result<PathBuf, UserError> {
        let failed = |error: io::Error| {
            UserError::new("daemon_failed", format!("no place for the home: {error}"))
        };
        let mount = self.place().map_err(failed)?;
        if let Some(daemon) = &mut self.daemon {
            if fs::File::open(mount.join(FILE_NAME)).is_ok() {
                return Ok(mount);
            }
            daemon.end();
            self.daemon = None;
        }
        let daemon = Daemon::start(&mount, &self.options)?;
        self.daemon = Some(daemon);
        Ok(mount)
    }
}

fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

impl Host for Linux {
    fn enter(&mut self, account: &str) -> Result<(), UserError> {
        self.mount()?;
        self.person = Some(Person::Account(account.to_owned()));
        Ok(())
    }

    fn enter_guest(&mut self) -> Result<(), UserError> {
        let failed = |error: io::Error| {
            UserError::new("user_failed", format!("no folder for a guest: {error}"))
        };
        let home = self.folder().map_err(failed)?.join("guest");
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&home)
            .map_err(failed)?;
        self.person = Some(Person::Guest(home));
        Ok(())
    }

    fn client(&mut self) -> Result<Client, UserError> {
        Ok(Client::open(self.mount()?)?)
    }

    fn launch(&mut self, started: &mut dyn FnMut()) -> Result<(), UserError> {
        let mount = match &self.person {
            Some(Person::Account(_)) => Some(self.mount()?),
            _ => None,
        };
        let (user, home) = match (&self.person, &mount) {
            (Some(Person::Account(name)), Some(mount)) => (name.as_str(), mount.join("home")),
            (Some(Person::Guest(home)), _) => ("guest", home.clone()),
            _ => return Err(UserError::new("user_failed", "nobody has signed in")),
        };
        let Some((program, arguments)) = self.options.launcher.split_first() else {
            return Err(UserError::new("launcher_missing", "no launcher was named"));
        };
        let path =
            std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
        let mut variables = variables(
            &Session {
                user,
                home: &home,
                safe: mount.as_deref(),
                path: &path,
                data: DATA,
            },
            std::env::vars_os(),
        );
        if mount.is_some() {
            // `safe` inside the session finds the same store and state.
            variables.insert("SAFE_STATE".into(), self.options.state.clone().into());
            variables.insert("SAFE_STORE".into(), self.options.store.clone().into());
        }
        if let Some(knock) = &self.knock {
            variables.insert(safeos_control::LOCK_VARIABLE.into(), knock.clone().into());
        }
        let own = std::env::var("LANG").ok();
        for (name, value) in language::variables(self.language.as_deref(), own.as_deref()) {
            variables.insert(name.into(), value.into());
        }
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(variables)
            .current_dir(&home)
            .stdin(Stdio::null());
        // SAFETY: between fork and exec only system calls are made, which allocate nothing.
        unsafe { command.pre_exec(|| child::own_session(libc::SIGHUP)) };
        let child = command
            .spawn()
            .map_err(|error| not_started(program, &error))?;
        ended(program, self.launcher.wait_for(child, started))
    }

    fn listen(&mut self, tell: Tell) {
        // Without it the command has nobody to ask; the key and the clock lock all the same.
        if let Ok(folder) = self.folder() {
            self.knock = knock::listen(&folder, tell).ok();
        }
    }

    fn aside(&self) -> Box<dyn Aside> {
        Box::new(Beside {
            mount: self.options.state.join("mnt"),
            launcher: Arc::clone(&self.launcher),
        })
    }

    fn end_programs(&mut self) {
        let daemon = self.daemon.as_ref().map(|daemon| daemon.pid() as i32);
        programs::end_all(|pid| Some(pid) == daemon);
    }

    fn language(&mut self) -> Option<String> {
        let home = self.home()?;
        self.language = language::soon(move || language::read(&home)).flatten();
        self.language.clone()
    }

    fn keep_language(&mut self, code: &str) {
        self.language = Some(code.to_owned());
        // A home that takes no more is told of elsewhere.
        if let Some(home) = self.home() {
            let code = code.to_owned();
            let _ = language::soon(move || language::write(&home, &code));
        }
    }

    fn clean(&mut self, broken: bool) {
        self.language = None;
        if let Some(Person::Guest(home)) = self.person.take() {
            // Never the home of an account: that one is not in this folder but mounted beside it.
            let _ = fs::remove_dir_all(home);
        }
        if broken && let Some(mut daemon) = self.daemon.take() {
            daemon.end();
        }
    }
}

/// The session, for another thread.
struct Beside {
    mount: PathBuf,
    launcher: Arc<Launcher>,
}

impl Aside for Beside {
    fn client(&self) -> Result<Client, UserError> {
        Ok(Client::open(&self.mount)?)
    }

    fn end_launcher(&self) {
        self.launcher.end();
    }
}

impl Drop for Linux {
    fn drop(&mut self) {
        self.clean(true);
        if let Some(knock) = &self.knock {
            let _ = fs::remove_file(knock);
        }
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir(folder);
        }
    }
}
