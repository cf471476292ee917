//! One live connection as the core sees it: flags, pieces, what was asked in both directions, rates.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use super::config::TorrentConfig;
use super::event::{Direction, PeerKey, PeerSource};
use super::rate::Rate;
use crate::bitfield::Bitfield;
use crate::ids::PeerId;
use crate::layout::{BLOCK_LEN, Block};
use crate::time::Time;
use crate::wire::{Handshake, Reserved};

/// How much time's worth of blocks is kept asked for. Chosen: covers any round trip below half a
/// second, and is little enough that a slow peer reserves little.
const WINDOW_TIME: Duration = Duration::from_millis(500);

/// Blocks asked for beyond that, so that a rate measured low can rise.
const WINDOW_SPARE: u64 = 8;

/// How long after its first block a peer's window grows with every block, as TCP's does.
const SLOW_START: Duration = Duration::from_secs(1);

/// A peer's pieces before it said anything: none, and it may still say so (BEP 3, BEP 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Bitfield, HaveAll or HaveNone may come.
    Expected,
    /// It came, or the time for it is over.
    Over,
}

/// One connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its remote address.
    pub addr: SocketAddr,
    /// Where it listens, as far as known.
    pub listen_addr: Option<SocketAddr>,
    /// Who dialled.
    pub direction: Direction,
    /// How we learned of it.
    pub source: PeerSource,
    /// What it calls itself.
    pub id: PeerId,
    /// Extensions it speaks.
    pub reserved: Reserved,
    /// Its client's name from the extension handshake, unescaped.
    pub client: String,
    /// We do not answer its requests.
    pub am_choking: bool,
    /// We told it that it has something we want.
    pub am_interested: bool,
    /// It does not answer our requests.
    pub peer_choking: bool,
    /// It wants something of us.
    pub peer_interested: bool,
    /// When we last choked or unchoked it.
    pub choke_changed: Time,
    /// The pieces it has.
    pub have: Bitfield,
    /// Whether its bitfield is still expected.
    pub opening: Opening,
    /// It will never want anything (BEP 21), or has everything.
    pub upload_only: bool,
    /// How many of its pieces we miss and want.
    pub interesting: u32,
    /// Pieces that it lets us ask for while it chokes us (BEP 6), bounded by `ALLOWED_FAST_MAX`.
    pub allowed_fast: Vec<u32>,
    /// What we asked for and when, oldest first.
    pub asked: VecDeque<Block>,
    /// How many blocks may be asked for at a time.
    pub window: u32,
    /// Requests it lets us queue (BEP 10 `reqq`).
    pub reqq: u32,
    /// Since when it owes us something without sending any.
    pub owes_since: Time,
    /// It owed us for too long; one block at a time until it sends again.
    pub snubbing: bool,
    /// What it asked for, oldest first.
    pub wants: VecDeque<Block>,
    /// Payload bytes handed to its socket and not written yet.
    pub serving: u32,
    /// Requests made while we choke it, since the last unchoke.
    pub choked_requests: u32,
    /// Payload received in bytes, and its rate.
    pub received: u64,
    /// Payload received that nobody asked for, in bytes.
    pub unasked_bytes: u32,
    /// Payload sent in bytes.
    pub sent: u64,
    /// Rate in.
    pub down: Rate,
    /// Rate out.
    pub up: Rate,
    /// When its first block came.
    pub first_block: Option<Time>,
    /// When we last heard of it.
    pub heard: Time,
    /// When we last said something to it.
    pub spoke: Time,
}

