//! What one run recorded: hosts, who fed whom, samples over time, bytes beside the payload.
//!
//! Times are seconds from the start of the run, rates bytes per second, sizes bytes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::bound::{Bound, Inputs, Rates};

/// The behaviour that others are measured against.
pub(super) const HONEST: &str = "honest";

/// One contender at work once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Who did it: `swarm`, `http`, or the name of a variant.
    pub contender: String,
    /// The number that everything random came from.
    #[serde(default)]
    pub rng_seed: Option<u64>,
    /// Everybody, seeds first.
    pub hosts: Vec<HostRun>,
    /// Who sent how much to whom; empty above 256 hosts.
    #[serde(default)]
    pub flows: Vec<Flow>,
    /// The state of the swarm over time, oldest first.
    #[serde(default)]
    pub samples: Vec<Sample>,
    /// Bytes on the wire by what they were for.
    #[serde(default)]
    pub overhead: Option<Overhead>,
    /// Processor seconds of everybody together.
    #[serde(default)]
    pub cpu_s: Option<f64>,
    /// The most memory that was resident, in bytes, everybody together.
    #[serde(default)]
    pub rss_peak: Option<u64>,
    /// The hash over every event of a simulation.
    #[serde(default)]
    pub trace_hash: Option<TraceHash>,
    /// When the run was over.
    pub ended_s: f64,
    /// The least time that its rates allow; see [`Run::bound_of`].
    #[serde(default)]
    pub bound: Option<Bound>,
    /// What a reader should know before trusting the figures, in whole sentences.
    #[serde(default)]
    pub warnings: Vec<String>,
}

impl Run {
    /// The bound that the rates of `hosts` set, all of them starting together.
    pub fn bound_of(size: u64, piece_length: u32, hosts: &[HostRun]) -> Option<Bound> {
        let of_role = |role| hosts.iter().filter(move |host| host.role == role);
        Bound::of(&Inputs {
            size,
            piece_length,
            seeds: of_role(Role::Seed).map(|host| host.up).collect(),
            fetchers: of_role(Role::Fetcher)
                .map(|host| Rates {
                    up: host.up,
                    down: host.down,
                })
                .collect(),
            others: of_role(Role::Foe).map(|host| host.up).collect(),
        })
    }

    /// Those who want the content.
    pub fn fetchers(&self) -> impl Iterator<Item = &HostRun> {
        self.hosts.iter().filter(|host| host.role == Role::Fetcher)
    }

    /// Those who have it from the start.
    pub fn seeds(&self) -> impl Iterator<Item = &HostRun> {
        self.hosts.iter().filter(|host| host.role == Role::Seed)
    }
}

/// What a host is in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It has everything from the start.
    Seed,
    /// It wants everything.
    #[default]
    Fetcher,
    /// It came to disturb; nobody waits for it.
    Foe,
}

/// One host of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostRun {
    /// How people call it.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// How it plays: `honest`, `free-rider`, ...
    pub behaviour: String,
    /// What it can send, in bytes per second; `None` is unlimited.
    pub up: Option<u64>,
    /// What it can receive, in bytes per second; `None` is unlimited.
    pub down: Option<u64>,
    /// When it came.
    pub joined_s: f64,
    /// When it had everything, in seconds from the start of the run; 0 for a seed.
    pub completed_s: Option<f64>,
    /// When it went; `None` if it stayed to the end.
    pub left_s: Option<f64>,
    /// Payload bytes it sent.
    pub sent: u64,
    /// Payload bytes it received, in vain or not.
    pub received: u64,
    /// Those of them that came from seeds.
    pub received_from_seeds: u64,
    /// Those of them that were received in vain: twice, or corrupt.
    pub wasted: u64,
}

impl HostRun {
    /// How it plays, in the order in which behaviours are shown: the honest first.
    pub(super) fn plays(&self) -> (bool, &str) {
        (self.behaviour != HONEST, &self.behaviour)
    }
}

/// Payload that one host sent to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Index of the sender among the hosts.
    pub from: u32,
    /// Index of the receiver among the hosts.
    pub to: u32,
    /// Payload bytes.
    pub bytes: u64,
}

/// The swarm at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When.
    pub t: f64,
    /// Fetchers that are complete.
    pub complete: u32,
    /// Mean share that fetchers have, 0 to 1.
    pub done: f64,
    /// Copies of the rarest piece among those present, seeds included.
    pub copies_min: u32,
    /// Copies of the median piece.
    pub copies_median: u32,
}

/// Bytes on the wire by what they were for, everybody together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overhead {
    /// Payload of blocks, in vain or not.
    pub payload: u64,
    /// Payload received in vain.
    pub duplicate: u64,
    /// `have` messages.
    pub have: u64,
    /// `request` and `cancel` messages.
    pub request: u64,
    /// Everything else: handshakes, bitfields, chokes, headers of blocks.
    pub other: u64,
}

/// The hash over every event of a simulation, written as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceHash(pub u64);

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for TraceHash {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

impl Serialize for TraceHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}
