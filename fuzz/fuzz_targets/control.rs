//! The control file: bytes in any portions become requests, which come back when written, or errors.
#![no_main]

use libfuzzer_sys::fuzz_target;
use safeos_control::{RequestLines, parse_request};

fuzz_target!(|input: (u8, &[u8])| {
    let (portion, bytes) = input;
    let mut lines = RequestLines::new();
    let mut answers = Vec::new();
    for portion in bytes.chunks(usize::from(portion).max(1)) {
        answers.extend(lines.push(portion));
    }
    answers.extend(lines.finish());
    for answer in answers {
        match answer {
            Ok(request) => {
                let line = serde_json::to_vec(&request).unwrap();
                assert_eq!(parse_request(&line).unwrap(), request);
            }
            Err(error) => assert_eq!(error.code, "bad_request"),
        }
    }
});
