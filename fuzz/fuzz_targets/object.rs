//! An object behind its seal, as the publisher of a public tree could make it: it unpacks to at most the
//! largest content, or is refused. The sealing follows the format, not the code.
#![no_main]

use libfuzzer_sys::fuzz_target;
use safeos_record::{Address, Key};
use safeos_tree::{Keys, OBJECT_BYTES_MAX, ObjectKind, ObjectRef, open};

fuzz_target!(|plain: &[u8]| {
    let home = Key::new([3; 32]);
    let keys = Keys::new(&home);
    let hash = [4; 16];
    let kind = ObjectKind::Block;
    let key = Key::new(
        home.derive("safeos 2026 object seal v1", &[])
            .hash(&[&[kind as u8], &hash]),
    );
    let mut sealed = plain.to_vec();
    key.seal([0; 12], &[], &mut sealed, 0).unwrap();
    let at = ObjectRef {
        pack: Address([0; 32]),
        offset: 0,
        len: sealed.len() as u32,
        hash,
    };
    match open(&keys, kind, &at, sealed) {
        Ok(content) => assert!(content.len() <= OBJECT_BYTES_MAX.max(plain.len())),
        Err(error) => assert!(!error.to_string().contains("this home's key"), "{error}"),
    }
});
