//! The recovery pointer of an account, which a recovery key opens.
//!
//! What always holds here: the key alone says where its pointer is and opens what it points at; no name or password
//! goes into it. The record holds keys from the password, and is renewed before a new password begins to hold, so that
//! at every moment the sheet opens everything that the password opens. Publishing does not touch it. Each record is
//! [`RECORD_LEN`] bytes long.
//!
//! ```text
//! owner seed = BLAKE3::derive_key("safeos 2026 recovery owner v1", recovery key)      the pointer's
//! record key = BLAKE3::derive_key("safeos 2026 recovery record key v1", recovery key)
//! record     = version 1 (always 1) ‖ salt 32 ‖ AES-256-GCM(plaintext), tag 16        key: record key.derive("… seal v1", salt)
//! plaintext  = count 1 (1 or 2), then each: kdf version 1, owner seed 32, packet key 32; the newest first
//!              ‖ secret key: 0, or 1 and 16 bytes ‖ zeros to 256 bytes
//! ```
//!
//! The salt is a keyed hash of counter and plaintext: renewing again after an interruption gives the same chunk, which
//! is paid for once.

use safeos_record::{Address, Chunk, FINAL_COUNTER, Key, OwnerKey, Pointer, TAG_LEN, Target};
use safeos_store::Store;
use zeroize::Zeroizing;

use crate::head::{damaged, open, seal};
use crate::kdf::{self, Keys};
use crate::marker::NOTHING;
use crate::records::{head_chunk, move_pointer, target};
use crate::{Error, RecoveryKey, Result, SecretKey};

const OWNER_CONTEXT: &str = "safeos 2026 recovery owner v1";
const KEY_CONTEXT: &str = "safeos 2026 recovery record key v1";
const SEAL_CONTEXT: &str = "safeos 2026 recovery record seal v1";
const SALT_CONTEXT: &str = "safeos 2026 recovery record salt v1";
const VERSION: u8 = 1;
const PLAIN_LEN: usize = 256;
/// A record's length, sealed.
const RECORD_LEN: usize = 1 + 32 + PLAIN_LEN + TAG_LEN;
/// The keys that hold and those that are about to.
const KEYS_MAX: usize = 2;
const CUT: &str = "the recovery record is cut short";

/// Where a recovery key leads.
pub struct RecoveryPointer {
    owner: OwnerKey,
    key: Key,
}

/// The opened content of the recovery record.
pub struct Record {
    /// Keys from a password; after an interrupted change of password there are two pairs.
    pub keys: Vec<Keys>,
    /// The secret key, if the account has one: a new password goes with the same.
    pub secret_key: Option<SecretKey>,
}

impl RecoveryPointer {
    /// The pointer of a key.
    pub fn of(key: &RecoveryKey) -> Self {
        let derive = |context| {
            let mut hasher = blake3::Hasher::new_derive_key(context);
            hasher.update(key.expose());
            let out = Zeroizing::new(*hasher.finalize().as_bytes());
            zeroize::Zeroize::zeroize(&mut hasher);
            out
        };
        Self {
            owner: OwnerKey::from_seed(&derive(OWNER_CONTEXT)),
            key: Key::new(*derive(KEY_CONTEXT)),
        }
    }

    /// Where the pointer is.
    pub fn address(&self) -> Address {
        self.owner.address()
    }

    /// Puts the record of these keys (the newest first) in the place of the present one; false, and nothing is done, if
    /// the recovery pointer is closed for good.
    pub fn renew(
        &self,
        store: &dyn Store,
        keys: &[&Keys],
        secret_key: Option<&SecretKey>,
    ) -> Result<bool> {
        let plain = encode(keys, secret_key);
        let there = store.get_pointer(&self.address())?;
        let mut counter = 1;
        if let Some(there) = &there {
            if there.counter() == FINAL_COUNTER {
                return Ok(false);
            }
            // An interrupted renewal may have been done already.
            let same = self.chunk(there.counter(), &plain)?.address();
            if there.target() == Target::Chunk(same) {
                return Ok(true);
            }
            counter = there.counter().saturating_add(1);
        }
        let chunk = self.chunk(counter, &plain)?;
        let pointer = Pointer::sign(&self.owner, counter, Target::Chunk(chunk.address()))?;
        store.put_chunks(std::slice::from_ref(&chunk))?;
        move_pointer(store, pointer, there.map(|there| there.counter()))?;
        Ok(true)
    }

