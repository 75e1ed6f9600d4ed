//! From name, password and secret key to the two keys of an account.
//!
//! What always holds here: nothing weaker than [`FLOOR`] is ever computed; the working memory is
//! asked for in a way that can be refused, and is wiped.
//!
//! ```text
//! salt   = BLAKE3::derive_key("safeos 2026 account salt v1",
//!              version ‖ length of name as u16 LE ‖ normal name ‖ secret key (16 bytes or none))
//! output = Argon2id(normal password, salt, m, t = 3, p = 1), 64 bytes
//! owner seed = output[0..32], packet key = output[32..64]
//! ```

use std::sync::{Mutex, PoisonError};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use safeos_record::{Address, Key, OwnerKey};
use zeroize::{Zeroize, Zeroizing};

use crate::name::Name;
use crate::{Error, Result, SecretKey, memory};

const SALT_CONTEXT: &str = "safeos 2026 account salt v1";

/// The cost parameters of Argon2id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cost {
    /// The version that stands in salt and packet.
    pub version: u8,
    /// Working memory, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
}

/// The default.
pub const USUAL: Cost = Cost {
    version: 1,
    memory_kib: 256 * 1024,
    passes: 3,
};
/// For computers with little memory.
pub const SMALL: Cost = Cost {
    version: 2,
    memory_kib: 64 * 1024,
    passes: 3,
};
/// Every version there is, in the order in which they are tried.
pub const VERSIONS: &[Cost] = &[USUAL, SMALL];
/// The least memory (KiB) and passes that are ever accepted, whatever a version may say.
pub const FLOOR: (u32, u32) = (64 * 1024, 3);

/// The keys that name, password and secret key give.
pub struct Keys {
    /// By which version.
    pub cost: Cost,
    /// The seed of the owner's key.
    pub seed: Zeroizing<[u8; 32]>,
    /// Signs the account's pointer.
    pub owner: OwnerKey,
    /// Opens the account packet.
    pub packet: Key,
    /// Where the pointer is.
    pub address: Address,
}

impl Keys {
    /// Stretches a normalised password. Takes the time and memory that `cost` says.
    pub fn derive(
        cost: Cost,
        name: &Name,
        password: &str,
        secret_key: Option<&SecretKey>,
    ) -> Result<Self> {
        let mut hasher = blake3::Hasher::new_derive_key(SALT_CONTEXT);
        hasher
            .update(&[cost.version])
            .update(&(name.as_str().len() as u16).to_le_bytes())
            .update(name.as_str().as_bytes());
        if let Some(key) = secret_key {
            hasher.update(key.expose());
        }
        let salt = Zeroizing::new(*hasher.finalize().as_bytes());
        hasher.zeroize();

        let mut output = Zeroizing::new([0; 64]);
        stretch(
            cost,
            password.as_bytes(),
            salt.as_slice(),
            output.as_mut_slice(),
        )?;
        let mut seed = Zeroizing::new([0; 32]);
        let mut packet = Zeroizing::new([0; 32]);
        seed.copy_from_slice(&output[..32]);
        packet.copy_from_slice(&output[32..]);
        Ok(Self::new(cost, seed, Key::new(*packet)))
    }

    /// The keys of an owner seed and a packet key.
    pub fn new(cost: Cost, seed: Zeroizing<[u8; 32]>, packet: Key) -> Self {
        let owner = OwnerKey::from_seed(&seed);
        Self {
            cost,
            seed,
            address: owner.address(),
            owner,
            packet,
        }
    }
}

/// The cost of a version; `None` for an unknown version.
pub fn cost(version: u8) -> Option<Cost> {
    #[cfg(test)]
    if let Some(cost) = tests::CHEAP_VERSIONS
        .iter()
        .find(|cost| cost.version == version)
    {
        return Some(*cost);
    }
    VERSIONS
        .iter()
        .find(|cost| cost.version == version)
        .copied()
}

