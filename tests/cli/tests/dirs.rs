//! Where the home is: at one path, for everybody who works in the session, and at none while no session is open.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use safeos_cli_tests::{Running, error, eventually, everything_in, limit_files, refused};
use safeos_suite_tests::computer::{LIMIT, NAME};
use safeos_suite_tests::{Computer, TestDir, binaries, run_for, test_dir};

fn computer(place: &TestDir) -> Computer {
    let computer = Computer::new(place, "first");
    computer.sign_up();
    computer
}

/// Without SAFE_MOUNT: at its default place.
fn plain(computer: &Computer) -> Command {
    let mut command = computer.command();
    command.env_remove("SAFE_MOUNT").current_dir("/");
    command
}

fn in_shell(computer: &Computer, script: &str) -> Command {
    let mut command = plain(computer);
    command.args(["run", NAME, "--", "sh", "-c", script]);
    command
}

#[test]
fn home_is_at_the_same_path_each_time() {
    let place = TestDir::new();
    let computer = computer(&place);
    let home = || {
        let done = run_for(
            &mut in_shell(&computer, "cd; pwd -P; echo \"$HOME\""),
            LIMIT,
        )
        .ok();
        let lines: Vec<&str> = done.stdout.lines().collect();
        assert_eq!(lines[0], lines[1]);
        PathBuf::from(lines[0])
    };
    let first = home();
    assert_eq!(first, home());
    run_for(plain(&computer).args(["login", NAME]), LIMIT).ok();
    assert!(first.join(".").is_dir(), "`safe login` has it elsewhere");
    run_for(plain(&computer).arg("logout"), LIMIT).ok();
    // Or where it is said to be.
    let there = place.folder("there");
    let mut command = in_shell(&computer, "echo \"$HOME\"");
    command.args(["x"]).env("SAFE_MOUNT", &there);
    let done = run_for(&mut command, LIMIT).ok();
    assert_eq!(Path::new(done.stdout.trim()), there.join("home"));
}

#[test]
fn a_mask_that_takes_the_owner_s_bits_locks_nobody_out() {
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    let masked = |arguments: &str| {
        let mut command = plain(&computer);
        let script = format!("umask 777; exec \"$0\" {arguments}");
        let program = command.get_program().to_owned();
        let variables: Vec<_> = command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        command = Command::new("sh");
        command
            .args(["-c", &script])
            .arg(program)
            .envs(variables)
            .current_dir("/");
        run_for(&mut command, LIMIT).ok().stdout
    };
    // Root would see nothing of it but the bits.
    masked(&format!("run {NAME} --signup -- true"));
    for entry in everything_in(place.path()) {
        let mode = fs::symlink_metadata(&entry).unwrap().mode();
        assert_ne!(mode & 0o400, 0, "{entry}");
    }
    assert_eq!(
        masked(&format!("run {NAME} -- sh -c umask")).trim(),
        "0777",
        "the command has the mask of its caller"
    );
}

#[test]
fn a_path_that_was_written_down_leads_nowhere_while_nobody_is_signed_in() {
    let place = TestDir::new();
    let computer = computer(&place);
    let script = "echo \"$HOME/data\" > written-down; echo \"$HOME/data\"";
    let done = run_for(&mut in_shell(&computer, script), LIMIT).ok();
    let data = PathBuf::from(done.stdout.trim());
    assert!(fs::create_dir_all(&data).is_err());
    assert!(fs::write(&data, "private").is_err());
    let script = "d=$(cat written-down); mkdir -p $d && echo private > $d/note && cat data/note";
    let done = run_for(&mut in_shell(&computer, script), LIMIT).ok();
    assert_eq!(done.stdout, "private\n");
}

#[test]
fn what_was_written_there_all_the_same_is_said_and_put_aside() {
    let place = TestDir::new();
    let computer = computer(&place);
    computer.login();
    computer.logout();
    let open = |folder: &Path| {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    };
    open(&computer.mount);
    fs::remove_file(computer.home()).unwrap();
    fs::create_dir(computer.home()).unwrap();
    fs::write(computer.home().join("log"), "private").unwrap();
    let done = computer.safe(&["login", NAME]);
    assert!(done.stderr.contains("unencrypted"), "{}", done.stderr);
    assert!(!computer.home().join("log").exists());
    computer.logout();
    let aside = place.path().join("first-written-unencrypted");
    assert!(done.stderr.contains(aside.to_str().unwrap()));
    assert_eq!(fs::read(aside.join("home/log")).unwrap(), b"private");
    // Said once.
    let done = computer.safe(&["login", NAME]);
    assert_eq!(done.stderr, "");
    computer.logout();
}

