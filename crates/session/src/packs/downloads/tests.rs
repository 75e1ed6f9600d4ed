use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use super::part_budget::{NEAR_OBJECTS, PARTS_MAX};
use super::queue::QUIET;
use super::*;

const PACK: Address = Address([7; 32]);

fn piece() -> Piece {
    Piece::new(0, vec![7; 1000].into())
}

fn get(downloads: &Downloads, fetch: impl Fn() -> Result<Piece, Error>) -> Piece {
    let piece = downloads.get(&PACK, Extent::Whole, |_| fetch());
    piece.unwrap()
}

fn ahead(pack: Address, extent: Extent, wanted: Range<u32>) -> Prefetch {
    Prefetch::new(pack, extent, wanted)
}

fn waited_for(downloads: &Downloads) -> usize {
    lock(&downloads.state).queue.waited_for()
}

fn next(downloads: &Downloads) -> Option<Address> {
    downloads.next().map(|job| *job.prefetch.pack())
}

#[test]
fn a_pack_comes_once_whoever_asks() {
    let downloads = Downloads::default();
    let fetched = AtomicUsize::new(0);
    let (go, gone) = mpsc::channel();
    let gone = Mutex::new(gone);
    std::thread::scope(|scope| {
        let get = || {
            get(&downloads, || {
                fetched.fetch_add(1, Ordering::SeqCst);
                lock(&gone).recv().unwrap();
                Ok(piece())
            })
        };
        let readers: Vec<_> = (0..4).map(|_| scope.spawn(get)).collect();
        while waited_for(&downloads) < 4 {
            std::thread::yield_now();
        }
        go.send(()).unwrap();
        // One that asked late may have begun anew.
        drop(go);
        for reader in readers {
            assert_eq!(reader.join().unwrap(), piece());
        }
    });
    assert_eq!(fetched.load(Ordering::SeqCst), 1);
    assert_eq!(lock(&downloads.state).under_way.len(), 0);
}

#[test]
fn a_download_that_was_left_is_begun_anew_by_who_waits() {
    let downloads = Downloads::default();
    downloads.prefetch(ahead(PACK, Extent::Whole, 0..0));
    let (begun, has_begun) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let downloads = &downloads;
        scope.spawn(move || {
            downloads.next().unwrap().run(|_, _| {
                begun.send(()).unwrap();
                gone.recv().unwrap();
                Err(given_up())
            });
        });
        has_begun.recv().unwrap();
        let reader = scope.spawn(move || get(downloads, || Ok(piece())));
        while waited_for(downloads) == 0 {
            std::thread::yield_now();
        }
        go.send(()).unwrap();
        assert_eq!(reader.join().unwrap(), piece());
    });
}

#[test]
fn little_of_a_pack_is_fetched_apart() {
    let downloads = Downloads::default();
    let apart = |len| {
        let fetched = downloads.get_part(&PACK, 0..len, |_| Ok(piece()));
        fetched.is_some()
    };
    assert!(apart(PART_BYTES_MAX / 2));
    assert!(apart(PART_BYTES_MAX / 2));
    assert!(!apart(1));
    assert!(!apart(u32::MAX));
    // It came, and went again.
    get(&downloads, || Ok(piece()));
    assert!(apart(PART_BYTES_MAX));
    assert_eq!(waited_for(&downloads), 0);
    let other = Address([2; 32]);
    let one = || downloads.get_part(&other, 0..1, |_| Ok(piece())).is_some();
    assert!((0..PARTS_MAX).all(|_| one()));
    assert!(!one());
}

#[test]
fn who_reads_in_order_waits_for_what_is_coming_and_nobody_else_does() {
    let downloads = Downloads::default();
    downloads.prefetch(ahead(PACK, Extent::Span(100, 200), 100..200));
    downloads.prefetch(ahead(PACK, Extent::Span(150, 300), 150..300));
    assert!(downloads.is_ahead(&PACK));
    let never = |_| -> Result<Piece, Error> { panic!("it is not asked for") };
    assert!(downloads.get_coming(&PACK, &(0..10), never).is_none());
    assert!(downloads.get_coming(&PACK, &(290..301), never).is_none());
    // A reader that comes before its turn fetches the extent that was queued.
    let fetch = |extent| {
        assert_eq!(extent, Extent::Span(100, 300));
        // An extent under way is not queued again.
        downloads.prefetch(ahead(PACK, Extent::Span(150, 250), 150..250));
        downloads.prefetch(ahead(PACK, Extent::Span(250, 400), 250..400));
        Ok(piece())
    };
    assert!(downloads.get_coming(&PACK, &(290..300), fetch).is_some());
    let next = downloads.next().unwrap().prefetch.clone();
    assert_eq!(next, ahead(PACK, Extent::Span(300, 400), 300..400));
    assert!(!downloads.is_ahead(&PACK));
}

