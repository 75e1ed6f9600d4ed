//! `safe run`: an account's home for the time of one command.
//!
//! Whatever way the command ends, the home is published (or stays in the encrypted stage), the session
//! is closed, the daemon ended and the mount point gone before `safe` returns.

use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use safeos_control::{Request, SignOut};

use super::Context;
use super::account::{secret_key_shown, sign_in, sign_up};
use super::session::{Published, published_text};
use crate::args::Account;
use crate::conversation::{ask, ask_for};
use crate::daemon::{Daemon, Temporary};
use crate::environment;
use crate::failure::{Failure, Result};
use crate::foreground;
use crate::holders::{self, holders};
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
    /// Keep what is needed to sign in offline.
    pub remember: bool,
    /// Accept an older state.
    pub accept_older: bool,
}

/// `safe run`; the command's exit code.
pub fn run(context: &Context, account: &Account, how: &How, command: Vec<OsString>) -> Result<u8> {
    let store = context.places.store(account.store.as_deref());
    let request = if how.signup {
        sign_up(context, account, how.remember, false, false)?
    } else {
        sign_in(context, account, how.remember, how.accept_older)?
    };
    signals::watch()?;
    let temporary = Temporary::new()?;
    let mount = temporary.mount();
    let mut daemon = Daemon::start(&context.places, &store, &mount, true)?;
    let opened = ask(&mount, request, context.output.json);
    let outcome = opened.and_then(|answer| {
        if let Some(key) = secret_key_shown(&answer) {
            eprintln!(
                "safe: the account's secret key, shown only now, needed besides the password on every new computer: {key}"
            );
        }
        let ran = inside(context, &store, &mount, command);
        wait_for_left(context, &mount);
        let left = leave(context, &mount, &mut daemon);
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
    });
    daemon.end();
    outcome
}

fn inside(context: &Context, store: &str, mount: &Path, mut command: Vec<OsString>) -> Result<u8> {
    if command.is_empty() {
        command.push(environment::shell());
    }
    let own = std::env::current_exe().ok();
    let variables = environment::inside(
        std::env::vars_os(),
        &context.places,
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
            let left = holders(mount);
            if left.is_empty() {
                return true;
            }
            if !said && start.elapsed() > Duration::from_secs(1) {
                said = true;
                context.output.note(&format!(
                    "the home is still in use by {}: waiting up to {} seconds (Ctrl-C: do not wait)",
                    holders::names(&left),
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
    holders::signal(&holders(mount), Signal::HUP);
    if gone_within(LEFT_END) {
        return;
    }
    holders::signal(&holders(mount), Signal::TERM);
    if !gone_within(LEFT_END) {
        context.output.note(&format!(
            "{} did not end; what they write from now on is lost",
            holders::names(&holders(mount))
        ));
    }
}

/// Publishes and signs out; if that cannot be, leaves the changes in the encrypted stage.
fn leave(context: &Context, mount: &Path, daemon: &mut Daemon) -> Result<()> {
    let request = |keep_stage| {
        Request::SignOut(SignOut {
            wipe: false,
            keep_stage,
            later: false,
        })
    };
    let failure = match ask_for::<Published>(mount, request(false), context.output.json) {
        Ok((published, _)) => {
            if !published.conflicts.is_empty() {
                context.output.note(&published_text(&published));
            }
            return Ok(());
        }
        Err(failure) => failure,
    };
    if daemon.ended() {
        return Err(Failure {
            message: format!(
                "the daemon ended before the session was signed out ({}); what was synced is in the encrypted stage on this computer: sign in again here to publish it",
                daemon.said()
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
