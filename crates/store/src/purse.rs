//! What records cost, on stores where they are paid for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Smallest parts of a whole token, and of a whole coin of gas.
const WHOLE: u128 = 1_000_000_000_000_000_000;
const DIGITS: usize = 18;

/// An amount of tokens or of gas, in the smallest parts of which there are 10^18 in a whole.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug, Serialize, Deserialize)]
pub struct Amount(pub u128);

impl fmt::Display for Amount {
    /// In wholes, without zeros at the end, rounded up to seven digits after the point.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = WHOLE / 10_000_000;
        let shown = self.0.div_ceil(step).saturating_mul(step);
        let fraction = format!("{:0DIGITS$}", shown % WHOLE);
        let fraction = fraction.trim_end_matches('0');
        write!(f, "{}", shown / WHOLE)?;
        if !fraction.is_empty() {
            write!(f, ".{fraction}")?;
        }
        Ok(())
    }
}

impl FromStr for Amount {
    type Err = Error;

    /// A decimal number of wholes, such as `0.5`.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::Url(format!(
                "“{}” is no amount: write a number such as 0.5",
                text.chars().take(40).collect::<String>()
            ))
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !digits(whole) || !digits(fraction) {
            return Err(wrong());
        }
        if fraction.len() > DIGITS {
            return Err(wrong());
        }
        let whole: u128 = match whole {
            "" => 0,
            whole => whole.parse().map_err(|_| wrong())?,
        };
        let fraction: u128 = format!("{fraction:0<DIGITS$}")
            .parse()
            .map_err(|_| wrong())?;
        let sum = whole
            .checked_mul(WHOLE)
            .and_then(|parts| parts.checked_add(fraction));
        sum.map(Self).ok_or_else(wrong)
    }
}

/// Tokens, for storing, and gas, for the payment itself.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Money {
    /// Tokens of the network.
    pub tokens: Amount,
    /// Gas of the chain that the tokens are on.
    pub gas: Amount,
}

impl Money {
    /// Both together with `other`.
    pub fn plus(self, other: Self) -> Self {
        Self {
            tokens: Amount(self.tokens.0.saturating_add(other.tokens.0)),
            gas: Amount(self.gas.0.saturating_add(other.gas.0)),
        }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ANT and {} ETH of gas", self.tokens, self.gas)
    }
}

/// What was paid since the store was opened.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Spent {
    /// Records paid for: chunks, and states of pointers.
    pub records: u64,
    /// Transactions that paid for them.
    pub payments: u64,
    /// What it came to.
    pub money: Money,
}

/// How records are paid for: the side of a paid store that has to do with money. Every method may block.
pub trait Purse: Send + Sync {
    /// Pays with the wallet of this private key (hexadecimal, with or without 0x) from now on; says its address.
    fn fund(&self, key: &str) -> Result<String>;

    /// The address of the wallet that pays.
    fn wallet(&self) -> Option<String>;

    /// What the wallet holds.
    fn balance(&self) -> Result<Money>;

    /// About what so many new records cost at today's prices.
    fn estimate(&self, records: u64) -> Result<Money>;

    /// No single upload or pointer may cost more tokens than this; `None`: no limit.
    fn set_limit(&self, tokens: Option<Amount>);

    /// What was paid.
    fn spent(&self) -> Spent;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn amounts_are_written_and_read() {
        for (parts, text) in [
            (0, "0"),
            (WHOLE, "1"),
            (WHOLE / 2, "0.5"),
            (11_718_750_000_000_000, "0.0117188"),
            (1, "0.0000001"),
            (3 * WHOLE + 1, "3.0000001"),
            (1_250 * WHOLE, "1250"),
        ] {
            assert_eq!(Amount(parts).to_string(), text, "{parts}");
        }
        assert_eq!("0.5".parse::<Amount>().unwrap(), Amount(WHOLE / 2));
        assert_eq!(".5".parse::<Amount>().unwrap(), Amount(WHOLE / 2));
        assert_eq!("12".parse::<Amount>().unwrap(), Amount(12 * WHOLE));
        assert_eq!("0.000000000000000001".parse::<Amount>().unwrap(), Amount(1));
        for wrong in [
            "",
            ".",
            "-1",
            "+1",
            "1e3",
            "0,5",
            "ANT",
            "0.0000000000000000001",
            "999999999999999999999999999999999999999",
        ] {
            assert!(wrong.parse::<Amount>().is_err(), "{wrong}");
        }
    }
}
