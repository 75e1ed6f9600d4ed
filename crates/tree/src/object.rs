//! Objects: the nodes and blocks of the tree, each compressed where that helps, and sealed.
//!
//! What always holds here: an object's key comes from the home's key and the keyed hash of its
//! plaintext, so equal content is one object within a home, a key never meets two plaintexts, and
//! nothing about content can be confirmed from outside. A reference carries the hash, so the bytes
//! behind it are authenticated wherever they come from: in a home by the seal, which only the home's keys
//! make; in a public tree, whose keys are known to everybody with its address, by computing the hash again.
//!
//! An object is sealed in pages, each with its tag, so that a small read opens a page and not the whole.
//! Not in a public tree: a page alone proves nothing there.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use safeos_record::{Key as Secret, NONCE_LEN, TAG_LEN};

use crate::codec::{Reader, Write};
use crate::object_ref::{ObjectHash, ObjectRef};
use crate::{Error, Result};

/// The largest content of an object, in bytes.
pub const OBJECT_BYTES_MAX: usize = 256 * 1024;
/// How much of a content is sealed in one piece, in bytes: the least that a read has to open.
const PAGE_BYTES: usize = 4096;
/// Such a piece with its tag.
const SEALED_PAGE_BYTES: usize = PAGE_BYTES + TAG_LEN;
/// Contents shorter than this are not worth compressing.
const COMPRESS_BYTES_MIN: usize = 128;
/// How much of a long content is compressed to see whether the rest is worth it.
const PROBE_BYTES: usize = 8 * 1024;

/// The kind of an object; part of its hash, so that none passes for another.
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
    /// Whether others have them too: then a seal says nothing about its maker.
    public: bool,
}

impl Keys {
    /// The keys for a home's secret.
    pub fn new(home: &Secret) -> Self {
        Self {
            hash: home.derive("safeos 2026 object hash v2", &[]),
            seal: home.derive("safeos 2026 object seal v2", &[]),
            directory: home.derive("safeos 2026 pack directory v1", &[]),
            public: false,
        }
    }

    /// The keys for a public tree's secret. A server of the tree may know it, and could seal anything: an object
    /// is held against the hash in its reference as a whole, each time it is opened.
    pub fn of_public(secret: &Secret) -> Self {
        Self {
            public: true,
            ..Self::new(secret)
        }
    }

    /// Whether a page of an object may be opened without the others.
    pub(crate) const fn open_parts(&self) -> bool {
        !self.public
    }

    fn object_hash(&self, kind: ObjectKind, codec: u8, body: &[u8]) -> ObjectHash {
        // The body first: from an even start BLAKE3 hashes it twice as fast.
        let full = self.hash.hash(&[body, &[codec, kind as u8]]);
        let mut hash = [0; 16];
        hash.copy_from_slice(&full[..16]);
        hash
    }

    /// Refuses an object that was not sealed by the maker of the reference.
    fn check(
        &self,
        kind: ObjectKind,
        at: &ObjectRef,
        codec: Option<u8>,
        body: &[u8],
    ) -> Result<()> {
        let is_it = |codec| self.object_hash(kind, codec, body) == at.hash;
        if self.public && !codec.is_some_and(is_it) {
            return Err(damaged(at, "it is not what was published"));
        }
        Ok(())
    }

    fn object_key(&self, kind: ObjectKind, hash: &ObjectHash) -> Secret {
        Secret::new(self.seal.hash(&[&[kind as u8], hash]))
    }
}

/// How the body of an object stands for its content.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Codec {
    /// It is the content.
    Raw = 0,
    /// The content's length and its LZ4 block.
    Lz4 = 1,
}

/// A plaintext ready to be sealed, and its hash.
pub struct Plain<'a> {
    kind: ObjectKind,
    codec: Codec,
    body: Cow<'a, [u8]>,
    hash: ObjectHash,
}