    /// Closes the recovery pointer for good.
    pub fn close(&self, store: &dyn Store) -> Result<()> {
        match store.get_pointer(&self.address())? {
            Some(there) if there.counter() != FINAL_COUNTER => {
                let last = Pointer::sign(&self.owner, FINAL_COUNTER, NOTHING)?;
                move_pointer(store, last, Some(there.counter())).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// The record behind the recovery pointer.
    pub fn look(&self, store: &dyn Store) -> Result<Record> {
        let pointer = store
            .get_pointer(&self.address())?
            .ok_or(Error::UnknownRecoveryKey)?;
        let address = target(&pointer).map_err(|error| match error {
            Error::Retired => Error::RecoveryKeyReplaced,
            other => other,
        })?;
        let chunk = head_chunk(store, address)?;
        self.open(&chunk).map_err(damaged(address))
    }

    /// Takes the recovery pointer and its record to another store.
    pub fn copy(&self, from: &dyn Store, to: &dyn Store) -> Result<()> {
        let Some(pointer) = from.get_pointer(&self.address())? else {
            return Ok(());
        };
        let there = to
            .get_pointer(&self.address())?
            .map(|there| there.counter());
        if there.is_some_and(|there| there >= pointer.counter()) {
            return Ok(());
        }
        if let Ok(address) = target(&pointer) {
            to.put_chunks(&[head_chunk(from, address)?])?;
        }
        move_pointer(to, pointer, there).map(drop)
    }

    fn chunk(&self, counter: u64, plain: &[u8]) -> Result<Chunk> {
        let salt = self
            .key
            .derive(SALT_CONTEXT, &[])
            .hash(&[&counter.to_le_bytes(), plain]);
        let mut bytes = Vec::with_capacity(RECORD_LEN);
        bytes.push(VERSION);
        bytes.extend_from_slice(&seal(&self.key, SEAL_CONTEXT, salt, plain)?);
        Ok(Chunk::new(bytes)?)
    }

    fn open(&self, chunk: &Chunk) -> Result<Record, &'static str> {
        let (version, sealed) = chunk.bytes().split_first().ok_or(CUT)?;
        if *version != VERSION || chunk.bytes().len() != RECORD_LEN {
            return Err("the recovery record has a version this program does not know");
        }
        let mut sealed = Zeroizing::new(sealed.to_vec());
        decode(
            open(&self.key, SEAL_CONTEXT, &mut sealed)
                .ok_or("the recovery record does not open")?,
        )
    }
}

fn encode(keys: &[&Keys], secret_key: Option<&SecretKey>) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(PLAIN_LEN));
    out.push(keys.len() as u8);
    for keys in keys {
        out.push(keys.cost.version);
        out.extend_from_slice(keys.seed.as_slice());
        out.extend_from_slice(keys.packet.expose());
    }
    out.push(u8::from(secret_key.is_some()));
    if let Some(key) = secret_key {
        out.extend_from_slice(key.expose());
    }
    out.resize(PLAIN_LEN, 0);
    out
}

