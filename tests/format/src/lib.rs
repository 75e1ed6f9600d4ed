//! A second implementation of the on-store format, reading only, written from `docs/format.md` and nothing
//! else. It is there to show that the document is enough, and is simple instead of fast.

#![forbid(unsafe_code)]

mod account;
mod bytes;
mod tree;
mod work;

pub use account::{Account, public, recover, sign_in};
pub use tree::{Commit, Entry, Home};
pub use work::Computer;

/// An address or a key.
pub type Hash = [u8; 32];

/// A result; the error says what does not fit.
pub type Result<T> = std::result::Result<T, String>;

/// Where records come from.
pub trait Records {
    /// The bytes of a chunk, not checked.
    fn chunk(&self, address: &Hash) -> Result<Vec<u8>>;
    /// The bytes of a pointer, not checked, if there is one.
    fn pointer(&self, address: &Hash) -> Result<Option<Vec<u8>>>;
}

/// A chunk, checked against its address.
fn chunk(records: &dyn Records, address: &Hash) -> Result<Vec<u8>> {
    let bytes = records.chunk(address)?;
    if blake3::hash(&bytes).as_bytes() != address || bytes.len() > 4_194_304 {
        return Err("a chunk does not have the hash that is its address".into());
    }
    Ok(bytes)
}

/// `derive(K, context, salt)` of the document.
fn derive(key: &[u8], context: &str, salt: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(key).update(salt);
    *hasher.finalize().as_bytes()
}

/// `mac(K, m)` of the document, of the parts of `m`.
fn mac(key: &Hash, parts: &[&[u8]]) -> Hash {
    *blake3::keyed_hash(key, &parts.concat()).as_bytes()
}

/// The reverse of `seal(K, aad, p)`.
fn open(key: &Hash, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
    open_page(key, 0, aad, sealed)
}

/// The same with a nonce that is a number.
fn open_page(key: &Hash, number: u32, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
    use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    let damaged = |_| "sealed bytes do not open".to_owned();
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).map_err(damaged)?);
    let mut buffer = sealed.to_vec();
    let mut nonce = [0; 12];
    nonce[..4].copy_from_slice(&number.to_le_bytes());
    let nonce = Nonce::assume_unique_for_key(nonce);
    let len = key
        .open_in_place(nonce, Aad::from(aad), &mut buffer)
        .map_err(damaged)?
        .len();
    buffer.truncate(len);
    Ok(buffer)
}
