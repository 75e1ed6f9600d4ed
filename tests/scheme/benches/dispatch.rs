//! The daemon's own cost of a request: messages are taken and answered on the measuring threads, with
//! no kernel and no other thread between.
//!
//! `cargo bench -p safeos-scheme-tests --bench dispatch`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::{Arc, Barrier};
use std::time::Instant;

use safed::scheme::{Cqe, Sqe, Wire};
use safeos_scheme_tests::cases::{file, open};
use safeos_scheme_tests::computer::Computer;
use safeos_scheme_tests::process::Process;
use syscall::data::Stat;
use syscall::flag::StdFsCallKind;
use syscall::schemev2::{Opcode, SqeFlags};

const ROUNDS: u64 = 300_000;
const WARM_UP: u64 = 20_000;
/// Tags that the kernel never gives out.
const TAG: u32 = 1 << 31;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is the system's; only a number is counted beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is the same.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

/// Keeps the measured answers from the kernel, which did not ask.
struct Aside(Arc<dyn Wire>);

impl Wire for Aside {
    fn next(&self) -> Option<Sqe> {
        self.0.next()
    }

    fn send(&self, answer: Cqe) {
        if answer.tag < TAG {
            return self.0.send(answer);
        }
        assert!(
            (answer.result as i64) >= 0,
            "error {}",
            -(answer.result as i64)
        );
    }
}

/// Answers a message again and again on some threads at once: nanoseconds and allocations a request.
fn measure(
    computer: &Computer,
    threads: usize,
    make: &(dyn Fn(usize) -> Sqe + Sync),
) -> (f64, f64) {
    let together = Barrier::new(threads);
    let results: Vec<(f64, f64)> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let together = &together;
                scope.spawn(move || {
                    let mut worker = computer.server.worker();
                    let mut buf = vec![0_u8; 4096];
                    let mut sqe = make(thread);
                    sqe.tag = TAG + thread as u32;
                    sqe.args[1] = buf.as_mut_ptr() as u64;
                    // SAFETY: the buffer is as long as the messages below say, and lives.
                    let mut run = |count| (0..count).for_each(|_| unsafe { worker.take(&sqe) });
                    run(WARM_UP);
                    together.wait();
                    let (start, before) = (Instant::now(), ALLOCATIONS.get());
                    run(ROUNDS);
                    let each = ROUNDS as f64;
                    let allocations = (ALLOCATIONS.get() - before) as f64 / each;
                    (start.elapsed().as_nanos() as f64 / each, allocations)
                })
            })
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let count = results.len() as f64;
    let sum = |pick: fn(&(f64, f64)) -> f64| results.iter().map(pick).sum::<f64>() / count;
    (sum(|result| result.0), sum(|result| result.1))
}

fn message(process: &Process, opcode: Opcode, args: [u64; 6]) -> Sqe {
    Sqe {
        opcode: opcode as u8,
        sqe_flags: SqeFlags::empty(),
        args,
        caller: process.caller.pid,
        ..Sqe::default()
    }
}

fn main() {
    let computer = Computer::over(|kernel| Arc::new(Aside(kernel)));
    computer.sign_up(1000);
    let process = computer.process(1000);
    let paths: Vec<String> = (0..2).map(|n| format!("/scheme/safe/home/{n}")).collect();
    for path in &paths {
        let data: Vec<u8> = (0..1 << 20)
            .map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        file(&process, path, &data);
    }
    // From the store again, as a home is after a sign-in.
    computer.sign_out(1000);
    computer.sign_in(1000);
    let ids: Vec<u64> = paths
        .iter()
        .map(|path| process.id(open(&process, path)) as u64)
        .collect();
    let read =
        |thread: usize| message(&process, Opcode::Read, [ids[thread], 0, 4096, 65_536, 0, 0]);
    let stat = |thread: usize| {
        let len = size_of::<Stat>() as u64;
        let kind = StdFsCallKind::Fstat as u64;
        message(
            &process,
            Opcode::StdFsCall,
            [ids[thread], 0, len, kind, 0, 0],
        )
    };
    println!("a request in the daemon, without the kernel:");
    let kinds: [(&str, &(dyn Fn(usize) -> Sqe + Sync)); 2] =
        [("read 4 KiB, cached", &read), ("fstat", &stat)];
    for (what, make) in kinds {
        for threads in [1, 2] {
            let (nanos, allocations) = measure(&computer, threads, make);
            let all = threads as f64 * 1000.0 / nanos;
            println!(
                "{what:<20} {threads} thread(s): {:6.3} µs, {allocations:.2} allocations, {all:.2} million a second together",
                nanos / 1000.0,
            );
        }
    }
}
