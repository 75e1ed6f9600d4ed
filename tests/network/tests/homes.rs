//! Homes on a local network of ten real nodes, in one run from the first sign-up to the network's second start.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use safeos_cli_tests::{Running, error, eventually};
use safeos_devnet::{Devnet, WALLET_KEY};
use safeos_network_tests::{Chain, NODES, alone, key_file, start, url};
use safeos_record::{Chunk, OwnerKey, Pointer, Target};
use safeos_store::{Error, Store, Wallet};
use safeos_store_autonomi::{AutonomiStore, WALLET_KEY_FILE};
use safeos_suite_tests::run::say;
use safeos_suite_tests::tree::{Entry, assert_same, list, make};
use safeos_suite_tests::{Computer, Finished, Random, TestDir, run_for};

/// The whole of a publish, on a computer that is busy with other tests.
const LIMIT: Duration = Duration::from_secs(300);

/// One network for all of it: it takes a quarter of a minute to start.
#[test]
fn homes_live_on_a_network_of_real_nodes() {
    alone();
    let place = TestDir::new();
    let began = Instant::now();
    let network = start(&place.folder("network"), NODES);
    say(&format!("the network: ready in {:?}", began.elapsed()));
    let mut world = World {
        key: key_file(place.path(), "key", WALLET_KEY),
        url: url(&network.manifest()),
        chain: Chain::of(&network.manifest()),
        network: Some(network),
        place,
    };
    let step = |what: &str, began: Instant| say(&format!("{what}: {:?}", began.elapsed()));
    type Step = fn(&mut World);
    let steps: [(&str, Step); 7] = [
        ("records", records),
        ("two computers", two_computers),
        ("nodes die", nodes_die),
        ("nothing is paid twice", nothing_is_paid_twice),
        ("a wallet runs dry", a_wallet_runs_dry),
        ("other stores", other_stores),
        ("heads elsewhere", heads_elsewhere),
    ];
    for (what, work) in steps {
        let began = Instant::now();
        work(&mut world);
        step(what, began);
    }
    let began = Instant::now();
    a_second_start(world);
    step("a second start", began);
}

struct World {
    // Before the place: it ends before its folder goes.
    network: Option<Devnet>,
    place: TestDir,
    url: String,
    key: PathBuf,
    chain: Chain,
}

impl World {
    fn computer(&self, label: &str) -> Computer {
        Computer::with_url(&self.place, label, &self.url)
    }

    fn store(&self, label: &str) -> AutonomiStore {
        let manifest = self.network.as_ref().unwrap().manifest();
        let state = self.place.folder(&format!("{label}.state"));
        AutonomiStore::open(&self.url, Some(&manifest), &state).unwrap()
    }

    /// An account of this name, whose wallet is the one of `key`.
    fn sign_up(&self, computer: &Computer, name: &str, key: &Path) -> Finished {
        run_for(
            computer
                .command()
                .env(WALLET_KEY_FILE, key)
                .args(["signup", name, "--small-memory"]),
            LIMIT,
        )
    }

    fn login(&self, computer: &Computer, name: &str) {
        safe(computer, &["login", name]).ok();
    }
}

fn safe(computer: &Computer, arguments: &[&str]) -> Finished {
    let done = run_for(computer.command().args(arguments), LIMIT);
    assert!(!done.stderr.contains("panicked at"), "{}", done.stderr);
    done
}

