//! The order in which the letters of a line stand: the Unicode Bidirectional Algorithm (UAX 9).
//!
//! What always holds here: a line whose first strong letter is written from right to left runs so as a whole; what is
//! written the other way round inside of it keeps its own direction.

use std::ops::Range;

use unicode_bidi::{BidiInfo, Level};

/// Whether a character is of a script that is written from right to left.
pub const fn is_right_to_left(character: char) -> bool {
    matches!(character,
        '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}'
        | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
}

/// Whether a character only says how others stand.
pub(super) const fn is_mark(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a line runs from right to left; `None`: no letter says so.
pub fn of_line(text: &str) -> Option<bool> {
    let first = text.chars().find(|character| {
        character.is_alphabetic() || matches!(character, '\u{200e}' | '\u{200f}')
    })?;
    Some(is_right_to_left(first) || first == '\u{200f}')
}

/// A part of a line in one direction, and whether that is from right to left.
pub(super) type Part = (Range<usize>, bool);

/// The parts as they stand, from left to right.
pub(super) fn parts(text: &str) -> Vec<Part> {
    let is_turned = |c: char| is_right_to_left(c) || is_mark(c);
    if text.is_ascii() || !text.chars().any(is_turned) {
        return vec![(0..text.len(), false)];
    }
    let base = match of_line(text) {
        Some(true) => Level::rtl(),
        _ => Level::ltr(),
    };
    let info = BidiInfo::new(text, Some(base));
    let mut parts = Vec::new();
    // A line has one paragraph; were there more, they stand behind each other.
    for paragraph in &info.paragraphs {
        let (levels, runs) = info.visual_runs(paragraph, paragraph.range.clone());
        for run in runs {
            let level = levels.get(run.start).copied().unwrap_or(base);
            parts.push((run, level.is_rtl()));
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<(&str, bool)> {
        parts(text)
            .into_iter()
            .map(|(range, turned)| (&text[range], turned))
            .collect()
    }

    #[test]
    fn what_is_written_from_the_right_stands_from_the_right() {
        assert_eq!(shown("ana 12"), [("ana 12", false)]);
        assert_eq!(shown("שלום"), [("שלום", true)]);
        // The line begins at the right; a name and a number keep their direction.
        assert_eq!(shown("שלום ana 12"), [("ana 12", false), ("שלום ", true)]);
        assert_eq!(shown("ana שלום"), [("ana ", false), ("שלום", true)]);
        assert_eq!(
            shown("\u{200f}SafeOS!"),
            [("!", true), ("SafeOS", false), ("\u{200f}", true)]
        );
        assert_eq!(of_line("12 •"), None);
        assert_eq!(of_line("12 ש"), Some(true));
        assert_eq!(of_line("\u{200f}a"), Some(true));
    }
}
