use std::path::Path;
use std::time::Duration;

use ant_core::data::{Client, Error as Theirs};
use ant_protocol::DATA_TYPE_CHUNK;
use futures::StreamExt;
use safeos_record::{Address, Chunk, MAX_CHUNK_SIZE, Pointer};
use safeos_store::{
    Amount, Entry, Error, Kind, Money, Result, Spent, Stats, Store, Traits, Upload, Wallet,
};

use super::journal::Journal;
use super::link::Link;
use super::network_config::NetworkConfig;
use super::wallets::Wallets;
use super::{chunks, failure, pointers};

/// Chunks fetched at once.
const FETCHERS: usize = 8;
/// Fetching one takes no longer (tens of seconds a lookup have been reported) …
const GET_MAX: Duration = Duration::from_secs(120);
/// … nor does anything with a pointer, …
const POINTER_MAX: Duration = Duration::from_secs(600);
/// … nor looking at a wallet.
const CHAIN_MAX: Duration = Duration::from_secs(60);
/// An upload may take this, …
const UPLOAD_MAX: Duration = Duration::from_secs(1200);
/// … and this for every chunk.
const UPLOAD_EACH: Duration = Duration::from_secs(60);
/// The cost of an upload without the person's agreement to more: some 850 records, or 3 GiB, at the lowest price.
const SPEND_UNASKED: Amount = Amount(10_000_000_000_000_000_000);

/// Records on the network.
pub struct AutonomiStore {
    url: String,
    link: Link,
    journal: Journal,
    wallets: Wallets,
}

impl AutonomiStore {
    /// The network of this manifest, or the main one. Nothing is asked yet. Payments are noted under `state`.
    pub fn open(url: &str, manifest: Option<&Path>, state: &Path) -> Result<Self> {
        let limit = std::env::var(crate::SPEND_MAX).unwrap_or_default();
        let limit = match limit.as_str() {
            "" => Some(SPEND_UNASKED),
            limit => Some(limit.parse()?),
        };
        let place = NetworkConfig::find(url, manifest)?;
        // The heads' place says nothing about the payer: one journal for a network.
        let network = url.split('?').next().unwrap_or(url);
        Ok(Self {
            url: url.to_owned(),
            journal: Journal::new(network, state),
            wallets: Wallets::new(url, &place.chain, limit),
            link: Link::new(place)?,
        })
    }

    fn unlimited(&self, what: &str) -> Error {
        Error::Refused {
            url: self.url.clone(),
            why: format!("the network does not {what}: its records belong to everybody"),
        }
    }

    fn failed(&self, error: &Theirs) -> Error {
        failure::of(&self.url, error)
    }

    async fn get(&self, address: Address) -> Result<Chunk> {
        let client = self.link.client().await?;
        let found = tokio::time::timeout(GET_MAX, client.chunk_get(&address.0)).await;
        let found = found
            .map_err(|_| failure::late(&self.url, "fetching a chunk", GET_MAX))?
            .map_err(|error| self.failed(&error))?;
        let Some(found) = found else {
            self.link.answers(&client).await?;
            return Err(Error::Missing {
                kind: Kind::Chunk,
                address,
            });
        };
        Chunk::verify(address, found.content).map_err(|error| Error::Damaged {
            kind: Kind::Chunk,
            address,
            why: error.to_string(),
        })
    }

