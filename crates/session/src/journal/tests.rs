//! Tests of the stage: against a model, under power loss, damage, a failing disk, many threads.

pub(crate) mod failing;
mod power;
mod speed;

use proptest::prelude::*;

use super::*;

fn key() -> Key {
    Key::new([7; 32])
}

/// A folder for a test; in memory where there is one, for tests that sync thousands of times.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

fn data(ino: u64, offset: u64, bytes: &[u8]) -> Frame<'_> {
    Frame::Data { ino, offset, bytes }
}

fn begin(dir: &Path, key: &Key, id: [u8; 16], base: &[u8]) -> Result<Stage> {
    Stage::create(dir, key, id, base, &Arc::new(Reserve::none()))
}

fn resume(
    dir: &Path,
    key: &Key,
    replay: &mut dyn FnMut(Event) -> Result<()>,
) -> Result<Option<Stage>> {
    Stage::open(dir, key, &Arc::new(Reserve::none()), replay)
}

/// Opens a stage and collects what it gives out.
fn reopen(dir: &Path) -> (Stage, Vec<Event>) {
    let mut events = Vec::new();
    let stage = resume(dir, &key(), &mut |event| {
        events.push(event);
        Ok(())
    });
    (stage.unwrap().unwrap(), events)
}

fn frames(events: Vec<Event>) -> Vec<OwnedFrame> {
    events
        .into_iter()
        .filter_map(|event| match event {
            Event::Frame(frame) => Some(frame),
            Event::Segment { .. } => None,
        })
        .collect()
}

#[test]
fn what_was_synced_comes_back_in_order() {
    let dir = folder();
    let dir = dir.path().join("stage");
    let stage = begin(&dir, &key(), [1; 16], b"base").unwrap();
    stage.append(Frame::Batch(b"one"));
    let two = stage.append(data(5, 6, b"two"));
    stage.sync(two).unwrap();
    assert_eq!(stage.rotate(b"next").unwrap(), 0);
    stage.append(Frame::Batch(b"three"));
    stage.sync(stage.end()).unwrap();
    let bytes = stage.bytes();
    drop(stage);
    let (stage, events) = reopen(&dir);
    let segment = |number, base: &[u8]| Event::Segment {
        id: [1; 16],
        number,
        base: base.to_vec(),
    };
    assert_eq!(
        events,
        [
            segment(0, b"base"),
            Event::Frame(OwnedFrame::Batch(b"one".to_vec())),
            Event::Frame(OwnedFrame::Data {
                ino: 5,
                offset: 6,
                bytes: b"two".to_vec()
            }),
            segment(1, b"next"),
            Event::Frame(OwnedFrame::Batch(b"three".to_vec())),
        ]
    );
    assert_eq!(
        (stage.bytes(), stage.id(), stage.damage()),
        (bytes, [1; 16], None)
    );
    stage.append(Frame::Batch(b"four"));
    stage.sync(stage.end()).unwrap();
    stage.forget(1).unwrap();
    drop(stage);
    assert_eq!(
        frames(reopen(&dir).1),
        [OwnedFrame::Batch(b"four".to_vec())]
    );
    // A removal that was cut short is finished by the next one.
    fs::create_dir(dir.with_extension("gone")).unwrap();
    fs::write(dir.with_extension("gone").join("0"), b"x").unwrap();
    Stage::destroy(&dir).unwrap();
    Stage::destroy(&dir).unwrap();
    assert!(!dir.exists() && !dir.with_extension("gone").exists());
    assert!(resume(&dir, &key(), &mut |_| Ok(())).unwrap().is_none());
}

