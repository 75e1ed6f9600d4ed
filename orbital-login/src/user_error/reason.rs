//! Why something that was typed cannot be: the reasons that the account's library gives, as messages.
//!
//! What always holds here: a reason nobody has heard of is said as it came.

use safeos_account::Error;

use super::sentence::sentence;
use crate::message::Message;

/// The library's words, and the text that says the same in every language.
const REASONS: [(&str, &str); 16] = [
    ("it is empty", "name-empty"),
    ("it has more than 64 characters", "name-long"),
    ("it contains a “/”", "name-slash"),
    ("it contains a space", "name-space"),
    ("it contains a control character", "name-hidden"),
    ("it contains an invisible character", "name-hidden"),
    ("it begins with a “", "name-start"),
    ("fewer than 8 characters", "password-short"),
    ("longer than 4096 bytes", "password-long"),
    ("the words do not fit together", "words-mixed"),
    ("a character that secret keys never have", "key-strange"),
    ("it is too long", "key-long"),
    ("a part of it is missing", "key-short"),
    ("a letter or digit is mistyped", "key-mistyped"),
    ("this password was changed", "retired-text"),
    ("had this password before", "password-used-text"),
];

/// The reason in what the library or the daemon says.
pub(crate) fn reason(said: &str) -> Message {
    if let Some((_, id)) = REASONS.iter().find(|(words, _)| said.contains(words)) {
        return Message::new(id);
    }
    let number_after = |words: &str| -> Option<u64> {
        let (_, rest) = said.split_once(words)?;
        rest.split(' ').next()?.parse().ok()
    };
    if said.contains("stands on no recovery sheet")
        && let Some(number) = number_after("ord ")
    {
        return Message::new("word-unknown").with("number", number);
    }
    if said.contains(" were given")
        && let Some(count) = number_after("words, and ")
    {
        return Message::new("words-count").with("count", count);
    }
    Message::Literal(sentence(said))
}

/// The reason of an error of the library.
pub(crate) fn reason_of(error: &Error) -> Message {
    reason(&error.to_string())
}

#[cfg(test)]
mod tests {
    use safeos_account::{RecoveryKey, Secret, SecretKey, check_name, check_new_password};

    use super::*;
    use crate::language::Language;

    /// Every reason that can be had here has a text of its own.
    #[test]
    fn the_reasons_of_the_library_are_known() {
        let secret = |text: &str| Secret::new(text.to_owned());
        let mut errors = Vec::new();
        for name in ["", "a/b", "a b", "a\u{7}", "a\u{200b}", &"x".repeat(65)] {
            errors.extend(check_name(name).err());
        }
        for password in ["short", &"x".repeat(5000)] {
            errors.extend(check_new_password(&secret(password)).err());
        }
        let words = "abandon ".repeat(11);
        for typed in ["abandon", "wimmer", &format!("{words} abandon")] {
            errors.extend(RecoveryKey::parse(&secret(typed)).err());
        }
        for typed in ["?", "1", &"1".repeat(60), &"1".repeat(30)] {
            errors.extend(SecretKey::parse(&secret(typed)).err());
        }
        assert!(errors.len() >= 14, "{errors:?}");
        for error in errors {
            let reason = reason_of(&error);
            assert!(matches!(reason, Message::Text(..)), "{error}");
            assert_ne!(Language::English.say(&reason), "", "{error}");
        }
        let unheard = reason("the moon is full");
        assert_eq!(Language::English.say(&unheard), "The moon is full.");
    }
}
