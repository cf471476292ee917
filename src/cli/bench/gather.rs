//! Turns what the machines of a run report into the record of that run.
//!
//! Knows nothing of threads and sockets; the time of each report comes with it.

use std::collections::BTreeMap;

use super::args::{Plan, Round};
use super::machine::Cost;
use crate::cli::error::CliError;
use crate::report::{Flow, HostRun, Overhead, Role, Run, Sample};
use crate::runtime::ControlBytes;
use crate::time::Time;

/// Who fed whom is recorded up to so many machines: the square of it is what a report shows.
const FLOW_HOSTS_MAX: usize = 256;

/// Samples kept; when there are more, every other one goes. More than a plot has columns.
const SAMPLES_MAX: usize = 600;

/// Over how many seconds a rate is taken.
const RATE_SECONDS: f64 = 2.0;

/// What a machine reports.
#[derive(Debug)]
pub(super) enum News {
    /// How far it is; a few times a second.
    Moved {
        /// Which machine, as an index into the hosts of the run.
        host: usize,
        /// What it has come to.
        seen: Seen,
    },
    /// It has stored a piece.
    Stored {
        /// Which machine.
        host: usize,
        /// Which piece.
        piece: u32,
        /// From which hosts, and how much.
        from: Vec<(usize, u64)>,
    },
    /// Everything is there.
    Complete {
        /// Which machine.
        host: usize,
        /// Since when, by the clock of the run.
        at: Time,
    },
    /// Its copy lies under its real name.
    Published,
    /// It cannot go on.
    Failed {
        /// Why.
        error: CliError,
    },
}

/// The counters of one machine.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Content that is there, in bytes.
    pub(super) done: u64,
    /// Payload sent.
    pub(super) sent: u64,
    /// Payload received.
    pub(super) received: u64,
    /// Of that, in vain.
    pub(super) wasted: u64,
    /// Of that, from machines that had everything; an estimate if who sent it is not known.
    pub(super) from_complete: u64,
    /// What it said beside payload.
    pub(super) control: ControlBytes,
}

/// The record of a run as it grows.
#[derive(Debug)]
pub(super) struct Gathered {
    size: u64,
    /// When fetchers were let go.
    start: Time,
    hosts: Vec<HostRun>,
    seeds: u32,
    seen: Vec<Seen>,
    flows: BTreeMap<(u32, u32), u64>,
    /// Fetchers that have each piece.
    copies: Vec<u32>,
    /// Whether `copies` is told of.
    tells_pieces: bool,
    samples: Vec<Sample>,
    /// Every how-manieth sample is kept, and how many there were.
    stride: usize,
    sampled: usize,
    /// Time and bytes done, for the rate.
    recent: Vec<(f64, u64)>,
    published: usize,
}

impl Gathered {
    /// Nothing yet, of so many pieces.
    pub(super) fn new(plan: &Plan, round: Round, pieces: u32) -> Self {
        let hosts = plan.hosts(round.peers);
        Self {
            size: plan.size,
            start: Time::ZERO,
            seeds: plan.seeds.into(),
            seen: vec![Seen::default(); hosts.len()],
            hosts,
            flows: BTreeMap::new(),
            copies: vec![0; pieces as usize],
            tells_pieces: false,
            samples: Vec::new(),
            stride: 1,
            sampled: 0,
            recent: Vec::new(),
            published: 0,
        }
    }

    /// Fetchers start at `start`.
    pub(super) const fn begin(&mut self, start: Time) {
        self.start = start;
    }

    /// Takes in a report.
    pub(super) fn heed(&mut self, news: News) -> Result<(), CliError> {
        match news {
            News::Moved { host, seen } => self.seen[host] = seen,
            News::Stored { host, piece, from } => {
                self.tells_pieces = true;
                self.copies[piece as usize] += 1;
                for (sender, bytes) in from {
                    *self
                        .flows
                        .entry((number(sender), number(host)))
                        .or_default() += bytes;
                }
            }
            News::Complete { host, at } => {
                self.hosts[host].completed_s = Some(at.since(self.start).as_secs_f64());
                self.seen[host].done = self.size;
            }
            News::Published => self.published += 1,
            News::Failed { error } => return Err(error),
        }
        Ok(())
    }

    /// Seconds from the start to `now`.
    pub(super) fn seconds(&self, now: Time) -> f64 {
        now.since(self.start).as_secs_f64()
    }

    /// Notes how the swarm is `t` seconds after the start.
    pub(super) fn sample(&mut self, t: f64) {
        let done = self.done();
        self.recent.push((t, done));
        let begin = self
            .recent
            .partition_point(|(at, _)| *at < t - RATE_SECONDS);
        self.recent.drain(..begin);
        if self.sampled.is_multiple_of(self.stride) {
            let (copies_min, copies_median) = self.copies();
            self.samples.push(Sample {
                t,
                complete: self.complete(),
                done: self.share(),
                copies_min,
                copies_median,
            });
        }
        self.sampled += 1;
        if self.samples.len() >= SAMPLES_MAX {
            let mut keep = false;
            self.samples.retain(|_| {
                keep = !keep;
                keep
            });
            self.stride *= 2;
        }
    }

