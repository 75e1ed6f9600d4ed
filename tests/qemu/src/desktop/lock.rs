//! The session is locked, where the image's Orbital has a window for that (`cookbook-patches/orbital-lock.patch`), or that is
//! refused by name.
//!
//! A program of the session hears keys and clicks in two windows, one of them in front of all others, and says so: nothing may
//! come to it until the password was typed.

use std::time::Duration;

use orbital_login::keyboard::Key;
use orbital_login::user_error::UserError;

use super::{Desk, OPEN_MAX, PASSWORD, PROGRAM_MAX};
use crate::screen::Screen;

/// The words of an Orbital that has none.
const REFUSED: &str = "this Orbital lets every program put a window in front";
/// Orbital's own keys: another window, the end of the one in front, a window moved away, its own help.
const SUPER: [&str; 4] = ["tab", "q", "left", "m"];
/// The place of a window of the program, on any screen.
const THERE: (i32, i32) = (320, 220);
/// Between a key and a look at what it did.
const SEEN: Duration = Duration::from_secs(2);

/// By the command; with a wrong password first.
pub(super) fn by_the_command(desk: &mut Desk) -> Result<(), String> {
    let said = desk.machine.said("guest: desktop lock: ", PROGRAM_MAX)?;
    if said.contains(REFUSED) {
        desk.skip = Some(
            "the image's Orbital has no window that covers a session, and `safe lock` says so",
        );
        return Ok(());
    }
    if !said.ends_with("lock: done") {
        return Err(said);
    }
    desk.locks = true;
    is_locked(&mut desk.screen)?;
    desk.screen.keep("locked")?;
    nothing_uncovers(&mut desk.screen)?;
    desk.screen.write("correct horse")?;
    desk.screen
        .asks(Err(UserError::new("wrong_password", "")))?;
    desk.screen.shows_it(OPEN_MAX)?;
    desk.screen.keep("locked-wrong-password")?;
    unlocks(desk)?;
    // Only now it gets keys.
    desk.screen.monitor.keys(&["x"])?;
    let heard = desk.machine.said("guest: desktop hears", PROGRAM_MAX)?;
    match heard.ends_with("hears key 45") {
        true => Ok(()),
        false => Err(format!("while the session was locked: {heard}")),
    }
}

/// By Super+L.
pub(super) fn by_the_key(desk: &mut Desk) -> Result<(), String> {
    if desk.locks {
        desk.screen.monitor.keys(&["meta_l", "l"])?;
        is_locked(&mut desk.screen)?;
        unlocks(desk)?;
    } else {
        desk.skip = Some("the image's Orbital has no window that covers a session");
    }
    super::logs_out(desk)
}

fn is_locked(screen: &mut Screen) -> Result<(), String> {
    screen.will_be_locked();
    screen.shows_it(OPEN_MAX)
}

fn unlocks(desk: &mut Desk) -> Result<(), String> {
    desk.screen.write(PASSWORD)?;
    desk.screen.asks(Ok(()))?;
    desk.screen.shows_a_desktop(OPEN_MAX)
}

/// The keys of Orbital, Escape and a click where a window is.
fn nothing_uncovers(screen: &mut Screen) -> Result<(), String> {
    for key in SUPER {
        screen.monitor.keys(&["meta_l", key])?;
    }
    let size = screen.monitor.picture()?.size;
    screen.monitor.point(THERE.0, THERE.1, size)?;
    screen.monitor.button(true)?;
    screen.monitor.button(false)?;
    screen.press(Key::Escape)?;
    screen.monitor.point(0, 0, size)?;
    std::thread::sleep(SEEN);
    screen.shows_it(OPEN_MAX)
}
