//! One simulated machine: its core, its uplink and downlink, and the edge that places blocks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use super::scenario::Behaviour;
use crate::ids::PeerId;
use crate::layout::{Block, PieceIndex};
use crate::time::Time;
use crate::torrent::Torrent;
use crate::torrent::event::{PeerKey, Placed};
use crate::wire::{BlockRequest, Message};

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    /// Index of the other node.
    pub(super) node: usize,
    /// What the other node calls this connection.
    pub(super) their_key: PeerKey,
    /// When the last thing sent here arrives: nothing overtakes on a connection.
    pub(super) last_arrival: Time,
}

/// One machine.
pub(super) struct Node {
    pub(super) torrent: Torrent,
    pub(super) addr: SocketAddr,
    pub(super) id: PeerId,
    pub(super) up: u64,
    pub(super) down: u64,
    pub(super) behaviour: Behaviour,
    pub(super) delay: Duration,
    pub(super) left: Option<Time>,
    pub(super) alive: bool,
    pub(super) links: BTreeMap<PeerKey, Link>,
    /// Blocks waiting for the uplink, one queue per connection, served in turn.
    flows: VecDeque<(PeerKey, VecDeque<Block>)>,
    /// Whether a block is on the uplink.
    pub(super) uplink_busy: bool,
    pub(super) downlink_free: Time,
    asked: BTreeSet<(PeerKey, Block)>,
    filled: BTreeMap<PieceIndex, BTreeSet<u32>>,
    /// Pieces whose buffer holds a corrupt block.
    pub(super) spoiled: BTreeSet<PieceIndex>,
    pub(super) blocks_sent: u64,
    pub(super) completed: Option<Time>,
    /// The moment for which a deadline is scheduled.
    pub(super) deadline: Option<Time>,
}

impl Node {
    pub(super) fn new(torrent: Torrent, addr: SocketAddr, id: PeerId, rates: (u64, u64)) -> Self {
        Self {
            torrent,
            addr,
            id,
            up: rates.0,
            down: rates.1,
            behaviour: Behaviour::Honest,
            delay: Duration::ZERO,
            left: None,
            alive: false,
            links: BTreeMap::new(),
            flows: VecDeque::new(),
            uplink_busy: false,
            downlink_free: Time::ZERO,
            asked: BTreeSet::new(),
            filled: BTreeMap::new(),
            spoiled: BTreeSet::new(),
            blocks_sent: 0,
            completed: None,
            deadline: None,
        }
    }

    /// Notes what was asked of a peer, and says it in messages.
    pub(super) fn ask(&mut self, peer: PeerKey, blocks: &[Block]) -> Vec<Message> {
        self.asked.extend(blocks.iter().map(|&block| (peer, block)));
        blocks
            .iter()
            .map(|&block| Message::Request(request_of(block)))
            .collect()
    }

    /// Queues blocks for the uplink.
    pub(super) fn send_blocks(&mut self, peer: PeerKey, blocks: Vec<Block>) {
        match self.flows.iter_mut().find(|(key, _)| *key == peer) {
            Some((_, queue)) => queue.extend(blocks),
            None => self.flows.push_back((peer, blocks.into())),
        }
    }

    /// The block that has the uplink next.
    pub(super) fn next_block(&mut self) -> Option<(PeerKey, Block)> {
        let (key, mut queue) = self.flows.pop_front()?;
        let block = queue.pop_front()?;
        if !queue.is_empty() {
            self.flows.push_back((key, queue));
        }
        Some((key, block))
    }

    /// What the edge does with an arriving block: see [`Placed`].
    pub(super) fn place(&mut self, peer: PeerKey, block: Block, corrupt: bool) -> Placed {
        let was_asked = self.asked.remove(&(peer, block));
        let fresh = was_asked
            && self
                .filled
                .entry(block.piece())
                .or_default()
                .insert(block.begin());
        if fresh && corrupt {
            self.spoiled.insert(block.piece());
        }
        if fresh {
            Placed::Stored
        } else {
            Placed::Discarded
        }
    }

    /// The buffer of this piece is free; says whether it held a corrupt block.
    pub(super) fn clear(&mut self, piece: PieceIndex) -> bool {
        self.filled.remove(&piece);
        self.asked.retain(|(_, block)| block.piece() != piece);
        self.spoiled.remove(&piece)
    }

    /// A connection is gone.
    pub(super) fn unlink(&mut self, peer: PeerKey) -> Option<Link> {
        self.flows.retain(|(key, _)| *key != peer);
        self.asked.retain(|(key, _)| *key != peer);
        self.links.remove(&peer)
    }
}

/// A block as it is named on the wire.
pub(super) const fn request_of(block: Block) -> BlockRequest {
    BlockRequest {
        index: block.piece().get(),
        begin: block.begin(),
        length: block.len(),
    }
}
