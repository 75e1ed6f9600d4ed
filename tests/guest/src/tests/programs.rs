//! Real programs in the home.

use std::ffi::CString;
use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use safeos_scheme_tests::files::{Files, How};
use safeos_scheme_tests::system::System;

use crate::runner::run_for;

const HOME: &str = "/scheme/safe/home";

/// Runs a program in a folder; returns its output.
fn run(folder: &str, program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder);
    let (status, said) = run_for(&mut command, Duration::from_secs(600));
    assert!(
        status.is_some_and(|status| status.success()),
        "{program} {arguments:?}: {said} ({status:?})"
    );
    said
}

fn folder(name: &str) -> String {
    let folder = format!("{HOME}/{name}");
    fs::create_dir(&folder).expect(&folder);
    folder
}

/// `safe:home/…`, as older programs spell it.
pub fn the_old_spelling_of_paths_works() {
    let name = CString::new("safe:home/old-spelling").unwrap();
    // SAFETY: the path lives until the call returns.
    let fd = unsafe { libc::open(name.as_ptr(), libc::O_CREAT | libc::O_RDWR, 0o644) };
    assert!(fd >= 0, "{}", std::io::Error::last_os_error());
    assert_eq!(System.write(fd as usize, b"x"), Ok(1));
    System.close(fd as usize);
    assert_eq!(fs::read(format!("{HOME}/old-spelling")).unwrap(), b"x");
}

/// The programs that everybody uses.
pub fn cat_cp_ls_mv_rm_mkdir_and_ln() {
    let at = folder("programs");
    fs::write(format!("{at}/a"), "some text\n").unwrap();
    assert_eq!(run(&at, "cat", &["a"]), "some text\n");
    run(&at, "cp", &["a", "b"]);
    run(&at, "mkdir", &["-p", "d/e"]);
    run(&at, "mv", &["b", "d/e/c"]);
    run(&at, "ln", &["-s", "d/e/c", "link"]);
    run(&at, "ln", &["a", "hard"]);
    assert_eq!(run(&at, "cat", &["link", "hard"]), "some text\nsome text\n");
    let listed = run(&at, "ls", &["-l"]);
    for name in ["a", "d", "link", "hard"] {
        let line = listed
            .lines()
            .find(|line| line.split_whitespace().any(|word| word == name));
        assert!(line.is_some(), "{name} is not in {listed}");
    }
    run(&at, "rm", &["a", "link"]);
    run(&at, "rm", &["-r", "d"]);
    let left: Vec<_> = fs::read_dir(&at)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["hard"]);
}

/// A shell whose current directory is there, with a loop, a redirection and a pipe.
pub fn a_shell_works_in_it() {
    let at = folder("shell");
    let script =
        "cd deeper\nfor n in 1 2 3\n  echo line $n >> lines\nend\ncat lines | wc -l > count\npwd\n";
    fs::create_dir(format!("{at}/deeper")).unwrap();
    fs::write(format!("{at}/script"), script).unwrap();
    let said = run(&at, "ion", &["script"]);
    assert_eq!(said.trim(), format!("{at}/deeper"));
    assert_eq!(
        fs::read_to_string(format!("{at}/deeper/lines")).unwrap(),
        "line 1\nline 2\nline 3\n"
    );
    assert_eq!(
        fs::read_to_string(format!("{at}/deeper/count"))
            .unwrap()
            .trim(),
        "3"
    );
}

/// A program that lies in the home.
pub fn a_program_runs_from_it() {
    let program = format!("{}/echo", folder("bin"));
    let found = ["/usr/bin/echo", "/bin/echo"]
        .into_iter()
        .find(|path| fs::exists(path).unwrap());
    fs::copy(found.expect("echo"), &program).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    assert_eq!(
        run(HOME, &program, &["from", "the", "home"]),
        "from the home\n"
    );
    fs::set_permissions(&program, Permissions::from_mode(0o644)).unwrap();
    assert!(
        Command::new(&program).spawn().is_err(),
        "it may not be executed any more"
    );
}

/// A range that one program has locked another does not get, until the first one ends.
pub fn record_locks_hold_between_programs() {
    let path = format!("{HOME}/locked");
    fs::write(&path, b"0123456789").unwrap();
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["help", "lock", &path])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(holder.stdout.take().unwrap())
        .read_line(&mut said)
        .unwrap();
    assert_eq!(said, "locked\n");
    let how = How {
        create: false,
        ..How::WRITE
    };
    let fd = System.open(&path, how).unwrap();
    assert_eq!(System.lock(fd, 2, 2, true), Err(libc::EAGAIN));
    assert_eq!(System.lock(fd, 2, 2, false), Err(libc::EAGAIN));
    assert_eq!(System.lock(fd, 5, 5, true), Ok(()));
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    assert_eq!(System.lock(fd, 0, 0, true), Ok(()));
    System.close(fd);
}

/// Holds a lock on the first bytes of a file until its input ends.
pub fn hold_a_lock(path: &str) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    System.lock(file.as_raw_fd() as usize, 0, 5, true).unwrap();
    println!("locked");
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
}
