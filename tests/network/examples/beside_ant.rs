//! Homes on a local network beside the network's own upload of files, in one run on the same nodes.
//!
//!     SAFEOS_BIN=TARGET/debug SAFE_ANVIL=… beside_ant [--mib 128] [--files 10000] [--theirs 20] [--million]
//!
//! Theirs is `Client::file_upload` of `ant-core`, which is all that the network's command `ant file upload` does; the
//! command itself is in no registry. It stores every file by itself, so some of the small files tell the rest.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use ant_core::data::{Client, ClientConfig, DevnetManifest, EvmNetwork, Wallet};
use safeos_devnet::WALLET_KEY;
use safeos_network_tests::{Chain, NODES, alone, key_file, start, url};
use safeos_suite_tests::{Computer, Random, TestDir, run_for};

const LIMIT: Duration = Duration::from_secs(3600);

struct Options {
    mib: usize,
    files: usize,
    theirs: usize,
    million: bool,
}

fn main() {
    let mut options = Options {
        mib: 128,
        files: 10_000,
        theirs: 20,
        million: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().unwrap().parse().unwrap();
        match argument.as_str() {
            "--mib" => options.mib = number(),
            "--files" => options.files = number(),
            "--theirs" => options.theirs = number(),
            "--million" => options.million = true,
            other => panic!("{other}?"),
        }
    }
    alone();
    let place = TestDir::new();
    let network = start(&place.folder("network"), NODES);
    let bench = Bench {
        url: url(&network.manifest()),
        chain: Chain::of(&network.manifest()),
        key: key_file(place.path(), "key", WALLET_KEY),
        theirs: Theirs::connect(&network.manifest()),
        place,
    };
    bench.small_files(&options);
    bench.throughput(&options);
    if options.million {
        bench.sign_in(1_000_000);
    }
    drop(bench);
    network.stop();
}

struct Bench {
    place: TestDir,
    url: String,
    chain: Chain,
    key: std::path::PathBuf,
    theirs: Theirs,
}

fn safe(computer: &Computer, arguments: &[&str]) -> String {
    run_for(computer.command().args(arguments), LIMIT)
        .ok()
        .stdout
}

fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let done = work();
    (start.elapsed().as_secs_f64(), done)
}

impl Bench {
    fn account(&self, label: &str, name: &str) -> Computer {
        let computer = Computer::with_url(&self.place, label, &self.url);
        let mut command = computer.command();
        command
            .env(safeos_store_autonomi::WALLET_KEY_FILE, &self.key)
            .env(safeos_store_autonomi::SPEND_MAX, "1000");
        command.args(["signup", name, "--small-memory"]);
        run_for(&mut command, LIMIT).ok();
        self.login(&computer, name);
        computer
    }

    fn login(&self, computer: &Computer, name: &str) -> f64 {
        let mut command = computer.command();
        command.env(safeos_store_autonomi::SPEND_MAX, "1000");
        command.args(["login", name]);
        timed(|| run_for(&mut command, LIMIT).ok()).0
    }

    /// The session's payments, in words.
    fn cost(computer: &Computer) -> String {
        let status = computer.json(&["status"]);
        status["cost"].as_str().unwrap().to_owned()
    }

    fn small_files(&self, options: &Options) {
        let computer = self.account("small", "small");
        let mut random = Random::new(1);
        for n in 0..options.files {
            let folder = computer.home().join(format!("{}", n / 100));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(n.to_string()), random.bytes(1024)).unwrap();
        }
        let (took, _) = timed(|| safe(&computer, &["sync"]));
        println!(
            "ours    {} files of 1 KiB: {took:.1} s, {}",
            options.files,
            Self::cost(&computer)
        );
        safe(&computer, &["logout"]);
        self.first_byte("small", &format!("{} files", options.files));

