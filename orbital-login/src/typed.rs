//! Typed text, secret or not.
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
    /// All of it is taken: what comes next replaces it.
    taken: bool,
}

impl Typed {
    /// Nothing typed yet.
    pub fn new() -> Self {
        Self {
            bytes: Zeroizing::new(vec![0; BYTES_MAX]),
            len: 0,
            caret: 0,
            taken: false,
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
        if character.is_control() {
            return;
        }
        if self.taken {
            self.clear();
        }
        if self.len + encoded.len() > BYTES_MAX {
            return;
        }
        self.bytes
            .copy_within(self.caret..self.len, self.caret + encoded.len());
        self.bytes[self.caret..][..encoded.len()].copy_from_slice(encoded);
        self.len += encoded.len();
        self.caret += encoded.len();
    }

    /// Removes the character before the caret, or what is taken.
    pub fn backspace(&mut self) {
        let start = self.before();
        self.remove_to(start);
    }

    /// Removes the character behind the caret, or what is taken.
    pub fn delete(&mut self) {
        let end = self.after();
        self.remove_from(end);
    }

    /// Removes the word before the caret, and the spaces behind it.
    pub fn delete_word(&mut self) {
        let start = self.word_start();
        self.remove_to(start);
    }

    /// Removes the spaces behind the caret, and the word behind them.
    pub fn delete_word_after(&mut self) {
        let end = self.word_end();
        self.remove_from(end);
    }

    /// Removes everything before the caret.
    pub fn delete_to_start(&mut self) {
        self.remove_to(0);
    }

    fn remove_to(&mut self, start: usize) {
        if self.taken {
            return self.clear();
        }
        self.remove(start, self.caret);
        self.caret = start;
    }

    fn remove_from(&mut self, end: usize) {
        if self.taken {
            return self.clear();
        }
        self.remove(self.caret, end);
    }

    /// Takes all of it.
    pub fn take_all(&mut self) {
        self.taken = !self.is_empty();
        self.caret = self.len;
    }

    /// Whether all of it is taken.
    pub const fn is_taken(&self) -> bool {
        self.taken
    }

    /// Whether a character belongs to a word: each part of an address is one.
    fn word_start(&self) -> usize {
        let before = &self.as_str()[..self.caret];
        let word = before.trim_end_matches(|c: char| !c.is_alphanumeric());
        word.trim_end_matches(char::is_alphanumeric).len()
    }

    fn word_end(&self) -> usize {
        let after = &self.as_str()[self.caret..];
        let word = after.trim_start_matches(|c: char| !c.is_alphanumeric());
        self.len - word.trim_start_matches(char::is_alphanumeric).len()
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

    /// Moves the caret one character back; before all of it if that is taken.
    pub fn left(&mut self) {
        let to = if self.taken { 0 } else { self.before() };
        self.go(to);
    }

    /// Moves the caret one character on; behind all of it if that is taken.
    pub fn right(&mut self) {
        let to = if self.taken { self.len } else { self.after() };
        self.go(to);
    }

    /// Moves the caret to the start of the word.
    pub fn word_left(&mut self) {
        let to = self.word_start();
        self.go(to);
    }

    /// Moves the caret behind the end of the word.
    pub fn word_right(&mut self) {
        let to = self.word_end();
        self.go(to);
    }

    /// Moves the caret before the first character.
    pub fn home(&mut self) {
        self.go(0);
    }

    /// Moves the caret behind the last character.
    pub fn end(&mut self) {
        self.go(self.len);
    }

    fn go(&mut self, to: usize) {
        self.caret = to;
        self.taken = false;
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.bytes.as_mut_slice().zeroize();
        self.len = 0;
        self.caret = 0;
        self.taken = false;
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

    #[test]
    fn words_and_all_of_it() {
        let mut typed = Typed::of("https://home.example:8443");
        typed.delete_word();
        assert_eq!(typed.as_str(), "https://home.example:");
        typed.word_left();
        typed.word_left();
        assert_eq!(typed.caret(), 8);
        typed.delete_word_after();
        assert_eq!(typed.as_str(), "https://.example:");
        typed.delete_to_start();
        assert_eq!((typed.as_str(), typed.caret()), (".example:", 0));
        typed.word_right();
        assert_eq!(typed.caret(), 8);
        typed.take_all();
        typed.insert('é');
        assert_eq!((typed.as_str(), typed.is_taken()), ("é", false));
        for remove in [Typed::backspace, Typed::delete, Typed::delete_word] {
            let mut typed = Typed::of("a b");
            typed.home();
            typed.take_all();
            remove(&mut typed);
            assert_eq!(typed.as_str(), "");
        }
        typed.clear();
        typed.take_all();
        assert!(!typed.is_taken());
        // Moving lets go of it.
        let mut typed = Typed::of("ab");
        typed.take_all();
        typed.left();
        assert_eq!((typed.caret(), typed.is_taken()), (0, false));
    }

    proptest! {
        #[test]
        fn nothing_of_what_was_removed_is_left(steps in proptest::collection::vec((0..12_u8, any::<char>()), 0..200)) {
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
                    6 => { typed.delete_to_start(); model.drain(..caret); caret = 0; }
                    7 => { typed.take_all(); typed.backspace(); if typed.is_empty() { model.clear(); } caret = 0; }
                    8 => {
                        let start = model[..caret].iter().rposition(|c| c.is_alphanumeric())
                            .and_then(|end| model[..end].iter().rposition(|c| !c.is_alphanumeric()).map(|at| at + 1))
                            .unwrap_or(0);
                        typed.delete_word();
                        model.drain(start..caret);
                        caret = start;
                    }
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
