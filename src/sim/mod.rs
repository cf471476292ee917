//! The same core in virtual time: machines, links with a rate and a latency, a tracker, one seed.
//!
//! No payload, no clock, no I/O: two runs of one scenario give the same trace. The core under test
//! is the code that ships; only the driver around it is simulated. Time goes in windows: see `wheel`.

mod buffers;
pub mod build;
mod network;
mod node;
mod occurrence;
mod outcome;
mod parcels;
mod perform;
mod scenario;
mod tally;
mod trace;
mod tracker;
mod wheel;

use std::ops::ControlFlow;
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::bitfield::Bitfield;
use crate::ids::PeerId;
use crate::layout::Block;
use crate::time::Time;
use crate::torrent::event::{CloseReason, Direction, Received, ServeOutcome};
use crate::torrent::{Content, Event, Torrent, TorrentConfig};
use crate::wire::{BlockRequest, Message};

use network::{EndId, Network, Sent};
use node::{INFO_HASH, Life, Node};
use occurrence::{Occurrence, What, Word};
pub use outcome::{
    FLOW_HOSTS_MAX, Flow, HostOutcome, Outcome, Overhead, SAMPLES_MAX, Sample, Snapshot,
};
use parcels::{Parcel, Parcels};
pub use scenario::{Behaviour, Departure, Faults, Host, Scenario};
use tally::Tally;
use trace::Trace;
use tracker::Tracker;
use wheel::{Turn, Wheel};

/// Events between two words on how far a run has come.
const EVENTS_PER_SNAPSHOT: u64 = 1 << 18;
/// Bytes of unfinished pieces that a machine holds in memory, as a real one does by default.
const MEMORY: usize = 64 << 20;
/// Pieces open at a time at least, as in `runtime`.
const OPEN_PIECES_MIN: usize = 4;
/// How much slower than its rate a slow machine sends.
const SLOWNESS: u64 = 20;
/// A connection over which nothing passes is given up by the operating system after this long.
const STALL_NOTICED: Duration = Duration::from_secs(60);

