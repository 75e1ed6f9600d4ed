//! A commit and the root node inside it: a decoded one comes back the same when written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use safeos_tree::Commit;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(commit) = Commit::decode(bytes) {
        let again = Commit::decode(&commit.encode()).unwrap();
        assert_eq!(again.encode(), commit.encode());
        let _ = commit.tree();
    }
});
