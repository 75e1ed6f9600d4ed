//! An opened recovery record: bytes that decode are the one encoding of their content. Its head is set right for the
//! input, so that the rest is reached. And the words of a sheet: they are read as they are printed.
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
