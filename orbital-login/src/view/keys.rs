//! The keyboard on the screen.

use crate::icon::Icon;
use crate::state::{State, Target};

/// The text of a key.
#[derive(Clone, PartialEq, Debug)]
pub enum Cap {
    /// Letters.
    Words(String),
    /// An icon; whether it is switched on.
    Icon(Icon, bool),
}

/// A key.
#[derive(Clone, PartialEq, Debug)]
pub struct Key {
    /// Its target.
    pub target: Target,
    /// Its text.
    pub cap: Cap,
    /// As wide as so many keys with a letter.
    pub wide: f32,
}

/// Its rows: the letters, and below them what changes them, the space and what removes.
pub(super) fn rows(state: &State) -> Vec<Vec<Key>> {
    let letter = |letter: char| Key {
        target: Target::Type(letter),
        cap: Cap::Words(letter.to_string()),
        wide: 1.0,
    };
    let mut rows: Vec<Vec<Key>> = state
        .keys()
        .into_iter()
        .map(|row| row.into_iter().map(letter).collect())
        .collect();
    if rows.is_empty() {
        return rows;
    }
    let key = |target, cap, wide| Key { target, cap, wide };
    rows.push(vec![
        key(
            Target::Capitals,
            Cap::Icon(Icon::Capitals, state.capitals),
            1.5,
        ),
        key(
            Target::Layer,
            Cap::Words(state.sample(state.next_layer())),
            1.5,
        ),
        key(Target::Type(' '), Cap::Words(String::new()), 5.0),
        key(Target::Erase, Cap::Icon(Icon::Erase, false), 2.0),
    ]);
    rows
}
