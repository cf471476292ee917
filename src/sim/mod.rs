//! The same core in virtual time: machines, links with a rate and a latency, a tracker, one seed.
//!
//! No payload, no clock, no I/O: two runs of one scenario give the same trace. The core under test
//! is the code that ships; only the driver around it is simulated.

mod node;
mod queue;
mod scenario;

use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::bitfield::Bitfield;
use crate::ids::{InfoHash, PeerId};
use crate::layout::{Block, PieceIndex};
use crate::time::Time;
use crate::torrent::event::{
    CloseReason, Direction, Notice, PeerKey, Received, ServeOutcome, TrackerId, VerifyOutcome,
};
use crate::torrent::{Action, Content, Event, Torrent, TorrentConfig};
use crate::tracker::{AnnounceEvent, AnnounceResponse};
use crate::wire::{Handshake, Message, Reserved};

use node::{Link, Node};
use queue::EventQueue;
pub use scenario::{Host, Report, Scenario};

/// How long hashing and writing a piece takes.
const VERIFY_TIME: Duration = Duration::from_millis(5);
/// How often a simulated tracker wants to be asked.
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(60);

enum Occurrence {
    Join(usize),
    Die(usize),
    Wake(usize),
    Deliver(usize, Event),
    /// A payload reaches this node over this connection, possibly corrupt.
    Arrive(usize, PeerKey, Block, bool),
    /// A block has left this node's uplink.
    Sent(usize, PeerKey, Block),
    Verified(usize, PieceIndex),
    Dialled(usize, SocketAddr),
}

/// A running simulation.
pub struct Simulation {
    scenario: Scenario,
    nodes: Vec<Node>,
    queue: EventQueue<Occurrence>,
    rng: ChaCha8Rng,
    announced: Vec<usize>,
    next_key: u64,
    now: Time,
    trace: Trace,
}

impl Simulation {
    /// Sets a scenario up.
    pub fn new(scenario: Scenario) -> Self {
        Self::with_config(scenario, |config| config)
    }

