//! Conflict names, and the session's part in a merge.

use crate::Result;
use crate::item::{Ino, NAME_BYTES_MAX};

/// Text after the last dot counts as an extension up to this length, in bytes.
const EXTENSION_BYTES_MAX: usize = 32;
/// The longest suffix that is used whole, in bytes.
const SUFFIX_BYTES_MAX: usize = 120;

/// The session's part in a merge.
pub trait Naming {
    /// An inode number that neither side uses.
    fn fresh_ino(&mut self) -> Result<Ino>;

    /// The suffix of conflict names, like `conflict, ana's laptop, 2026-11-22 10.11.12`.
    fn suffix(&self) -> String;

    /// Whether a program has this node of ours open: then it stays without a name when theirs removed
    /// it.
    fn in_use(&self, ino: Ino) -> bool {
        let _ = ino;
        false
    }
}

/// The name for our version of `name`: the suffix in brackets before the extension, cut so that it is a
/// name, with a number from the second on.
pub fn conflict_name(name: &[u8], suffix: &str, number: u64) -> Vec<u8> {
    let (stem, extension) = split(name);
    let suffix: String = suffix
        .chars()
        .map(|c| if c == '/' || c.is_control() { '-' } else { c })
        .collect();
    let suffix = &suffix[..char_start(suffix.as_bytes(), SUFFIX_BYTES_MAX)];
    let addition = if number > 1 {
        format!(" ({suffix}, {number})")
    } else {
        format!(" ({suffix})")
    };
    let room = NAME_BYTES_MAX.saturating_sub(addition.len() + extension.len());
    let mut new = stem[..char_start(stem, room)].to_vec();
    new.extend_from_slice(addition.as_bytes());
    new.extend_from_slice(extension);
    new
}

/// Stem and extension with its dot. A leading dot starts no extension.
fn split(name: &[u8]) -> (&[u8], &[u8]) {
    let dot = name.iter().rposition(|byte| *byte == b'.').unwrap_or(0);
    if dot == 0 || name.len() - dot > EXTENSION_BYTES_MAX {
        return (name, &[]);
    }
    name.split_at(dot)
}

/// Where to cut so that at most `max` bytes stay and no UTF-8 character is torn.
fn char_start(bytes: &[u8], max: usize) -> usize {
    if bytes.len() <= max {
        return bytes.len();
    }
    let mut end = max;
    // A character has at most three bytes after its first; other bytes are no text anyway.
    for _ in 0..3 {
        if end > 0 && bytes[end] & 0b1100_0000 == 0b1000_0000 {
            end -= 1;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_suffix_stands_before_the_extension() {
        let suffix = "conflict, ana's laptop, 2026-11-22 10.11.12";
        for (name, expected) in [
            (
                "report.txt",
                "report (conflict, ana's laptop, 2026-11-22 10.11.12).txt",
            ),
            (
                "Makefile",
                "Makefile (conflict, ana's laptop, 2026-11-22 10.11.12)",
            ),
            (
                ".profile",
                ".profile (conflict, ana's laptop, 2026-11-22 10.11.12)",
            ),
            (
                "a.tar.gz",
                "a.tar (conflict, ana's laptop, 2026-11-22 10.11.12).gz",
            ),
        ] {
            let new = conflict_name(name.as_bytes(), suffix, 1);
            assert_eq!(String::from_utf8(new).unwrap(), expected);
        }
        assert_eq!(conflict_name(b"a.b", "x/y", 3), b"a (x-y, 3).b");
    }

    proptest! {
        #[test]
        fn a_conflict_name_is_a_name(name in "[^/\0]{1,80}", suffix in ".{0,200}", number: u64) {
            let name: String = name.chars().scan(0, |len, c| {
                *len += c.len_utf8();
                (*len <= 255).then_some(c)
            }).collect();
            let new = conflict_name(name.as_bytes(), &suffix, number);
            prop_assert!(crate::check::is_name(&new));
            prop_assert!(String::from_utf8(new).is_ok());
        }

        #[test]
        fn numbers_tell_names_apart(name in proptest::collection::vec(1u8.., 1..256), a in 1u64.., b in 1u64..) {
            prop_assume!(a != b);
            prop_assert_ne!(conflict_name(&name, "x", a), conflict_name(&name, "x", b));
        }
    }
}
