//! The wallet, its limit, and the money spent.

use std::sync::Arc;

use alloy_provider::Provider;
use ant_core::data::{EvmNetwork, U256, Wallet};
use ant_protocol::evm::utils::http_provider;
use parking_lot::Mutex;
use safeos_store::{Amount, Error, Money, Result, Spent};

use super::failure;

/// Gas of a payment, and of each record that it pays for (docs/benchmarks.md has what was measured), rounded up.
const GAS_OF_PAYMENT: u128 = 150_000;
const GAS_OF_RECORD: u128 = 60_000;

/// The wallets that pay.
pub(crate) struct Wallets {
    url: String,
    chain: EvmNetwork,
    wallet: Mutex<Option<Arc<Wallet>>>,
    limit: Mutex<Option<Amount>>,
    spent: Mutex<Spent>,
}

impl Wallets {
    pub fn new(url: &str, chain: &EvmNetwork, limit: Option<Amount>) -> Self {
        Self {
            url: url.to_owned(),
            chain: chain.clone(),
            wallet: Mutex::new(None),
            limit: Mutex::new(limit),
            spent: Mutex::default(),
        }
    }

    pub fn fund(&self, key: &str) -> Result<String> {
        // The client's own message would repeat nothing of the key, but nothing else of use either.
        let wallet =
            Wallet::new_from_private_key(self.chain.clone(), key.trim()).map_err(|_| {
                Error::WalletKey {
                    url: self.url.clone(),
                }
            })?;
        let address = wallet.address().to_string();
        *self.wallet.lock() = Some(Arc::new(wallet));
        Ok(address)
    }

    pub fn address(&self) -> Option<String> {
        let wallet = self.wallet.lock();
        wallet.as_ref().map(|wallet| wallet.address().to_string())
    }

    /// The wallet, if there is one.
    pub fn wallet(&self) -> Result<Arc<Wallet>> {
        self.wallet.lock().clone().ok_or_else(|| Error::Unpaid {
            url: self.url.clone(),
            why: format!(
                "no wallet is known: an account has one from `safe signup`; a gateway and `safe store copy` read its key from the file named in {}",
                crate::WALLET_KEY_FILE
            ),
        })
    }

    pub fn set_limit(&self, tokens: Option<Amount>) {
        *self.limit.lock() = tokens;
    }

    pub fn spent(&self) -> Spent {
        *self.spent.lock()
    }

    /// Counts what was paid.
    pub fn count(&self, records: u64, tokens: U256, gas: u128) {
        let mut spent = self.spent.lock();
        spent.records += records;
        spent.payments += 1;
        spent.money = spent.money.plus(Money {
            tokens: amount(tokens),
            gas: Amount(gas),
        });
    }

    /// Whether so much may be spent on one thing on which `before` was spent already.
    pub fn allows(&self, before: Amount, tokens: U256, records: usize) -> Result<()> {
        let sum = Amount(before.0.saturating_add(amount(tokens).0));
        match *self.limit.lock() {
            Some(limit) if sum > limit => Err(Error::Dear {
                url: self.url.clone(),
                why: format!(
                    "storing {records} records would cost {sum} ANT, and no more than {limit} was agreed to: nothing more was paid; `safe sync --spend AMOUNT` agrees to more, or {} in the environment",
                    crate::SPEND_MAX
                ),
            }),
            _ => Ok(()),
        }
    }

    /// Whether the wallet has that much and some gas.
    pub async fn suffices(&self, wallet: &Wallet, tokens: U256) -> Result<()> {
        let has = self.balance(wallet).await?;
        let needs = amount(tokens);
        if has.tokens < needs {
            let why = format!("it has {} ANT, and {needs} are needed", has.tokens);
            return Err(failure::unpaid(&self.url, &why));
        }
        if has.gas.0 == 0 {
            let why = "it has no ETH for gas";
            return Err(failure::unpaid(&self.url, why));
        }
        Ok(())
    }

    pub async fn balance(&self, wallet: &Wallet) -> Result<Money> {
        let asked = async {
            let tokens = wallet.balance_of_tokens().await;
            let gas = wallet.balance_of_gas_tokens().await;
            Ok((
                tokens.map_err(|e| e.to_string())?,
                gas.map_err(|e| e.to_string())?,
            ))
        };
        let (tokens, gas) = asked.await.map_err(|why: String| self.no_chain(&why))?;
        Ok(Money {
            tokens: amount(tokens),
            gas: amount(gas),
        })
    }

    /// About how much gas so many payments for so many records take.
    pub async fn gas(&self, payments: u64, records: u64) -> Result<Amount> {
        let provider = http_provider(self.chain.rpc_url().clone());
        let price = provider.get_gas_price().await;
        let price = price.map_err(|error| self.no_chain(&error.to_string()))?;
        let gas = u128::from(payments) * GAS_OF_PAYMENT + u128::from(records) * GAS_OF_RECORD;
        Ok(Amount(price.saturating_mul(gas)))
    }

    fn no_chain(&self, why: &str) -> Error {
        Error::Unreachable {
            url: self.url.clone(),
            why: format!(
                "the chain on which records are paid does not answer: {}",
                failure::shown(why)
            ),
        }
    }
}

/// More than there can ever be is as much as can be shown.
pub(crate) fn amount(parts: U256) -> Amount {
    Amount(u128::try_from(parts).unwrap_or(u128::MAX))
}
