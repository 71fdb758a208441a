//! How long a sleeping reader takes to have a frame, against a thread asleep on a bare futex.
//!
//! Criterion reports means, which one late wake-up in a hundred pulls up; the `ratios` benchmark has
//! the medians.

mod common;

use common::wakes::{FutexWakes, StreamWakes};
use criterion::{Criterion, criterion_group, criterion_main};

fn wake(criterion: &mut Criterion) {
    let (stream, futex) = (StreamWakes::new(), FutexWakes::new());
    let mut group = criterion.benchmark_group("wake");
    group.bench_function("stream", |bencher| {
        bencher.iter_custom(|iterations| (0..iterations).map(|_| stream.latency()).sum());
    });
    group.bench_function("futex", |bencher| {
        bencher.iter_custom(|iterations| (0..iterations).map(|_| futex.latency()).sum());
    });
    group.finish();
}

criterion_group!(benches, wake);
criterion_main!(benches);