/// Argon2id with one lane; never below [`FLOOR`].
pub fn stretch(cost: Cost, password: &[u8], salt: &[u8], output: &mut [u8]) -> Result<()> {
    let low = cost.memory_kib < FLOOR.0 || cost.passes < FLOOR.1;
    if low && !(cfg!(test) && cost.version >= tests_only::FIRST_VERSION) {
        return Err(Error::WeakPassword(
            "it would be protected by less than 64 MiB and three passes of Argon2id",
        ));
    }
    // It takes much memory: one at a time in this process.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    #[cfg(feature = "memo")]
    let key = crate::memo::key([cost.memory_kib, cost.passes], password, salt, output.len());
    #[cfg(feature = "memo")]
    if crate::memo::find(&key, output) {
        return Ok(());
    }
    let free = memory::free();
    let no_memory = || Error::NoMemory {
        mebibytes: cost.memory_kib / 1024,
        free: free.map(|bytes| u32::try_from(bytes >> 20).unwrap_or(u32::MAX)),
    };
    // Refused here: a system that promises memory it has not got kills the process that uses it.
    if free.is_some_and(|bytes| bytes < u64::from(cost.memory_kib) * 1024) {
        return Err(no_memory());
    }
    let failed = |error| match error {
        argon2::Error::OutOfMemory => no_memory(),
        _ => Error::WeakPassword("Argon2id refuses it"),
    };

    let params =
        Params::new(cost.memory_kib, cost.passes, 1, Some(output.len())).map_err(failed)?;
    let mut memory: Zeroizing<Vec<Block>> = Zeroizing::new(Vec::new());
    memory
        .try_reserve_exact(params.block_count())
        .map_err(|_| no_memory())?;
    memory.resize(params.block_count(), Block::new());
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(password, salt, output, memory.as_mut_slice())
        .map_err(failed)?;
    #[cfg(feature = "memo")]
    crate::memo::keep(key, output);
    Ok(())
}

/// Versions that only this crate's tests know, for which the floor does not hold.
mod tests_only {
    pub const FIRST_VERSION: u8 = 200;
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// As cheap as Argon2id can be.
    pub const CHEAP: Cost = Cost {
        version: 200,
        memory_kib: 8,
        passes: 1,
    };
    /// Another as cheap.
    pub const CHEAP_OTHER: Cost = Cost {
        version: 201,
        memory_kib: 8,
        passes: 1,
    };
    /// In the place of [`VERSIONS`].
    pub const CHEAP_VERSIONS: &[Cost] = &[CHEAP, CHEAP_OTHER];

    #[test]
    fn nothing_below_the_floor_is_computed() {
        assert!(
            VERSIONS
                .iter()
                .all(|v| v.memory_kib >= FLOOR.0 && v.passes >= FLOOR.1)
        );
        for (memory_kib, passes) in [(64 * 1024 - 1, 3), (256 * 1024, 2), (8, 1), (0, 0)] {
            let mut output = [0; 64];
            let cost = Cost {
                version: 3,
                memory_kib,
                passes,
            };
            assert!(stretch(cost, b"password", &[0; 32], &mut output).is_err());
            assert_eq!(output, [0; 64]);
        }
    }

    #[test]
    fn memory_that_cannot_be_had_is_an_error() {
        let cost = Cost {
            version: 3,
            memory_kib: u32::MAX,
            passes: 3,
        };
        // 4 TiB. A system that promises any amount and says nothing of it is not put to the test.
        let error = {
            let mut blocks: Vec<Block> = Vec::new();
            let promised = blocks.try_reserve_exact(cost.memory_kib as usize).is_ok();
            if promised && memory::free().is_none_or(|free| free >> 42 > 0) {
                return;
            }
            stretch(cost, b"password", &[0; 32], &mut [0; 64]).unwrap_err()
        };
        assert_eq!(error.code(), "no_memory");
        let says = error.to_string();
        assert!(says.contains("4194303 MiB are needed"), "{says}");
    }

    /// Against the reference implementation of Argon2 (and of BLAKE3), as its Python binding gives it.
    #[test]
    fn the_keys_of_every_version_stay() {
        let name = Name::parse("Ana").unwrap();
        for (cost, seed, packet) in [
            (
                SMALL,
                "40b0874c7b0c211347a35dff3bc3eb3443c245148b6d0d1d7e152ae61718d8f9",
                "f1034533427b96539098d031c790448ce0392a51a185ca04af7bb1c95f7547b9",
            ),
            (
                USUAL,
                "d2ac54e7ff8d9f83306a85d4f6939cb1f05240135f665c946c976009976b1cad",
                "7f8d144a7ec51cca530e9e3af8228b08f2d19428df17dce0d3ca102bad527827",
            ),
        ] {
            let bytes = |hex: &str| hex.parse::<Address>().unwrap().0;
            let keys = Keys::derive(cost, &name, "correct horse", None).unwrap();
            assert_eq!(keys.address, OwnerKey::from_seed(&bytes(seed)).address());
            assert_eq!(keys.packet.expose(), &bytes(packet));
        }
    }

    #[test]
    fn every_part_of_the_credentials_leads_elsewhere() {
        let address = |cost, name: &str, password, key: Option<&SecretKey>| {
            Keys::derive(cost, &Name::parse(name).unwrap(), password, key)
                .unwrap()
                .address
        };
        let key = SecretKey::generate().unwrap();
        let base = address(CHEAP, "ana", "password", None);
        assert_eq!(base, address(CHEAP, "ANA ", "password", None));
        for other in [
            address(CHEAP, "anb", "password", None),
            address(CHEAP, "ana", "passwore", None),
            address(CHEAP, "ana", "password", Some(&key)),
            address(CHEAP_OTHER, "ana", "password", None),
        ] {
            assert_ne!(base, other);
        }
    }
}
