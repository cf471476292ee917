//! How many nanoseconds does the codec spend on one message of the three kinds that come in
//! streams: requests, haves and the headers of blocks?
//!
//! A block of 16 KiB costs one request and one header on each side. At 1 GiB/s that is 65,536 of
//! each a second, so 100 ns apiece would be 1.3 % of a core. `benches/instructions.rs` counts
//! instructions of the same.
//! Run: `cargo bench --bench codec`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

#[path = "scene/messages.rs"]
mod messages;

use messages::{COUNT, Kind, decode_all, encode_all};

const KINDS: [(&str, Kind); 3] = [
    ("request", Kind::Request),
    ("have", Kind::Have),
    ("piece", Kind::Piece),
];

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(COUNT.into()));
    for (name, kind) in KINDS {
        let messages = kind.messages();
        let mut out = messages::room();
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| {
                out.clear();
                black_box(encode_all(&messages, &mut out))
            });
        });
    }
    group.finish();
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(COUNT.into()));
    for (name, kind) in KINDS {
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter_batched_ref(
                || kind.stream(),
                |(decoder, input)| decode_all(decoder, input),
                criterion::BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, encode, decode);
criterion_main!(benches);
