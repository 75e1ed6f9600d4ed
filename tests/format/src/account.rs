//! From name and password to a commit: keys, pointer, head chunk, packet; and public addresses.

use argon2::{Algorithm, Argon2, Params, Version};
use fips204::ml_dsa_65;
use fips204::traits::{KeyGen, SerDes, Verifier};

use crate::bytes::Reader;
use crate::tree::{Commit, Home};
use crate::{Hash, Records, Result, chunk, derive, open};

/// The part of the packet that is of use for reading.
pub struct Account {
    /// The name as typed at sign-up.
    pub name: String,
    /// The home key.
    pub home_key: Hash,
    /// The address of the head chunk.
    pub head: Hash,
    /// The pointer's counter.
    pub counter: u64,
}

/// Opens an account of version 1. `name` is in its normal form.
pub fn sign_in(records: &dyn Records, name: &str, password: &str) -> Result<(Account, Home)> {
    let len = u16::try_from(name.len()).map_err(|_| "the name is too long")?;
    let salt = blake3::derive_key(
        "safeos 2026 account salt v1",
        &[&[1], &len.to_le_bytes()[..], name.as_bytes()].concat(),
    );
    let params = Params::new(256 * 1024, 3, 1, Some(64)).map_err(|e| e.to_string())?;
    let mut output = [0; 64];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.as_bytes(), &salt, &mut output)
        .map_err(|e| e.to_string())?;
    let mut reader = Reader(&output);
    let keys = Keys {
        seed: reader.array()?,
        packet: reader.array()?,
    };
    let (counter, head) = newest(records, &keys.seed)?.ok_or("there is no pointer")?;
    keys.open(records, counter, head)
}

/// The keys that a password gives.
struct Keys {
    seed: Hash,
    packet: Hash,
}

/// Counter and target of the pointer whose owner has this seed.
pub(crate) fn newest(records: &dyn Records, seed: &Hash) -> Result<Option<(u64, Hash)>> {
    let (owner, _) = ml_dsa_65::KG::keygen_from_seed(seed);
    let owner = owner.into_bytes();
    let address = blake3::derive_key("autonomi.pointer.address.v1", &owner);
    let bytes = records.pointer(&address)?;
    bytes.map(|bytes| pointer(&bytes, &owner)).transpose()
}

impl Keys {
    fn open(&self, records: &dyn Records, counter: u64, head: Hash) -> Result<(Account, Home)> {
        let bytes = chunk(records, &head)?;
        let mut reader = Reader(&bytes);
        if reader.byte()? != 1 {
            return Err("the head has an unknown version".into());
        }
        let len = u32::from_le_bytes(reader.array()?) as usize;
        let context = "safeos 2026 account packet key v1";
        let packet = salted(&self.packet, context, reader.take(len)?)?;
        let (name, home_key) = read_packet(&packet)?;
        let commit = open_commit(&home_key, reader.0)?;
        let account = Account {
            name,
            home_key,
            head,
            counter,
        };
        Ok((account, Home::new(&home_key, Commit::read(&commit)?)))
    }
}

/// Opens an account by the words of its recovery sheet.
pub fn recover(records: &dyn Records, words: &str) -> Result<(Account, Home)> {
    let words = bip39::Mnemonic::parse_in_normalized(bip39::Language::English, words)
        .map_err(|e| e.to_string())?;
    let (entropy, len) = words.to_entropy_array();
    if len != 16 {
        return Err("a sheet has twelve words".into());
    }
    let derived = |context| blake3::derive_key(context, &entropy[..16]);
    let seed = derived("safeos 2026 recovery owner v1");
    let (counter, address) = newest(records, &seed)?.ok_or("there is no such sheet")?;
    if counter == u64::MAX {
        return Err("the sheet was replaced".into());
    }
    let bytes = chunk(records, &address)?;
    let (version, sealed) = bytes.split_first().ok_or("it is cut short")?;
    if *version != 1 || bytes.len() != 305 {
        return Err("the record has another version or length".into());
    }
    let key = derived("safeos 2026 recovery record key v1");
    let plain = salted(&key, "safeos 2026 recovery record seal v1", sealed)?;
    let mut reader = Reader(&plain);
    let mut best: Option<(u64, Hash, Keys)> = None;
    for _ in 0..reader.byte()? {
        if reader.byte()? != 1 {
            return Err("this reader knows derivation 1 only".into());
        }
        let keys = Keys {
            seed: reader.array()?,
            packet: reader.array()?,
        };
        if let Some((counter, head)) = newest(records, &keys.seed)?
            && counter != u64::MAX
            && best.as_ref().is_none_or(|(known, ..)| counter >= *known)
        {
            best = Some((counter, head, keys));
        }
    }
    if reader.byte()? == 1 {
        reader.take(16)?;
    }
    if reader.0.iter().any(|byte| *byte != 0) {
        return Err("the record does not end where it should".into());
    }
    let (counter, head, keys) = best.ok_or("nothing opens by this sheet")?;
    keys.open(records, counter, head)
}

