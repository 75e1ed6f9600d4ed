//! A pointer record: any bytes are refused or are exactly the record they parse to. One run in two starts from
//! a good record with the input written over a part of it, so that the signature is reached.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use safeos_record::{Address, OwnerKey, POINTER_LEN, Pointer, Target};

static GOOD: LazyLock<Pointer> = LazyLock::new(|| {
    let owner = OwnerKey::from_seed(&[7; 32]);
    Pointer::sign(&owner, 41, Target::Chunk(Address([9; 32]))).unwrap()
});

fuzz_target!(|input: (bool, u16, &[u8])| {
    let (over_good, at, bytes) = input;
    let mut record = bytes.to_vec();
    if over_good {
        record = GOOD.as_bytes().to_vec();
        let at = usize::from(at) % POINTER_LEN;
        for (place, byte) in record[at..].iter_mut().zip(bytes) {
            *place = *byte;
        }
    }
    if let Ok(pointer) = Pointer::parse(&record) {
        assert_eq!(pointer.as_bytes(), record);
        // A signature is never forged by chance: this is the good record itself.
        assert_eq!(pointer, *GOOD);
        assert!(!pointer.replaces(&GOOD));
    }
});