        let before = self.chain.payments();
        let (took, costs) = timed(|| {
            let costs = (0..options.theirs).map(|n| {
                let file = self.place.path().join(format!("{n}.bytes"));
                fs::write(&file, random.bytes(1024)).unwrap();
                self.theirs.upload(&file).1
            });
            costs.sum::<u128>()
        });
        let records = self.chain.payments() - before;
        let times = options.files as f64 / options.theirs as f64;
        println!(
            "theirs  {} of them: {took:.1} s, {records} records, {:.4} ANT; so {} files: {:.0} s, {:.0} records, {:.1} ANT",
            options.theirs,
            costs as f64 / 1e18,
            options.files,
            took * times,
            records as f64 * times,
            costs as f64 / 1e18 * times,
        );
    }

    /// How long until a fresh computer has the first byte of a file.
    fn first_byte(&self, name: &str, what: &str) {
        let fresh = Computer::with_url(&self.place, &format!("fresh {name}"), &self.url);
        let signed_in = self.login(&fresh, name);
        let (first, ()) = timed(|| {
            let file = first_file(&fresh.home()).unwrap();
            let mut byte = [0];
            fs::File::open(file).unwrap().read_exact(&mut byte).unwrap();
        });
        println!(
            "ours    a home of {what}: signed in after {signed_in:.2} s (Argon2id of 64 MiB included), first byte of a file after {first:.2} s more"
        );
        safe(&fresh, &["logout"]);
    }

    fn throughput(&self, options: &Options) {
        let bytes = Random::new(2).bytes(options.mib << 20);
        let file = self.place.path().join("large.bytes");
        fs::write(&file, &bytes).unwrap();
        let rate = |took: f64| options.mib as f64 / took;

        let computer = self.account("large", "large");
        fs::write(computer.home().join("large"), &bytes).unwrap();
        let (up, _) = timed(|| safe(&computer, &["sync"]));
        println!(
            "ours    {} MiB up: {up:.1} s, {:.2} MiB/s, {}",
            options.mib,
            rate(up),
            Self::cost(&computer)
        );
        safe(&computer, &["logout"]);
        let fresh = Computer::with_url(&self.place, "fresh large", &self.url);
        self.login(&fresh, "large");
        let (down, read) = timed(|| fs::read(fresh.home().join("large")).unwrap());
        assert!(read == bytes);
        println!(
            "ours    {} MiB down: {down:.1} s, {:.2} MiB/s",
            options.mib,
            rate(down)
        );
        safe(&fresh, &["logout"]);

        let other = Random::new(3).bytes(options.mib << 20);
        fs::write(&file, &other).unwrap();
        let (up_theirs, (map, cost, chunks)) = timed(|| self.theirs.upload(&file));
        println!(
            "theirs  {} MiB up: {up_theirs:.1} s, {:.2} MiB/s, {:.4} ANT for {chunks} records; ours to theirs {:.2}",
            options.mib,
            rate(up_theirs),
            cost as f64 / 1e18,
            up_theirs / up
        );
        // Another client, as ours was another computer.
        let manifest = self.theirs.manifest.clone();
        let again = Theirs::connect(&manifest);
        let to = self.place.path().join("large.again");
        let (down_theirs, ()) = timed(|| again.download(&map, &to));
        assert!(fs::read(&to).unwrap() == other);
        println!(
            "theirs  {} MiB down: {down_theirs:.1} s, {:.2} MiB/s; ours to theirs {:.2}",
            options.mib,
            rate(down_theirs),
            down_theirs / down
        );
    }

    /// A home of very many files.
    fn sign_in(&self, files: usize) {
        let computer = self.account("many", "many");
        let (made, ()) = timed(|| {
            for n in 0..files {
                let folder = computer.home().join(format!("{}", n / 1000));
                if n % 1000 == 0 {
                    fs::create_dir(&folder).unwrap();
                }
                fs::File::create(folder.join(n.to_string())).unwrap();
            }
            fs::write(computer.home().join("a"), b"a").unwrap();
        });
        let (took, _) = timed(|| safe(&computer, &["sync"]));
        println!(
            "ours    {files} files made in {made:.0} s, published in {took:.0} s, {}",
            Self::cost(&computer)
        );
        safe(&computer, &["logout"]);
        self.first_byte("many", &format!("{files} files"));
    }
}

/// Some file with something in it.
fn first_file(folder: &Path) -> Option<std::path::PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(folder).ok()?.flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    let is_file =
        |entry: &&fs::DirEntry| entry.metadata().is_ok_and(|m| m.is_file() && m.len() > 0);
    if let Some(file) = entries.iter().find(is_file) {
        return Some(file.path());
    }
    entries.iter().find_map(|entry| first_file(&entry.path()))
}

/// The network's own way with files.
struct Theirs {
    manifest: std::path::PathBuf,
    runtime: tokio::runtime::Runtime,
    client: Client,
}

impl Theirs {
    fn connect(path: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        let manifest: DevnetManifest = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let evm = manifest.evm.unwrap();
        let chain = EvmNetwork::new_custom(
            &evm.rpc_url,
            &evm.payment_token_address,
            &evm.payment_vault_address,
        );
        let wallet = Wallet::new_from_private_key(chain, WALLET_KEY).unwrap();
        let config = ClientConfig {
            allow_loopback: true,
            ipv6: false,
            ..ClientConfig::default()
        };
        let client = runtime.block_on(async {
            let client = Client::connect_multiaddrs(&manifest.bootstrap, config);
            let client = client.await.unwrap().with_wallet(wallet);
            client.approve_token_spend().await.unwrap();
            client
        });
        Self {
            manifest: path.to_owned(),
            runtime,
            client,
        }
    }

    /// Uploads a file; returns its data map, its cost, and how many records it is.
    fn upload(&self, file: &Path) -> (ant_core::data::DataMap, u128, usize) {
        let done = self
            .runtime
            .block_on(self.client.file_upload(file))
            .unwrap();
        let cost = done.storage_cost_atto.parse().unwrap();
        (done.data_map, cost, done.total_chunks)
    }

    fn download(&self, map: &ant_core::data::DataMap, to: &Path) {
        let download = self.client.file_download(map, to);
        self.runtime.block_on(download).unwrap();
    }
}
