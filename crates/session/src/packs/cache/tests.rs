//! Tests of the packs on disk.

use super::*;

const MIB: usize = 1024 * 1024;

fn chunk(seed: u64, len: usize) -> Chunk {
    let mut bytes = vec![seed as u8; len];
    let head = len.min(8);
    bytes[..head].copy_from_slice(&seed.to_le_bytes()[..head]);
    Chunk::new(bytes).unwrap()
}

fn open(dir: &Path, bytes_max: u64) -> Result<PackCache> {
    PackCache::open(dir, bytes_max, &Arc::new(Reserve::none()))
}

/// Names of all files in the folder.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for folder in fs::read_dir(dir).unwrap() {
        for file in fs::read_dir(folder.unwrap().path()).unwrap() {
            out.push(file.unwrap().path());
        }
    }
    out.sort();
    out
}

fn bytes_on_disk(dir: &Path) -> u64 {
    files(dir)
        .iter()
        .map(|file| fs::metadata(file).unwrap().len())
        .sum()
}

#[test]
fn keeps_packs_and_pins_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("packs");
    let (one, two) = (chunk(1, 1000), chunk(2, 2000));
    {
        let cache = open(&dir, u64::MAX).unwrap();
        cache.put(&one);
        cache.pin(&two, false).unwrap();
        cache.pin(&two, false).unwrap();
        assert_eq!(cache.bytes(), 3000);
    }
    let mut cache = open(&dir, u64::MAX).unwrap();
    assert_eq!(cache.get(&one.address()).unwrap(), one);
    assert_eq!(cache.pinned().unwrap(), [two.address()]);
    assert_eq!(cache.get(&two.address()).unwrap(), two);
    assert_eq!(
        cache.part(&two.address(), 0, 8).unwrap(),
        2u64.to_le_bytes()
    );
    assert_eq!(cache.part(&two.address(), 1990, 11), None);
    assert_eq!(cache.part(&two.address(), 0, u32::MAX), None);
    cache.counted();
    assert_eq!(cache.bytes(), 3000);
    cache.unpin(&two.address());
    cache.unpin(&two.address());
    assert_eq!(cache.pinned().unwrap(), []);
    assert_eq!(cache.get(&two.address()).unwrap(), two);
    assert_eq!(cache.bytes(), 3000);
}

#[test]
fn the_least_recently_used_make_room_and_pins_stay() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 5000).unwrap();
    let packs: Vec<_> = (0..6).map(|seed| chunk(seed, 1000)).collect();
    cache.pin(&packs[5], false).unwrap();
    for pack in &packs[..4] {
        cache.put(pack);
    }
    assert!(cache.get(&packs[0].address()).is_some());
    cache.put(&packs[4]);
    assert!(cache.get(&packs[1].address()).is_none());
    for at in [0, 2, 3, 4, 5] {
        assert!(cache.get(&packs[at].address()).is_some(), "{at}");
    }
    // Pins may pass the limit; everything else makes room for them.
    for seed in 10..20 {
        cache.pin(&chunk(seed, 1000), false).unwrap();
    }
    assert_eq!((cache.bytes(), bytes_on_disk(dir.path())), (11_000, 11_000));
    assert!(cache.get(&packs[0].address()).is_none());
    for seed in 10..20 {
        cache.unpin(&chunk(seed, 1000).address());
    }
    assert_eq!((cache.bytes(), bytes_on_disk(dir.path())), (5000, 5000));
    assert_eq!(cache.pinned().unwrap(), [packs[5].address()]);
    // One larger than the limit is not kept at all.
    let cache = open(&dir.path().join("none"), 0).unwrap();
    cache.put(&packs[0]);
    assert_eq!(cache.bytes(), 0);
}

#[test]
fn the_limit_holds_for_what_earlier_sessions_left() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), u64::MAX).unwrap();
    for seed in 0..100 {
        cache.put(&chunk(seed, 1000));
    }
    drop(cache);
    let mut cache = open(dir.path(), 10_000).unwrap();
    let fresh = chunk(200, 1000);
    cache.put(&fresh);
    cache.counted();
    assert_eq!((cache.bytes(), bytes_on_disk(dir.path())), (10_000, 10_000));
    assert!(cache.get(&fresh.address()).is_some());
}

#[test]
fn a_damaged_file_is_removed_and_a_damaged_pin_stays_listed() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), u64::MAX).unwrap();
    type Damage = fn(&mut Vec<u8>);
    let damage: [Damage; 5] = [
        |bytes| bytes[700] ^= 1,
        |bytes| bytes.truncate(999),
        |bytes| bytes.clear(),
        |bytes| bytes.push(0),
        |bytes| bytes.resize(MAX_CHUNK_SIZE * 3, 0),
    ];
    for (seed, damage) in damage.iter().enumerate() {
        let pack = chunk(seed as u64, 1000);
        cache.put(&pack);
        let path = cache.shared.cached_path(&pack.address());
        let mut bytes = fs::read(&path).unwrap();
        damage(&mut bytes);
        fs::write(&path, bytes).unwrap();
        assert!(cache.get(&pack.address()).is_none());
        assert!(!path.exists());
        assert_eq!(cache.bytes(), 0);
        cache.put(&pack);
        assert_eq!(cache.get(&pack.address()).unwrap(), pack);
        // Removed behind its back.
        fs::remove_file(&path).unwrap();
        assert!(cache.get(&pack.address()).is_none());
        cache.pin(&pack, false).unwrap();
        let path = cache.shared.pinned_path(&pack.address());
        fs::write(&path, b"wrong").unwrap();
        assert!(cache.get(&pack.address()).is_none());
        assert_eq!(cache.pinned().unwrap(), [pack.address()]);
        cache.pin(&pack, false).unwrap();
        assert_eq!(cache.get(&pack.address()).unwrap(), pack);
        cache.unpin(&pack.address());
        fs::remove_file(cache.shared.cached_path(&pack.address())).unwrap();
        assert!(cache.get(&pack.address()).is_none());
    }
}

