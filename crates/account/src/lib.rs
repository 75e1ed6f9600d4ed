//! Accounts: opened by a name and a password.
//!
//! What always holds here: the password is stretched once for each sign-in ([`Login::derive`]) and
//! never leaves this computer; no store learns a name, a password or a key. Where an account lives
//! and the key that opens it both come out of name and password, so an account cannot be found without them.
//! Keys and passwords are wiped from memory when they are dropped and are never printed.
//!
//! ```text
//! name, password (, secret key) ──Argon2id──┬── owner seed ── pointer address, signatures
//!                                           └── packet key ── account packet ── home key, settings
//! pointer ── head chunk = sealed packet ‖ sealed commit
//! recovery key (optional) ── a pointer of its own ── recovery record = owner seed, packet key
//! ```

#![forbid(unsafe_code)]

mod account;
#[cfg(test)]
mod busy_tests;
mod credentials;
mod error;
mod head;
mod kdf;
mod limits;
mod login;
mod marker;
#[cfg(feature = "memo")]
mod memo;
mod memory;
mod name;
mod packet;
mod password;
mod records;
mod recover;
#[cfg(test)]
mod recover_tests;
mod recovery;
mod recovery_key;
mod secret_key;
#[cfg(test)]
mod tests;

pub use account::{Account, PreparedHead};
pub use credentials::Credentials;
pub use error::{Error, Result};
pub use head::{COMMIT_LEN_MAX, Head};
pub use login::Login;
#[cfg(feature = "memo")]
pub use memo::remember_derivations;
pub use name::{check_name, check_new_password};
pub use packet::Settings;
pub use password::NewPassword;
pub use recover::Recovered;
pub use recovery_key::{RecoveryKey, WORDS as RECOVERY_WORDS};
pub use safeos_secret::Secret;
pub use secret_key::SecretKey;

/// Entry points for fuzzing: each decoder of this crate on unchecked bytes.
#[doc(hidden)]
pub mod fuzz {
    /// Splits a head chunk into its sealed parts.
    pub fn head(bytes: &[u8]) -> bool {
        crate::head::Parts::of(bytes).is_ok()
    }

    /// Decodes an opened account packet: false if it decodes and is not the one encoding of its content.
    pub fn packet(bytes: &[u8]) -> bool {
        crate::packet::Packet::decode(bytes).map_or(true, |packet| {
            packet
                .encode()
                .is_ok_and(|encoded| encoded.as_slice() == bytes)
        })
    }

    /// The same for an opened recovery record.
    pub fn recovery(bytes: &[u8]) -> bool {
        crate::recovery::decodes_well(bytes)
    }

    /// Reads the words of a recovery sheet: false if they are read and are not the one key of their printed form.
    pub fn words(text: &str) -> bool {
        use crate::{RecoveryKey, Secret};
        RecoveryKey::parse(&Secret::new(text.to_owned())).map_or(true, |key| {
            RecoveryKey::parse(&key.to_words()).is_ok_and(|again| again == key)
        })
    }
}
