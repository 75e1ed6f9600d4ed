//! A chunk under an address: accepted only under the hash of its bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use safeos_record::{Address, Chunk};

fuzz_target!(|input: ([u8; 32], &[u8])| {
    let (address, bytes) = input;
    let own = Address::of(bytes);
    let accepted = Chunk::verify(Address(address), bytes.to_vec()).is_ok();
    assert_eq!(accepted, own == Address(address));
    assert_eq!(
        Chunk::verify(own, bytes.to_vec()).unwrap().into_bytes(),
        bytes
    );
});
