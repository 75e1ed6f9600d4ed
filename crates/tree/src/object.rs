//! Objects: what the tree writes, each compressed where that helps, and sealed.
//!
//! What always holds here: an object's key comes from the home's key and the keyed hash of its
//! plaintext, so equal content is one object within a home, a key never meets two plaintexts, and
//! nothing about content can be confirmed from outside. A reference carries the hash, so the bytes
//! behind it are authenticated wherever they come from.

use bytes::Bytes;
use safeos_record::{Address, Key as Secret, TAG_LEN};

use crate::codec::{Reader, Write};
use crate::{Error, Result};

/// The largest content of an object, in bytes.
pub const OBJECT_BYTES_MAX: usize = 256 * 1024;
/// How much longer than its content a sealed object can be, in bytes.
pub const OBJECT_OVERHEAD: usize = 1 + TAG_LEN;
/// Contents shorter than this are not worth compressing.
const COMPRESS_BYTES_MIN: usize = 128;
/// How much of a long content is compressed to see whether the rest is worth it.
const PROBE_BYTES: usize = 8 * 1024;

/// The keyed hash of an object's plaintext, cut to 128 bits.
pub type ObjectHash = [u8; 16];

/// Where an object is: a place in a pack, and what must be there.
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

/// What kind of thing an object is; part of its hash, so that none passes for another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ObjectKind {
    /// A node of the tree.
    Node = 1,
    /// A block of a file.
    Block = 2,
}

/// The keys of a home, made from its one secret.
#[derive(Clone)]
pub struct Keys {
    hash: Secret,
    seal: Secret,
    pub(crate) directory: Secret,
}

impl Keys {
    /// The keys for a home's (or a public tree's) secret.
    pub fn new(home: &Secret) -> Self {
        Self {
            hash: home.derive("safeos 2026 object hash v1", &[]),
            seal: home.derive("safeos 2026 object seal v1", &[]),
            directory: home.derive("safeos 2026 pack directory v1", &[]),
        }
    }

    fn object_key(&self, kind: ObjectKind, hash: &ObjectHash) -> Secret {
        Secret::new(self.seal.hash(&[&[kind as u8], hash]))
    }
}

/// A plaintext ready to be sealed, and its hash.
pub struct Plain {
    kind: ObjectKind,
    bytes: Vec<u8>,
    hash: ObjectHash,
}

impl Plain {
    /// Encodes `content` (at most [`OBJECT_BYTES_MAX`] bytes): a codec byte, then the content as it is
    /// (0) or its length and its LZ4 block (1).
    pub fn new(keys: &Keys, kind: ObjectKind, content: &[u8]) -> Result<Self> {
        if content.len() > OBJECT_BYTES_MAX {
            return Err(Error::Format("an object's content is too long"));
        }
        let bytes = compress(content).unwrap_or_else(|| {
            let mut plain = Vec::with_capacity(content.len() + OBJECT_OVERHEAD);
            plain.push(0);
            plain.extend_from_slice(content);
            plain
        });
        let full = keys.hash.hash(&[&[kind as u8], &bytes]);
        let mut hash = [0; 16];
        hash.copy_from_slice(&full[..16]);
        Ok(Self { kind, bytes, hash })
    }

    /// The hash that names this content within the home.
    pub const fn hash(&self) -> ObjectHash {
        self.hash
    }

    /// Length once sealed, in bytes.
    pub fn sealed_len(&self) -> usize {
        self.bytes.len() + TAG_LEN
    }

    /// Appends the sealed object to `out`. The nonce is zero: the key is this content's own.
    pub fn seal(self, keys: &Keys, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        keys.object_key(self.kind, &self.hash)
            .seal([0; 12], &[], out, start)?;
        Ok(())
    }
}

/// Opens a sealed object that `at` refers to.
pub fn open(keys: &Keys, kind: ObjectKind, at: &ObjectRef, sealed: Vec<u8>) -> Result<Bytes> {
    let damaged = |why: &str| Error::Object {
        pack: at.pack,
        offset: at.offset,
        len: at.len,
        why: why.to_owned(),
    };
    let mut sealed = sealed;
    let len = keys
        .object_key(kind, &at.hash)
        .open([0; 12], &[], &mut sealed)
        .map_err(|_| damaged("it does not open with this home's key"))?
        .len();
    sealed.truncate(len);
    let plain = Bytes::from(sealed);
    match plain.first() {
        Some(0) => Ok(plain.slice(1..)),
        Some(1) => decompress(&plain[1..]).map_err(|_| damaged("its content does not unpack")),
        _ => Err(damaged("its codec is unknown")),
    }
}

