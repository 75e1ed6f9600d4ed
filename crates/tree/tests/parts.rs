//! Reading parts of blocks: how much is asked for, and the errors of damaged ones.
// Helpers of tests are outside of what the lints know to be tests.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use parking_lot::Mutex;
use safeos_record::{Address, Key as Secret, random_bytes};
use safeos_tree::{
    BLOCK_BYTES, Keys, ObjectKind, ObjectRef, Objects, Plain, Reader, Result, Wanted,
};

/// One sealed block, and the ranges asked of it.
#[derive(Default)]
struct One {
    sealed: Mutex<Vec<u8>>,
    asked: Mutex<Vec<u32>>,
    suspected: Mutex<Vec<ObjectRef>>,
}

impl Objects for One {
    fn sealed(&self, at: &ObjectRef) -> Result<Vec<u8>> {
        self.asked.lock().push(at.len);
        Ok(self.sealed.lock()[at.offset as usize..(at.offset + at.len) as usize].to_vec())
    }

    fn suspect(&self, at: &ObjectRef) {
        self.suspected.lock().push(*at);
    }
}

fn block(content: &[u8]) -> (ObjectRef, Arc<One>, Reader) {
    let keys = Keys::new(&Secret::new([1; 32]));
    let plain = Plain::new(&keys, ObjectKind::Block, content).unwrap();
    let hash = plain.hash();
    let one = Arc::new(One::default());
    let len = {
        let mut sealed = one.sealed.lock();
        plain.seal(&keys, &mut sealed).unwrap();
        sealed.len() as u32
    };
    let at = ObjectRef {
        pack: Address([0; 32]),
        offset: 0,
        len,
        hash,
    };
    (at, one.clone(), Reader::new(keys, one, 1 << 20))
}

fn noise() -> Vec<u8> {
    let mut content = vec![0; BLOCK_BYTES];
    random_bytes(&mut content).unwrap();
    content
}

#[test]
fn the_first_small_read_opens_its_pages_and_the_second_keeps_the_block() {
    let content = noise();
    let (at, one, reader) = block(&content);
    for place in [8192, 20_000, 4096] {
        let part = reader
            .block_part(&at, content.len(), place..place + 4096)
            .unwrap();
        assert_eq!(part, content[place..place + 4096]);
    }
    assert_eq!(*one.asked.lock(), [4096 + 16, at.len]);
    assert!(one.suspected.lock().is_empty());
}

#[test]
fn a_range_is_cut_to_what_the_block_has() {
    let content = noise();
    let (at, _, reader) = block(&content);
    let part = reader
        .block_part(&at, content.len(), 30_000..40_000)
        .unwrap();
    assert_eq!(part, content[30_000..]);
    let (at, _, reader) = block(b"a word that fits into one page");
    assert_eq!(reader.block_part(&at, 30, 2..6).unwrap(), &b"word"[..]);
    assert!(reader.block_part(&at, 30, 50..60).unwrap().is_empty());
}

#[test]
fn a_compressed_block_is_opened_whole() {
    let content = b"all work and no play ".repeat(1000);
    let (at, one, reader) = block(&content);
    let part = reader.block_part(&at, content.len(), 5000..5010).unwrap();
    assert_eq!(part, content[5000..5010]);
    assert_eq!(*one.asked.lock(), [at.len]);
}

#[test]
fn a_damaged_page_is_an_error_for_who_needs_it_and_no_other_bytes() {
    let content = noise();
    let (at, one, reader) = block(&content);
    one.sealed.lock()[9000] ^= 1;
    let error = reader
        .block_part(&at, content.len(), 8192..12_288)
        .unwrap_err();
    assert!(error.to_string().contains("does not open"), "{error}");
    assert_eq!(*one.suspected.lock(), [at]);
    let (at, one, reader) = block(&content);
    one.sealed.lock()[9000] ^= 1;
    let part = reader.block_part(&at, content.len(), 0..4096).unwrap();
    assert_eq!(part, content[..4096]);
}

/// Blocks that stand one after another, and the wanted parts of them.
fn row(contents: &[Vec<u8>]) -> (Vec<Wanted>, Arc<One>, Reader) {
    let keys = Keys::new(&Secret::new([1; 32]));
    let one = Arc::new(One::default());
    let mut wanted = Vec::new();
    for content in contents {
        let plain = Plain::new(&keys, ObjectKind::Block, content).unwrap();
        let hash = plain.hash();
        let mut sealed = one.sealed.lock();
        let offset = sealed.len();
        plain.seal(&keys, &mut sealed).unwrap();
        let at = ObjectRef {
            pack: Address([0; 32]),
            offset: offset as u32,
            len: (sealed.len() - offset) as u32,
            hash,
        };
        wanted.push(Wanted {
            at,
            len: content.len(),
            range: 0..content.len(),
        });
    }
    (wanted, one.clone(), Reader::new(keys, one, 1 << 20))
}

