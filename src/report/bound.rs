//! The least time in which a swarm can bring everything to everybody, and how near a run came.
//!
//! The fluid bound is that of Kumar and Ross ("Peer-assisted file distribution: the minimum
//! distribution time", `HotWeb` 2006): `T_min = max{F/u(S), F/d_min, N·F/(u(S)+u(L))}`. It lets data
//! flow in infinitely small parts; the reference adds what whole pieces cost.

use serde::{Deserialize, Serialize};

/// The rates of one fetcher in bytes per second; `None` is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// What it can send; 0 for one that gives nothing.
    pub up: Option<u64>,
    /// What it can receive.
    pub down: Option<u64>,
}

/// What the bound depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// Bytes of the content.
    pub size: u64,
    /// Bytes of a piece.
    pub piece_length: u32,
    /// What each seed can send in bytes per second; `None` is unlimited.
    pub seeds: Vec<Option<u64>>,
    /// Everybody who wants the content.
    pub fetchers: Vec<Rates>,
    /// What those can send who pass on what they get but need not have everything: who left before
    /// the end, or came to disturb. `None` is unlimited.
    pub others: Vec<Option<u64>>,
}

/// Which of the three terms is the largest: what a faster swarm would have to have more of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// `F/u(S)`: the seeds must send everything once.
    SeedUpload,
    /// `F/d_min`: the slowest fetcher must receive everything.
    SlowestDownload,
    /// `N·F/(u(S)+u(L))`: everybody together must send N copies.
    TotalUpload,
}

/// The least time for everybody to be complete, in seconds from a common start.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    /// `T_min`, the fluid bound: no swarm, whatever its protocol, is faster.
    pub fluid_s: f64,
    /// `T_ref = T_min + ⌊log2 N⌋·P/u`: what whole pieces allow when a fetcher can pass a piece on
    /// only after it has all of it (Mundinger, Weber and Weiss, 2008; exact for equal rates, where
    /// `u` is the upload rate; for unequal rates `u` is the largest, which makes it a reference
    /// rather than a bound).
    pub reference_s: f64,
    /// `max{N·F/u(S), F/d_min}`: the least time if only the seeds send, as a server does.
    pub server_s: f64,
    /// The term that `T_min` comes from.
    pub limit: Limit,
}

impl Bound {
    /// The bound for `inputs`. `None` if there is nothing to bound: no content, no seed, no
    /// fetcher, rates that can never finish, or none that limits.
    pub fn of(inputs: &Inputs) -> Option<Self> {
        let (size, count) = (inputs.size as f64, inputs.fetchers.len());
        if inputs.size == 0 || count == 0 || inputs.seeds.is_empty() {
            return None;
        }
        let copies = count as f64 * size;
        let seeds_up = sum(inputs.seeds.iter().copied());
        let others_up = inputs.others.iter().copied();
        let fetchers_up = sum(inputs
            .fetchers
            .iter()
            .map(|rates| rates.up)
            .chain(others_up));
        let slowest_down = inputs.fetchers.iter().filter_map(|rates| rates.down).min();
        let download_s = seconds(size, slowest_down);
        let terms = [
            (seconds(size, seeds_up), Limit::SeedUpload),
            (download_s, Limit::SlowestDownload),
            (
                seconds(copies, seeds_up.zip(fetchers_up).map(|(s, l)| s + l)),
                Limit::TotalUpload,
            ),
        ];
        let (fluid_s, limit) = terms
            .into_iter()
            .reduce(|most, term| if term.0 > most.0 { term } else { most })?;
        let hops = f64::from(count.ilog2());
        let piece = (f64::from(inputs.piece_length)).min(size);
        let reference_s = fluid_s + hops * seconds(piece, fastest_up(inputs));
        let bound = Self {
            fluid_s,
            reference_s,
            server_s: seconds(copies, seeds_up).max(download_s),
            limit,
        };
        (fluid_s > 0.0 && reference_s.is_finite() && bound.server_s.is_finite()).then_some(bound)
    }

    /// The share of the fluid bound that a last completion `last_s` seconds after the start
    /// reached; 1 is perfect.
    pub fn efficiency(&self, last_s: f64) -> f64 {
        efficiency(self.fluid_s, last_s)
    }

    /// The same share of the reference for whole pieces.
    pub fn efficiency_of_reference(&self, last_s: f64) -> f64 {
        efficiency(self.reference_s, last_s)
    }
}

/// Which share of the possible speed was reached: `bound_s / last_s`; 0 for a time that is none.
pub fn efficiency(bound_s: f64, last_s: f64) -> f64 {
    if last_s > 0.0 { bound_s / last_s } else { 0.0 }
}

/// How long `bytes` take at `rate`: no time at an unlimited one, for ever at none.
fn seconds(bytes: f64, rate: Option<u64>) -> f64 {
    rate.map_or(0.0, |rate| bytes / rate as f64)
}

/// The sum of the rates; unlimited as soon as one is.
fn sum(mut rates: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    rates.try_fold(0_u64, |sum, rate| rate.map(|rate| sum.saturating_add(rate)))
}

