//! Running the command: it has the terminal, and its exit code becomes ours.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};

use rustix::process::Pid;

use crate::failure::{Failure, Result, signal_exit};
use crate::{signals, umask};

/// Runs `command` with exactly these variables in `folder` and waits for it; its exit code as shells count it.
pub fn run(
    command: &[OsString],
    variables: &BTreeMap<OsString, OsString>,
    folder: &Path,
) -> Result<u8> {
    let [program, arguments @ ..] = command else {
        return Err(Failure::usage("no command was given"));
    };
    let mut child = Command::new(program);
    child
        .args(arguments)
        .env_clear()
        .envs(variables)
        .current_dir(folder);
    let started = umask::as_called(|| child.spawn());
    let mut child = match started {
        Ok(child) => child,
        Err(error) => return Err(not_started(program, &error)),
    };
    signals::pass_to(Some(Pid::from_child(&child)));
    wait(&mut child)
        .map(exit_code)
        .map_err(|e| Failure::system("waiting for the command failed", &e))
}

/// Waits for the command. Signals are passed on until it has ended and no longer: once it is reaped, its id may
/// belong to another process.
#[cfg(not(target_os = "redox"))]
fn wait(child: &mut Child) -> io::Result<ExitStatus> {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(Pid::from_child(child)), ended) {}
    signals::pass_to(None);
    child.wait()
}

/// The same where nothing waits without reaping: it is asked now and then, with no signal passed on meanwhile.
#[cfg(target_os = "redox")]
fn wait(child: &mut Child) -> io::Result<ExitStatus> {
    const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(10);
    loop {
        match signals::pass_unless(|| child.try_wait()) {
            Ok(Some(status)) => return Ok(status),
            Ok(None) => std::thread::sleep(LOOK_EVERY),
            Err(error) => return Err(error),
        }
    }
}

fn not_started(program: &OsString, error: &io::Error) -> Failure {
    let name = Path::new(program).display();
    let (exit, message) = match error.kind() {
        io::ErrorKind::NotFound => (
            127,
            format!("{name}: no such command; check its name and PATH"),
        ),
        _ => (126, format!("{name} cannot be run: {error}")),
    };
    Failure {
        exit,
        ..Failure::new("command_not_started", message)
    }
}

/// The code a shell gives: the program's own, or 128 and the signal's number.
pub fn exit_code(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code & 0xff).unwrap_or(1),
        (None, Some(signal)) => signal_exit(signal),
        (None, None) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Result<u8> {
        let variables = BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into())]);
        run(
            &["sh".into(), "-c".into(), script.into()],
            &variables,
            Path::new("/"),
        )
    }

    #[test]
    fn the_codes_of_commands_are_kept() {
        assert_eq!(shell("exit 0").unwrap(), 0);
        assert_eq!(shell("exit 3").unwrap(), 3);
        assert_eq!(shell("exit 255").unwrap(), 255);
        assert_eq!(shell("kill -9 $$").unwrap(), 137);
        assert_eq!(shell("kill -15 $$").unwrap(), 143);
    }

    #[test]
    fn the_command_sees_these_variables_only() {
        assert_eq!(shell("test -z \"$HOME\" && test \"$PWD\" = /").unwrap(), 0);
    }

    #[test]
    fn a_command_that_is_not_there() {
        let failure = run(&["no-such-thing".into()], &BTreeMap::new(), Path::new("/")).unwrap_err();
        assert_eq!(failure.exit, 127);
        let failure = run(&["/etc/passwd".into()], &BTreeMap::new(), Path::new("/")).unwrap_err();
        assert_eq!(failure.exit, 126);
    }
}
