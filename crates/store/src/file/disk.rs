//! Disk operations of the store's files.

use std::fs::File;
use std::io::{self, Read};

use bytes::Bytes;
use safeos_record::MAX_CHUNK_SIZE;

/// The bytes of a file of at most a chunk's length.
pub(super) fn read_all(file: &File, len: u64) -> io::Result<Bytes> {
    let len = len.min(MAX_CHUNK_SIZE as u64);
    let mut bytes = Vec::with_capacity(len as usize + 1);
    file.take(len + 1).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// Does something to every item, on this thread and a few others when there are several: disks like more
/// than one request at a time. The results are in the order of the items.
pub(super) fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    threads_max: usize,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let per_thread = items.len().div_ceil(threads_max).max(1);
    let (own, others) = items.split_at(per_thread.min(items.len()));
    let some = |share: &[T]| share.iter().map(&work).collect::<Vec<R>>();
    std::thread::scope(|scope| {
        let some = &some;
        let threads: Vec<_> = others
            .chunks(per_thread)
            .map(|share| {
                let thread = std::thread::Builder::new().spawn_scoped(scope, move || some(share));
                (share, thread)
            })
            .collect();
        let mut results = some(own);
        for (share, thread) in threads {
            match thread {
                Ok(thread) => match thread.join() {
                    Ok(part) => results.extend(part),
                    Err(panic) => std::panic::resume_unwind(panic),
                },
                // No thread to be had: here, then.
                Err(_) => results.extend(some(share)),
            }
        }
        results
    })
}
