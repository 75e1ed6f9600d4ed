//! `orbital-login`: shows the sign-in screen, for ever.
//!
//! What always holds here: the screen runs in a process of its own, which is started again when it dies; what
//! is given as arguments is the launcher, never a secret.

use std::process::ExitCode;

#[cfg(any(target_os = "redox", feature = "sdl"))]
mod start;

#[cfg(any(target_os = "redox", feature = "sdl"))]
fn main() -> ExitCode {
    start::main()
}

#[cfg(not(any(target_os = "redox", feature = "sdl")))]
fn main() -> ExitCode {
    eprintln!("orbital-login: this build has no window: build it with --features sdl");
    ExitCode::FAILURE
}
