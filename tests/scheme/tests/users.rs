//! The views of users, their sessions, and the ends of those.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use safeos_scheme_tests::cases::{file, holds, names_in};
use safeos_scheme_tests::computer::Computer;
use safeos_scheme_tests::files::{Files, How, write_all};
use syscall::error::{EACCES, ENODEV, ENOENT, EPERM, EROFS};
use syscall::flag::StdFsCallKind;
use syscall::flag::{O_CREAT, O_DIRECTORY, O_RDONLY, O_STAT, O_WRONLY};
use syscall::schemev2::Opcode;

const ONE: u32 = 1000;
const TWO: u32 = 1001;

fn names(files: &dyn Files, path: &str) -> Vec<String> {
    names_in(files, path)
        .into_iter()
        .map(|(name, _)| name)
        .collect()
}

#[test]
fn everybody_sees_only_the_own_session() {
    let computer = Computer::new();
    computer.sign_up(ONE);
    let (one, two, root) = (
        computer.process(ONE),
        computer.process(TWO),
        computer.process(0),
    );
    file(&one, "/scheme/safe/home/secret", b"one's");
    file(&one, "safe:home/legacy", b"one's");
    assert_eq!(
        names(&one, "/scheme/safe"),
        [".ctl", "home", "public", "snapshots", "status"]
    );
    for other in [&two, &root] {
        assert_eq!(names(other, "/scheme/safe"), [".ctl", "public", "status"]);
        assert_eq!(other.stat("/scheme/safe/home"), Err(ENOENT));
        assert_eq!(
            other.open("/scheme/safe/home/secret", How::READ),
            Err(ENOENT)
        );
        assert_eq!(other.stat("/scheme/safe/snapshots"), Err(ENOENT));
    }
    computer.sign_up(TWO);
    file(&two, "/scheme/safe/home/secret", b"two's");
    holds(&one, "/scheme/safe/home/secret", b"one's");
    holds(&two, "/scheme/safe/home/secret", b"two's");
    // A descriptor that one user hands to another does not open the way to more.
    let folder = one.open("/scheme/safe/home", How::READ).unwrap();
    let id = one.id(folder);
    assert_eq!(two.open_at(id, "secret", O_RDONLY), Err(EACCES));
    assert_eq!(two.open_at(id, "", O_RDONLY), Err(EACCES));
    assert_eq!(two.open_at(id, "../home/secret", O_RDONLY), Err(EACCES));
    assert_eq!(
        two.open_at(computer.root, "session/1000", O_DIRECTORY),
        Err(ENOENT)
    );
    assert_eq!(
        two.open_at(computer.root, "session/4000", O_DIRECTORY),
        Err(ENOENT)
    );
    assert!(
        two.open_at(computer.root, "session/1001", O_DIRECTORY)
            .is_ok()
    );
}

#[test]
fn a_login_has_a_safe_of_its_own() {
    let computer = Computer::new();
    computer.sign_up(ONE);
    computer.sign_up(TWO);
    let root = computer.process(0);
    let (own, _) = root
        .open_at(computer.root, "session/1000", O_DIRECTORY | O_RDONLY)
        .unwrap();
    let (one, two) = (computer.process_in(ONE, own), computer.process_in(TWO, own));
    file(&one, "/scheme/safe/home/a", b"x");
    holds(&computer.process(ONE), "/scheme/safe/home/a", b"x");
    assert_eq!(
        names(&one, "/scheme/safe"),
        [".ctl", "home", "public", "snapshots", "status"]
    );
    // Nor does the descriptor that root opened for it act as root, whatever a call claims.
    let mut path = b"home/a".to_vec();
    for process in [&one, &two] {
        let done = process.std_call(StdFsCallKind::Unlinkat, own, &mut path, 0, 0);
        assert_eq!(done.map(drop), Err(EACCES));
    }
    // There is no way from it to the common root, and no other user is served in it.
    assert_eq!(one.open_at(own, "session/1000", O_DIRECTORY), Err(ENOENT));
    assert!(one.open_at(own, "../../home/a", O_RDONLY).is_ok());
    assert_eq!(two.open("/scheme/safe/home/a", How::READ), Err(EACCES));
    // Root is in it what it is everywhere.
    holds(&computer.process_in(0, own), "/scheme/safe/home/a", b"x");
    // Names change through descriptors and through the root.
    one.mkdir("/scheme/safe/home/d", 0o755).unwrap();
    one.rename("/scheme/safe/home/a", "/scheme/safe/home/d/b")
        .unwrap();
    one.link("/scheme/safe/home/d/b", "/scheme/safe/home/c")
        .unwrap();
    one.unlink("/scheme/safe/home/d/b").unwrap();
    one.rmdir("/scheme/safe/home/d").unwrap();
    let fd = one.open("/scheme/safe/home/c", How::READ).unwrap();
    assert_eq!(one.path_of(fd).as_deref(), Ok("/scheme/safe/home/c"));
    computer.sign_out(ONE);
    assert_eq!(one.read(fd, &mut [0; 4]), Err(ENODEV));
    assert_eq!(one.open("/scheme/safe/home/c", How::READ), Err(ENODEV));
    assert_eq!(one.list("/scheme/safe").unwrap_err(), ENODEV);
    // Also not after the next sign-in.
    computer.sign_in(ONE);
    assert_eq!(one.open("/scheme/safe/home/c", How::READ), Err(ENODEV));
    holds(&computer.process(ONE), "/scheme/safe/home/c", b"x");
}

