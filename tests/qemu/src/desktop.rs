//! The sign-in screen on Orbital, used as a person uses it: an account, the desktop, a program, signing out and in
//! again.
//!
//! The keyboard drives the sign-in screen; the desktop's own menu wants the mouse.

mod lock;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use orbital_login::job::{Opened, Outcome};
use orbital_login::keyboard::Key;
use orbital_login::state::Target;
use orbital_login::user_error::UserError;

use crate::disk;
use crate::machine::Machine;
use crate::noise;
use crate::picture::Picture;
use crate::report::Report;
use crate::screen::Screen;

/// From the start to the sign-in screen.
pub const START_MAX: Duration = Duration::from_secs(900);
/// A password is stretched, an account made, a home fetched, a desktop drawn: all on an emulated processor, for which
/// 256 MiB are far away. Six seconds where nothing else runs were minutes beside three compilers.
const OPEN_MAX: Duration = Duration::from_secs(1800);
/// From a click in the menu to the program's output.
pub const PROGRAM_MAX: Duration = Duration::from_secs(600);
/// From a click to the change of the menu.
const MENU_MAX: Duration = Duration::from_secs(300);
/// A click that has changed nothing for so long was lost between two windows: a person clicks again.
const CLICK_MAX: Duration = Duration::from_secs(15);
/// Two pictures of the menu this far apart are alike when nothing moves any more.
const SETTLED: Duration = Duration::from_millis(700);
/// So many pixels of the menu change when it opens, closes or shows another group.
const MENU_CHANGED: usize = 200;
/// Programs ended, all published.
const LEAVE_MAX: Duration = Duration::from_secs(1200);
/// From the choice to the power going off.
const OFF_MAX: Duration = Duration::from_secs(600);

const NAME: &str = "ana";
/// A text that no program on the disk contains: the disk is searched for it.
const PASSWORD: &str = "seven quiet herons by";

/// The launcher's menu: a button in the lower left corner of this size, rows above it, the last one ends the session.
const BUTTON: i32 = 48;
const ROW: i32 = 32;
/// Its columns, or a part of them.
const MENU_WIDTH: usize = 200;

struct Desk {
    disk: PathBuf,
    log: PathBuf,
    machine: Machine,
    screen: Screen,
    /// The session can be locked.
    locks: bool,
    /// Why the step could not be tried.
    skip: Option<&'static str>,
}

type Step = fn(&mut Desk) -> Result<(), String>;

const STEPS: [(&str, Step); 13] = [
    ("the_sign_in_screen_comes_up", comes_up),
    ("the_keyboard_makes_an_account", signs_up),
    ("a_program_of_the_desktop_has_the_home", has_the_home),
    ("logging_out_publishes_and_shows_the_screen_again", logs_out),
    ("a_wrong_password_opens_nothing", wrong_password),
    ("the_keyboard_signs_in", signs_in),
    ("the_program_finds_what_it_has_written", finds_it),
    ("the_command_locks_the_session", lock::by_the_command),
    ("super_l_locks_the_session", lock::by_the_key),
    ("the_mouse_opens_a_guest_session", guest),
    ("the_sign_in_screen_turns_the_power_off", power_off),
    ("nothing_of_the_sessions_is_left_on_the_disk", nothing_left),
    ("the_log_has_no_noise_of_ours", no_noise),
];

/// How often the program was started, which tries to take `safe` away each time.
const TRIED: usize = 3;

/// Runs the steps until one fails.
pub fn test(disk: PathBuf, machine: Machine, screen: Screen, log: PathBuf, report: &mut Report) {
    let mut desk = Desk {
        disk,
        log,
        machine,
        screen,
        locks: false,
        skip: None,
    };
    for (name, step) in STEPS {
        let start = Instant::now();
        if let Err(message) = step(&mut desk) {
            let mut said = vec![message];
            said.extend(desk.screen.keep("failed").err());
            return report.failed(&named(name), &said);
        }
        if let Some(why) = desk.skip.take() {
            report.skipped(&named(name), why);
            continue;
        }
        let took = format!("{:.1} s", start.elapsed().as_secs_f32());
        report.passed(&named(name), &took);
    }
}

