//! A session on Redox: a user for the account, a `safe` of its own, the launcher as that user.
//!
//! What always holds here: this program stays root in the namespace it was started in; what belongs to the session
//! is set in the child, before the launcher runs. The session's namespace has that session's root under
//! the name `safe`, and nobody in it can take it away or put another in its place. When the launcher has ended,
//! every process of the user is ended before the session is closed.

mod namespace;
mod users;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use safeos_control::Client;

use super::{
    Aside, Host, Options, Session, ended, knock, language, not_started, tables, variables,
};
use crate::state::Tell;
use crate::user_error::UserError;
use users::{Person, failed};

/// Where the daemon serves.
const SAFE: &str = "/scheme/safe";
/// Programs of the system.
const PATH: &str = "/usr/bin:/bin";
/// Shared data of the system. `/share` is a link to it: with both, every entry stands in the menu twice.
const DATA: &str = "/usr/share";
const PROCESSES: &str = "/scheme/proc/ps";
/// Where programs of the session ask that it be covered. Nobody but root makes entries there, and it is free at each start.
const KNOCK: &str = "/var/run/safeos";
/// Programs that were asked to end get so long; those that were ended, too.
const ENDS_WITHIN: Duration = Duration::from_secs(3);

/// This computer.
pub struct Redox {
    options: Options,
    person: Option<Person>,
    /// The same for other threads, while the launcher runs.
    inside: Inside,
    /// The folder of a guest.
    guest: Option<PathBuf>,
    /// The language of whoever is in, by its code.
    language: Option<String>,
    /// Where programs of the session ask that it be covered.
    knock: Option<PathBuf>,
}

impl Redox {
    /// Prepares; starts nothing yet.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            person: None,
            inside: Inside::default(),
            guest: None,
            language: None,
            knock: None,
        }
    }

    fn person(&self) -> Result<&Person, UserError> {
        self.person
            .as_ref()
            .ok_or_else(|| UserError::new("user_failed", "nobody has signed in"))
    }
}

impl Host for Redox {
    fn enter(&mut self, account: &str) -> Result<(), UserError> {
        self.person = Some(users::for_account(account)?);
        Ok(())
    }

    fn enter_guest(&mut self) -> Result<(), UserError> {
        let person = users::for_guest()?;
        let home = PathBuf::from("/tmp").join(&person.name);
        let made = fs::create_dir(&home).and_then(|()| {
            std::os::unix::fs::chown(&home, Some(person.uid), Some(person.gid))?;
            fs::set_permissions(&home, PermissionsExt::from_mode(0o700))
        });
        self.person = Some(person);
        made.map_err(|error| failed("no folder for a guest", &error))?;
        self.guest = Some(home);
        Ok(())
    }

    fn client(&mut self) -> Result<Client, UserError> {
        // Whose a conversation is, is decided when the control file is opened.
        let person = self.person()?;
        users::acting_as(person, || Client::open(SAFE))?.map_err(UserError::from)
    }

    fn launch(&mut self, started: &mut dyn FnMut()) -> Result<(), UserError> {
        let person = self.person()?;
        let safe = self.guest.is_none().then_some(Path::new(SAFE));
        let home = match &self.guest {
            Some(home) => home.clone(),
            None => Path::new(SAFE).join("home"),
        };
        let Some((program, arguments)) = self.options.launcher.split_first() else {
            return Err(UserError::new("launcher_missing", "no launcher was named"));
        };
        let namespace = namespace::of_session(safe.map(|_| person.uid))
            .map_err(|error| UserError::new("namespace_failed", error.to_string()))?;
        let session = Session {
            user: &person.name,
            home: &home,
            safe,
            path: PATH.as_ref(),
            data: DATA,
        };
        let folder = std::ffi::CString::new(home.as_os_str().as_encoded_bytes())
            .map_err(|error| failed("the home's path", &error))?;
        let (uid, gid, fd) = (person.uid, person.gid, namespace.raw());
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(variables(&session, std::env::vars_os()))
            .envs(language::variables(
                self.language.as_deref(),
                std::env::var("LANG").ok().as_deref(),
            ))
            .envs((self.knock.iter()).map(|knock| (safeos_control::LOCK_VARIABLE, knock)))
            .env("UID", uid.to_string())
            .env("GROUPS", gid.to_string())
            .stdin(Stdio::null());
        // SAFETY: between fork and exec only system calls are made; the folder's name was made before. The
        // order matters: the namespace while still root, and the home through it.
        unsafe {
            command.pre_exec(move || {
                namespace::enter(fd)?;
                users::become_user(uid, gid)?;
                match libc::chdir(folder.as_ptr()) {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                }
            });
        }
        let mut child = command
            .spawn()
            .map_err(|error| not_started(program, &error))?;
        drop(namespace);
        self.inside.set(Some(person.clone()));
        started();
        let status = child.wait();
        self.inside.set(None);
        ended(program, status)
    }

