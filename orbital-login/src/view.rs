//! The contents of the screen, in words: from the state to a list of items, before anything has a place.
//!
//! What always holds here: everything that can be done now ([`State::order`]) is an item; a hidden password
//! leaves the form only as a number of dots.

mod form;
mod item;
mod keys;
mod people;
mod wait;

pub use self::item::{Choice, Field, Hint, Item, Tone, colour_of, initials};
pub use self::keys::{Cap, Key};
pub(crate) use self::wait::WAITING;
use crate::clock;
use crate::icon::Icon;
use crate::message::Message;
use crate::settings::Access;
use crate::state::{Menu, Screen, State, Target};
use crate::user_error::{self, Mood};

/// An entry of a menu: its words, and whether it is chosen.
pub type Entry = (Target, String, bool);

/// A result, good or bad, in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    /// In a few words.
    pub title: String,
    /// The event, and the remedy.
    pub text: String,
    /// The words on the button that does the next step.
    pub next: Option<String>,
    /// How it is meant.
    pub mood: Mood,
}

/// The whole screen.
#[derive(Clone, PartialEq, Debug)]
pub struct View {
    /// The card, from top to bottom.
    pub card: Vec<Item>,
    /// A wider card.
    pub wide: bool,
    /// The last result, good or bad: below the card, where there is room for it from the start.
    pub notice: Option<Notice>,
    /// There is room for a notice.
    pub has_notices: bool,
    /// The buttons in the corner at the bottom right, from the left.
    pub corner: Vec<(Target, Corner)>,
    /// The open menu: what it hangs on, and its entries with whether they are chosen.
    pub menu: Option<(Target, Vec<Entry>)>,
    /// The time, the date, and the day of the week where there is no room for more.
    pub clock: (String, String, String),
    /// The warnings about this computer that a person needs before signing in.
    pub warning: Option<String>,
    /// The keys of the keyboard on the screen, row by row.
    pub keys: Vec<Vec<Key>>,
    /// How the computer is: an icon, if it has one, and words.
    pub status: Vec<(Option<Icon>, String)>,
    /// Everything runs from right to left.
    pub right_to_left: bool,
    /// The accessibility switches.
    pub access: Access,
    /// At least so large, of the size for a screen whose pixels are as large as a laptop's once were.
    pub percent: u16,
    /// Dark instead of light.
    pub dark: bool,
    /// The target in focus.
    pub focus: Target,
    /// The target under the pointer.
    pub hover: Option<Target>,
    /// The target that is held down.
    pub pressed: Option<Target>,
    /// Counts the pictures of what moves.
    pub tick: u32,
    /// How many lines the wheel was turned since the focus moved.
    pub scrolled: i32,
}

/// A button in the corner.
#[derive(Clone, PartialEq, Debug)]
pub enum Corner {
    /// Languages.
    Language,
    /// The accessibility switches.
    Access,
    /// Light or dark: shows what it leads to.
    Appearance(bool),
    /// The keyboard layout's name.
    Keyboard(String),
    /// Shutting down.
    Power,
}

/// The view of this state.
pub fn view(state: &State) -> View {
    let language = state.language;
    let card = match &state.screen {
        Screen::People(people) => people::card(state, people),
        Screen::Form(form) => form::card(state, form),
        Screen::Ways(form) => form::ways(state, form),
        Screen::Asked(asked) => wait::asked(state, asked),
        Screen::Working(working) => wait::working(language, working),
        Screen::Offer(offer) => wait::offer(language, offer),
        Screen::Sheet(sheet) => wait::sheet(language, sheet),
        Screen::Running(running) => wait::running(language, running),
        Screen::Locked(locked) => form::locked(state, locked),
        Screen::Leaving(leaving) => wait::leaving(language, leaving),
    };
    let corner = state
        .corner()
        .into_iter()
        .filter_map(|target| {
            let corner = match target {
                Target::Language => Corner::Language,
                Target::Access => Corner::Access,
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
        let entry = |target, id, chosen| (target, language.text(id), chosen);
        let entries = match menu {
            Menu::Language => (state.languages.iter())
                .map(|one| (Target::Speak(*one), one.name().to_owned(), *one == language))
                .collect(),
            Menu::Access => vec![
                entry(Target::Contrast, "high-contrast", state.access.contrast),
                entry(Target::Large, "large-text", state.access.large),
                entry(Target::Calm, "reduced-motion", state.access.calm),
                entry(
                    Target::ScreenKeyboard,
                    "screen-keyboard",
                    state.access.keyboard,
                ),
            ],
            Menu::Keyboard => state
                .keymaps
                .iter()
                .enumerate()
                .map(|(index, name)| (Target::Keymap(index), name.clone(), index == state.keymap))
                .collect(),
            Menu::Power => vec![
                entry(Target::ShutDown, "shut-down-menu", false),
                entry(Target::Restart, "restart-menu", false),
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
        notice: (state.notice.as_ref().map(|notice| told(state, notice)))
            .or_else(|| wrong_clock(state)),
        has_notices: state.is_at_rest() || state.is_locked(),
        corner,
        menu,
        clock: (
            clock::time(&state.clock, language, state.abilities.locale),
            clock::date(&state.clock, language, state.abilities.locale),
            language.say(&clock::weekday(&state.clock)),
        ),
        warning: (state.console && state.is_at_rest()).then(|| language.text("console")),
        keys: keys::rows(state),
        status: status(state),
        right_to_left: language.is_right_to_left(),
        access: state.access,
        percent: state.percent,
        dark: state.dark,
        focus: state.focus,
        hover: state.hover,
        pressed: state.pressed,
        tick: state.tick,
        scrolled: state.scrolled,
    }
}

/// The computer's name, whether it is connected, its battery and its keyboard layout, as far as they are known.
fn status(state: &State) -> Vec<(Option<Icon>, String)> {
    let computer = &state.computer;
    let mut status = Vec::new();
    if !computer.name.is_empty() {
        status.push((None, computer.name.clone()));
    }
    if let Some(online) = computer.online {
        let (icon, id) = match online {
            true => (Icon::Online, "online"),
            false => (Icon::Offline, "offline"),
        };
        status.push((Some(icon), state.language.text(id)));
    }
    if let Some(percent) = computer.battery {
        let quarters = percent.saturating_add(12) / 25;
        let message = Message::new("battery").with("percent", u64::from(percent));
        status.push((Some(Icon::Battery(quarters)), state.language.say(&message)));
    }
    // Of several, the one in use stands on the button that changes it.
    if let [only] = state.keymaps.as_slice() {
        status.push((Some(Icon::Keyboard), only.to_uppercase()));
    }
    status
}

/// In the language of the screen.
fn told(state: &State, notice: &user_error::Notice) -> Notice {
    Notice {
        title: state.language.say(&notice.title),
        text: state.language.say(&notice.text),
        next: notice.next.map(|next| state.language.say(&next.label())),
        mood: notice.mood,
    }
}

/// Said for as long as nothing else is.
fn wrong_clock(state: &State) -> Option<Notice> {
    if !state.clock.is_wrong || !state.is_at_rest() {
        return None;
    }
    let date = clock::date(&state.clock, state.language, state.abilities.locale);
    let text = Message::new("clock-says")
        .with("date", date)
        .with("year", state.clock.year.to_string());
    Some(Notice {
        title: state.language.text("wrong-clock"),
        text: state.language.say(&text),
        next: None,
        mood: Mood::Wrong,
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
