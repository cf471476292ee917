//! From the parameters of a swarm to the scenario of one run: who is there, when, and how it behaves.
//!
//! Pure and exact: one seed places every behaviour, arrival and departure, on every machine alike,
//! so nothing here takes a logarithm. What is drawn for one parameter does not change what is
//! drawn for another: with and without free riders, the same peers are behind a NAT.

use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::scenario::{Behaviour, Departure, Faults, Host, Scenario};
use crate::layout::Layout;
use crate::time::Time;

/// A complete `fetch` serves those who are not for so long at most: what the command line promises.
pub const LINGER: Duration = Duration::from_secs(30);

/// A corrupter spoils one in so many blocks: often enough for a bad piece in most it takes part in,
/// rarely enough that it cannot be told from an honest peer by a single block. Chosen.
const CORRUPTS_ONE_IN: u32 = 10;

/// What churn is counted in.
const MINUTE: Duration = Duration::from_secs(60);

/// A part of a whole, in millionths: exact, so that every machine rounds alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

impl Share {
    const WHOLE: u32 = 1_000_000;

    /// So many millionths; more than the whole is the whole.
    pub const fn from_millionths(millionths: u32) -> Self {
        Self(if millionths < Self::WHOLE {
            millionths
        } else {
            Self::WHOLE
        })
    }

    /// In millionths.
    pub const fn millionths(self) -> u32 {
        self.0
    }

    /// This share of `count`, rounded to the nearest.
    pub const fn of(self, count: usize) -> usize {
        (count * self.0 as usize + Self::WHOLE as usize / 2) / Self::WHOLE as usize
    }
}

/// When peers join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// All at the start.
    Together,
    /// One in each interval of this length, at a random moment of it.
    Every(Duration),
}

/// When peers that are complete leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// So long after their completion.
    After(Duration),
    /// This share at once, the others after [`LINGER`].
    Some(Share),
}

/// How many of the peers that fetch do not do as they should. A peer is one of these at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Misbehaviour {
    /// Peers that fetch and give nothing.
    pub free_riders: Share,
    /// Peers that say they have everything and serve nothing.
    pub liars: Share,
    /// Peers that spoil some of the blocks they serve.
    pub corrupters: Share,
    /// Peers that send at a twentieth of their rate.
    pub slow: Share,
}

impl Misbehaviour {
    /// Whether there are peers enough for all of it.
    pub fn fits(&self) -> bool {
        let shares = [self.free_riders, self.liars, self.corrupters, self.slow];
        shares.iter().map(|share| share.0).sum::<u32>() <= Share::WHOLE
    }
}

/// A swarm as a person describes it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Hosts that have everything from the start, and stay.
    pub seeds: usize,
    /// Hosts that fetch.
    pub fetchers: usize,
    /// Size and pieces of the content.
    pub layout: Layout,
    /// Bytes per second that each seed sends.
    pub seed_up: u64,
    /// Bytes per second that fetchers send; they take these by turns.
    pub up: Vec<u64>,
    /// Bytes per second that fetchers receive; they take these by turns.
    pub down: Vec<u64>,
    /// From any host to any other and back.
    pub rtt: Duration,
    /// When fetchers join.
    pub arrivals: Arrivals,
    /// When fetchers that are complete leave.
    pub leaving: Leaving,
    /// Fetchers that vanish in each minute after they joined, complete or not, of those left. They
    /// do not come back, and nobody takes their place.
    pub churn: Share,
    /// How fetchers misbehave.
    pub misbehaviour: Misbehaviour,
    /// Fetchers that cannot be connected to.
    pub nat: Share,
    /// How connections fail.
    pub faults: Faults,
    /// Peers that each unchokes at a time, the optimistic one included, if not as many as by default.
    pub slots: Option<usize>,
    /// Seeds everything random.
    pub rng_seed: u64,
    /// Virtual time after which the run ends whatever the state.
    pub time_max: Duration,
    /// Whether to check the invariants after every step (slow).
    pub checked: bool,
}

/// What a random draw is for: each has a stream of its own.
#[derive(Clone, Copy)]
enum Draw {
    Behaviour = 1,
    Nat,
    Leaving,
    Arrival,
    Churn,
}

impl Plan {
    /// The scenario: the seeds first, then the fetchers in the order in which they join.
    ///
    /// # Panics
    /// If a list of rates is empty or the misbehaviour does not fit.
    pub fn scenario(&self) -> Scenario {
        assert!(
            !self.up.is_empty() && !self.down.is_empty(),
            "everybody has a rate"
        );
        assert!(
            self.misbehaviour.fits(),
            "a peer misbehaves in one way at most"
        );
        let mut hosts = vec![self.seed(); self.seeds];
        hosts.extend(self.fetchers());
        Scenario {
            hosts,
            layout: self.layout,
            faults: self.faults,
            slots: self.slots,
            seed: self.rng_seed,
            time_max: self.time_max,
            checked: self.checked,
        }
    }

