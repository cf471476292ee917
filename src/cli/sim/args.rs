//! The flags of `swarm sim`, and the plan of a swarm that they describe.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::record::bound;
use super::typed::{self, Typed};
use crate::cli::error::{CliError, Exit};
use crate::cli::piece_size::PieceSize;
use crate::cli::units::{self, show_count};
use crate::layout::Layout;
use crate::metainfo::PIECES_MAX;
use crate::metainfo::build::piece_len_for;
use crate::report::{Parameters, Setup};
use crate::sim::Faults;
use crate::sim::build::{Arrivals, Leaving, Misbehaviour, Plan, Share};
use crate::time::Time;

/// Runs worth repeating, each of which ends within a minute on one core.
const EXAMPLES: &str = "\
Examples:
  swarm sim --peers 100 --size 256M                        How near the bound do 100 peers get?
  swarm sim --peers 2,8,32,128 --size 64M --out report     Does time grow with their number?
  swarm sim --peers 60 --size 128M --free-riders 30%       Who waits for whom?
  swarm sim --peers 60 --size 128M --up 10Mbit,50Mbit,100Mbit,1Gbit
  swarm sim --peers 60 --size 128M --churn 5% --depart 20% --faults --check

The same command gives the same trace on every machine: a run that goes wrong is a bug report.";

/// The arguments of `swarm sim`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct SimArgs {
    /// Peers that fetch; several numbers make a run each
    #[arg(long, value_name = "N,...", default_value = "1000", value_delimiter = ',', value_parser = typed::count)]
    peers: Vec<u32>,
    /// Peers that have everything from the start, and stay
    #[arg(long, value_name = "N", default_value = "1", value_parser = typed::count)]
    seeds: u32,
    /// Size of the content
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = typed::content)]
    size: Typed<u64>,
    /// Length of a piece: a power of two from 16K to 128M, or auto for 1,000 to 2,000 pieces
    #[arg(short = 's', long, value_name = "SIZE", default_value = "auto", alias = "piece-length", value_parser = typed::piece_size)]
    piece_size: Typed<PieceSize>,
    /// What each peer can send per second; peers take several rates by turns
    #[arg(long, value_name = "RATE,...", default_value = "100Mbit", value_delimiter = ',', value_parser = typed::link_rate)]
    up: Vec<Typed<u64>>,
    /// What each seed can send per second [default: the fastest of --up]
    #[arg(long, value_name = "RATE", value_parser = typed::link_rate)]
    seed_up: Option<Typed<u64>>,
    /// What each peer can receive per second; peers take several rates by turns
    #[arg(long, value_name = "RATE,...", default_value = "1Gbit", value_delimiter = ',', value_parser = typed::link_rate)]
    down: Vec<Typed<u64>>,
    /// From any peer to any other and back
    #[arg(long, value_name = "TIME", default_value = "20ms", value_parser = typed::time)]
    rtt: Typed<Duration>,
    /// When peers join: together, or so many in a time, such as 10/s or 90/m
    #[arg(long, value_name = "WHEN", default_value = "together", value_parser = typed::arrive)]
    arrive: Typed<Arrivals>,
    /// When complete peers leave: linger (30s), at-once, after a time, or a share of them at once
    #[arg(long, value_name = "WHEN", default_value = "linger", value_parser = typed::depart)]
    depart: Typed<Leaving>,
    /// Peers that vanish in each minute and are not replaced, such as 5%
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = typed::part)]
    churn: Typed<Share>,
    /// Peers that fetch and give nothing
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = typed::part)]
    free_riders: Typed<Share>,
    /// Peers that say they have everything and serve nothing
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = typed::part)]
    liars: Typed<Share>,
    /// Peers that spoil a tenth of the blocks they serve
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = typed::part)]
    corrupters: Typed<Share>,
    /// Peers that send at a twentieth of their rate
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = typed::part)]
    slow: Typed<Share>,
    /// Peers that nobody can connect to
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = typed::part)]
    nat: Typed<Share>,
    /// Let connections break, each after five minutes on average, and stall, after fifteen
    #[arg(long)]
    faults: bool,
    /// Peers that each serves at a time at least, one of them whatever it gives [default: 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=80))]
    slots: Option<u32>,
    /// Number that everything random comes from; the same number gives the same run
    #[arg(long, value_name = "N", default_value = "1")]
    rng_seed: u64,
    /// Repeat each run with the next random numbers
    #[arg(long, value_name = "K", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// End a run after so much virtual time [default: 20 times the bound, 10m at least]
    #[arg(long, value_name = "TIME", value_parser = typed::time)]
    time_max: Option<Typed<Duration>>,
    /// Check the invariants of every peer after every step (slow)
    #[arg(long)]
    check: bool,
    /// Write report.html, results.json, summary.md and the plots into this directory
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Compare with the results.json of an earlier run
    #[arg(long, value_name = "OLD.json")]
    pub(super) compare: Option<PathBuf>,
    /// With --compare: fail if a run is slower by more than this, such as 5%
    #[arg(long, value_name = "SHARE", requires = "compare", value_parser = units::share)]
    pub(super) fail_if_slower: Option<u32>,
}

