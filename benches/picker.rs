//! What does the core cost per block and per HAVE?
//!
//! `block` drives one core through a whole download: request, arrival, verification, HAVEs to the
//! others. `have` feeds it the HAVEs of a swarm. Both print the time per element.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use swarm::bitfield::Bitfield;
use swarm::ids::{InfoHash, PeerId};
use swarm::layout::{BLOCK_LEN, Layout};
use swarm::time::Time;
use swarm::torrent::event::{Direction, PeerKey, Placed, Received, VerifyOutcome};
use swarm::torrent::{Action, Content, Event, Torrent, TorrentConfig};
use swarm::wire::{Handshake, Message, Reserved};

const PIECE_BLOCKS: u32 = 16;

struct Swarm {
    torrent: Torrent,
    now: Time,
}

impl Swarm {
    /// `peers` connections to a leech of `pieces` pieces; the first `seeds` of them have all.
    fn new(pieces: u32, peers: u64, seeds: u64) -> Self {
        let piece_len = PIECE_BLOCKS * BLOCK_LEN;
        let total = u64::from(pieces) * u64::from(piece_len);
        let content = Content {
            info_hash: InfoHash::new([1; 20]),
            layout: Layout::new(total, piece_len).expect("valid"),
            padding: Vec::new(),
            trackers: Vec::new(),
            wanted: Bitfield::full(pieces),
        };
        let config = TorrentConfig {
            peers_max: 1_000,
            ..TorrentConfig::new(PeerId::ours([0; 12]), 1)
        };
        let have = Bitfield::empty(pieces);
        let torrent = Torrent::new(content, have, config, 1, Time::ZERO);
        let mut swarm = Self {
            torrent,
            now: Time::ZERO,
        };
        for n in 1..=peers {
            swarm.connect(n, n <= seeds);
        }
        swarm
    }

    fn connect(&mut self, n: u64, is_seed: bool) {
        let peer = PeerKey(n);
        let mut id = [7; 12];
        id[..8].copy_from_slice(&n.to_be_bytes());
        self.settle(Event::Connected {
            peer,
            addr: SocketAddr::from(([10, 0, 0, 1], 1)),
            direction: Direction::Incoming,
            theirs: Handshake {
                reserved: Reserved::OURS,
                info_hash: InfoHash::new([1; 20]),
                peer_id: PeerId::ours(id),
            },
        });
        let opening = if is_seed {
            Message::HaveAll
        } else {
            Message::HaveNone
        };
        let messages = vec![Received::Message(opening)];
        self.settle(Event::Received { peer, messages });
    }

    /// Everybody lets us ask, and delivers at once until nothing is left.
    fn download(&mut self, peers: u64) {
        for n in 1..=peers {
            let messages = vec![Received::Message(Message::Unchoke)];
            self.settle(Event::Received {
                peer: PeerKey(n),
                messages,
            });
        }
    }

    /// Feeds an event and answers every action until nothing is left to do.
    fn settle(&mut self, event: Event) {
        self.torrent.handle(event, self.now);
        while let Some(action) = self.torrent.poll() {
            let answer = match action {
                Action::Request { peer, blocks } => {
                    let placed = Placed::Stored;
                    let arrived = |block| Received::Block { block, placed };
                    let messages = blocks.into_iter().map(arrived).collect();
                    Event::Received { peer, messages }
                }
                Action::Verify { piece } => {
                    let outcome = VerifyOutcome::Stored;
                    Event::PieceVerified { piece, outcome }
                }
                _ => continue,
            };
            self.now += Duration::from_micros(100);
            self.torrent.handle(answer, self.now);
        }
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
                || Swarm::new(pieces, peers, peers / 2),
                |mut swarm| {
                    swarm.download(peers);
                    assert!(swarm.torrent.is_complete());
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
    for (pieces, peers) in [(2_000_u32, 80), (100_000, 500)] {
        let mut swarm = Swarm::new(pieces, peers, 0);
        let mut next = 0_u64;
        group.throughput(Throughput::Elements(1));
        let id = BenchmarkId::from_parameter(format!("{pieces} pieces, {peers} peers"));
        group.bench_function(id, |b| {
            b.iter(|| {
                // Every peer in turn gets the next piece of its own order.
                let (peer, round) = (PeerKey(1 + next % peers), next / peers);
                let index = (round * 7_919 + peer.0 * 104_729) % u64::from(pieces);
                next += 1;
                let index = u32::try_from(index).expect("below the number of pieces");
                let messages = vec![Received::Message(Message::Have(index))];
                let event = Event::Received { peer, messages };
                swarm.torrent.handle(event, swarm.now);
                while swarm.torrent.poll().is_some() {}
            });
        });
    }
    group.finish();
}

criterion_group!(benches, block, have);
criterion_main!(benches);
