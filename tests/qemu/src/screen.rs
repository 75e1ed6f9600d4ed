//! The expected sign-in screen: the same state machine and the same drawing as in the guest, here.
//!
//! Every key that is sent to the guest goes to a state machine of our own too, and then the guest's screen must come to
//! look like ours. So no key is sent before the last one has arrived, however slow the guest is, and
//! a picture is compared with the intended one and not with one that was true once.
//!
//! What always holds here: nothing is waited for without a limit.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use orbital_login::job::{JobId, Outcome};
use orbital_login::keyboard::{Input, Key};
use orbital_login::layout::Placed;
use orbital_login::paint::Painter;
use orbital_login::settings::Settings;
use orbital_login::state::{Abilities, Effect, Event, State, Target};
use orbital_login::user_error::UserError;
use orbital_login::view::view;

use crate::monitor::{Monitor, keys_of};
use crate::picture::Picture;

/// From a key to the picture.
const KEY_MAX: Duration = Duration::from_secs(300);
/// A key that has changed nothing for so long has not arrived.
const LOST: Duration = Duration::from_secs(30);
/// So many pixels differ between two cards, and not where a caret blinks or a minute passes.
const CARD_CHANGED: usize = 5_000;
/// From one look at the screen to the next.
const PAUSE: Duration = Duration::from_millis(80);
/// How much of the screen must be as it is drawn here. The clock and the pointer are not.
const LIKE: f64 = 0.96;
/// The part of a key's change that must be there.
const CHANGED_LIKE: f64 = 0.9;
/// The layouts that `inputd` lists; only the one in use is visible.
const LAYOUTS: [&str; 6] = ["dvorak", "us", "gb", "azerty", "bepo", "it"];

/// The guest's screen and its expected content.
pub struct Screen {
    /// The way to the guest's keyboard and mouse.
    pub monitor: Monitor,
    /// The expected state of the sign-in screen.
    pub state: State,
    painter: Painter,
    frame: Vec<u32>,
    wanted: Option<Picture>,
    job: JobId,
    /// The question whether a password is the right one.
    check: JobId,
    pictures: PathBuf,
    kept: usize,
}

impl Screen {
    /// Nothing is known of the guest's screen yet.
    pub fn new(monitor: Monitor, pictures: &Path) -> Self {
        let abilities = Abilities {
            power: true,
            ..Abilities::default()
        };
        let layouts = LAYOUTS.map(str::to_owned).into();
        Self {
            monitor,
            state: State::new(Settings::default(), layouts, abilities),
            painter: Painter::new(),
            frame: Vec::new(),
            wanted: None,
            job: 0,
            check: 0,
            pictures: pictures.to_owned(),
            kept: 0,
        }
    }

    /// Keeps what is on the screen now.
    pub fn keep(&mut self, name: &str) -> Result<Picture, String> {
        let picture = self.monitor.picture()?;
        self.kept += 1;
        picture.save(&self.pictures.join(format!("{}-{name}.png", self.kept)))?;
        Ok(picture)
    }

    /// Draws the state as large as the guest's screen.
    fn draw(&mut self, size: (usize, usize)) -> Picture {
        let [width, height] = [size.0, size.1].map(|side| i32::try_from(side).unwrap_or(0));
        if self.frame.len() != size.0 * size.1 {
            self.frame = vec![0; size.0 * size.1];
            self.painter.lose_frame();
        }
        let view = view(&self.state);
        self.painter
            .paint(&mut self.frame, size.0, (width, height), &view);
        Picture::of_numbers(&self.frame, size)
    }

