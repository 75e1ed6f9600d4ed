//! Results in the form of Rust's tests.

/// The results of the tests.
#[derive(Default)]
pub struct Report {
    passed: u64,
    failed: Vec<String>,
    skipped: u64,
}

impl Report {
    /// A test that passed.
    pub fn passed(&mut self, name: &str, took: &str) {
        self.passed += 1;
        let took = if took.is_empty() {
            String::new()
        } else {
            format!(" ({took})")
        };
        println!("test guest::{name} ... ok{took}");
    }

    /// A test that did not, and why.
    pub fn failed(&mut self, name: &str, why: &[String]) {
        self.failed.push(name.to_owned());
        println!("test guest::{name} ... FAILED");
        for line in why {
            println!("    {line}");
        }
    }

    /// One or the other.
    pub fn outcome(&mut self, name: &str, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.passed(name, ""),
            Err(why) => self.failed(name, &[why]),
        }
    }

    /// Tests that could not be run, and why.
    pub fn skipped(&mut self, name: &str, why: &str) {
        self.skipped += 1;
        println!("test guest::{name} ... ignored, skipped: {why}");
    }

    /// The last line; whether all is well.
    pub fn finish(self) -> bool {
        let good = self.failed.is_empty() && self.passed + self.skipped > 0;
        println!(
            "\ntest result: {}. {} passed; {} failed; {} ignored",
            if good { "ok" } else { "FAILED" },
            self.passed,
            self.failed.len(),
            self.skipped
        );
        good
    }
}