#[test]
fn the_second_run_joins_the_first_and_the_last_one_out_signs_out() {
    let place = TestDir::new();
    let computer = computer(&place);
    let script =
        "echo first > first; echo ready; while ! test -e go; do sleep 0.05; done; echo end > end";
    let mut first = Running::start(&mut in_shell(&computer, script));
    first.until("ready");
    // No password is needed for an open session.
    let script = "cat first; echo joined > joined; safe status --json";
    let mut second = in_shell(&computer, script);
    second.env_remove("SAFE_PASSWORD_FILE");
    let done = run_for(&mut second, LIMIT).ok();
    assert!(done.stdout.starts_with("first\n"), "{}", done.stdout);
    // Its files are published, and the first one goes on.
    assert!(done.stdout.contains("\"account\":\"ana\""));
    assert!(computer.daemon().is_some());
    let other = Computer::new(&place, "other");
    assert_eq!(
        other.safe(&["run", NAME, "--", "cat", "joined"]).stdout,
        "joined\n"
    );
    // Another account at the same place is told so.
    let mut wrong = plain(&computer);
    wrong.args(["--json", "run", "ben", "--", "true"]);
    let done = run_for(&mut wrong, LIMIT).code(1);
    assert_eq!(error(&done)["code"], "in_use");
    // As is `safe logout`, from outside.
    let mut logout = plain(&computer);
    logout.args(["--json", "logout"]);
    let done = run_for(&mut logout, LIMIT).code(1);
    assert_eq!(error(&done)["code"], "in_use");

    run_for(&mut in_shell(&computer, "touch go"), LIMIT).ok();
    let (code, seen) = first.end();
    assert_eq!(code, Some(0), "{seen}");
    eventually("the daemon ends", || computer.daemon().is_none());
    assert_eq!(test_dir::mounts_in(place.path()), <[PathBuf; 0]>::default());
    assert_eq!(
        other.safe(&["run", NAME, "--", "cat", "end"]).stdout,
        "end\n"
    );
}

#[test]
fn the_first_run_may_be_killed_while_the_second_works() {
    let place = TestDir::new();
    let computer = computer(&place);
    let mut first = Running::start(&mut in_shell(&computer, "echo ready; sleep 300"));
    first.until("ready");
    let script = "echo ready; while ! test -e go; do sleep 0.05; done; echo second > second";
    let mut second = Running::start(&mut in_shell(&computer, script));
    second.until("ready");
    first.signal_group(libc::SIGKILL);
    first.end();
    let script = "echo third; touch go";
    let done = run_for(&mut in_shell(&computer, script), LIMIT).ok();
    assert_eq!(done.stdout, "third\n");
    let (code, seen) = second.end();
    assert_eq!(code, Some(0), "{seen}");
    eventually("the daemon ends", || computer.daemon().is_none());
    assert_eq!(test_dir::mounts_in(place.path()), <[PathBuf; 0]>::default());
    let other = Computer::new(&place, "other");
    assert_eq!(
        other.safe(&["run", NAME, "--", "cat", "second"]).stdout,
        "second\n"
    );
}

#[test]
fn a_run_in_an_open_session_leaves_it_open() {
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    let done = computer.safe(&["run", NAME, "--", "sh", "-c", "echo x > x; pwd"]);
    assert_eq!(done.stdout.trim(), computer.home().to_str().unwrap());
    assert_eq!(fs::read(computer.home().join("x")).unwrap(), b"x\n");
    computer.logout();
}

