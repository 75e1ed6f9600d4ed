//! Something that the screen says, before it is said in a language.
//!
//! What always holds here: a message names a text of `lang/en.ftl` and carries what is put into it; so what is
//! on the screen changes with the language, also what was said before.

/// A message with what is put into it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// A text of `lang/`, by its identifier.
    Text(&'static str, Vec<(&'static str, Argument)>),
    /// Words that stand for themselves: an address, what a program says.
    Literal(String),
}

/// An argument of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Argument {
    /// As it is.
    Text(String),
    /// A number, by which the plural goes.
    Number(u64),
    /// Another message, in the same language.
    Message(Box<Message>),
}

impl Message {
    /// The text with this identifier.
    pub const fn new(id: &'static str) -> Self {
        Self::Text(id, Vec::new())
    }

    /// The same with a variable set.
    #[must_use]
    pub fn with(self, name: &'static str, value: impl Into<Argument>) -> Self {
        match self {
            Self::Text(id, mut arguments) => {
                arguments.push((name, value.into()));
                Self::Text(id, arguments)
            }
            literal => literal,
        }
    }
}

impl From<&str> for Argument {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Argument {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Argument {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<usize> for Argument {
    fn from(number: usize) -> Self {
        Self::Number(number as u64)
    }
}

impl From<Message> for Argument {
    fn from(message: Message) -> Self {
        Self::Message(Box::new(message))
    }
}
