//! Secret texts: passwords and keys, in memory and in requests.
//!
//! What always holds here: the text is decoded from the request line straight into memory that is
//! wiped. The decoder of the JSON library would leave a copy of a password with escapes behind, so it is only asked
//! where the text ends.

use std::fmt;
use std::str::Chars;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A secret text, wiped when dropped and never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secret(String);

impl Secret {
    /// Takes a text; the caller's copy is this one.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        unescape(raw.get())
            .map(Self)
            .ok_or_else(|| D::Error::custom("a secret must be a string"))
    }
}

/// The text of a JSON string with its quotes; `None` for anything else.
fn unescape(json: &str) -> Option<String> {
    let mut rest = json.strip_prefix('"')?.strip_suffix('"')?.chars();
    // Unescaped text is never longer than escaped text, so this one does not grow and leaves no copy.
    let mut text = Zeroizing::new(String::with_capacity(json.len()));
    while let Some(character) = rest.next() {
        let plain = match character {
            '"' => return None,
            '\\' => match rest.next()? {
                plain @ ('"' | '\\' | '/') => plain,
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => escaped_unicode(&mut rest)?,
                _ => return None,
            },
            plain => plain,
        };
        text.push(plain);
    }
    Some(std::mem::take(&mut *text))
}

/// The character after `\u`, with the second half of a surrogate pair.
fn escaped_unicode(rest: &mut Chars<'_>) -> Option<char> {
    let first = four_digits(rest)?;
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(first);
    }
    if rest.next()? != '\\' || rest.next()? != 'u' {
        return None;
    }
    let second = four_digits(rest)?
        .checked_sub(0xdc00)
        .filter(|low| *low < 0x400)?;
    char::from_u32(0x10000 + ((first - 0xd800) << 10) + second)
}

fn four_digits(rest: &mut Chars<'_>) -> Option<u32> {
    (0..4).try_fold(0, |value, _| Some(value * 16 + rest.next()?.to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_string_is_refused_without_repeating_it() {
        for wrong in [
            "12345",
            "null",
            "[\"hunter2\"]",
            r#""\ud800""#,
            r#""\ud800\u0041""#,
            r#""\udc00""#,
        ] {
            let error = serde_json::from_str::<Secret>(wrong)
                .unwrap_err()
                .to_string();
            assert!(
                !error.contains("hunter2") && error.contains("secret"),
                "{error}"
            );
        }
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in any::<String>()) {
            let json = serde_json::to_string(&Secret::new(text.clone())).unwrap();
            let back: Secret = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(back.expose(), &text);
            // The same with every character escaped.
            let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            let back: Secret = serde_json::from_str(&format!("\"{escaped}\"")).unwrap();
            prop_assert_eq!(back.expose(), &text);
        }

        #[test]
        fn it_decodes_what_the_library_decodes(json in "\"([a\\\\\"/bfnrtuU0-9d-f]|\\\\u[dD][89a-fA-F][0-9]{2}){0,12}\"") {
            let ours = serde_json::from_str::<Secret>(&json).ok();
            let theirs = serde_json::from_str::<String>(&json).ok();
            prop_assert_eq!(ours.as_ref().map(Secret::expose), theirs.as_deref());
        }
    }
}