#[test]
fn what_a_killed_session_was_writing_is_swept() {
    let dir = tempfile::tempdir().unwrap();
    let pack = chunk(1, 5000);
    drop(open(dir.path(), u64::MAX).unwrap());
    // Killed while writing, at every length; between renaming and anything else; with strange files.
    for len in [0, 1, 4999, 5000] {
        fs::write(
            dir.path().join("incoming").join(len.to_string()),
            &pack.bytes()[..len],
        )
        .unwrap();
    }
    fs::write(
        dir.path().join("pinned").join(pack.address().to_string()),
        pack.bytes(),
    )
    .unwrap();
    fs::write(dir.path().join("pinned").join("strange"), b"x").unwrap();
    let cache = open(dir.path(), u64::MAX).unwrap();
    assert_eq!(
        fs::read_dir(dir.path().join("incoming")).unwrap().count(),
        0
    );
    assert_eq!(cache.pinned().unwrap(), [pack.address()]);
    assert_eq!(cache.get(&pack.address()).unwrap(), pack);
}

#[test]
fn many_threads_agree() {
    let dir = tempfile::tempdir().unwrap();
    let limit = 64 * 1024;
    let mut cache = open(dir.path(), limit).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let cache = &cache;
            scope.spawn(move || {
                for round in 0..200u64 {
                    let pack = chunk((thread * 7 + round * 13) % 40, 4096);
                    let address = pack.address();
                    match (thread + round) % 5 {
                        0 | 1 => cache.put(&pack),
                        2 => {
                            cache.pin(&pack, false).unwrap();
                            cache.unpin(&address);
                        }
                        3 => {
                            let got = cache.get(&address);
                            assert!(got.is_none_or(|got| got == pack));
                        }
                        _ => {
                            let part = cache.part(&address, 100, 50);
                            assert!(part.is_none_or(|part| part == pack.bytes()[100..150]));
                        }
                    }
                }
            });
        }
    });
    cache.counted();
    assert!(cache.bytes() <= limit);
    assert!(
        bytes_on_disk(dir.path()) <= limit,
        "{}",
        bytes_on_disk(dir.path())
    );
    assert_eq!(cache.pinned().unwrap(), []);
}

#[test]
fn every_pin_of_many_threads_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), MIB as u64).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let cache = &cache;
            scope.spawn(move || {
                for seed in 0..10 {
                    cache
                        .pin(&chunk(thread * 100 + seed, 50_000), false)
                        .unwrap();
                    cache.put(&chunk(1000 + seed, 50_000));
                }
            });
        }
    });
    drop(cache);
    let cache = open(dir.path(), MIB as u64).unwrap();
    assert_eq!(cache.pinned().unwrap().len(), 40);
    for address in cache.pinned().unwrap() {
        assert!(cache.get(&address).is_some());
    }
}

#[test]
fn spans_are_kept_like_packs_and_go_when_their_pack_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let pack = chunk(1, 10_000);
    let (at, bytes) = (pack.address(), pack.bytes());
    let cache = open(dir.path(), 20_000).unwrap();
    cache.put_span(&at, 100, &bytes[100..300]);
    cache.put_span(&at, 5000, &bytes[5000..9000]);
    assert_eq!(cache.part(&at, 150, 150).unwrap(), bytes[150..300]);
    assert_eq!(cache.part(&at, 150, 151), None);
    assert_eq!(cache.part(&at, 99, 10), None);
    assert_eq!(cache.part(&at, 8999, 1).unwrap(), bytes[8999..9000]);
    assert!(cache.has_part(&at, 100, 200) && !cache.has(&at));
    assert_eq!(cache.get(&at), None);
    drop(cache);

    let mut cache = open(dir.path(), 20_000).unwrap();
    cache.counted();
    assert_eq!((cache.bytes(), bytes_on_disk(dir.path())), (4200, 4200));
    assert_eq!(cache.part(&at, 150, 150).unwrap(), bytes[150..300]);
    cache.put(&pack);
    assert_eq!((cache.bytes(), bytes_on_disk(dir.path())), (10_000, 10_000));
    assert_eq!(cache.get(&at).unwrap(), pack);

    // The least recently used make room.
    let other = chunk(2, 10_000);
    let there = other.address();
    cache.put_span(&there, 0, &other.bytes()[..6000]);
    cache.put_span(&there, 7000, &other.bytes()[7000..9000]);
    assert!(cache.part(&there, 0, 10).is_some());
    cache.put(&chunk(3, 9000));
    assert!(!cache.has(&at) && cache.has_part(&there, 7000, 10));
    cache.put(&chunk(4, 9000));
    assert!(!cache.has_part(&there, 7000, 10) && !cache.has_part(&there, 0, 10));
    assert_eq!((cache.bytes(), bytes_on_disk(dir.path())), (18_000, 18_000));
}
