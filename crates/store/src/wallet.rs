//! The cost of records, on stores where they are paid for.

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

/// The payments since the store was opened.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Spent {
    /// Records paid for: chunks, and states of pointers.
    pub records: u64,
    /// Transactions that paid for them.
    pub payments: u64,
    /// Their sum.
    pub money: Money,
}

/// Records that a sign-up stores: the head, and the pointer to it.
const SIGN_UP_RECORDS: u64 = 2;

/// The price of making an account, and the wallet's means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Price {
    /// Records that are paid for.
    pub records: u64,
    /// About what they cost at today's prices.
    pub cost: Money,
    /// The wallet's balance.
    pub has: Money,
    /// Its address.
    pub wallet: String,
}

impl Price {
    /// Asks for the price of a sign-up that the wallet of this private key pays; a head that is kept elsewhere costs
    /// nothing here.
    pub fn of_sign_up(wallet: &dyn Wallet, key: &str, head_elsewhere: bool) -> Result<Self> {
        let address = wallet.fund(key)?;
        let records = SIGN_UP_RECORDS - u64::from(head_elsewhere);
        Ok(Self {
            records,
            cost: wallet.estimate(records)?,
            has: wallet.balance()?,
            wallet: address,
        })
    }

    /// An error when the wallet has less than that.
    pub fn affordable(&self, url: &str) -> Result<()> {
        let Self { cost, has, .. } = self;
        if has.tokens >= cost.tokens && has.gas >= cost.gas {
            return Ok(());
        }
        Err(Error::Unpaid {
            url: url.to_owned(),
            why: format!(
                "the wallet {} has {has}, and about {cost} are needed: put more into it, then try again; nothing was paid",
                self.wallet
            ),
        })
    }
}

/// How records are paid for: the side of a paid store that has to do with money. Every method may block.
pub trait Wallet: Send + Sync {
    /// Pays with the wallet of this private key (hexadecimal, with or without 0x) from now on; says its address.
    fn fund(&self, key: &str) -> Result<String>;

    /// The address of the wallet that pays.
    fn address(&self) -> Option<String>;

    /// The wallet's balance.
    fn balance(&self) -> Result<Money>;

    /// About what so many new records cost at today's prices.
    fn estimate(&self, records: u64) -> Result<Money>;

    /// No single upload or pointer may cost more tokens than this; `None`: no limit.
    fn set_limit(&self, tokens: Option<Amount>);

    /// The payments so far.
    fn spent(&self) -> Spent;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Records cost a token and a tenth of gas each.
    struct Fixed(Money);

    impl Wallet for Fixed {
        fn fund(&self, key: &str) -> Result<String> {
            Ok(format!("wallet of {key}"))
        }
        fn address(&self) -> Option<String> {
            None
        }
        fn balance(&self) -> Result<Money> {
            Ok(self.0)
        }
        fn estimate(&self, records: u64) -> Result<Money> {
            Ok(Money {
                tokens: Amount(u128::from(records) * WHOLE),
                gas: Amount(u128::from(records) * WHOLE / 10),
            })
        }
        fn set_limit(&self, _: Option<Amount>) {}
        fn spent(&self) -> Spent {
            Spent::default()
        }
    }

    #[test]
    fn a_sign_up_has_a_price_and_the_wallet_has_it_or_not() {
        let wallet = |tokens, gas| {
            Fixed(Money {
                tokens: Amount(tokens),
                gas: Amount(gas),
            })
        };
        let enough = wallet(2 * WHOLE, WHOLE / 5);
        let price = Price::of_sign_up(&enough, "k", false).unwrap();
        assert_eq!((price.records, price.wallet.as_str()), (2, "wallet of k"));
        assert_eq!(price.cost, enough.0);
        price.affordable("autonomi:").unwrap();
        for poor in [
            wallet(2 * WHOLE - 1, WHOLE),
            wallet(5 * WHOLE, WHOLE / 5 - 1),
        ] {
            let price = Price::of_sign_up(&poor, "k", false).unwrap();
            let error = price.affordable("autonomi:").unwrap_err();
            assert_eq!(error.code(), "wallet_empty");
            assert!(error.to_string().contains("nothing was paid"), "{error}");
        }
        let elsewhere = Price::of_sign_up(&wallet(WHOLE, WHOLE), "k", true).unwrap();
        assert_eq!(elsewhere.records, 1);
        elsewhere.affordable("autonomi:").unwrap();
    }

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
