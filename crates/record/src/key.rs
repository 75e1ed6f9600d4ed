use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{Error, Result};

/// Length of the nonce of [`Key::seal`], in bytes.
pub const NONCE_LEN: usize = 12;
/// How many bytes sealing adds.
pub const TAG_LEN: usize = 16;

/// Fills `buffer` from the operating system's random source.
pub fn random_bytes(buffer: &mut [u8]) -> Result<()> {
    SystemRandom::new()
        .fill(buffer)
        .map_err(|_| Error::NoRandomness)
}

/// A 256-bit secret, wiped when dropped and never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Key([u8; 32]);

impl Key {
    /// A key of these bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A fresh random key.
    pub fn random() -> Result<Self> {
        let mut key = Self([0; 32]);
        random_bytes(&mut key.0)?;
        Ok(key)
    }

    /// The secret bytes, for a key derivation or to be sealed.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// A key for one purpose: `BLAKE3::derive_key(context, self ‖ salt)`.
    pub fn derive(&self, context: &str, salt: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        hasher.update(&self.0).update(salt);
        Self(*hasher.finalize().as_bytes())
    }

    /// The keyed BLAKE3 hash of `parts`, one after another.
    pub fn hash(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for part in parts {
            hasher.update(part);
        }
        *hasher.finalize().as_bytes()
    }

    /// See [`Cipher::seal`].
    pub fn seal(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        buffer: &mut Vec<u8>,
        from: usize,
    ) -> Result<()> {
        self.cipher()?.seal(nonce, aad, buffer, from)
    }

    /// Opens what [`Cipher::seal`] made, in place; the plaintext is the slice returned.
    pub fn open<'a>(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        sealed: &'a mut [u8],
    ) -> Result<&'a mut [u8]> {
        self.cipher()?.open(nonce, aad, sealed, 0)
    }

    /// The key made ready, for sealing in several pieces.
    pub fn cipher(&self) -> Result<Cipher> {
        UnboundKey::new(&AES_256_GCM, &self.0)
            .map(|key| Cipher(LessSafeKey::new(key)))
            .map_err(|_| Error::Sealed)
    }
}

/// AES-256-GCM under one key.
pub struct Cipher(LessSafeKey);

impl Cipher {
    /// Seals `buffer[from..]` in place and appends the tag of [`TAG_LEN`] bytes. A nonce may be used once
    /// with a key.
    pub fn seal(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        buffer: &mut Vec<u8>,
        from: usize,
    ) -> Result<()> {
        let plain = buffer.get_mut(from..).ok_or(Error::Sealed)?;
        let tag = self
            .0
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), plain)
            .map_err(|_| Error::Sealed)?;
        buffer.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// Opens what [`Cipher::seal`] made and `buffer` has from `from` on; the plaintext is the slice returned, at the
    /// front of `buffer`.
    pub fn open<'a>(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        buffer: &'a mut [u8],
        from: usize,
    ) -> Result<&'a mut [u8]> {
        self.0
            .open_within(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(aad),
                buffer,
                from..,
            )
            .map_err(|_| Error::Sealed)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}