impl<'a> Plain<'a> {
    /// Encodes `content`, at most [`OBJECT_BYTES_MAX`] bytes.
    pub fn new(keys: &Keys, kind: ObjectKind, content: &'a [u8]) -> Result<Self> {
        if content.len() > OBJECT_BYTES_MAX {
            return Err(Error::Format("an object's content is too long"));
        }
        let (codec, body) = match compress(content) {
            Some(packed) => (Codec::Lz4, Cow::Owned(packed)),
            None => (Codec::Raw, Cow::Borrowed(content)),
        };
        let hash = keys.object_hash(kind, codec as u8, &body);
        Ok(Self {
            kind,
            codec,
            body,
            hash,
        })
    }

    /// The hash that names this content within the home.
    pub const fn hash(&self) -> ObjectHash {
        self.hash
    }

    /// Length once sealed, in bytes.
    pub fn sealed_len(&self) -> usize {
        sealed_len(self.body.len())
    }

    /// Appends the sealed object to `out`.
    pub fn seal(self, keys: &Keys, out: &mut Vec<u8>) -> Result<()> {
        let cipher = keys.object_key(self.kind, &self.hash).cipher()?;
        let mut pages = self.body.chunks(PAGE_BYTES);
        let first = out.len();
        out.push(self.codec as u8);
        out.extend_from_slice(pages.next().unwrap_or_default());
        cipher.seal(nonce(0), &[], out, first)?;
        for (number, page) in (1..).zip(pages) {
            let start = out.len();
            out.extend_from_slice(page);
            cipher.seal(nonce(number), &[self.codec as u8], out, start)?;
        }
        Ok(())
    }
}

/// Length of a sealed object with a body of `len` bytes.
const fn sealed_len(len: usize) -> usize {
    let pages = if len == 0 {
        1
    } else {
        len.div_ceil(PAGE_BYTES)
    };
    1 + len + pages * TAG_LEN
}

/// The nonce of a page: its number. The key is the content's own, so that is enough.
fn nonce(page: u32) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    nonce[..4].copy_from_slice(&page.to_le_bytes());
    nonce
}

/// Opens a sealed object that `at` refers to.
pub fn open(keys: &Keys, kind: ObjectKind, at: &ObjectRef, mut sealed: Vec<u8>) -> Result<Bytes> {
    let len = sealed.len();
    let body = open_pages(keys, kind, at, 0, &mut sealed, 0..len)?;
    sealed.truncate(body.len);
    keys.check(kind, at, body.codec, &sealed)?;
    match body.codec {
        Some(0) => Ok(sealed.into()),
        Some(1) => decompress(&sealed).map_err(|_| damaged(at, "its content does not unpack")),
        _ => Err(damaged(at, "its codec is unknown")),
    }
}

/// Opens objects that stand one after another and have their contents as they are; leaves the contents.
/// An error if one does not open, or is compressed.
pub(crate) fn open_run<'a>(
    keys: &Keys,
    kind: ObjectKind,
    run: impl Iterator<Item = &'a ObjectRef>,
    sealed: &mut Vec<u8>,
) -> Result<()> {
    let (mut start, mut end) = (0, 0);
    for at in run {
        let next = start + at.len as usize;
        if next > sealed.len() {
            return Err(Error::Format(
                "a read came back shorter than it was asked for",
            ));
        }
        let body = open_pages(
            keys,
            kind,
            at,
            0,
            &mut sealed[end..next],
            start - end..next - end,
        )?;
        if body.codec != Some(Codec::Raw as u8) {
            return Err(damaged(at, "its length is not that of its codec"));
        }
        keys.check(kind, at, body.codec, &sealed[end..end + body.len])?;
        (start, end) = (next, end + body.len);
    }
    sealed.truncate(end);
    Ok(())
}

/// The opened content: the front of the buffer.
struct Body {
    /// As the first page says.
    codec: Option<u8>,
    len: usize,
}

