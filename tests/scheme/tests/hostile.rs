//! Messages that no honest program sends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use safeos_scheme_tests::cases::{file, holds, open};
use safeos_scheme_tests::computer::Computer;
use safeos_scheme_tests::files::{Files, How};
use safeos_scheme_tests::process::Process;
use syscall::dirent::DirentHeader;
use syscall::error::{
    EBADF, EFBIG, EINVAL, EISDIR, ENAMETOOLONG, ENOENT, ENOMEM, ENOSYS, EOPNOTSUPP, EXDEV,
};
use syscall::flag::{MapFlags, O_RDONLY, StdFsCallKind};
use syscall::schemev2::{Opcode, SqeFlags};

const UID: u32 = 1000;

fn computer() -> (Computer, Process) {
    let computer = Computer::new();
    computer.sign_up(UID);
    let process = computer.process(UID);
    (computer, process)
}

#[test]
fn paths_of_every_shape() {
    let (computer, one) = computer();
    file(&one, "/scheme/safe/home/a", b"x");
    let root = computer.root;
    let at = |path: &str| one.open_at(root, path, O_RDONLY).map(drop);
    for path in [
        "home/a",
        "/home/a",
        "//home//a",
        "./home/./a",
        "home/../home/a",
        "../../home/a",
    ] {
        assert_eq!(at(path), Ok(()), "{path}");
    }
    assert_eq!(at("home/missing/../a"), Err(ENOENT));
    assert_eq!(at("home/a/.."), Err(syscall::error::ENOTDIR));
    assert_eq!(at("home/a/"), Err(syscall::error::ENOTDIR));
    assert_eq!(at("../etc/passwd"), Err(ENOENT));
    assert_eq!(at("home/a\0b"), Err(EINVAL));
    // A page of path: short names are followed, a long one is refused, more than a page too.
    let deep = "./".repeat(2043) + "home/a";
    assert_eq!(deep.len(), 4092);
    assert_eq!(at(&deep), Ok(()));
    assert_eq!(at(&format!("home/{}", "n".repeat(4091))), Err(ENAMETOOLONG));
    assert_eq!(at(&"../".repeat(1365)), Ok(()));
    assert_eq!(at(&"a/".repeat(2049)), Err(ENAMETOOLONG));
    let bytes = b"home/\xff\xfe";
    let args = [root as u64, bytes.as_ptr() as u64, 7, O_RDONLY as u64, 0];
    assert_eq!(one.call(Opcode::OpenAt, args), Err(EINVAL));
    for path in [
        "",
        "/",
        ".",
        "..",
        "home",
        "home/..",
        "home/.",
        "home/a/../..",
    ] {
        assert!(
            one.unlink(path).is_err() && one.rmdir(path).is_err(),
            "{path}"
        );
    }
    holds(&one, "/scheme/safe/home/a", b"x");
}

#[test]
fn numbers_that_mean_nothing() {
    let (computer, one) = computer();
    let fd = open(&one, "/scheme/safe/home/a");
    let stale = one.id(fd);
    one.close(fd);
    // The close goes its own way: wait until it has come.
    while one.std_call(StdFsCallKind::Fsync, stale, &mut [], 0, 0) != Err(EBADF) {
        std::thread::yield_now();
    }
    let mut buf = [0_u8; 4096];
    let place = buf.as_mut_ptr() as u64;
    for id in [stale, 0, 77_777, usize::MAX, 1 << 63] {
        let id64 = id as u64;
        for opcode in [
            Opcode::OpenAt,
            Opcode::UnlinkAt,
            Opcode::Dup,
            Opcode::Read,
            Opcode::Write,
            Opcode::Fpath,
            Opcode::Frename,
            Opcode::Flink,
            Opcode::Fstat,
            Opcode::Fstatvfs,
        ] {
            assert_eq!(
                one.call(opcode, [id64, place, 256, 0, 0]).map(drop),
                if matches!(
                    opcode,
                    Opcode::OpenAt | Opcode::UnlinkAt | Opcode::Frename | Opcode::Flink
                ) {
                    Err(EINVAL)
                } else {
                    Err(EBADF)
                },
                "{opcode:?}"
            );
            // With a path that is one.
            let path = b"a";
            let done = one.call(opcode, [id64, path.as_ptr() as u64, 1, 0, 0]);
            assert!(done.is_err(), "{opcode:?}");
        }
        for opcode in [
            Opcode::Fsize,
            Opcode::Fsync,
            Opcode::Ftruncate,
            Opcode::Fchmod,
            Opcode::Fchown,
            Opcode::Fevent,
        ] {
            assert_eq!(
                one.call(opcode, [id64, 0, 0, 0, 0]).map(drop),
                Err(EBADF),
                "{opcode:?}"
            );
        }
        assert_eq!(
            one.call(Opcode::MmapPrep, [id64, 4096, 0, 0, 0]).map(drop),
            Err(EBADF)
        );
        assert_eq!(
            one.call(Opcode::Munmap, [id64, 4096, 0, 0, 0]).map(drop),
            Err(EBADF)
        );
        assert_eq!(one.list_step(id, &mut buf, 0).map(drop), Err(EBADF));
        computer.kernel.close(id);
        computer.kernel.detach(id, 1);
    }
    assert!(one.stat("/scheme/safe/home/a").is_ok());
}

