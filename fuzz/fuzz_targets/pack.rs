//! A pack's directory: as it comes, and behind its seal (as the publisher of a public tree could make it). The sealing
//! follows the format, not the code.
#![no_main]

use libfuzzer_sys::fuzz_target;
use safeos_record::Key;
use safeos_tree::{Keys, directory};

fuzz_target!(|input: (bool, u16, &[u8])| {
    let (seal, objects_len, bytes) = input;
    let home = Key::new([3; 32]);
    let keys = Keys::new(&home);
    if !seal {
        let _ = directory(&keys, bytes);
        return;
    }
    let start = usize::from(objects_len);
    let mut pack = vec![0; start];
    pack.extend_from_slice(bytes);
    let salt = [8; 16];
    let key = Key::new(
        home.derive("safeos 2026 pack directory v1", &[])
            .hash(&[&salt]),
    );
    key.seal([0; 12], &[], &mut pack, start).unwrap();
    let sealed = (pack.len() - start) as u32;
    pack.extend_from_slice(&salt);
    pack.extend_from_slice(&sealed.to_le_bytes());
    match directory(&keys, &pack) {
        Ok(places) => assert!(
            places
                .iter()
                .all(|place| (place.offset + place.len) as usize <= start)
        ),
        // The seal of this target is the right one: only the content can be refused.
        Err(error) => assert!(!error.to_string().contains("do not open"), "{error}"),
    }
});
