//! The same core in virtual time: machines, links with a rate and a latency, a tracker, one seed.
//!
//! No payload, no clock, no I/O: two runs of one scenario give the same trace. The core under test
//! is the code that ships; only the driver around it is simulated.

mod node;
mod outcome;
mod queue;
mod scenario;
mod trace;

use std::net::SocketAddr;
use std::ops::ControlFlow;
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
pub use outcome::{FLOW_HOSTS_MAX, Flow, HostOutcome, Outcome, Overhead, Sample, Snapshot};
use queue::EventQueue;
pub use scenario::{Behaviour, Departure, Faults, Host, Scenario};
use trace::Trace;

/// How long hashing and writing a piece takes.
const VERIFY_TIME: Duration = Duration::from_millis(5);
/// Events between two words on how far a run has come.
const EVENTS_PER_SNAPSHOT: u64 = 1 << 16;
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
    events: u64,
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
            let up = match host.behaviour {
                Behaviour::Slow => host.up / 20,
                _ => host.up,
            };
            let mut node = Node::new(torrent, addr_of(index), id, (up, host.down));
            node.behaviour = host.behaviour;
            node.delay = host.delay;
            node.completed = host.is_seed.then_some(Time::ZERO);
            nodes.push(node);
            queue.schedule(host.joins, Occurrence::Join(index));
            if let Departure::At(dies) = host.leaves {
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
            events: 0,
        }
    }

    /// Runs until every living fetcher is complete, or time is up. `progress` hears from time to
    /// time how far it has come.
    pub fn run(self, progress: &mut impl FnMut(Snapshot)) -> Outcome {
        self.run_while(&mut |snapshot| {
            progress(snapshot);
            ControlFlow::Continue(())
        })
    }

    /// As [`Simulation::run`], but `progress` may call it off: then it ends as if time were up.
    pub fn run_while(mut self, progress: &mut impl FnMut(Snapshot) -> ControlFlow<()>) -> Outcome {
        let end = Time::ZERO + self.scenario.time_max;
        while let Some((at, occurrence)) = self.queue.pop() {
            if at > end || self.is_over() {
                break;
            }
            self.now = at;
            self.step(occurrence);
            self.events += 1;
            if self.events.is_multiple_of(EVENTS_PER_SNAPSHOT)
                && progress(self.snapshot()).is_break()
            {
                break;
            }
        }
        let hosts = self.nodes.iter().map(|node| {
            let end = node.torrent.progress(self.now);
            HostOutcome {
                completed: node.completed,
                left: node.left,
                sent: end.sent,
                received: end.received,
                from_seeds: end.received_from_seeds,
                wasted: end.wasted,
            }
        });
        Outcome {
            hosts: hosts.collect(),
            flows: Vec::new(),
            samples: Vec::new(),
            overhead: Overhead::default(),
            trace_hash: self.trace.hash(),
            ended: self.now,
            events: self.events,
        }
    }

    fn snapshot(&self) -> Snapshot {
        let hosts = self.scenario.hosts.iter().zip(&self.nodes);
        let fetchers: Vec<&Node> = hosts
            .filter(|(host, _)| host.is_fetcher())
            .map(|(_, node)| node)
            .collect();
        let have: u64 = fetchers
            .iter()
            .map(|node| u64::from(node.torrent.have().count()))
            .sum();
        let pieces = u64::from(self.scenario.layout.piece_count()) * fetchers.len() as u64;
        Snapshot {
            now: self.now,
            complete: fetchers
                .iter()
                .filter(|node| node.completed.is_some())
                .count(),
            mean_done: have as f64 / pieces.max(1) as f64,
            events: self.events,
        }
    }

    fn is_over(&self) -> bool {
        let open = |host: &Host, node: &Node| {
            host.is_fetcher() && node.completed.is_none() && node.left.is_none()
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
                let delay = self.delay_between(node, index_of(addr));
                self.queue
                    .schedule(self.now + delay * 4, Occurrence::Dialled(node, addr));
            }
            Action::Send {
                message: Message::Unchoke,
                ..
            } if self.nodes[node].behaviour == Behaviour::FreeRider => {}
            Action::Serve { .. } if self.nodes[node].behaviour == Behaviour::Liar => {}
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
            Action::Notify(Notice::Complete) => self.complete(node),
            Action::Notify(_) => {}
        }
    }

    fn transmit(&mut self, node: usize, peer: PeerKey, messages: Vec<Message>) {
        let Some(&link) = self.nodes[node].links.get(&peer) else {
            return;
        };
        let at = self.now + self.delay_between(node, link.node);
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
        let corrupt = match self.nodes[node].behaviour {
            Behaviour::Corrupter { one_in } => self.rng.random_range(0..one_in.max(1)) == 0,
            _ => false,
        };
        let Some(&link) = self.nodes[node].links.get(&peer) else {
            return;
        };
        let delay = self.delay_between(node, link.node);
        let Some(link) = self.nodes[node].links.get_mut(&peer) else {
            return;
        };
        let receiver = link.node;
        link.last_arrival = link.last_arrival.max(self.now + delay);
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
        let target = index_of(addr);
        let is_open = self.nodes[target].alive && self.scenario.hosts[target].reachable;
        if !is_open || !self.nodes[node].alive {
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
        let at = self.now + self.delay_between(node, link.node);
        self.queue
            .schedule(at, Occurrence::Deliver(link.node, closed));
    }

    fn complete(&mut self, node: usize) {
        self.nodes[node].completed = Some(self.now);
        if let Departure::Completed { after } = self.scenario.hosts[node].leaves {
            self.queue.schedule(self.now + after, Occurrence::Die(node));
        }
    }

    fn delay_between(&self, one: usize, other: usize) -> Duration {
        self.nodes[one].delay + self.nodes[other].delay
    }

    fn die(&mut self, node: usize) {
        self.nodes[node].alive = false;
        self.nodes[node].left = Some(self.now);
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
        let at = self.now + self.nodes[node].delay * 4;
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
    let have = if host.is_seed || host.behaviour == Behaviour::Liar {
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

fn index_of(addr: SocketAddr) -> usize {
    let SocketAddr::V4(addr) = addr else {
        unreachable!("every simulated host has an IPv4 address");
    };
    (addr.ip().to_bits() & 0x00ff_ffff) as usize - 1
}

fn transfer_time(block: Block, bytes_per_second: u64) -> Duration {
    Duration::from_nanos(u64::from(block.len()) * 1_000_000_000 / bytes_per_second.max(1))
}
