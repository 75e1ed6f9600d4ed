//! Several requests at a time: which wait, which do not, and how waiting ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use safeos_scheme_tests::cases::{file, holds, open};
use safeos_scheme_tests::computer::Computer;
use safeos_scheme_tests::files::{Files, How};
use safeos_scheme_tests::process::Process;
use safeos_store::Method;
use syscall::error::{EAGAIN, EINTR, EPERM};
use syscall::flag::{EventFlags, O_NONBLOCK, O_RDONLY, O_WRONLY, StdFsCallKind};
use syscall::schemev2::{CqeOpcode, Opcode};

const UID: u32 = 1000;
const CTL: &str = "/scheme/safe/.ctl";

/// A computer where one file is far away: every read of it takes so long.
fn with_far_file(delay: Duration) -> (Computer, Process) {
    let computer = Computer::new();
    computer.sign_up(UID);
    let process = computer.process(UID);
    let noise: Vec<u8> = (0..200_000_u64)
        .map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect();
    file(&process, "/scheme/safe/home/far", &noise);
    computer.sign_out(UID);
    computer.sign_in(UID);
    file(&process, "/scheme/safe/home/near", b"near");
    process.stat("/scheme/safe/home/far").unwrap();
    computer.store.delay(Method::GetChunks, delay);
    (computer, process)
}

#[test]
fn a_read_that_waits_delays_no_other() {
    let (computer, process) = with_far_file(Duration::from_secs(2));
    let far = process.open("/scheme/safe/home/far", How::READ).unwrap();
    let mut bufs = vec![vec![0; 1000]; 20];
    let start = Instant::now();
    let pending: Vec<_> = bufs
        .iter_mut()
        .map(|buf| process.submit_read(far, buf, 50_000))
        .collect();
    for _ in 0..50 {
        holds(&process, "/scheme/safe/home/near", b"near");
        process.stat("/scheme/safe/home/far").unwrap();
    }
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    for pending in pending {
        assert_eq!(
            computer.kernel.wait(pending).map(|answer| answer.value),
            Ok(1000)
        );
    }
    assert!(start.elapsed() >= Duration::from_secs(2));
}

#[test]
fn one_user_does_not_take_all_threads() {
    let (computer, process) = with_far_file(Duration::from_secs(3));
    let far = process.open("/scheme/safe/home/far", How::READ).unwrap();
    let other = computer.process(UID + 1);
    computer
        .store
        .delay(Method::GetChunks, Duration::from_secs(3));
    let mut bufs = vec![vec![0; 100]; 600];
    let start = Instant::now();
    let mut pending: Vec<_> = bufs
        .iter_mut()
        .map(|buf| process.submit_read(far, buf, 50_000))
        .collect();
    for _ in 0..20 {
        assert!(other.stat("/scheme/safe/status").is_ok());
    }
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    // A request that was held back can be cancelled as well.
    let last = pending.pop().unwrap();
    computer.kernel.interrupt(&last);
    assert_eq!(computer.kernel.wait(last).map(drop), Err(EINTR));
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    for pending in pending {
        assert_eq!(
            computer.kernel.wait(pending).map(|answer| answer.value),
            Ok(100)
        );
    }
}

#[test]
fn a_signal_ends_a_read_that_waits() {
    let (computer, process) = with_far_file(Duration::from_secs(2));
    let far = process.open("/scheme/safe/home/far", How::READ).unwrap();
    let mut buf = vec![0xee; 1000];
    let start = Instant::now();
    let pending = process.submit_read(far, &mut buf, 50_000);
    std::thread::sleep(Duration::from_millis(100));
    computer.kernel.interrupt(&pending);
    assert_eq!(computer.kernel.wait(pending).map(drop), Err(EINTR));
    assert!(start.elapsed() < Duration::from_secs(1));
    // The memory is the caller's again: nothing is written to it when the store answers.
    std::thread::sleep(Duration::from_millis(2500));
    assert!(buf.iter().all(|byte| *byte == 0xee));
    assert_eq!(process.read_at(far, &mut buf, 50_000), Ok(1000));
    // A signal for a call that was answered long ago does no harm.
    let pending = process.submit_read(far, &mut buf, 0);
    let tag = pending.tag;
    computer.kernel.wait(pending).unwrap();
    computer
        .kernel
        .interrupt(&safeos_scheme_tests::kernel::Pending { tag });
    holds(&process, "/scheme/safe/home/near", b"near");
}