    /// Sets a scenario up; `adjust` changes the core's configuration.
    pub fn with_config(
        scenario: Scenario,
        adjust: impl Fn(TorrentConfig) -> TorrentConfig,
    ) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(scenario.seed);
        let mut queue = EventQueue::new();
        let mut nodes = Vec::new();
        for (index, host) in scenario.hosts.iter().enumerate() {
            let id = PeerId::ours(rng.random());
            let config = adjust(TorrentConfig::new(id, 6881));
            let torrent = new_torrent(&scenario, host, config, rng.random());
            let mut node = Node::new(torrent, addr_of(index), id, (host.up, host.down));
            node.corrupts_one_in = host.corrupts_one_in;
            node.completed = host.is_seed.then_some(Time::ZERO);
            nodes.push(node);
            queue.schedule(host.joins, Occurrence::Join(index));
            if let Some(dies) = host.dies {
                queue.schedule(dies, Occurrence::Die(index));
            }
        }
        Self {
            scenario,
            nodes,
            queue,
            rng,
            announced: Vec::new(),
            next_key: 1,
            now: Time::ZERO,
            trace: Trace::default(),
        }
    }

    /// Runs until every living host is complete, or time is up.
    pub fn run(mut self) -> Report {
        let end = Time::ZERO + self.scenario.time_max;
        while let Some((at, occurrence)) = self.queue.pop() {
            if at > end || self.is_over() {
                break;
            }
            self.now = at;
            self.step(occurrence);
        }
        Report {
            completed: self.nodes.iter().map(|node| node.completed).collect(),
            sent: self
                .nodes
                .iter()
                .map(|node| node.torrent.progress(self.now).sent)
                .collect(),
            wasted: self
                .nodes
                .iter()
                .map(|node| node.torrent.progress(self.now).wasted)
                .collect(),
            ended: self.now,
            trace_hash: self.trace.0,
        }
    }

    fn is_over(&self) -> bool {
        let open = |host: &Host, node: &Node| {
            let is_gone = host.dies.is_some_and(|dies| dies <= self.now);
            node.completed.is_none() && !is_gone
        };
        !self
            .scenario
            .hosts
            .iter()
            .zip(&self.nodes)
            .any(|(host, node)| open(host, node))
    }

    fn step(&mut self, occurrence: Occurrence) {
        match occurrence {
            Occurrence::Join(node) => {
                self.nodes[node].alive = true;
                self.deliver(node, Event::Deadline);
            }
            Occurrence::Die(node) => self.die(node),
            Occurrence::Wake(node) => {
                if self.nodes[node].deadline == Some(self.now) {
                    self.deliver(node, Event::Deadline);
                }
            }
            Occurrence::Deliver(node, event) => self.deliver(node, event),
            Occurrence::Arrive(node, peer, block, corrupt) => {
                if self.nodes[node].links.contains_key(&peer) {
                    let placed = self.nodes[node].place(peer, block, corrupt);
                    let messages = vec![Received::Block { block, placed }];
                    self.deliver(node, Event::Received { peer, messages });
                }
            }
            Occurrence::Sent(node, peer, block) => self.sent(node, peer, block),
            Occurrence::Verified(node, piece) => {
                let spoiled = self.nodes[node].clear(piece);
                let outcome = if spoiled {
                    VerifyOutcome::HashMismatch
                } else {
                    VerifyOutcome::Stored
                };
                self.deliver(node, Event::PieceVerified { piece, outcome });
            }
            Occurrence::Dialled(node, addr) => self.dialled(node, addr),
        }
    }

    /// One turn of the driver: the event in, the actions out, the next deadline noted.
    fn deliver(&mut self, node: usize, event: Event) {
        if !self.nodes[node].alive {
            return;
        }
        self.trace.add(self.now, node, &event);
        self.nodes[node].torrent.handle(event, self.now);
        while let Some(action) = self.nodes[node].torrent.poll() {
            self.perform(node, action);
        }
        if self.scenario.checked {
            self.nodes[node].torrent.check_invariants();
        }
        let deadline = self.nodes[node].torrent.deadline();
        if let Some(at) = deadline
            && self.nodes[node].deadline != Some(at)
        {
            assert!(at > self.now, "a deadline lies ahead");
            self.nodes[node].deadline = Some(at);
            self.queue.schedule(at, Occurrence::Wake(node));
        }
    }

    fn perform(&mut self, node: usize, action: Action) {
        match action {
            Action::Connect { addr } => {
                // Two round trips: TCP's, then the handshakes'.
                let at = self.now + self.scenario.latency * 4;
                self.queue.schedule(at, Occurrence::Dialled(node, addr));
            }
            Action::Send { peer, message } => self.transmit(node, peer, vec![message]),
            Action::Request { peer, blocks } => {
                let messages = self.nodes[node].ask(peer, &blocks);
                self.transmit(node, peer, messages);
            }
            Action::Cancel { peer, blocks } => {
                let cancel = |&block| Message::Cancel(node::request_of(block));
                self.transmit(node, peer, blocks.iter().map(cancel).collect());
            }
            Action::Serve { peer, blocks } => {
                self.nodes[node].send_blocks(peer, blocks);
                self.pump(node);
            }
            Action::Verify { piece } => {
                self.queue
                    .schedule(self.now + VERIFY_TIME, Occurrence::Verified(node, piece));
            }
            Action::Forget { piece } => {
                self.nodes[node].clear(piece);
            }
            Action::Announce { tracker, request } => self.announce(node, tracker, request.event),
            Action::Disconnect { peer, .. } => self.hang_up(node, peer),
            Action::Notify(Notice::Complete) => self.nodes[node].completed = Some(self.now),
            Action::Notify(_) => {}
        }
    }

    fn transmit(&mut self, node: usize, peer: PeerKey, messages: Vec<Message>) {
        let at = self.now + self.scenario.latency;
        let Some(link) = self.nodes[node].links.get_mut(&peer) else {
            return;
        };
        link.last_arrival = link.last_arrival.max(at);
        let (at, to, peer) = (link.last_arrival, link.node, link.their_key);
        let messages = messages.into_iter().map(Received::Message).collect();
        self.queue.schedule(
            at,
            Occurrence::Deliver(to, Event::Received { peer, messages }),
        );
    }

    /// Puts the next block on a free uplink.
    fn pump(&mut self, node: usize) {
        if self.nodes[node].uplink_busy {
            return;
        }
        let Some((peer, block)) = self.nodes[node].next_block() else {
            return;
        };
        self.nodes[node].uplink_busy = true;
        let at = self.now + transfer_time(block, self.nodes[node].up);
        self.queue.schedule(at, Occurrence::Sent(node, peer, block));
    }

    fn sent(&mut self, node: usize, peer: PeerKey, block: Block) {
        self.nodes[node].uplink_busy = false;
        self.pump(node);
        let one_in = self.nodes[node].corrupts_one_in;
        let corrupt = one_in > 0 && self.rng.random_range(0..one_in) == 0;
        let Some(link) = self.nodes[node].links.get_mut(&peer) else {
            return;
        };
        let receiver = link.node;
        link.last_arrival = link.last_arrival.max(self.now + self.scenario.latency);
        let (start, their_key) = (link.last_arrival, link.their_key);
        let busy = self.nodes[receiver].downlink_free.max(start);
        let at = busy + transfer_time(block, self.nodes[receiver].down);
        self.nodes[receiver].downlink_free = at;
        if let Some(link) = self.nodes[node].links.get_mut(&peer) {
            link.last_arrival = at;
        }
        self.nodes[node].blocks_sent += 1;
        self.queue
            .schedule(at, Occurrence::Arrive(receiver, their_key, block, corrupt));
        let served = Event::Served {
            peer,
            blocks: vec![block],
            outcome: ServeOutcome::Sent,
        };
        self.deliver(node, served);
    }

    fn dialled(&mut self, node: usize, addr: SocketAddr) {
        let target = self
            .nodes
            .iter()
            .position(|other| other.addr == addr && other.alive);
        let Some(target) = target.filter(|_| self.nodes[node].alive) else {
            self.deliver(node, Event::ConnectFailed { addr });
            return;
        };
        let (ours, theirs) = (PeerKey(self.next_key), PeerKey(self.next_key + 1));
        self.next_key += 2;
        let link = |node, their_key| Link {
            node,
            their_key,
            last_arrival: Time::ZERO,
        };
        self.nodes[node].links.insert(ours, link(target, theirs));
        self.nodes[target].links.insert(theirs, link(node, ours));
        // The port of an incoming connection is not the one it listens on.
        let from = SocketAddr::new(self.nodes[node].addr.ip(), 50_000);
        for (at, peer, addr, direction, other) in [
            (node, ours, addr, Direction::Outgoing, target),
            (target, theirs, from, Direction::Incoming, node),
        ] {
            let theirs = self.handshake_of(other);
            self.deliver(
                at,
                Event::Connected {
                    peer,
                    addr,
                    direction,
                    theirs,
                },
            );
        }
    }

    fn handshake_of(&self, node: usize) -> Handshake {
        Handshake {
            reserved: Reserved::OURS,
            info_hash: info_hash(),
            peer_id: self.nodes[node].id,
        }
    }

    fn hang_up(&mut self, node: usize, peer: PeerKey) {
        let Some(link) = self.nodes[node].unlink(peer) else {
            return;
        };
        self.nodes[link.node].unlink(link.their_key);
        let closed = Event::Closed {
            peer: link.their_key,
            reason: CloseReason::ByPeer,
        };
        let at = self.now + self.scenario.latency;
        self.queue
            .schedule(at, Occurrence::Deliver(link.node, closed));
    }

    fn die(&mut self, node: usize) {
        self.nodes[node].alive = false;
        self.announced.retain(|&other| other != node);
        let links: Vec<PeerKey> = self.nodes[node].links.keys().copied().collect();
        for peer in links {
            self.hang_up(node, peer);
        }
    }

    fn announce(&mut self, node: usize, tracker: TrackerId, event: AnnounceEvent) {
        self.announced.retain(|&other| other != node);
        let peers = self
            .announced
            .iter()
            .map(|&other| self.nodes[other].addr)
            .collect();
        if event != AnnounceEvent::Stopped {
            self.announced.push(node);
        }
        let response = AnnounceResponse {
            interval: ANNOUNCE_INTERVAL,
            peers,
            ..Default::default()
        };
        let event = Event::Announced {
            tracker,
            result: Ok(response),
        };
        let at = self.now + self.scenario.latency * 2;
        self.queue.schedule(at, Occurrence::Deliver(node, event));
    }
}

