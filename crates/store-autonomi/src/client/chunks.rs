//! Chunks on their way to the network: asked for prices, paid for together, sent to the nodes that keep them.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

use ant_core::data::client::batch::ChunkPaymentPlan;
use ant_core::data::client::merkle::PreparedMerkleBatch;
use ant_core::data::client::upload::{
    MerkleUploadPayment, UploadAdapter, UploadPayment, UploadRecord,
};
use ant_core::data::client::upload_state::{PaymentAttempt, UploadState};
use ant_core::data::{Client, DEFAULT_MERKLE_THRESHOLD, Error as Theirs, PaymentMode, U256};
use ant_protocol::evm::journal::{PaymentReceipt, PaymentRequest, SignedPayment};
use bytes::Bytes;
use parking_lot::Mutex;
use safeos_record::{Address, MAX_CHUNK_SIZE, random_bytes};
use safeos_store::{Amount, Error, Result, Upload};

use super::failure;
use super::journal::{Entry, Journal, What};
use super::payment::{self, Evidence, Outcome};
use super::wallets::{Wallets, amount};

/// Most chunks that are paid for and stored as one: the leaves of the largest tree of a merkle payment.
const TOGETHER_MAX: usize = 256;
/// Most chunks that are paid for one by one, in one transaction.
const PAID_TOGETHER: usize = 64;
/// In the client's checkpoint: an attempt for which nothing was signed yet.
const NOTHING_SIGNED: &str = "nothing signed";

type TheirResult<T> = Result<T, Theirs>;

/// Stores chunks, wherever an earlier try has left them.
pub(crate) async fn upload(
    client: &Client,
    wallets: &Wallets,
    journal: &Journal,
    url: &str,
    addresses: &[Address],
    from: &dyn Upload,
) -> Result<()> {
    let _turn = journal.turn().await?;
    let uploader = Uploader {
        client,
        wallets,
        journal,
        url,
        from,
        stored: AtomicU64::new(0),
        paid: Mutex::new(Amount(0)),
    };
    let mut open: Vec<[u8; 32]> = Vec::with_capacity(addresses.len());
    let mut seen = HashSet::new();
    open.extend(addresses.iter().map(|a| a.0).filter(|a| seen.insert(*a)));
    // First what was begun before.
    for mut entry in journal.entries(What::Chunks)? {
        let (ours, others): (Vec<_>, Vec<_>) =
            entry.addresses.iter().partition(|a| seen.contains(*a));
        if ours.is_empty() {
            continue;
        }
        uploader.store(&mut entry, &ours, others).await?;
        let done: HashSet<_> = ours.into_iter().collect();
        open.retain(|address| !done.contains(address));
    }
    if open.len() > PAID_TOGETHER {
        // Several payments: the whole price is checked before the first one.
        let each = price(client, url).await?;
        let paid = billed(open.len() as u64).0;
        let sum = U256::from(each.0).saturating_mul(U256::from(paid));
        wallets.allows(Amount(0), sum, open.len())?;
    }
    for some in open.chunks(TOGETHER_MAX) {
        let mut entry = journal.begin(What::Chunks, some.to_vec());
        uploader.store(&mut entry, some, Vec::new()).await?;
    }
    Ok(())
}

/// The price today of a chunk that is certainly not there.
pub(crate) async fn price(client: &Client, url: &str) -> Result<Amount> {
    let mut address = [0; 32];
    random_bytes(&mut address).map_err(|error| Error::Broken {
        url: url.to_owned(),
        why: error.to_string(),
    })?;
    let plan = client
        .prepare_chunk_payment_plan(address, MAX_CHUNK_SIZE as u64)
        .await
        .map_err(|error| failure::of(url, &error))?;
    Ok(plan.map_or(Amount(0), |plan| amount(plan.payment.total_amount())))
}