/// The store by itself: chunks, and pointers that two want to move.
fn records(world: &mut World) {
    let store = world.store("store");
    let some: Vec<Chunk> = (0..3_u8)
        .map(|n| Chunk::new(vec![n; 1000 + usize::from(n)]).unwrap())
        .collect();
    // Without a wallet nothing is stored, and that is said.
    assert!(matches!(store.put_chunks(&some), Err(Error::Unpaid { .. })));
    let address = store.fund(WALLET_KEY).unwrap();
    assert!(address.starts_with("0x"), "{address}");
    assert!(store.balance().unwrap().tokens.0 > 0);
    let cost = store.estimate(3).unwrap();
    assert!(cost.tokens.0 > 0 && cost.gas.0 > 0, "{cost}");

    let before = world.chain.payments();
    store.put_chunks(&some).unwrap();
    assert_eq!(world.chain.payments() - before, 3);
    let spent = store.spent();
    assert_eq!((spent.records, spent.payments), (3, 1));
    assert!(spent.money.tokens <= cost.tokens, "{spent:?} {cost}");
    // About: existing records are not paid for again.
    store.put_chunks(&some).unwrap();
    assert_eq!(world.chain.payments() - before, 3);

    let missing = Chunk::new(vec![9; 9]).unwrap().address();
    let mut wanted: Vec<_> = some.iter().map(Chunk::address).collect();
    wanted.push(missing);
    let other = world.store("other store");
    let found = other.get_chunks(&wanted);
    for (chunk, found) in some.iter().zip(&found) {
        assert_eq!(found.as_ref().unwrap(), chunk);
    }
    assert!(matches!(found[3], Err(Error::Missing { .. })));
    assert_eq!(
        other.has_chunks(&wanted).unwrap(),
        [true, true, true, false]
    );

    other.fund(WALLET_KEY).unwrap();
    let owner = OwnerKey::from_seed(&[7; 32]);
    let to = |n: usize, counter| {
        Pointer::sign(&owner, counter, Target::Chunk(some[n].address())).unwrap()
    };
    assert_eq!(store.get_pointer(&owner.address()).unwrap(), None);
    store.set_pointer(&to(0, 1), None).unwrap();
    let read = other.get_pointer(&owner.address()).unwrap().unwrap();
    assert_eq!((read.counter(), read.target()), (1, to(0, 1).target()));
    for (pointer, expected) in [
        (to(1, 2), None),
        (to(1, 2), Some(3)),
        (to(0, 1), Some(1)),
        (to(0, 0), Some(1)),
    ] {
        let before = world.chain.payments();
        assert!(matches!(
            other.set_pointer(&pointer, expected),
            Err(Error::Conflict {
                current: Some(1),
                ..
            })
        ));
        assert_eq!(world.chain.payments(), before, "a conflict was paid for");
    }
    // Two at once, with wallets that do not know of each other: one of them has won, and the other one is told.
    let results = std::thread::scope(|scope| {
        let one = scope.spawn(|| store.set_pointer(&to(1, 2), Some(1)));
        let two = scope.spawn(|| other.set_pointer(&to(2, 2), Some(1)));
        [one.join().unwrap(), two.join().unwrap()]
    });
    let won = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(won, 1, "one wins: {results:?}");
    for result in &results {
        if let Err(error) = result {
            assert!(error.retry(), "{error}");
        }
    }
    let now = store.get_pointer(&owner.address()).unwrap().unwrap();
    for (result, pointer) in results.iter().zip([to(1, 2), to(2, 2)]) {
        if result.is_ok() {
            assert_eq!(now.target(), pointer.target(), "the winner's is not there");
        }
    }
    // No more than was agreed to.
    store.set_limit(Some("0.000001".parse().unwrap()));
    let dear = Chunk::new(vec![11; 5000]).unwrap();
    let before = world.chain.payments();
    assert!(matches!(
        store.put_chunks(std::slice::from_ref(&dear)),
        Err(Error::Dear { .. })
    ));
    assert_eq!(world.chain.payments(), before);
    store.set_limit(None);
    store.put_chunks(&[dear]).unwrap();
}

/// Signs up, writes a tree, publishes; a second computer sees the same.
fn two_computers(world: &mut World) {
    let first = world.computer("first");
    let done = world.sign_up(&first, "ana", &world.key).ok();
    assert!(
        done.stderr.contains("signing up stores 2 records"),
        "{done:?}"
    );
    world.login(&first, "ana");
    make(&first.home().join("tree"), 300, 1);
    let written = list(&first.home());
    let synced = first.json(&["sync"]);
    say(&format!("published: {synced}"));
    assert!(synced["records"].as_u64().unwrap() < 12, "{synced}");
    let cost = first.json(&["status"])["cost"].as_str().unwrap().to_owned();
    assert!(cost.contains("ANT"), "{cost}");
    safe(&first, &["logout"]).ok();
    read_elsewhere(world, "second", "ana", &written);
}

