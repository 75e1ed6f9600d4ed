//! The items of a card.

use zeroize::Zeroizing;

use crate::state::Target;

/// A field.
#[derive(Clone, PartialEq, Debug)]
pub struct Field {
    /// Its target.
    pub target: Target,
    /// The label above it.
    pub label: String,
    /// Its content: the text, or dots.
    pub text: Zeroizing<String>,
    /// The text in it while it is empty.
    pub placeholder: String,
    /// Characters before the caret.
    pub caret: usize,
    /// All of it is taken: what is typed next replaces it.
    pub taken: bool,
    /// The hint about it; there is room for it from the start.
    pub hint: Hint,
    /// A button at its end: shows (`true`) or hides the password.
    pub reveal: Option<bool>,
}

/// A hint about a field, and its place.
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
    /// Its choice.
    pub target: Target,
    /// Its words.
    pub label: String,
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
    Check(Target, String, bool),
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
    Way(Target, String, String),
    /// Where something is, and what changes that.
    Where(Target, String, String),
    /// How many more there are above and below of what is shown.
    Further(String),
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