/// The largest upload of anybody.
fn fastest_up(inputs: &Inputs) -> Option<u64> {
    let all = inputs.fetchers.iter().map(|rates| rates.up);
    let rates: Option<Vec<u64>> = all.chain(inputs.seeds.iter().copied()).collect();
    rates.map(|rates| rates.into_iter().max().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn inputs(size: u64, seeds: &[Option<u64>], fetchers: &[(Option<u64>, Option<u64>)]) -> Inputs {
        let rates = |&(up, down)| Rates { up, down };
        Inputs {
            size,
            piece_length: 256 * 1024,
            seeds: seeds.to_vec(),
            fetchers: fetchers.iter().map(rates).collect(),
            others: Vec::new(),
        }
    }

    fn close(left: f64, right: f64) {
        assert!((left - right).abs() <= 1e-9 * right.abs(), "{left} {right}");
    }

    #[test]
    fn equal_uplinks_are_bound_by_one_copy_from_the_seed() {
        // 256 MiB at 80 Mbit/s, the fan-out of the README.
        let up = Some(10_000_000);
        let bound = Bound::of(&inputs(256 * MIB, &[up], &[(up, None); 15])).unwrap();
        close(bound.fluid_s, 26.843_545_6);
        close(bound.reference_s, 26.843_545_6 + 3.0 * 0.026_214_4);
        close(bound.server_s, 15.0 * 26.843_545_6);
        assert_eq!(bound.limit, Limit::SeedUpload);
        close(bound.efficiency(2.0 * bound.fluid_s), 0.5);
    }

    #[test]
    fn fetchers_that_give_nothing_leave_the_bound_of_a_server() {
        let nothing = (Some(0), Some(50 * MIB));
        let bound = Bound::of(&inputs(100 * MIB, &[Some(10 * MIB)], &[nothing; 8])).unwrap();
        close(bound.fluid_s, 80.0);
        close(bound.server_s, 80.0);
        assert_eq!(bound.limit, Limit::TotalUpload);
    }

    #[test]
    fn the_slowest_download_can_be_what_limits() {
        let up = Some(10 * MIB);
        let fetchers = [(up, Some(MIB)), (up, Some(100 * MIB)), (up, None)];
        let bound = Bound::of(&inputs(100 * MIB, &[up], &fetchers)).unwrap();
        close(bound.fluid_s, 100.0);
        assert_eq!(bound.limit, Limit::SlowestDownload);
    }

    #[test]
    fn unequal_uplinks_are_bound_by_their_sum() {
        let fetchers = [
            (Some(MIB), None),
            (Some(2 * MIB), None),
            (Some(5 * MIB), None),
        ];
        let bound = Bound::of(&inputs(160 * MIB, &[Some(8 * MIB)], &fetchers)).unwrap();
        close(bound.fluid_s, 3.0 * 160.0 / 16.0);
        assert_eq!(bound.limit, Limit::TotalUpload);
        // One doubling of a piece of 256 KiB at the fastest uplink.
        close(bound.reference_s, 30.0 + 0.25 / 8.0);
    }

    #[test]
    fn others_give_and_need_nothing() {
        let mut inputs = inputs(120 * MIB, &[Some(2 * MIB)], &[(Some(MIB), None); 4]);
        close(Bound::of(&inputs).unwrap().fluid_s, 4.0 * 120.0 / 6.0);
        inputs.others = vec![Some(MIB), Some(MIB)];
        close(Bound::of(&inputs).unwrap().fluid_s, 4.0 * 120.0 / 8.0);
        inputs.others = vec![None];
        close(Bound::of(&inputs).unwrap().fluid_s, 120.0 / 2.0);
    }

    #[test]
    fn one_fetcher_needs_no_doubling() {
        let bound = Bound::of(&inputs(MIB, &[Some(MIB)], &[(None, None)])).unwrap();
        close(bound.fluid_s, 1.0);
        close(bound.reference_s, 1.0);
        close(bound.server_s, 1.0);
    }

    #[test]
    fn seeds_add_up() {
        let bound = Bound::of(&inputs(
            6 * MIB,
            &[Some(MIB), Some(2 * MIB)],
            &[(None, None)],
        ));
        close(bound.unwrap().fluid_s, 2.0);
    }

    #[test]
    fn unlimited_rates_limit_nothing() {
        let fetchers = [(None, Some(MIB)), (None, None)];
        let bound = Bound::of(&inputs(10 * MIB, &[None], &fetchers)).unwrap();
        close(bound.fluid_s, 10.0);
        close(bound.reference_s, 10.0);
        assert_eq!(bound.limit, Limit::SlowestDownload);
        assert_eq!(Bound::of(&inputs(MIB, &[None], &[(None, None)])), None);
    }

    #[test]
    fn what_never_ends_has_no_bound() {
        let fetcher = (Some(MIB), None);
        assert_eq!(Bound::of(&inputs(MIB, &[], &[fetcher])), None);
        assert_eq!(Bound::of(&inputs(MIB, &[Some(0)], &[fetcher])), None);
        assert_eq!(
            Bound::of(&inputs(MIB, &[Some(1)], &[(None, Some(0))])),
            None
        );
        assert_eq!(Bound::of(&inputs(MIB, &[Some(1)], &[])), None);
        assert_eq!(Bound::of(&inputs(0, &[Some(1)], &[fetcher])), None);
    }

    fn rate() -> impl Strategy<Value = Option<u64>> {
        prop_oneof![Just(None), (1_u64..1 << 34).prop_map(Some)]
    }

    proptest! {
        #[test]
        fn more_of_any_rate_never_raises_the_bound(
            size in 1_u64..1 << 40,
            seed in 1_u64..1 << 34,
            fetchers in prop::collection::vec((rate(), rate()), 1..40),
            more in 1_u64..1 << 30,
        ) {
            let before = Bound::of(&inputs(size, &[Some(seed)], &fetchers)).unwrap();
            let raised = |rate: Option<u64>| rate.map(|rate| rate + more);
            let faster: Vec<_> =
                fetchers.iter().map(|&(up, down)| (raised(up), raised(down))).collect();
            let after = Bound::of(&inputs(size, &[Some(seed + more)], &faster)).unwrap();
            prop_assert!(after.fluid_s <= before.fluid_s);
            prop_assert!(before.fluid_s <= before.reference_s);
            prop_assert!(before.fluid_s <= before.server_s * (1.0 + 1e-12));
        }
    }
}