/// Another computer signs in and reads everything.
fn read_elsewhere(world: &World, label: &str, name: &str, written: &BTreeMap<PathBuf, Entry>) {
    let computer = world.computer(label);
    world.login(&computer, name);
    assert_same(written, &list(&computer.home()));
    safe(&computer, &["logout"]).ok();
}

/// Nodes die while a home is published, and while it is read.
fn nodes_die(world: &mut World) {
    let first = world.computer("dying");
    world.login(&first, "ana");
    let mut random = Random::new(3);
    for n in 0..4 {
        let path = first.home().join(format!("big{n}"));
        std::fs::write(path, random.bytes(5 << 20)).unwrap();
    }
    let written = list(&first.home());
    let before = world.chain.payments();
    let network = world.network.as_mut().unwrap();
    std::thread::scope(|scope| {
        let sync = scope.spawn(|| safe(&first, &["sync"]).ok());
        eventually("something is paid", || world.chain.payments() > before);
        network.kill_node(NODES - 1);
        sync.join().unwrap();
    });
    safe(&first, &["logout"]).ok();

    let second = world.computer("reading");
    world.login(&second, "ana");
    let network = world.network.as_mut().unwrap();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| list(&second.home()));
        network.kill_node(NODES - 2);
        assert_same(&written, &reader.join().unwrap());
    });
    safe(&second, &["logout"]).ok();
    let network = world.network.as_mut().unwrap();
    for node in [NODES - 1, NODES - 2] {
        network.start_node(node).unwrap();
    }
}

/// A publish that is killed, before it has paid and after, pays for no record twice.
fn nothing_is_paid_twice(world: &mut World) {
    let publish = |label: &str, name: &str, kills: bool| {
        let computer = world.computer(label);
        world.sign_up(&computer, name, &world.key).ok();
        world.login(&computer, name);
        let mut random = Random::new(5);
        for n in 0..3 {
            let path = computer.home().join(format!("{name}{n}"));
            std::fs::write(path, random.bytes(5 << 20)).unwrap();
        }
        let written = list(&computer.home());
        let before = world.chain.payments();
        if kills {
            let journal = computer.state.join("payments");
            // As soon as it is written down what will be paid; and as soon as it is paid.
            let moments: [&dyn Fn() -> bool; 2] = [&|| has_journal(&journal), &|| {
                world.chain.payments() > before
            }];
            for moment in moments {
                std::thread::scope(|scope| {
                    let sync = scope.spawn(|| safe(&computer, &["sync"]));
                    eventually("it is being published", moment);
                    computer.kill();
                    let done = sync.join().unwrap();
                    assert!(
                        !done.status.success(),
                        "it was faster than the kill: {done:?}"
                    );
                });
                safe(&computer, &["logout"]);
                world.login(&computer, name);
                assert_same(&written, &list(&computer.home()));
            }
        }
        safe(&computer, &["sync"]).ok();
        safe(&computer, &["logout"]).ok();
        let paid = world.chain.payments() - before;
        assert!(!has_journal(&computer.state.join("payments")), "left over");
        read_elsewhere(world, &format!("{label} after"), name, &written);
        paid
    };
    let (straight, killed) = (
        publish("straight", "bea", false),
        publish("killed", "cem", true),
    );
    say(&format!(
        "paid for {straight} records; with two kills for {killed}"
    ));
    // The newest head may be another one after a kill; its pointer has then not moved yet.
    assert!(
        killed <= straight + 1,
        "paid {killed} times, not {straight}"
    );
}

fn has_journal(folder: &Path) -> bool {
    let networks = std::fs::read_dir(folder).into_iter().flatten().flatten();
    networks
        .flat_map(|network| {
            std::fs::read_dir(network.path())
                .into_iter()
                .flatten()
                .flatten()
        })
        .any(|file| file.path().extension().is_some_and(|e| e == "chunks"))
}

