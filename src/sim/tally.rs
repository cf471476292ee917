//! What is counted while a swarm runs, for its [`Outcome`].

use std::time::Duration;

use super::outcome::{
    FLOW_HOSTS_MAX, Flow, HostOutcome, Outcome, Overhead, SAMPLES_MAX, Sample, Snapshot,
};
use super::scenario::{Host, Scenario};
use crate::bitfield::Bitfield;
use crate::time::Time;
use crate::wire::Message;

/// Between two samples at first; doubled whenever there would be too many.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(100);
/// `have`: length, type, piece.
pub(super) const HAVE_LEN: u64 = 9;
/// `request`, `cancel`, `reject`: length, type, piece, begin, length.
pub(super) const REQUEST_LEN: u64 = 17;
/// Length and type, of `choke` and all others; what stands before the payload of a block is
/// followed by piece and begin.
pub(super) const PREFIX_LEN: u64 = 5;

/// All counts.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) hosts: Vec<HostOutcome>,
    pub(super) overhead: Overhead,
    pub(super) events: u64,
    /// Which hosts are seeds.
    seeds: Vec<bool>,
    /// Bytes by sender and receiver; empty in a large swarm.
    flows: Vec<u64>,
    samples: Vec<Sample>,
    interval: Duration,
    next_sample: Time,
    /// How many machines that are there have each piece.
    copies: Vec<u32>,
    /// Pieces that fetchers got.
    pieces_got: u64,
    /// Pieces that fetchers are to get.
    pieces_wanted: u64,
    /// Fetchers that are complete.
    complete: usize,
    /// Fetchers that are neither complete nor gone.
    waiting: usize,
}

impl Tally {
    /// Nothing has happened.
    pub(super) fn new(scenario: &Scenario) -> Self {
        let hosts = &scenario.hosts;
        let fetchers = hosts.iter().filter(|host| host.is_fetcher()).count();
        let pieces = scenario.layout.piece_count();
        let pairs = if hosts.len() <= FLOW_HOSTS_MAX {
            hosts.len() * hosts.len()
        } else {
            0
        };
        let start = |host: &Host| HostOutcome {
            completed: host.is_seed.then_some(Time::ZERO),
            ..HostOutcome::default()
        };
        Self {
            hosts: hosts.iter().map(start).collect(),
            overhead: Overhead::default(),
            events: 0,
            seeds: hosts.iter().map(|host| host.is_seed).collect(),
            flows: vec![0; pairs],
            samples: Vec::new(),
            interval: SAMPLE_INTERVAL,
            next_sample: Time::ZERO,
            copies: vec![0; pieces as usize],
            pieces_got: 0,
            pieces_wanted: u64::from(pieces) * fetchers as u64,
            complete: 0,
            waiting: fetchers,
        }
    }

    /// Whether there is nobody left to wait for.
    pub(super) const fn is_over(&self) -> bool {
        self.waiting == 0
    }

    /// A machine is there, with these pieces.
    pub(super) fn came(&mut self, have: &Bitfield) {
        for piece in have.iter_ones() {
            self.copies[piece as usize] += 1;
        }
    }

    /// A machine is gone, and its pieces with it.
    pub(super) fn gone(&mut self, node: u32, host: &Host, have: &Bitfield, now: Time) {
        let outcome = &mut self.hosts[node as usize];
        outcome.left = Some(now);
        self.waiting -= usize::from(host.is_fetcher() && outcome.completed.is_none());
        for piece in have.iter_ones() {
            self.copies[piece as usize] -= 1;
        }
    }

    /// A machine will not come any more.
    pub(super) fn missed(&mut self, node: u32, host: &Host, now: Time) {
        self.hosts[node as usize].left = Some(now);
        self.waiting -= usize::from(host.is_fetcher());
    }

    /// A machine got a piece.
    pub(super) fn stored(&mut self, host: &Host, piece: usize) {
        self.copies[piece] += 1;
        self.pieces_got += u64::from(host.is_fetcher());
    }

    /// A machine got its last piece.
    pub(super) fn completed(&mut self, node: u32, host: &Host, now: Time) {
        self.hosts[node as usize].completed = Some(now);
        self.complete += usize::from(host.is_fetcher());
        self.waiting -= usize::from(host.is_fetcher());
    }

    /// A block arrived.
    pub(super) fn received(&mut self, from: u32, to: u32, bytes: u64) {
        let hosts = self.hosts.len();
        let outcome = &mut self.hosts[to as usize];
        outcome.received += bytes;
        outcome.from_seeds += bytes * u64::from(self.seeds[from as usize]);
        if let Some(flow) = self.flows.get_mut(from as usize * hosts + to as usize) {
            *flow += bytes;
        }
        self.overhead.payload += bytes;
        self.overhead.other += PREFIX_LEN + 8;
    }

    /// A rare message was sent.
    pub(super) fn said(&mut self, message: &Message) {
        let body = match message {
            Message::Bitfield(bits) => bits.len() as u64,
            Message::Extended { payload, .. } => 1 + payload.len() as u64,
            _ => 4,
        };
        self.overhead.other += PREFIX_LEN + body;
    }

    /// Takes a sample if it is time.
    pub(super) fn sample(&mut self, now: Time) {
        if now < self.next_sample {
            return;
        }
        let mut copies = self.copies.clone();
        let middle = copies.len() / 2;
        let copies_min = copies.iter().copied().min().unwrap_or(0);
        let (_, &mut copies_median, _) = copies.select_nth_unstable(middle);
        self.samples.push(Sample {
            at: now,
            complete: self.complete,
            mean_done: self.mean_done(),
            copies_min,
            copies_median,
        });
        if self.samples.len() >= SAMPLES_MAX {
            let mut nth = 0;
            self.samples.retain(|_| {
                nth += 1;
                nth % 2 == 1
            });
            self.interval *= 2;
        }
        self.next_sample = now + self.interval;
    }

    /// How far it has come.
    pub(super) fn snapshot(&self, now: Time) -> Snapshot {
        Snapshot {
            now,
            complete: self.complete,
            mean_done: self.mean_done(),
            events: self.events,
        }
    }

    /// All counts at the end.
    pub(super) fn outcome(mut self, trace_hash: u64, now: Time) -> Outcome {
        self.next_sample = now;
        self.sample(now);
        self.overhead.duplicate = self.hosts.iter().map(|host| host.wasted).sum();
        let hosts = self.hosts.len();
        let sent = self.flows.iter().enumerate();
        let flows = sent.filter(|(_, bytes)| **bytes > 0);
        let flows = flows.map(|(pair, &bytes)| Flow {
            from: pair / hosts,
            to: pair % hosts,
            bytes,
        });
        Outcome {
            flows: flows.collect(),
            hosts: self.hosts,
            samples: self.samples,
            overhead: self.overhead,
            trace_hash,
            ended: now,
            events: self.events,
        }
    }

    fn mean_done(&self) -> f64 {
        self.pieces_got as f64 / self.pieces_wanted.max(1) as f64
    }
}