fn named(step: &str) -> String {
    format!("desktop::{step}")
}

fn comes_up(desk: &mut Desk) -> Result<(), String> {
    desk.screen.shows_it(START_MAX)?;
    desk.screen.keep("sign-in").map(drop)
}

/// Presses the key until that is in focus.
pub fn goes_to(screen: &mut Screen, target: Target, key: Key) -> Result<(), String> {
    for _ in 0..screen.state.order().len() {
        if screen.state.focus == target {
            break;
        }
        screen.press(key)?;
    }
    if screen.state.focus == target {
        Ok(())
    } else {
        Err(format!("{key:?} does not lead to {target:?}"))
    }
}

/// A session opens, here and there.
pub fn opens(screen: &mut Screen, opened: Opened) -> Result<(), String> {
    screen.keep("working")?;
    screen.will_end(Outcome::Opened(opened));
    screen.will_start();
    screen.shows_a_desktop(OPEN_MAX)
}

/// The one of the account does with the next Enter.
fn opens_the_account(desk: &mut Desk) -> Result<(), String> {
    desk.screen.press(Key::Enter)?;
    let opened = Opened {
        account: NAME.to_owned(),
        ..Opened::default()
    };
    opens(&mut desk.screen, opened)
}

fn signs_up(desk: &mut Desk) -> Result<(), String> {
    let screen = &mut desk.screen;
    goes_to(screen, Target::OtherForm, Key::Tab)?;
    screen.press(Key::Enter)?;
    screen.write(NAME)?;
    screen.press(Key::Enter)?;
    screen.write(PASSWORD)?;
    screen.press(Key::Enter)?;
    screen.write(PASSWORD)?;
    // Without a sheet, which is the default.
    goes_to(screen, Target::WithSheet, Key::Tab)?;
    screen.write(" ")?;
    screen.keep("create")?;
    opens_the_account(desk)
}

fn signs_in(desk: &mut Desk) -> Result<(), String> {
    // The name still stands there, and the wrong password is gone.
    desk.screen.write(PASSWORD)?;
    opens_the_account(desk)
}

fn wrong_password(desk: &mut Desk) -> Result<(), String> {
    let screen = &mut desk.screen;
    screen.write(NAME)?;
    screen.press(Key::Enter)?;
    screen.write("correct horse")?;
    screen.press(Key::Enter)?;
    screen.will_end(Outcome::Failed(UserError::new("wrong_password", "")));
    screen.shows_it(OPEN_MAX)?;
    screen.keep("wrong-password").map(drop)
}

/// A place in the launcher's menu.
enum Menu {
    /// The button that opens it.
    Button,
    /// A row, counted from the last one.
    Row(i32),
}

/// Clicks in the menu and waits for its change.
fn click(screen: &mut Screen, menu: &Menu) -> Result<(), String> {
    let size = screen.monitor.picture()?.size;
    let up = match menu {
        Menu::Button => BUTTON / 2,
        Menu::Row(row) => BUTTON + ROW * row + ROW / 2,
    };
    let height = i32::try_from(size.1).unwrap_or(0);
    screen.monitor.point(BUTTON / 2, height - up, size)?;
    let before = settled(screen)?;
    // The row under the pointer changes its colour without a click, and the bar shows the time.
    let counts = |x: usize, y: usize| {
        let above = height - i32::try_from(y).unwrap_or(0);
        let own = matches!(menu, Menu::Row(_)) && (above - up).abs() <= ROW;
        x < MENU_WIDTH && above > BUTTON && !own
    };
    let start = Instant::now();
    loop {
        screen.monitor.button(true)?;
        screen.monitor.button(false)?;
        let clicked = Instant::now();
        while clicked.elapsed() < CLICK_MAX {
            std::thread::sleep(SETTLED);
            if screen.monitor.picture()?.changed(&before, counts) > MENU_CHANGED {
                return settled(screen).map(drop);
            }
        }
        if start.elapsed() > MENU_MAX {
            return Err(format!(
                "the desktop's menu takes no click in {} s",
                MENU_MAX.as_secs()
            ));
        }
    }
}

