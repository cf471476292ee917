//! How many nanoseconds does the codec spend on one message of the three kinds that come in
//! streams: requests, haves and the headers of blocks?
//!
//! A block of 16 KiB costs one request and one header on each side. At 1 GiB/s that is 65,536 of
//! each a second, so 100 ns apiece would be 1.3 % of a core.
//! Run: `cargo bench --bench codec`.

use std::hint::black_box;

use bytes::{Buf, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use swarm::layout::BLOCK_LEN;
use swarm::wire::{BlockRequest, Decoder, Message};

/// Messages of one refill: the most requests that are sent to a peer at a time.
const COUNT: u32 = 2_048;
const PIECE_COUNT: u32 = 2_000;

fn block(i: u32) -> BlockRequest {
    BlockRequest {
        index: i / 64,
        begin: i % 64 * BLOCK_LEN,
        length: BLOCK_LEN,
    }
}

/// A kind of message, by name, as the `i`th of a stream.
type Kind = (&'static str, fn(u32) -> Message);

const KINDS: [Kind; 3] = [
    ("request", |i| Message::Request(block(i))),
    ("have", |i| Message::Have(i % PIECE_COUNT)),
    // The payload is skipped, so a short one does: a long one would measure the memory.
    ("piece", |i| {
        let length = 16;
        Message::Piece(BlockRequest { length, ..block(i) })
    }),
];

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(COUNT.into()));
    for (name, message) in KINDS {
        let messages: Vec<Message> = (0..COUNT).map(message).collect();
        let mut out = BytesMut::with_capacity(64 << 10);
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| {
                out.clear();
                for message in black_box(&messages) {
                    message.encode(&mut out);
                }
                black_box(out.len())
            });
        });
    }
    group.finish();
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(COUNT.into()));
    for (name, message) in KINDS {
        let mut stream = BytesMut::new();
        for i in 0..COUNT {
            let message = message(i);
            message.encode(&mut stream);
            if let Message::Piece(block) = message {
                stream.resize(stream.len() + block.length as usize, 0);
            }
        }
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter_batched_ref(
                || (Decoder::new(PIECE_COUNT), stream.clone()),
                |(decoder, input)| count(decoder, input),
                criterion::BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn count(decoder: &mut Decoder, input: &mut BytesMut) -> u32 {
    let mut count = 0;
    while let Ok(Some(message)) = decoder.decode(input) {
        if let Message::Piece(block) = black_box(message) {
            // As a connection does, which reads the payload elsewhere: no byte is touched here.
            input.advance(block.length as usize);
        }
        count += 1;
    }
    assert_eq!(count, COUNT);
    count
}

criterion_group!(benches, encode, decode);
criterion_main!(benches);
