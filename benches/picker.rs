//! What does the core cost per block and per HAVE?
//!
//! `block` drives one core through a whole download: request, arrival, verification, HAVEs to the
//! others. `have` feeds it the HAVEs of a swarm. Both print the time per element;
//! `benches/instructions.rs` counts instructions of the same.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

#[path = "scene/swarm.rs"]
#[expect(dead_code, reason = "shared with instructions.rs, which uses the rest")]
mod scene;

use scene::{Size, Swarm};

const PIECE_BLOCKS: u32 = 16;

fn size(pieces: u32, peers: u64, seeds: u64) -> Size {
    Size {
        pieces,
        piece_blocks: PIECE_BLOCKS,
        peers,
        seeds,
        ours: 0,
    }
}

fn block(c: &mut Criterion) {
    let mut group = c.benchmark_group("block");
    group.sample_size(10);
    for (pieces, peers) in [(2_000, 20), (2_000, 80), (20_000, 80)] {
        group.throughput(Throughput::Elements(u64::from(pieces * PIECE_BLOCKS)));
        let id = BenchmarkId::from_parameter(format!("{pieces} pieces, {peers} peers"));
        group.bench_function(id, |b| {
            b.iter_batched(
                || Swarm::new(size(pieces, peers, peers / 2)),
                |mut swarm| {
                    swarm.fetch();
                    assert!(swarm.is_complete());
                    black_box(swarm)
                },
                criterion::BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn have(c: &mut Criterion) {
    let mut group = c.benchmark_group("have");
    for (pieces, peers) in [(2_000, 80), (100_000, 500)] {
        let mut swarm = Swarm::new(size(pieces, peers, 0));
        group.throughput(Throughput::Elements(1));
        let id = BenchmarkId::from_parameter(format!("{pieces} pieces, {peers} peers"));
        group.bench_function(id, |b| b.iter(|| swarm.hear_haves(1)));
    }
    group.finish();
}

criterion_group!(benches, block, have);
criterion_main!(benches);
