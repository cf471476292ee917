//! How a run went, and how it is going.

use crate::time::Time;

/// Up to this many hosts it is kept who sent how much to whom.
pub const FLOW_HOSTS_MAX: usize = 256;

/// More samples than this are never kept.
pub const SAMPLES_MAX: usize = 512;

/// How one machine fared. Payload in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostOutcome {
    /// When it was complete; seeds at once.
    pub completed: Option<Time>,
    /// When it was gone.
    pub left: Option<Time>,
    /// Payload sent.
    pub sent: u64,
    /// Payload received, the wasted included.
    pub received: u64,
    /// Payload of `received` that came from machines that had everything from the start.
    pub from_seeds: u64,
    /// Payload received in vain: duplicates, unasked blocks, corrupt pieces.
    pub wasted: u64,
}

/// Payload that went from one machine to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Index of the sender.
    pub from: usize,
    /// Index of the receiver.
    pub to: usize,
    /// Payload bytes that arrived.
    pub bytes: u64,
}

/// The swarm at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// When.
    pub at: Time,
    /// Fetchers that were complete.
    pub complete: usize,
    /// Mean share of the pieces that the fetchers had, those yet to come and those gone included.
    pub mean_done: f64,
    /// Copies of the rarest piece among all machines that are there.
    pub copies_min: u32,
    /// Copies of the median piece.
    pub copies_median: u32,
}

/// What went over all links together, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overhead {
    /// Payload that arrived, the wasted included.
    pub payload: u64,
    /// Payload that arrived in vain.
    pub duplicate: u64,
    /// `have` messages.
    pub have: u64,
    /// `request`, `cancel` and `reject` messages.
    pub request: u64,
    /// Everything else: handshakes, bitfields, chokes, the headers of blocks.
    pub other: u64,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Snapshot {
    /// Virtual time.
    pub now: Time,
    /// Fetchers that are complete.
    pub complete: usize,
    /// Mean share of the pieces that the fetchers have.
    pub mean_done: f64,
    /// Events so far.
    pub events: u64,
}

/// How a run went.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// How each host fared, in the scenario's order.
    pub hosts: Vec<HostOutcome>,
    /// Who sent how much to whom, nothing left out but zeros; empty above [`FLOW_HOSTS_MAX`] hosts.
    pub flows: Vec<Flow>,
    /// The swarm over time; bounded, so the longer the run the wider apart.
    pub samples: Vec<Sample>,
    /// What went over all links together.
    pub overhead: Overhead,
    /// A hash over every event: equal for two runs of one scenario, on any machine.
    pub trace_hash: u64,
    /// When the run ended.
    pub ended: Time,
    /// How many events there were.
    pub events: u64,
}

impl Outcome {
    /// When the last host was complete; `None` if one never was.
    pub fn last_completion(&self) -> Option<Time> {
        self.hosts
            .iter()
            .map(|host| host.completed)
            .collect::<Option<Vec<_>>>()?
            .into_iter()
            .max()
    }

    /// Payload received in vain by all together.
    pub fn wasted(&self) -> u64 {
        self.hosts.iter().map(|host| host.wasted).sum()
    }
}