/// A wallet that has too little: nothing is lost, it is said, and it goes on when there is more.
fn a_wallet_runs_dry(world: &mut World) {
    const ANT: u128 = 1_000_000_000_000_000_000;
    let key = "0x8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba";
    let store = world.store("dry store");
    let owner = store.fund(WALLET_KEY).unwrap();
    let wallet = store.fund(key).unwrap();
    let computer = world.computer("dry");
    let key = key_file(world.place.path(), "dry key", key);
    let refused = run_for(
        computer.command().env(WALLET_KEY_FILE, &key).args([
            "--json",
            "signup",
            "dana",
            "--small-memory",
        ]),
        LIMIT,
    )
    .code(1);
    let last = refused.stderr.lines().last().unwrap_or_default();
    assert!(last.contains("wallet_empty"), "{}", refused.stderr);

    world.chain.give_gas(&wallet);
    let each = store.estimate(1).unwrap().tokens.0;
    world.chain.give_tokens(&owner, &wallet, each * 3);
    world.sign_up(&computer, "dana", &key).ok();
    world.login(&computer, "dana");
    let bytes = Random::new(6).bytes(12 << 20);
    std::fs::write(computer.home().join("big"), &bytes).unwrap();
    let failed = safe(&computer, &["--json", "sync"]).code(1);
    assert_eq!(error(&failed)["code"], "wallet_empty", "{failed:?}");
    let status = computer.json(&["status"]);
    let problems = status["problems"].to_string();
    assert!(problems.contains("wallet has too little"), "{status}");
    assert!(
        status["unpublished_bytes"].as_u64().unwrap() > 12 << 20,
        "{status}"
    );

    world.chain.give_tokens(&owner, &wallet, ANT);
    safe(&computer, &["sync"]).ok();
    let status = computer.json(&["status"]);
    assert_eq!(status["unpublished_bytes"], 0, "{status}");
    assert!(
        !status["problems"].to_string().contains("wallet"),
        "{status}"
    );
    let written = list(&computer.home());
    safe(&computer, &["logout"]).ok();
    read_elsewhere(world, "dry after", "dana", &written);
}

/// A gateway in front of the network, and copies from it and to it.
fn other_stores(world: &mut World) {
    let server = world.computer("server");
    let secrets = world.place.folder("tokens");
    let (tokens, token) = (secrets.join("all"), secrets.join("one"));
    std::fs::write(&tokens, "write a-token-of-this-test\n").unwrap();
    std::fs::write(&token, "a-token-of-this-test\n").unwrap();
    let serve = |more: &[&std::ffi::OsStr]| {
        let mut command = server.command();
        command
            .env(WALLET_KEY_FILE, &world.key)
            .args(["--json", "store", "serve", "--listen", "127.0.0.1:0"])
            .args(more);
        command
    };
    // Every client could spend the wallet's money.
    let open = run_for(&mut serve(&[]), LIMIT).code(1);
    assert!(open.stderr.contains("--token-file"), "{open:?}");
    let mut serving = Running::start(&mut serve(&["--token-file".as_ref(), tokens.as_ref()]));
    serving.until("\"ready\"");
    let ready: serde_json::Value = serde_json::from_str(serving.seen().trim()).unwrap();
    let gateway = ready["url"].as_str().unwrap().to_owned();
    let far = Computer::with_url(&world.place, "far", &gateway);
    let safe_far = |arguments: &[&str]| {
        let mut command = far.command();
        run_for(
            command.env("SAFE_TOKEN_FILE", &token).args(arguments),
            LIMIT,
        )
        .ok()
    };
    safe_far(&["login", "ana"]);
    std::fs::write(far.home().join("by the gateway"), b"hello").unwrap();
    let written = list(&far.home());
    safe_far(&["logout"]);
    serving.signal(libc::SIGTERM);
    serving.end();
    read_elsewhere(world, "near", "ana", &written);

    let copies = world.computer("copies");
    let folder = format!("file://{}", world.place.folder("copy").display());
    safe(
        &copies,
        &["store", "copy", &world.url, &folder, "--account", "ana"],
    )
    .ok();
    let near = Computer::with_url(&world.place, "of the copy", &folder);
    world.login(&near, "ana");
    assert_same(&written, &list(&near.home()));
    safe(&near, &["logout"]).ok();
    // Back again nothing is to be paid: all of it is there.
    let before = world.chain.payments();
    let back = ["store", "copy", &folder, &world.url, "--account", "ana"];
    safe(&copies, &back).ok();
    assert_eq!(world.chain.payments(), before);
    // An account that was made elsewhere, and has no wallet.
    let elsewhere = format!("file://{}", world.place.folder("elsewhere").display());
    let moving = Computer::with_url(&world.place, "moving", &elsewhere);
    safe(&moving, &["signup", "fay", "--small-memory"]).ok();
    world.login(&moving, "fay");
    std::fs::write(moving.home().join("moved"), b"moved").unwrap();
    let moved = list(&moving.home());
    safe(&moving, &["logout"]).ok();
    let forth = ["store", "copy", &elsewhere, &world.url, "--account", "fay"];
    let failed = safe(&copies, &[&["--json"], &forth[..]].concat()).code(1);
    assert_eq!(error(&failed)["code"], "wallet_empty", "{failed:?}");
    let mut command = copies.command();
    command.env(WALLET_KEY_FILE, &world.key).args(forth);
    run_for(&mut command, LIMIT).ok();
    read_elsewhere(world, "moved to", "fay", &moved);

    let check = ["store", "check", "--account", "ana"];
    safe(&copies, &check).ok();
}

