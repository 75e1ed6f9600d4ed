//! The outer half of `./build.sh qemu-test`: puts programs into a copy of a disk image of Redox, starts it as often as
//! the tests have parts, and prints what `safe-guest` says on the serial line as results of tests.
//!
//! What always holds here: the image that was given is not written to; nothing waits without a limit; a guest that dies,
//! hangs or says nothing is a failed test.

mod disk;
mod guest;
mod machine;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Tests SafeOS inside of a Redox.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// A bootable disk image of Redox; it is copied
    #[arg(long, value_name = "FILE")]
    image: PathBuf,
    /// The folder with `safed`, `safe` and `safe-guest` compiled for Redox
    #[arg(long, value_name = "DIR")]
    programs: PathBuf,
    /// A folder for the copy and the serial logs
    #[arg(long, value_name = "DIR")]
    work: PathBuf,
    /// The firmware to start with, where QEMU's own does not know the image's boot loader
    #[arg(long, value_name = "FILE")]
    firmware: Option<PathBuf>,
    /// Run these tests of the guest only, in their usual order
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match test(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("qemu-test: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every test passed; an error if none could be run.
fn test(arguments: &Arguments) -> Result<bool, String> {
    let copy = disk::copy(&arguments.image, &arguments.work)?;
    disk::put(&copy, &arguments.programs, &arguments.only)?;
    let mut report = report::Report::default();
    for part in 0..guest::PARTS {
        let log = arguments.work.join(format!("serial-{part}.log"));
        let machine = machine::Machine::start(&copy, arguments.firmware.as_deref(), &log)?;
        if !guest::listen(machine, part, !arguments.only.is_empty(), &mut report) {
            println!("the whole serial log: {}", log.display());
            break;
        }
    }
    Ok(report.finish())
}
