//! Power loss and damage: a written log is cut, zeroed, overwritten and flipped everywhere.

use std::path::PathBuf;

use super::*;

/// A log on disk, as bytes, and how long each of its frames' ends is.
struct Log {
    dir: tempfile::TempDir,
    path: PathBuf,
    bytes: Vec<u8>,
    frames: Vec<OwnedFrame>,
    /// Where each frame ends in the file.
    ends: Vec<usize>,
}

/// A log of one segment with frames of several kinds and lengths.
fn log() -> Log {
    let dir = folder();
    let stage = begin(dir.path(), &key(), [1; 16], b"base").unwrap();
    let mut ends = Vec::new();
    for at in 0..12u8 {
        let bytes = vec![at; usize::from(at) * 13];
        let end = match at % 2 {
            0 => stage.append(Frame::Batch(&bytes)),
            _ => stage.append(data(u64::from(at), 7, &bytes)),
        };
        ends.push(segment::HEADER_LEN + end.0 as usize);
        stage.sync(end).unwrap();
    }
    drop(stage);
    let path = segment::list(dir.path()).unwrap()[0].path.clone();
    let mut bytes = fs::read(&path).unwrap();
    // Enough of the zeros that were written ahead.
    bytes.truncate(ends[11] + 50);
    let frames = {
        let copy = folder();
        fs::write(copy.path().join(path.file_name().unwrap()), &bytes).unwrap();
        frames(reopen(copy.path()).1)
    };
    assert_eq!(frames.len(), ends.len());
    Log {
        dir,
        path,
        bytes,
        frames,
        ends,
    }
}

impl Log {
    /// Puts these bytes there instead, alone, and says which frames come back.
    fn with(&self, bytes: &[u8]) -> Result<Vec<OwnedFrame>> {
        for name in segment::list(self.dir.path()).unwrap() {
            fs::remove_file(name.path).unwrap();
        }
        fs::write(&self.path, bytes).unwrap();
        let mut events = Vec::new();
        replay::replay(self.dir.path(), &key(), &mut |event| {
            events.push(event);
            Ok(())
        })?;
        Ok(frames(events))
    }

    /// How many frames are whole in the first `len` bytes.
    fn whole(&self, len: usize) -> usize {
        self.ends.iter().filter(|end| **end <= len).count()
    }
}

#[test]
fn a_log_cut_at_every_byte_gives_the_whole_frames_before() {
    let log = log();
    for cut in segment::HEADER_LEN..=log.bytes.len() {
        let expected = &log.frames[..log.whole(cut)];
        assert_eq!(
            log.with(&log.bytes[..cut]).unwrap(),
            expected,
            "cut at {cut}"
        );
        let mut zeroed = log.bytes.clone();
        zeroed[cut..].fill(0);
        let found = log.with(&zeroed).unwrap();
        // A frame's last bytes may be zeros by themselves.
        assert!(found.len() >= expected.len() && log.frames.starts_with(&found));
        assert!(
            found.len() == expected.len()
                || zeroed[..log.ends[found.len() - 1]] == log.bytes[..log.ends[found.len() - 1]]
        );
        let mut garbage = log.bytes.clone();
        for (at, byte) in garbage[cut..].iter_mut().enumerate() {
            *byte = byte.wrapping_add(1 + (at * 7 % 255) as u8);
        }
        assert_eq!(log.with(&garbage).unwrap(), expected, "garbage from {cut}");
    }
    // A header is on the disk before its name: a cut there is damage, and is said.
    for cut in 0..segment::HEADER_LEN {
        assert!(matches!(
            log.with(&log.bytes[..cut]),
            Err(Error::Damaged(_))
        ));
    }
}

#[test]
fn a_flipped_byte_gives_no_wrong_frame() {
    let log = log();
    let end = *log.ends.last().unwrap();
    for at in 0..log.bytes.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bytes = log.bytes.clone();
            bytes[at] ^= flip;
            match log.with(&bytes) {
                Ok(found) if at >= segment::HEADER_LEN => {
                    let expected = log.ends.iter().filter(|end| **end <= at).count();
                    assert_eq!(found, log.frames[..expected], "byte {at}");
                }
                Err(Error::Damaged(_)) => assert!(at < segment::HEADER_LEN),
                other => panic!("byte {at} of {end}: {other:?}"),
            }
        }
    }
}

#[test]
fn frames_cannot_be_moved_repeated_or_dropped() {
    let log = log();
    let frame = |at: usize| {
        let from = if at == 0 {
            segment::HEADER_LEN
        } else {
            log.ends[at - 1]
        };
        log.bytes[from..log.ends[at]].to_vec()
    };
    let build = |order: &[usize]| {
        let mut bytes = log.bytes[..segment::HEADER_LEN].to_vec();
        order.iter().for_each(|at| bytes.extend(frame(*at)));
        bytes
    };
    for (order, expected) in [
        (vec![0, 1, 2, 3], 4),
        (vec![0, 2, 1, 3], 1),
        (vec![0, 1, 1, 2], 2),
        (vec![0, 1, 3, 4], 2),
        (vec![1, 2, 3], 0),
    ] {
        assert_eq!(log.with(&build(&order)).unwrap(), log.frames[..expected]);
    }
}

/// Three segments of two frames each.
fn three_segments(dir: &Path) -> Vec<segment::Name> {
    let stage = begin(dir, &key(), [1; 16], &[0]).unwrap();
    for at in 0..6u8 {
        stage.append(Frame::Batch(&[at]));
        if at % 2 == 1 {
            stage.rotate(&[at]).unwrap();
        }
    }
    drop(stage);
    segment::list(dir).unwrap()
}

