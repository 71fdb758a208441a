//! Lending, publishing and reading in place: the same time for every size of frame.

mod common;

use common::{IN_PLACE, in_place, try_temporary};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main};

fn frames<const N: usize>(group: &mut BenchmarkGroup<'_, WallTime>) {
    let stream = match try_temporary::<u8, N>(2) {
        Ok(stream) => stream,
        Err(error) => return eprintln!("in_place/{N} left out: {error}"),
    };
    let writer = stream.lock().expect("the lock");
    group.bench_function(BenchmarkId::from_parameter(N), |bencher| {
        bencher.iter(|| in_place(&writer))
    });
}

fn sizes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("in_place");
    frames::<{ IN_PLACE[0] }>(&mut group);
    frames::<{ IN_PLACE[1] }>(&mut group);
    frames::<{ IN_PLACE[2] }>(&mut group);
    group.finish();
}

criterion_group!(benches, sizes);
criterion_main!(benches);
