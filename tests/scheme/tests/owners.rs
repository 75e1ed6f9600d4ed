//! One person whose number is another on each computer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use safeos_scheme_tests::cases::{file, holds};
use safeos_scheme_tests::computer::Computer;
use safeos_scheme_tests::files::{Files, How, Meta, write_all};
use syscall::error::{EACCES, EPERM};
use syscall::flag::O_DIRECTORY;

/// The person's numbers on two computers, and another user's.
const HERE: u32 = 1000;
const THERE: u32 = 2000;
const OTHER: u32 = 3000;
/// The group of every program that is not root's.
const GROUP: u32 = 100;

const HOME: &str = "/scheme/safe/home";

fn owner(meta: &Meta) -> (u32, u32) {
    (meta.uid, meta.gid)
}

#[test]
fn the_person_may_do_on_the_next_computer_what_it_may_here() {
    let computer = Computer::new();
    computer.sign_up(HERE);
    let here = computer.process(HERE);
    file(&here, &format!("{HOME}/f"), b"hi");
    here.mkdir(&format!("{HOME}/d"), 0o700).unwrap();
    file(&here, &format!("{HOME}/d/f"), b"hi");
    file(&here, &format!("{HOME}/others"), b"hi");
    let root = computer.process(0);
    let session = format!("session/{HERE}");
    let (own, _) = root.open_at(computer.root, &session, O_DIRECTORY).unwrap();
    let as_root = computer.process_in(0, own);
    let given = as_root.open(&format!("{HOME}/others"), How::READ).unwrap();
    as_root.chown(given, OTHER, OTHER).unwrap();
    computer.sign_out(HERE);

    let next = computer.another();
    next.sign_in_as(HERE, THERE);
    let there = next.process(THERE);
    for path in ["", "/f", "/d", "/d/f"] {
        let meta = there.stat(&format!("{HOME}{path}")).unwrap();
        assert_eq!(owner(&meta), (THERE, GROUP), "{path:?}");
    }
    holds(&there, &format!("{HOME}/d/f"), b"hi");
    write_all(&there, &format!("{HOME}/d/f"), b"ho").unwrap();
    let fd = there.open(&format!("{HOME}/f"), How::WRITE).unwrap();
    there.chmod(fd, 0o600).unwrap();
    there.chown(fd, THERE, GROUP).unwrap();
    assert_eq!(there.chown(fd, HERE, GROUP), Err(EPERM));
    there.unlink(&format!("{HOME}/d/f")).unwrap();
    there.rmdir(&format!("{HOME}/d")).unwrap();
    file(&there, &format!("{HOME}/new"), b"new");
    // Another user's node stays that user's.
    let others = there.stat(&format!("{HOME}/others")).unwrap();
    assert_eq!(owner(&others), (OTHER, OTHER));
    assert_eq!(
        there.open(&format!("{HOME}/others"), How::WRITE),
        Err(EACCES)
    );
    next.sign_out(THERE);

    computer.sign_in(HERE);
    for path in ["/f", "/new"] {
        let meta = here.stat(&format!("{HOME}{path}")).unwrap();
        assert_eq!(owner(&meta), (HERE, GROUP), "{path:?}");
    }
}

#[test]
fn a_public_tree_is_everybodys_own() {
    let computer = Computer::new();
    let session = computer.sign_up(HERE);
    computer.sign_up(OTHER);
    let here = computer.process(HERE);
    here.mkdir(&format!("{HOME}/d"), 0o700).unwrap();
    file(&here, &format!("{HOME}/d/f"), b"hi");
    let fd = here.open(&format!("{HOME}/d/f"), How::WRITE).unwrap();
    here.chmod(fd, 0o600).unwrap();
    let url = session.publish_path(b"d", &()).unwrap();
    let public = format!("/scheme/safe/public/{}", url.trim_start_matches("safe://"));
    for uid in [HERE, OTHER] {
        let process = computer.process(uid);
        for path in [public.clone(), format!("{public}/f")] {
            let meta = process.stat(&path).unwrap();
            assert_eq!(owner(&meta), (uid, GROUP), "{path}");
        }
        holds(&process, &format!("{public}/f"), b"hi");
    }
}
