//! What a publish costs when other handles are attached that do nothing.

mod common;

use common::{IDLE_HANDLES, Small, idle_handles, publish, temporary};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

fn fan_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fan_out");
    for idle in IDLE_HANDLES {
        let stream: Small = temporary(4);
        let handles = idle_handles(&stream, idle);
        let writer = stream.lock().expect("the lock");
        let id = BenchmarkId::new("idle_handles", idle);
        group.bench_function(id, |bencher| bencher.iter(|| publish(&writer)));
        drop(handles);
    }
    group.finish();
}

criterion_group!(benches, fan_out);
criterion_main!(benches);
