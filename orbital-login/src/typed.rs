//! What a person types, secret or not.
//!
//! What always holds here: the bytes stand in one piece of memory that is as large from the start as it
//! will ever be, so no copy is left behind when the text grows; what is removed is overwritten, and all of
//! it when the text is cleared or dropped. It is never printed.

use std::fmt;

use safeos_control::Secret;
use zeroize::{Zeroize, Zeroizing};

/// The longest text taken, in bytes. No name, password or URL that is accepted is longer.
pub const BYTES_MAX: usize = 1024;

/// A line of text with a caret.
pub struct Typed {
    /// Always [`BYTES_MAX`] of them; those behind `len` are zero.
    bytes: Zeroizing<Vec<u8>>,
    len: usize,
    caret: usize,
}

impl Typed {
    /// Nothing typed yet.
    pub fn new() -> Self {
        Self {
            bytes: Zeroizing::new(vec![0; BYTES_MAX]),
            len: 0,
            caret: 0,
        }
    }

    /// Starts with this text, the caret behind it.
    pub fn of(text: &str) -> Self {
        let mut typed = Self::new();
        text.chars().for_each(|character| typed.insert(character));
        typed
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // Only whole characters go in and out.
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }

    /// Whether nothing is typed.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many characters there are.
    pub fn chars(&self) -> usize {
        self.as_str().chars().count()
    }

    /// How many characters stand before the caret.
    pub fn caret(&self) -> usize {
        self.as_str()[..self.caret].chars().count()
    }

    /// Puts a character at the caret. What does not fit or cannot be seen is left out.
    pub fn insert(&mut self, character: char) {
        let mut encoded = [0; 4];
        let encoded = character.encode_utf8(&mut encoded).as_bytes();
        if character.is_control() || self.len + encoded.len() > BYTES_MAX {
            return;
        }
        self.bytes
            .copy_within(self.caret..self.len, self.caret + encoded.len());
        self.bytes[self.caret..][..encoded.len()].copy_from_slice(encoded);
        self.len += encoded.len();
        self.caret += encoded.len();
    }

    /// Removes the character before the caret.
    pub fn backspace(&mut self) {
        let start = self.before();
        self.remove(start, self.caret);
        self.caret = start;
    }

    /// Removes the character behind the caret.
    pub fn delete(&mut self) {
        self.remove(self.caret, self.after());
    }

    fn remove(&mut self, start: usize, end: usize) {
        self.bytes.copy_within(end..self.len, start);
        let kept = self.len - (end - start);
        self.bytes[kept..self.len].zeroize();
        self.len = kept;
    }

    fn before(&self) -> usize {
        let last = self.as_str()[..self.caret].chars().next_back();
        self.caret - last.map_or(0, char::len_utf8)
    }

    fn after(&self) -> usize {
        let next = self.as_str()[self.caret..].chars().next();
        self.caret + next.map_or(0, char::len_utf8)
    }

    /// Moves the caret one character back.
    pub fn left(&mut self) {
        self.caret = self.before();
    }

    /// Moves the caret one character on.
    pub fn right(&mut self) {
        self.caret = self.after();
    }

    /// Moves the caret before the first character.
    pub fn home(&mut self) {
        self.caret = 0;
    }

    /// Moves the caret behind the last character.
    pub fn end(&mut self) {
        self.caret = self.len;
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.bytes.as_mut_slice().zeroize();
        self.len = 0;
        self.caret = 0;
    }

    /// A copy for a request, which wipes it as well.
    pub fn to_secret(&self) -> Secret {
        Secret::new(self.as_str().to_owned())
    }

    /// Whether nothing stands in the memory besides the text.
    #[doc(hidden)]
    pub fn is_wiped(&self) -> bool {
        self.bytes[self.len..].iter().all(|byte| *byte == 0)
    }
}

impl Default for Typed {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Typed(…)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn letters_go_in_and_out_at_the_caret() {
        let mut typed = Typed::of("Zoë");
        typed.left();
        typed.insert('e');
        assert_eq!(
            (typed.as_str(), typed.caret(), typed.chars()),
            ("Zoeë", 3, 4)
        );
        typed.delete();
        typed.home();
        typed.delete();
        typed.backspace();
        assert_eq!((typed.as_str(), typed.caret()), ("oe", 0));
        typed.end();
        typed.insert('\n');
        assert_eq!(typed.as_str(), "oe");
        assert!(!format!("{typed:?}").contains("oe"));
    }

    proptest! {
        #[test]
        fn nothing_of_what_was_removed_is_left(steps in proptest::collection::vec((0..9_u8, any::<char>()), 0..200)) {
            let mut typed = Typed::new();
            let mut model: Vec<char> = Vec::new();
            let mut caret = 0;
            for (step, character) in steps {
                match step {
                    0 => { typed.backspace(); if caret > 0 { caret -= 1; model.remove(caret); } }
                    1 => { typed.delete(); if caret < model.len() { model.remove(caret); } }
                    2 => { typed.left(); caret = caret.saturating_sub(1); }
                    3 => { typed.right(); caret = (caret + 1).min(model.len()); }
                    4 => { typed.home(); caret = 0; }
                    5 => { typed.end(); caret = model.len(); }
                    _ => {
                        typed.insert(character);
                        if !character.is_control() { model.insert(caret, character); caret += 1; }
                    }
                }
                prop_assert!(typed.is_wiped());
                let expected: String = model.iter().collect();
                prop_assert_eq!(typed.as_str(), expected.as_str());
                prop_assert_eq!(typed.caret(), caret);
            }
            typed.clear();
            prop_assert!(typed.is_wiped() && typed.is_empty());
        }
    }
}
