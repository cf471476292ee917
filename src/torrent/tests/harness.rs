//! A core with scripted peers around it; invariants are checked after every event.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use crate::bitfield::Bitfield;
use crate::ids::{InfoHash, PeerId};
use crate::layout::{BLOCK_LEN, Block, Layout, PieceIndex};
use crate::time::Time;
use crate::torrent::event::{
    CloseReason, Direction, PeerKey, Placed, Received, TrackerId, VerifyOutcome,
};
use crate::torrent::{Action, Content, Event, Torrent, TorrentConfig};
use crate::tracker::{AnnounceEvent, AnnounceRequest, AnnounceResponse};
use crate::wire::{BlockRequest, Handshake, Message, Reserved};

/// Blocks in every piece.
pub(super) const PIECE_BLOCKS: u32 = 4;

/// Where peer `n` listens; peer 0 is ourselves.
pub(super) fn addr(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 6881))
}

fn id(n: u8) -> PeerId {
    PeerId::ours([if n == 0 { 100 } else { n }; 12])
}

fn content(pieces: u32) -> Content {
    let piece_len = PIECE_BLOCKS * BLOCK_LEN;
    let layout = Layout::new(u64::from(pieces) * u64::from(piece_len), piece_len).expect("valid");
    Content {
        info_hash: InfoHash::new([1; 20]),
        layout,
        padding: Vec::new(),
        trackers: vec![vec!["http://tracker/announce".to_owned()]],
        wanted: Bitfield::full(pieces),
    }
}

pub(super) struct Bench {
    pub(super) torrent: Torrent,
    pub(super) now: Time,
    layout: Layout,
    next_key: u64,
    verifiable: BTreeSet<PieceIndex>,
}

impl Bench {
    pub(super) fn leech(pieces: u32) -> Self {
        Self::new(pieces, Bitfield::empty(pieces), |config| config)
    }

    pub(super) fn leech_with(pieces: u32, adjust: impl Fn(TorrentConfig) -> TorrentConfig) -> Self {
        Self::new(pieces, Bitfield::empty(pieces), adjust)
    }

    pub(super) fn seed(pieces: u32) -> Self {
        Self::new(pieces, Bitfield::full(pieces), |config| config)
    }

    pub(super) fn seed_with(pieces: u32, adjust: impl Fn(TorrentConfig) -> TorrentConfig) -> Self {
        Self::new(pieces, Bitfield::full(pieces), adjust)
    }

    /// It lacks the last piece alone.
    pub(super) fn leech_at_the_end(pieces: u32) -> Self {
        let mut have = Bitfield::full(pieces);
        let last = content(pieces).layout.piece(pieces - 1).expect("exists");
        have.remove(last);
        Self::new(pieces, have, |config| config)
    }

    pub(super) fn leech_limited(pieces: u32, download: u64) -> Self {
        Self::new(pieces, Bitfield::empty(pieces), |config| TorrentConfig {
            download_limit: Some(download),
            ..config
        })
    }

    fn new(pieces: u32, have: Bitfield, adjust: impl Fn(TorrentConfig) -> TorrentConfig) -> Self {
        let config = adjust(TorrentConfig::new(id(0), 6881));
        Self::of(content(pieces), have, config)
    }

    /// A leech whose manifest names so many trackers, each in a tier of its own.
    pub(super) fn leech_of_trackers(
        trackers: usize,
        adjust: impl Fn(TorrentConfig) -> TorrentConfig,
    ) -> Self {
        let content = Content {
            trackers: vec![vec!["http://tracker/announce".to_owned()]; trackers],
            ..content(4)
        };
        let config = adjust(TorrentConfig::new(id(0), 6881));
        Self::of(content, Bitfield::empty(4), config)
    }

    fn of(content: Content, have: Bitfield, config: TorrentConfig) -> Self {
        Self {
            layout: content.layout,
            torrent: Torrent::new(content, have, config, 7, Time::ZERO),
            now: Time::ZERO,
            next_key: 1,
            verifiable: BTreeSet::new(),
        }
    }

    /// Feeds an event and drains the actions.
    pub(super) fn event(&mut self, event: Event) -> Vec<Action> {
        self.torrent.handle(event, self.now);
        let actions: Vec<Action> = std::iter::from_fn(|| self.torrent.poll()).collect();
        for action in &actions {
            self.note(action);
        }
        self.torrent.check_invariants();
        actions
    }

    /// Lets time pass, waking the core whenever it wants.
    pub(super) fn pass(&mut self, duration: Duration) -> Vec<Action> {
        let end = self.now + duration;
        let mut actions = Vec::new();
        while let Some(deadline) = self.torrent.deadline().filter(|&deadline| deadline <= end) {
            self.now = self.now.max(deadline);
            actions.extend(self.event(Event::Deadline));
            let next = self.torrent.deadline();
            assert!(
                next.is_none_or(|next| next > self.now),
                "a deadline lies ahead"
            );
        }
        self.now = end;
        actions
    }

    pub(super) fn connect(&mut self, n: u8) -> (PeerKey, Vec<Action>) {
        let from = SocketAddr::new(addr(n).ip(), 50_000);
        self.connect_as(n, from, Direction::Incoming)
    }

    pub(super) fn connect_outgoing(&mut self, n: u8) -> (PeerKey, Vec<Action>) {
        self.connect_as(n, addr(n), Direction::Outgoing)
    }

