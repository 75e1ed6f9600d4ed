//! One person whose number is another on each computer: what the system's programs say to the home.
// Test support: a failed expectation is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use safeos_suite_tests::computer::NAME;
use safeos_suite_tests::run::Finished;
use safeos_suite_tests::test_dir::needs_root;
use safeos_suite_tests::tools::has;
use safeos_suite_tests::{Computer, TestDir, binaries, run_for};

/// The person's user and group on the computers, of which the machine that runs this test need not know. The
/// last one is root.
const HERE: (u32, u32) = (1500, 1500);
const THERE: (u32, u32) = (1600, 1700);
const AS_ROOT: (u32, u32) = (0, 0);
/// Another user's numbers.
const OTHER: (u32, u32) = (1555, 1556);

const GIT: &str = "export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null GIT_AUTHOR_NAME=Ana GIT_COMMITTER_NAME=Ana \
                   GIT_AUTHOR_EMAIL=ana@example.org GIT_COMMITTER_EMAIL=ana@example.org";

/// Whether everything that these tests need is there.
fn can(what: &str) -> bool {
    let programs = ["unshare", "setpriv", "fusermount3", "git"];
    needs_root(what) && programs.iter().all(|program| has(program, what))
}

/// Gives a folder and everything in it to a user.
fn give(folder: &Path, owner: (u32, u32)) {
    let mut command = Command::new("chown");
    command.args(["-hR", &format!("{}:{}", owner.0, owner.1)]);
    run_for(command.arg(folder), Duration::from_secs(60)).ok();
}

/// A computer with an account of the system for this user, that others are not told of.
struct Theirs<'a> {
    computer: Computer,
    place: &'a TestDir,
    owner: (u32, u32),
    label: String,
}

impl<'a> Theirs<'a> {
    fn new(place: &'a TestDir, owner: (u32, u32)) -> Self {
        let label = format!("of-{}", owner.0);
        let computer = Computer::new(place, &label);
        for folder in [&computer.state, &computer.mount, computer.temporary()] {
            chown(folder, Some(owner.0), Some(owner.1)).unwrap();
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
        }
        let password = place.path().join(format!("{label}.password"));
        chown(&password, Some(owner.0), Some(owner.1)).unwrap();
        fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
        Self {
            computer,
            place,
            owner,
            label,
        }
    }

    /// `safe run` of a shell script in the home, as this user. In a mount namespace of its own, where
    /// `/etc/passwd` is a file that the script may write: programs want to know where the home of a user is. And where
    /// everybody may use FUSE, as on most systems: this machine's device may be root's alone.
    #[track_caller]
    fn run(&self, options: &[&str], script: &str) -> Finished {
        give(&self.computer.store, self.owner);
        let (uid, gid) = self.owner;
        let passwd = self.place.path().join(format!("{}.passwd", self.label));
        fs::write(&passwd, format!("somebody:x:{uid}:{gid}::/:/bin/sh\n")).unwrap();
        chown(&passwd, Some(uid), Some(gid)).unwrap();
        let mut command = Command::new("unshare");
        for (name, value) in self.computer.command().get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let within = "mount --bind \"$1\" /etc/passwd\n\
                      case $(stat -c %a /dev/fuse) in *6) ;; *) test -e \"$1.fuse\" || mknod -m 666 \"$1.fuse\" c 10 229; mount --bind \"$1.fuse\" /dev/fuse;; esac\n\
                      shift; exec \"$@\"";
        let script = format!(
            "set -eu; umask 022; {GIT}\nprintf 'somebody:x:{uid}:{gid}::%s:/bin/sh\\n' \"$HOME\" > /etc/passwd\ncd\n{script}"
        );
        command
            .current_dir(self.place.path())
            .args(["--mount", "--propagation", "private"])
            .args(["sh", "-euc", within, "sh"])
            .arg(&passwd)
            .arg("setpriv")
            .args([format!("--reuid={uid}"), format!("--regid={gid}")])
            .arg("--clear-groups")
            .arg(self.place.path().join("bin/safe"))
            .args(["run", NAME])
            .args(options)
            .args(["--", "sh", "-c", &script]);
        run_for(&mut command, Duration::from_secs(180)).ok()
    }
}

