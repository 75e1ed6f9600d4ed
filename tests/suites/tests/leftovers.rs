//! After sign-out, and after the daemon was killed, nothing readable is left on the computer, and the
//! store never held anything readable.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use safeos_suite_tests::computer::PASSWORD;
use safeos_suite_tests::{Computer, TestDir, run_for, tree};

/// Words that stand nowhere but in this home: a name, contents, a link's target, an attribute.
struct Marks {
    words: Vec<String>,
}

impl Marks {
    fn new() -> Self {
        let words = [
            "zanzibarname",
            "quillcontent",
            "xylolink",
            "vortexattribute",
            "kiwideep",
            "anazetaccount",
        ];
        Self {
            words: words
                .iter()
                .map(|word| format!("{word}{:x}", std::process::id()))
                .collect(),
        }
    }

    fn word(&self, at: usize) -> &str {
        &self.words[at]
    }

    /// Puts each of them into the home.
    fn write(&self, home: &Path) {
        let folder = home.join(format!("folder {}", self.word(4)));
        fs::create_dir(&folder).unwrap();
        let file = folder.join(format!("{}.txt", self.word(0)));
        fs::write(&file, format!("{}\n", self.word(1)).repeat(50_000)).unwrap();
        fs::write(folder.join("short"), self.word(1)).unwrap();
        std::os::unix::fs::symlink(self.word(2), folder.join("link")).unwrap();
        tree::set_attribute(&file, "user.note", self.word(3).as_bytes()).unwrap();
        fs::File::open(&file).unwrap().sync_all().unwrap();
    }

    /// Fails if one of them, or the password, can be read anywhere in `folder`.
    #[track_caller]
    fn assert_nowhere_in(&self, folder: &Path) {
        let mut words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        words.push(PASSWORD);
        let mut found = Vec::new();
        search(folder, &words, &mut found);
        assert!(found.is_empty(), "readable: {}", found.join("; "));
    }
}

fn search(folder: &Path, words: &[&str], found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        let mut texts = vec![entry.file_name().as_bytes().to_vec()];
        if kind.is_file() {
            texts.push(fs::read(&path).unwrap_or_default());
        } else if kind.is_symlink() {
            texts.push(
                fs::read_link(&path)
                    .unwrap_or_default()
                    .as_os_str()
                    .as_bytes()
                    .to_vec(),
            );
        }
        for word in words {
            if texts.iter().any(|text| contains(text, word.as_bytes())) {
                found.push(format!("{word:?} in {}", path.display()));
            }
        }
        if kind.is_dir() {
            search(&path, words, found);
        }
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte == word[0]) {
        rest = &rest[at..];
        if rest.starts_with(word) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

/// The folders where programs leave things, other than our own place.
fn temporary_folders() -> Vec<PathBuf> {
    ["/dev/shm", "/var/tmp", "/run/user"]
        .map(PathBuf::from)
        .into_iter()
        .filter(|f| f.is_dir())
        .collect()
}

#[test]
fn nothing_readable_is_left_after_sign_out() {
    let place = TestDir::new();
    let marks = Marks::new();
    let computer = Computer::new(&place, "first");
    let account = marks.word(5);
    computer.safe(&["signup", account, "--small-memory"]);
    computer.safe(&["login", account]);
    marks.write(&computer.home());
    // The word is really there to be found, and the search finds it.
    let mut found = Vec::new();
    search(&computer.home(), &[marks.word(1)], &mut found);
    assert_eq!(found.len(), 2, "{found:?}");
    computer.sync();
    marks.assert_nowhere_in(&computer.state);
    marks.assert_nowhere_in(&computer.store);
    // Something that is only in the stage when the session ends.
    fs::write(computer.home().join("late"), marks.word(1).repeat(1_000)).unwrap();
    computer.logout();
    for folder in [&computer.state, &computer.store, &computer.mount] {
        marks.assert_nowhere_in(folder);
    }
    marks.assert_nowhere_in(computer.temporary());
    for folder in temporary_folders() {
        marks.assert_nowhere_in(&folder);
    }
    // And it was not the loss of everything.
    computer.safe(&["login", account]);
    assert_eq!(
        fs::read(computer.home().join("late")).unwrap(),
        marks.word(1).repeat(1_000).as_bytes()
    );
    computer.safe(&["logout", "--wipe"]);
    marks.assert_nowhere_in(&computer.state);
    let left = files(&computer.state);
    println!("left in the state folder after --wipe: {left:?}");
}

#[test]
fn nothing_readable_is_left_when_the_daemon_is_killed() {
    let place = TestDir::new();
    let marks = Marks::new();
    let computer = Computer::signed_up(&place);
    marks.write(&computer.home());
    computer.kill();
    for folder in [&computer.state, &computer.store] {
        marks.assert_nowhere_in(folder);
    }
    marks.assert_nowhere_in(computer.temporary());
    computer.login();
    computer.logout();
    for folder in [&computer.state, &computer.store] {
        marks.assert_nowhere_in(folder);
    }
}

/// The password is in no argument, no environment of the daemon, and no core: here, in `/proc`.
#[test]
fn the_daemon_shows_no_secret_in_proc() {
    let place = TestDir::new();
    let computer = Computer::signed_up(&place);
    let process = format!("/proc/{}", computer.daemon().unwrap());
    for what in ["cmdline", "environ"] {
        let text = fs::read(format!("{process}/{what}")).unwrap();
        assert!(
            !contains(&text, PASSWORD.as_bytes()),
            "the password is in {what}"
        );
    }
    computer.logout();
    assert!(
        !Path::new(&process).exists() || computer.daemon().is_none(),
        "the daemon outlives the session"
    );
}

/// With `safe run` the same holds, whatever the command does.
#[test]
fn a_run_leaves_nothing_readable() {
    let place = TestDir::new();
    let marks = Marks::new();
    let computer = Computer::new(&place, "first");
    let script = format!(
        "echo {} > {}.txt; export HISTFILE=~/.history; echo {} >> ~/.history; cp -r /etc/skel ~/skel; echo {} | tee $HOME/a >/dev/null",
        marks.word(1),
        marks.word(0),
        marks.word(1),
        marks.word(1)
    );
    let mut command = computer.command();
    command.args(["run", marks.word(5), "--signup", "--", "sh", "-c", &script]);
    run_for(&mut command, safeos_suite_tests::computer::LIMIT).ok();
    for folder in [&computer.state, &computer.store, &computer.mount] {
        marks.assert_nowhere_in(folder);
    }
    marks.assert_nowhere_in(computer.temporary());
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}