#[test]
fn who_does_not_want_to_wait_is_told_so() {
    let (_computer, process) = with_far_file(Duration::from_secs(1));
    let far = process
        .open_raw("/scheme/safe/home/far", O_RDONLY | O_NONBLOCK)
        .unwrap();
    let mut buf = vec![0; 1000];
    let start = Instant::now();
    assert_eq!(process.read_at(far, &mut buf, 50_000), Err(EAGAIN));
    assert!(start.elapsed() < Duration::from_millis(500));
    // It is fetched meanwhile.
    while process.read_at(far, &mut buf, 50_000) == Err(EAGAIN) {
        assert!(start.elapsed() < Duration::from_secs(20), "it never came");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(process.read_at(far, &mut buf, 50_000), Ok(1000));
    let near = process
        .open_raw("/scheme/safe/home/near", O_RDONLY | O_NONBLOCK)
        .unwrap();
    assert_eq!(process.read_at(near, &mut buf, 0), Ok(4));
}

#[test]
fn a_signal_may_come_before_its_request_is_looked_at() {
    let (computer, process) = with_far_file(Duration::from_millis(200));
    let far = process.open("/scheme/safe/home/far", How::READ).unwrap();
    let mut buf = vec![0; 1000];
    let mut ended = 0;
    for round in 0..200 {
        let pending = process.submit_read(far, &mut buf, round * 500);
        computer.kernel.interrupt(&pending);
        match computer.kernel.wait(pending) {
            Err(EINTR) => ended += 1,
            answer => assert_eq!(answer.map(|answer| answer.value), Ok(1000)),
        }
    }
    assert!(ended > 0);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(computer.kernel.strays(), 0);
}

/// A conversation whose request takes some time.
fn busy(process: &Process) -> usize {
    let fd = process.open_raw(CTL, O_RDONLY | O_WRONLY).unwrap();
    let request = br#"{"sign_in": {"name": "nobody", "password": "wrong password"}}"#;
    process.write(fd, request).unwrap();
    process.write(fd, b"\n").unwrap();
    fd
}

#[test]
fn a_conversation_waits_is_cancelled_and_says_when_it_is_ready() {
    let computer = Computer::new();
    computer
        .store
        .delay(Method::GetPointer, Duration::from_millis(500));
    let process = computer.process(UID);
    let fd = busy(&process);
    let id = process.id(fd) as u64;
    let wanted = EventFlags::EVENT_READ.bits() as u64;
    let ready = process.call(Opcode::Fevent, [id, wanted, 0, 0, 0]).unwrap();
    assert_eq!(ready.value, 0);
    let mut buf = vec![0; 4096];
    let args = [id, buf.as_mut_ptr() as u64, 4096, 0, O_NONBLOCK as u64];
    assert_eq!(process.call(Opcode::Read, args).map(drop), Err(EAGAIN));
    let mut other = vec![0xee; 4096];
    let pending = process.submit_read(fd, &mut other, 0);
    computer.kernel.interrupt(&pending);
    assert_eq!(computer.kernel.wait(pending).map(drop), Err(EINTR));
    // Its next output goes to the reader that waits now.
    let mut answer = String::new();
    while !answer.contains("\"error\"") {
        let len = process.read(fd, &mut buf).unwrap();
        answer.push_str(std::str::from_utf8(&buf[..len]).unwrap());
    }
    assert!(other.iter().all(|byte| *byte == 0xee));
    let until = Instant::now() + Duration::from_secs(5);
    while !computer
        .kernel
        .events()
        .contains(&(id as usize, wanted as usize))
    {
        assert!(Instant::now() < until, "no event came");
        std::thread::sleep(Duration::from_millis(5));
    }
    process.close(fd);
    // Files are always ready.
    computer.sign_up(UID);
    let fd = open(&process, "/scheme/safe/home/a");
    let id = process.id(fd) as u64;
    assert_eq!(
        process.call(Opcode::Fevent, [id, 3, 0, 0, 0]).map(drop),
        Err(EPERM)
    );
}

#[test]
fn a_user_signs_up_and_out_through_the_control_file() {
    let computer = Computer::new();
    let process = computer.process(UID);
    let say = |request: &str| {
        let fd = process.open_raw(CTL, O_RDONLY | O_WRONLY).unwrap();
        process.truncate(fd, 0).unwrap();
        process.write(fd, request.as_bytes()).unwrap();
        process.write(fd, b"\n").unwrap();
        let mut answer = Vec::new();
        let mut buf = vec![0; 4096];
        loop {
            match process.read(fd, &mut buf).unwrap() {
                0 => break,
                len => answer.extend_from_slice(&buf[..len]),
            }
        }
        process.close(fd);
        let text = String::from_utf8(answer).unwrap();
        text.lines().last().unwrap().to_owned()
    };
    let account = r#""name": "ada", "password": "correct horse""#;
    // The daemon is root and must not be made to write where the user may not.
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = format!(r#""store": "file://{}/store""#, folder.path().display());
    let answer = say(&format!(r#"{{"sign_up": {{{account}, {elsewhere}}}}}"#));
    assert!(answer.contains("forbidden"), "{answer}");
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    let answer = say(&format!(
        r#"{{"sign_up": {{{account}, "small_memory": true}}}}"#
    ));
    assert!(answer.contains("\"ok\""), "{answer}");
    file(&process, "/scheme/safe/home/a", b"kept");
    let answer = say(r#"{"sign_out": {}}"#);
    assert!(answer.contains("\"ok\""), "{answer}");
    assert!(process.stat("/scheme/safe/home").is_err());
    let answer = say(&format!(r#"{{"sign_in": {{{account}}}}}"#));
    assert!(answer.contains("\"ok\""), "{answer}");
    holds(&process, "/scheme/safe/home/a", b"kept");
    let answer = say(r#"{"sign_out": {}}"#);
    assert!(answer.contains("\"ok\""), "{answer}");
}

#[test]
fn record_locks_are_between_programs() {
    let computer = Computer::new();
    computer.sign_up(UID);
    let (one, two) = (computer.process(UID), computer.process(UID));
    let (first, second) = (
        open(&one, "/scheme/safe/home/a"),
        open(&two, "/scheme/safe/home/a"),
    );
    let watched = one
        .std_call(StdFsCallKind::Lock, one.id(first), &mut [], 0, 10 | 1 << 63)
        .unwrap();
    assert_eq!(watched.opcode, CqeOpcode::RespondAndNotifyOnDetach as u8);
    assert_eq!(two.lock(second, 5, 1, false), Err(EAGAIN));
    two.lock(second, 10, 1, true).unwrap();
    let mut found = [0; 16];
    let owner = two
        .std_call(
            StdFsCallKind::GetLock,
            two.id(second),
            &mut found,
            0,
            1 << 63,
        )
        .unwrap();
    assert_eq!(owner.value as u64, one.caller.pid);
    assert_eq!(found[8..], (10_u64 | 1 << 63).to_ne_bytes());
    // Closing any descriptor of the file gives a process's locks up.
    let again = open(&one, "/scheme/safe/home/a");
    one.close(again);
    let until = Instant::now() + Duration::from_secs(5);
    while two.lock(second, 0, 10, true).is_err() {
        assert!(Instant::now() < until, "the locks stayed");
    }
    // Locks of an open file go with it.
    let third = open(&one, "/scheme/safe/home/a");
    let of_file = 100 | 1 << 63;
    one.std_call(
        StdFsCallKind::Lock,
        one.id(third),
        &mut [],
        of_file,
        1 | 1 << 63,
    )
    .unwrap();
    assert_eq!(one.lock(first, 100, 1, true), Err(EAGAIN));
    one.close(third);
    while one.lock(first, 100, 1, true).is_err() {
        assert!(Instant::now() < until, "the lock stayed");
    }
}

#[test]
fn many_threads_at_once() {
    let computer = Arc::new(Computer::new());
    computer.sign_up(UID);
    let setup = computer.process(UID);
    file(&setup, "/scheme/safe/home/shared", &[b'x'; 4096]);
    let log = "/scheme/safe/home/log";
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let computer = Arc::clone(&computer);
            std::thread::spawn(move || {
                let process = computer.process(UID);
                let append = process.open(log, How::APPEND).unwrap();
                for round in 0..100 {
                    let path = format!("/scheme/safe/home/{thread}-{round}");
                    file(&process, &path, path.as_bytes());
                    holds(&process, &path, path.as_bytes());
                    holds(&process, "/scheme/safe/home/shared", &[b'x'; 4096]);
                    process.rename(&path, &format!("{path}-moved")).unwrap();
                    process.unlink(&format!("{path}-moved")).unwrap();
                    assert_eq!(process.write(append, b"0123456789abcdef"), Ok(16));
                }
                process.close(append);
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(setup.stat(log).unwrap().size, 8 * 100 * 16);
    let names = setup.list("/scheme/safe/home").unwrap();
    assert_eq!(names.len(), 2);
}
