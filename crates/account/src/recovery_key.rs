//! The recovery key: 128 random bits that open an account whose password is forgotten, as twelve words for a sheet.
//!
//! What always holds here: words that parse are, but for one chance in sixteen for each mistake that gives another word
//! of the list, those that were printed; capitals, numbers and signs between the words do not matter. No error repeats
//! a word.

use bip39::{Language, Mnemonic};
use safeos_record::random_bytes;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{Error, Result, Secret};

/// Words of a sheet: 128 bits of the key and 4 that check them, 11 a word.
pub const WORDS: usize = 12;
/// Letters of the longest word, and the space behind it.
const WORD_LEN_MAX: usize = 9;

/// The key on a recovery sheet.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct RecoveryKey([u8; 16]);

impl RecoveryKey {
    /// A fresh random one.
    pub fn generate() -> Result<Self> {
        let mut key = Self([0; 16]);
        random_bytes(&mut key.0)?;
        Ok(key)
    }

    /// The key of these bytes.
    pub(crate) const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The key itself.
    pub(crate) const fn expose(&self) -> &[u8; 16] {
        &self.0
    }

    /// The twelve words (BIP 39, English), with spaces between.
    pub fn to_words(&self) -> Secret {
        // Room for the longest at once: a string that grows would leave copies behind.
        let mut text = String::with_capacity(WORDS * WORD_LEN_MAX);
        // 16 bytes are an entropy that BIP 39 knows.
        if let Ok(words) = Mnemonic::from_entropy_in(Language::English, &self.0) {
            for word in words.words() {
                if !text.is_empty() {
                    text.push(' ');
                }
                text.push_str(word);
            }
        }
        Secret::new(text)
    }

    /// Reads the words as typed from the sheet. Names a word that is not in the list, before any other question.
    pub fn parse(typed: &Secret) -> Result<Self> {
        let wrong = |why: String| Err(Error::BadRecoveryKey(why));
        let mut words = Zeroizing::new(String::with_capacity(WORDS * WORD_LEN_MAX));
        let mut count = 0;
        let typed = typed.expose().split(|c: char| !c.is_alphabetic());
        for word in typed.filter(|word| !word.is_empty()) {
            count += 1;
            if count > WORDS {
                continue;
            }
            let known = Zeroizing::new(word.to_lowercase());
            if Language::English.find_word(&known).is_none() {
                return wrong(format!(
                    "word {count} stands on no recovery sheet; compare it letter by letter"
                ));
            }
            if count > 1 {
                words.push(' ');
            }
            words.push_str(&known);
        }
        if count != WORDS {
            return wrong(format!("it has {WORDS} words, and {count} were given"));
        }
        let Ok(words) = Mnemonic::parse_in_normalized(Language::English, &words) else {
            return wrong(
                "the words do not fit together: one is another word, or two have changed places"
                    .to_owned(),
            );
        };
        let (entropy, _) = words.to_entropy_array();
        let entropy = Zeroizing::new(entropy);
        let mut key = Self([0; 16]);
        key.0.copy_from_slice(&entropy[..16]);
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<RecoveryKey> {
        RecoveryKey::parse(&Secret::new(text.to_owned()))
    }

    #[test]
    fn the_words_stay() {
        // From the test vectors of BIP 39.
        for (byte, words) in [
            (0x00, "abandon ".repeat(11) + "about"),
            (
                0x7f,
                "legal winner thank year wave sausage worth useful legal winner thank yellow"
                    .to_owned(),
            ),
            (
                0x80,
                "letter advice cage absurd amount doctor acoustic avoid letter advice cage above"
                    .to_owned(),
            ),
            (0xff, "zoo ".repeat(11) + "wrong"),
        ] {
            let key = RecoveryKey([byte; 16]);
            assert_eq!(key.to_words().expose(), words);
            assert!(parse(&words).unwrap() == key);
        }
    }

    #[test]
    fn each_kind_of_mistake_is_named_and_nothing_repeated() {
        let good = "legal winner thank year wave sausage worth useful legal winner thank yellow";
        for (typed, says) in [
            ("", "0 were given"),
            ("legal winner", "2 were given"),
            (&format!("{good} zoo"), "13 were given"),
            (&good.replace("year", "yaer"), "word 4"),
            (&good.replace("yellow", "gélb"), "word 12"),
            (
                &good.replace("winner thank year", "winner year thank"),
                "do not fit",
            ),
            (&good.replace("yellow", "zoo"), "do not fit"),
        ] {
            let error = parse(typed).err().unwrap();
            assert_eq!(error.code(), "bad_recovery_key");
            let error = error.to_string();
            assert!(error.contains(says), "{error}");
            assert!(
                !error.contains("yaer") && !error.contains("gélb"),
                "{error}"
            );
        }
    }

    proptest! {
        #[test]
        fn every_key_comes_back_however_it_is_typed(bytes in any::<[u8; 16]>()) {
            let key = RecoveryKey(bytes);
            let words = key.to_words();
            prop_assert!(words.expose().len() <= WORDS * WORD_LEN_MAX);
            prop_assert!(parse(words.expose()).unwrap() == key);
            let numbered: String = words
                .expose()
                .split(' ')
                .enumerate()
                .map(|(place, word)| format!("{}. {}\n", place + 1, word.to_uppercase()))
                .collect();
            prop_assert!(parse(&numbered).unwrap() == key);
        }

        #[test]
        fn whatever_is_typed_is_read_or_refused(text in "\\PC{0,200}") {
            if let Ok(key) = parse(&text) {
                prop_assert!(parse(key.to_words().expose()).unwrap() == key);
            }
        }
    }
}
