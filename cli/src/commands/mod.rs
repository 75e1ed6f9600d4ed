//! The commands, each in the file of its idea.

mod account;
mod context;
#[cfg(target_os = "linux")]
mod devnet;
mod doctor;
mod generate;
mod history;
mod lock;
mod money;
mod public;
mod run;
mod serve;
mod session;
mod store;
mod watch;

use safeos_control::SignOut;

use self::account::Opening;
pub use self::context::Context;
use crate::args::{Account, Args, Command};
use crate::dirs::Dirs;
use crate::failure::Result;
use crate::output::Output;

/// Does what was asked; the exit code.
pub fn run(args: Args) -> Result<u8> {
    let output = Output { json: args.json };
    match &args.command {
        Command::Completions { shell } => return generate::completions(*shell).map(|()| 0),
        Command::Man { dir } => return generate::man(dir.as_deref(), output).map(|()| 0),
        _ => {}
    }
    let mut dirs = Dirs::new(args.mount)?;
    dirs.log = args.log;
    dirs.begin_log()?;
    let context = Context { dirs, output };
    match args.command {
        Command::Signup {
            account,
            small_memory,
            recovery_sheet,
        } => account::signup(&context, &account, small_memory, recovery_sheet)?,
        Command::Recover {
            store,
            password_stdin,
            accept_older,
        } => account::recover(&context, store.as_deref(), password_stdin, accept_older)?,
        Command::RecoverySheet { password_stdin } => {
            account::recovery_sheet(&context, password_stdin)?;
        }
        Command::Login {
            account,
            remember,
            accept_older,
            wait,
            mounting,
        } => {
            let opening = Opening {
                remember,
                accept_older,
                wait,
            };
            account::login(&context, &account, opening, mounting)?;
        }
        Command::Logout {
            wipe,
            keep,
            later,
            force,
        } => {
            let how = SignOut {
                wipe,
                keep_stage: keep,
                later,
                force,
            };
            account::logout(&context, how)?;
        }
        Command::Passwd {
            password_stdin,
            account,
            store,
            secret_key,
        } => {
            let account = account.map(|name| Account {
                name,
                store,
                password_stdin,
                secret_key,
            });
            account::passwd(&context, account.as_ref(), password_stdin)?;
        }
        Command::Lock => lock::lock(&context)?,
        Command::Status { watch: true, .. } => watch::watch(&context)?,
        Command::Status { metrics: true, .. } => watch::metrics(&context)?,
        Command::Status { .. } => session::status(&context)?,
        Command::Doctor { file } => doctor::doctor(&context, file.as_deref())?,
        Command::Sync { spend } => session::sync(&context, spend)?,
        Command::Run {
            account,
            signup,
            remember,
            accept_older,
            wait,
            mounting,
            command,
        } => {
            let how = run::How {
                signup,
                opening: Opening {
                    remember,
                    accept_older,
                    wait,
                },
                mounting,
            };
            return run::run(&context, &account, &how, command);
        }
        Command::Log { limit } => history::log(&context, limit)?,
        Command::Restore {
            snapshot,
            path,
            to,
            replace,
        } => history::restore(&context, &snapshot, &path, to.as_deref(), replace)?,
        Command::Publish {
            path,
            yes,
            store,
            whose,
        } => public::publish(&context, &path, yes, store.as_deref(), &whose)?,
        Command::Get { url, dir, store } => {
            public::get(&context, &url, dir.as_deref(), store.as_deref())?;
        }
        Command::Store(what) => store::store(&context, what)?,
        #[cfg(target_os = "linux")]
        Command::Devnet(how) => devnet::devnet(&context, &how)?,
        #[cfg(not(target_os = "linux"))]
        Command::Devnet(_) => {
            return Err(crate::failure::Failure::usage(
                "a local network runs on Linux: serve it from there with `safe store serve`",
            ));
        }
        Command::Completions { .. } | Command::Man { .. } => {}
    }
    Ok(0)
}
