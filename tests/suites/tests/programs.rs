//! Real programs in a real home: git, cargo, SQLite, tar, rsync, programs started from it, memory shared
//! between processes.
// Test support: a failed expectation is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use safeos_suite_tests::computer::NAME;
use safeos_suite_tests::tools::has;
use safeos_suite_tests::{Computer, TestDir, run_for, sh, tree};

const GIT: &str = "export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null GIT_AUTHOR_NAME=Ana GIT_COMMITTER_NAME=Ana \
                   GIT_AUTHOR_EMAIL=ana@example.org GIT_COMMITTER_EMAIL=ana@example.org";

/// A repository with a crate that has three real crates as vendored dependencies, and a few hundred
/// other files, in several commits.
fn repository(place: &TestDir) -> PathBuf {
    let repository = place.folder("repository");
    let crates = ["heck", "strsim", "unicode-ident"];
    let mut manifest = String::from(
        "[package]\nname = \"hello\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[dependencies]\n",
    );
    for name in crates {
        vendor(name, &repository.join("vendor").join(name));
        manifest += &format!("{name} = {{ path = \"vendor/{name}\" }}\n");
    }
    fs::write(repository.join("Cargo.toml"), manifest).unwrap();
    fs::create_dir(repository.join("src")).unwrap();
    fs::write(
        repository.join("src/main.rs"),
        "use heck::ToSnakeCase;\n\nfn main() {\n    assert!(unicode_ident::is_xid_start('w'));\n    \
         println!(\"{} {}\", \"HelloWorld\".to_snake_case(), strsim::levenshtein(\"home\", \"safe\"));\n}\n",
    )
    .unwrap();
    fs::write(repository.join(".gitignore"), "/target\n").unwrap();
    sh(&repository, "cargo generate-lockfile --offline --quiet");
    sh(
        &repository,
        &format!(
            "{GIT}\n\
             mkdir notes; for n in $(seq 300); do echo \"note $n\" > notes/$n.txt; done\n\
             git init -q -b main; git add -A; git commit -q -m first\n\
             for n in 1 2 3; do echo more >> notes/$n.txt; git commit -q -a -m \"change $n\"; done"
        ),
    );
    repository
}

/// Copies the source of a crate that these tests themselves are built from, so it is here already.
fn vendor(name: &str, to: &Path) {
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo =
        cargo.unwrap_or_else(|| Path::new(&std::env::var_os("HOME").unwrap()).join(".cargo"));
    let mut found = Vec::new();
    for registry in fs::read_dir(cargo.join("registry/src")).unwrap() {
        for source in fs::read_dir(registry.unwrap().path()).unwrap() {
            let source = source.unwrap().path();
            let folder = source.file_name().unwrap().to_str().unwrap();
            let version = folder
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('-'));
            if version.is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit())) {
                found.push(source);
            }
        }
    }
    found.sort();
    let source = found
        .pop()
        .unwrap_or_else(|| panic!("the source of {name} is in no registry cache"));
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    let mut copy = Command::new("cp");
    copy.arg("-r").arg(source).arg(to);
    run_for(&mut copy, Duration::from_secs(60)).ok();
}

/// The command of the issue, and what a second computer finds afterwards.
#[test]
fn sign_up_clone_build_collect_and_find_it_on_another_computer() {
    if !has("git", "the test of git and cargo") {
        return;
    }
    let place = TestDir::new();
    let repository = repository(&place);
    let first = Computer::new(&place, "first");
    let script = format!(
        "set -eu\n{GIT}\ncd && git clone -q {} repo && cd repo && cargo build -q --offline && target/debug/hello\n\
         echo new > new.txt && git add new.txt && git commit -q -m new && git gc -q && git fsck --strict\n\
         git status --porcelain",
        repository.display()
    );
    let mut command = first.command();
    // The build belongs into the home, and nothing of the surrounding `cargo test` into it.
    for variable in [
        "CARGO_TARGET_DIR",
        "RUSTFLAGS",
        "CARGO_BUILD_TARGET_DIR",
        "RUSTC_WRAPPER",
    ] {
        command.env_remove(variable);
    }
    command.args(["run", NAME, "--signup", "--", "sh", "-c", &script]);
    let done = run_for(&mut command, Duration::from_secs(300)).ok();
    assert!(done.stdout.contains("hello_world 3\n"), "{}", done.stdout);
    assert!(
        !done.stdout.contains("?? "),
        "git sees changes: {}",
        done.stdout
    );

    let second = Computer::new(&place, "second");
    second.login();
    let repo = second.home().join("repo");
    let said = sh(&repo, "target/debug/hello");
    assert_eq!(
        said, "hello_world 3\n",
        "the program built on the other computer"
    );
    sh(
        &repo,
        &format!(
            "{GIT}\ngit fsck --strict --full\ntest -z \"$(git status --porcelain)\"\n\
             test \"$(git rev-parse HEAD~1)\" = \"$(git -C {} rev-parse HEAD)\"",
            repository.display()
        ),
    );
    second.logout();
}

