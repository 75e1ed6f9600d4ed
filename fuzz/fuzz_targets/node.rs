//! A node of the tree, as an object of a pack and as the root in a head chunk.
#![no_main]

use libfuzzer_sys::fuzz_target;
use safeos_record::Address;
use safeos_tree::Node;

fuzz_target!(|input: (bool, &[u8])| {
    let (root, bytes) = input;
    let _ = Node::decode(bytes, (!root).then_some(Address([5; 32])));
});
