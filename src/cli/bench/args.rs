//! What `swarm bench` is told, and the plan that follows from it: which runs, in which order.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::error::{CliError, Exit};
use crate::cli::piece_size::PieceSize;
use crate::cli::units;
use crate::metainfo::build::piece_len_for;
use crate::report::{Bound, HostRun, Role, Run};

/// The arguments of `swarm bench`.
#[derive(Debug, Args)]
pub(in crate::cli) struct BenchArgs {
    /// Machines that fetch; with commas: one run for each number
    #[arg(long, value_name = "N,N", default_value = "16", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=256))]
    peers: Vec<u16>,
    /// Machines that have everything from the start
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=64))]
    seeds: u16,
    /// Bytes to bring to every machine
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = units::size)]
    size: u64,
    /// Payload per second that each machine may send, and also may receive; 0 is no limit
    #[arg(long, value_name = "RATE", default_value = "80Mbit", value_parser = units::rate)]
    link: u64,
    /// What each machine may send [default: --link]
    #[arg(long, value_name = "RATE", value_parser = units::rate)]
    up: Option<u64>,
    /// What each machine may receive [default: --link]
    #[arg(long, value_name = "RATE", value_parser = units::rate)]
    down: Option<u64>,
    /// Length of a piece, or auto
    #[arg(short = 's', long, value_name = "SIZE", default_value = "auto", value_parser = PieceSize::parse)]
    piece_size: PieceSize,
    /// How often each number of machines is run; the summary shows medians
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u16).range(1..=100))]
    repeat: u16,
    /// The number that the content and every choice by chance come from
    #[arg(long, value_name = "N", default_value = "1")]
    rng_seed: u64,
    /// Also bring it to the same machines in this way, under the same limits
    #[arg(long, value_name = "WAY")]
    versus: Option<Versus>,
    /// Directory for report.html, plots, results.json and summary.md
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// The results.json of an earlier run to compare with
    #[arg(long, value_name = "FILE")]
    pub(super) compare: Option<PathBuf>,
    /// With --compare: fail if the last machine is later than then by more than this
    #[arg(long, value_name = "PERCENT", requires = "compare", value_parser = units::share)]
    pub(super) fail_if_slower: Option<u32>,
}

/// What users would do instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Versus {
    /// Every machine gets the file from a seed by plain HTTP
    Http,
}

/// Who brings the content to the machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contender {
    /// Sessions that trade pieces.
    Swarm,
    /// Everybody asks a seed for the whole file.
    Http,
}

impl Contender {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Swarm => "swarm",
            Self::Http => "http",
        }
    }
}

/// One run of one contender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Round {
    /// Who.
    pub(super) contender: Contender,
    /// To how many machines.
    pub(super) peers: u16,
    /// For the how-manieth time, from 0.
    pub(super) repeat: u16,
}

/// What is to be measured.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Numbers of machines that fetch.
    pub(super) peers: Vec<u16>,
    /// Machines that have everything.
    pub(super) seeds: u16,
    /// Bytes of the content.
    pub(super) size: u64,
    /// Bytes of a piece.
    pub(super) piece_len: u32,
    /// Payload per second that a machine may send; `None` is unlimited.
    pub(super) up: Option<u64>,
    /// Payload per second that a machine may receive.
    pub(super) down: Option<u64>,
    /// How often each number of machines is run.
    pub(super) repeat: u16,
    /// Where chance comes from.
    pub(super) rng_seed: u64,
    versus: Option<Versus>,
}

impl Plan {
    /// The plan that the arguments ask for.
    ///
    /// # Errors
    /// If they contradict each other.
    pub(super) fn of(args: &BenchArgs) -> Result<Self, CliError> {
        if args.size == 0 {
            let failure = CliError::new(Exit::Usage, "--size 0 leaves nothing to bring anywhere");
            return Err(failure.help("--size 64M"));
        }
        let mut peers = args.peers.clone();
        peers.sort_unstable();
        peers.dedup();
        let limit = |rate: Option<u64>| Some(rate.unwrap_or(args.link)).filter(|rate| *rate > 0);
        Ok(Self {
            peers,
            seeds: args.seeds,
            size: args.size,
            piece_len: (args.piece_size.chosen()?).unwrap_or_else(|| piece_len_for(args.size)),
            up: limit(args.up),
            down: limit(args.down),
            repeat: args.repeat,
            rng_seed: args.rng_seed,
            versus: args.versus,
        })
    }

