use std::path::PathBuf;

/// The file with the key of the wallet that pays, for programs without an account: a gateway, `safe store copy`.
pub const WALLET_KEY_FILE: &str = "SAFE_WALLET_KEY_FILE";

/// Most tokens that one upload may cost.
pub const SPEND_MAX: &str = "SAFE_SPEND_MAX";

/// The options for opening a store, besides its URL.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder for local state: the journal of payments is in it.
    pub state: PathBuf,
}