/// `safe run` gives the code of the command, and 127 for one that does not exist.
#[test]
fn run_exits_with_the_code_of_the_command() {
    let place = TestDir::new();
    let computer = Computer::new(&place, "first");
    computer.safe(&["signup", NAME, "--small-memory"]);
    computer
        .try_safe(&["run", NAME, "--", "sh", "-c", "exit 7"])
        .code(7);
    computer
        .try_safe(&["run", NAME, "--", "no-such-command"])
        .code(127);
    let found = computer.safe(&[
        "run",
        NAME,
        "--",
        "sh",
        "-c",
        "cd; pwd -P; command -v safe; safe status --json",
    ]);
    assert!(found.stdout.contains("/home\n"), "{}", found.stdout);
    assert!(
        found.stdout.contains("unpublished_bytes"),
        "{}",
        found.stdout
    );
}

#[test]
fn sqlite_in_wal_mode_with_two_writers() {
    if !has("sqlite3", "the test of SQLite") {
        return;
    }
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    let rows = 400;
    sh(
        &computer.home(),
        &format!(
            "insert() {{\n for n in $(seq {rows}); do echo \"INSERT INTO t (who, n) VALUES ('$1', $n);\"; done | \
             sqlite3 -bail -cmd '.timeout 30000' rows.db; }}\n\
             test \"$(sqlite3 rows.db 'PRAGMA journal_mode=WAL;')\" = wal\n\
             sqlite3 rows.db 'CREATE TABLE t (id INTEGER PRIMARY KEY, who TEXT, n INTEGER); CREATE INDEX i ON t (who, n);'\n\
             insert one & one=$!\n insert two & two=$!\n wait $one; wait $two"
        ),
    );
    let questions = format!(
        "test \"$(sqlite3 rows.db 'PRAGMA integrity_check;')\" = ok\n\
         test \"$(sqlite3 rows.db 'SELECT count(*), count(DISTINCT who), sum(n) FROM t;')\" = '{}|2|{}'\n\
         test \"$(sqlite3 rows.db 'PRAGMA journal_mode;')\" = wal",
        2 * rows,
        rows * (rows + 1)
    );
    sh(&computer.home(), &questions);
    computer.logout();
    let second = Computer::new(&place, "second");
    second.login();
    sh(&second.home(), &questions);
    second.logout();
}

#[test]
fn tar_there_and_back_is_the_same_byte_for_byte() {
    let place = TestDir::new();
    let source = place.folder("source");
    tree::make(&source, 1_500, 1);
    // tar leaves sockets out, with a warning.
    let _ = fs::remove_file(source.join("odd/socket"));
    tree::set_times(&source.join("odd"), 1_500_000_000, 5);
    let expected = tree::list(&source);
    let computer = Computer::signed_up(&place);
    let there = computer.home().join("there");
    fs::create_dir(&there).unwrap();
    let options = "--format=posix --xattrs --xattrs-include='*' --numeric-owner --sparse -p";
    let tar = format!(
        "tar {options} -C {} -cf - . | tar {options} -C {} -xf -",
        source.display(),
        there.display()
    );
    sh(place.path(), &tar);
    tree::assert_same(&expected, &tree::list(&there));
    computer.logout();

    let second = Computer::new(&place, "second");
    second.login();
    let back = place.folder("back");
    let there = second.home().join("there");
    let tar = format!(
        "tar {options} -C {} -cf - . | tar {options} -C {} -xf -",
        there.display(),
        back.display()
    );
    sh(place.path(), &tar);
    tree::assert_same(&expected, &tree::list(&back));
    tree::assert_same(&expected, &tree::list(&there));
    second.logout();
}

#[test]
fn rsync_copies_nothing_the_second_time() {
    if !has("rsync", "the test of rsync") {
        return;
    }
    let place = TestDir::new();
    let source = place.folder("source");
    tree::make(&source, 600, 2);
    let expected = tree::list(&source);
    let computer = Computer::signed_up(&place);
    let target = computer.home().join("copy");
    let rsync = format!(
        "rsync -aHAX --modify-window=-1 --itemize-changes {}/ {}/",
        source.display(),
        target.display()
    );
    let first = sh(place.path(), &rsync);
    assert!(first.lines().count() > 600, "the first copies everything");
    assert_eq!(sh(place.path(), &rsync), "", "the second copies nothing");
    tree::assert_same(&expected, &tree::list(&target));
    computer.logout();
    computer.login();
    assert_eq!(sh(place.path(), &rsync), "", "nor after signing in anew");
    let compare = format!(
        "rsync -aHAX --modify-window=-1 --checksum --dry-run --itemize-changes {}/ {}/",
        target.display(),
        source.display()
    );
    assert_eq!(
        sh(place.path(), &compare),
        "",
        "nor the other way, by content"
    );
    computer.logout();
}

