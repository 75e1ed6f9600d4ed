//! Mounts a plain in-memory volume as the home of the caller: the front by itself, for tests and
//! measurements. Ends on SIGTERM or SIGINT like the daemon.
//!
//! `model_mount DIR [--one-user]`

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::PathBuf;

use safed::fuse;
use support::{Model, attach, daemon};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let point = PathBuf::from(arguments.next().ok_or("which folder?")?);
    let one_user = arguments.next().is_some_and(|word| word == "--one-user");
    let signals = safed::process::Signals::block()?;
    let daemon = daemon();
    let options = fuse::Options {
        one_user,
        ..fuse::Options::default()
    };
    let mounted = fuse::mount(&daemon, &point, &options)?;
    let uid = safed::process::uid();
    attach(&daemon, uid, &Model::new(uid, 0));
    println!("ready");
    signals.wait(|| mounted.is_finished());
    mounted.unmount(|| ());
    Ok(())
}