/// A script that fails where anything in the home is not of this owner, `other` apart.
fn all_is_of((uid, gid): (u32, u32)) -> String {
    format!(
        "test \"$(find . ! -path './other*' '(' ! -uid {uid} -o ! -gid {gid} ')' -print)\" = ''\n\
         test \"$(stat -c %u:%g .)\" = {uid}:{gid}\n"
    )
}

#[test]
fn git_and_ssh_are_content_on_every_computer() {
    if !can("the test of a person with several numbers") {
        return;
    }
    let place = TestDir::new();
    binaries::copied_to(&place.folder("bin"));
    let first = Theirs::new(&place, HERE);
    let made = "mkdir -m 700 .ssh; echo a key > .ssh/authorized_keys; chmod 600 .ssh/authorized_keys\n\
                git init -q -b main repo; cd repo; echo one > one; git add one; git commit -q -m first; cd ..\n\
                echo hi > f; ln f f2; ln -s f link; mkfifo pipe; mkdir -m 2755 set-gid; touch set-gid/f\n";
    first.run(&["--signup"], &(made.to_owned() + &all_is_of(HERE)));

    for owner in [THERE, AS_ROOT, HERE] {
        let there = Theirs::new(&place, owner);
        let (uid, gid) = owner;
        let used = format!(
            "{}\ntest \"$(cat f)\" = hi; echo hi > f\n\
             test \"$(stat -c %a .ssh .ssh/authorized_keys | tr '\\n' ' ')\" = '700 600 '\n\
             cd repo; test \"$(git status --porcelain)\" = ''; echo {uid} >> one; git commit -q -a -m {uid}; git fsck --strict; cd ..\n\
             chmod 640 f; chmod 600 f; chown {uid}:{gid} f; touch -d @1 f; mkdir d{uid}; mv f d{uid}/f; ln d{uid}/f f\n\
             touch set-gid/{uid}; rm f2; ln f f2\n\
             tar cf {uid}.tar repo; mkdir again; tar xf {uid}.tar -C again; git -C again/repo status --porcelain; rm -r again {uid}.tar\n{}",
            all_is_of(owner),
            all_is_of(owner),
        );
        there.run(&[], &used);
    }
}

#[test]
fn what_root_gives_to_others_stays_theirs() {
    if !can("the test of a home that root changes") {
        return;
    }
    let place = TestDir::new();
    binaries::copied_to(&place.folder("bin"));
    let first = Theirs::new(&place, HERE);
    first.run(
        &["--signup"],
        "mkdir other; echo hi > mine; echo ho > other/f",
    );
    let root = Theirs::new(&place, AS_ROOT);
    let (uid, gid) = OTHER;
    let given = format!(
        "chown -R {uid}:{gid} other; chown 0:0 mine; mkdir other/b; echo by root > other/b/f\n\
         test \"$(stat -c %u:%g other other/f other/b/f | tr '\\n' ' ')\" = '{uid}:{gid} {uid}:{gid} 0:0 '\n"
    );
    root.run(&[], &(given + &all_is_of(AS_ROOT)));
    let there = Theirs::new(&place, THERE);
    let (me, group) = THERE;
    let seen = format!(
        "test \"$(stat -c %u:%g other other/f other/b/f mine | tr '\\n' ' ')\" = '{uid}:{gid} {uid}:{gid} {me}:{group} {me}:{group} '\n\
         echo more >> mine; if touch other/new 2> /dev/null; then exit 1; fi\n"
    );
    there.run(&[], &(seen + &all_is_of(THERE)));
}