#[test]
fn long_frames_come_back() {
    let dir = folder();
    let dir = dir.path();
    let long: Vec<u8> = (0..5_000_000u32).map(|at| (at >> 8) as u8).collect();
    let stage = begin(dir, &key(), [1; 16], &[]).unwrap();
    stage.append(Frame::Batch(&long));
    stage.append(Frame::Batch(&[]));
    stage.append(Frame::Batch(&long[..3_000_000]));
    stage.append(data(9, u64::MAX - 10, &[]));
    stage.append(data(1, 100, &long));
    stage.sync(stage.end()).unwrap();
    drop(stage);
    let found = frames(reopen(dir).1);
    assert_eq!(
        found[..4],
        [
            OwnedFrame::Batch(long.clone()),
            OwnedFrame::Batch(Vec::new()),
            OwnedFrame::Batch(long[..3_000_000].to_vec()),
            OwnedFrame::Data {
                ino: 9,
                offset: u64::MAX - 10,
                bytes: Vec::new()
            },
        ]
    );
    let mut whole = Vec::new();
    for frame in &found[4..] {
        let OwnedFrame::Data { ino, offset, bytes } = frame else {
            panic!("not data");
        };
        assert_eq!((*ino, *offset), (1, 100 + whole.len() as u64));
        whole.extend_from_slice(bytes);
    }
    assert_eq!(whole, long);
}

#[test]
fn wrong_use_is_refused() {
    let dir = folder();
    let dir = dir.path();
    let stage = begin(dir, &key(), [1; 16], &[5; 256]).unwrap();
    assert!(matches!(stage.rotate(&[0; 257]), Err(Error::Invalid(_))));
    assert!(matches!(
        begin(dir, &key(), [1; 16], &[]),
        Err(Error::State(_))
    ));
    drop(stage);
    let other = resume(dir, &Key::new([8; 32]), &mut |_| panic!("nothing opens"));
    assert!(matches!(other, Err(Error::Damaged(_))));
    // The session's error comes back, and changes nothing.
    let refused = resume(dir, &key(), &mut |_| Err(Error::Stopped));
    assert!(matches!(refused, Err(Error::Stopped)));
    assert_eq!(fs::read_dir(dir).unwrap().count(), 1);
}

#[test]
fn nobody_else_may_look_and_nothing_is_readable() {
    use std::os::unix::fs::PermissionsExt;
    let dir = folder();
    let dir = dir.path().join("stage");
    let stage = begin(&dir, &key(), *b"identity-of-this", b"a readable base").unwrap();
    stage.append(Frame::Batch(b"a readable batch"));
    stage.sync(stage.end()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600);
        let bytes = fs::read(path).unwrap();
        for secret in ["readable", "identity"] {
            let found = bytes
                .windows(secret.len())
                .any(|at| at == secret.as_bytes());
            assert!(!found, "{secret}");
        }
    }
}

#[test]
fn bytes_are_what_is_not_forgotten() {
    let dir = folder();
    let stage = begin(dir.path(), &key(), [1; 16], &[]).unwrap();
    assert_eq!(stage.bytes(), 0);
    stage.append(Frame::Batch(&[1; 100]));
    let one = stage.bytes();
    assert_eq!(one, 4 + 1 + 100 + 16);
    stage.sync(stage.end()).unwrap();
    assert_eq!(stage.bytes(), one);
    let closed = stage.rotate(&[]).unwrap();
    stage.append(Frame::Batch(&[1; 50]));
    stage.forget(closed).unwrap();
    assert_eq!(stage.bytes(), one - 50);
    // The segment that is being written cannot be forgotten.
    stage.forget(100).unwrap();
    stage.sync(stage.end()).unwrap();
    drop(stage);
    assert_eq!(reopen(dir.path()).0.bytes(), one - 50);
}

#[test]
fn too_much_waiting_is_written_by_who_appends() {
    let dir = folder();
    let stage = begin(dir.path(), &key(), [1; 16], &[]).unwrap();
    let bytes = vec![3; 1024 * 1024];
    for at in 0..70 {
        stage.append(data(1, at, &bytes));
    }
    let durable = stage.durable.load(Ordering::Acquire);
    assert!(durable > WAITING_BYTES_MAX, "{durable}");
    assert!(stage.end().0 - durable < WAITING_BYTES_MAX);
}