    fn seed(&self) -> Host {
        Host {
            up: self.seed_up,
            down: self.down.iter().copied().max().unwrap_or_default(),
            delay: self.delay(),
            is_seed: true,
            joins: Time::ZERO,
            leaves: Departure::Stays,
            behaviour: Behaviour::Honest,
            reachable: true,
        }
    }

    fn fetchers(&self) -> Vec<Host> {
        let behaviours = self.behaviours();
        let joins = self.joins();
        let unreachable = self.chosen(self.nat, Draw::Nat);
        let leaves = self.departures(&joins);
        let host = |i: usize| Host {
            up: self.up[i % self.up.len()],
            down: self.down[i % self.down.len()],
            delay: self.delay(),
            is_seed: false,
            joins: joins[i],
            leaves: leaves[i],
            behaviour: behaviours[i],
            reachable: !unreachable[i],
        };
        (0..self.fetchers).map(host).collect()
    }

    /// A path takes the delay of both its ends, once there and once back.
    fn delay(&self) -> Duration {
        self.rtt / 4
    }

    fn behaviours(&self) -> Vec<Behaviour> {
        let Misbehaviour {
            free_riders,
            liars,
            corrupters,
            slow,
        } = self.misbehaviour;
        let corrupter = Behaviour::Corrupter {
            one_in: CORRUPTS_ONE_IN,
        };
        let mut dealt: Vec<Behaviour> = [
            (free_riders, Behaviour::FreeRider),
            (liars, Behaviour::Liar),
            (corrupters, corrupter),
            (slow, Behaviour::Slow),
        ]
        .into_iter()
        .flat_map(|(share, behaviour)| vec![behaviour; share.of(self.fetchers)])
        .collect();
        dealt.resize(self.fetchers, Behaviour::Honest);
        dealt.shuffle(&mut self.rng(Draw::Behaviour));
        dealt
    }

    fn joins(&self) -> Vec<Time> {
        let Arrivals::Every(interval) = self.arrivals else {
            return vec![Time::ZERO; self.fetchers];
        };
        let mut rng = self.rng(Draw::Arrival);
        let nanos = nanos(interval).max(1);
        (0..self.fetchers as u64)
            .map(|i| Time::from_nanos(i.saturating_mul(nanos) + rng.random_range(0..nanos)))
            .collect()
    }

    fn departures(&self, joins: &[Time]) -> Vec<Departure> {
        let hasty = match self.leaving {
            Leaving::Some(share) => self.chosen(share, Draw::Leaving),
            Leaving::After(_) => vec![false; self.fetchers],
        };
        let mut rng = self.rng(Draw::Churn);
        let departure = |(&joins, &hasty): (&Time, &bool)| {
            let after = match self.leaving {
                _ if hasty => Duration::ZERO,
                Leaving::After(after) => after,
                Leaving::Some(_) => LINGER,
            };
            match self.vanishes(joins, &mut rng) {
                Some(at) => Departure::At(at),
                None => Departure::Completed { after },
            }
        };
        joins.iter().zip(&hasty).map(departure).collect()
    }

    /// When a peer that joins then vanishes, if it does before the run ends.
    fn vanishes(&self, joins: Time, rng: &mut ChaCha8Rng) -> Option<Time> {
        let end = Time::from_start(self.time_max);
        let mut minute = joins;
        while self.churn.0 > 0 && minute < end {
            if rng.random_range(0..Share::WHOLE) < self.churn.0 {
                return Some(minute + Duration::from_nanos(rng.random_range(0..nanos(MINUTE))));
            }
            minute += MINUTE;
        }
        None
    }

    /// This share of the fetchers, at random.
    fn chosen(&self, share: Share, draw: Draw) -> Vec<bool> {
        let count = share.of(self.fetchers);
        let mut chosen: Vec<bool> = (0..self.fetchers).map(|i| i < count).collect();
        chosen.shuffle(&mut self.rng(draw));
        chosen
    }