/// Opens the pages, from number `first` on, that `buffer` has at `sealed`, and moves what they hold to its front.
/// Without the page that names the codec they have to be of a content as it is.
fn open_pages(
    keys: &Keys,
    kind: ObjectKind,
    at: &ObjectRef,
    first: u32,
    buffer: &mut [u8],
    sealed: Range<usize>,
) -> Result<Body> {
    let refused = |_| damaged(at, "it does not open with this home's key");
    let cipher = keys.object_key(kind, &at.hash).cipher().map_err(refused)?;
    let mut body = Body {
        codec: None,
        len: 0,
    };
    let mut start = sealed.start;
    for number in first.. {
        if number == 0 {
            let next = sealed.end.min(start + 1 + SEALED_PAGE_BYTES);
            let page = cipher.open(nonce(0), &[], &mut buffer[start..next], 0);
            let (codec, content) = page
                .map_err(refused)?
                .split_first()
                .ok_or_else(|| damaged(at, "it has an empty page"))?;
            (body.codec, body.len) = (Some(*codec), content.len());
            buffer.copy_within(start + 1..start + 1 + body.len, 0);
            start = next;
        } else {
            let next = sealed.end.min(start + SEALED_PAGE_BYTES);
            let aad = [body.codec.unwrap_or(Codec::Raw as u8)];
            let room = &mut buffer[body.len..next];
            let page = cipher.open(nonce(number), &aad, room, start - body.len);
            match page.map_err(refused)?.len() {
                0 => return Err(damaged(at, "it has an empty page")),
                len => body.len += len,
            }
            start = next;
        }
        if start == sealed.end {
            break;
        }
    }
    Ok(body)
}

fn damaged(at: &ObjectRef, why: &str) -> Error {
    Error::Object {
        pack: at.pack,
        offset: at.offset,
        len: at.len,
        why: why.to_owned(),
    }
}

/// Some pages of an object that has its content as it is.
pub(crate) struct Part {
    /// Where they are.
    pub(crate) at: ObjectRef,
    /// Number of the first of them.
    first: u32,
    /// The wanted range of their content.
    range: Range<usize>,
}

impl Part {
    /// The pages with `range` of a content of `len` bytes. `None` where the object has to be opened whole:
    /// it is compressed, or they are all it has.
    pub(crate) fn new(at: &ObjectRef, len: usize, range: &Range<usize>) -> Option<Self> {
        if !is_raw(at, len) || range.is_empty() || range.end > len {
            return None;
        }
        let (first, end) = (range.start / PAGE_BYTES, range.end.div_ceil(PAGE_BYTES));
        if first == 0 && end == len.div_ceil(PAGE_BYTES) {
            return None;
        }
        let begin = first * PAGE_BYTES;
        // The codec stands before what the first page has of the content.
        let sealed = first * SEALED_PAGE_BYTES + usize::from(first > 0)
            ..(1 + end * SEALED_PAGE_BYTES).min(at.len as usize);
        let at = ObjectRef {
            offset: at.offset.checked_add(sealed.start as u32)?,
            len: sealed.len() as u32,
            ..*at
        };
        Some(Self {
            at,
            first: first as u32,
            range: range.start - begin..range.end - begin,
        })
    }

    /// Opens them; `None` if they do not open or are of something else.
    pub(crate) fn open(&self, keys: &Keys, kind: ObjectKind, mut sealed: Vec<u8>) -> Option<Bytes> {
        let len = sealed.len();
        let body = open_pages(keys, kind, &self.at, self.first, &mut sealed, 0..len).ok()?;
        let is_raw = body.codec.is_none_or(|codec| codec == Codec::Raw as u8);
        sealed.truncate(body.len);
        (is_raw && self.range.end <= body.len)
            .then(|| Bytes::from(sealed).slice(self.range.clone()))
    }
}

/// Whether an object holds a content of `len` bytes as it is: compressing takes a tenth away at least, so the length
/// says what was done.
pub(crate) const fn is_raw(at: &ObjectRef, len: usize) -> bool {
    at.len as usize == sealed_len(len)
}

/// A content's length and its LZ4 block, where that is smaller by a tenth at least.
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
    let mut body = Vec::with_capacity(16 + lz4_flex::block::get_maximum_output_size(content.len()));
    body.number(content.len() as u64);
    let start = body.len();
    body.resize(body.capacity(), 0);
    let packed = lz4_flex::block::compress_into(content, &mut body[start..]).ok()?;
    body.truncate(start + packed);
    worth(body.len(), content.len()).then_some(body)
}