#[test]
fn threads_share_the_log() {
    const THREADS: u64 = 8;
    const ROUNDS: u64 = 150;
    let dir = folder();
    let dir = dir.path();
    let stage = begin(dir, &key(), [1; 16], &[]).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let stage = &stage;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let at = stage.append(data(
                        thread,
                        round,
                        &vec![thread as u8; 10 + round as usize],
                    ));
                    assert!(at <= stage.end());
                    if (round + thread) % 7 == 0 {
                        stage.sync(at).unwrap();
                        assert!(stage.durable.load(Ordering::Acquire) >= at.0);
                    }
                    if thread == 0 && round % 50 == 49 {
                        stage.rotate(&[]).unwrap();
                    }
                }
                stage.sync(stage.end()).unwrap();
            });
        }
    });
    let bytes = stage.bytes();
    drop(stage);
    let (stage, events) = reopen(dir);
    assert_eq!(stage.bytes(), bytes);
    let mut next = [0; THREADS as usize];
    for frame in frames(events) {
        let OwnedFrame::Data { ino, offset, bytes } = frame else {
            panic!("not data");
        };
        assert_eq!(
            next[ino as usize], offset,
            "each thread's frames in its order"
        );
        assert_eq!(bytes, vec![ino as u8; 10 + offset as usize]);
        next[ino as usize] += 1;
    }
    assert_eq!(next, [ROUNDS; THREADS as usize]);
}

/// A segment in the model: number, base, frames.
type Kept = (u64, Vec<u8>, Vec<Vec<u8>>);

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Sync,
    Rotate,
    Forget,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0usize..5000).prop_map(Step::Append),
        3 => Just(Step::Sync),
        2 => Just(Step::Rotate),
        1 => Just(Step::Forget),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// After any operations, a reopened stage has exactly the frames that were synced and not forgotten (without a
    /// crash of the computer), segment by segment.
    #[test]
    fn a_stage_does_as_the_model(steps in prop::collection::vec(step(), 1..60)) {
        let dir = folder();
        let dir = dir.path();
        let mut stage = begin(dir, &key(), [1; 16], &[0]).unwrap();
        // Closed segments, the current one, and frames only in memory; per segment number, base, frames.
        let mut model: Vec<Kept> = vec![(0, vec![0], Vec::new())];
        let mut waiting: Vec<Vec<u8>> = Vec::new();
        let mut count = 0u64;
        // Whether the current one has no file yet.
        let mut begins = false;
        for step in steps.into_iter().chain([Step::Reopen]) {
            match step {
                Step::Append(len) => {
                    count += 1;
                    let mut frame = count.to_le_bytes().to_vec();
                    frame.resize(8 + len, count as u8);
                    stage.append(Frame::Batch(&frame));
                    waiting.push(frame);
                }
                Step::Sync => {
                    stage.sync(stage.end()).unwrap();
                    begins &= waiting.is_empty();
                    model.last_mut().unwrap().2.append(&mut waiting);
                }
                Step::Rotate => {
                    let number = model.last().unwrap().0;
                    prop_assert_eq!(stage.rotate(&count.to_le_bytes()).unwrap(), number);
                    if begins && waiting.is_empty() {
                        model.pop();
                    } else {
                        model.last_mut().unwrap().2.append(&mut waiting);
                    }
                    begins = false;
                    model.push((number + 1, count.to_le_bytes().to_vec(), Vec::new()));
                }
                Step::Forget => {
                    let upto = model[model.len() / 2].0;
                    stage.forget(upto).unwrap();
                    let current = model.last().unwrap().0;
                    model.retain(|(number, ..)| *number > upto || *number == current);
                }
                Step::Reopen => {
                    drop(stage);
                    waiting.clear();
                    if begins {
                        model.pop();
                    }
                    if model.is_empty() {
                        prop_assert!(resume(dir, &key(), &mut |_| Ok(())).unwrap().is_none());
                        stage = begin(dir, &key(), [1; 16], &[0]).unwrap();
                        model.push((0, vec![0], Vec::new()));
                        begins = false;
                        continue;
                    }
                    let (again, events) = reopen(dir);
                    let mut expected = Vec::new();
                    for (number, base, frames) in &model {
                        expected.push(Event::Segment { id: [1; 16], number: *number, base: base.clone() });
                        expected.extend(frames.iter().map(|frame| Event::Frame(OwnedFrame::Batch(frame.clone()))));
                    }
                    prop_assert!(events == expected);
                    prop_assert_eq!(again.damage(), None);
                    stage = again;
                    let (number, base, _) = model.last().unwrap().clone();
                    model.push((number + 1, base, Vec::new()));
                    begins = true;
                }
            }
        }
    }
}
