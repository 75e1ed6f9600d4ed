//! Tests SafeOS inside of a real Redox. Init starts it as a service; it runs what `./build.sh qemu-test` reads on the
//! serial line:
//!
//! ```text
//! guest: begin NAME SECONDS     a test begins, and has so long
//! guest: ok NAME
//! guest: failed NAME            the lines `guest| …` before it say why
//! guest: end PART               this part is over; the computer is turned off
//! ```
//!
//! As `safe-guest desktop` it is a program that a person runs from the desktop, and says what it found
//! (`desktop`). As `safe-guest serve` it does what it is told over the serial line (`agent`), which are often things of
//! its own: `safe-guest network …`.
//!
//! What always holds here: each test is a process of its own with the user it is for, since a failed
//! expectation ends its process; the computer is turned off at the end, whatever happened.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(target_os = "redox")]
mod account;
#[cfg(target_os = "redox")]
mod agent;
#[cfg(target_os = "redox")]
mod desktop;
#[cfg(target_os = "redox")]
mod network;
#[cfg(target_os = "redox")]
mod runner;
#[cfg(target_os = "redox")]
mod tests;

#[cfg(target_os = "redox")]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => runner::run_part(),
        [what, name] if what == "test" => runner::run_here(name),
        [what] if what == "desktop" => desktop::look(),
        [what] if what == "serve" => agent::serve(),
        [what, name, rest @ ..] if what == "network" => network::run(name, rest),
        [what, name, rest @ ..] if what == "help" => tests::help(name, rest),
        _ => panic!("unknown arguments: {arguments:?}"),
    }
}

#[cfg(not(target_os = "redox"))]
fn main() {
    eprintln!("this runs inside of Redox: ./build.sh qemu-test");
    std::process::exit(2);
}
