//! What is simulated, and how it went.

use std::time::Duration;

use crate::layout::Layout;
use crate::time::Time;

/// One machine of a scenario.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// Payload bytes per second it can send.
    pub up: u64,
    /// Payload bytes per second it can receive.
    pub down: u64,
    /// Whether it has everything from the start.
    pub is_seed: bool,
    /// When it starts.
    pub joins: Time,
    /// When it vanishes without a word.
    pub dies: Option<Time>,
    /// One in this many blocks it sends is corrupt; 0 for an honest machine.
    pub corrupts_one_in: u32,
}

impl Host {
    /// A machine without anything, `rate` bytes per second up and ten times that down.
    pub const fn leech(rate: u64) -> Self {
        Self {
            up: rate,
            down: rate * 10,
            is_seed: false,
            joins: Time::ZERO,
            dies: None,
            corrupts_one_in: 0,
        }
    }

    /// A machine that has everything.
    pub const fn seed(rate: u64) -> Self {
        Self {
            is_seed: true,
            ..Self::leech(rate)
        }
    }
}

/// What is simulated.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The machines.
    pub hosts: Vec<Host>,
    /// Size and pieces of the content.
    pub layout: Layout,
    /// One-way delay between any two machines.
    pub latency: Duration,
    /// Seeds everything random.
    pub seed: u64,
    /// Virtual time after which the run ends whatever the state.
    pub time_max: Duration,
    /// Whether to check the invariants after every step (slow).
    pub checked: bool,
}

/// How a run went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// When each host was complete; seeds at once.
    pub completed: Vec<Option<Time>>,
    /// Payload bytes that each host sent.
    pub sent: Vec<u64>,
    /// Payload bytes that each host received in vain.
    pub wasted: Vec<u64>,
    /// When the run ended.
    pub ended: Time,
    /// A hash over every event: equal for two runs of one scenario.
    pub trace_hash: u64,
}

impl Report {
    /// When the last host was complete; `None` if one never was.
    pub fn last_completion(&self) -> Option<Time> {
        self.completed
            .iter()
            .copied()
            .collect::<Option<Vec<_>>>()?
            .into_iter()
            .max()
    }
}
