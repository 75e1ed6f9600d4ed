//! A head chunk: splits into its sealed parts or is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = safeos_account::fuzz::head(bytes);
});
