//! How many instructions do the codec spend on a message, and the core on a block, a piece, a HAVE
//! and a slot?
//!
//! Counted by callgrind, so the answer is the same on a busy machine; one compiler gives one answer.
//! `scripts/instructions` compares it with `instructions.json`, where it also says how many elements
//! each count is of, and fails if it is another one.
//! Run: `scripts/instructions`.
#![expect(
    missing_docs,
    reason = "the macros make items that have none of their own"
)]

use std::time::Duration;

use bytes::BytesMut;
use gungraun::{
    Callgrind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use swarm::wire::{Decoder, Message};

#[path = "scene/messages.rs"]
mod messages;
#[path = "scene/swarm.rs"]
mod scene;

use messages::{Kind, decode_all, encode_all};
use scene::{Size, Swarm};

const PIECES: u32 = 1_000;

/// A leech of `PIECES` pieces; half of the peers have everything.
const LEECH: Size = Size {
    pieces: PIECES,
    piece_blocks: 16,
    peers: 20,
    seeds: 10,
    ours: 0,
};

const SEED: Size = Size {
    seeds: 0,
    ours: PIECES,
    ..LEECH
};

fn to_encode(kind: Kind) -> (Vec<Message>, BytesMut) {
    (kind.messages(), messages::room())
}

#[library_benchmark(setup = to_encode)]
#[bench::request(Kind::Request)]
#[bench::have(Kind::Have)]
#[bench::piece(Kind::Piece)]
fn encode((messages, mut out): (Vec<Message>, BytesMut)) -> (Vec<Message>, BytesMut) {
    encode_all(&messages, &mut out);
    (messages, out)
}

#[library_benchmark(setup = Kind::stream)]
#[bench::request(Kind::Request)]
#[bench::have(Kind::Have)]
#[bench::piece(Kind::Piece)]
fn decode((mut decoder, mut input): (Decoder, BytesMut)) -> BytesMut {
    decode_all(&mut decoder, &mut input);
    input
}

// Everything is fetched: requested, arrived, verified, announced to everybody.
#[library_benchmark(setup = Swarm::new)]
#[bench::blocks_of_20(LEECH)]
#[bench::blocks_of_80(Size { peers: 80, seeds: 40, ..LEECH })]
#[bench::pieces_of_one_block(Size { pieces: 16 * PIECES, piece_blocks: 1, ..LEECH })]
fn fetch(mut swarm: Swarm) -> Swarm {
    swarm.fetch();
    assert!(swarm.is_complete());
    swarm
}

// Everything is sent once.
#[library_benchmark(setup = wanted)]
#[bench::blocks_to_20(SEED)]
#[bench::blocks_to_80(Size { peers: 80, ..SEED })]
fn serve(mut swarm: Swarm) -> Swarm {
    swarm.serve();
    swarm
}

// A swarm around us fetches, and says so.
#[library_benchmark(setup = Swarm::new)]
#[bench::few_pieces(Size { pieces: 1_000, peers: 500, seeds: 0, ..LEECH })]
#[bench::many_pieces(Size { pieces: 100_000, peers: 500, seeds: 0, ..LEECH })]
fn have(mut swarm: Swarm) -> Swarm {
    swarm.hear_haves(20_000);
    swarm
}

// A slot becomes free and goes to somebody else.
#[library_benchmark(setup = wanted)]
#[bench::seed_of_80(Size { peers: 80, ..SEED })]
#[bench::seed_of_500(Size { peers: 500, ..SEED })]
#[bench::leech_of_80(Size { peers: 80, ours: PIECES / 2, ..SEED })]
fn choke(mut swarm: Swarm) -> Swarm {
    swarm.pass_slots_on(100);
    swarm
}

// What is due by the clock, rounds of the choker above all.
#[library_benchmark(setup = wanted)]
#[bench::seed_of_80(Size { peers: 80, ..SEED })]
#[bench::leech_of_80(Size { peers: 80, ours: PIECES / 2, ..SEED })]
fn tick(mut swarm: Swarm) -> Swarm {
    for _ in 0..10 {
        swarm.tick(Duration::from_secs(10));
    }
    swarm
}

fn wanted(size: Size) -> Swarm {
    let mut swarm = Swarm::new(size);
    swarm.take_interest();
    swarm
}

library_benchmark_group!(name = codec; benchmarks = encode, decode);
library_benchmark_group!(name = torrent; benchmarks = fetch, serve, have, choke, tick);

main!(
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"]));
    library_benchmark_groups = codec, torrent
);
