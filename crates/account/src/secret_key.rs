//! The secret key: 128 random bits that join the password, printed for a sheet or kept on a stick.
//!
//! What always holds here: a text that parses is, but for one chance in four million, the one that was printed; how it
//! is grouped, in capitals or not, with O for 0 or I and L for 1, does not matter.

use safeos_record::random_bytes;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::limits::SECRET_KEY_TEXT_LEN as TEXT_LEN;
use crate::{Error, Result, Secret};

const GROUP_LEN: usize = 5;
const CHECK_BITS: usize = TEXT_LEN * 5 - 128;
const CHECK_CONTEXT: &str = "safeos 2026 secret key check v1";
/// Crockford's base 32.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The optional second secret of an account.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SecretKey([u8; 16]);

impl SecretKey {
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

    /// The text to print: six groups of five, `XXXXX-XXXXX-XXXXX-XXXXX-XXXXX-XXXXX`.
    pub fn to_text(&self) -> Secret {
        let mut bits = Zeroizing::new(self.bits());
        let mut text = String::with_capacity(TEXT_LEN + TEXT_LEN / GROUP_LEN - 1);
        for place in 0..TEXT_LEN {
            if place > 0 && place % GROUP_LEN == 0 {
                text.push('-');
            }
            text.push(ALPHABET[usize::from(bits[0] >> 3)] as char);
            shift_left_5(bits.as_mut_slice(), 0);
        }
        Secret::new(text)
    }

    /// Reads a text as typed from the sheet.
    pub fn parse(typed: &Secret) -> Result<Self> {
        let mut bits = Zeroizing::new([0_u8; 19]);
        let mut count = 0;
        for character in typed.expose().chars() {
            if character == '-' || character.is_whitespace() {
                continue;
            }
            let letter = match character.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            let value = ALPHABET
                .iter()
                .position(|known| char::from(*known) == letter)
                .ok_or(Error::BadSecretKey(
                    "it contains a character that secret keys never have",
                ))?;
            count += 1;
            if count > TEXT_LEN {
                return Err(Error::BadSecretKey("it is too long"));
            }
            shift_left_5(bits.as_mut_slice(), value as u8);
        }
        if count < TEXT_LEN {
            return Err(Error::BadSecretKey("a part of it is missing"));
        }
        // 150 bits stand at the right end of 152: move them to the left end, as `bits` has them.
        shift_left(bits.as_mut_slice(), 2, 0);
        let mut key = Self([0; 16]);
        key.0.copy_from_slice(&bits[..16]);
        if key.bits() != *bits {
            return Err(Error::BadSecretKey("a letter or digit is mistyped"));
        }
        Ok(key)
    }

    /// The key and its check, 150 bits from the left.
    fn bits(&self) -> [u8; 19] {
        let mut hasher = blake3::Hasher::new_derive_key(CHECK_CONTEXT);
        hasher.update(&self.0);
        let mut bits = [0; 19];
        bits[..16].copy_from_slice(&self.0);
        bits[16..].copy_from_slice(&hasher.finalize().as_bytes()[..3]);
        bits[18] &= !0 << (24 - CHECK_BITS);
        bits
    }
}

fn shift_left_5(bits: &mut [u8], low: u8) {
    shift_left(bits, 5, low);
}

fn shift_left(bits: &mut [u8], by: u32, low: u8) {
    let mut carry = low;
    for byte in bits.iter_mut().rev() {
        let next = *byte >> (8 - by);
        *byte = (*byte << by) | carry;
        carry = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SecretKey> {
        SecretKey::parse(&Secret::new(text.to_owned()))
    }

    #[test]
    fn the_text_gives_the_key_back_however_it_is_typed() {
        for key in [
            SecretKey([0; 16]),
            SecretKey([0xff; 16]),
            SecretKey::generate().unwrap(),
        ] {
            let text = key.to_text();
            let text = text.expose();
            assert_eq!(text.len(), 35);
            assert!(text.split('-').all(|group| group.len() == 5));
            assert!(parse(text).unwrap() == key);
            assert!(parse(&text.to_lowercase().replace('-', " ")).unwrap() == key);
            assert!(
                parse(&text.replace('-', "").replace('0', "o").replace('1', "l")).unwrap() == key
            );
        }
    }

    #[test]
    fn the_format_stays() {
        let key = SecretKey(*b"0123456789abcdef");
        assert_eq!(
            key.to_text().expose(),
            "60RK4-CSM6M-V3EE1-SC5H6-6S35C-SJ9RC"
        );
    }

    #[test]
    fn every_single_mistake_and_swap_is_found() {
        let key = SecretKey::generate().unwrap();
        let text = key.to_text();
        let text: Vec<char> = text.expose().chars().filter(|c| *c != '-').collect();
        for place in 0..text.len() {
            for letter in ALPHABET {
                let mut wrong = text.clone();
                wrong[place] = *letter as char;
                if wrong != text {
                    let error = parse(&wrong.iter().collect::<String>());
                    assert!(error.is_err_and(|e| e.code() == "bad_secret_key"));
                }
            }
            if place > 0 && text[place] != text[place - 1] {
                let mut wrong = text.clone();
                wrong.swap(place, place - 1);
                assert!(parse(&wrong.iter().collect::<String>()).is_err());
            }
        }
    }

    #[test]
    fn each_kind_of_mistake_is_named() {
        let text = SecretKey::generate().unwrap().to_text();
        let text = text.expose();
        for (typed, word) in [
            (String::new(), "missing"),
            (text[..30].to_owned(), "missing"),
            (format!("{text}0"), "too long"),
            (text.replace('-', "_"), "never have"),
            (format!("é{text}"), "never have"),
        ] {
            let error = parse(&typed).err().unwrap().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