impl Peer {
    /// A fresh connection: both sides choking, neither interested (BEP 3).
    pub fn new(
        addr: SocketAddr,
        direction: Direction,
        theirs: Handshake,
        piece_count: u32,
        now: Time,
    ) -> Self {
        Self {
            addr,
            listen_addr: (direction == Direction::Outgoing).then_some(addr),
            direction,
            source: PeerSource::Incoming,
            id: theirs.peer_id,
            reserved: theirs.reserved,
            client: String::new(),
            am_choking: true,
            am_interested: false,
            peer_choking: true,
            peer_interested: false,
            choke_changed: now,
            have: Bitfield::empty(piece_count),
            opening: Opening::Expected,
            upload_only: false,
            interesting: 0,
            allowed_fast: Vec::new(),
            asked: VecDeque::new(),
            window: 0,
            reqq: u32::MAX,
            owes_since: now,
            snubbing: false,
            wants: VecDeque::new(),
            serving: 0,
            choked_requests: 0,
            received: 0,
            unasked_bytes: 0,
            sent: 0,
            down: Rate::default(),
            up: Rate::default(),
            first_block: None,
            heard: now,
            spoke: now,
        }
    }

    /// Whether it has every piece.
    pub const fn is_seed(&self) -> bool {
        self.have.is_full()
    }

    /// How many more blocks may be asked for.
    pub fn room(&self) -> usize {
        let window = if self.snubbing { 1 } else { self.window.min(self.reqq) };
        (window as usize).saturating_sub(self.asked.len())
    }

    /// Adapts the window to the blocks that just came.
    pub fn adapt_window(&mut self, blocks: u32, config: &TorrentConfig, now: Time) {
        let per_second = self.down.per_second(now);
        let in_time = per_second * WINDOW_TIME.as_millis() as u64 / 1_000 / u64::from(BLOCK_LEN);
        let target = u32::try_from(in_time + WINDOW_SPARE).unwrap_or(u32::MAX);
        let is_starting = self.first_block.is_none_or(|first| now.since(first) < SLOW_START);
        self.window = if is_starting { (self.window + blocks).max(target) } else { target }
            .clamp(config.window_min, config.window_max);
    }

    /// How long it needs for `blocks` blocks at its present rate; `None` if it sends nothing.
    pub fn time_for(&self, blocks: usize, now: Time) -> Option<Duration> {
        let per_second = self.down.per_second(now);
        let nanos = blocks as u64 * u64::from(BLOCK_LEN) * 1_000_000_000;
        nanos.checked_div(per_second).map(Duration::from_nanos)
    }

    /// Takes a block off the list of what it was asked; `false` if it was not on it.
    pub fn unask(&mut self, block: Block) -> bool {
        let Some(place) = self.asked.iter().position(|&asked| asked == block) else { return false };
        self.asked.remove(place);
        true
    }
}

/// The connections, in key order.
#[derive(Clone, Debug, Default)]
pub struct PeerTable {
    peers: BTreeMap<PeerKey, Peer>,
}

impl PeerTable {
    /// Adds a connection.
    pub fn insert(&mut self, key: PeerKey, peer: Peer) {
        let earlier = self.peers.insert(key, peer);
        assert!(earlier.is_none(), "a connection's key is never reused");
    }

    /// Takes a connection out.
    pub fn remove(&mut self, key: PeerKey) -> Option<Peer> {
        self.peers.remove(&key)
    }

    /// The connection, unless it is gone: events that cross its end are normal.
    pub fn find(&self, key: PeerKey) -> Option<&Peer> {
        self.peers.get(&key)
    }

    /// As [`PeerTable::find`].
    pub fn find_mut(&mut self, key: PeerKey) -> Option<&mut Peer> {
        self.peers.get_mut(&key)
    }

    /// All connections.
    pub fn iter(&self) -> impl Iterator<Item = (PeerKey, &Peer)> {
        self.peers.iter().map(|(&key, peer)| (key, peer))
    }

    /// All connections.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (PeerKey, &mut Peer)> {
        self.peers.iter_mut().map(|(&key, peer)| (key, peer))
    }

    /// The keys of all connections, for loops that change them one by one.
    pub fn keys(&self) -> Vec<PeerKey> {
        self.peers.keys().copied().collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }
}