impl Account {
    /// The home as another head of the account has it.
    pub fn home_at(&self, records: &dyn Records, head: &Hash) -> Result<Home> {
        let bytes = chunk(records, head)?;
        let mut reader = Reader(&bytes);
        reader.byte()?;
        let len = u32::from_le_bytes(reader.array()?) as usize;
        reader.take(len)?;
        let commit = open_commit(&self.home_key, reader.0)?;
        Ok(Home::new(&self.home_key, Commit::read(&commit)?))
    }
}

fn open_commit(home_key: &Hash, sealed: &[u8]) -> Result<Vec<u8>> {
    salted(home_key, "safeos 2026 head commit key v1", sealed)
}

pub(crate) fn salted(key: &Hash, context: &str, sealed: &[u8]) -> Result<Vec<u8>> {
    let (salt, sealed) = sealed.split_at_checked(32).ok_or("a head is cut short")?;
    open(&derive(key, context, salt), context.as_bytes(), sealed)
}

/// Counter and target of a pointer that points at a chunk.
fn pointer(bytes: &[u8], owner: &[u8; 1952]) -> Result<(u64, Hash)> {
    if bytes.len() != 5303 {
        return Err("a pointer has a wrong length".into());
    }
    let (body, signature) = bytes.split_at(5303 - 3309);
    let mut reader = Reader(body);
    if reader.byte()? != 1 || reader.array::<1952>()? != *owner {
        return Err("a pointer has another version or owner".into());
    }
    let key = ml_dsa_65::PublicKey::try_from_bytes(*owner)?;
    let signature = signature.try_into().map_err(|_| "no signature")?;
    if !key.verify(body, &signature, b"autonomi.pointer.head.v1") {
        return Err("a pointer's signature does not fit".into());
    }
    let counter = u64::from_be_bytes(reader.array()?);
    if reader.byte()? != 0 {
        return Err("a pointer does not point at a chunk".into());
    }
    Ok((counter, reader.array()?))
}

fn read_packet(packet: &[u8]) -> Result<(String, Hash)> {
    let mut reader = Reader(packet);
    let [version, derivation] = reader.array()?;
    if !packet.len().is_multiple_of(256) || !(1..=2).contains(&version) || derivation != 1 {
        return Err("the packet has another length or version".into());
    }
    reader.take(8)?;
    let home_key = reader.array()?;
    let len = u16::from_le_bytes(reader.array()?);
    let name = String::from_utf8(reader.take(len.into())?.to_vec());
    Ok((name.map_err(|e| e.to_string())?, home_key))
}

/// Opens a public tree by its URL.
pub fn public(records: &dyn Records, url: &str) -> Result<Home> {
    let text = url.strip_prefix("safe://").ok_or("it is no URL")?;
    if text.len() != 103 {
        return Err("the address has a wrong length".into());
    }
    let mut bits = Vec::new();
    for digit in text.bytes() {
        let value = match digit {
            b'a'..=b'z' => digit - b'a',
            b'2'..=b'7' => digit - b'2' + 26,
            _ => return Err("the address has a character that none has".into()),
        };
        bits.extend((0..5).rev().map(|place| value >> place & 1));
    }
    let bytes: Vec<u8> = bits
        .chunks_exact(8)
        .map(|byte| byte.iter().fold(0, |all, bit| all << 1 | bit))
        .collect();
    let mut reader = Reader(&bytes);
    let (head, secret): (Hash, Hash) = (reader.array()?, reader.array()?);
    let bytes = chunk(records, &head)?;
    let (salt, sealed) = bytes.split_at_checked(16).ok_or("it is cut short")?;
    let key = derive(&secret, "safeos 2026 public commit v1", salt);
    let commit = Commit::read(&open(&key, b"", sealed)?)?;
    Ok(Home::new(&secret, commit))
}
