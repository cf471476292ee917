//! How many messages must wait together before hashing them side by side beats one after the
//! other, and how fast is each way on this processor?
//!
//! `SWARM_HASH=portable|sha-ni|avx2|avx512 cargo bench --bench hash` measures one way; without it, the
//! dispatch. The fastest line for each number of messages should be the dispatch's.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use swarm::hash::{self, LANES};

fn lanes(criterion: &mut Criterion) {
    let way = std::env::var("SWARM_HASH").unwrap_or_else(|_| "dispatch".into());
    for len in [16 << 10, 128 << 10, 1 << 20] {
        let mut group = criterion.benchmark_group(format!("hash/{way}/{}K", len >> 10));
        let messages: Vec<Vec<u8>> = (0..LANES).map(|i| vec![i.to_le_bytes()[0]; len]).collect();
        for count in 1..=LANES {
            let slices: Vec<&[u8]> = messages[..count].iter().map(Vec::as_slice).collect();
            group.throughput(Throughput::Bytes((count * len) as u64));
            group.bench_with_input(
                BenchmarkId::from_parameter(count),
                &slices,
                |bencher, slices| {
                    bencher.iter(|| hash::many(slices));
                },
            );
        }
        group.finish();
    }
}

criterion_group!(benches, lanes);
criterion_main!(benches);
