//! Parts that are placed on the screen.

use zeroize::Zeroizing;

use crate::geometry::Rect;
use crate::state::Target;
use crate::text::{Face, Style};
use crate::user_error::Mood;
use crate::view::Tone;

/// The kinds of text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// A heading.
    Title,
    /// A paragraph.
    Body,
    /// Text below and beside.
    Small,
    /// Text above a field.
    Label,
    /// On a button.
    Button,
    /// In a field.
    Input,
    /// In a link.
    Link,
    /// The groups of a key.
    Key,
    /// The time.
    Clock,
    /// The date, and the name of the system.
    Date,
    /// In the circle of a person.
    Initials,
    /// The same, small.
    InitialsSmall,
}

impl Align {
    /// The same in a mirror.
    pub const fn mirrored(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Middle => Self::Middle,
            Self::Right => Self::Left,
        }
    }
}

impl Look {
    /// The font and size at a scale.
    pub fn style(self, scale: f32) -> Style {
        let (face, size) = match self {
            Self::Title => (Face::Strong, 24.0),
            Self::Body | Self::Link => (Face::Regular, 14.0),
            Self::Small => (Face::Regular, 13.0),
            Self::Label => (Face::Strong, 13.0),
            Self::Button => (Face::Strong, 15.0),
            Self::Input => (Face::Regular, 16.0),
            Self::Key => (Face::Strong, 18.0),
            Self::Clock => (Face::Regular, 60.0),
            Self::Date => (Face::Regular, 15.0),
            Self::Initials => (Face::Strong, 28.0),
            Self::InitialsSmall => (Face::Strong, 14.0),
        };
        Style {
            face,
            size: size * scale,
        }
    }
}

/// Where a line of text stands in its rectangle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Align {
    /// At the left.
    Left,
    /// In the middle.
    Middle,
    /// At the right.
    Right,
}

/// The contents of a rectangle.
#[derive(Clone, PartialEq, Debug)]
pub enum Part {
    /// The card itself.
    Card,
    /// The card of a menu.
    Menu,
    /// A person's circle.
    Person(String, u32, Look),
    /// SafeOS's mark.
    Mark,
    /// A line of text.
    Words(Zeroizing<String>, Look, Tone, Align),
    /// A field's box with its text and caret.
    Input {
        /// The text.
        text: Zeroizing<String>,
        /// The text while it is empty.
        placeholder: String,
        /// Where the caret is, from the left edge of the text.
        caret: i32,
        /// How wide the text is.
        wide: i32,
        /// It is selected: text that is typed next replaces it.
        taken: bool,
        /// How far the text is moved out at the side where it begins.
        moved: i32,
    },
    /// Shows (`true`) or hides a password.
    Reveal(bool),
    /// How good a password is: which of the four bars are lit.
    Meter(Option<u8>),
    /// A box to tick, so high, where a row begins.
    Tick(bool, i32),
    /// The ground of a row of choices.
    Choices,
    /// A choice: its words, and whether it is chosen.
    Choice(String, bool),
    /// A button with its lines; whether it is the one that matters.
    Button(Vec<String>, bool),
    /// A link.
    Link(String),
    /// The ground of a notice.
    Notice(Mood),
    /// The ground of a person or a way to choose.
    Row,
    /// A button as small as a line of text.
    SmallButton(String),
    /// How far something is.
    Bar(Option<f32>),
    /// A code to photograph.
    Code(Zeroizing<String>),
    /// A round button in the corner with an icon.
    Corner(crate::icon::Icon),
    /// A key with letters.
    Key(String),
    /// One with an icon, and whether it is switched on.
    IconKey(crate::icon::Icon, bool),
    /// An icon that says how the computer is.
    Status(crate::icon::Icon),
    /// One with words.
    CornerWords(String),
    /// An entry of a menu, and whether it is chosen.
    Entry(String, bool),
}

/// Something with a place.
#[derive(Clone, PartialEq, Debug)]
pub struct Placed {
    /// Its place.
    pub rect: Rect,
    /// The contents.
    pub part: Part,
    /// Its action.
    pub target: Option<Target>,
    /// Pixels a unit.
    pub scale: f32,
}
