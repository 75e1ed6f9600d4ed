use serde::{Deserialize, Serialize};

use crate::Secret;

/// Asks what making an account costs, before anything is paid.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// The private key of the wallet that would pay.
    pub wallet_key: Secret,
    /// The URL of the store; the daemon's default when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
}

/// Tokens and gas, each a decimal number of wholes, such as `0.5`.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Sum {
    /// Tokens of the network (ANT).
    pub tokens: String,
    /// Gas of the chain that the tokens are on (ETH).
    pub gas: String,
}

/// The price of making an account where records are paid for.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Priced {
    /// Records that are paid for.
    pub records: u64,
    /// About what they cost at today's prices.
    pub cost: Sum,
    /// The address of the wallet that pays.
    pub wallet: String,
    /// The wallet's balance.
    pub has: Sum,
}
