//! What stands on the screen, in words: from the state to a list of items, before anything has a place.
//!
//! What always holds here: everything that can be done now ([`State::order`]) is an item; a hidden password
//! leaves the form only as a number of dots.

mod form;
mod people;
mod wait;

use zeroize::Zeroizing;

pub(crate) use self::wait::WAITING;
use crate::state::{Menu, Screen, State, Target};
use crate::trouble::Notice;

/// A field.
#[derive(Clone, PartialEq, Debug)]
pub struct Field {
    /// What it is for.
    pub target: Target,
    /// What stands above it.
    pub label: &'static str,
    /// What stands in it: the text, or dots.
    pub text: Zeroizing<String>,
    /// What stands in it while it is empty.
    pub placeholder: &'static str,
    /// Characters before the caret.
    pub caret: usize,
    /// All of it is taken: what is typed next replaces it.
    pub taken: bool,
    /// What is said of it; there is room for it from the start.
    pub hint: Hint,
    /// A button at its end: shows (`true`) or hides the password.
    pub reveal: Option<bool>,
}

/// What is said of a field, and where.
#[derive(Clone, PartialEq, Debug)]
pub enum Hint {
    /// Something short, beside the label.
    Beside(Option<(Tone, String)>),
    /// A line below.
    Below(Option<(Tone, String)>),
}

/// How something is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tone {
    /// As it is.
    Plain,
    /// In the background.
    Muted,
    /// Not right.
    Wrong,
    /// Right.
    Good,
}

/// A step of a row of choices.
#[derive(Clone, PartialEq, Debug)]
pub struct Choice {
    /// What it chooses.
    pub target: Target,
    /// Its words.
    pub label: &'static str,
    /// It is chosen.
    pub chosen: bool,
}

/// Something on the card, from top to bottom.
#[derive(Clone, PartialEq, Debug)]
pub enum Item {
    /// A person: initials, and a number that gives the colour.
    Avatar(String, u32),
    /// SafeOS's mark.
    Mark,
    /// A heading.
    Title(String),
    /// A paragraph.
    Text(Tone, String),
    /// A field.
    Field(Field),
    /// How good a password is: 0 to 4, if there is one, and in words.
    Meter(Option<u8>, String),
    /// A box to tick.
    Check(Target, &'static str, bool),
    /// A row of choices.
    Choices(Vec<Choice>),
    /// The button that matters.
    Button(Target, String),
    /// One that matters less.
    Quiet(Target, String),
    /// Links beside each other.
    Links(Vec<(Target, String)>),
    /// A person to choose: initials, colour, name, where the account lives.
    Person(Target, String, u32, String, String),
    /// A way to choose: its name, and what it is for.
    Way(Target, String, &'static str),
    /// Where something is, and what changes that.
    Where(Target, String, &'static str),
    /// How many more there are above and below of what is shown.
    Further(usize, usize),
    /// Room for so many rows of people that are not there, so that nothing moves.
    NoRows(usize),
    /// How far something is, of one; `None`: nobody knows.
    Progress(Option<f32>),
    /// A code to photograph.
    Code(Zeroizing<String>),
    /// A key in its groups.
    Key(Zeroizing<String>),
    /// Words, numbered.
    Words(Zeroizing<String>),
    /// A little more room.
    Gap,
}

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
        mood: crate::trouble::Mood::Wrong,
        ..Notice::plain("The clock is wrong", wrong.clone())
    })
}

/// The initials of a name: of its first two parts, or its first letter.
pub fn initials(name: &str) -> String {
    name.split(['.', '-', '_', ' ', '@'])
        .filter_map(|part| part.chars().next())
        .take(2)
        .flat_map(char::to_uppercase)
        .collect()
}

/// A number that is the same for the same name everywhere: its colour.
pub fn colour_of(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
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