#[test]
fn after_sign_out_every_handle_answers_an_error() {
    let computer = Computer::new();
    computer.sign_up(ONE);
    let one = computer.process(ONE);
    file(&one, "/scheme/safe/home/a", b"0123456789");
    let open = one.open("/scheme/safe/home/a", How::WRITE).unwrap();
    let folder = one.open("/scheme/safe/home", How::READ).unwrap();
    let shared = one.map(open, 10, true).unwrap();
    shared.put(0, b"mapped");
    let status = one.open("/scheme/safe/status", How::READ).unwrap();
    one.sync(open).unwrap();
    computer.sign_out(ONE);
    assert_eq!(one.read(open, &mut [0; 4]), Err(ENODEV));
    assert_eq!(one.write(open, b"x"), Err(ENODEV));
    assert_eq!(one.fstat(open), Err(ENODEV));
    assert_eq!(one.sync(open), Err(ENODEV));
    assert_eq!(one.truncate(open, 0), Err(ENODEV));
    assert_eq!(one.path_of(folder), Err(ENODEV));
    assert_eq!(one.open_at(one.id(folder), "a", O_RDONLY), Err(ENODEV));
    assert_eq!(one.stat("/scheme/safe/home"), Err(ENOENT));
    assert!(one.read(status, &mut [0; 4]).is_ok());
    for fd in [open, folder, status] {
        one.close(fd);
    }
    computer.sign_in(ONE);
    holds(&one, "/scheme/safe/home/a", b"mapped6789");
}

#[test]
fn set_id_bits_go_when_somebody_else_changes_the_content() {
    let computer = Computer::new();
    computer.sign_up(ONE);
    let root = computer.process(0);
    let (own, _) = root
        .open_at(computer.root, "session/1000", O_DIRECTORY)
        .unwrap();
    let (root, one) = (computer.process_in(0, own), computer.process_in(ONE, own));
    let path = "/scheme/safe/home/shared";
    file(&root, path, b"x");
    let fd = root.open(path, How::READ).unwrap();
    let perm = || root.fstat(fd).unwrap().perm;
    let group = one_group(&one);
    // A member of the group takes its id away only where that can be run.
    for (group, before, after) in [
        (group, 0o6666, 0o2666),
        (group, 0o6676, 0o0676),
        (7, 0o6666, 0o0666),
        (7, 0o2666, 0o0666),
    ] {
        root.chown(fd, 0, group).unwrap();
        root.chmod(fd, before).unwrap();
        let open = one.open(path, How::WRITE).unwrap();
        assert_eq!(perm(), before);
        one.write(open, b"y").unwrap();
        assert_eq!(perm(), after, "{before:o}, of {group}");
        root.chmod(fd, before).unwrap();
        one.truncate(open, 0).unwrap();
        assert_eq!(perm(), after, "{before:o}, of {group}");
        one.close(open);
    }
}

