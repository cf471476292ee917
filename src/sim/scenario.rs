//! What is simulated: the machines, their links and manners, and what goes wrong.

use std::time::Duration;

use crate::layout::Layout;
use crate::time::Time;

/// One machine of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// Payload bytes per second it can send.
    pub up: u64,
    /// Payload bytes per second it can receive.
    pub down: u64,
    /// One way to the middle of the network: a path takes both ends' sum.
    pub delay: Duration,
    /// Whether it has everything from the start.
    pub is_seed: bool,
    /// When it starts.
    pub joins: Time,
    /// When and how it ends.
    pub leaves: Departure,
    /// How it treats others.
    pub behaviour: Behaviour,
    /// Whether it can accept connections; one behind a NAT can only dial.
    pub reachable: bool,
}

impl Host {
    /// A machine without anything, `rate` bytes per second up and ten times that down, 5 ms one
    /// way from any other of its kind.
    pub const fn leech(rate: u64) -> Self {
        Self {
            up: rate,
            down: rate * 10,
            delay: Duration::from_micros(2_500),
            is_seed: false,
            joins: Time::ZERO,
            leaves: Departure::Stays,
            behaviour: Behaviour::Honest,
            reachable: true,
        }
    }

    /// A machine that has everything, otherwise as [`Host::leech`].
    pub const fn seed(rate: u64) -> Self {
        Self {
            is_seed: true,
            ..Self::leech(rate)
        }
    }

    /// Whether the swarm is to bring it everything: it comes with nothing and plays its part.
    pub const fn is_fetcher(&self) -> bool {
        let is_foe = matches!(
            self.behaviour,
            Behaviour::Liar | Behaviour::Corrupter { .. }
        );
        !self.is_seed && !is_foe
    }
}

/// When and how a machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It stays to the end of the run.
    Stays,
    /// It says goodbye some time after it was complete.
    Completed {
        /// How long it goes on serving.
        after: Duration,
    },
    /// It vanishes at this moment, complete or not; its connections break, no tracker is told.
    At(Time),
    /// As `Completed`, unless it vanishes before that.
    CompletedOrAt {
        /// How long it goes on serving.
        after: Duration,
        /// When it vanishes if it is still there.
        at: Time,
    },
}

/// How a machine treats others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// As the protocol means it.
    Honest,
    /// It never unchokes anybody.
    FreeRider,
    /// It says that it has everything, and serves nothing.
    Liar,
    /// Some of the blocks it sends are corrupt.
    Corrupter {
        /// One in this many.
        one_in: u32,
    },
    /// It sends at a twentieth of its rate, and receives at all of it.
    Slow,
}

/// What goes wrong with connections, by chance; by default nothing does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// A connection breaks after this long on average, and both ends notice.
    pub breaks_after: Option<Duration>,
    /// A connection stalls after this long on average: nothing passes any more, and nobody is told.
    pub stalls_after: Option<Duration>,
}

/// What is simulated.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The machines.
    pub hosts: Vec<Host>,
    /// Size and pieces of the content.
    pub layout: Layout,
    /// What goes wrong.
    pub faults: Faults,
    /// Peers that each unchokes at a time, the optimistic one included, if not as many as by default.
    pub slots: Option<usize>,
    /// Seeds everything random.
    pub seed: u64,
    /// Virtual time after which the run ends whatever the state.
    pub time_max: Duration,
    /// Whether to check the invariants after every step (slow).
    pub checked: bool,
}

impl Scenario {
    /// These machines and this content, no faults, a day of virtual time at most, unchecked.
    pub const fn new(hosts: Vec<Host>, layout: Layout, seed: u64) -> Self {
        Self {
            hosts,
            layout,
            faults: Faults {
                breaks_after: None,
                stalls_after: None,
            },
            slots: None,
            seed,
            time_max: Duration::from_secs(24 * 3_600),
            checked: false,
        }
    }

    /// How soon what one machine does can reach another.
    pub(super) fn delay_min(&self) -> Duration {
        let delay = self.hosts.iter().map(|host| host.delay).min();
        delay.unwrap_or_default() * 2
    }
}
