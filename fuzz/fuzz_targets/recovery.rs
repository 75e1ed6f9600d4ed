//! An opened recovery record: what decodes is the one encoding of what it says. Its head is set right for the input, so
//! that the rest is reached. And the words of a sheet: what is read is what is printed.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, &[u8])| {
    let (help, bytes) = input;
    let mut record = bytes.to_vec();
    if help && record.len() > 1 {
        record.resize(256, 0);
        record[0] = record[0] % 2 + 1;
        record[1] = record[1] % 2 + 1;
        if record[0] == 2 {
            record[66] = record[66] % 2 + 1;
        }
    }
    assert!(safeos_account::fuzz::recovery(&record));
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(safeos_account::fuzz::words(text));
    }
});