/// The group of the files that a process makes.
fn one_group(one: &dyn Files) -> u32 {
    file(one, "/scheme/safe/home/own", b"x");
    one.stat("/scheme/safe/home/own").unwrap().gid
}

#[test]
fn mode_bits_are_kept_to() {
    let computer = Computer::new();
    computer.sign_up(ONE);
    // A program of root's in the user's namespace makes what the user may not have.
    let root = computer.process(0);
    let (own, _) = root
        .open_at(computer.root, "session/1000", O_DIRECTORY)
        .unwrap();
    let (root, one) = (computer.process_in(0, own), computer.process_in(ONE, own));
    file(&root, "/scheme/safe/home/roots", b"x");
    let fd = root.open("/scheme/safe/home/roots", How::READ).unwrap();
    root.chmod(fd, 0o600).unwrap();
    assert_eq!(one.open("/scheme/safe/home/roots", How::READ), Err(EACCES));
    // To look at it needs no right to it.
    let look = one.open_raw("/scheme/safe/home/roots", O_STAT).unwrap();
    assert_eq!(one.chmod(look, 0o666), Err(EPERM));
    assert_eq!(one.chown(look, ONE, 100), Err(EPERM));
    root.chmod(fd, 0o644).unwrap();
    assert!(one.open("/scheme/safe/home/roots", How::READ).is_ok());
    assert_eq!(one.open("/scheme/safe/home/roots", How::WRITE), Err(EACCES));
    assert_eq!(
        write_all(&one, "/scheme/safe/home/roots", b"y"),
        Err(EACCES)
    );

    root.mkdir("/scheme/safe/home/shut", 0o700).unwrap();
    assert_eq!(one.stat("/scheme/safe/home/shut/a"), Err(EACCES));
    root.mkdir("/scheme/safe/home/read", 0o755).unwrap();
    file(&root, "/scheme/safe/home/read/a", b"x");
    assert_eq!(
        write_all(&one, "/scheme/safe/home/read/b", b"x"),
        Err(EACCES)
    );
    assert_eq!(one.unlink("/scheme/safe/home/read/a"), Err(EACCES));
    assert_eq!(
        one.rename("/scheme/safe/home/read/a", "/scheme/safe/home/x"),
        Err(EACCES)
    );
    assert_eq!(one.mkdir("/scheme/safe/home/read/d", 0o755), Err(EACCES));

    root.mkdir("/scheme/safe/home/sticky", 0o777).unwrap();
    let sticky = root.open("/scheme/safe/home/sticky", How::READ).unwrap();
    root.chmod(sticky, 0o1777).unwrap();
    file(&root, "/scheme/safe/home/sticky/roots", b"x");
    file(&one, "/scheme/safe/home/sticky/own", b"x");
    assert_eq!(one.unlink("/scheme/safe/home/sticky/roots"), Err(EPERM));
    assert_eq!(
        one.rename(
            "/scheme/safe/home/sticky/own",
            "/scheme/safe/home/sticky/roots"
        ),
        Err(EPERM)
    );
    one.unlink("/scheme/safe/home/sticky/own").unwrap();

    file(&one, "/scheme/safe/home/own", b"x");
    let own = one.open("/scheme/safe/home/own", How::WRITE).unwrap();
    assert_eq!(one.chown(own, 0, u32::MAX), Err(EPERM));
    assert_eq!(one.chown(own, u32::MAX, 4), Err(EPERM));
    root.chown(root.open("/scheme/safe/home/own", How::READ).unwrap(), 0, 0)
        .unwrap();
    assert_eq!(one.fstat(own).unwrap().uid, 0);
}