fn compress(content: &[u8]) -> Option<Vec<u8>> {
    if content.len() < COMPRESS_BYTES_MIN {
        return None;
    }
    let worth = |packed: usize, raw: usize| packed < raw - raw / 10;
    if content.len() > 2 * PROBE_BYTES {
        // From the middle: the start of a file is often a header unlike the rest.
        let start = content.len() / 2 - PROBE_BYTES / 2;
        let probe = &content[start..start + PROBE_BYTES];
        if !worth(lz4_flex::block::compress(probe).len(), probe.len()) {
            return None;
        }
    }
    let mut plain =
        Vec::with_capacity(16 + lz4_flex::block::get_maximum_output_size(content.len()));
    plain.push(1);
    plain.number(content.len() as u64);
    let start = plain.len();
    plain.resize(plain.capacity(), 0);
    let packed = lz4_flex::block::compress_into(content, &mut plain[start..]).ok()?;
    plain.truncate(start + packed);
    worth(plain.len(), content.len()).then_some(plain)
}

fn decompress(plain: &[u8]) -> Result<Bytes> {
    let mut reader = Reader::new(plain);
    let len = reader.number()?;
    if len > OBJECT_BYTES_MAX as u64 {
        return Err(Error::Format("an object's content is too long"));
    }
    let packed = reader.take(reader.remaining())?;
    let mut content = vec![0; len as usize];
    let written = lz4_flex::block::decompress_into(packed, &mut content)
        .map_err(|_| Error::Format("an object's content does not unpack"))?;
    if written != content.len() {
        return Err(Error::Format("an object's content has another length"));
    }
    Ok(content.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys() -> Keys {
        Keys::new(&Secret::new([7; 32]))
    }

    fn sealed(kind: ObjectKind, content: &[u8]) -> (ObjectRef, Vec<u8>) {
        let plain = Plain::new(&keys(), kind, content).unwrap();
        let hash = plain.hash();
        let expected = plain.sealed_len();
        let mut out = Vec::new();
        plain.seal(&keys(), &mut out).unwrap();
        assert_eq!(out.len(), expected);
        let at = ObjectRef {
            pack: Address([0; 32]),
            offset: 0,
            len: out.len() as u32,
            hash,
        };
        (at, out)
    }

    proptest! {
        #[test]
        fn content_comes_back(content in proptest::collection::vec(any::<u8>(), 0..3000), repeat in 1usize..40) {
            let content = content.repeat(repeat);
            let (at, bytes) = sealed(ObjectKind::Block, &content);
            prop_assert_eq!(&open(&keys(), ObjectKind::Block, &at, bytes).unwrap()[..], &content[..]);
        }
    }

    #[test]
    fn text_becomes_smaller_and_noise_hardly_larger() {
        let (_, text) = sealed(ObjectKind::Block, &b"all work and no play ".repeat(1000));
        assert!(text.len() < 2000);
        let mut noise = vec![0; 100_000];
        safeos_record::random_bytes(&mut noise).unwrap();
        let (_, noise) = sealed(ObjectKind::Block, &noise);
        assert_eq!(noise.len(), 100_000 + OBJECT_OVERHEAD);
    }

    #[test]
    fn nothing_but_the_object_itself_opens() {
        let (at, bytes) = sealed(ObjectKind::Block, b"some content");
        let (other, _) = sealed(ObjectKind::Block, b"another thing");
        assert!(open(&keys(), ObjectKind::Node, &at, bytes.clone()).is_err());
        assert!(open(&keys(), ObjectKind::Block, &other, bytes.clone()).is_err());
        assert!(
            open(
                &Keys::new(&Secret::new([8; 32])),
                ObjectKind::Block,
                &at,
                bytes.clone()
            )
            .is_err()
        );
        for place in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1;
            assert!(open(&keys(), ObjectKind::Block, &at, flipped).is_err());
            assert!(open(&keys(), ObjectKind::Block, &at, bytes[..place].to_vec()).is_err());
        }
    }
}