    fn end_programs(&mut self) {
        if let Some(person) = &self.person {
            end_processes(person);
        }
    }

    fn language(&mut self) -> Option<String> {
        let person = self.person.as_ref().filter(|_| self.guest.is_none())?;
        let home = Path::new(SAFE).join("home");
        self.language = users::acting_as(person, || language::read(&home))
            .ok()
            .flatten();
        self.language.clone()
    }

    fn keep_language(&mut self, code: &str) {
        self.language = Some(code.to_owned());
        let home = Path::new(SAFE).join("home");
        if let Some(person) = self.person.as_ref().filter(|_| self.guest.is_none()) {
            // A home that takes no more is told of elsewhere.
            let _ = users::acting_as(person, || language::write(&home, code));
        }
    }

    fn clean(&mut self, _broken: bool) {
        self.language = None;
        if let Some(home) = self.guest.take() {
            let _ = fs::remove_dir_all(home);
        }
        if let Some(person) = self.person.take() {
            users::remove(&person);
        }
    }

    fn keymaps(&mut self) -> Vec<String> {
        let listed = Command::new("inputd").arg("--keymaps").output();
        let text = listed.map(|listed| listed.stdout).unwrap_or_default();
        String::from_utf8_lossy(&text)
            .lines()
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .take(64)
            .map(str::to_owned)
            .collect()
    }

    fn listen(&mut self, tell: Tell) {
        // Without it the command has nobody to ask; the key and the clock lock all the same.
        self.knock = knock_folder()
            .and_then(|folder| knock::listen(&folder, tell))
            .ok();
    }

    fn aside(&self) -> Box<dyn Aside> {
        Box::new(self.inside.clone())
    }

    fn has_power(&self) -> bool {
        true
    }

    fn power(&mut self, restart: bool) {
        let _ = Command::new("shutdown")
            .args(restart.then_some("-r"))
            .status();
    }
}

/// The folder for the socket, emptied. Root's programs alone may enter and change it; the socket's name is no secret.
fn knock_folder() -> io::Result<PathBuf> {
    let folder = PathBuf::from(KNOCK);
    fs::create_dir_all(&folder)?;
    fs::set_permissions(&folder, PermissionsExt::from_mode(0o755))?;
    match fs::remove_file(folder.join(knock::NAME)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(folder),
    }
}

/// Ends what a screen that broke off has left of its session.
pub fn end_orphans() {
    for person in users::made() {
        end_processes(&person);
    }
}

/// Whoever is in, for another thread.
#[derive(Clone, Default)]
struct Inside(Arc<Mutex<Option<Person>>>);

impl Inside {
    fn set(&self, person: Option<Person>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = person;
    }

    fn person(&self) -> Option<Person> {
        let person = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        person.clone()
    }
}

impl Aside for Inside {
    fn client(&self) -> Result<Client, UserError> {
        // Held meanwhile: the thread that runs the launcher goes on only as who it is.
        let person = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let person = (person.as_ref())
            .ok_or_else(|| UserError::new("user_failed", "nobody has signed in"))?;
        users::acting_as(person, || Client::open(SAFE))?.map_err(UserError::from)
    }

    fn end_launcher(&self) {
        if let Some(person) = self.person() {
            end_processes(&person);
        }
    }

    fn set_keymap(&self, name: &str) {
        // The layout stays what it was if this fails, and the screen shows it by what is typed.
        let _ = Command::new("inputd").arg("-K").arg(name).status();
    }
}

/// Ends every process of the user: asked to first.
fn end_processes(person: &Person) {
    for signal in [libc::SIGTERM, libc::SIGKILL] {
        let start = Instant::now();
        let mut told = Vec::new();
        loop {
            let text = fs::read_to_string(PROCESSES).unwrap_or_default();
            let left = tables::processes_of(&text, person.uid);
            if left.is_empty() {
                return;
            }
            if start.elapsed() > ENDS_WITHIN {
                break;
            }
            for pid in left.into_iter().filter(|pid| *pid > 1) {
                if !told.contains(&pid) {
                    told.push(pid);
                    // SAFETY: plain system call; the process was listed as this user's just now.
                    unsafe { libc::kill(pid, signal) };
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