    fn rng(&self, draw: Draw) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.rng_seed);
        rng.set_stream(draw as u64);
        rng
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(fetchers: usize) -> Plan {
        Plan {
            seeds: 1,
            fetchers,
            layout: Layout::new(1 << 20, 1 << 14).expect("valid"),
            seed_up: 1_000,
            up: vec![100, 200],
            down: vec![1_000],
            rtt: Duration::from_millis(20),
            arrivals: Arrivals::Together,
            leaving: Leaving::After(LINGER),
            churn: Share::default(),
            misbehaviour: Misbehaviour::default(),
            nat: Share::default(),
            faults: Faults::default(),
            slots: None,
            rng_seed: 1,
            time_max: Duration::from_secs(3_600),
            checked: false,
        }
    }

    const fn percent(percent: u32) -> Share {
        Share::from_millionths(percent * 10_000)
    }

    #[test]
    fn a_share_is_rounded_to_the_nearest() {
        let counts = [0, 1, 2, 10, 15].map(|count| percent(30).of(count));
        assert_eq!(counts, [0, 0, 1, 3, 5]);
        assert_eq!(percent(100).of(7), 7);
    }

    #[test]
    fn seeds_come_first_and_rates_go_round() {
        let hosts = plan(3).scenario().hosts;
        let ups: Vec<u64> = hosts.iter().map(|host| host.up).collect();
        assert_eq!(ups, [1_000, 100, 200, 100]);
        assert!(hosts[0].is_seed && hosts[0].leaves == Departure::Stays);
        // Four legs of 5 ms: out of one, into the other, and back.
        assert!(
            hosts
                .iter()
                .all(|host| host.delay == Duration::from_millis(5))
        );
    }

    #[test]
    fn behaviours_are_dealt_exactly_and_by_the_seed() {
        let dealt = |rng_seed| {
            let misbehaviour = Misbehaviour {
                free_riders: percent(30),
                liars: percent(10),
                corrupters: percent(5),
                slow: percent(20),
            };
            let hosts = Plan {
                misbehaviour,
                rng_seed,
                ..plan(100)
            }
            .scenario()
            .hosts;
            hosts
                .into_iter()
                .skip(1)
                .map(|host| host.behaviour)
                .collect::<Vec<_>>()
        };
        let count = |behaviour| dealt(1).into_iter().filter(|&one| one == behaviour).count();
        assert_eq!(count(Behaviour::FreeRider), 30);
        assert_eq!(count(Behaviour::Liar), 10);
        assert_eq!(count(Behaviour::Slow), 20);
        assert_eq!(count(Behaviour::Honest), 35);
        assert_eq!(dealt(1), dealt(1));
        assert_ne!(dealt(1), dealt(2));
    }

    #[test]
    fn what_is_drawn_for_one_thing_does_not_depend_on_another() {
        let unreachable = |plan: Plan| {
            let hosts = plan.scenario().hosts;
            hosts.iter().map(|host| host.reachable).collect::<Vec<_>>()
        };
        let nat = Plan {
            nat: percent(40),
            ..plan(50)
        };
        let riders = Misbehaviour {
            free_riders: percent(30),
            ..Misbehaviour::default()
        };
        let both = Plan {
            misbehaviour: riders,
            churn: percent(5),
            ..nat.clone()
        };
        assert_eq!(unreachable(nat), unreachable(both));
    }

    #[test]
    fn one_peer_joins_in_each_interval() {
        let interval = Duration::from_millis(100);
        let arrivals = Arrivals::Every(interval);
        let hosts = Plan {
            arrivals,
            ..plan(50)
        }
        .scenario()
        .hosts;
        for (i, host) in (0_u32..).zip(&hosts[1..]) {
            let start = Time::from_start(interval * i);
            assert!(start <= host.joins && host.joins < start + interval, "{i}");
        }
        let late = |host: &&Host| host.joins.as_nanos() % 100_000_000 > 50_000_000;
        let late = hosts[1..].iter().filter(late).count();
        assert!((10..40).contains(&late), "at a random moment of it: {late}");
    }

    #[test]
    fn churn_takes_its_share_of_those_left_every_minute() {
        let hosts = Plan {
            churn: percent(10),
            ..plan(10_000)
        }
        .scenario()
        .hosts;
        let minute = |host: &Host| match host.leaves {
            Departure::At(at) => Some(at.as_nanos() / 60_000_000_000),
            _ => None,
        };
        let gone = |wanted| {
            hosts
                .iter()
                .filter(|host| minute(host) == Some(wanted))
                .count()
        };
        assert!((900..1_100).contains(&gone(0)), "{}", gone(0));
        assert!((800..1_000).contains(&gone(1)), "{}", gone(1));
        assert!(
            !hosts.iter().any(|host| minute(host) > Some(60)),
            "nor after the end"
        );
        assert_eq!(minute(&hosts[0]), None, "seeds stay");
    }

    #[test]
    fn a_share_leaves_at_once_and_the_others_linger() {
        let leaving = Leaving::Some(percent(20));
        let hosts = Plan {
            leaving,
            ..plan(10)
        }
        .scenario()
        .hosts;
        let after = |after| {
            let rule = Departure::Completed { after };
            hosts.iter().filter(|host| host.leaves == rule).count()
        };
        assert_eq!((after(Duration::ZERO), after(LINGER)), (2, 8));
    }
}