    /// Peer `n` connects from an address of its choice.
    pub(super) fn connect_from(&mut self, n: u8, from: &str) -> (PeerKey, Vec<Action>) {
        let from = from.parse().expect("an address");
        self.connect_as(n, from, Direction::Incoming)
    }

    /// The peer delivers whatever it is asked for, until it is asked for nothing.
    pub(super) fn fetch_all(&mut self, peer: PeerKey) {
        loop {
            let asked = self.asked_of(peer);
            if asked.is_empty() {
                return;
            }
            for block in asked {
                self.delivers(peer, block);
                if self.is_verifiable(block.piece()) {
                    self.verified(block.piece(), VerifyOutcome::Stored);
                }
            }
            self.pass(Duration::from_millis(250));
        }
    }

    pub(super) fn connect_as(
        &mut self,
        n: u8,
        addr: SocketAddr,
        direction: Direction,
    ) -> (PeerKey, Vec<Action>) {
        let peer = PeerKey(self.next_key);
        self.next_key += 1;
        let theirs = Handshake {
            reserved: Reserved::OURS,
            info_hash: InfoHash::new([1; 20]),
            peer_id: id(n),
        };
        let actions = self.event(Event::Connected {
            peer,
            addr,
            direction,
            theirs,
        });
        (peer, actions)
    }

    /// A peer that has everything and unchokes us.
    pub(super) fn connect_seed(&mut self, n: u8) -> PeerKey {
        let (peer, _) = self.connect(n);
        self.says(peer, Message::HaveAll);
        self.says(peer, Message::Unchoke);
        peer
    }

    pub(super) fn says(&mut self, peer: PeerKey, message: Message) -> Vec<Action> {
        self.receives(peer, vec![Received::Message(message)])
    }

    pub(super) fn receives(&mut self, peer: PeerKey, messages: Vec<Received>) -> Vec<Action> {
        self.event(Event::Received { peer, messages })
    }

    /// The peer delivers a block that it was asked for.
    pub(super) fn delivers(&mut self, peer: PeerKey, block: Block) -> Vec<Action> {
        let placed = Placed::Stored;
        self.receives(peer, vec![Received::Block { block, placed }])
    }

    pub(super) fn verified(&mut self, piece: PieceIndex, outcome: VerifyOutcome) -> Vec<Action> {
        self.verifiable.remove(&piece);
        self.event(Event::PieceVerified { piece, outcome })
    }

    pub(super) fn is_verifiable(&self, piece: PieceIndex) -> bool {
        self.verifiable.contains(&piece)
    }

    /// What the core waits for from this peer, in block order.
    pub(super) fn asked_of(&self, peer: PeerKey) -> Vec<Block> {
        let asked = self
            .torrent
            .peers
            .find(peer)
            .map(|peer| peer.asked.iter().copied().collect());
        let mut blocks: Vec<Block> = asked.unwrap_or_default();
        blocks.sort();
        blocks
    }

    /// The block that this peer was asked for first.
    pub(super) fn next_of(&self, peer: PeerKey) -> Block {
        let peer = self.torrent.peers.find(peer).expect("is connected");
        *peer.asked.front().expect("was asked for something")
    }

    pub(super) fn requested(actions: &[Action]) -> Vec<Block> {
        let batches = actions.iter().filter_map(|action| match action {
            Action::Request { blocks, .. } => Some(blocks.clone()),
            _ => None,
        });
        batches.flatten().collect()
    }

    pub(super) fn block(&self, index: u32, number: u32) -> Block {
        let piece = self.layout.piece(index).expect("exists");
        self.layout.nth_block(piece, number).expect("exists")
    }

    pub(super) fn request(&self, index: u32, number: u32) -> Message {
        let block = self.block(index, number);
        let (begin, length) = (block.begin(), block.len());
        Message::Request(BlockRequest {
            index,
            begin,
            length,
        })
    }

    /// Wakes the core, expects this announce and answers it.
    pub(super) fn announced(&mut self, event: AnnounceEvent) -> AnnounceRequest {
        let actions = self.pass(Duration::ZERO);
        self.answered(&actions, event)
    }

    /// Expects this announce among the actions and answers it.
    pub(super) fn answered(&mut self, actions: &[Action], event: AnnounceEvent) -> AnnounceRequest {
        let request = Self::find_announce(actions, event);
        let interval = Duration::from_secs(1_800);
        let result = Ok(AnnounceResponse {
            interval,
            ..AnnounceResponse::default()
        });
        let tracker = TrackerId(0);
        self.event(Event::Announced { tracker, result });
        request
    }

    pub(super) fn find_announce(actions: &[Action], event: AnnounceEvent) -> AnnounceRequest {
        let request = actions.iter().find_map(|action| match action {
            Action::Announce { request, .. } if request.event == event => Some(request.clone()),
            _ => None,
        });
        request.unwrap_or_else(|| panic!("no {event:?} among {actions:?}"))
    }

    fn note(&mut self, action: &Action) {
        if let Action::Verify { piece } = action {
            self.verifiable.insert(*piece);
        }
    }
}

pub(super) fn sent(actions: &[Action]) -> Vec<&Message> {
    let messages = actions.iter().filter_map(|action| match action {
        Action::Send { message, .. } => Some(message),
        _ => None,
    });
    messages.collect()
}

pub(super) fn disconnects(actions: &[Action]) -> Vec<&CloseReason> {
    let reasons = actions.iter().filter_map(|action| match action {
        Action::Disconnect { reason, .. } => Some(reason),
        _ => None,
    });
    reasons.collect()
}
