//! Text as an address: a parsed address is written back the same but for capitals.
#![no_main]

use libfuzzer_sys::fuzz_target;
use safeos_record::Address;

fuzz_target!(|text: &str| {
    if let Ok(address) = text.parse::<Address>() {
        assert_eq!(address.to_string(), text.to_ascii_lowercase());
    }
    if let Ok(address) = serde_json::from_str::<Address>(text) {
        assert_eq!(
            serde_json::from_str::<Address>(&serde_json::to_string(&address).unwrap()).unwrap(),
            address
        );
    }
});
