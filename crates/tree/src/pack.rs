//! Packs: one chunk full of objects.
//!
//! ```text
//! objects      one after another, from byte 0
//! directory    sealed: count, then hash (16) and length of each object
//! salt    16   keyed hash of the directory; the directory's key is made from it
//! length   4   of the sealed directory, little-endian
//! ```
//!
//! Opening a home never needs the directory: references say where an object is. It is there so that a
//! pack that was read can be deduplicated against, and so that a check or a collection can tell whose
//! it is.

use bytes::Bytes;
use safeos_record::{Chunk, MAX_CHUNK_SIZE, TAG_LEN};

use crate::codec::{Reader, Write};
use crate::object::{Keys, Plain};
use crate::object_ref::{ObjectHash, ObjectRef};
use crate::{Error, Result};

const SALT_LEN: usize = 16;
const TRAILER_LEN: usize = SALT_LEN + 4;
/// A directory entry's length at most: the hash and a length of up to five bytes.
const ENTRY_BYTES_MAX: usize = 16 + 5;
/// Most objects a pack may hold.
const OBJECTS_MAX: usize = 65_536;
/// How a full pack lies in memory: disks take it from such a place without another copy.
const ALIGNMENT: usize = 4096;

/// An object's place in the pack that is being written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PackedObject {
    /// First byte.
    pub offset: u32,
    /// Length, in bytes.
    pub len: u32,
    /// Keyed hash of the plaintext.
    pub hash: ObjectHash,
}

impl PackedObject {
    /// The reference, once the pack's address is known.
    pub const fn within(&self, pack: safeos_record::Address) -> ObjectRef {
        ObjectRef {
            pack,
            offset: self.offset,
            len: self.len,
            hash: self.hash,
        }
    }
}

/// Fills one pack.
#[derive(Default)]
pub struct PackWriter {
    /// The pack after `lead` bytes that are there for its place in memory.
    bytes: Vec<u8>,
    lead: usize,
    places: Vec<PackedObject>,
}

impl PackWriter {
    /// An empty pack.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing is in it yet.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether an object of this sealed length still fits.
    pub fn fits(&self, sealed_len: usize) -> bool {
        let directory = 4 + (self.places.len() + 1) * ENTRY_BYTES_MAX + TAG_LEN;
        self.places.len() < OBJECTS_MAX
            && self.len() + sealed_len + directory + TRAILER_LEN <= MAX_CHUNK_SIZE
    }

    /// Seals an object into the pack, which must have room for it.
    pub fn add(&mut self, keys: &Keys, plain: Plain<'_>) -> Result<PackedObject> {
        if !self.fits(plain.sealed_len()) {
            return Err(Error::Format("the pack is full"));
        }
        if self.bytes.capacity() < self.bytes.len() + plain.sealed_len() {
            // A small pack stays small; a larger one is not copied again and again as it grows.
            self.move_to(match self.len() {
                0 => plain.sealed_len() * 2,
                _ => MAX_CHUNK_SIZE,
            });
        }
        let place = PackedObject {
            offset: self.len() as u32,
            len: plain.sealed_len() as u32,
            hash: plain.hash(),
        };
        plain.seal(keys, &mut self.bytes)?;
        self.places.push(place);
        Ok(place)
    }

    fn len(&self) -> usize {
        self.bytes.len() - self.lead
    }

    /// Moves what is there to where so many bytes of a pack have room.
    fn move_to(&mut self, room: usize) {
        let mut bytes: Vec<u8> = Vec::with_capacity(room + ALIGNMENT);
        let lead = bytes.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        bytes.resize(lead, 0);
        bytes.extend_from_slice(&self.bytes[self.lead..]);
        (self.bytes, self.lead) = (bytes, lead);
    }

    /// Closes the pack: the chunk, and where each object is in it.
    pub fn finish(mut self, keys: &Keys) -> Result<(Chunk, Vec<PackedObject>)> {
        let start = self.bytes.len();
        self.bytes.number(self.places.len() as u64);
        for place in &self.places {
            self.bytes.extend_from_slice(&place.hash);
            self.bytes.number(u64::from(place.len));
        }
        // Made from the sealed bytes: the same objects are the same pack, and a key has one plaintext.
        let hash = keys.directory.hash(&[b"salt", &self.bytes[start..]]);
        let mut salt = [0; SALT_LEN];
        salt.copy_from_slice(&hash[..SALT_LEN]);
        directory_key(keys, &salt).seal([0; 12], &[], &mut self.bytes, start)?;
        let sealed = (self.bytes.len() - start) as u32;
        self.bytes.extend_from_slice(&salt);
        self.bytes.extend_from_slice(&sealed.to_le_bytes());
        let chunk = Chunk::new(Bytes::from(self.bytes).slice(self.lead..))?;
        Ok((chunk, self.places))
    }
}