#[test]
fn sign_out_refuses_while_files_are_open_for_writing() {
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    let mut file = fs::File::create(computer.home().join("letter")).unwrap();
    file.write_all(b"Dear").unwrap();
    let reader = fs::File::open(computer.home().join("letter")).unwrap();
    let message = refused(&computer, &["logout"], 1, "files_open");
    for word in ["letter", &std::process::id().to_string(), "--force"] {
        assert!(message.contains(word), "{word}: {message}");
    }
    file.write_all(b" Ben").unwrap();
    computer.safe(&["logout", "--force"]);
    // Not one that vanishes.
    let failed = file.write_all(b", this is lost").unwrap_err();
    let expected = [libc::ENODEV, libc::ENOTCONN, libc::ECONNABORTED, libc::EIO];
    assert!(
        expected.contains(&failed.raw_os_error().unwrap()),
        "{failed}"
    );
    drop((file, reader));
    computer.login();
    let kept = fs::read_to_string(computer.home().join("letter")).unwrap();
    assert_eq!(kept, "Dear Ben");
    // Open for reading only is no reason to refuse.
    let reader = fs::File::open(computer.home().join("letter")).unwrap();
    computer.logout();
    drop(reader);
}

#[test]
fn after_a_crash_it_is_said_what_happened_and_what_waits() {
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    let kept = |computer: &Computer, name: &str| {
        let path = computer.home().join(name);
        fs::write(&path, vec![7; 200_000]).unwrap();
        fs::File::open(&path).unwrap().sync_all().unwrap();
        computer.kill();
    };
    for (at, command) in ["status", "sync", "logout"].iter().enumerate() {
        kept(&computer, &at.to_string());
        let mut ask = plain(&computer);
        ask.arg(command);
        let done = run_for(&mut ask, LIMIT).code(i32::from(*command != "logout"));
        for word in [
            "died",
            "iB that are not published yet wait, encrypted",
            "safe login",
        ] {
            assert!(done.stderr.contains(word), "{command}: {}", done.stderr);
        }
        assert_eq!(
            test_dir::mounts_in(place.path()),
            <[PathBuf; 0]>::default(),
            "{command} leaves the dead mount"
        );
        // Afterwards no session is open; waiting changes are still reported.
        let done = run_for(plain(&computer).arg("status"), LIMIT).code(1);
        assert!(done.stderr.contains("wait, encrypted"), "{}", done.stderr);
        computer.login();
        assert!(computer.home().join(at.to_string()).exists());
    }
    computer.logout();
    let done = run_for(plain(&computer).arg("status"), LIMIT).code(1);
    assert!(!done.stderr.contains("wait, encrypted"), "{}", done.stderr);
}

#[test]
fn secrets_places_reach_neither_the_daemon_nor_the_command() {
    let place = TestDir::new();
    let computer = computer(&place);
    let names = [
        "SAFE_PASSWORD_FILE",
        "SAFE_NEW_PASSWORD_FILE",
        "SAFE_SECRET_KEY_FILE",
        "SAFE_RECOVERY_KEY_FILE",
    ];
    let mut command = in_shell(&computer, "env; echo ready; read line");
    for name in &names[1..] {
        command.env(name, "/nonexistent/secret");
    }
    let mut running = Running::start(&mut command);
    running.until("ready");
    let daemon = computer.daemon().unwrap();
    let environment = fs::read(format!("/proc/{daemon}/environ"));
    for name in names {
        assert!(!running.seen().contains(name), "{name}");
        // Without the right to look into it that cannot be seen here.
        if let Ok(environment) = &environment {
            let all = String::from_utf8_lossy(environment);
            assert!(!all.contains(name), "the daemon has {name}");
        }
    }
    let (code, _) = running.end();
    assert!(code.is_some());
}