    /// Every run in order. HTTP goes once for each number of machines: it takes N times as long,
    /// and there is no choice in it that could go better or worse.
    pub(super) fn rounds(&self) -> Vec<Round> {
        let mut rounds = Vec::new();
        for repeat in 0..self.repeat {
            for &peers in &self.peers {
                let round = |contender| Round {
                    contender,
                    peers,
                    repeat,
                };
                rounds.push(round(Contender::Swarm));
                let versus = self.versus.filter(|_| repeat == 0);
                rounds.extend(versus.map(|Versus::Http| round(Contender::Http)));
            }
        }
        rounds
    }

    /// The machines of a run before it starts, seeds first.
    pub(super) fn hosts(&self, peers: u16) -> Vec<HostRun> {
        let host = |name: String, role| HostRun {
            name,
            role,
            behaviour: "honest".to_owned(),
            up: self.up,
            down: self.down,
            completed_s: (role == Role::Seed).then_some(0.0),
            ..HostRun::default()
        };
        let seeds = (1..=self.seeds).map(|n| host(format!("seed {n}"), Role::Seed));
        let fetchers = (1..=peers).map(|n| host(format!("peer {n}"), Role::Fetcher));
        seeds.chain(fetchers).collect()
    }

    /// The least time for so many machines.
    pub(super) fn bound(&self, peers: u16) -> Option<Bound> {
        Run::bound_of(self.size, self.piece_len, &self.hosts(peers))
    }

    /// The number that chance in one run comes from.
    pub(super) const fn run_seed(&self, round: Round) -> u64 {
        self.rng_seed.wrapping_add(round.repeat as u64)
    }

    /// About how long a run takes, if its rates say so.
    pub(super) fn takes(&self, round: Round) -> Option<Duration> {
        /// The share of the bound that a swarm is expected to reach. Measured with the defaults.
        const EXPECTED: f64 = 0.93;
        let bound = self.bound(round.peers)?;
        let seconds = match round.contender {
            Contender::Swarm => bound.reference_s / EXPECTED,
            Contender::Http => bound.server_s,
        };
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// The most bytes that lie on the disk at a time: the content, and a copy for each machine.
    pub(super) fn disk_bytes(&self) -> u64 {
        let copies = 1 + self.peers.iter().max().map_or(0, |peers| u64::from(*peers));
        self.size.saturating_mul(copies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            peers: vec![2, 4],
            seeds: 1,
            size: 10_000_000,
            piece_len: 65_536,
            up: Some(1_000_000),
            down: None,
            repeat: 2,
            rng_seed: 1,
            versus: Some(Versus::Http),
        }
    }

    #[test]
    fn rounds_alternate_and_http_goes_once_for_each_number() {
        let rounds: Vec<_> = plan()
            .rounds()
            .into_iter()
            .map(|round| (round.contender.name(), round.peers, round.repeat))
            .collect();
        let expected = [
            ("swarm", 2, 0),
            ("http", 2, 0),
            ("swarm", 4, 0),
            ("http", 4, 0),
            ("swarm", 2, 1),
            ("swarm", 4, 1),
        ];
        assert_eq!(rounds, expected);
    }

    #[test]
    fn a_server_is_expected_to_take_a_copy_s_time_for_each_machine() {
        let plan = plan();
        let takes = |contender| {
            let round = Round {
                contender,
                peers: 4,
                repeat: 0,
            };
            plan.takes(round).map(|takes| takes.as_secs())
        };
        assert_eq!(takes(Contender::Http), Some(40));
        assert_eq!(takes(Contender::Swarm), Some(10));
        assert_eq!(plan.disk_bytes(), 50_000_000);
    }
}
