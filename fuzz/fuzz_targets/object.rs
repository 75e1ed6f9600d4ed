//! An object behind its seal, as the publisher of a public tree could make it: it unpacks to at most the
//! largest content, or is refused. The sealing follows the format, not the code.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use safeos_record::{Address, Key};
use safeos_tree::{Keys, OBJECT_BYTES_MAX, ObjectKind, ObjectRef, Objects, Reader, Result, open};

/// Gives an object, or a part of it.
struct One(Vec<u8>);

impl Objects for One {
    fn sealed(&self, at: &ObjectRef) -> Result<Vec<u8>> {
        let start = (at.offset - OFFSET) as usize;
        Ok(self.0[start..start + at.len as usize].to_vec())
    }
}

const OFFSET: u32 = 7;

fuzz_target!(|input: (u16, u16, &[u8])| {
    let (from, wanted, plain) = input;
    let home = Key::new([3; 32]);
    let keys = Keys::new(&home);
    let hash = [4; 16];
    let kind = ObjectKind::Block;
    let key = Key::new(
        home.derive("safeos 2026 object seal v2", &[])
            .hash(&[&[kind as u8], &hash]),
    );
    let (first, others) = plain.split_at(plain.len().min(1 + 4096));
    let mut sealed = first.to_vec();
    key.seal([0; 12], &[], &mut sealed, 0).unwrap();
    for (number, page) in (1u8..).zip(others.chunks(4096).take(70)) {
        let start = sealed.len();
        sealed.extend_from_slice(page);
        let nonce = [number, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        key.seal(nonce, &first[..1], &mut sealed, start).unwrap();
    }
    let at = ObjectRef {
        pack: Address([0; 32]),
        offset: OFFSET,
        len: sealed.len() as u32,
        hash,
    };
    let whole = open(&keys, kind, &at, sealed.clone());
    match &whole {
        Ok(content) => assert!(content.len() <= OBJECT_BYTES_MAX.max(plain.len())),
        Err(error) => assert!(!error.to_string().contains("this home's key"), "{error}"),
    }
    // For every length that a node claims, a part is a part of the content, or an error.
    let reader = Reader::new(keys, Arc::new(One(sealed)), 1 << 20);
    let range = usize::from(from)..usize::from(from) + usize::from(wanted);
    let len = whole.as_ref().map_or(usize::from(from), |content| content.len());
    match (reader.block_part(&at, len, range.clone()), whole) {
        (Ok(part), Ok(content)) => {
            assert_eq!(part, content[range.start.min(len)..range.end.min(len)]);
        }
        (Ok(_), Err(_)) => panic!("a part of an object that does not open"),
        (Err(_), Ok(_)) => panic!("an object that opens, but not in part"),
        (Err(_), Err(_)) => {}
    }
});