/// Root's access to an ordinary user's home: as that user, in a namespace of mounts whose fuse.conf allows it.
#[test]
fn root_gets_into_an_ordinary_users_home_when_asked_to() {
    if !test_dir::needs_root("letting root into an ordinary user's home") {
        return;
    }
    use std::os::unix::fs::{PermissionsExt, chown};
    const NOBODY: u32 = 65_534;
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    let folder = place.folder("user");
    for path in [
        &folder,
        &computer.state,
        &computer.store,
        &computer.mount,
        &computer.temporary().to_owned(),
        &place.path().join("first.password"),
    ] {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let safe = binaries::copied_to(&place.folder("bin"));
    let run = |settings: &str, script: &str| {
        let conf = place.path().join("fuse.conf");
        fs::write(&conf, settings).unwrap();
        let mut as_user = computer.command();
        let script = format!(
            "mount --bind '{0}' /etc/fuse.conf || exit 99
             user() {{ setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups \"$@\"; }}
             # Some computers keep ordinary users from FUSE.
             if ! user test -w /dev/fuse; then
                 test -e '{0}.device' || mknod -m 666 '{0}.device' c 10 229 || exit 98
                 chmod 666 '{0}.device' && mount --bind '{0}.device' /dev/fuse || exit 97
             fi
             {script}",
            conf.display()
        );
        let mut command = Command::new("unshare");
        command
            .args(["-m", "sh", "-c", &script])
            .env("safe", &safe)
            .env("HOME", &folder)
            .current_dir("/");
        for (name, value) in as_user.env("H", computer.home()).get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        run_for(&mut command, LIMIT)
    };
    let done = run(
        "",
        "user $safe signup ana --small-memory && user $safe login ana --allow-root",
    )
    .code(1);
    assert!(
        done.stderr.contains("user_allow_other") && done.stderr.contains("/etc/fuse.conf"),
        "{}",
        done.stderr
    );
    let script = "
        user $safe login ana --allow-root || exit 1
        user sh -c 'mkdir $H/open; echo private > $H/open/file; chmod -R a+rX $H; cat $H/open/file' || exit 2
        cat $H/open/file || exit 3
        mkdir $H/by-root && rmdir $H/by-root || exit 4
        # Neither what the kernel has remembered nor anything else is for a third one.
        for path in $H/open/file $H/open $H $SAFE_MOUNT/status; do
            if setpriv --reuid=4321 --regid=4321 --clear-groups stat $path; then exit 5; fi
        done
        user $safe logout || exit 6";
    let done = run("user_allow_other\n", script).ok();
    assert_eq!(
        done.stdout.matches("private\n").count(),
        2,
        "{}",
        done.stdout
    );
    // Without the option it lets no other user in.
    let script = "
        user $safe login ana || exit 1
        if cat $H/open/file; then exit 2; fi
        user $safe logout || exit 3";
    run("user_allow_other\n", script).ok();
}

#[test]
fn a_state_folder_that_can_only_be_read_opens_the_home_to_read() {
    if !test_dir::needs_root("a state folder on a disk that can only be read") {
        return;
    }
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    let script = "
        mount -t tmpfs -o size=64m,mode=700 none \"$SAFE_STATE\" || exit 99
        \"$safe\" signup ana --small-memory || exit 1
        \"$safe\" run ana -- sh -c 'echo kept > file' || exit 2
        mount -o remount,ro \"$SAFE_STATE\" || exit 98
        \"$safe\" run ana -- sh -c 'cat file; if echo lost > other; then exit 9; fi; ! test -e other' || exit 3
        \"$safe\" login ana || exit 4
        \"$safe\" status | grep '^account  *ana$' || exit 5
        cat \"$SAFE_STATE/mnt/home/file\" || exit 6
        \"$safe\" logout";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).current_dir("/");
    let safe = computer.command();
    command.env("safe", safe.get_program());
    for (name, value) in safe.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    // Without a path of its own: the one in the state folder, which was there before.
    let done = run_for(command.env_remove("SAFE_MOUNT"), LIMIT).ok();
    assert!(done.stdout.contains("kept"), "{}", done.stdout);
    assert!(done.stderr.contains("Read-only"), "{}", done.stderr);
}

/// The program that starts the daemon may have a limit on the size of files; a write beyond it fails, and ends no
/// process.
#[test]
fn a_limit_on_files_ends_no_daemon() {
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    computer.sign_up();
    let mut command = computer.command();
    command.args(["login", NAME]);
    limit_files(&mut command, 100 * 1024);
    run_for(&mut command, LIMIT).ok();
    fs::write(computer.home().join("small"), "small").unwrap();
    assert_eq!(fs::read(computer.home().join("small")).unwrap(), b"small");
    assert_eq!(computer.json(&["status"])["account"], NAME);
    computer.safe(&["logout", "--keep"]);
}
