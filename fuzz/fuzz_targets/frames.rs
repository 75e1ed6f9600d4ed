//! The binary forms between a gateway and its clients: bodies of chunks, lists of addresses, answers. A decoded value
//! is verified, comes back the same when written, and takes no more room than the input.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use safeos_store::wire::{
    Outcome, answer_head, read_addresses, read_answer, read_chunks, read_there, write_addresses,
    write_chunks,
};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(chunks) = read_chunks(Bytes::copy_from_slice(bytes)) {
        let all: Vec<_> = chunks.iter().collect();
        assert_eq!(write_chunks(&all), bytes);
    }
    if let Some(addresses) = read_addresses(bytes, 64) {
        assert!(addresses.len() <= 64);
        assert_eq!(write_addresses(&addresses), bytes);
        let _ = read_there(&addresses, bytes);
    }
    let mut rest = bytes;
    while let Ok((outcome, found)) = read_answer(&mut rest) {
        let head = answer_head(outcome, found.len());
        assert_eq!(head[0], outcome as u8);
        assert!(found.len() <= bytes.len());
        if outcome == Outcome::Found {
            assert!(found.len() <= safeos_record::MAX_CHUNK_SIZE);
        }
    }
});
