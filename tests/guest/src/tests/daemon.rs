//! The daemon of the computer: there from the start, and again when it was killed.

use std::fs::{self, File};
use std::io::Write;
use std::process::Command;
use std::time::Duration;

use crate::account::ANA;
use crate::runner::run_for;

const CONTROL: &str = "/scheme/safe/.ctl";

/// The scheme answers, and shows users without a session nothing but the common places.
pub fn it_is_ready_before_anybody_asks() {
    let mut names: Vec<String> = fs::read_dir("/scheme/safe")
        .expect("the scheme")
        .map(|entry| entry.expect("an entry").file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, [".ctl", "public", "status"]);
    let status = fs::read_to_string("/scheme/safe/status").expect("status");
    assert!(status.starts_with("account: none\n"), "{status}");
}

/// The processes named `safed`: the one that supervises and the one that serves, which is younger.
fn daemons() -> Vec<usize> {
    let table = fs::read_to_string("/scheme/proc/ps").expect("the list of processes");
    let mut found: Vec<usize> = table
        .lines()
        .filter(|line| line.split_whitespace().any(|word| word.ends_with("safed")))
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
        .collect();
    found.sort_unstable();
    assert_eq!(found.len(), 2, "{table}");
    found
}

/// Killed while a session is open, it is started again, takes its name over, and the next sign-in finds every byte
/// that was made durable.
pub fn a_killed_daemon_comes_back_with_what_was_synced() {
    let as_ana = |name: &str| {
        let program = std::env::current_exe().expect("the own program");
        let mut command = Command::new(program);
        std::os::unix::process::CommandExt::uid(&mut command, ANA.uid);
        command.args(["help", name]);
        let (status, said) = run_for(&mut command, Duration::from_secs(1800));
        assert!(status.is_some_and(|status| status.success()), "{said}");
    };
    as_ana("make-durable");
    let before = daemons();
    let served = before[1];
    // SAFETY: takes plain numbers.
    assert_eq!(
        unsafe { libc::kill(served as libc::pid_t, libc::SIGKILL) },
        0
    );
    let mut waited = 0;
    while File::open(CONTROL).is_err() {
        std::thread::sleep(Duration::from_millis(50));
        waited += 1;
        assert!(waited < 1000, "nobody serves the scheme again");
    }
    let after = daemons();
    assert_eq!(after[0], before[0], "the supervisor is the same");
    assert_ne!(after[1], served, "the daemon is another");
    as_ana("find-durable");
}

const DURABLE: &str = "/scheme/safe/home/durable";

fn durable() -> Vec<u8> {
    (0..200_000_u32).map(|n| (n / 5) as u8).collect()
}

/// Writes a file and has it made durable, but not published.
pub fn make_durable() {
    let mut file = File::create(DURABLE).expect(DURABLE);
    file.write_all(&durable()).expect("writing");
    file.sync_all().expect("making it durable");
}

/// The session that was open is gone with its daemon; after signing in the file is there.
pub fn find_durable() {
    assert!(File::open(DURABLE).is_err());
    ANA.sign_in();
    assert!(fs::read(DURABLE).expect(DURABLE) == durable());
}
