//! The head chunk: the sealed account packet and the sealed newest commit, in one chunk.
//!
//! What always holds here: the two parts are sealed under different keys. The packet's comes from
//! name and password, the commit's from the home key inside the packet; so old commits stay readable
//! after the password has changed, and publishing needs no password.
//!
//! ```text
//! version        1   always 1
//! packet length  4   u32 LE, of the sealed packet with its salt
//! packet             salt 32, AES-256-GCM(packet), tag 16    key: packet key.derive("… packet key v1", salt)
//! commit             salt 32, AES-256-GCM(commit), tag 16    key: home key.derive("… commit key v1", salt)
//! ```
//!
//! A key seals one thing only, so the nonce is zero. The packet's salt is random. The commit's is a keyed hash of
//! pointer, counter and commit: publishing the same again after an interruption gives the same chunk, which is paid for
//! once.

use safeos_record::{
    Address, Chunk, Key, MAX_CHUNK_SIZE, NONCE_LEN, Pointer, TAG_LEN, random_bytes,
};
use zeroize::Zeroizing;

use crate::packet::{PACKET_LEN_MAX, Packet};
use crate::{Error, Result};

const VERSION: u8 = 1;
const SALT_LEN: usize = 32;
const HEADER_LEN: usize = 5;
const NONCE: [u8; NONCE_LEN] = [0; NONCE_LEN];
const PACKET_CONTEXT: &str = "safeos 2026 account packet key v1";
const COMMIT_CONTEXT: &str = "safeos 2026 head commit key v1";
const SALT_CONTEXT: &str = "safeos 2026 head commit salt v1";
const SEALED_PACKET_MAX: usize = SALT_LEN + PACKET_LEN_MAX + TAG_LEN;

/// The longest commit a head chunk has room for, in bytes, whatever the settings are.
pub const COMMIT_LEN_MAX: usize =
    MAX_CHUNK_SIZE - HEADER_LEN - SEALED_PACKET_MAX - SALT_LEN - TAG_LEN;

/// A published state of an account: the pointer, the chunk it points at, and the commit inside.
#[derive(Clone, Debug)]
pub struct Head {
    pub(crate) pointer: Pointer,
    pub(crate) chunk: Chunk,
    pub(crate) commit: Vec<u8>,
}

impl Head {
    /// Orders all states of an account: grows with each, also over changes of the password.
    pub fn counter(&self) -> u64 {
        self.pointer.counter()
    }

    /// The pointer's state, as it stands on the store.
    pub const fn pointer(&self) -> &Pointer {
        &self.pointer
    }

    /// The head chunk.
    pub const fn chunk(&self) -> &Chunk {
        &self.chunk
    }

    /// The address of the head chunk, by which history knows this state.
    pub const fn address(&self) -> Address {
        self.chunk.address()
    }

    /// The commit, opened.
    pub fn commit(&self) -> &[u8] {
        &self.commit
    }

    /// Whether the two carry the same account packet: settings, recovery key, password.
    pub fn has_packet_of(&self, other: &Self) -> bool {
        let packet = |head: &Self| sealed_packet(&head.chunk).ok().map(<[u8]>::to_vec);
        packet(self) == packet(other)
    }
}

/// A head chunk's two sealed parts, each salt ‖ ciphertext ‖ tag; nothing is known of them but their lengths.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    packet: &'a [u8],
    commit: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Splits a head chunk.
    pub fn of(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let (header, rest) = bytes
            .split_first_chunk::<HEADER_LEN>()
            .ok_or("it is cut short")?;
        let [version, len @ ..] = *header;
        if version != VERSION {
            return Err("its version is not known to this program");
        }
        let len = u32::from_le_bytes(len) as usize;
        if !(SALT_LEN + TAG_LEN..=SEALED_PACKET_MAX).contains(&len) {
            return Err("the length of its packet is wrong");
        }
        let (packet, commit) = rest.split_at_checked(len).ok_or("it is cut short")?;
        if commit.len() < SALT_LEN + TAG_LEN {
            return Err("it is cut short");
        }
        Ok(Self { packet, commit })
    }

    /// Opens the packet.
    pub fn open_packet(&self, key: &Key) -> Result<Packet, &'static str> {
        let mut sealed = Zeroizing::new(self.packet.to_vec());
        let packet = open(key, PACKET_CONTEXT, &mut sealed).ok_or("its packet does not open")?;
        Packet::decode(packet)
    }

    /// Opens the commit.
    pub fn open_commit(&self, home_key: &Key) -> Result<Vec<u8>, &'static str> {
        let mut sealed = self.commit.to_vec();
        let len = open(home_key, COMMIT_CONTEXT, &mut sealed)
            .ok_or("its commit does not open")?
            .len();
        sealed.copy_within(SALT_LEN..SALT_LEN + len, 0);
        sealed.truncate(len);
        Ok(sealed)
    }
}

/// The damage of a head chunk as an error.
pub fn damaged(address: Address) -> impl Fn(&'static str) -> Error {
    move |why| Error::DamagedPacket { address, why }
}

/// Seals a packet under the key that name and password give.
pub fn seal_packet(packet: &Packet, key: &Key) -> Result<Vec<u8>> {
    let mut salt = [0; SALT_LEN];
    random_bytes(&mut salt)?;
    seal(key, PACKET_CONTEXT, salt, &packet.encode()?)
}

/// The sealed packet of a head chunk, to be carried over into the next.
pub fn sealed_packet(chunk: &Chunk) -> Result<&[u8]> {
    Parts::of(chunk.bytes())
        .map(|parts| parts.packet)
        .map_err(damaged(chunk.address()))
}

