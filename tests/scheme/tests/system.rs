//! The same cases on this system's own file system: they ask for nothing that is only ours.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use safeos_scheme_tests::cases;
use safeos_scheme_tests::files::Files;
use safeos_scheme_tests::system::System;

#[test]
fn every_case_holds_on_this_system() {
    let folder = tempfile::tempdir().unwrap();
    for case in cases::ALL {
        let path = format!("{}/{}", folder.path().display(), case.name);
        System.mkdir(&path, 0o755).unwrap();
        println!("{}", case.name);
        (case.run)(&System, &path);
    }
}