#[test]
fn the_namespaces_own_places_stay_as_they_are() {
    let computer = Computer::new();
    let session = computer.sign_up(ONE);
    let one = computer.process(ONE);
    file(&one, "/scheme/safe/home/a", b"then");
    session.publish(&()).unwrap();
    file(&one, "/scheme/safe/home/a", b"now");
    for path in [
        "/scheme/safe/new",
        "/scheme/safe/snapshots/new",
        "/scheme/safe/public/new",
    ] {
        assert_eq!(one.mkdir(path, 0o755), Err(EACCES), "{path}");
        assert!(write_all(&one, path, b"x").is_err(), "{path}");
    }
    for path in [
        "/scheme/safe/home",
        "/scheme/safe/status",
        "/scheme/safe/.ctl",
    ] {
        assert!(one.unlink(path).is_err(), "{path}");
        assert!(one.rmdir(path).is_err(), "{path}");
        assert!(one.rename(path, "/scheme/safe/home/x").is_err(), "{path}");
    }
    let snapshots = names(&one, "/scheme/safe/snapshots");
    let path = format!("/scheme/safe/snapshots/{}/a", snapshots.last().unwrap());
    holds(&one, &path, b"then");
    assert_eq!(one.open(&path, How::WRITE), Err(EROFS));
    assert_eq!(one.unlink(&path), Err(EROFS));
    let fd = one.open(&path, How::READ).unwrap();
    assert_eq!(one.chmod(fd, 0o777), Err(EROFS));
    assert_eq!(one.path_of(fd).as_deref(), Ok(path.as_str()));
    assert_ne!(
        one.stat(&path).unwrap().dev,
        one.stat("/scheme/safe/home/a").unwrap().dev
    );
    assert_eq!(one.open_raw("/scheme/safe/status", O_WRONLY), Err(EACCES));
    let status = one.open("/scheme/safe/status", How::READ).unwrap();
    let mut text = vec![0; 4096];
    let len = one.read(status, &mut text).unwrap();
    assert!(text[..len].starts_with(b"account: user1000\n"));
}

#[test]
fn what_a_request_claims_of_its_caller_counts_for_nothing() {
    let computer = Computer::new();
    computer.sign_up(ONE);
    let (one, two) = (computer.process(ONE), computer.process(TWO));
    file(&one, "/scheme/safe/home/a", b"x");
    let folder = one.open("/scheme/safe/home", How::READ).unwrap();
    let root = computer.root;
    // Names under the root that all share, through the call whose ids the caller writes.
    let forged = u64::from(ONE) | 100 << 32;
    let unlink = |id: usize, path: &str, ids: u64| {
        let mut path = path.as_bytes().to_vec();
        two.std_call(StdFsCallKind::Unlinkat, id, &mut path, 0, ids)
    };
    for ids in [forged, 0] {
        assert_eq!(unlink(root, "home/a", ids), Err(EACCES));
    }
    // As root, by claim, on a handle that belongs to the user.
    let fd = one.open_raw("/scheme/safe/home/a", O_STAT).unwrap();
    file(&one, "/scheme/safe/home/b", b"x");
    assert_eq!(
        one.std_call(StdFsCallKind::Fchown, one.id(fd), &mut [], 0, 0),
        Err(EPERM)
    );
    let mut names = b"home/a\0home/b".to_vec();
    let both = (root, root);
    assert_eq!(
        two.std_call_two(StdFsCallKind::Frenameat, both, &mut names, 0),
        Err(EACCES)
    );
    // Through handles that were opened by their owner it works, both ways.
    let id = one.id(folder);
    let mut names = b"a\0moved".to_vec();
    one.std_call_two(StdFsCallKind::Frenameat, (id, id), &mut names, 0)
        .unwrap();
    let mut names = b"moved\0b".to_vec();
    assert_eq!(
        one.std_call_two(StdFsCallKind::Frenameat, (id, id), &mut names, 1),
        Err(syscall::error::EEXIST)
    );
    one.std_call_two(StdFsCallKind::Frenameat, (id, id), &mut names, 2)
        .unwrap();
    let mut name = b"linked".to_vec();
    one.std_call_two(StdFsCallKind::Flinkat, (one.id(fd), id), &mut name, 0)
        .unwrap();
    let mut name = b"linked".to_vec();
    one.std_call(StdFsCallKind::Unlinkat, id, &mut name, 0, 0)
        .unwrap();
    // mkdir by a made-up user under a directory of the user's.
    let path = b"evil";
    let args = [
        id as u64,
        path.as_ptr() as u64,
        4,
        (O_CREAT | O_DIRECTORY) as u64,
        0,
    ];
    assert_eq!(two.call(Opcode::OpenAt, args), Err(EACCES));
    let mut relative = vec![0; 100];
    let answer = one.std_call_two(StdFsCallKind::Relpathat, (one.id(fd), id), &mut relative, 0);
    assert_eq!(&relative[..answer.unwrap().value], b"b");
}
