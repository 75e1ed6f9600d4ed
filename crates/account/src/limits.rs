//! Lengths that messages name.

/// Letters and digits in the text form of a secret key: 150 bits, 128 of the key and 22 that check them.
pub const SECRET_KEY_TEXT_LEN: usize = 30;
