//! Several processes on one `file:` store: this test program starts itself as each of them.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{LARGE, chunk, open, owner, pointer};
use safeos_record::{Chunk, Pointer};
use safeos_store::{Error, Store};

const ROLE: &str = "SAFEOS_STORE_TEST_ROLE";
const FOLDER: &str = "SAFEOS_STORE_TEST_FOLDER";
const NUMBER: &str = "SAFEOS_STORE_TEST_NUMBER";

fn child(role: &str, folder: &Path, number: u64) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "in_a_process_of_its_own", "--nocapture"])
        .env(ROLE, role)
        .env(FOLDER, folder)
        .env(NUMBER, number.to_string());
    command
}

/// Not a test by itself: the work of the processes that the tests start.
#[test]
fn in_a_process_of_its_own() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let folder = std::env::var_os(FOLDER).unwrap();
    let number = std::env::var(NUMBER).unwrap().parse().unwrap();
    let store = open(Path::new(&folder));
    match role.as_str() {
        "count" => count(&store, number),
        "put" => put_for_ever(&store, number),
        "fill" => fill(&store, number),
        "hold" => hold(&store),
        other => panic!("{other}"),
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{line}").unwrap();
    out.flush().unwrap();
}

/// Moves the pointer so many times.
fn count(store: &dyn Store, times: u64) {
    let address = owner(1).address();
    let mut wins = 0;
    while wins < times {
        let there = store.get_pointer(&address).unwrap();
        let counter = there.as_ref().map(Pointer::counter);
        match store.set_pointer(&pointer(1, counter.map_or(0, |at| at + 1)), counter) {
            Ok(()) => wins += 1,
            Err(Error::Conflict { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn processes_that_count_with_one_pointer_lose_no_step() {
    let folder = tempfile::tempdir().unwrap();
    let (processes, each) = (4, 25);
    let children: Vec<_> = (0..processes)
        .map(|_| child("count", folder.path(), each).spawn().unwrap())
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let last = open(folder.path())
        .get_pointer(&owner(1).address())
        .unwrap();
    assert_eq!(last.unwrap().counter(), processes * each - 1);
}

/// The chunks of one `put` of [`put_for_ever`].
fn batch(round: u64, step: u64) -> Vec<Chunk> {
    let seed = (round << 32) + (step << 8);
    let lengths = [100, 5000, LARGE, 40_000, 200_000];
    (0..=(step % 5))
        .map(|at| chunk(seed + at, lengths[((step + at) % 5) as usize]))
        .collect()
}

fn put_for_ever(store: &dyn Store, round: u64) {
    for step in 0.. {
        store.put_chunks(&batch(round, step)).unwrap();
        say(&format!("chunks {step}"));
        if step % 3 == 0 {
            let expected = step.checked_sub(3);
            store
                .set_pointer(&pointer(round as u8, step), expected)
                .unwrap();
            say(&format!("pointer {step}"));
        }
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut steps_seen = 0;
    for round in 1..=25 {
        let mut writer = child("put", folder.path(), round)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let until = Instant::now() + Duration::from_millis(20 + 7 * round);
        let (mut chunks, mut moved) = (None, None);
        for line in lines {
            // After the kill the rest of the pipe is read too: all of it was acknowledged.
            let line = line.unwrap();
            let number = |word: &str| line.strip_prefix(word).and_then(|rest| rest.parse().ok());
            chunks = number("chunks ").or(chunks);
            moved = number("pointer ").or(moved);
            if Instant::now() >= until {
                let _ = writer.kill();
            }
        }
        assert!(!writer.wait().unwrap().success(), "it was to be killed");

        let store = open(folder.path());
        if let Some(last) = chunks {
            for step in 0..=last {
                let put = batch(round, step);
                let addresses: Vec<_> = put.iter().map(Chunk::address).collect();
                for (fetched, put) in store.get_chunks(&addresses).into_iter().zip(&put) {
                    assert_eq!(&fetched.unwrap(), put, "round {round} step {step}");
                }
            }
            steps_seen += last;
        }
        let there = store.get_pointer(&owner(round as u8).address()).unwrap();
        assert!(
            there.map(|pointer| pointer.counter()) >= moved,
            "round {round}"
        );
    }
    assert!(
        steps_seen > 50,
        "only {steps_seen} steps: nothing was tested"
    );
    // The sums kept beside the records are still those of the records.
    let store = open(folder.path());
    let all = store.list(None, usize::MAX).unwrap();
    let stats = store.stats().unwrap();
    assert_eq!(stats.chunks + stats.pointers, all.len() as u64);
    assert_eq!(stats.bytes, all.iter().map(|entry| entry.len).sum::<u64>());
}

fn fill(store: &dyn Store, len: u64) {
    let mut stored = Vec::new();
    let refused = (0..10_000).find_map(|seed| {
        let chunk = chunk(seed, len as usize);
        let outcome = store.put_chunks(std::slice::from_ref(&chunk));
        if outcome.is_ok() {
            stored.push(chunk);
        }
        outcome.err()
    });
    let error = refused.unwrap();
    assert!(matches!(error, Error::Full { .. }), "{error:?}");
    for chunk in &stored {
        assert_eq!(&store.get_chunk(&chunk.address()).unwrap(), chunk);
    }
    say(&format!("full after {}", stored.len()));
}

#[test]
fn a_full_disk_is_an_error_of_its_own_and_spoils_nothing() {
    // A limit on the length of files stands for the disk: half a chunk, and some records.
    for (len, blocks) in [(4_u64 << 20, 4 << 10), (50_000, 16 << 10)] {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path()));
        let command = child("fill", folder.path(), len);
        let output = Command::new("sh")
            .args(["-c", "trap '' XFSZ; ulimit -f $0; exec \"$@\""])
            .arg(blocks.to_string())
            .arg(command.get_program())
            .args(command.get_args())
            .envs(
                command
                    .get_envs()
                    .filter_map(|(key, value)| Some((key, value?))),
            )
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("full after"), "{said}");
        let left = std::fs::read_dir(folder.path().join("incoming")).unwrap();
        assert_eq!(left.count(), 0, "the unfinished file is removed");
        // And when there is room again, it goes on.
        let store = open(folder.path());
        store.put_chunks(&[chunk(1 << 40, len as usize)]).unwrap();
    }
}

/// Uses the engine without a pause.
fn hold(store: &dyn Store) {
    for seed in 0.. {
        store.put_chunks(&[chunk(seed, 10)]).unwrap();
        if seed == 0 {
            say("busy");
        }
    }
}

#[test]
fn a_busy_process_lets_another_one_in() {
    let folder = tempfile::tempdir().unwrap();
    let mut busy = child("hold", folder.path(), 0)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    BufReader::new(busy.stdout.take().unwrap())
        .lines()
        .find(|line| line.as_ref().unwrap() == "busy");
    let store = open(folder.path());
    for counter in 0..20_u64 {
        let expected = counter.checked_sub(1);
        store.set_pointer(&pointer(1, counter), expected).unwrap();
    }
    assert!(
        busy.try_wait().unwrap().is_none(),
        "it was busy all the time"
    );
    busy.kill().unwrap();
    busy.wait().unwrap();
}

#[test]
fn an_idle_store_holds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.put_chunks(&[chunk(1, 10)]).unwrap();
    let lock = std::fs::File::open(folder.path().join("lease.lock")).unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while lock.try_lock().is_err() {
        assert!(Instant::now() < until, "the lease is still held");
        std::thread::sleep(Duration::from_millis(5));
    }
}