    /// Waits for the guest to show what it must.
    pub fn shows_it(&mut self, limit: Duration) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let shown = self.monitor.picture()?;
            let wanted = self.draw(shown.size);
            let like = shown.likeness(&wanted);
            let changed = match &self.wanted {
                Some(before) => shown.likeness_where_changed(before, &wanted),
                None => 1.0,
            };
            if like >= LIKE && changed >= CHANGED_LIKE {
                self.wanted = Some(wanted);
                return Ok(());
            }
            if start.elapsed() > limit {
                wanted.save(&self.pictures.join("wanted.png"))?;
                return Err(format!(
                    "the screen is not as it is meant to be (wanted.png) after {} s: {:.1} % of it are, and {:.1} % of what was to change",
                    limit.as_secs(),
                    like * 100.0,
                    changed * 100.0
                ));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Presses a key and waits for its effect.
    pub fn press(&mut self, key: Key) -> Result<(), String> {
        let names: &[&str] = match key {
            Key::Tab => &["tab"],
            Key::BackTab => &["shift", "tab"],
            Key::Enter => &["ret"],
            Key::Escape => &["esc"],
            Key::Backspace => &["backspace"],
            Key::Delete => &["delete"],
            Key::Left => &["left"],
            Key::Right => &["right"],
            Key::Up => &["up"],
            Key::Down => &["down"],
            Key::Home => &["home"],
            Key::End => &["end"],
            Key::PageUp => &["pgup"],
            Key::PageDown => &["pgdn"],
            Key::WordLeft => &["ctrl", "left"],
            Key::WordRight => &["ctrl", "right"],
            Key::DeleteWord => &["ctrl", "backspace"],
            Key::DeleteWordAfter => &["ctrl", "delete"],
            Key::DeleteToStart => &["ctrl", "u"],
            Key::SelectAll => &["ctrl", "a"],
            Key::Paste => &["ctrl", "v"],
        };
        let before = self.monitor.picture()?;
        self.monitor.keys(names)?;
        self.happens(Event::Input(Input::Key(key)))?;
        // What moves cannot be compared; that the form has gone can be seen.
        if self.state.is_moving() {
            self.changes(&before, names)?;
        }
        Ok(())
    }

    /// Waits for the card to become another; a key that was lost on the way is pressed again, as a person does.
    fn changes(&mut self, before: &Picture, names: &[&str]) -> Result<(), String> {
        let start = Instant::now();
        let mut pressed = Instant::now();
        while self.monitor.picture()?.changed(before, |_, _| true) < CARD_CHANGED {
            if start.elapsed() > KEY_MAX {
                return Err(format!(
                    "{names:?} changes nothing in {} s",
                    KEY_MAX.as_secs()
                ));
            }
            if pressed.elapsed() > LOST {
                self.monitor.keys(names)?;
                pressed = Instant::now();
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Types a text and waits for every letter.
    pub fn write(&mut self, text: &str) -> Result<(), String> {
        for letter in text.chars() {
            let keys = keys_of(letter).ok_or_else(|| format!("no key types {letter:?}"))?;
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            self.monitor.keys(&keys)?;
            self.happens(Event::Input(Input::Text(letter)))?;
        }
        Ok(())
    }

    /// Clicks something and waits for its effect.
    pub fn click(&mut self, target: Target) -> Result<(), String> {
        let placed = self.painter.layout().and_then(|layout| {
            let is_it = |placed: &&Placed| placed.target == Some(target);
            layout.placed.iter().find(is_it)
        });
        let rect = placed.ok_or("it is not on the screen")?.rect;
        // The arrow hangs to the right of its tip: there it hides nothing.
        let (x, y) = (rect.x + rect.w - 2, rect.y + rect.h / 2);
        let size = self.monitor.picture()?.size;
        self.monitor.point(x, y, size)?;
        self.happens(Event::Hover(Some(target)))?;
        self.monitor.button(true)?;
        self.happens(Event::Press(Some(target)))?;
        self.monitor.button(false)?;
        self.happens(Event::Release(Some(target)))
    }

    /// Something happens here, and must in the guest; moving parts are not compared.
    fn happens(&mut self, event: Event) -> Result<(), String> {
        self.update(event);
        if self.state.is_shown() && !self.state.is_moving() {
            self.shows_it(KEY_MAX)?;
        }
        Ok(())
    }

    fn update(&mut self, event: Event) {
        for effect in self.state.update(event) {
            match effect {
                Effect::Start(job, _) => self.job = job,
                Effect::Check(check, _) => self.check = check,
                _ => {}
            }
        }
    }

    /// The job that runs in the guest will end so.
    pub fn will_end(&mut self, outcome: Outcome) {
        self.update(Event::Done(self.job, outcome));
    }

    /// The launcher will have the guest's screen.
    pub fn will_start(&mut self) {
        self.update(Event::Started(self.job));
    }

    /// The session will be covered.
    pub fn will_be_locked(&mut self) {
        self.update(Event::Covered);
    }

    /// Presses Enter, by which a covered session asks about the password, and will be answered so.
    pub fn asks(&mut self, answer: Result<(), UserError>) -> Result<(), String> {
        self.monitor.keys(&["ret"])?;
        self.update(Event::Input(Input::Key(Key::Enter)));
        self.update(Event::Checked(self.check, answer));
        Ok(())
    }

    /// Waits until something else than the sign-in screen is there and stays as it is.
    pub fn shows_a_desktop(&mut self, limit: Duration) -> Result<(), String> {
        let start = Instant::now();
        let mut before: Option<Picture> = None;
        loop {
            let shown = self.monitor.picture()?;
            let wanted = self.draw(shown.size);
            let still = before.is_some_and(|before| before.likeness(&shown) > 0.999);
            if still && shown.likeness(&wanted) < 0.5 && !is_one_colour(&shown) {
                self.wanted = None;
                return Ok(());
            }
            if start.elapsed() > limit {
                return Err(format!("no desktop after {} s", limit.as_secs()));
            }
            before = Some(shown);
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}

/// An empty screen is no desktop.
fn is_one_colour(picture: &Picture) -> bool {
    let mut pixels = picture.pixels.chunks_exact(3);
    let first = pixels.next();
    pixels.all(|pixel| Some(pixel) == first)
}