fn batches(numbers: std::ops::Range<u8>) -> Vec<OwnedFrame> {
    numbers.map(|at| OwnedFrame::Batch(vec![at])).collect()
}

#[test]
fn damage_in_the_middle_is_said_and_nothing_after_it_is_given() {
    // The damage to the second segment, and how many frames come back.
    type Harm = fn(&[segment::Name]);
    let harms: [(Harm, u8); 6] = [
        (|names| fs::remove_file(&names[1].path).unwrap(), 2),
        (|names| fs::write(&names[1].path, b"").unwrap(), 2),
        (
            |names| assert!(fs::copy(&names[0].path, &names[1].path).is_ok()),
            2,
        ),
        (|names| flip(&names[1].path, 100), 2),
        (|names| flip(&names[1].path, segment::HEADER_LEN + 10), 2),
        (|names| flip(&names[1].path, segment::HEADER_LEN + 30), 3),
    ];
    for (at, (harm, expected)) in harms.into_iter().enumerate() {
        let dir = folder();
        harm(&three_segments(dir.path()));
        let (stage, events) = reopen(dir.path());
        assert_eq!(frames(events), batches(0..expected), "harm {at}");
        assert!(
            stage
                .damage()
                .unwrap()
                .contains(&dir.path().display().to_string())
        );
        // It goes on from there, and skipped frames do not come back.
        stage.append(Frame::Batch(b"new"));
        stage.sync(stage.end()).unwrap();
        drop(stage);
        let (stage, events) = reopen(dir.path());
        let mut wanted = batches(0..expected);
        wanted.push(OwnedFrame::Batch(b"new".to_vec()));
        assert_eq!(frames(events), wanted, "harm {at}, opened again");
        assert_eq!(stage.damage(), None);
        stage.forget(u64::MAX).unwrap();
        drop(stage);
        // The next one is begun when something is appended.
        assert_eq!(segment::list(dir.path()).unwrap(), []);
    }
}

#[test]
fn a_segment_of_another_stage_is_not_taken() {
    let dirs = [folder(), folder()];
    let names = three_segments(dirs[0].path());
    let other = begin(dirs[1].path(), &key(), [2; 16], &[]).unwrap();
    other.append(Frame::Batch(b"x"));
    other.append(Frame::Batch(b"y"));
    other.rotate(&[]).unwrap();
    other.append(Frame::Batch(b"z"));
    other.sync(other.end()).unwrap();
    let last = &names[3];
    fs::copy(
        &segment::list(dirs[1].path()).unwrap()[1].path,
        &names[1].path,
    )
    .unwrap();
    assert!(last.path.exists());
    let (stage, events) = reopen(dirs[0].path());
    assert_eq!(frames(events), batches(0..2));
    assert!(stage.damage().is_some());
}

#[test]
fn a_lost_beginning_is_an_error() {
    let dir = folder();
    let names = three_segments(dir.path());
    flip(&names[0].path, 60);
    let opened = resume(dir.path(), &key(), &mut |_| panic!("nothing is given"));
    assert!(matches!(opened, Err(Error::Damaged(_))));
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

/// Crash after crash: every time the tail is cut somewhere, and the log goes on after it.
#[test]
fn goes_on_after_every_crash() {
    let dir = folder();
    let mut expected = Vec::new();
    drop(begin(dir.path(), &key(), [1; 16], &[]).unwrap());
    for round in 0..30usize {
        let (stage, events) = reopen(dir.path());
        assert_eq!(frames(events), expected, "round {round}");
        assert_eq!(stage.damage(), None);
        let synced = format!("synced {round}").into_bytes();
        let at = stage.append(Frame::Batch(&synced));
        stage.sync(at).unwrap();
        expected.push(OwnedFrame::Batch(synced));
        let end = stage.append(Frame::Batch(b"written, but nobody was told so"));
        stage.sync(end).unwrap();
        drop(stage);
        let path = segment::list(dir.path()).unwrap().pop().unwrap().path;
        let bytes = fs::read(&path).unwrap();
        let kept = segment::HEADER_LEN + at.0 as usize + round;
        assert!(kept < segment::HEADER_LEN + end.0 as usize);
        fs::write(&path, &bytes[..kept]).unwrap();
    }
}

/// A long batch is there as a whole or not at all.
#[test]
fn a_batch_of_several_pieces_is_never_given_in_part() {
    let dir = folder();
    let stage = begin(dir.path(), &key(), [1; 16], &[]).unwrap();
    let one = stage.append(Frame::Batch(b"one"));
    stage.append(Frame::Batch(&vec![7; 5_000_000]));
    stage.sync(stage.end()).unwrap();
    drop(stage);
    let path = segment::list(dir.path()).unwrap()[0].path.clone();
    let bytes = fs::read(&path).unwrap();
    let expected = vec![OwnedFrame::Batch(b"one".to_vec())];
    for cut in [10, 2_000_000, 2_097_152, 4_194_300, 4_900_000, 5_000_040] {
        for name in segment::list(dir.path()).unwrap() {
            fs::remove_file(name.path).unwrap();
        }
        fs::write(&path, &bytes[..segment::HEADER_LEN + one.0 as usize + cut]).unwrap();
        let (stage, events) = reopen(dir.path());
        assert_eq!(frames(events), expected, "cut after {cut}");
        stage.append(Frame::Batch(b"two"));
        stage.sync(stage.end()).unwrap();
        drop(stage);
        let again = frames(reopen(dir.path()).1);
        assert_eq!(again[1..], [OwnedFrame::Batch(b"two".to_vec())]);
    }
}
