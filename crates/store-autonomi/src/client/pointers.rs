//! Pointers on the network: read by its quorum, written with a payment for each state, read back.

use std::time::{Duration, SystemTime};

use ant_core::data::client::batch::{ChunkPaymentPlan, paid_proof_has_expired};
use ant_core::data::{Client, Error as Theirs, Pointer as TheirPointer};
use ant_protocol::evm::journal::{PaymentRequest, SignedPayment};
use safeos_record::{Address, Pointer};
use safeos_store::{Amount, Error, Kind, Result};
use serde::{Deserialize, Serialize};

use super::chunks::{quotes, transactions};
use super::failure;
use super::journal::{Entry, Journal, What};
use super::payment::{self, Evidence, Outcome};
use super::wallets::Wallets;

/// Prices that were offered are paid within this time.
const OFFER_MAX: Duration = Duration::from_secs(12 * 3600);
/// How often a pointer without agreement is read again, and the pause before.
const READS: u32 = 4;
const READ_PAUSE: Duration = Duration::from_millis(300);
/// Longest time that other writers get to be seen.
const SETTLE_MAX: Duration = Duration::from_secs(20);

/// The newest state that enough of the network names.
pub(crate) async fn get(client: &Client, url: &str, address: &Address) -> Result<Option<Pointer>> {
    let mut pause = READ_PAUSE;
    let mut tries = READS;
    let found = loop {
        tries -= 1;
        match client.pointer_get(&address.0).await {
            Ok(found) => break found,
            // An update on its way, or peers that have just gone.
            Err(Theirs::CloseGroupShortfall(_) | Theirs::Timeout(_) | Theirs::Network(_))
                if tries > 0 =>
            {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            Err(Theirs::PointerForked(why)) => {
                return Err(Error::Damaged {
                    kind: Kind::Pointer,
                    address: *address,
                    why,
                });
            }
            Err(error) => return Err(failure::of(url, &error)),
        }
    };
    let Some(found) = found else { return Ok(None) };
    let damaged = |why: String| Error::Damaged {
        kind: Kind::Pointer,
        address: *address,
        why,
    };
    let pointer = Pointer::parse(&found.to_bytes()).map_err(|error| damaged(error.to_string()))?;
    if pointer.address() != *address {
        return Err(damaged("another pointer came in its place".into()));
    }
    Ok(Some(pointer))
}

/// Whether both are the same state, apart from their signatures.
fn same(one: &Pointer, other: &Pointer) -> bool {
    one.counter() == other.counter() && one.target() == other.target()
}

/// The state of the payment for a pointer's state.
#[derive(Serialize, Deserialize)]
struct Known {
    /// When the prices were offered: seconds since 1970.
    time: u64,
    plan: ChunkPaymentPlan,
    signed: Option<SignedPayment>,
    proof: Option<Vec<u8>>,
}

/// Compare and set; see [`safeos_store::Store::set_pointer`].
pub(crate) async fn set(
    client: &Client,
    wallets: &Wallets,
    journal: &Journal,
    url: &str,
    pointer: &Pointer,
    expected: Option<u64>,
) -> Result<()> {
    let address = pointer.address();
    let conflict = |current: Option<u64>| Error::Conflict { address, current };
    let _turn = journal.turn().await?;
    let there = get(client, url, &address).await?;
    let counter = there.as_ref().map(Pointer::counter);
    let replaces = there.as_ref().is_none_or(|there| pointer.replaces(there));
    if counter != expected || !replaces {
        return Err(conflict(counter));
    }
    let theirs = TheirPointer::from_bytes(pointer.as_bytes()).map_err(|error| Error::Damaged {
        kind: Kind::Pointer,
        address,
        why: error.to_string(),
    })?;
    let state = theirs.state_id();
    let begun = journal.entries(What::Pointer)?;
    let begun = begun.into_iter().find(|entry| entry.addresses == [state]);
    let mut entry = begun.unwrap_or_else(|| journal.begin(What::Pointer, vec![state]));
    let proof = proof(client, wallets, journal, url, &theirs, &mut entry).await?;
    // Paying takes its time; a faster writer is found before anything is written.
    let there = get(client, url, &address).await?;
    if let Some(there) = &there
        && !pointer.replaces(there)
        && !same(pointer, there)
    {
        journal.done(&entry)?;
        return Err(conflict(Some(there.counter())));
    }
    let began = tokio::time::Instant::now();
    let put = client.pointer_put_paid(&theirs, proof).await;
    // Another writer may have looked before that and be writing now. At equal counters the lower target wins, so one of
    // the two loses without an error: wait as long as a write takes, and then read the result.
    tokio::time::sleep(began.elapsed().clamp(READ_PAUSE, SETTLE_MAX)).await;
    let mut tries = READS;
    let mut pause = READ_PAUSE;
    loop {
        tries -= 1;
        let now = get(client, url, &address).await;
        match &now {
            Ok(Some(now)) if same(pointer, now) => return journal.done(&entry),
            Ok(Some(now)) if !pointer.replaces(now) => {
                journal.done(&entry)?;
                return Err(conflict(Some(now.counter())));
            }
            _ => {}
        }
        if tries == 0 {
            // The proof is kept: the next try does not pay.
            put.map_err(|error| failure::of(url, &error))?;
            now?;
            return Err(Error::Unreachable {
                url: url.to_owned(),
                why: format!("the pointer {address} was stored and is not read back yet"),
            });
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

/// The proof that this state is paid for; pays if it is not.
async fn proof(
    client: &Client,
    wallets: &Wallets,
    journal: &Journal,
    url: &str,
    pointer: &TheirPointer,
    entry: &mut Entry,
) -> Result<Vec<u8>> {
    let now = SystemTime::now();
    let seconds = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let known: Option<Known> = rmp_serde::from_slice(&entry.rest).ok();
    if let Some(mut known) = known {
        if let Some(proof) = &known.proof
            && paid_proof_has_expired(proof, now) == Some(false)
        {
            return Ok(proof.clone());
        }
        let recent = seconds.saturating_sub(known.time) < OFFER_MAX.as_secs();
        if known.proof.is_none()
            && recent
            && let Some(signed) = known.signed.clone()
        {
            let wallet = wallets.wallet()?;
            let (request, _) = quotes(std::slice::from_ref(&known.plan));
            let outcome = payment::recover(wallets, url, &wallet, &signed, &request, 1).await?;
            if let Outcome::Paid(receipt) = outcome {
                return paid(journal, url, entry, &mut known, &request, &receipt);
            }
        }
    }
    let plan = client
        .prepare_pointer_payment(pointer)
        .await
        .map_err(|error| failure::of(url, &error))?;
    let (request, tokens) = quotes(std::slice::from_ref(&plan));
    wallets.allows(Amount(0), tokens, 1)?;
    let wallet = wallets.wallet()?;
    let mut known = Known {
        time: seconds,
        plan,
        signed: None,
        proof: None,
    };
    let mut evidence = InEntry {
        journal,
        url,
        entry,
        known: &mut known,
    };
    let receipt = payment::pay(wallets, url, &wallet, &request, (tokens, 1), &mut evidence).await?;
    paid(journal, url, entry, &mut known, &request, &receipt)
}

fn paid(
    journal: &Journal,
    url: &str,
    entry: &mut Entry,
    known: &mut Known,
    request: &PaymentRequest,
    receipt: &ant_protocol::evm::journal::PaymentReceipt,
) -> Result<Vec<u8>> {
    let proof = known
        .plan
        .proof(&transactions(request, receipt))
        .map_err(|error| failure::of(url, &error))?;
    known.proof = Some(proof.clone());
    keep(journal, url, entry, known)?;
    Ok(proof)
}

fn keep(journal: &Journal, url: &str, entry: &mut Entry, known: &Known) -> Result<()> {
    entry.rest = rmp_serde::to_vec_named(known).map_err(|error| Error::Broken {
        url: url.to_owned(),
        why: format!("a payment cannot be written down: {error}"),
    })?;
    journal.keep(entry)
}

struct InEntry<'a> {
    journal: &'a Journal,
    url: &'a str,
    entry: &'a mut Entry,
    known: &'a mut Known,
}

impl Evidence for InEntry<'_> {
    fn keep(&mut self, signed: &SignedPayment) -> Result<()> {
        self.known.signed = Some(signed.clone());
        keep(self.journal, self.url, self.entry, self.known)
    }
}