#[test]
fn offsets_at_the_end_of_numbers() {
    let (_computer, one) = computer();
    let fd = open(&one, "/scheme/safe/home/a");
    one.write(fd, b"0123456789").unwrap();
    let mut buf = [0; 16];
    for at in [
        10,
        11,
        1 << 40,
        i64::MAX as u64,
        1 << 63,
        u64::MAX - 1,
        u64::MAX,
    ] {
        assert_eq!(one.read_at(fd, &mut buf, at), Ok(0), "{at}");
    }
    for at in [i64::MAX as u64, 1 << 63, u64::MAX - 3, u64::MAX] {
        assert_eq!(one.write_at(fd, b"four", at), Err(EFBIG), "{at}");
        assert_eq!(one.truncate(fd, at.max(1 << 63)), Err(EFBIG));
    }
    let id = one.id(fd) as u64;
    let shared = (MapFlags::MAP_SHARED | MapFlags::PROT_READ).bits() as u64;
    let map = |offset: u64, len: u64| one.call(Opcode::MmapPrep, [id, len, shared, offset, 0]);
    assert_eq!(map(1, 4096).map(drop), Err(EINVAL));
    assert_eq!(map(0, 0).map(drop), Err(EINVAL));
    assert_eq!(map(u64::MAX - 4095, 8192).map(drop), Err(EINVAL));
    assert_eq!(map(0, u64::MAX).map(drop), Err(EINVAL));
    assert_eq!(map(0, 1 << 45).map(drop), Err(ENOMEM));
    assert_eq!(
        one.call(Opcode::Munmap, [id, 4096, 1, 0, 0]).map(drop),
        Err(EINVAL)
    );
    for (start, len) in [(u64::MAX, 1), (i64::MAX as u64, 2), (1, u64::MAX >> 1)] {
        for kind in [StdFsCallKind::Lock, StdFsCallKind::Unlock] {
            let done = one.std_call(kind, id as usize, &mut [], start, len);
            assert!(matches!(done, Err(EINVAL) | Ok(_)), "{start} {len}");
        }
    }
    let mut short = [0; 15];
    let find = one.std_call(StdFsCallKind::GetLock, id as usize, &mut short, 0, 0);
    assert_eq!(find.map(drop), Err(EINVAL));
    let mut step = [0; 4096];
    let folder = one.open("/scheme/safe/home", How::READ).unwrap();
    for at in [3, 1 << 40, u64::MAX] {
        assert_eq!(
            one.list_step(one.id(folder), &mut step, at)
                .map(|names| names.len()),
            Ok(0)
        );
    }
    assert_eq!(one.read(folder, &mut buf), Err(EISDIR));
}

#[test]
fn a_listing_buffer_one_byte_too_small() {
    let (_computer, one) = computer();
    one.mkdir("/scheme/safe/home/d", 0o755).unwrap();
    for name in ["first", "second"] {
        file(&one, &format!("/scheme/safe/home/d/{name}"), b"");
    }
    let fd = one.open("/scheme/safe/home/d", How::READ).unwrap();
    let id = one.id(fd);
    let header = size_of::<DirentHeader>();
    let first = (header + "first".len() + 1).next_multiple_of(8);
    let second = (header + "second".len() + 1).next_multiple_of(8);
    let count = |len: usize| {
        one.list_step(id, &mut vec![0; len], 0)
            .map(|names| names.len())
    };
    assert_eq!(count(0), Err(EINVAL));
    assert_eq!(count(first - 1), Err(EINVAL));
    assert_eq!(count(first), Ok(1));
    assert_eq!(count(first + second - 1), Ok(1));
    assert_eq!(count(first + second), Ok(2));
    // Heads of another size than there are.
    for size in [0, header as u64 - 1, u64::from(u16::MAX)] {
        let mut buf = vec![0; 4096];
        let done = one.std_call(StdFsCallKind::Getdents, id, &mut buf, 0, size);
        assert_eq!(done.map(drop), Err(EINVAL), "{size}");
    }
}

