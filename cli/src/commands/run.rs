//! `safe run`: an account's home for the time of one command.
//!
//! However the command ends, the home is published (or stays in the encrypted stage), and unless others have
//! joined the session it is closed, the daemon ended and the home unmounted before `safe` returns.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use safeos_control::{Request, SignOut};
use serde_json::Value;

use super::Context;
use super::account::{NOT_MADE, OFFLINE, Opening, mount_options, sign_in, sign_up};
use super::session::{Published, published_text};
use crate::args::{Account, Mounting};
use crate::conversation::{ask, ask_for};
use crate::daemon::{self, Daemon};
use crate::dirs::{self, MOUNT};
use crate::environment;
use crate::exposed;
use crate::failure::{Failure, Result};
use crate::foreground;
use crate::keys::Keys;
use crate::member::Member;
use crate::mount_users;
use crate::signals;

/// Programs the command left behind get so long to finish before they are told that the terminal closes.
const LEFT_FINISH: Duration = Duration::from_secs(10);
/// And so long after that.
const LEFT_END: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How to open the account.
pub struct How {
    /// Make it first.
    pub signup: bool,
    /// How to sign in.
    pub opening: Opening,
    /// The options of the mount.
    pub mounting: Mounting,
}

/// `safe run`; the command's exit code.
pub fn run(context: &Context, account: &Account, how: &How, command: Vec<OsString>) -> Result<u8> {
    let store = context.dirs.store(account.store.as_deref());
    let mount = mount(context);
    // The files of a session that is open are this user's already: no password is asked for.
    let joined = match how.signup {
        true => None,
        false => {
            let starting = || daemon::is_starting(&context.dirs, &mount);
            Member::of_open(&mount, &account.name, &store, starting)?
        }
    };
    let (member, daemon) = match joined {
        Some(member) => {
            signals::watch()?;
            (member, None)
        }
        None => open(context, account, how, &store, &mount)?,
    };
    let ran = inside(context, &store, &mount, command);
    let left = leave(context, &mount, member, daemon);
    match (ran, left) {
        // Why the command could not be run comes first; that the end failed too is still said.
        (Err(failure), Err(second)) => {
            context.output.note(&second.message);
            Err(failure)
        }
        (Err(failure), Ok(())) => Err(failure),
        (Ok(0), Err(failure)) => Err(failure),
        (Ok(code), Err(failure)) => {
            context.output.note(&failure.message);
            Ok(code)
        }
        (Ok(code), Ok(())) => Ok(code),
    }
}

/// Where the session is, or is to be: at the same path each time, for programs write it down.
fn mount(context: &Context) -> PathBuf {
    let dirs = &context.dirs;
    if daemon::SHARED {
        return dirs.default_mount();
    }
    let named = std::env::var_os(MOUNT)
        .map(PathBuf::from)
        .filter(|mount| mount.is_absolute());
    let mount = dirs
        .mount
        .clone()
        .or(named)
        .unwrap_or_else(|| dirs.default_mount());
    // As the kernel names it: programs compare HOME with where they are.
    let above = mount.parent().and_then(|above| above.canonicalize().ok());
    match (above, mount.file_name()) {
        (Some(above), Some(name)) => above.join(name),
        _ => mount,
    }
}

/// Opens the session, or joins it if another command was faster.
fn open(
    context: &Context,
    account: &Account,
    how: &How,
    store: &str,
    mount: &Path,
) -> Result<(Member, Option<Daemon>)> {
    let (request, keys) = if how.signup {
        sign_up(context, account, how.opening.remember, false, false)?
    } else {
        let request = sign_in(context, account, how.opening)?;
        (request, Keys::default())
    };
    signals::watch()?;
    let _starting = daemon::starting(&context.dirs, mount)?;
    if let Some(member) = Member::of_open(mount, &account.name, store, || false)? {
        if how.signup {
            return Err(Failure::new(
                "account_exists",
                format!("a session of {} is open already", account.name),
            ));
        }
        return Ok((member, None));
    }
    let made = daemon::prepare(mount, context.output)?;
    let options = mount_options(how.mounting);
    let started = Daemon::start_as(&context.dirs, store, mount, true, options);
    let opened = started.and_then(|mut daemon| {
        // Standard output is the command's.
        let member = keys
            .show(&account.name, context.output.json, &mut io::stderr())
            .and_then(|()| ask(mount, request, context.output.json))
            .map_err(|failure| keys.after(failure, NOT_MADE))
            .and_then(|opened| {
                if opened.get("offline") == Some(&Value::Bool(true)) {
                    context.output.note(OFFLINE);
                }
                // Not after hours.
                exposed::say(context.output.json);
                Member::first(mount)
            });
        match member {
            Ok(member) => Ok((member, Some(daemon))),
            Err(failure) => {
                daemon.end();
                Err(failure)
            }
        }
    });
    if opened.is_err() && made {
        daemon::unprepare(mount);
    }
    opened
}