/// How connections fail with `--faults`: each breaks every five minutes and stalls every fifteen,
/// on average. Chosen: with 50 connections, a peer loses one every five seconds.
const FAULTS: Faults = Faults {
    breaks_after: Some(Duration::from_secs(300)),
    stalls_after: Some(Duration::from_secs(900)),
};

/// A run takes this many times the least time at most, after the last peer joined.
const PATIENCE: u32 = 20;

impl SimArgs {
    /// The plan of each run, in the order in which they are to be made.
    ///
    /// # Errors
    /// If the flags describe no swarm.
    pub(super) fn plans(&self) -> Result<Vec<Plan>, CliError> {
        let layout = self.layout()?;
        let misbehaviour = self.misbehaviour()?;
        let mut plans = Vec::new();
        for &fetchers in &self.peers {
            for repeat in 0..u64::from(self.runs) {
                let mut plan = Plan {
                    seeds: self.seeds as usize,
                    fetchers: fetchers as usize,
                    layout,
                    seed_up: self.seed_up(),
                    up: self.up.iter().map(|rate| rate.value).collect(),
                    down: self.down.iter().map(|rate| rate.value).collect(),
                    rtt: self.rtt.value,
                    arrivals: self.arrive.value,
                    leaving: self.depart.value,
                    churn: self.churn.value,
                    misbehaviour,
                    nat: self.nat.value,
                    faults: if self.faults {
                        FAULTS
                    } else {
                        Faults::default()
                    },
                    slots: self.slots.map(|slots| slots as usize),
                    rng_seed: self.rng_seed.wrapping_add(repeat),
                    time_max: Duration::ZERO,
                    checked: self.check,
                };
                plan.time_max = match &self.time_max {
                    Some(time) => time.value,
                    None => patience(&plan),
                };
                plans.push(plan);
            }
        }
        Ok(plans)
    }

    fn layout(&self) -> Result<Layout, CliError> {
        let size = self.size.value;
        let chosen = self.piece_size.value.chosen()?;
        let piece_len = chosen.unwrap_or_else(|| piece_len_for(size));
        let layout = Layout::new(size, piece_len);
        layout
            .filter(|layout| layout.piece_count() <= PIECES_MAX)
            .ok_or_else(|| {
                let pieces = show_count(size.div_ceil(piece_len.into()));
                let what = format!("{pieces} pieces are more than a manifest may have");
                CliError::new(Exit::Usage, what).help("a smaller --size or larger --piece-size")
            })
    }

    fn misbehaviour(&self) -> Result<Misbehaviour, CliError> {
        let misbehaviour = Misbehaviour {
            free_riders: self.free_riders.value,
            liars: self.liars.value,
            corrupters: self.corrupters.value,
            slow: self.slow.value,
        };
        if misbehaviour.fits() {
            return Ok(misbehaviour);
        }
        let what = "--free-riders, --liars, --corrupters and --slow are more than 100 % together";
        Err(CliError::new(Exit::Usage, what).help("a peer misbehaves in one way only"))
    }

