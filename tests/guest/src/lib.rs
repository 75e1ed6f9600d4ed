//! The parts that the guest shares with its driver outside.

pub mod content;
pub mod order;

/// The password of the account that both use.
pub const PASSWORD: &str = "correct horse battery";