fn new_torrent(scenario: &Scenario, host: &Host, config: TorrentConfig, seed: u64) -> Torrent {
    let count = scenario.layout.piece_count();
    let content = Content {
        info_hash: info_hash(),
        layout: scenario.layout,
        padding: Vec::new(),
        trackers: vec![vec!["simulated".to_owned()]],
        wanted: Bitfield::full(count),
    };
    let have = if host.is_seed {
        Bitfield::full(count)
    } else {
        Bitfield::empty(count)
    };
    Torrent::new(content, have, config, seed, Time::ZERO)
}

fn info_hash() -> InfoHash {
    InfoHash::new([0x5a; 20])
}

fn addr_of(index: usize) -> SocketAddr {
    let [.., b, c, d] = (index as u64 + 1).to_be_bytes();
    SocketAddr::from(([10, b, c, d], 6881))
}

fn transfer_time(block: Block, bytes_per_second: u64) -> Duration {
    Duration::from_nanos(u64::from(block.len()) * 1_000_000_000 / bytes_per_second.max(1))
}

/// A running FNV-1a hash over everything that was delivered.
struct Trace(u64);

impl Default for Trace {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Trace {
    fn add(&mut self, now: Time, node: usize, event: &Event) {
        self.word(now.as_nanos());
        self.word(node as u64);
        match event {
            Event::Received { peer, messages } => {
                self.word(peer.0);
                for message in messages {
                    match message {
                        Received::Block { block, placed } => {
                            self.word(u64::from(block.piece().get()) << 32);
                            self.word(u64::from(block.begin()) << 1 | u64::from(*placed as u8));
                        }
                        Received::Message(Message::Have(index)) => self.word(u64::from(*index)),
                        Received::Message(Message::Request(request)) => {
                            self.word(u64::from(request.index) << 32 | u64::from(request.begin));
                        }
                        _ => self.word(1),
                    }
                }
            }
            Event::PieceVerified { piece, .. } => self.word(u64::from(piece.get())),
            Event::Connected { peer, .. } | Event::Closed { peer, .. } => self.word(peer.0),
            _ => self.word(2),
        }
    }

    fn word(&mut self, word: u64) {
        for byte in word.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
