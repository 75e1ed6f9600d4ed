//! A batch of changes, as the stage keeps them: a decoded batch comes back the same when written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use safeos_tree::{decode_batch, encode_batch};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(batch) = decode_batch(bytes) {
        let mut once = Vec::new();
        encode_batch(&batch, &mut once);
        let mut twice = Vec::new();
        encode_batch(&decode_batch(&once).unwrap(), &mut twice);
        assert_eq!(once, twice);
    }
});
