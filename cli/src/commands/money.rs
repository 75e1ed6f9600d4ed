//! Stores where records are paid for: the wallet's key, and the price of an operation before it is done.

use safeos_store::{Amount, Money, Parsed, Price};
use zeroize::Zeroizing;

use super::Context;
use crate::failure::{Failure, Result};
use crate::output::plural;
use crate::password;
use crate::terminal;

/// Tokens that may be spent without asking, in wholes.
const UNASKED: &str = "1";

/// The key of the wallet for an account that is made on `url`, when the wallet can pay for it and the person agrees;
/// `None` where nothing is paid.
pub fn for_sign_up(context: &Context, url: &str, stdin: bool) -> Result<Option<Zeroizing<String>>> {
    let Parsed::Autonomi(named) = safeos_store::parse(url)? else {
        return Ok(None);
    };
    let key = password::wallet_key(stdin)?;
    let store = context.dirs.open(url)?;
    let Some(wallet) = store.wallet() else {
        return Ok(None);
    };
    let price = Price::of_sign_up(wallet, &key, named.head.is_some())?;
    let Price { cost, has, .. } = price;
    context.output.note(&format!(
        "signing up stores {} for about {cost}; the wallet {} has {has}",
        plural(price.records, "record"),
        price.wallet
    ));
    price.affordable(url)?;
    agreed(cost)?;
    Ok(Some(key))
}

/// Asks, where it is more than may be spent without asking.
fn agreed(cost: Money) -> Result<()> {
    let variable = safeos_store_autonomi::SPEND_MAX;
    let limit = std::env::var(variable).ok().filter(|text| !text.is_empty());
    let limit: Amount = limit.as_deref().unwrap_or(UNASKED).parse()?;
    if cost.tokens <= limit {
        return Ok(());
    }
    if terminal::asks(&format!("Spend about {cost}? [y/N] "))? {
        return Ok(());
    }
    Err(Failure::new(
        "too_dear",
        format!(
            "it would cost about {cost}, and no more than {limit} ANT was agreed to: set {variable} to more; nothing was paid"
        ),
    ))
}