/// Reads an opened record: nothing but the output of [`encode`].
pub fn decode(bytes: &[u8]) -> Result<Record, &'static str> {
    if bytes.len() != PLAIN_LEN {
        return Err(CUT);
    }
    let (count, mut rest) = bytes.split_first().ok_or(CUT)?;
    if !(1..=KEYS_MAX).contains(&usize::from(*count)) {
        return Err("the recovery record has no keys, or too many");
    }
    let mut keys = Vec::with_capacity(KEYS_MAX);
    for _ in 0..*count {
        let (version, after) = rest.split_first().ok_or(CUT)?;
        let (seed, after) = after.split_first_chunk::<32>().ok_or(CUT)?;
        let (packet, after) = after.split_first_chunk::<32>().ok_or(CUT)?;
        let cost = kdf::cost(*version)
            .ok_or("the recovery record has a derivation this program does not know")?;
        keys.push(Keys::new(cost, Zeroizing::new(*seed), Key::new(*packet)));
        rest = after;
    }
    let (flag, mut rest) = rest.split_first().ok_or(CUT)?;
    let secret_key = match flag {
        0 => None,
        1 => {
            let (key, after) = rest.split_first_chunk::<16>().ok_or(CUT)?;
            rest = after;
            Some(SecretKey::new(*key))
        }
        _ => return Err("the recovery record says of its secret key neither yes nor no"),
    };
    if rest.iter().any(|byte| *byte != 0) {
        return Err("the recovery record does not end where it should");
    }
    Ok(Record { keys, secret_key })
}

/// For fuzzing: false if the bytes decode and are not the one encoding of their content.
pub fn decodes_well(bytes: &[u8]) -> bool {
    decode(bytes).map_or(true, |record| {
        let keys: Vec<&Keys> = record.keys.iter().collect();
        encode(&keys, record.secret_key.as_ref()).as_slice() == bytes
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_decodes_is_the_one_encoding(
            mut bytes in prop::collection::vec(prop_oneof![9 => Just(0_u8), 1 => any::<u8>()], PLAIN_LEN),
            count in 0..4_u8,
            versions in (0..4_u8, 0..4_u8),
            flag in 0..3_u8,
        ) {
            bytes[0] = count;
            bytes[1] = versions.0;
            if count == 2 {
                bytes[66] = versions.1;
            }
            bytes[1 + 65 * usize::from(count.min(2))] = flag;
            prop_assert!(decodes_well(&bytes));
        }
    }

    #[test]
    fn the_format_stays() {
        let recovery = RecoveryPointer::of(&RecoveryKey::new([0x7f; 16]));
        let keys = Keys::new(kdf::USUAL, Zeroizing::new([1; 32]), Key::new([2; 32]));
        let plain = encode(&[&keys], Some(&SecretKey::new([3; 16])));
        assert_eq!(plain.len(), PLAIN_LEN);
        assert_eq!(plain[..2], [1, 1]);
        assert_eq!(plain[65..68], [2, 1, 3]);
        let chunk = recovery.chunk(1, &plain).unwrap();
        assert_eq!(chunk.bytes().len(), RECORD_LEN);
        let record = recovery.open(&chunk).unwrap();
        assert_eq!(record.keys[0].address, keys.address);
        assert!(
            record
                .secret_key
                .is_some_and(|key| key.expose() == &[3; 16])
        );
        assert_eq!(
            recovery.address().to_string(),
            "849028deae9dd4a6fdca2ee09171741389df6818b102f9ce4ca3d028a13f27d1"
        );
        assert_eq!(
            chunk.address().to_string(),
            "db38e923895ceb45bd970c615b467ebf97af9fbf50ffb10fb520de0af33df115"
        );
    }

    #[test]
    fn no_damage_opens() {
        let recovery = RecoveryPointer::of(&RecoveryKey::new([0x7f; 16]));
        let keys = Keys::new(kdf::USUAL, Zeroizing::new([1; 32]), Key::new([2; 32]));
        let good = recovery
            .chunk(1, &encode(&[&keys], None))
            .unwrap()
            .bytes()
            .to_vec();
        for place in 0..good.len() {
            let mut bad = good.clone();
            bad[place] ^= 1;
            assert!(recovery.open(&Chunk::new(bad).unwrap()).is_err());
        }
        for len in [0, 1, good.len() - 1] {
            assert!(
                recovery
                    .open(&Chunk::new(good[..len].to_vec()).unwrap())
                    .is_err()
            );
        }
    }
}
