//! The `file:` store and the one in memory: put and get of 4 KiB and 4 MiB.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use safeos_record::Chunk;
use safeos_store::{FileStore, MemoryStore, Store, file_url};

/// Chunks that were never there before.
fn fresh(count: usize, len: usize) -> Vec<Chunk> {
    (0..count)
        .map(|_| {
            let mut bytes = vec![0; len];
            safeos_record::random_bytes(&mut bytes).unwrap();
            Chunk::new(bytes).unwrap()
        })
        .collect()
}

fn stores(c: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let file = FileStore::open(&file_url(folder.path()).unwrap(), folder.path()).unwrap();
    let memory = MemoryStore::default();
    let stores: [(&str, &dyn Store); 2] = [("file", &file), ("memory", &memory)];
    for (name, store) in stores {
        let mut group = c.benchmark_group(name);
        group.sample_size(10);
        for (what, len, count) in [("4KiB", 4 << 10, 100), ("4MiB", 4 << 20, 8)] {
            group.throughput(Throughput::Bytes((len * count) as u64));
            group.bench_function(format!("put {count} x {what}"), |bench| {
                bench.iter_batched(
                    || fresh(count, len),
                    |chunks| {
                        store.put_chunks(&chunks).unwrap();
                        let all: Vec<_> = chunks.iter().map(Chunk::address).collect();
                        all
                    },
                    BatchSize::PerIteration,
                );
            });
            let there = fresh(count, len);
            store.put_chunks(&there).unwrap();
            let addresses: Vec<_> = there.iter().map(Chunk::address).collect();
            group.bench_function(format!("get {count} x {what}"), |bench| {
                bench.iter(|| {
                    for chunk in store.get_chunks(black_box(&addresses)) {
                        black_box(chunk.unwrap());
                    }
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, stores);
criterion_main!(benches);