    /// Content at all fetchers together, in bytes.
    pub(super) fn done(&self) -> u64 {
        self.fetchers().map(|(_, seen)| seen.done).sum()
    }

    /// What all fetchers have of what they want, 0 to 1.
    pub(super) fn share(&self) -> f64 {
        let wanted = self.size.saturating_mul(self.fetchers().count() as u64);
        self.done() as f64 / wanted.max(1) as f64
    }

    /// Bytes per second that all fetchers together come nearer to their goal by.
    pub(super) fn rate(&self) -> f64 {
        match (self.recent.first(), self.recent.last()) {
            (Some(first), Some(last)) if last.0 > first.0 => {
                last.1.saturating_sub(first.1) as f64 / (last.0 - first.0)
            }
            _ => 0.0,
        }
    }

    /// Fetchers that have everything.
    pub(super) fn complete(&self) -> u32 {
        number(
            self.fetchers()
                .filter(|(host, _)| host.completed_s.is_some())
                .count(),
        )
    }

    /// Whether everybody has everything.
    pub(super) fn is_complete(&self) -> bool {
        self.fetchers().all(|(host, _)| host.completed_s.is_some())
    }

    /// Whether, moreover, every copy lies where it belongs.
    pub(super) fn is_published(&self) -> bool {
        self.published == self.fetchers().count()
    }

    /// When the last fetcher so far was complete.
    pub(super) fn last_s(&self) -> f64 {
        let times = self.fetchers().filter_map(|(host, _)| host.completed_s);
        times.fold(0.0, f64::max)
    }

    /// How often the seeds have sent the content.
    pub(super) fn seed_copies(&self) -> f64 {
        let seeds = self.hosts.iter().zip(&self.seen);
        let sent: u64 = (seeds.filter(|(host, _)| host.role == Role::Seed))
            .map(|(_, seen)| seen.sent)
            .sum();
        sent as f64 / self.size.max(1) as f64
    }

    /// Copies of the rarest and of the median piece, seeds included; without reports of pieces,
    /// as when everybody fetches from front to back, only complete machines count.
    pub(super) fn copies(&self) -> (u32, u32) {
        if !self.tells_pieces {
            let whole = self.seeds + self.complete();
            return (whole, whole);
        }
        let mut sorted = self.copies.clone();
        sorted.sort_unstable();
        let at = |index: usize| sorted.get(index).map_or(0, |copies| copies + self.seeds);
        (at(0), at(sorted.len() / 2))
    }

    /// The record, once everybody is complete.
    pub(super) fn into_run(mut self, plan: &Plan, round: Round, cost: &Cost) -> Run {
        let ended_s = self.last_s();
        self.sample(ended_s);
        for (place, seen) in self.seen.iter().enumerate() {
            let host = &mut self.hosts[place];
            host.sent = seen.sent;
            host.received = seen.received;
            host.wasted = seen.wasted;
            if host.role == Role::Fetcher {
                let from_seeds = |seed| self.flows.get(&(seed, number(place)));
                let known: u64 = (0..self.seeds).filter_map(from_seeds).sum();
                host.received_from_seeds = if self.flows.is_empty() {
                    seen.from_complete
                } else {
                    known
                };
            }
        }
        let overhead = self.overhead();
        let keeps_flows = self.hosts.len() <= FLOW_HOSTS_MAX;
        let flows = self.flows.iter().filter(|_| keeps_flows);
        Run {
            contender: round.contender.name().to_owned(),
            rng_seed: Some(plan.run_seed(round)),
            bound: Run::bound_of(plan.size, plan.piece_len, &self.hosts),
            flows: flows
                .map(|(&(from, to), &bytes)| Flow { from, to, bytes })
                .collect(),
            hosts: self.hosts,
            samples: self.samples,
            overhead: Some(overhead),
            cpu_s: Some(cost.cpu_s),
            rss_peak: cost.rss_peak,
            trace_hash: None,
            ended_s,
            warnings: cost.warning().into_iter().collect(),
        }
    }

    fn overhead(&self) -> Overhead {
        let mut overhead = Overhead::default();
        for seen in &self.seen {
            overhead.payload += seen.received;
            overhead.duplicate += seen.wasted;
            overhead.have += seen.control.have;
            overhead.request += seen.control.request;
            overhead.other += seen.control.other;
        }
        overhead
    }

    fn fetchers(&self) -> impl Iterator<Item = (&HostRun, &Seen)> {
        let all = self.hosts.iter().zip(&self.seen);
        all.filter(|(host, _)| host.role == Role::Fetcher)
    }
}

/// An index as records hold it.
fn number(index: usize) -> u32 {
    u32::try_from(index).expect("a bench has a few hundred machines")
}
