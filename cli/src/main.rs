//! `safe`: the command for people and scripts. It is thin: it reads what was typed, talks to the daemon
//! `safed` through the control file, and shows the answer.

mod args;
mod commands;
mod conversation;
mod daemon;
mod dead_mount;
mod dirs;
mod environment;
mod exposed;
mod failure;
mod fetch;
mod foreground;
mod held;
mod keys;
mod member;
mod mount_users;
mod output;
mod password;
mod paths;
mod progress;
mod signals;
mod terminal;
mod umask;
mod waiting;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    harden();
    umask::keep_owner();
    let args = args::Args::parse();
    let json = args.json;
    match commands::run(args) {
        Ok(code) => {
            exposed::say(json);
            ExitCode::from(code)
        }
        Err(failure) => failure.report(json),
    }
}

/// Passwords pass through here: no core dump, and no reading of this process's memory by other programs of the same
/// user. Not by a limit on core files, which the programs of `safe run` would inherit.
fn harden() {
    #[cfg(target_os = "linux")]
    // Refused, there is nothing else to do.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::{DumpableBehavior, dumpable_behavior};

    #[test]
    fn a_process_that_holds_passwords_cannot_be_dumped() {
        super::harden();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}
