//! Random and hostile sequences of events: nothing panics, every invariant holds.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::bitfield::Bitfield;
use crate::ids::{InfoHash, PeerId};
use crate::layout::{Block, Layout, PieceIndex};
use crate::time::Time;
use crate::torrent::event::{
    CloseReason, Command, Direction, DiskFault, PeerKey, PeerSource, Placed, Received,
    ServeOutcome, TrackerId, VerifyOutcome,
};
use crate::torrent::{Action, Content, Event, Torrent, TorrentConfig};
use crate::tracker::{AnnounceFailure, AnnounceResponse};
use crate::wire::{BlockRequest, Handshake, Message, Reserved};

use super::harness::addr;

const PIECES: u32 = 12;
const PIECE_LEN: u32 = 40_000;

/// The world around one core, as far as a driver must keep its side of the contract.
struct World {
    torrent: Torrent,
    rng: ChaCha8Rng,
    now: Time,
    layout: Layout,
    live: Vec<PeerKey>,
    next_key: u64,
    asked: Vec<(PeerKey, Block)>,
    filled: BTreeSet<Block>,
    verifying: Vec<PieceIndex>,
    serving: Vec<(PeerKey, Vec<Block>)>,
    dialled: Vec<std::net::SocketAddr>,
    announcing: Vec<TrackerId>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let layout = Layout::new(u64::from(PIECES * PIECE_LEN) - 7, PIECE_LEN).expect("valid");
        let mut wanted = Bitfield::full(PIECES);
        if rng.random_bool(0.3) {
            wanted.remove(layout.piece(3).expect("exists"));
        }
        let content = Content {
            info_hash: InfoHash::new([1; 20]),
            layout,
            padding: if rng.random_bool(0.3) {
                std::iter::once(90_000..130_000).collect()
            } else {
                Vec::new()
            },
            trackers: vec![vec!["a".to_owned(), "b".to_owned()], vec!["c".to_owned()]],
            wanted,
        };
        let config = TorrentConfig {
            open_pieces_max: rng.random_range(1..8),
            unchoke_slots: rng.random_range(1..4),
            peers_max: 6,
            upload_limit: rng.random_bool(0.5).then_some(100_000),
            download_limit: rng.random_bool(0.5).then_some(100_000),
            ..TorrentConfig::new(PeerId::ours([9; 12]), 6881)
        };
        let have = Bitfield::empty(PIECES);
        let torrent = Torrent::new(content, have, config, rng.random(), Time::ZERO);
        Self {
            torrent,
            rng,
            now: Time::ZERO,
            layout,
            live: Vec::new(),
            next_key: 1,
            asked: Vec::new(),
            filled: BTreeSet::new(),
            verifying: Vec::new(),
            serving: Vec::new(),
            dialled: Vec::new(),
            announcing: Vec::new(),
        }
    }

    fn step(&mut self) {
        if self.rng.random_bool(0.3) {
            self.now += Duration::from_millis(self.rng.random_range(0..2_000));
        }
        let event = self.event();
        self.torrent.handle(event, self.now);
        while let Some(action) = self.torrent.poll() {
            self.perform(action);
        }
        self.torrent.check_invariants();
        let deadline = self.torrent.deadline();
        assert!(
            deadline.is_none_or(|deadline| deadline > self.now),
            "a deadline lies ahead"
        );
    }

    fn event(&mut self) -> Event {
        match self.rng.random_range(0..100) {
            0..6 => self.connected(),
            6..8 => self.closed(),
            8..12 => self.served(),
            12..20 => self.verified(),
            20..22 => self.found(),
            22..24 => self.lost_or_found(),
            24..27 => self.announced(),
            27..28 if self.rng.random_bool(0.02) => Event::Command(Command::Stop),
            28..29 => Event::Command(Command::LimitUpload(Some(50_000))),
            29..30 => Event::Command(Command::LimitDownload(None)),
            30..32 => self.connect_failed(),
            32..65 => self.block(),
            65..98 => self.message(),
            _ => Event::Deadline,
        }
    }

    fn peer(&mut self) -> PeerKey {
        // Sometimes one that is gone, or never was.
        let gone = PeerKey(self.rng.random_range(0..=self.next_key + 1));
        if self.rng.random_bool(0.02) {
            return gone;
        }
        self.live.choose(&mut self.rng).copied().unwrap_or(gone)
    }

    fn connected(&mut self) -> Event {
        let peer = PeerKey(self.next_key);
        self.next_key += 1;
        self.live.push(peer);
        let n = self.rng.random_range(1..9);
        let direction = if self.rng.random_bool(0.5) {
            Direction::Incoming
        } else {
            Direction::Outgoing
        };
        let reserved = if self.rng.random_bool(0.7) {
            Reserved::OURS
        } else {
            Reserved([0; 8])
        };
        let peer_id = PeerId::ours([n; 12]);
        let theirs = Handshake {
            reserved,
            info_hash: InfoHash::new([1; 20]),
            peer_id,
        };
        Event::Connected {
            peer,
            addr: addr(n),
            direction,
            theirs,
        }
    }

    fn closed(&mut self) -> Event {
        let peer = self.peer();
        self.forget(peer);
        Event::Closed {
            peer,
            reason: CloseReason::ByPeer,
        }
    }

    fn served(&mut self) -> Event {
        let Some((peer, blocks)) = self.serving.pop() else {
            return Event::Deadline;
        };
        let fails = self.rng.random_bool(0.1);
        let outcome = if fails {
            ServeOutcome::Unreadable
        } else {
            ServeOutcome::Sent
        };
        Event::Served {
            peer,
            blocks,
            outcome,
        }
    }

    fn verified(&mut self) -> Event {
        let Some(piece) = self.verifying.pop() else {
            return Event::Deadline;
        };
        self.clear(piece);
        let outcome = match self.rng.random_range(0..10) {
            0..2 => VerifyOutcome::HashMismatch,
            2 => VerifyOutcome::DiskFault(DiskFault::NoSpace("/".to_owned())),
            _ => VerifyOutcome::Stored,
        };
        Event::PieceVerified { piece, outcome }
    }

    fn found(&mut self) -> Event {
        let addrs = (0..3).map(|_| addr(self.rng.random())).collect();
        Event::PeersFound {
            source: PeerSource::Tracker,
            addrs,
        }
    }

    fn lost_or_found(&mut self) -> Event {
        let index = self.rng.random_range(0..PIECES);
        let pieces = self.layout.piece(index).into_iter().collect();
        if self.rng.random_bool(0.5) {
            Event::PiecesLost { pieces }
        } else {
            Event::PiecesFound { pieces }
        }
    }

    fn announced(&mut self) -> Event {
        let Some(tracker) = self.announcing.pop() else {
            return Event::Deadline;
        };
        let result = if self.rng.random_bool(0.5) {
            Ok(AnnounceResponse {
                interval: Duration::from_secs(60),
                ..Default::default()
            })
        } else {
            Err(AnnounceFailure::Timeout(Duration::from_secs(30)))
        };
        Event::Announced { tracker, result }
    }

    fn connect_failed(&mut self) -> Event {
        let addr = self.dialled.pop().unwrap_or(addr(3));
        Event::ConnectFailed { addr }
    }

    fn block(&mut self) -> Event {
        let known = (!self.asked.is_empty() && self.rng.random_bool(0.95))
            .then(|| self.rng.random_range(0..self.asked.len()))
            .map(|place| self.asked.swap_remove(place));
        let (peer, block, asked) = match known {
            Some((peer, block)) => (peer, block, true),
            None => (self.peer(), self.random_block(), false),
        };
        let placed = if asked && self.filled.insert(block) {
            Placed::Stored
        } else {
            Placed::Discarded
        };
        let messages = vec![Received::Block { block, placed }];
        Event::Received { peer, messages }
    }

    fn random_block(&mut self) -> Block {
        let piece = self
            .layout
            .piece(self.rng.random_range(0..PIECES))
            .expect("exists");
        let number = self.rng.random_range(0..self.layout.block_count(piece));
        self.layout.nth_block(piece, number).expect("exists")
    }

    fn message(&mut self) -> Event {
        let peer = self.peer();
        let index = self.rng.random_range(0..PIECES);
        let (begin, length) = (self.rng.random_range(0..3) * 16_384, 7_000);
        let request = BlockRequest {
            index,
            begin,
            length,
        };
        let message = match self.rng.random_range(0..100) {
            0..8 => Message::Choke,
            8..25 => Message::Unchoke,
            25..35 => Message::Interested,
            35..38 => Message::NotInterested,
            38..60 => Message::Have(index),
            60..64 => Message::HaveAll,
            64..66 => Message::HaveNone,
            66..68 => Message::Bitfield(Bytes::from_static(&[0xaa, 0xf0])),
            68..85 => Message::Request(request),
            85..88 => Message::Cancel(request),
            88..92 => self.reject(peer),
            92..94 => Message::AllowedFast(index),
            94..96 => Message::Extended {
                id: 0,
                payload: Bytes::from_static(b"d1:pi7777e4:reqqi3e1:v3:foo11:upload_onlyi1ee"),
            },
            96 => Message::Have(u32::MAX),
            97 => Message::Bitfield(Bytes::from_static(&[0xff])),
            98 => Message::Request(BlockRequest {
                begin: u32::MAX,
                ..request
            }),
            _ => Message::KeepAlive,
        };
        let messages = vec![Received::Message(message)];
        Event::Received { peer, messages }
    }

    fn reject(&mut self, peer: PeerKey) -> Message {
        let place = self.asked.iter().position(|(key, _)| *key == peer);
        let Some(place) = place else {
            return Message::Suggest(0);
        };
        let (_, block) = self.asked.swap_remove(place);
        let (index, begin, length) = (block.piece().get(), block.begin(), block.len());
        Message::Reject(BlockRequest {
            index,
            begin,
            length,
        })
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Request { peer, blocks } => {
                assert!(self.live.contains(&peer), "only the living are asked");
                self.asked
                    .extend(blocks.into_iter().map(|block| (peer, block)));
            }
            Action::Serve { peer, blocks } => self.serving.push((peer, blocks)),
            Action::Verify { piece } => self.verifying.push(piece),
            Action::Forget { piece } => self.clear(piece),
            Action::Connect { addr } => self.dialled.push(addr),
            Action::Announce { tracker, .. } => self.announcing.push(tracker),
            Action::Disconnect { peer, .. } => self.forget(peer),
            Action::Have { .. }
            | Action::Send { .. }
            | Action::Cancel { .. }
            | Action::GiveMetadata { .. }
            | Action::Notify(_) => {}
        }
    }

    fn forget(&mut self, peer: PeerKey) {
        self.live.retain(|&live| live != peer);
        self.asked.retain(|(key, _)| *key != peer);
    }

    fn clear(&mut self, piece: PieceIndex) {
        self.filled.retain(|block| block.piece() != piece);
    }
}

#[test]
fn no_sequence_of_events_breaks_an_invariant() {
    let number = |name: &str, default: u64| {
        let text = std::env::var(name).unwrap_or_default();
        text.parse().unwrap_or(default)
    };
    let first = number("SWARM_FUZZ_SEED", 0);
    for seed in first..first + number("SWARM_FUZZ_ITERS", 150) {
        let mut world = World::new(seed);
        for _ in 0..600 {
            world.step();
        }
    }
}