#[test]
fn calls_of_no_known_kind() {
    let (computer, one) = computer();
    let fd = open(&one, "/scheme/safe/home/a");
    let id = one.id(fd);
    let mut payload = [0_u8; 64];
    let place = payload.as_mut_ptr() as u64;
    for kind in [0_u64, 9, 17, 200, 255] {
        let args = [id as u64, place, 64, kind, 0, 0];
        let done = computer.kernel.call(Opcode::StdFsCall, args, 1);
        assert_eq!(done.map(drop), Err(EOPNOTSUPP), "{kind}");
    }
    // One handle where two belong, and two where one does.
    let pair = (id, id);
    for kind in [
        StdFsCallKind::Frenameat,
        StdFsCallKind::Flinkat,
        StdFsCallKind::Relpathat,
    ] {
        assert_eq!(
            one.std_call(kind, id, &mut payload, 0, 0).map(drop),
            Err(EINVAL)
        );
    }
    for kind in [
        StdFsCallKind::Fstat,
        StdFsCallKind::Getdents,
        StdFsCallKind::Unlinkat,
    ] {
        assert_eq!(
            one.std_call_two(kind, pair, &mut payload, 0).map(drop),
            Err(EINVAL)
        );
    }
    // Structures of the wrong length, and at odd places.
    for len in [0, 1, 31, 33] {
        let short = &mut payload[..len];
        assert_eq!(
            one.std_call(StdFsCallKind::Fstat, id, short, 0, 0)
                .map(drop),
            Err(EINVAL)
        );
        if len > 0 {
            let done = one.std_call(StdFsCallKind::Futimens, id, short, 0, 0);
            assert_eq!(done.map(drop), Err(EINVAL));
        }
    }
    let mut odd = [0_u8; 256];
    let size = size_of::<syscall::data::Stat>();
    for shift in 1..8 {
        let at = &mut odd[shift..shift + size];
        assert!(one.std_call(StdFsCallKind::Fstat, id, at, 0, 0).is_ok());
        odd.fill(0);
        assert!(
            one.std_call(
                StdFsCallKind::Futimens,
                id,
                &mut odd[shift..shift + 32],
                0,
                0
            )
            .is_ok()
        );
    }
    let mut no_nul = *b"abc";
    assert_eq!(
        one.std_call_two(StdFsCallKind::Frenameat, pair, &mut no_nul, 0)
            .map(drop),
        Err(EINVAL)
    );
    // Opcodes of others, with nothing where addresses belong.
    for opcode in [Opcode::Call, Opcode::Sendfd, Opcode::Recvfd] {
        assert_eq!(
            one.call(opcode, [id as u64, 0, 0, 0, 0]).map(drop),
            Err(EOPNOTSUPP)
        );
    }
    for opcode in [
        Opcode::Mremap,
        Opcode::Msync,
        Opcode::RequestMmap,
        Opcode::Close,
    ] {
        assert_eq!(
            one.call(opcode, [id as u64, 0, 0, 0, 0]).map(drop),
            Err(ENOSYS)
        );
    }
    for opcode in [Opcode::Read, Opcode::Write, Opcode::Fpath] {
        assert!(
            one.call(opcode, [id as u64, 0, 0, 0, 0]).is_ok(),
            "{opcode:?} of nothing"
        );
    }
    // A message that wants no answer gets none.
    let pending = computer.kernel.submit(
        Opcode::Fsync,
        SqeFlags::ONEWAY,
        [id as u64, 0, 0, 0, 0, 0],
        1,
    );
    let wait = std::time::Duration::from_millis(50);
    assert!(computer.kernel.wait_for(&pending, wait).is_none());
    assert_eq!(one.get_flags(fd), Ok(0));
    // Links that lead out of the scheme: the C library follows them.
    for (name, target) in [
        ("away", "/file/etc/hostname"),
        ("up", "../../../etc/hostname"),
    ] {
        let path = format!("/scheme/safe/home/{name}");
        one.symlink(target, &path).unwrap();
        assert_eq!(one.open(&path, How::READ), Err(EXDEV), "{name}");
    }
    // The call of mv across schemes: the kernel takes the other scheme's name away.
    assert_eq!(
        one.rename("/scheme/safe/home/a", "/scheme/safe/tmp/b"),
        Err(EXDEV)
    );
    assert!(one.stat("/scheme/safe/home/a").is_ok());
}