/// For how many records so many are paid, and with how many payments: a tree is paid for as if all its leaves were
/// taken.
pub(crate) fn billed(records: u64) -> (u64, u64) {
    const TREE: u64 = TOGETHER_MAX as u64;
    let last = records % TREE;
    let (last_paid, last_payments) = if last >= DEFAULT_MERKLE_THRESHOLD as u64 {
        (last.next_power_of_two(), 1)
    } else {
        (last, last.div_ceil(PAID_TOGETHER as u64))
    };
    (
        records / TREE * TREE + last_paid,
        records / TREE + last_payments,
    )
}

struct Uploader<'a> {
    client: &'a Client,
    wallets: &'a Wallets,
    journal: &'a Journal,
    url: &'a str,
    from: &'a dyn Upload,
    stored: AtomicU64,
    /// Tokens spent in this upload.
    paid: Mutex<Amount>,
}

impl Uploader<'_> {
    /// Stores `some` of an entry; `others` stay in it.
    async fn store(
        &self,
        entry: &mut Entry,
        some: &[[u8; 32]],
        others: Vec<[u8; 32]>,
    ) -> Result<()> {
        let mut records = Vec::with_capacity(some.len());
        for (index, address) in some.iter().enumerate() {
            let chunk = self.from.load(&Address(*address))?;
            records.push(UploadRecord {
                address: *address,
                size: chunk.bytes().len() as u64,
                index,
            });
        }
        let mut state = if entry.rest.is_empty() {
            UploadState::default()
        } else {
            // The checksum was right, so another version of the client wrote it. The payments it recorded cannot be
            // read.
            UploadState::restore(&entry.rest).map_err(|error| Error::Broken {
                url: self.url.to_owned(),
                why: format!("the journal of payments cannot be read by this version: {error}"),
            })?
        };
        let adapter = Adapter {
            up: self,
            entry,
            some,
            before: self.stored.load(Ordering::Relaxed),
            done: AtomicU64::new(0),
            failure: Mutex::new(None),
        };
        let mode = PaymentMode::Auto;
        let outcome = self
            .client
            .upload_records(records, &mut state, &adapter, mode)
            .await;
        let failure = adapter.failure.lock().take();
        match outcome {
            Ok(_) => {
                let settled: Vec<Address> = some.iter().map(|a| Address(*a)).collect();
                self.from.settled(&settled);
                self.stored.fetch_add(some.len() as u64, Ordering::Relaxed);
                self.from.stored(self.stored.load(Ordering::Relaxed));
                if others.is_empty() {
                    return self.journal.done(entry);
                }
                entry.addresses = others;
                entry.rest = checkpoint(self.url, &state)?;
                self.journal.keep(entry)
            }
            Err(Theirs::PartialUpload { stored, reason, .. }) => {
                let settled: Vec<Address> = stored.iter().map(|a| Address(*a)).collect();
                self.from.settled(&settled);
                Err(failure.unwrap_or_else(|| self.failed(&Theirs::Network(reason))))
            }
            Err(error) => Err(failure.unwrap_or_else(|| self.failed(&error))),
        }
    }

    fn failed(&self, error: &Theirs) -> Error {
        failure::of(self.url, error)
    }
}

fn checkpoint(url: &str, state: &UploadState) -> Result<Vec<u8>> {
    state.checkpoint().map_err(|error| failure::of(url, &error))
}

/// The uploader's side for the client.
struct Adapter<'a> {
    up: &'a Uploader<'a>,
    entry: &'a Entry,
    /// The addresses by the client's index.
    some: &'a [[u8; 32]],
    before: u64,
    done: AtomicU64,
    /// Our own error, which the client would make a text of.
    failure: Mutex<Option<Error>>,
}