fn decompress(body: &[u8]) -> Result<Bytes> {
    let mut reader = Reader::new(body);
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

    use safeos_record::Address;

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

    proptest! {
        #[test]
        fn a_part_is_what_the_whole_has_there(
            len in 1..40_000usize,
            from in 0..40_000usize,
            wanted in 0..10_000usize,
            flip in any::<prop::sample::Index>(),
        ) {
            let mut content = vec![0; len];
            safeos_record::random_bytes(&mut content).unwrap();
            let (at, bytes) = sealed(ObjectKind::Block, &content);
            let range = from.min(len)..(from + wanted).min(len);
            let part = Part::new(&at, len, &range);
            let pages = range.start / PAGE_BYTES..range.end.div_ceil(PAGE_BYTES);
            let is_all = pages == (0..len.div_ceil(PAGE_BYTES));
            prop_assert_eq!(part.is_none(), range.is_empty() || is_all);
            if let Some(part) = part {
                prop_assert!(part.at.len as usize <= 1 + pages.len() * SEALED_PAGE_BYTES);
                let there = part.at.offset as usize..(part.at.offset + part.at.len) as usize;
                let mut there = bytes[there].to_vec();
                let open = |bytes: &[u8]| part.open(&keys(), ObjectKind::Block, bytes.to_vec());
                prop_assert_eq!(&open(&there).unwrap()[..], &content[range]);
                let place = flip.index(there.len());
                prop_assert!(open(&there[..place]).is_none());
                there[place] ^= 1;
                prop_assert!(open(&there).is_none());
            }
        }
    }

    #[test]
    fn pages_stay_in_their_places() {
        let mut content = vec![0; 5 * PAGE_BYTES];
        safeos_record::random_bytes(&mut content).unwrap();
        let (at, bytes) = sealed(ObjectKind::Block, &content);
        let page =
            |number: usize| 1 + number * SEALED_PAGE_BYTES..1 + (number + 1) * SEALED_PAGE_BYTES;
        let mut swapped = bytes.clone();
        swapped.copy_within(page(2), page(1).start);
        swapped[page(2)].copy_from_slice(&bytes[page(1)]);
        assert!(open(&keys(), ObjectKind::Block, &at, swapped).is_err());
    }

    #[test]
    fn text_becomes_smaller_and_noise_hardly_larger() {
        let (_, text) = sealed(ObjectKind::Block, &b"all work and no play ".repeat(1000));
        assert!(text.len() < 2000);
        let mut noise = vec![0; 100_000];
        safeos_record::random_bytes(&mut noise).unwrap();
        let (_, noise) = sealed(ObjectKind::Block, &noise);
        assert_eq!(noise.len(), sealed_len(100_000));
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

    /// An object sealed with the right keys, as an object with another hash.
    fn forged(keys: &Keys, content: &[u8], hash: ObjectHash) -> Vec<u8> {
        let plain = Plain {
            hash,
            ..Plain::new(keys, ObjectKind::Block, content).unwrap()
        };
        let mut out = Vec::new();
        plain.seal(keys, &mut out).unwrap();
        out
    }

    #[test]
    fn who_knows_the_keys_of_a_public_tree_forges_nothing() {
        let keys = Keys::of_public(&Secret::new([7; 32]));
        let mut noise = vec![0; 20_000];
        safeos_record::random_bytes(&mut noise).unwrap();
        let text = b"all work and no play ".repeat(1000);
        for content in [&noise, &text, &b"short".to_vec(), &Vec::new()] {
            let (at, bytes) = sealed(ObjectKind::Block, content);
            assert_eq!(
                &open(&keys, ObjectKind::Block, &at, bytes.clone()).unwrap()[..],
                &content[..]
            );
            let mut other = content.clone();
            other.push(1);
            for other in [other, vec![3; content.len() + 1], text[..500].to_vec()] {
                let bytes = forged(&keys, &other, at.hash);
                let error = open(&keys, ObjectKind::Block, &at, bytes).unwrap_err();
                assert!(
                    error.to_string().contains("not what was published"),
                    "{error}"
                );
            }
        }
        let (at, mut run) = sealed(ObjectKind::Block, &noise);
        let other: Vec<u8> = noise.iter().map(|byte| byte ^ 9).collect();
        run.extend(forged(&keys, &other, at.hash));
        assert!(open_run(&keys, ObjectKind::Block, [&at, &at].into_iter(), &mut run).is_err());
    }
}