#[test]
fn who_wants_little_does_not_wait_for_the_pack() {
    let downloads = Downloads::default();
    let apart = AtomicUsize::new(0);
    get(&downloads, || {
        let fetched = downloads.get_part(&PACK, 0..1, |_| {
            apart.fetch_add(1, Ordering::SeqCst);
            Ok(piece())
        });
        fetched.unwrap()
    });
    assert_eq!(apart.load(Ordering::SeqCst), 1);
}

#[test]
fn what_a_reader_comes_to_goes_before_what_follows_behind() {
    let downloads = Downloads::default();
    let (one, two, three) = (Address([1; 32]), Address([2; 32]), Address([3; 32]));
    let apart = |pack| {
        let fetched = downloads.get_part(&pack, 0..1, |_| Ok(piece()));
        fetched.unwrap().unwrap();
    };
    for pack in [one, two] {
        (0..NEAR_OBJECTS).for_each(|_| apart(pack));
        downloads.prefetch_behind(pack);
    }
    downloads.prefetch(ahead(three, Extent::Whole, 0..0));
    downloads.prefetch(ahead(two, Extent::Whole, 0..0));
    assert_eq!(next(&downloads), Some(three));
    assert_eq!(next(&downloads), Some(two));
    let waiting = downloads.wait();
    std::thread::scope(|scope| {
        let behind = scope.spawn(|| next(&downloads));
        std::thread::sleep(Duration::from_millis(20));
        assert!(!behind.is_finished(), "somebody waits for the line");
        drop(waiting);
        assert_eq!(behind.join().unwrap(), Some(one));
    });
    downloads.end();
    assert!(downloads.next().is_none());
}

#[test]
fn a_pack_of_which_little_was_read_comes_when_the_line_is_quiet() {
    let downloads = Downloads::default();
    let (little, other) = (Address([1; 32]), Address([2; 32]));
    let apart = |pack| {
        let fetched = downloads.get_part(&pack, 0..1, |_| Ok(piece()));
        fetched.unwrap().unwrap();
    };
    apart(little);
    downloads.prefetch_behind(little);
    downloads.prefetch(ahead(other, Extent::Whole, 0..0));
    let job = downloads.next().unwrap();
    assert_eq!(*job.prefetch.pack(), other);
    std::thread::scope(|scope| {
        let later = scope.spawn(|| next(&downloads));
        std::thread::sleep(QUIET + QUIET / 2);
        assert!(!later.is_finished(), "the line is in use");
        let ends = Instant::now();
        drop(job);
        assert_eq!(later.join().unwrap(), Some(little));
        assert!(ends.elapsed() >= QUIET);
    });
    // It is asked for again and again: it follows at once.
    for _ in 0..NEAR_OBJECTS {
        apart(other);
    }
    downloads.prefetch_behind(other);
    assert_eq!(next(&downloads), Some(other));
}

#[test]
fn what_two_readers_want_of_a_pack_counts_once() {
    let downloads = Downloads::default();
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    // Twice that would be more than may be fetched apart from the pack.
    let range = 0..PART_BYTES_MAX;
    std::thread::scope(|scope| {
        let get = || {
            downloads.get_part(&PACK, range.clone(), |_| {
                let _ = lock(&gone).recv();
                Ok(piece())
            })
        };
        let first = scope.spawn(get);
        while waited_for(&downloads) < 1 || lock(&downloads.state).under_way.len() < 1 {
            std::thread::yield_now();
        }
        let second = scope.spawn(get);
        while waited_for(&downloads) < 2 && !second.is_finished() {
            std::thread::yield_now();
        }
        drop(go);
        for reader in [first, second] {
            assert_eq!(reader.join().unwrap().unwrap().unwrap(), piece());
        }
    });
    assert!(downloads.get_part(&PACK, range, |_| Ok(piece())).is_none());
}
