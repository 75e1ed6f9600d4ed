//! The list of cases, each in a folder of its own in a real home.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use safeos_scheme_tests::cases;
use safeos_scheme_tests::computer::Computer;
use safeos_scheme_tests::files::Files;

#[test]
fn every_case_holds() {
    let computer = Computer::new();
    computer.sign_up(1000);
    let mut failed = Vec::new();
    for case in cases::ALL {
        let process = computer.process(1000);
        let folder = format!("/scheme/safe/home/{}", case.name);
        process.mkdir(&folder, 0o755).unwrap();
        let run = std::panic::AssertUnwindSafe(|| (case.run)(&process, &folder));
        if std::panic::catch_unwind(run).is_err() {
            failed.push(case.name);
        }
    }
    assert!(failed.is_empty(), "these cases failed: {failed:?}");
    assert!(
        computer.daemon.problems().is_empty(),
        "{:?}",
        computer.daemon.problems()
    );
}
