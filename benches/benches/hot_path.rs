//! Publishing and reading a 64-byte frame in one process, whole and in parts.

mod common;

use common::floor::{Least, clock, lock_pair, shared_file};
use common::{SMALL, Small, publish, read, temporary};
use criterion::{Criterion, criterion_group, criterion_main};

fn hot_path(criterion: &mut Criterion) {
    let stream: Small = temporary(4);
    let other = stream.try_clone().expect("a free row");
    publish(&stream);

    let mut group = criterion.benchmark_group("hot_path");
    {
        let writer = stream.lock().expect("the lock");
        group.bench_function("publish_and_read", |bencher| {
            bencher.iter(|| {
                publish(&writer);
                read(&writer);
            });
        });
        group.bench_function("publish_and_read_by_two_handles", |bencher| {
            bencher.iter(|| {
                publish(&writer);
                read(&other);
            });
        });
        group.bench_function("publish", |bencher| bencher.iter(|| publish(&writer)));
        group.bench_function("read", |bencher| bencher.iter(|| read(&writer)));
    }
    group.bench_function("publish_without_lock_held", |bencher| {
        bencher.iter(|| publish(&stream))
    });
    group.finish();
}

fn floor(criterion: &mut Criterion) {
    let least = Least::default();
    let file = shared_file(4096);

    let mut group = criterion.benchmark_group("hot_path/floor");
    group.bench_function("publish_and_read", |bencher| {
        bencher.iter(|| {
            least.publish(&SMALL);
            least.read();
        });
    });
    group.bench_function("publish", |bencher| bencher.iter(|| least.publish(&SMALL)));
    group.bench_function("read", |bencher| bencher.iter(|| least.read()));
    group.bench_function("clock", |bencher| bencher.iter(clock));
    group.bench_function("store", |bencher| bencher.iter(|| least.store()));
    group.bench_function("lock_pair", |bencher| bencher.iter(|| lock_pair(&file)));
    group.finish();
}

criterion_group!(benches, hot_path, floor);
criterion_main!(benches);
