//! Pointers in Autonomi's format, version 1.
//!
//! What always holds here: a [`Pointer`] was verified against the key inside it, its bytes are the
//! one encoding of its state, and its address is that of its key. Fixed widths, big-endian:
//!
//! ```text
//! version       1   always 1
//! owner      1952   ML-DSA-65 public key
//! counter       8
//! target       33   kind (0 chunk, 1 pointer), address
//! signature  3309   ML-DSA-65 over all before it, context "autonomi.pointer.head.v1"
//! ```
//!
//! The address is `BLAKE3::derive_key("autonomi.pointer.address.v1", owner)`.

use std::cmp::Reverse;
use std::fmt;

use bytes::Bytes;
use fips204::ml_dsa_65;
use fips204::traits::{KeyGen, SerDes, Signer, Verifier};
use zeroize::{Zeroize, Zeroizing};

use crate::{Address, Error, Result, random_bytes};

/// Length of a pointer record, in bytes.
pub const POINTER_LEN: usize = BODY_LEN + ml_dsa_65::SIG_LEN;
/// A pointer with this counter is final: nothing replaces it.
pub const FINAL_COUNTER: u64 = u64::MAX;

const VERSION: u8 = 1;
const OWNER_AT: usize = 1;
const COUNTER_AT: usize = OWNER_AT + ml_dsa_65::PK_LEN;
const TARGET_AT: usize = COUNTER_AT + 8;
const BODY_LEN: usize = TARGET_AT + TARGET_LEN;
const TARGET_LEN: usize = 33;

const ADDRESS_CONTEXT: &str = "autonomi.pointer.address.v1";
const SIGNING_CONTEXT: &[u8] = b"autonomi.pointer.head.v1";

const _: () = assert!(POINTER_LEN == 5303, "the network's length of a pointer");

/// The target of a pointer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// A chunk.
    Chunk(Address),
    /// Another pointer.
    Pointer(Address),
}

impl Target {
    fn encode(&self) -> [u8; TARGET_LEN] {
        let (kind, address) = match self {
            Self::Chunk(address) => (0, address),
            Self::Pointer(address) => (1, address),
        };
        let mut bytes = [kind; TARGET_LEN];
        bytes[1..].copy_from_slice(address.as_bytes());
        bytes
    }

    fn decode(bytes: &[u8; TARGET_LEN]) -> Result<Self> {
        let mut address = [0; 32];
        address.copy_from_slice(&bytes[1..]);
        match bytes[0] {
            0 => Ok(Self::Chunk(Address(address))),
            1 => Ok(Self::Pointer(Address(address))),
            // The network keeps targets of any kind; we cannot follow one, so it is refused here, once.
            _ => Err(Error::Pointer(
                "it points at a kind of record this version does not know",
            )),
        }
    }
}

/// The ML-DSA-65 key pair of a pointer's owner. The secret half is wiped when dropped.
pub struct OwnerKey {
    secret: Box<ml_dsa_65::PrivateKey>,
    public: Box<[u8; ml_dsa_65::PK_LEN]>,
}

impl OwnerKey {
    /// The key pair that FIPS 204 key generation gives for this 32-byte seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let (public, secret) = ml_dsa_65::KG::keygen_from_seed(seed);
        Self {
            secret: Box::new(secret),
            public: Box::new(public.into_bytes()),
        }
    }

    /// The address of this owner's pointer.
    pub fn address(&self) -> Address {
        address_of(self.public.as_slice())
    }
}

impl fmt::Debug for OwnerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnerKey({})", self.address())
    }
}

fn address_of(owner: &[u8]) -> Address {
    Address(blake3::derive_key(ADDRESS_CONTEXT, owner))
}

/// A mutable record, signed by its owner; verified when it was parsed.
#[derive(Clone, PartialEq, Eq)]
pub struct Pointer {
    bytes: Bytes,
    address: Address,
    counter: u64,
    target: Target,
}

impl Pointer {
    /// Signs a new state.
    pub fn sign(owner: &OwnerKey, counter: u64, target: Target) -> Result<Self> {
        let mut bytes = Vec::with_capacity(POINTER_LEN);
        bytes.push(VERSION);
        bytes.extend_from_slice(owner.public.as_slice());
        bytes.extend_from_slice(&counter.to_be_bytes());
        bytes.extend_from_slice(&target.encode());

        // Hedged signing: fresh randomness for every signature, from the one source of this crate.
        let mut hedge = Zeroizing::new([0; 32]);
        random_bytes(hedge.as_mut_slice())?;
        let mut signature = owner
            .secret
            .try_sign_with_seed(&hedge, &bytes, SIGNING_CONTEXT)
            .map_err(|_| Error::Pointer("it could not be signed"))?;
        bytes.extend_from_slice(&signature);
        signature.zeroize();

        // A signature spoilt by a fault (or a malformed key) must not leave this computer.
        Self::parse(&bytes)
    }

    /// Parses and verifies a record.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let record: &[u8; POINTER_LEN] = bytes
            .try_into()
            .map_err(|_| Error::Pointer("it has the wrong length"))?;
        if record[0] != VERSION {
            return Err(Error::Pointer(
                "it has a format version this program does not know",
            ));
        }
        let (body, signature) = record.split_at(BODY_LEN);
        let owner = &body[OWNER_AT..COUNTER_AT];
        let counter = u64::from_be_bytes(field(&body[COUNTER_AT..TARGET_AT])?);
        let target = Target::decode(&field(&body[TARGET_AT..])?)?;

        let key = ml_dsa_65::PublicKey::try_from_bytes(field(owner)?)
            .map_err(|_| Error::Pointer("its owner's key is malformed"))?;
        if !key.verify(body, &field(signature)?, SIGNING_CONTEXT) {
            return Err(Error::Pointer("its owner's signature does not fit"));
        }
        Ok(Self {
            address: address_of(owner),
            counter,
            target,
            bytes: Bytes::copy_from_slice(bytes),
        })
    }

    /// The record's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where it lives.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Grows by at least one with every state.
    pub fn counter(&self) -> u64 {
        self.counter
    }

    /// The target.
    pub fn target(&self) -> Target {
        self.target
    }

    /// Whether this state takes the place of `other` (the network's order): same owner, and a larger
    /// counter, or the same counter and a target that sorts lower. Nothing replaces a final state,
    /// and the same state signed again replaces nothing.
    pub fn replaces(&self, other: &Self) -> bool {
        let rank = |pointer: &Self| (pointer.counter, Reverse(pointer.target.encode()));
        self.address == other.address && other.counter != FINAL_COUNTER && rank(self) > rank(other)
    }
}

impl fmt::Debug for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pointer")
            .field("address", &self.address)
            .field("counter", &self.counter)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// A field of fixed width; the offsets above make the error impossible.
fn field<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    bytes
        .try_into()
        .map_err(|_| Error::Pointer("it has the wrong length"))
}
