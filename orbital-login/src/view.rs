//! What stands on the screen, in words: from the state to a list of items, before anything has a place.
//!
//! What always holds here: everything that can be done now ([`State::order`]) is an item; a hidden password
//! leaves the form only as a number of dots.

mod form;
mod item;
mod people;
mod wait;

pub use self::item::{Choice, Field, Hint, Item, Tone, colour_of, initials};
pub(crate) use self::wait::WAITING;
use crate::state::{Menu, Screen, State, Target};
use crate::user_error::Notice;

/// What a sign-in screen says of an image with a console for developers.
pub const CONSOLE: &str = "This image has a developer's console (Super+F2). Whoever gets in there can read what is open here.";

/// An entry of a menu: its words, and whether it is chosen.
pub type Entry = (Target, String, bool);

/// The whole screen.
#[derive(Clone, PartialEq, Debug)]
pub struct View {
    /// The card, from top to bottom.
    pub card: Vec<Item>,
    /// A wider card.
    pub wide: bool,
    /// What went wrong or well: it stands below the card, where there is room for it from the start.
    pub notice: Option<Notice>,
    /// There is room for a notice.
    pub has_notices: bool,
    /// What stands in the corner at the bottom right, from the left.
    pub corner: Vec<(Target, Corner)>,
    /// The open menu: what it hangs on, and its entries with whether they are chosen.
    pub menu: Option<(Target, Vec<Entry>)>,
    /// The time and the date.
    pub clock: (String, String),
    /// What must be known of this computer before somebody signs in.
    pub warning: Option<&'static str>,
    /// What the keyboard goes to.
    pub focus: Target,
    /// What the pointer is over.
    pub hover: Option<Target>,
    /// What is held down.
    pub pressed: Option<Target>,
    /// Counts the pictures of what moves.
    pub tick: u32,
}

/// A button in the corner.
#[derive(Clone, PartialEq, Debug)]
pub enum Corner {
    /// Light or dark: shows what it leads to.
    Appearance(bool),
    /// The keyboard layout's name.
    Keyboard(String),
    /// Shutting down.
    Power,
}

/// What the screen shows for this state.
pub fn view(state: &State) -> View {
    let card = match &state.screen {
        Screen::People(people) => people::card(state, people),
        Screen::Form(form) => form::card(state, form),
        Screen::Ways(form) => form::ways(state, form),
        Screen::Asked(asked) => wait::asked(state, asked),
        Screen::Working(working) => wait::working(working),
        Screen::Offer(offer) => wait::offer(offer),
        Screen::Sheet(sheet) => wait::sheet(sheet),
        Screen::Running(running) => wait::running(running),
        Screen::Leaving(leaving) => wait::leaving(leaving),
    };
    let corner = state
        .corner()
        .into_iter()
        .filter_map(|target| {
            let corner = match target {
                Target::Appearance => Corner::Appearance(state.dark),
                Target::Keyboard => Corner::Keyboard(
                    state
                        .keymaps
                        .get(state.keymap)
                        .map(|name| name.to_uppercase())
                        .unwrap_or_default(),
                ),
                Target::Power => Corner::Power,
                _ => return None,
            };
            Some((target, corner))
        })
        .collect();
    let menu = state.menu.map(|menu| {
        let entries = match menu {
            Menu::Keyboard => state
                .keymaps
                .iter()
                .enumerate()
                .map(|(index, name)| (Target::Keymap(index), name.clone(), index == state.keymap))
                .collect(),
            Menu::Power => vec![
                (Target::ShutDown, "Shut down…".to_owned(), false),
                (Target::Restart, "Restart…".to_owned(), false),
            ],
        };
        (menu.target(), entries)
    });
    View {
        card,
        wide: matches!(
            state.screen,
            Screen::Sheet(_) | Screen::Offer(_) | Screen::Ways(_)
        ),
        notice: state.notice.clone().or_else(|| wrong_clock(state)),
        has_notices: state.is_at_rest(),
        corner,
        menu,
        clock: (state.clock.time.clone(), state.clock.date.clone()),
        warning: (state.console && state.is_at_rest()).then_some(CONSOLE),
        focus: state.focus,
        hover: state.hover,
        pressed: state.pressed,
        tick: state.tick,
    }
}

/// Said for as long as nothing else is.
fn wrong_clock(state: &State) -> Option<Notice> {
    let wrong = state.clock.wrong.as_ref().filter(|_| state.is_at_rest())?;
    Some(Notice {
        mood: crate::user_error::Mood::Wrong,
        ..Notice::plain("The clock is wrong", wrong.clone())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initials_of_names() {
        assert_eq!(initials("ana"), "A");
        assert_eq!(initials("ana.maria-lopez"), "AM");
        assert_eq!(initials("éva"), "É");
        assert_eq!(initials("..."), "");
    }
}
