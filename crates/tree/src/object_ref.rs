//! Where an object is.

use safeos_record::Address;

/// The keyed hash of an object's plaintext, cut to 128 bits.
pub type ObjectHash = [u8; 16];

/// Where an object is: a place in a pack, and the hash that must be there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ObjectRef {
    /// The chunk that holds it.
    pub pack: Address,
    /// First byte in the pack.
    pub offset: u32,
    /// Length of the sealed object, in bytes.
    pub len: u32,
    /// Keyed hash of its plaintext.
    pub hash: ObjectHash,
}
