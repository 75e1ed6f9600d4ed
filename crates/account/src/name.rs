//! Account names and passwords in their one form.
//!
//! What always holds here: two ways of typing the same name or password (composed or decomposed
//! letters, full-width forms; for names also capitals) give the same bytes, on every system. A
//! [`Name`] is 1 to 64 characters, all of them visible.

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::{Error, Result, Secret};

/// The longest name, in characters.
pub const NAME_CHARS_MAX: usize = 64;
/// The shortest password that can be set, in characters.
pub const PASSWORD_CHARS_MIN: usize = 8;
/// The longest text taken for a name or password, in bytes, before it is normalised.
const TEXT_BYTES_MAX: usize = 4096;
/// One character becomes at most this many bytes for each of its own under NFKC (U+FDFA: 3 to 33).
const NFKC_GROWTH: usize = 11;

/// A name in its normal form: NFKC, lower case, trimmed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Name(String);

impl Name {
    /// The normal form of a name as typed, or [`Error::BadName`].
    pub fn parse(typed: &str) -> Result<Self> {
        if typed.len() > TEXT_BYTES_MAX {
            return Err(Error::BadName("it has more than 64 characters"));
        }
        let folded: String = typed
            .nfkc()
            .flat_map(char::to_lowercase)
            .nfkc()
            .collect::<String>()
            .trim()
            .to_owned();
        if folded.is_empty() {
            return Err(Error::BadName("it is empty"));
        }
        if folded.chars().count() > NAME_CHARS_MAX {
            return Err(Error::BadName("it has more than 64 characters"));
        }
        for character in folded.chars() {
            if character == '/' {
                return Err(Error::BadName("it contains a “/”"));
            }
            if character.is_whitespace() {
                return Err(Error::BadName("it contains a space or line break"));
            }
            if character.is_control() {
                return Err(Error::BadName("it contains a control character"));
            }
            if is_invisible(character) {
                return Err(Error::BadName("it contains an invisible character"));
            }
        }
        Ok(Self(folded))
    }

    /// Refuses a name that commands and folders would take for something else. Not one that an account has already.
    pub(crate) fn check_new(&self) -> Result<()> {
        match self.0.chars().next() {
            Some('-') => Err(Error::BadName("it begins with a “-”")),
            Some('.') => Err(Error::BadName("it begins with a “.”")),
            _ => Ok(()),
        }
    }

    /// The normal form itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a name as typed can be an account's; the error says what is wrong with it.
pub fn check_name(typed: &str) -> Result<()> {
    Name::parse(typed).map(drop)
}

/// Characters that show nothing or turn the direction of text: two names that look the same must be the same.
fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// The normal form (NFKC) of a password as typed; refuses only what cannot be one.
pub fn normal_password(typed: &Secret) -> Result<Zeroizing<String>> {
    let typed = typed.expose();
    if typed.is_empty() {
        return Err(Error::WeakPassword("it is empty"));
    }
    if typed.len() > TEXT_BYTES_MAX {
        return Err(Error::WeakPassword("it is longer than 4096 bytes"));
    }
    // Room for the longest outcome at once: a string that grows would leave copies behind.
    let mut normal = Zeroizing::new(String::with_capacity(typed.len() * NFKC_GROWTH));
    normal.extend(typed.nfkc());
    Ok(normal)
}

/// Refuses a password that is too short to be set. (One that is set already is not judged again.)
pub fn check_new_password(typed: &Secret) -> Result<()> {
    if normal_password(typed)?.chars().count() < PASSWORD_CHARS_MIN {
        return Err(Error::WeakPassword("it has fewer than 8 characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(typed: &str) -> Result<String> {
        Name::parse(typed).map(|name| name.0)
    }

    #[test]
    fn the_same_name_typed_differently_is_the_same() {
        assert_eq!(name(" Ana\n").unwrap(), "ana");
        assert_eq!(name("ＡＮＡ").unwrap(), "ana");
        assert_eq!(name("Zoë").unwrap(), name("ZOE\u{308}").unwrap());
        assert_ne!(name("zoe").unwrap(), name("zoë").unwrap());
        assert_eq!(name(&"x".repeat(64)).unwrap().len(), 64);
    }

    #[test]
    fn what_cannot_be_a_name_is_refused_by_its_reason() {
        for (typed, word) in [
            ("", "empty"),
            (" \t ", "empty"),
            ("a/b", "“/”"),
            ("a b", "space"),
            ("a\u{a0}b", "space"),
            ("a\u{7}b", "control"),
            ("a\u{200b}b", "invisible"),
            ("a\u{202e}b", "invisible"),
            (&"x".repeat(65), "64"),
            (&"\u{fdfa}".repeat(1000), "64"),
            (&"x".repeat(1 << 20), "64"),
        ] {
            let error = name(typed).unwrap_err();
            assert_eq!(error.code(), "bad_name");
            assert!(error.to_string().contains(word), "{typed:.20?}: {error}");
        }
    }

    #[test]
    fn a_name_that_looks_like_an_option_or_a_folder_is_no_new_one() {
        for typed in [".", "..", ".hidden", "-x", "--help", "．", "－x"] {
            let name = Name::parse(typed).unwrap();
            assert_eq!(name.check_new().unwrap_err().code(), "bad_name", "{typed}");
        }
        for typed in ["a.b-c", "x-", "x."] {
            Name::parse(typed).unwrap().check_new().unwrap();
        }
    }

    #[test]
    fn the_normal_form_of_every_character_is_its_own_normal_form() {
        for character in '\0'..=char::MAX {
            if let Ok(once) = name(&format!("a{character}z")) {
                assert_eq!(name(&once).unwrap(), once, "U+{:x}", character as u32);
            }
        }
    }

    #[test]
    fn no_password_outgrows_its_room() {
        for character in '\0'..=char::MAX {
            let typed = Secret::new(character.to_string());
            let normal = normal_password(&typed).unwrap();
            assert!(normal.len() <= character.len_utf8() * NFKC_GROWTH);
        }
    }

    #[test]
    fn short_passwords_are_refused_only_when_set() {
        let secret = |text: &str| Secret::new(text.to_owned());
        assert!(normal_password(&secret("x")).is_ok());
        assert_eq!(
            normal_password(&secret("")).unwrap_err().code(),
            "weak_password"
        );
        assert_eq!(
            check_new_password(&secret("sieben7")).unwrap_err().code(),
            "weak_password"
        );
        check_new_password(&secret("achtacht")).unwrap();
        check_new_password(&secret("пароль12")).unwrap();
    }
}