impl Adapter<'_> {
    fn ours<T>(&self, outcome: Result<T>) -> TheirResult<T> {
        outcome.map_err(|error| {
            let text = error.to_string();
            *self.failure.lock() = Some(error);
            Theirs::Storage(text)
        })
    }

    fn write(&self, state: &UploadState) -> Result<()> {
        let rest = checkpoint(self.up.url, state)?;
        self.up.journal.keep_rest(self.entry, &rest)
    }

    async fn settle(
        &self,
        request: &PaymentRequest,
        tokens: U256,
        records: usize,
        state: &mut UploadState,
        fresh: bool,
    ) -> Result<PaymentReceipt> {
        let outcome = self
            .settle_once(request, tokens, records, state, fresh)
            .await;
        let receipt = match outcome {
            Ok(receipt) => receipt,
            Err(error) => {
                if !was_signed(state) {
                    state.pending_payment = None;
                    self.write(state)?;
                }
                return Err(error);
            }
        };
        let mut paid = self.up.paid.lock();
        paid.0 = paid.0.saturating_add(amount(receipt.amount).0);
        Ok(receipt)
    }

    async fn settle_once(
        &self,
        request: &PaymentRequest,
        tokens: U256,
        records: usize,
        state: &mut UploadState,
        fresh: bool,
    ) -> Result<PaymentReceipt> {
        let Uploader { wallets, url, .. } = self.up;
        let wallet = wallets.wallet()?;
        if !fresh && let Some(signed) = signed(url, state)? {
            let count = records as u64;
            match payment::recover(wallets, url, &wallet, &signed, request, count).await? {
                Outcome::Paid(receipt) => return Ok(receipt),
                Outcome::Void(why) => {
                    state.pending_payment = None;
                    self.write(state)?;
                    return Err(Error::Unreachable {
                        url: (*url).to_owned(),
                        why: format!("{why}; it is paid anew at the next try"),
                    });
                }
            }
        }
        wallets.allows(*self.up.paid.lock(), tokens, records)?;
        let mut evidence = InState {
            adapter: self,
            state,
        };
        payment::pay(
            wallets,
            url,
            &wallet,
            request,
            (tokens, records as u64),
            &mut evidence,
        )
        .await
    }
}

/// Signed payments in the client's own checkpoint.
struct InState<'a, 'b> {
    adapter: &'a Adapter<'b>,
    state: &'a mut UploadState,
}

impl Evidence for InState<'_, '_> {
    fn keep(&mut self, signed: &SignedPayment) -> Result<()> {
        let value = serde_json::to_value(signed).map_err(|error| Error::Broken {
            url: self.adapter.up.url.to_owned(),
            why: format!("a payment cannot be written down: {error}"),
        })?;
        if let Some(attempt) = &mut self.state.pending_payment {
            attempt.submissions = vec![value];
        }
        self.adapter.write(self.state)
    }
}

fn was_signed(state: &UploadState) -> bool {
    let attempt = state.pending_payment.as_ref();
    attempt.is_some_and(|attempt| {
        attempt
            .submissions
            .iter()
            .any(|value| value != NOTHING_SIGNED)
    })
}

fn signed(url: &str, state: &UploadState) -> Result<Option<SignedPayment>> {
    if !was_signed(state) {
        return Ok(None);
    }
    let attempt = state.pending_payment.as_ref();
    let value = attempt.and_then(|attempt| attempt.submissions.first());
    let value = value.cloned().unwrap_or_default();
    serde_json::from_value(value)
        .map(Some)
        .map_err(|error| Error::Broken {
            url: url.to_owned(),
            why: format!("the journal of payments has one that cannot be read: {error}"),
        })
}

/// The payment for these plans, and its sum.
pub(crate) fn quotes(plans: &[ChunkPaymentPlan]) -> (PaymentRequest, U256) {
    let quotes: Vec<_> = plans
        .iter()
        .flat_map(|plan| &plan.payment.quotes)
        .filter(|quote| !quote.amount.is_zero())
        .map(|quote| (quote.quote_hash, quote.rewards_address, quote.amount))
        .collect();
    let tokens = quotes
        .iter()
        .fold(U256::ZERO, |sum, quote| sum.saturating_add(quote.2));
    (PaymentRequest::Quotes(quotes), tokens)
}

/// The transaction of each quote of a request that was paid with one.
pub(crate) fn transactions(
    request: &PaymentRequest,
    receipt: &PaymentReceipt,
) -> HashMap<ant_protocol::evm::QuoteHash, ant_protocol::evm::TxHash> {
    let PaymentRequest::Quotes(quotes) = request else {
        return HashMap::new();
    };
    quotes
        .iter()
        .map(|quote| (quote.0, receipt.transaction_hash))
        .collect()
}