/// tar and rsync, as root on both computers, by numbers: from a disk into the home, and back on the next one.
#[test]
fn tar_and_rsync_bring_the_person_there_and_back() {
    let what = "the test of tar and rsync with several numbers";
    if !can(what) || !has("rsync", what) {
        return;
    }
    let place = TestDir::new();
    binaries::copied_to(&place.folder("bin"));
    let source = place.folder("source");
    for (name, owner) in [("mine", AS_ROOT), ("theirs", OTHER)] {
        let folder = place.folder(&format!("source/{name}"));
        fs::write(folder.join("f"), name).unwrap();
        give(&folder, owner);
    }
    let first = Theirs::new(&place, AS_ROOT);
    let from = source.display();
    first.run(
        &["--signup"],
        &format!("mkdir a b; tar -C {from} --numeric-owner -cf - . | tar -C a --numeric-owner -xpf -; rsync -a --numeric-ids {from}/ b/\n\
                  test \"$(rsync -ai --numeric-ids --modify-window=-1 {from}/ b/)\" = ''"),
    );
    let back = place.folder("back");
    give(&back, THERE);
    let there = Theirs::new(&place, THERE);
    let (uid, gid) = THERE;
    let to = back.display();
    there.run(
        &[],
        &format!(
            "for n in a b; do test \"$(stat -c %u:%g $n/mine/f $n/theirs/f | tr '\\n' ' ')\" = '{uid}:{gid} {}:{} '; done\n\
             mkdir {to}/tar; tar -C a --numeric-owner -cf - . | tar -C {to}/tar --numeric-owner -xpf -; rsync -a --numeric-ids b/ {to}/rsync/",
            OTHER.0, OTHER.1
        ),
    );
    for way in ["tar", "rsync"] {
        let mine = fs::metadata(back.join(way).join("mine/f")).unwrap();
        assert_eq!((mine.uid(), mine.gid()), THERE, "{way}");
    }
}

/// An ssh server with strict modes, run by the user as containers do, lets the person in by the keys in their home.
#[test]
fn a_strict_ssh_server_takes_the_keys_of_the_home() {
    let what = "the test of sshd's strict modes";
    if !can(what) || !has("ssh", what) || !has("ssh-keygen", what) {
        return;
    }
    let server = Path::new("/usr/sbin/sshd");
    if !server.exists() {
        safeos_suite_tests::run::say(&format!("SKIPPED: {what} needs the program sshd"));
        return;
    }
    let place = TestDir::new();
    binaries::copied_to(&place.folder("bin"));
    let first = Theirs::new(&place, HERE);
    first.run(
        &["--signup"],
        "mkdir -m 700 .ssh; ssh-keygen -qt ed25519 -N '' -f .ssh/id; cp .ssh/id.pub .ssh/authorized_keys; chmod 600 .ssh/authorized_keys; echo hi > f",
    );
    let there = Theirs::new(&place, THERE);
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let files = place.folder("sshd");
    give(&files, THERE);
    let folder = files.display();
    let script = format!(
        "ssh-keygen -qt ed25519 -N '' -f {folder}/host\n\
         printf 'Port {port}\\nListenAddress 127.0.0.1\\nHostKey {folder}/host\\nUsePAM no\\nStrictModes yes\\nPidFile none\\n\
         AuthorizedKeysFile .ssh/authorized_keys\\n' > {folder}/conf\n\
         /usr/sbin/sshd -D -f {folder}/conf -E {folder}/log & server=$!\n\
         trap 'kill $server; cat {folder}/log >&2' EXIT\n\
         n=0; until grep -q listening {folder}/log; do n=$((n+1)); test $n -lt 600; sleep 0.05; done\n\
         ssh -F /dev/null -p {port} -i .ssh/id -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes \
         somebody@127.0.0.1 'test \"$(cat f)\" = hi'"
    );
    there.run(&[], &script);
}
