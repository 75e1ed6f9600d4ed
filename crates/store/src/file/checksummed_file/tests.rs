#![allow(clippy::unwrap_used)]

use super::*;

fn fresh() -> (tempfile::NamedTempFile, ChecksummedFile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let blocks = ChecksummedFile::create(file.reopen().unwrap()).unwrap();
    (file, blocks)
}

fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len)
        .map(|at| (at as u8).wrapping_mul(31) ^ seed)
        .collect()
}

#[test]
fn lengths_are_told_from_the_file_s() {
    for blocks in (1..2000).chain([1 << 30]) {
        assert_eq!(engine_len(physical_len(blocks)), blocks * BLOCK);
        if blocks > 1 {
            // Less than whole blocks are no blocks; the checksums of a group do not count.
            assert_eq!(engine_len(physical_len(blocks) - 1), (blocks - 1) * BLOCK);
        }
    }
    assert_eq!(engine_len(GROUPS_AT - 1), 0);
    assert_eq!(engine_len(GROUPS_AT + BLOCK), BLOCK);
    // No length makes it overflow.
    assert!(engine_len(u64::MAX) < u64::MAX);
}

#[test]
fn blocks_do_not_overlap() {
    let mut places: Vec<u64> = (1..2000).map(physical).collect();
    places.extend((0..4).map(|group| GROUPS_AT + group * GROUP));
    places.sort_unstable();
    assert!(places.windows(2).all(|pair| pair[0] + BLOCK <= pair[1]));
    assert_eq!(places[0], GROUPS_AT);
}

#[test]
fn any_part_comes_back_also_after_a_reopen() {
    let (file, blocks) = fresh();
    let len = 600 * BLOCK;
    blocks.set_len(len).unwrap();
    let mut model = vec![0; len as usize];
    // All of it once, then parts that begin and end anywhere, over the border of two groups too.
    let all = pattern(model.len(), 1);
    blocks.write(0, &all).unwrap();
    model.copy_from_slice(&all);
    for (offset, len) in [
        (0, 320),
        (4000, 200),
        (BLOCK * 512, BLOCK * 3),
        (2_097_000, 9001),
    ] {
        let data = pattern(len as usize, 7);
        blocks.write(offset, &data).unwrap();
        model[offset as usize..(offset + len) as usize].copy_from_slice(&data);
    }
    blocks.sync_data().unwrap();
    for blocks in [
        blocks,
        ChecksummedFile::open(file.reopen().unwrap()).unwrap(),
    ] {
        assert_eq!(blocks.len().unwrap(), len);
        for (offset, len) in [(0, len), (1, 5000), (4095, 2), (BLOCK * 511, BLOCK * 4)] {
            let mut out = vec![0; len as usize];
            blocks.read(offset, &mut out).unwrap();
            assert!(
                out == model[offset as usize..(offset + len) as usize],
                "{offset}+{len}"
            );
        }
        assert!(blocks.read(len - 1, &mut [0; 2]).is_err());
        assert!(blocks.read(u64::MAX, &mut [0; 2]).is_err());
    }
}

#[test]
fn what_was_cut_off_is_new_when_it_grows_again() {
    let (_file, blocks) = fresh();
    blocks.set_len(20 * BLOCK).unwrap();
    blocks.write(BLOCK, &pattern(19 * 4096, 3)).unwrap();
    blocks.set_len(5 * BLOCK).unwrap();
    blocks.set_len(20 * BLOCK).unwrap();
    let mut block = [0; 4096];
    blocks.read(4 * BLOCK, &mut block).unwrap();
    assert!(blocks.read(5 * BLOCK, &mut block).is_err(), "never written");
    assert!(blocks.fault().lock().is_some());
    blocks.write(5 * BLOCK, &[9; 4096]).unwrap();
    blocks.read(5 * BLOCK, &mut block).unwrap();
    assert_eq!(block, [9; 4096]);
}

#[test]
fn a_torn_header_leaves_the_one_before() {
    let (file, blocks) = fresh();
    blocks.set_len(BLOCK).unwrap();
    for number in 1..=4 {
        blocks.write(0, &[number; 320]).unwrap();
        // Written twice before a sync: still only one of the two copies is touched.
        blocks.write(0, &[number; 320]).unwrap();
        let torn = file.reopen().unwrap();
        if number > 1 {
            let slot = blocks.state.lock().header.slot * SLOT;
            let mut before = [0; 100];
            torn.read_exact_at(&mut before, slot).unwrap();
            torn.write_all_at(&[0xee; 100], slot).unwrap();
            let header = ChecksummedFile::open(file.reopen().unwrap()).unwrap();
            let mut out = [0; 320];
            header.read(0, &mut out).unwrap();
            assert_eq!(out, [number - 1; 320]);
            torn.write_all_at(&before, slot).unwrap();
        }
        blocks.sync_data().unwrap();
    }
    file.reopen()
        .unwrap()
        .write_all_at(&[0xee; 100], 0)
        .unwrap();
    file.reopen()
        .unwrap()
        .write_all_at(&[0xee; 100], SLOT)
        .unwrap();
    assert!(ChecksummedFile::open(file.reopen().unwrap()).is_err());
}

impl ChecksummedFile {
    /// Records what is on the disk after each sync.
    pub(in crate::file) fn record(&mut self) -> Images {
        self.synced.insert(Images::default()).clone()
    }
}