impl Adapter<'_> {
    async fn by_quotes(
        &self,
        plans: &[ChunkPaymentPlan],
        state: &mut UploadState,
        fresh: bool,
    ) -> TheirResult<UploadPayment> {
        let (request, tokens) = quotes(plans);
        let settled = self
            .settle(&request, tokens, plans.len(), state, fresh)
            .await;
        let receipt = self.ours(settled)?;
        Ok(UploadPayment {
            transactions: transactions(&request, &receipt),
            amount: receipt.amount,
            gas: receipt.gas_cost_wei,
        })
    }

    async fn by_tree(
        &self,
        batch: &PreparedMerkleBatch,
        state: &mut UploadState,
        fresh: bool,
    ) -> TheirResult<MerkleUploadPayment> {
        let request = PaymentRequest::Merkle {
            depth: batch.depth,
            pools: batch.pool_commitments.clone(),
            timestamp: batch.merkle_payment_timestamp,
        };
        let chain = self.ours(self.up.wallets.wallet())?;
        let tokens = chain
            .network()
            .estimate_merkle_payment_cost(batch.depth, &batch.pool_commitments);
        let records = self.entry.addresses.len();
        let settled = self.settle(&request, tokens, records, state, fresh).await;
        let receipt = self.ours(settled)?;
        Ok(MerkleUploadPayment {
            winner_pool: receipt
                .winner_pool
                .ok_or_else(|| Theirs::Payment("the chain names no winner".into()))?,
            amount: receipt.amount,
            gas: receipt.gas_cost_wei,
        })
    }
}

#[async_trait::async_trait]
impl UploadAdapter for Adapter<'_> {
    async fn load(&self, record: UploadRecord) -> TheirResult<Bytes> {
        let chunk = self.ours(self.up.from.load(&Address(record.address)))?;
        Ok(chunk.into_bytes())
    }

    async fn pay(&self, _: &[ChunkPaymentPlan]) -> TheirResult<UploadPayment> {
        Err(Theirs::Payment("a payment without a journal".into()))
    }

    fn initialize_payment_attempt(&self, attempt: &mut PaymentAttempt) {
        attempt.submissions = vec![NOTHING_SIGNED.into()];
    }

    async fn submit_payment(
        &self,
        plans: &[ChunkPaymentPlan],
        state: &mut UploadState,
    ) -> TheirResult<UploadPayment> {
        self.by_quotes(plans, state, true).await
    }

    async fn reconcile_payment(
        &self,
        plans: &[ChunkPaymentPlan],
        state: &mut UploadState,
    ) -> TheirResult<UploadPayment> {
        self.by_quotes(plans, state, false).await
    }

    async fn submit_merkle_payment(
        &self,
        batch: &PreparedMerkleBatch,
        state: &mut UploadState,
    ) -> TheirResult<MerkleUploadPayment> {
        self.by_tree(batch, state, true).await
    }

    async fn reconcile_merkle_payment(
        &self,
        batch: &PreparedMerkleBatch,
        state: &mut UploadState,
    ) -> TheirResult<MerkleUploadPayment> {
        self.by_tree(batch, state, false).await
    }

    async fn checkpoint(&self, state: &UploadState, _: Option<&UploadPayment>) -> TheirResult<()> {
        self.ours(self.write(state))
    }

    fn record_stored(&self, number: usize, _: usize) {
        // Counted from one.
        let address = number.checked_sub(1).and_then(|at| self.some.get(at));
        if let Some(address) = address {
            self.up.from.sent(&Address(*address));
        }
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        self.up.from.stored(self.before + done);
    }
}

#[cfg(test)]
mod tests {
    use super::billed;

    #[test]
    fn what_is_billed() {
        for (records, billed_for) in [
            (0, (0, 0)),
            (1, (1, 1)),
            (63, (63, 1)),
            (64, (64, 1)),
            (65, (128, 1)),
            (256, (256, 1)),
            (257, (257, 2)),
            (400, (512, 2)),
        ] {
            assert_eq!(billed(records), billed_for, "{records}");
        }
    }
}
