//! Values that may be logged.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::time::Duration;

use tracing::field::{DisplayValue, display};

mod sealed {
    pub trait Sealed {}
}

/// A value whose type can hold nothing personal. No other crate can add to these, and text is of it only where it
/// is the program's own:
///
/// ```
/// let name = "a word of the program";
/// safeos_telemetry::event!(INFO, "opened", name = name);
/// ```
///
/// ```compile_fail
/// let name = String::from("letter to Ana");
/// safeos_telemetry::event!(INFO, "opened", name = name.as_str());
/// ```
pub trait Loggable: sealed::Sealed {
    /// How it is recorded.
    type Shown: tracing::Value;

    /// As it is recorded.
    fn shown(self) -> Self::Shown;
}

/// See [`Loggable::shown`].
pub fn shown<T: Loggable>(value: T) -> T::Shown {
    value.shown()
}

macro_rules! as_it_is {
    ($($type:ty),*) => {$(
        impl sealed::Sealed for $type {}
        impl Loggable for $type {
            type Shown = Self;
            fn shown(self) -> Self {
                self
            }
        }
    )*};
}

as_it_is!(u8, u16, u32, u64, usize, i32, i64, bool, f64, &'static str);

impl sealed::Sealed for Duration {}

/// In milliseconds.
impl Loggable for Duration {
    type Shown = f64;

    fn shown(self) -> f64 {
        self.as_micros() as f64 / 1000.0
    }
}

impl<T: sealed::Sealed> sealed::Sealed for Option<T> {}

impl<T: Loggable> Loggable for Option<T> {
    type Shown = Option<T::Shown>;

    fn shown(self) -> Option<T::Shown> {
        self.map(T::shown)
    }
}

/// The first four bytes of an address: enough to find it again in a log, too little to request it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Short([u8; 4]);

impl Short {
    /// Of an address: a hash, which says nothing of the hashed bytes.
    pub fn of(address: &[u8; 32]) -> Self {
        let [a, b, c, d, ..] = *address;
        Self([a, b, c, d])
    }
}

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl sealed::Sealed for Short {}

impl Loggable for Short {
    type Shown = DisplayValue<Self>;

    fn shown(self) -> Self::Shown {
        display(self)
    }
}

/// A name or other text in the place of which a number stands: the same for the same text as long as this process
/// lives, and another one in every process, so that the text cannot be found by trying.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hidden(u64);

impl Hidden {
    /// Of any bytes.
    pub fn of(bytes: &[u8]) -> Self {
        static KEYS: OnceLock<RandomState> = OnceLock::new();
        Self(KEYS.get_or_init(RandomState::new).hash_one(bytes))
    }
}

impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:016x}", self.0)
    }
}

impl sealed::Sealed for Hidden {}

impl Loggable for Hidden {
    type Shown = DisplayValue<Self>;

    fn shown(self) -> Self::Shown {
        display(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_text_is_known_again_and_not_to_be_read() {
        let name = b"letter to Ana";
        assert_eq!(Hidden::of(name), Hidden::of(name));
        assert_ne!(Hidden::of(name), Hidden::of(b"letter to Ben"));
        let text = Hidden::of(name).to_string();
        assert!(text.len() == 17 && !text.contains("Ana"), "{text}");
    }

    #[test]
    fn an_address_is_shown_by_its_beginning() {
        let mut address = [0; 32];
        address[0] = 0xab;
        address[31] = 0xcd;
        assert_eq!(Short::of(&address).to_string(), "ab000000");
    }
}
