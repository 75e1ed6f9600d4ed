//! The program that the test of the desktop starts from the launcher's menu.

mod lock;

use std::fs;

use crate::account::ANA;

const HOME: &str = "/scheme/safe/home";
/// Written the first time, found the second.
const FILE: &str = "/scheme/safe/home/from the desktop";
const TEXT: &str = "kept from one session to the next";

/// Looks at the session that it runs in.
pub fn look() {
    // SAFETY: takes and gives a number.
    let uid = unsafe { libc::getuid() };
    assert!(uid >= 1000, "the desktop's programs run as {uid}");
    let variable = |name| std::env::var(name).unwrap_or_default();
    assert!(
        fs::remove_file("/scheme/safe").is_err(),
        "`safe` was taken away"
    );
    if variable("HOME") == HOME {
        assert_eq!(variable("USER"), ANA.name);
        the_home();
    } else {
        no_home(&variable("HOME"));
    }
}

/// In a guest's session: a folder to write to, and nothing personal.
fn no_home(folder: &str) {
    assert!(folder.starts_with("/tmp/"), "{folder}");
    assert!(fs::read_dir(HOME).is_err());
    assert!(fs::read_dir("/scheme/safe").is_err());
    fs::write(format!("{folder}/left"), TEXT).expect("a file in a guest's home");
    println!("guest: desktop guest");
}

fn the_home() {
    let status = fs::read_to_string("/scheme/safe/status").expect("status");
    assert!(
        status.starts_with(&format!("account: {}\n", ANA.name)),
        "{status}"
    );
    // No way to the sessions of others, nor to the daemon's own root.
    assert!(fs::read_dir("/scheme/safe/session").is_err());
    let names: Vec<String> = fs::read_dir(HOME)
        .expect("the home")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    let is_there = names.iter().any(|name| FILE.ends_with(&format!("/{name}")));
    if is_there {
        assert_eq!(fs::read_to_string(FILE).expect(FILE), TEXT);
        println!("guest: desktop found");
        lock::lock();
    } else {
        fs::write(FILE, TEXT).expect(FILE);
        assert_eq!(fs::read_to_string(FILE).expect(FILE), TEXT);
        println!("guest: desktop wrote");
    }
}
