//! Keys that this process has derived before, for tests alone: hundreds of them sign in with one name and password,
//! and Argon2id would take most of their time. Nothing is remembered until a test asks for it.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use zeroize::Zeroizing;

type Derived = Mutex<HashMap<[u8; 32], Zeroizing<Vec<u8>>>>;

static DERIVED: OnceLock<Derived> = OnceLock::new();

/// From now on what Argon2id gave for a password, salt and cost is given again without it.
pub fn remember_derivations() {
    DERIVED.get_or_init(Derived::default);
}

/// What stands for these arguments of Argon2id.
pub(crate) fn key(cost: [u32; 2], password: &[u8], salt: &[u8], len: usize) -> [u8; 32] {
    let [memory_kib, passes] = cost;
    let mut hasher = blake3::Hasher::new();
    for number in [memory_kib, passes, password.len() as u32, len as u32] {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(password).update(salt);
    *hasher.finalize().as_bytes()
}

/// Fills `output` if this was derived before.
pub(crate) fn find(key: &[u8; 32], output: &mut [u8]) -> bool {
    let Some(derived) = DERIVED.get() else {
        return false;
    };
    let derived = derived.lock().unwrap_or_else(PoisonError::into_inner);
    let found = derived.get(key);
    if let Some(found) = found {
        output.copy_from_slice(found);
    }
    found.is_some()
}

pub(crate) fn keep(key: [u8; 32], output: &[u8]) {
    if let Some(derived) = DERIVED.get() {
        let mut derived = derived.lock().unwrap_or_else(PoisonError::into_inner);
        derived.insert(key, Zeroizing::new(output.to_vec()));
    }
}