#[test]
fn programs_and_scripts_start_from_the_home() {
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    let home = computer.home();
    // Another process writes them: what this one has open for writing is open for a moment in whatever the tests beside
    // this one start, and a file that is open for writing does not start.
    let install = |from: &Path, mode: &str, to: &Path| {
        let mut command = Command::new("install");
        command.args(["-m", mode]).args([from, to]);
        run_for(&mut command, Duration::from_secs(10)).ok();
    };
    let program = home.join("program");
    install(Path::new("/bin/true"), "755", &program);
    run_for(&mut Command::new(&program), Duration::from_secs(10)).ok();
    let written = place.path().join("script");
    fs::write(&written, "#!/bin/sh\necho \"$1\"\nexit 3\n").unwrap();
    let script = home.join("script");
    install(&written, "600", &script);
    let denied = Command::new(&script).status().unwrap_err();
    assert_eq!(denied.kind(), std::io::ErrorKind::PermissionDenied);
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    let done = run_for(Command::new(&script).arg("said"), Duration::from_secs(10)).code(3);
    assert_eq!(done.stdout, "said\n");
    computer.logout();
}

const PAGES: usize = 64;
const PAGE: usize = 4096;

/// A file mapped shared, through which two processes talk.
struct Mapped(*mut u8);

impl Mapped {
    /// Nothing here allocates: it is also used after `fork`.
    fn new(path: &CString) -> Option<Self> {
        // SAFETY: the path ends with NUL; the mapping is as long as the file is made.
        unsafe {
            let fd = libc::open(path.as_ptr(), libc::O_RDWR);
            if fd < 0 {
                return None;
            }
            let flags = libc::PROT_READ | libc::PROT_WRITE;
            let at = libc::mmap(
                std::ptr::null_mut(),
                PAGES * PAGE,
                flags,
                libc::MAP_SHARED,
                fd,
                0,
            );
            libc::close(fd);
            (at != libc::MAP_FAILED).then_some(Self(at.cast()))
        }
    }

    fn get(&self, at: usize) -> u8 {
        // SAFETY: within the mapping.
        unsafe { std::ptr::read_volatile(self.0.add(at)) }
    }

    fn set(&self, at: usize, byte: u8) {
        // SAFETY: within the mapping.
        unsafe { std::ptr::write_volatile(self.0.add(at), byte) };
    }

    fn wait_for(&self, at: usize, byte: u8) -> bool {
        for _ in 0..20_000 {
            if self.get(at) == byte {
                return true;
            }
            // SAFETY: plain system call.
            unsafe { libc::usleep(500) };
        }
        false
    }
}

/// Writes of one process to a shared mapping are seen by the other, through its mapping and through
/// `read`; and another computer finds them.
#[test]
fn memory_shared_between_processes_is_one_memory() {
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    let path = computer.home().join("shared");
    fs::write(&path, vec![0u8; PAGES * PAGE]).unwrap();
    let c_path = CString::new(path.as_os_str().as_bytes()).unwrap();
    let here = Mapped::new(&c_path).unwrap();
    // SAFETY: the child only makes system calls and touches its own mapping, then leaves by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let code = match Mapped::new(&c_path) {
            None => 10,
            Some(there) => (0..PAGES).fold(0, |code, page| {
                let answered = there.wait_for(page * PAGE, page as u8 + 1);
                there.set(page * PAGE + 1, page as u8 + 101);
                if answered { code } else { 11 }
            }),
        };
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(code) };
    }
    assert!(child > 0);
    for page in 0..PAGES {
        here.set(page * PAGE, page as u8 + 1);
        assert!(
            here.wait_for(page * PAGE + 1, page as u8 + 101),
            "no answer on page {page}"
        );
    }
    let mut status = 0;
    // SAFETY: waits for our own child.
    unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(libc::WEXITSTATUS(status), 0, "the other process");
    let expected: Vec<u8> = (0..PAGES * PAGE)
        .map(|at| match at % PAGE {
            0 => (at / PAGE) as u8 + 1,
            1 => (at / PAGE) as u8 + 101,
            _ => 0,
        })
        .collect();
    assert!(
        fs::read(&path).unwrap() == expected,
        "`read` sees what was written by memory"
    );
    // SAFETY: the mapping is ours and not used after this.
    unsafe {
        assert_eq!(libc::msync(here.0.cast(), PAGES * PAGE, libc::MS_SYNC), 0);
        libc::munmap(here.0.cast(), PAGES * PAGE);
    }
    let start = Instant::now();
    computer.logout();
    assert!(start.elapsed() < Duration::from_secs(30));
    let second = Computer::new(&place, "second");
    second.login();
    assert!(fs::read(second.home().join("shared")).unwrap() == expected);
    second.logout();
}
