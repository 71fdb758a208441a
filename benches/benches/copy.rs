//! Copying 4 MiB frames in and out in one process.

mod common;

use common::copies::{Ends, LEN, Memory, stream};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn copy(criterion: &mut Criterion) {
    let stream = stream();
    let writer = stream.lock().expect("the lock");
    let mut ends = Ends::new();
    let mut memory = Memory::new();

    let mut group = criterion.benchmark_group("copy");
    group.throughput(Throughput::Bytes(2 * LEN as u64));
    group.bench_function("stream", |bencher| {
        bencher.iter(|| ends.through_stream(&writer))
    });
    group.bench_function("memcpy", |bencher| {
        bencher.iter(|| ends.through_memory(&mut memory))
    });
    group.finish();
}

criterion_group!(benches, copy);
criterion_main!(benches);
