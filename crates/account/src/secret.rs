use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A secret text (a password), wiped when dropped and never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
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

/// What a person signs in with.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The account's name as typed.
    pub name: String,
    /// The password.
    pub password: Secret,
    /// The optional 128-bit secret key, as typed from the sheet.
    pub secret_key: Option<Secret>,
}