#[test]
fn neighbours_are_read_together_and_opened_where_they_stand() {
    let contents: Vec<Vec<u8>> = (0..20).map(|_| noise()).collect();
    let (wanted, one, reader) = row(&contents);
    let mut out = Vec::new();
    reader.read(&wanted[3..15], &mut out).unwrap();
    assert!(out == contents[3..15].concat());
    assert_eq!(one.asked.lock().len(), 1);
    reader.read(&wanted[15..], &mut out).unwrap();
    assert!(out == contents[3..].concat());
}

#[test]
fn whatever_is_wanted_of_whatever_blocks_comes_in_its_order() {
    let mut random = [0; 2048];
    random_bytes(&mut random).unwrap();
    let mut random = random.into_iter();
    let mut next = |below: usize| random.next().unwrap() as usize % below;
    for _ in 0..20 {
        let contents: Vec<Vec<u8>> = (0..12)
            .map(|number| match next(4) {
                0 => vec![number; 10_000 + next(200) * 100],
                1 => noise()[..next(200) * 100 + 1].to_vec(),
                _ => noise(),
            })
            .collect();
        let (mut wanted, _, reader) = row(&contents);
        let mut expected = Vec::new();
        for (one, content) in wanted.iter_mut().zip(&contents) {
            if next(4) == 0 {
                // Beyond its end are zeros.
                let start = next(256) * 128;
                one.range = start..(start + next(256) * 128).min(BLOCK_BYTES);
            }
            let mut padded = content.clone();
            padded.resize(BLOCK_BYTES, 0);
            expected.extend_from_slice(&padded[one.range.clone()]);
        }
        for _ in 0..2 {
            let mut out = Vec::new();
            reader.read(&wanted, &mut out).unwrap();
            assert!(out == expected);
        }
    }
}

#[test]
fn a_damaged_block_among_neighbours_is_named() {
    let contents: Vec<Vec<u8>> = (0..6).map(|_| noise()).collect();
    let (wanted, one, reader) = row(&contents);
    let bad = wanted[4].at;
    one.sealed.lock()[bad.offset as usize + 20_000] ^= 1;
    let mut out = Vec::new();
    let error = reader.read(&wanted, &mut out).unwrap_err();
    assert!(
        error.to_string().contains(&format!("{}", bad.offset)),
        "{error}"
    );
    assert_eq!(*one.suspected.lock(), [bad]);
    out.clear();
    reader.read(&wanted[..4], &mut out).unwrap();
    assert!(out == contents[..4].concat());
}

/// A server of a public tree that knows its address seals a page of its own.
#[test]
fn a_page_of_a_public_tree_is_never_opened_without_the_others() {
    let secret = Secret::new([1; 32]);
    let (content, lie) = (noise(), noise());
    let (at, one, _) = block(&content);
    let keys = Keys::of_public(&secret);
    let reader = Reader::new(keys, one.clone(), 1 << 20);
    let part = reader.block_part(&at, content.len(), 8192..8200).unwrap();
    assert_eq!(part, content[8192..8200]);
    assert_eq!(*one.asked.lock(), [at.len]);

    // The object's own key, as format.md says it is made, and with it a page.
    let seal_key = secret.derive("safeos 2026 object seal v2", &[]);
    let key = Secret::new(seal_key.hash(&[&[ObjectKind::Block as u8], &at.hash]));
    let mut page = lie[4096..8192].to_vec();
    let mut nonce = [0; 12];
    nonce[0] = 1;
    key.seal(nonce, &[0], &mut page, 0).unwrap();
    one.sealed.lock()[1 + 4112..1 + 2 * 4112].copy_from_slice(&page);
    // A home's own reader takes it: only the home has its keys.
    let home = Reader::new(Keys::new(&secret), one.clone(), 1 << 20);
    let part = home.block_part(&at, content.len(), 5000..5010).unwrap();
    assert_eq!(part, lie[5000..5010]);
    let reader = Reader::new(Keys::of_public(&secret), one.clone(), 1 << 20);
    for range in [5000..5010, 0..content.len(), 0..1] {
        let error = reader.block_part(&at, content.len(), range).unwrap_err();
        assert!(
            error.to_string().contains("not what was published"),
            "{error}"
        );
    }
    let wanted = Wanted {
        at,
        len: content.len(),
        range: 0..content.len(),
    };
    let mut out = Vec::new();
    assert!(reader.read(&[wanted], &mut out).is_err());
    assert!(out.is_empty());
}
