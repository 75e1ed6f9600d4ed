//! The keyboard on the screen: for whoever has no other, or cannot use it.
//!
//! What always holds here: what is tapped does what the same key does, and the focus stays where it is; a capital is
//! one, and the small letters come back.

use super::layer::Layer;
use super::{Effect, Screen, State, Target};
use crate::keyboard::Key;

impl State {
    /// Whether the keyboard stands on the screen: where something can be typed.
    pub const fn has_keys(&self) -> bool {
        let is_typed = matches!(
            self.screen,
            Screen::Form(_) | Screen::People(_) | Screen::Locked(_)
        );
        self.access.keyboard && is_typed
    }

    /// The letters on the keys, row by row; none while it does not stand there.
    pub fn keys(&self) -> Vec<Vec<char>> {
        if !self.has_keys() {
            return Vec::new();
        }
        let upper = |letter: char| match letter.to_uppercase().next() {
            // Some have no capital that is one letter.
            Some(capital) if self.capitals && letter.to_uppercase().count() == 1 => capital,
            _ => letter,
        };
        let rows = self.layer.rows(self.language);
        rows.map(|row| row.chars().map(upper).collect()).into()
    }

    /// The layer that the key for other letters leads to.
    pub fn next_layer(&self) -> Layer {
        self.layer.next(self.language)
    }

    /// The first letters of a layer, which say what it has.
    pub fn sample(&self, layer: Layer) -> String {
        layer.rows(self.language)[1].chars().take(3).collect()
    }

    /// Whether a key of it can be tapped.
    pub(super) fn is_key(&self, target: Target) -> bool {
        // Beside an open menu a tap closes it.
        if self.menu.is_some() {
            return false;
        }
        match target {
            Target::Type(letter) => {
                self.has_keys() && letter == ' '
                    || self.keys().iter().flatten().any(|key| *key == letter)
            }
            Target::Layer | Target::Capitals | Target::Erase => self.has_keys(),
            _ => false,
        }
    }

    /// Does what a key is for.
    pub(super) fn tap(&mut self, target: Target, effects: &mut Vec<Effect>) {
        match target {
            Target::Type(letter) => {
                self.capitals = false;
                // A space is a letter here, and presses nothing.
                self.move_to_a_field();
                if letter == ' ' && !self.focus.is_text() {
                    self.finds(|find| find.insert(letter));
                } else {
                    self.text(letter, effects);
                }
            }
            Target::Layer => {
                self.layer = self.next_layer();
                self.capitals = false;
            }
            Target::Capitals => self.capitals = !self.capitals,
            Target::Erase => self.key(Key::Backspace, effects),
            _ => {}
        }
    }
}