fn inside(context: &Context, store: &str, mount: &Path, mut command: Vec<OsString>) -> Result<u8> {
    if command.is_empty() {
        command.push(environment::shell());
    }
    let own = std::env::current_exe().ok();
    let variables = environment::inside(
        std::env::vars_os(),
        &context.dirs,
        store,
        mount,
        own.as_deref(),
        Path::is_dir,
    );
    foreground::run(&command, &variables, &mount.join("home"))
}

/// Waits for programs that the command left behind (a `git gc` in the background, for instance), and in
/// the end tells those that were started inside the session that it closes, as a terminal would.
fn wait_for_left(context: &Context, mount: &Path) {
    let gone_within = |limit: Duration| {
        let start = Instant::now();
        let mut said = false;
        loop {
            let left = mount_users::find(mount);
            if left.is_empty() {
                return true;
            }
            if !said && start.elapsed() > Duration::from_secs(1) {
                said = true;
                context.output.note(&format!(
                    "the home is still in use by {}: waiting up to {} seconds (Ctrl-C: do not wait)",
                    mount_users::names(&left),
                    limit.as_secs()
                ));
            }
            if start.elapsed() > limit || signals::asked().is_some() {
                return false;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    };
    if gone_within(LEFT_FINISH) {
        return;
    }
    mount_users::signal(&mount_users::find(mount), Signal::HUP);
    if gone_within(LEFT_END) {
        return;
    }
    mount_users::signal(&mount_users::find(mount), Signal::TERM);
    if !gone_within(LEFT_END) {
        context.output.note(&format!(
            "{} did not end; what they write from now on is lost",
            mount_users::names(&mount_users::find(mount))
        ));
    }
}

/// Takes leave of the session: the last one out signs out, the others only publish.
fn leave(
    context: &Context,
    mount: &Path,
    mut member: Member,
    mut daemon: Option<Daemon>,
) -> Result<()> {
    let json = context.output.json;
    // A daemon that is gone is dealt with like one that ends now.
    if let Ok(false) = member.leave() {
        // The daemon's end comes with the last of the others.
        return match ask_for::<Published>(mount, Request::Sync, json) {
            Ok((published, _)) => {
                say_conflicts(context, &published);
                Ok(())
            }
            // Its last one has signed out meanwhile, which publishes.
            Err(failure) if failure.code == "no_session" || !dirs::answers(mount) => Ok(()),
            Err(failure) => Err(Failure {
                exit: 1,
                message: format!(
                    "publishing at the end did not succeed: {}; others still use the session, and it publishes again when the last of them ends",
                    failure.message
                ),
                ..failure
            }),
        };
    }
    wait_for_left(context, mount);
    let left = sign_out(context, mount, daemon.as_mut());
    // It would keep the mount busy.
    drop(member);
    match daemon {
        Some(mut daemon) => daemon.end(),
        None => daemon::wait_ended(mount),
    }
    left
}

fn say_conflicts(context: &Context, published: &Published) {
    if !published.conflicts.is_empty() {
        context.output.note(&published_text(published));
    }
}

/// Publishes and signs out; if that cannot be, leaves the changes in the encrypted stage.
fn sign_out(context: &Context, mount: &Path, daemon: Option<&mut Daemon>) -> Result<()> {
    let request = |keep_stage| {
        Request::SignOut(SignOut {
            wipe: false,
            keep_stage,
            // It was tried just now.
            later: keep_stage,
            // Remaining members were told to end, and did not.
            force: true,
        })
    };
    let failure = match ask_for::<Published>(mount, request(false), context.output.json) {
        Ok((published, _)) => {
            say_conflicts(context, &published);
            return Ok(());
        }
        Err(failure) => failure,
    };
    let last_words = match daemon {
        Some(daemon) => daemon.ended().then(|| daemon.said()),
        None => (!dirs::answers(mount)).then(String::new),
    };
    if let Some(said) = last_words {
        let said = match said.as_str() {
            "" => String::new(),
            said => format!(" ({said})"),
        };
        return Err(Failure {
            message: format!(
                "the daemon ended before the session was signed out{said}; what was synced is in the encrypted stage on this computer: sign in again here to publish it"
            ),
            ..failure
        });
    }
    let kept = ask(mount, request(true), context.output.json);
    Err(Failure {
        exit: 1,
        message: format!(
            "publishing at the end did not succeed: {}; {}",
            failure.message,
            match kept {
                Ok(_) =>
                    "the changes stay in the encrypted stage on this computer: sign in here again to publish them"
                        .to_owned(),
                Err(second) => format!("and the session could not be closed: {}", second.message),
            }
        ),
        ..failure
    })
}
