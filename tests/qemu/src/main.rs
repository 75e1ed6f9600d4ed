//! The outer half of `./build.sh qemu-test`: puts programs into a copy of a disk image of Redox, starts it as often as
//! the tests have parts, and prints what `safe-guest` says on the serial line as results of tests. If the image has a
//! desktop, another copy is started with a screen, and used by keyboard and mouse. And one shares an account with this
//! computer over a network.
//!
//! What always holds here: the image that was given is not written to; nothing waits without a limit; a guest that
//! dies, hangs or says nothing is a failed test.

mod desktop;
mod disk;
mod guest;
mod machine;
mod monitor;
mod network;
mod noise;
mod picture;
mod report;
mod screen;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// The name of the test of the desktop.
const DESKTOP: &str = "desktop";

/// Tests SafeOS inside of a Redox.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// A bootable disk image of Redox; it is copied
    #[arg(long, value_name = "FILE")]
    image: PathBuf,
    /// The folder with `safed`, `safe`, `safe-guest` and `orbital-login` compiled for Redox
    #[arg(long, value_name = "DIR")]
    programs: PathBuf,
    /// The folder with `safe` and `safed` for this computer, which the guest shares an account with over a network
    #[arg(long, value_name = "DIR")]
    host_programs: Option<PathBuf>,
    /// A folder for the copy and the serial logs
    #[arg(long, value_name = "DIR")]
    work: PathBuf,
    /// The firmware to start with, where QEMU's own does not know the image's boot loader
    #[arg(long, value_name = "FILE")]
    firmware: Option<PathBuf>,
    /// A folder for pictures of the desktop; those of an earlier run are removed
    #[arg(long, value_name = "DIR")]
    pictures: PathBuf,
    /// Run these tests of the guest only, in their usual order; `desktop` is the test of the desktop, `network` the
    /// one over a network
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
}

fn main() -> ExitCode {
    let mut given = std::env::args().skip(1);
    if given.next().as_deref() == Some(network::JOIN) {
        let joined = given.next().and_then(|address| network::join(&address));
        return joined.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
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
    let all = arguments.only.is_empty();
    let named = |suite: &str| all || arguments.only.iter().any(|name| name == suite);
    let mut only = arguments.only.clone();
    only.retain(|name| ![DESKTOP, network::NETWORK].contains(&name.as_str()));
    let mut report = report::Report::default();
    if all || !only.is_empty() {
        without_a_desktop(arguments, &only, &mut report)?;
    }
    if named(DESKTOP) {
        with_a_desktop(arguments, &mut report)?;
    }
    if named(network::NETWORK) {
        network::test(arguments, &mut report)?;
    }
    Ok(report.finish())
}

fn without_a_desktop(
    arguments: &Arguments,
    only: &[String],
    report: &mut report::Report,
) -> Result<(), String> {
    let copy = disk::copy(&arguments.image, &arguments.work)?;
    disk::put(&copy, &arguments.programs, &disk::Purpose::Tests(only))?;
    for part in 0..guest::PARTS {
        let log = arguments.work.join(format!("serial-{part}.log"));
        let machine = machine::Machine::start(&machine::Parts {
            disk: &copy,
            firmware: arguments.firmware.as_deref(),
            log: &log,
            screen: false,
            monitor: None,
            network: None,
        })?;
        if !guest::listen(machine, part, !only.is_empty(), report) {
            println!("the whole serial log: {}", log.display());
            break;
        }
        report.outcome(&format!("part_{part}_is_quiet"), noise::look(&log, None));
    }
    Ok(())
}

fn with_a_desktop(arguments: &Arguments, report: &mut report::Report) -> Result<(), String> {
    let (work, pictures) = (&arguments.work, &arguments.pictures);
    let copy = disk::copy(&arguments.image, work)?;
    if !disk::has_desktop(&copy)? {
        report.skipped(DESKTOP, "the image has no Orbital with a launcher");
        return Ok(());
    }
    disk::put(&copy, &arguments.programs, &disk::Purpose::Desktop)?;
    let _ = std::fs::remove_dir_all(pictures);
    std::fs::create_dir_all(pictures)
        .map_err(|error| format!("{}: {error}", pictures.display()))?;
    let log = pictures.join("serial.log");
    let socket = work.join("monitor");
    let machine = machine::Machine::start(&machine::Parts {
        disk: &copy,
        firmware: arguments.firmware.as_deref(),
        log: &log,
        screen: true,
        monitor: Some(&socket),
        network: None,
    })?;
    let mut monitor = monitor::Monitor::connect(&socket, work)?;
    machine.starts(|| monitor.keys(&["ret"]))?;
    let screen = screen::Screen::new(monitor, pictures);
    desktop::test(copy, machine, screen, log, report);
    println!(
        "pictures of the desktop and its serial log: {}",
        pictures.display()
    );
    Ok(())
}