/// A running simulation.
pub struct Simulation {
    scenario: Scenario,
    nodes: Vec<Node>,
    network: Network,
    wheel: Wheel,
    tracker: Tracker,
    parcels: Parcels,
    tally: Tally,
    trace: Trace,
    rng: ChaCha8Rng,
    turn: Turn,
    now: Time,
    /// What happens to a node in its turn; empty between turns.
    whats: Vec<What>,
    /// Pieces that are just being told; empty between turns.
    kept: Vec<u32>,
    /// Blocks that have just left an uplink; empty between turns.
    sent: Vec<Sent>,
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
        let mut wheel = Wheel::new(scenario.hosts.len(), scenario.delay_min());
        let mut network = Network::new(wheel.window());
        let piece_len = scenario.layout.nominal_piece_len() as usize;
        // Where everybody can be dialled, what the tracker names is enough, and peers that name each
        // other change nothing but how long the simulation takes (`docs/simulation.md`).
        let pex = scenario.hosts.iter().any(|host| !host.reachable);
        let mut nodes = Vec::with_capacity(scenario.hosts.len());
        for (index, host) in (0..).zip(&scenario.hosts) {
            let id = PeerId::ours(rng.random());
            let mut config = adjust(TorrentConfig {
                pex,
                ..TorrentConfig::new(id, 6881)
            });
            config.open_pieces_max = (MEMORY / piece_len).max(OPEN_PIECES_MIN);
            config.unchoke_slots = scenario.slots.unwrap_or(config.unchoke_slots);
            let torrent = new_torrent(&scenario, host, config, rng.random());
            nodes.push(Node::new(torrent, id, *host));
            let up = match host.behaviour {
                Behaviour::Slow => host.up / SLOWNESS,
                _ => host.up,
            };
            network.add_node((up, host.down), host.delay);
            wheel.schedule(Turn::of(host.joins), index, What::Join);
            if let Departure::At(leaves) | Departure::CompletedOrAt { at: leaves, .. } = host.leaves
            {
                wheel.schedule(Turn::of(leaves), index, What::Leave);
            }
        }
        Self {
            tracker: Tracker::new(nodes.len()),
            tally: Tally::new(&scenario),
            parcels: Parcels::default(),
            trace: Trace::default(),
            turn: Turn::default(),
            now: Time::ZERO,
            whats: Vec::new(),
            kept: Vec::new(),
            sent: Vec::new(),
            scenario,
            nodes,
            network,
            wheel,
            rng,
        }
    }

    /// Runs until every fetcher that is not gone is complete, or time is up. `progress` hears from
    /// time to time how far it has come.
    pub fn run(self, progress: &mut impl FnMut(Snapshot)) -> Outcome {
        self.run_while(&mut |snapshot| {
            progress(snapshot);
            ControlFlow::Continue(())
        })
    }

    /// As [`Simulation::run`], but `progress` may call it off: then it ends as if time were up.
    pub fn run_while(mut self, progress: &mut impl FnMut(Snapshot) -> ControlFlow<()>) -> Outcome {
        let end = Time::ZERO + self.scenario.time_max;
        let mut all = Vec::new();
        let mut next_snapshot = EVENTS_PER_SNAPSHOT;
        while !self.tally.is_over() {
            let Some(first) = self.wheel.advance(&mut all) else {
                break;
            };
            if first.time() > end {
                break;
            }
            self.network.begin(first);
            self.tally.sample(first.time());
            let start = first_node(first, self.nodes.len());
            let place = all.partition_point(|one| one.node() < start);
            let (last, start) = all.split_at(place);
            for nodes in [start, last] {
                for inbox in nodes.chunk_by(|one, other| one.node() == other.node()) {
                    self.live_through(inbox[0].node(), inbox);
                }
            }
            self.now = first.time() + self.wheel.window();
            if self.tally.events >= next_snapshot {
                next_snapshot = self.tally.events + EVENTS_PER_SNAPSHOT;
                if progress(self.tally.snapshot(self.now)).is_break() {
                    break;
                }
            }
        }
        for (node, outcome) in self.nodes.iter().zip(&mut self.tally.hosts) {
            let end = node.torrent.progress(self.now);
            outcome.sent = end.sent;
            outcome.wasted = end.wasted;
        }
        self.tally.outcome(self.trace.hash(), self.now)
    }

    /// A window of one node, turn by turn.
    fn live_through(&mut self, node: u32, mut inbox: &[Occurrence]) {
        let mut whats = std::mem::take(&mut self.whats);
        while let Some(turn) = self.wheel.next_turn(node, &mut inbox, &mut whats) {
            self.turn = turn;
            self.now = turn.time();
            self.take_turn(node, &whats);
        }
        self.whats = whats;
    }

    /// All that happens to one node in this turn.
    fn take_turn(&mut self, node: u32, whats: &[What]) {
        self.trace.turn(node, self.now);
        self.tally.events += whats.len() as u64;
        self.pump(node);
        let mut rest = whats;
        while let Some((&first, others)) = rest.split_first() {
            let Some(end) = first.message_end() else {
                rest = others;
                self.trace.add(first);
                self.happen(node, first);
                continue;
            };
            // What came over one connection is read in one go.
            let together = rest
                .iter()
                .take_while(|next| next.message_end() == Some(end));
            let (read, unread) = rest.split_at(together.count());
            rest = unread;
            self.read(node, end, read);
        }
        if self.node(node).life != Life::Present {
            return;
        }
        self.pump(node);
        if self.scenario.checked {
            self.node(node).torrent.check_invariants();
        }
        self.note_deadlines(node);
    }

    fn happen(&mut self, node: u32, what: What) {
        match what {
            What::Join => self.join(node),
            What::Leave => self.leave(node),
            What::Wake => self.wake(node),
            // It was looked at already: see `take_turn`.
            What::Uplink => {
                let turn = self.turn;
                self.node_mut(node).uplink.take_if(|uplink| *uplink <= turn);
            }
            What::Verified(piece) => self.verified(node, piece),
            What::Dialled(by) => self.dialled(node, by),
            What::Refused(by) => {
                let addr = node::addr_of(by);
                self.deliver(node, Event::ConnectFailed { addr });
            }
            What::Connected(end) => self.connected(node, end, Direction::Outgoing),
            What::Closed(end) => {
                self.closed(node, end, CloseReason::ByPeer);
            }
            What::Break(end, number) => self.break_off(end, number),
            What::Stall(end, number) => self.stall(end, number),
            What::Later(end, number) => {
                if self.network.number(end) == number {
                    self.say_kept(end);
                }
            }
            What::Announced(parcel) => self.announced(node, parcel),
            What::Message(..) => unreachable!("messages are read together"),
        }
    }

    /// One turn of the driver: the event in, the actions out.
    fn deliver(&mut self, node: u32, event: Event) {
        let now = self.now;
        let present = self.node_mut(node);
        if present.life != Life::Present {
            return;
        }
        present.torrent.handle(event, now);
        while let Some(action) = self.node_mut(node).torrent.poll() {
            self.perform(node, action);
        }
    }

    /// Messages that came over one connection, in one read.
    fn read(&mut self, node: u32, end: EndId, read: &[What]) {
        let hears = self.network.is_open(end) && self.node(node).life == Life::Present;
        let peer = self.network.key(end);
        let mut messages = Vec::with_capacity(read.len());
        for &what in read {
            let What::Message(_, word) = what else {
                continue;
            };
            if let Word::Parcel(parcel) = word {
                let Parcel::Message(message) = self.parcels.take(parcel) else {
                    unreachable!("only messages are sent over connections");
                };
                messages.push(Received::Message(message));
            } else if hears {
                messages.push(self.received(node, end, word));
            }
            if hears {
                self.trace.add(what);
            }
        }
        if hears {
            self.deliver(node, Event::Received { peer, messages });
        }
    }

    fn received(&mut self, node: u32, end: EndId, word: Word) -> Received {
        let message = match word {
            Word::Block(piece, number) => return self.arrived(node, end, (piece, number, false)),
            Word::Corrupt(piece, number) => return self.arrived(node, end, (piece, number, true)),
            Word::Have(piece) => Message::Have(piece),
            Word::Request(piece, number) => Message::Request(self.request_of(piece, number)),
            Word::Cancel(piece, number) => Message::Cancel(self.request_of(piece, number)),
            Word::Reject(piece, number) => {
                self.network.answered(end, self.block(piece, number));
                Message::Reject(self.request_of(piece, number))
            }
            Word::Choke => Message::Choke,
            Word::Unchoke => Message::Unchoke,
            Word::Interested => Message::Interested,
            Word::NotInterested => Message::NotInterested,
            Word::Parcel(_) => unreachable!("parcels are opened before"),
        };
        Received::Message(message)
    }

    /// Lets the uplink of a node work until now, and tells its core what has left.
    fn pump(&mut self, node: u32) {
        loop {
            let mut sent = std::mem::take(&mut self.sent);
            self.network.pump(node, self.now, &mut sent);
            for one in &sent {
                self.send_on(node, one);
            }
            for flow in sent.chunk_by(|one, other| one.end == other.end) {
                let served = Event::Served {
                    peer: self.network.key(flow[0].end),
                    blocks: flow.iter().map(|one| one.block).collect(),
                    outcome: ServeOutcome::Sent,
                };
                self.deliver(node, served);
            }
            let is_idle = sent.is_empty();
            sent.clear();
            self.sent = sent;
            if is_idle {
                return;
            }
        }
    }

    /// A block goes to the other end.
    fn send_on(&mut self, node: u32, sent: &Sent) {
        let is_corrupt = match self.node(node).host.behaviour {
            Behaviour::Corrupter { one_in } => self.rng.random_range(0..one_in.max(1)) == 0,
            _ => false,
        };
        let piece = sent.block.piece().get();
        let number = number_of(sent.block);
        let word = if is_corrupt {
            Word::Corrupt(piece, number)
        } else {
            Word::Block(piece, number)
        };
        let other = sent.end.other();
        let at = sent.arrives.max(self.turn.next());
        let receiver = self.network.receiver(sent.end);
        self.wheel
            .schedule(at, receiver, What::Message(other, word));
    }

    /// Sees to it that the node has a turn when its core or its uplink wants one.
    fn note_deadlines(&mut self, node: u32) {
        let next = self.turn.next();
        let uplink = self.network.wake(node);
        let present = &mut self.nodes[node as usize];
        if let Some(deadline) = present.torrent.deadline() {
            let at = Turn::of(deadline).max(next);
            if present.wake != Some(at) {
                present.wake = Some(at);
                self.wheel.schedule(at, node, What::Wake);
            }
        }
        if let Some(uplink) = uplink {
            let at = Turn::of(uplink).max(next);
            if present.uplink != Some(at) {
                present.uplink = Some(at);
                self.wheel.schedule(at, node, What::Uplink);
            }
        }
    }

    fn wake(&mut self, node: u32) {
        let turn = self.turn;
        let wake = &mut self.node_mut(node).wake;
        if wake.take_if(|wake| *wake == turn).is_none() {
            return;
        }
        let is_due = |deadline| deadline <= self.now;
        if self.node(node).torrent.deadline().is_some_and(is_due) {
            self.deliver(node, Event::Deadline);
        }
    }

    fn node(&self, node: u32) -> &Node {
        &self.nodes[node as usize]
    }

    fn node_mut(&mut self, node: u32) -> &mut Node {
        &mut self.nodes[node as usize]
    }

    fn block(&self, piece: u32, number: u16) -> Block {
        let layout = &self.scenario.layout;
        let piece = layout.piece(piece).expect("a core names pieces that exist");
        layout
            .nth_block(piece, number.into())
            .expect("a core names blocks that exist")
    }

    fn request_of(&self, piece: u32, number: u16) -> BlockRequest {
        let block = self.block(piece, number);
        BlockRequest {
            index: piece,
            begin: block.begin(),
            length: block.len(),
        }
    }
}

fn new_torrent(scenario: &Scenario, host: &Host, config: TorrentConfig, seed: u64) -> Torrent {
    let count = scenario.layout.piece_count();
    let content = Content {
        info_hash: INFO_HASH,
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

/// Who lives first through the window that begins with this turn. It changes from window to window:
/// who comes first to a downlink can fill it for the length of the window.
const fn first_node(first: Turn, nodes: usize) -> u32 {
    let mixed = first.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    (mixed % nodes as u64) as u32
}

/// Which of its piece's blocks this is.
fn number_of(block: Block) -> u16 {
    let number = block.number().expect("a core asks for aligned blocks");
    u16::try_from(number).expect("a piece has at most 8,192 blocks")
}