/// Reads the directory of a pack. An error if it is not a pack of these keys.
pub fn directory(keys: &Keys, pack: &[u8]) -> Result<Vec<PackedObject>> {
    let (rest, length) = pack
        .split_last_chunk::<4>()
        .ok_or(Error::Format("a pack is too short"))?;
    let (rest, salt) = rest
        .split_last_chunk::<SALT_LEN>()
        .ok_or(Error::Format("a pack is too short"))?;
    let start = rest
        .len()
        .checked_sub(u32::from_le_bytes(*length) as usize)
        .ok_or(Error::Format("a pack's directory is longer than the pack"))?;
    let mut sealed = rest[start..].to_vec();
    let plain = directory_key(keys, salt).open([0; 12], &[], &mut sealed)?;
    let mut reader = Reader::new(plain);
    let count = reader.count(ENTRY_BYTES_MAX - 4)?;
    let mut places = Vec::with_capacity(count);
    let mut offset = 0u32;
    for _ in 0..count {
        let hash = reader.array()?;
        let len = reader.number32()?;
        places.push(PackedObject { offset, len, hash });
        offset = offset
            .checked_add(len)
            .filter(|end| *end as usize <= start)
            .ok_or(Error::Format("a pack's objects are longer than the pack"))?;
    }
    reader.end()?;
    Ok(places)
}

fn directory_key(keys: &Keys, salt: &[u8; SALT_LEN]) -> safeos_record::Key {
    safeos_record::Key::new(keys.directory.hash(&[salt]))
}

#[cfg(test)]
mod tests {
    use safeos_record::Key as Secret;

    use super::*;
    use crate::object::{ObjectKind, open};

    #[test]
    fn a_pack_gives_back_its_objects_and_its_directory() {
        let keys = Keys::new(&Secret::new([1; 32]));
        let mut writer = PackWriter::new();
        let contents: Vec<Vec<u8>> = (0..500u32)
            .map(|n| n.to_le_bytes().repeat(n as usize))
            .collect();
        for content in &contents {
            let plain = Plain::new(&keys, ObjectKind::Block, content).unwrap();
            writer.add(&keys, plain).unwrap();
        }
        let (chunk, places) = writer.finish(&keys).unwrap();
        assert_eq!(directory(&keys, chunk.bytes()).unwrap(), places);
        for (place, content) in places.iter().zip(&contents) {
            let at = place.within(chunk.address());
            let sealed = chunk.bytes()[at.offset as usize..(at.offset + at.len) as usize].to_vec();
            assert_eq!(
                &open(&keys, ObjectKind::Block, &at, sealed).unwrap()[..],
                &content[..]
            );
        }
        let other = Keys::new(&Secret::new([2; 32]));
        assert!(directory(&other, chunk.bytes()).is_err());
    }

    #[test]
    fn a_pack_is_filled_close_to_the_limit_and_never_beyond() {
        let keys = Keys::new(&Secret::new([1; 32]));
        for size in [40, 131_072] {
            let mut writer = PackWriter::new();
            let mut number = 0u64;
            loop {
                number += 1;
                let mut content = vec![0; size];
                safeos_record::random_bytes(&mut content).unwrap();
                content[..8].copy_from_slice(&number.to_le_bytes());
                let plain = Plain::new(&keys, ObjectKind::Block, &content).unwrap();
                if !writer.fits(plain.sealed_len()) {
                    break;
                }
                writer.add(&keys, plain).unwrap();
            }
            let (chunk, _) = writer.finish(&keys).unwrap();
            assert!(
                chunk.bytes().len() > MAX_CHUNK_SIZE * 9 / 10,
                "{}",
                chunk.bytes().len()
            );
        }
    }

    #[test]
    fn damaged_directories_are_refused() {
        let keys = Keys::new(&Secret::new([1; 32]));
        let mut writer = PackWriter::new();
        let plain = Plain::new(&keys, ObjectKind::Block, b"hello").unwrap();
        writer.add(&keys, plain).unwrap();
        let (chunk, _) = writer.finish(&keys).unwrap();
        for len in 0..chunk.bytes().len() {
            assert!(directory(&keys, &chunk.bytes()[..len]).is_err());
        }
    }
}
