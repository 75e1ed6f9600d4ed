//! Stores where records are paid for: the wallet's key, and what something will cost before it is done.

use safeos_store::{Amount, Money, Parsed, Purse};
use zeroize::Zeroizing;

use super::Context;
use crate::failure::{Failure, Result};
use crate::output::plural;
use crate::password;
use crate::terminal;

/// Records that a sign-up stores: the head, and the pointer to it.
const SIGN_UP_RECORDS: u64 = 2;
/// Tokens that may be spent without asking, in wholes.
const UNASKED: &str = "1";

/// The key of the wallet for an account that is made on `url`, when the wallet can pay for it and the person agrees;
/// `None` where nothing is paid.
pub fn for_sign_up(context: &Context, url: &str, stdin: bool) -> Result<Option<Zeroizing<String>>> {
    let Parsed::Autonomi(named) = safeos_store::parse(url)? else {
        return Ok(None);
    };
    let key = password::wallet_key(stdin)?;
    let store = context.places.open(url)?;
    let Some(purse) = store.purse() else {
        return Ok(None);
    };
    let address = purse.fund(&key)?;
    // A head that is kept elsewhere costs nothing here.
    let records = SIGN_UP_RECORDS - u64::from(named.head.is_some());
    let cost = purse.estimate(records)?;
    let has = purse.balance()?;
    context.output.note(&format!(
        "signing up stores {} for about {cost}; the wallet {address} has {has}",
        plural(records, "record")
    ));
    enough(purse, cost)?;
    agreed(cost)?;
    Ok(Some(key))
}

/// An error when the wallet has less than that.
fn enough(purse: &dyn Purse, cost: Money) -> Result<()> {
    let has = purse.balance()?;
    if has.tokens >= cost.tokens && has.gas >= cost.gas {
        return Ok(());
    }
    Err(Failure::new(
        "wallet_empty",
        format!(
            "the wallet {} has {has}, and about {cost} are needed: put more into it, then try again; nothing was paid",
            purse.wallet().unwrap_or_default()
        ),
    ))
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
