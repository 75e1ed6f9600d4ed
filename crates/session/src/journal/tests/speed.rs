//! Figures, printed: `cargo test -p safeos-session --lib -- --ignored --nocapture stage::tests::speed`.

use std::os::unix::fs::FileExt;

use super::*;

#[test]
#[ignore = "prints figures"]
fn replay_of_a_million_frames() {
    let dir = tempfile::tempdir().unwrap();
    let stage = begin(dir.path(), &key(), [1; 16], &[]).unwrap();
    let start = Instant::now();
    for at in 0..1_000_000u64 {
        stage.append(Frame::Batch(&[at as u8; 100]));
    }
    println!(
        "append of 1,000,000 frames of 100 bytes: {:?}",
        start.elapsed()
    );
    let start = Instant::now();
    stage.sync(stage.end()).unwrap();
    println!("sync of the rest: {:?}", start.elapsed());
    drop(stage);
    let start = Instant::now();
    let mut count = 0;
    let stage = resume(dir.path(), &key(), &mut |event| {
        count += u32::from(matches!(event, Event::Frame(_)));
        Ok(())
    });
    println!("replay: {:?}", start.elapsed());
    assert_eq!((count, stage.unwrap().is_some()), (1_000_000, true));
}

#[test]
#[ignore = "prints figures"]
fn latency_of_a_sync() {
    const ROUNDS: usize = 400;
    let dir = tempfile::tempdir().unwrap();
    let stage = begin(&dir.path().join("stage"), &key(), [1; 16], &[]).unwrap();
    let bytes = [5; 4096];
    let grown = crate::disk::create(&dir.path().join("grown")).unwrap();
    let zeroed = crate::disk::create(&dir.path().join("zeroed")).unwrap();
    zeroed.write_all_at(&vec![0; ROUNDS * 4096], 0).unwrap();
    zeroed.sync_all().unwrap();
    let bare = |file: &fs::File, round: usize| {
        file.write_all_at(&bytes, round as u64 * 4096).unwrap();
        file.sync_data().unwrap();
    };
    // In turn, so that whatever else the machine does meets all of them.
    let mut times: [Vec<Duration>; 3] = Default::default();
    for round in 0..ROUNDS {
        let start = Instant::now();
        stage.sync(stage.append(data(1, 0, &bytes))).unwrap();
        times[0].push(start.elapsed());
        let start = Instant::now();
        bare(&grown, round);
        times[1].push(start.elapsed());
        let start = Instant::now();
        bare(&zeroed, round);
        times[2].push(start.elapsed());
    }
    for (name, mut times) in ["stage", "bare, growing file", "bare, written before"]
        .into_iter()
        .zip(times)
    {
        times.sort();
        let mean = times.iter().sum::<Duration>() / ROUNDS as u32;
        println!(
            "{name}: median {:?}, mean {mean:?}, 99 % {:?}",
            times[ROUNDS / 2],
            times[ROUNDS * 99 / 100]
        );
    }
}

#[test]
#[ignore = "prints figures"]
fn throughput() {
    let dir = tempfile::tempdir().unwrap();
    let stage = begin(dir.path(), &key(), [1; 16], &[]).unwrap();
    let bytes = vec![5; 128 * 1024];
    let start = Instant::now();
    for at in 0..8192 {
        stage.append(data(1, at * 128 * 1024, &bytes));
    }
    stage.sync(stage.end()).unwrap();
    println!(
        "1 GiB of data: {:.0} MiB/s",
        1024.0 / start.elapsed().as_secs_f64()
    );
}
