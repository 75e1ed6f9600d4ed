//! `safe`: the command for people and scripts. It is thin: it reads what was typed, talks to the daemon
//! `safed` through the control file, and shows the answer.

mod args;
mod commands;
mod conversation;
mod daemon;
mod environment;
mod failure;
mod fetch;
mod foreground;
mod holders;
mod member;
mod output;
mod password;
mod paths;
mod places;
mod progress;
mod signals;
mod terminal;
mod waiting;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = args::Args::parse();
    let json = args.json;
    match commands::run(args) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => failure.report(json),
    }
}
