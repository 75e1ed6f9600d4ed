//! An opened account packet: bytes that decode are the one encoding of their content. The version and the padding are
//! set right for the input, so that the rest is reached.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, &[u8])| {
    let (help, bytes) = input;
    let mut packet = bytes.to_vec();
    if help && !packet.is_empty() {
        packet[0] = 1;
        packet.resize(packet.len().next_multiple_of(256), 0);
    }
    assert!(safeos_account::fuzz::packet(&packet));
});