    /// Whether enough of the nodes that should keep it say that they do, or else whether any node has it.
    async fn has(&self, client: &Client, address: Address) -> Result<bool> {
        let quotes = client.get_store_quotes(&address.0, MAX_CHUNK_SIZE as u64, DATA_TYPE_CHUNK);
        match quotes.await {
            Err(Theirs::AlreadyStored) => return Ok(true),
            Ok(_) => {}
            Err(error) => return Err(self.failed(&error)),
        }
        match self.get(address).await {
            Ok(_) => Ok(true),
            Err(Error::Missing { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn go_on(&self) -> impl Fn() -> bool + use<> {
        || false
    }
}

/// The time that reading so many chunks may take.
fn time_for(count: usize, each: Duration, parallel: usize) -> Duration {
    each.saturating_mul(count.div_ceil(parallel).max(1) as u32) + each
}

impl Store for AutonomiStore {
    fn url(&self) -> &str {
        &self.url
    }

    fn traits(&self) -> Traits {
        Traits {
            local: false,
            paid: true,
        }
    }

    fn put_chunks(&self, chunks: &[Chunk]) -> Result<()> {
        let addresses: Vec<Address> = chunks.iter().map(Chunk::address).collect();
        self.upload(&addresses, &InMemory(chunks))
    }

    fn upload(&self, addresses: &[Address], from: &dyn Upload) -> Result<()> {
        if addresses.is_empty() {
            return Ok(());
        }
        let limit = UPLOAD_MAX + UPLOAD_EACH.saturating_mul(addresses.len() as u32);
        let stopped = || from.stopped();
        self.link.run("storing", limit, &stopped, async {
            self.wallets.wallet()?;
            let client = self.link.client().await?;
            let (wallets, journal) = (&self.wallets, &self.journal);
            chunks::upload(&client, wallets, journal, &self.url, addresses, from).await
        })
    }

    fn wallet(&self) -> Option<&dyn Wallet> {
        Some(self)
    }

    fn get_chunks(&self, addresses: &[Address]) -> Vec<Result<Chunk>> {
        let limit = time_for(addresses.len(), GET_MAX, FETCHERS);
        let fetched = self.link.run("fetching", limit, &self.go_on(), async {
            let gets = addresses.iter().map(|address| self.get(*address));
            Ok(futures::stream::iter(gets)
                .buffered(FETCHERS)
                .collect::<Vec<_>>()
                .await)
        });
        match fetched {
            Ok(chunks) => chunks,
            Err(error) => addresses.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    fn has_chunks(&self, addresses: &[Address]) -> Result<Vec<bool>> {
        let limit = time_for(addresses.len(), GET_MAX, FETCHERS);
        self.link.run("looking", limit, &self.go_on(), async {
            let client = self.link.client().await?;
            let asked = addresses.iter().map(|address| self.has(&client, *address));
            let found: Vec<Result<bool>> = futures::stream::iter(asked)
                .buffered(FETCHERS)
                .collect()
                .await;
            found.into_iter().collect()
        })
    }

    fn get_pointer(&self, address: &Address) -> Result<Option<Pointer>> {
        self.link
            .run("reading a pointer", GET_MAX, &self.go_on(), async {
                let client = self.link.client().await?;
                pointers::get(&client, &self.url, address).await
            })
    }

    fn set_pointer(&self, pointer: &Pointer, expected: Option<u64>) -> Result<()> {
        self.link
            .run("moving a pointer", POINTER_MAX, &self.go_on(), async {
                let client = self.link.client().await?;
                let (wallets, journal) = (&self.wallets, &self.journal);
                pointers::set(&client, wallets, journal, &self.url, pointer, expected).await
            })
    }

    fn list(&self, _: Option<(Kind, Address)>, _: usize) -> Result<Vec<Entry>> {
        Err(self.unlimited("list its records"))
    }

    fn delete_chunks(&self, _: &[Address]) -> Result<u64> {
        Err(self.unlimited("take chunks away"))
    }

    fn stats(&self) -> Result<Stats> {
        Err(self.unlimited("count its records"))
    }
}

impl Wallet for AutonomiStore {
    fn fund(&self, key: &str) -> Result<String> {
        self.wallets.fund(key)
    }

    fn address(&self) -> Option<String> {
        self.wallets.address()
    }

    fn balance(&self) -> Result<Money> {
        let wallet = self.wallets.wallet()?;
        let what = "looking at the wallet";
        self.link.run(what, CHAIN_MAX, &self.go_on(), async {
            self.wallets.balance(&wallet).await
        })
    }

    fn estimate(&self, records: u64) -> Result<Money> {
        let what = "asking for prices";
        self.link.run(what, GET_MAX, &self.go_on(), async {
            let client = self.link.client().await?;
            let each = chunks::price(&client, &self.url).await?;
            let (paid, payments) = chunks::billed(records);
            Ok(Money {
                tokens: Amount(each.0.saturating_mul(u128::from(paid))),
                gas: self.wallets.gas(payments, records).await?,
            })
        })
    }

    fn set_limit(&self, tokens: Option<Amount>) {
        self.wallets.set_limit(tokens);
    }

    fn spent(&self) -> Spent {
        self.wallets.spent()
    }
}

/// Chunks that are in memory.
struct InMemory<'a>(&'a [Chunk]);

impl Upload for InMemory<'_> {
    fn load(&self, address: &Address) -> Result<Chunk> {
        let found = self.0.iter().find(|chunk| chunk.address() == *address);
        found.cloned().ok_or(Error::Missing {
            kind: Kind::Chunk,
            address: *address,
        })
    }
}
