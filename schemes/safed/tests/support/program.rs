//! The daemon as a program.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A daemon that mounts there and keeps everything in this folder.
pub fn command(folder: &TempDir, point: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_safed"));
    command
        .args(more)
        .arg("--mount")
        .arg(point)
        .arg("--state")
        .arg(folder.path().join("state"))
        .arg("--store")
        .arg(format!("file://{}", folder.path().join("store").display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Waits until it serves.
pub fn wait_ready(daemon: &mut Child) {
    let mut line = String::new();
    let stdout = daemon.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
}
