//! Users, their sessions, and namespaces with a `safe` of their own.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use ioslice::IoSlice;
use libredox::call;
use libredox::protocol::{NsDup, NsPermissions};

use crate::account::{ANA, BOB, User};
use crate::runner::run_for;

const HOME: &str = "/scheme/safe/home";

/// From nothing to a home that can be written to.
pub fn a_user_signs_up_and_in() {
    ANA.safe(&["signup", ANA.name]);
    let again = ANA.try_safe(&["signup", ANA.name]);
    assert!(
        again.as_ref().is_err_and(|said| said.contains("is in use")),
        "{again:?}"
    );
    ANA.sign_in();
    let status = ANA.safe(&["status", "--json"]);
    assert!(status.contains("\"account\":\"ana\""), "{status}");
    fs::write(format!("{HOME}/first"), b"the first file").expect("a file in the home");
    ANA.safe(&["sync"]);
}

/// Another user has no home, by no path.
pub fn somebody_else_sees_nothing() {
    let missing = |path: &str| {
        let error = File::open(path).expect_err(path);
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{path}: {error}");
    };
    missing(HOME);
    missing("/scheme/safe/home/first");
    missing("/scheme/safe/snapshots");
    missing("/scheme/safe/session/1000");
    missing("/scheme/safe/session/1000/home/first");
    missing("/scheme/safe/public/../home/first");
}

/// A handle that was open when the session ended gives an error, also after the next sign-in.
pub fn after_sign_out_every_handle_answers_an_error() {
    let path = format!("{HOME}/open-at-the-end");
    fs::write(&path, b"before").expect("a file");
    let mut file = File::options()
        .read(true)
        .write(true)
        .open(&path)
        .expect("open");
    let folder = File::open(HOME).expect("the home");
    ANA.sign_out();
    let gone = |result: std::io::Result<usize>| {
        assert_eq!(
            result.expect_err("it is over").raw_os_error(),
            Some(libc::ENODEV)
        );
    };
    gone(file.read(&mut [0; 4]));
    gone(file.write(b"x"));
    gone(file.metadata().map(|_| 0));
    gone(file.sync_all().map(|()| 0));
    gone(folder.metadata().map(|_| 0));
    assert!(File::open(&path).is_err());
    ANA.sign_in();
    gone(file.read(&mut [0; 4]));
    assert_eq!(
        fs::read(&path).expect("the same file, opened anew"),
        b"before"
    );
}

/// A namespace as a login makes it: the schemes that users have, and the session's own root as `safe`.
fn namespace_of(user: &User) -> usize {
    let names: Vec<String> = fs::read_dir("/scheme")
        .expect("the schemes")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name != "safe")
        .collect();
    let slices: Vec<IoSlice<'_>> = names
        .iter()
        .map(|name| IoSlice::new(name.as_bytes()))
        .collect();
    let full = call::mkns(&slices).expect("a namespace");
    let root = call::open(
        format!("/scheme/safe/session/{}", user.uid),
        (libc::O_DIRECTORY | libc::O_CLOEXEC) as _,
        0,
    )
    .expect("the root of the session");
    call::register_scheme_to_ns(full, "safe", root).expect("`safe` in the namespace");
    // No program in it can take `safe` away or put another in its place.
    let mut only_list = Vec::new();
    only_list.extend_from_slice(&(NsDup::ShrinkPermissions as usize).to_ne_bytes());
    only_list.extend_from_slice(&NsPermissions::LIST.bits().to_ne_bytes());
    let namespace = call::dup(full, &only_list).expect("the namespace with fewer rights");
    call::close(full).expect("closing");
    namespace
}

/// Two users at once, each in a namespace of its own.
pub fn two_logins_each_have_a_safe_of_their_own() {
    let as_user = |user: &User, arguments: &[&str], namespace: Option<usize>| {
        let program = std::env::current_exe().expect("the own program");
        let mut command = Command::new(program);
        command.args(arguments).uid(user.uid).gid(user.uid);
        if let Some(namespace) = namespace {
            // SAFETY: both calls take numbers only and allocate nothing.
            unsafe {
                command.pre_exec(move || {
                    let old = call::setns(namespace).map_err(error)?;
                    call::close(old).map_err(error)
                });
            }
        }
        let (status, said) = run_for(&mut command, Duration::from_secs(1800));
        assert!(
            status.is_some_and(|status| status.success()),
            "{arguments:?}: {said}"
        );
    };
    as_user(&BOB, &["help", "sign-up-bob"], None);
    let (of_ana, of_bob) = (namespace_of(&ANA), namespace_of(&BOB));
    as_user(&ANA, &["help", "look", "ana"], Some(of_ana));
    as_user(&BOB, &["help", "look", "bob"], Some(of_bob));
    as_user(&ANA, &["help", "look", "ana"], Some(of_ana));
    // In the namespace of another's login the session answers nothing.
    as_user(&BOB, &["help", "look-in-vain"], Some(of_ana));
    as_user(&BOB, &["help", "sign-out-bob"], None);
    as_user(&BOB, &["help", "look-in-vain"], Some(of_bob));
    as_user(&ANA, &["help", "look", "ana"], Some(of_ana));
}

fn error(error: libredox::error::Error) -> std::io::Error {
    std::io::Error::from_raw_os_error(error.errno())
}

/// In the namespace of a login: the own home, and no way to another's.
pub fn look_around(name: &str) {
    let file = format!("{HOME}/of-{name}");
    if let Ok(found) = fs::read_to_string(&file) {
        assert_eq!(found, name);
    }
    fs::write(&file, name).expect(&file);
    let other = if name == "ana" { "bob" } else { "ana" };
    assert!(!fs::exists(format!("{HOME}/of-{other}")).expect("the home"));
    assert!(File::open("/scheme/safe/session").is_err());
    let status = fs::read_to_string("/scheme/safe/status").expect("status");
    assert!(
        status.starts_with(&format!("account: {name}\n")),
        "{status}"
    );
    assert!(
        fs::remove_file("/scheme/safe").is_err(),
        "`safe` was taken away"
    );
}

/// In a namespace whose session is another's, or has ended.
pub fn look_in_vain() {
    for path in [
        HOME,
        "/scheme/safe",
        "/scheme/safe/home/of-ana",
        "/scheme/safe/home/of-bob",
    ] {
        let opened = File::open(path).and_then(|mut file| file.read(&mut [0; 1]));
        let listed = fs::read_dir(path).map(|mut names| names.next().is_some());
        assert!(opened.is_err() && !matches!(listed, Ok(true)), "{path}");
    }
}

/// The second user's account.
pub fn sign_up_bob() {
    BOB.safe(&["signup", BOB.name]);
    BOB.sign_in();
}

/// Ends that user's session.
pub fn sign_out_bob() {
    BOB.sign_out();
}