/// Builds the head chunk of the state `counter` of the account at `address`.
pub fn build(
    sealed_packet: &[u8],
    home_key: &Key,
    address: &Address,
    counter: u64,
    commit: &[u8],
) -> Result<Chunk> {
    if commit.len() > COMMIT_LEN_MAX {
        return Err(safeos_record::Error::ChunkTooLarge(commit.len()).into());
    }
    let salt = home_key.derive(SALT_CONTEXT, &[]).hash(&[
        address.as_bytes(),
        &counter.to_le_bytes(),
        commit,
    ]);
    let sealed_commit = seal(home_key, COMMIT_CONTEXT, salt, commit)?;
    let mut bytes = Vec::with_capacity(HEADER_LEN + sealed_packet.len() + sealed_commit.len());
    bytes.push(VERSION);
    bytes.extend_from_slice(&(sealed_packet.len() as u32).to_le_bytes());
    bytes.extend_from_slice(sealed_packet);
    bytes.extend_from_slice(&sealed_commit);
    Ok(Chunk::new(bytes)?)
}

/// Seals under a key of its own: salt ‖ ciphertext ‖ tag.
pub fn seal(key: &Key, context: &str, salt: [u8; SALT_LEN], plain: &[u8]) -> Result<Vec<u8>> {
    // Exactly the room needed: the plaintext is sealed in place and leaves no copy.
    let mut out = Vec::with_capacity(SALT_LEN + plain.len() + TAG_LEN);
    out.extend_from_slice(&salt);
    out.extend_from_slice(plain);
    key.derive(context, &salt)
        .seal(NONCE, context.as_bytes(), &mut out, SALT_LEN)?;
    Ok(out)
}

/// Opens what [`seal`] made, in place.
pub fn open<'a>(key: &Key, context: &str, sealed: &'a mut [u8]) -> Option<&'a [u8]> {
    let (salt, rest) = sealed.split_first_chunk_mut::<SALT_LEN>()?;
    key.derive(context, salt)
        .open(NONCE, context.as_bytes(), rest)
        .ok()
        .map(|plain| &*plain)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::Settings;

    const PACKET_KEY: Key = Key::new([1; 32]);
    const HOME_KEY: Key = Key::new([2; 32]);

    fn chunk(counter: u64, commit: &[u8]) -> Chunk {
        let packet = Packet {
            kdf_version: 1,
            first_counter: 1,
            home_key: HOME_KEY,
            name: "ana".to_owned(),
            settings: Settings {
                values: BTreeMap::new(),
                wallet: None,
            },
            recovery: None,
        };
        let sealed = seal_packet(&packet, &PACKET_KEY).unwrap();
        build(&sealed, &HOME_KEY, &Address([3; 32]), counter, commit).unwrap()
    }

    #[test]
    fn both_parts_open_with_their_own_key_only() {
        let chunk = chunk(1, b"commit");
        let parts = Parts::of(chunk.bytes()).unwrap();
        assert!(parts.open_packet(&PACKET_KEY).unwrap().home_key == HOME_KEY);
        assert_eq!(parts.open_commit(&HOME_KEY).unwrap(), b"commit");
        assert!(parts.open_packet(&HOME_KEY).is_err());
        assert!(parts.open_commit(&PACKET_KEY).is_err());
        let swapped = Parts {
            packet: parts.commit,
            commit: parts.packet,
        };
        assert!(swapped.open_packet(&HOME_KEY).is_err());
        assert!(swapped.open_commit(&PACKET_KEY).is_err());
    }

    #[test]
    fn the_same_state_is_the_same_chunk_and_another_looks_all_different() {
        let first = chunk(1, b"commit");
        let packet = sealed_packet(&first).unwrap();
        let again =
            |counter| build(packet, &HOME_KEY, &Address([3; 32]), counter, b"commit").unwrap();
        assert_eq!(again(1), first);
        let (one, two) = (again(1), again(2));
        let commit = |chunk: &Chunk| chunk.bytes()[HEADER_LEN + packet.len()..].to_vec();
        assert!(commit(&one)[..48] != commit(&two)[..48]);
    }

    #[test]
    fn the_largest_commit_fits_and_one_byte_more_is_refused() {
        let packet = vec![0; SEALED_PACKET_MAX];
        let build = |len| build(&packet, &HOME_KEY, &Address([3; 32]), 1, &vec![9; len]);
        assert_eq!(build(COMMIT_LEN_MAX).unwrap().bytes().len(), MAX_CHUNK_SIZE);
        assert!(build(COMMIT_LEN_MAX + 1).is_err());
    }

    proptest! {
        #[test]
        fn random_bytes_never_open(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            if let Ok(parts) = Parts::of(&bytes) {
                prop_assert!(parts.open_packet(&PACKET_KEY).is_err());
                prop_assert!(parts.open_commit(&HOME_KEY).is_err());
            }
        }

        #[test]
        fn any_damage_is_found(place in any::<prop::sample::Index>(), flip in 1..=255_u8, cut in any::<bool>()) {
            let mut bytes = chunk(1, b"a commit of some length").bytes().to_vec();
            let place = place.index(bytes.len());
            if cut { bytes.truncate(place) } else { bytes[place] ^= flip }
            let whole = Parts::of(&bytes).is_ok_and(|parts| {
                parts.open_packet(&PACKET_KEY).is_ok() && parts.open_commit(&HOME_KEY).is_ok()
            });
            prop_assert!(!whole);
        }
    }
}