    fn seed_up(&self) -> u64 {
        let fastest = self.up.iter().map(|rate| rate.value).max();
        let named = self.seed_up.as_ref().map(|rate| rate.value);
        named.or(fastest).expect("--up has a default")
    }

    /// What all runs have in common.
    ///
    /// # Errors
    /// As [`SimArgs::plans`].
    pub(super) fn setup(&self) -> Result<Setup, CliError> {
        let layout = self.layout()?;
        // Said elsewhere, or of each run.
        let own = ["peers", "size", "piece-size", "rng-seed", "runs"];
        let mut parameters = Parameters::default();
        for (name, value) in self.flags() {
            if !own.contains(&name) {
                let value = if value.is_empty() { "yes" } else { &value };
                parameters = parameters.with(name, value);
            }
        }
        Ok(Setup {
            size: layout.total_len(),
            piece_length: layout.nominal_piece_len(),
            pieces: layout.piece_count(),
            rng_seed: self.rng_seed,
            parameters,
        })
    }

    /// Every flag that makes a run what it is, as it was typed, in the order of the help; those
    /// that ask for nothing special are left out.
    pub(super) fn flags(&self) -> Vec<(&'static str, String)> {
        let list = |rates: &[Typed<u64>]| joined(rates.iter());
        let seed_up = self.seed_up.as_ref().map(ToString::to_string);
        let time_max = self.time_max.as_ref().map(ToString::to_string);
        let shares = [
            ("churn", &self.churn),
            ("free-riders", &self.free_riders),
            ("liars", &self.liars),
            ("corrupters", &self.corrupters),
            ("slow", &self.slow),
            ("nat", &self.nat),
        ];
        let shares = shares
            .into_iter()
            .filter(|(_, share)| share.value > Share::default());
        let mut flags = vec![
            ("peers", joined(self.peers.iter())),
            ("seeds", self.seeds.to_string()),
            ("size", self.size.to_string()),
            ("piece-size", self.piece_size.to_string()),
            ("up", list(&self.up)),
        ];
        flags.extend(seed_up.map(|rate| ("seed-up", rate)));
        flags.push(("down", list(&self.down)));
        flags.push(("rtt", self.rtt.to_string()));
        flags.push(("arrive", self.arrive.to_string()));
        flags.push(("depart", self.depart.to_string()));
        flags.extend(shares.map(|(name, share)| (name, share.to_string())));
        flags.extend(self.faults.then(|| ("faults", String::new())));
        flags.extend(self.slots.map(|slots| ("slots", slots.to_string())));
        flags.push(("rng-seed", self.rng_seed.to_string()));
        flags.extend((self.runs > 1).then(|| ("runs", self.runs.to_string())));
        flags.extend(time_max.map(|time| ("time-max", time)));
        flags.extend(self.check.then(|| ("check", String::new())));
        flags
    }
}

/// How much virtual time a run may take if nobody says.
fn patience(plan: &Plan) -> Duration {
    let hosts = plan.scenario().hosts;
    let joined = hosts.iter().map(|host| host.joins).max();
    let least = bound(
        &plan.layout,
        hosts.iter().map(|host| (host, host.is_fetcher())),
    );
    let fluid = least.map_or(Duration::MAX, |bound| {
        Duration::try_from_secs_f64(bound.fluid_s).unwrap_or(Duration::MAX)
    });
    let joined = joined.map_or(Duration::ZERO, |last| last.since(Time::ZERO));
    // A swarm of tiny content may wait for a timer or two all the same.
    let least = fluid.max(Duration::from_secs(30));
    joined.saturating_add(least.saturating_mul(PATIENCE))
}

fn joined(values: impl Iterator<Item = impl ToString>) -> String {
    let texts: Vec<String> = values.map(|value| value.to_string()).collect();
    texts.join(",")
}