/// The picture once nothing on it moves.
fn settled(screen: &mut Screen) -> Result<Picture, String> {
    let start = Instant::now();
    let mut before = screen.monitor.picture()?;
    loop {
        std::thread::sleep(SETTLED);
        let shown = screen.monitor.picture()?;
        if shown.changed(&before, |_, _| true) == 0 || start.elapsed() > CLICK_MAX {
            return Ok(shown);
        }
        before = shown;
    }
}

/// Starts the program: the last one of the last group, before the row that leads back.
pub fn starts_the_program(screen: &mut Screen) -> Result<(), String> {
    click(screen, &Menu::Button)?;
    click(screen, &Menu::Row(1))?;
    screen.keep("menu")?;
    click(screen, &Menu::Row(1))
}

fn runs_the_program(desk: &mut Desk, says: &str) -> Result<(), String> {
    starts_the_program(&mut desk.screen)?;
    desk.machine.hears(says, PROGRAM_MAX)?;
    desk.screen.keep("desktop").map(drop)
}

fn has_the_home(desk: &mut Desk) -> Result<(), String> {
    runs_the_program(desk, "guest: desktop wrote")
}

fn finds_it(desk: &mut Desk) -> Result<(), String> {
    runs_the_program(desk, "guest: desktop found")
}

fn logs_out(desk: &mut Desk) -> Result<(), String> {
    leaves(&mut desk.screen)
}

/// Ends the session from the launcher's menu.
pub fn leaves(screen: &mut Screen) -> Result<(), String> {
    click(screen, &Menu::Button)?;
    click(screen, &Menu::Row(0))?;
    // Out of the way of the compared part.
    let size = screen.monitor.picture()?.size;
    screen.monitor.point(0, 0, size)?;
    screen.will_end(Outcome::LauncherEnded(None));
    screen.will_end(Outcome::Left(None));
    screen.shows_it(LEAVE_MAX)?;
    screen.keep("signed-out").map(drop)
}

/// With the mouse.
fn guest(desk: &mut Desk) -> Result<(), String> {
    desk.screen.click(Target::More)?;
    desk.screen.click(Target::Guest)?;
    opens(&mut desk.screen, Opened::default())?;
    runs_the_program(desk, "guest: desktop guest")?;
    logs_out(desk)
}

fn power_off(desk: &mut Desk) -> Result<(), String> {
    goes_to(&mut desk.screen, Target::Power, Key::BackTab)?;
    desk.screen.press(Key::Enter)?;
    desk.screen.keep("power")?;
    desk.screen.press(Key::Enter)?;
    goes_to(&mut desk.screen, Target::Sure, Key::Tab)?;
    // The power may be off before the key is let go.
    let _ = desk.screen.monitor.keys(&["ret"]);
    match desk.machine.off(OFF_MAX) {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("the emulator ended with {status}")),
        None => Err("the power stays on".to_owned()),
    }
}

/// Neither users that were made for sessions, nor a guest's folder, nor the password.
fn nothing_left(desk: &mut Desk) -> Result<(), String> {
    for table in ["etc/passwd", "etc/group", "etc/shadow"] {
        let text = disk::text(&desk.disk, table)?;
        let is_left = |line: &&str| line.starts_with(NAME) || line.contains("SafeOS");
        if let Some(line) = text.lines().find(is_left) {
            return Err(format!("{table} still has {line:?}"));
        }
    }
    let temporary = disk::names(&desk.disk, "tmp")?;
    if let Some(name) = temporary.iter().find(|name| name.contains("guest")) {
        return Err(format!("/tmp still has {name}"));
    }
    if disk::holds(&desk.disk, PASSWORD.as_bytes())? {
        return Err("the password stands on the disk".to_owned());
    }
    Ok(())
}

fn no_noise(desk: &mut Desk) -> Result<(), String> {
    noise::look(&desk.log, Some(TRIED))
}
