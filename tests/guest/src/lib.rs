//! What the guest and whoever drives it from outside have in common.

pub mod content;
pub mod order;

/// The password of the account that both use.
pub const PASSWORD: &str = "correct horse battery";
