//! One payment: signed, written down, sent, watched until the chain has it.
//!
//! What always holds here: bytes that can move money are in the journal before they are sent, and are sent again
//! rather than made again as long as the chain may still take them. Sent twice they pay once.

use std::time::Duration;

use ant_core::data::{U256, Wallet};
use ant_protocol::evm::journal::{PaymentReceipt, PaymentRequest, PaymentStatus, SignedPayment};
use safeos_store::{Error, Result};

use super::failure;
use super::wallets::Wallets;

/// How long the chain is watched before the caller is told that the outcome is unknown.
const WATCH_MAX: Duration = Duration::from_secs(120);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const LOOK_LAST: Duration = Duration::from_secs(3);

/// The outcome of a payment.
pub(crate) enum Outcome {
    /// The chain has it.
    Paid(PaymentReceipt),
    /// It never will: pay again.
    Void(String),
}

/// Where signed payments are written down.
pub(crate) trait Evidence: Send {
    /// Makes it durable; nothing is sent before this has returned.
    fn keep(&mut self, signed: &SignedPayment) -> Result<()>;
}

/// Signs a new payment of `tokens` for `records` records, and sees it through.
pub(crate) async fn pay(
    wallets: &Wallets,
    url: &str,
    wallet: &Wallet,
    request: &PaymentRequest,
    (tokens, records): (U256, u64),
    evidence: &mut dyn Evidence,
) -> Result<PaymentReceipt> {
    wallets.suffices(wallet, tokens).await?;
    let _one = wallet.lock().await;
    // The nonce may have been used by another program of the same wallet meanwhile: once more.
    for again in [true, false] {
        let signed = wallet
            .prepare_payment(request)
            .await
            .map_err(|why| failed(url, &why))?;
        evidence.keep(&signed)?;
        match wallet.broadcast_payment(&signed, request).await {
            Ok(_) => {}
            Err(why) if again && why.to_ascii_lowercase().contains("nonce too low") => continue,
            Err(why) => return Err(failed(url, &why)),
        }
        return match watch(url, wallet, &signed, request, false).await? {
            Outcome::Paid(receipt) => {
                wallets.count(records, receipt.amount, receipt.gas_cost_wei);
                Ok(receipt)
            }
            Outcome::Void(why) => Err(failed(url, &why)),
        };
    }
    Err(failed(
        url,
        "the wallet is used by another program at the same time",
    ))
}

/// Finds out what has become of a payment that was begun before; sends it again if the chain does not know it.
pub(crate) async fn recover(
    wallets: &Wallets,
    url: &str,
    wallet: &Wallet,
    signed: &SignedPayment,
    request: &PaymentRequest,
    records: u64,
) -> Result<Outcome> {
    let _one = wallet.lock().await;
    let outcome = watch(url, wallet, signed, request, true).await?;
    if let Outcome::Paid(receipt) = &outcome {
        wallets.count(records, receipt.amount, receipt.gas_cost_wei);
    }
    Ok(outcome)
}

async fn watch(
    url: &str,
    wallet: &Wallet,
    signed: &SignedPayment,
    request: &PaymentRequest,
    mut send: bool,
) -> Result<Outcome> {
    let started = tokio::time::Instant::now();
    let mut pause = LOOK_EVERY;
    loop {
        let status = wallet
            .observe_payment(signed, request)
            .await
            .map_err(|why| failed(url, &why))?;
        match status {
            PaymentStatus::Confirmed(receipt) => return Ok(Outcome::Paid(receipt)),
            PaymentStatus::Reverted => {
                return Ok(Outcome::Void("the chain has refused the payment".into()));
            }
            PaymentStatus::Replaced { .. } => {
                return Ok(Outcome::Void(
                    "another payment of the same wallet took its place".into(),
                ));
            }
            PaymentStatus::Pending if send => {
                send = false;
                wallet
                    .broadcast_payment(signed, request)
                    .await
                    .map_err(|why| failed(url, &why))?;
            }
            PaymentStatus::Pending | PaymentStatus::Finalizing => {}
        }
        if started.elapsed() > WATCH_MAX {
            return Err(Error::Unreachable {
                url: url.to_owned(),
                why: "the chain has not said yet whether a payment came through; it is looked at again before anything else is paid".into(),
            });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LOOK_LAST);
    }
}

fn failed(url: &str, why: &str) -> Error {
    if failure::is_dry(why) {
        return failure::unpaid(url, why);
    }
    Error::Unreachable {
        url: url.to_owned(),
        why: format!("paying failed: {}", failure::shown(why)),
    }
}