/// Chunks on the network, pointers in a folder; and a sign-out that leaves publishing for later.
fn heads_elsewhere(world: &mut World) {
    let heads = world.place.folder("heads");
    let url = format!("{}?head=file://{}", world.url, heads.display());
    let computer = Computer::with_url(&world.place, "heads first", &url);
    let done = world.sign_up(&computer, "eva", &world.key).ok();
    assert!(done.stderr.contains("stores 1 record for"), "{done:?}");
    world.login(&computer, "eva");
    std::fs::write(computer.home().join("later"), b"later").unwrap();
    let written = list(&computer.home());
    let before = world.chain.payments();
    safe(&computer, &["logout", "--later"]).ok();
    assert_eq!(world.chain.payments(), before, "it was published");
    world.login(&computer, "eva");
    assert_same(&written, &list(&computer.home()));
    // Too dear, and agreed to.
    safe(&computer, &["--json", "sync", "--spend", "0.000001"]).code(1);
    safe(&computer, &["sync", "--spend", "1"]).ok();
    safe(&computer, &["logout"]).ok();
    let other = Computer::with_url(&world.place, "heads second", &url);
    world.login(&other, "eva");
    assert_same(&written, &list(&other.home()));
    safe(&other, &["logout"]).ok();
}

/// The network is stopped and started again on its folder, by the command this time.
fn a_second_start(mut world: World) {
    let first = world.computer("before");
    world.login(&first, "ana");
    let written = list(&first.home());
    safe(&first, &["logout"]).ok();
    world.network.take().unwrap().stop();

    let gone = world.computer("gone");
    let failed = safe(&gone, &["--json", "login", "ana"]).code(1);
    assert_eq!(error(&failed)["code"], "store_unreachable", "{failed:?}");

    let folder = world.place.folder("network");
    let options = safeos_network_tests::options(&folder, NODES);
    let mut command: Command = gone.command();
    command
        .env("SAFE_NODE", options.node)
        .env("SAFE_ANVIL", options.anvil)
        .args(["--json", "devnet", "--dir"])
        .arg(&folder)
        .args(["--nodes", &NODES.to_string()]);
    let mut devnet = Running::start(&mut command);
    devnet.until("\"ready\"");
    let ready: serde_json::Value =
        serde_json::from_str(devnet.seen().lines().last().unwrap()).unwrap();
    assert_eq!(ready["store"].as_str(), Some(world.url.as_str()));
    read_elsewhere(&world, "after", "ana", &written);
    // And it still takes something.
    let last = world.computer("last");
    world.login(&last, "ana");
    std::fs::write(last.home().join("last"), b"last").unwrap();
    safe(&last, &["logout"]).ok();
    devnet.signal(libc::SIGINT);
    let (code, _) = devnet.end();
    assert_eq!(code, Some(0));
    let left = processes_in(&folder);
    assert!(left.is_empty(), "still there: {left:?}");
}

/// Processes whose command line names the folder.
fn processes_in(folder: &Path) -> Vec<String> {
    let name = folder.to_str().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(name))
        .collect()
}
