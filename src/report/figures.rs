//! What a run amounts to: completion times, efficiency, copies, shares, fairness.
//!
//! Everything here follows from the record of the run; nothing is kept that can be computed.

use std::collections::BTreeMap;

use serde::Serialize;

use super::run::{HostRun, Run};

const GIB: f64 = 1_073_741_824.0;

/// Fetchers that come within this share of the bound of each other start together. Chosen: less
/// than what the last digit of an efficiency shows.
const TOGETHER: f64 = 0.005;

/// The figures of a run. Times are from the moment that a fetcher joined.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// How many wanted the content.
    pub fetchers: usize,
    /// How many of them got it.
    pub complete: usize,
    /// How many left without it; they count in no time below.
    pub left: usize,
    /// The first completion.
    pub first_s: Option<f64>,
    /// The median completion; `None` if so few got there.
    pub median_s: Option<f64>,
    /// 95 % were complete by then.
    pub p95_s: Option<f64>,
    /// The last completion; `None` if somebody who stayed never got there.
    pub last_s: Option<f64>,
    /// `T_min / last`; `None` without a bound or if fetchers did not start together.
    pub efficiency: Option<f64>,
    /// `T_ref / last`.
    pub efficiency_reference: Option<f64>,
    /// Copies of the content that the seeds sent.
    pub seed_copies: f64,
    /// Share of what fetchers received that came from other fetchers, 0 to 1.
    pub from_peers: Option<f64>,
    /// Payload received in vain, of all payload, 0 to 1.
    pub duplicate: Option<f64>,
    /// Bytes of `have` messages per byte of payload.
    pub have: Option<f64>,
    /// Bytes of `request` messages per byte of payload.
    pub request: Option<f64>,
    /// Bytes of everything else per byte of payload.
    pub other: Option<f64>,
    /// Jain's index over sent / received of the fetchers; 1 if all gave alike.
    pub jain: Option<f64>,
    /// Sent / received of the fetcher that gave least, of the median, of the one that gave most.
    pub given_received: Option<[f64; 3]>,
    /// Processor seconds per GiB received.
    pub cpu_s_per_gib: Option<f64>,
    /// Resident bytes at the peak, as recorded.
    #[serde(skip)]
    pub rss_peak: Option<f64>,
    /// Resident bytes at the peak per GiB received.
    pub rss_peak_per_gib: Option<f64>,
    /// The same times by behaviour, the honest first; empty if there is only one.
    pub groups: Vec<Group>,
}

/// The fetchers of one behaviour.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// How they play.
    pub behaviour: String,
    /// How many there are.
    pub fetchers: usize,
    /// How many got everything.
    pub complete: usize,
    /// Mean completion of those who got everything.
    pub mean_s: Option<f64>,
    /// The median completion of those who stayed.
    pub median_s: Option<f64>,
    /// The last completion of those who stayed.
    pub last_s: Option<f64>,
}

impl Figures {
    /// The figures of `run`, whose content has `size` bytes.
    pub fn of(run: &Run, size: u64) -> Self {
        let fetchers: Vec<&HostRun> = run.fetchers().collect();
        let times = times(&fetchers);
        let last_s = rank(&times, 1.0);
        let bound = run
            .bound
            .filter(|bound| is_together(&fetchers, bound.fluid_s));
        let received: u64 = fetchers.iter().map(|host| host.received).sum();
        let from_seeds: u64 = fetchers.iter().map(|host| host.received_from_seeds).sum();
        let sent_by_seeds: u64 = run.seeds().map(|host| host.sent).sum();
        let part = |bytes: u64| {
            let payload = run.overhead?.payload;
            ratio(bytes, payload)
        };
        let overhead = run.overhead.unwrap_or_default();
        let given = given_received(&fetchers);
        let gib = received as f64 / GIB;
        let per_gib = |value: f64| (gib > 0.0).then(|| value / gib);
        Self {
            fetchers: fetchers.len(),
            complete: count_complete(&fetchers),
            left: fetchers.len() - times.len(),
            first_s: times.first().copied().flatten(),
            median_s: rank(&times, 0.5),
            p95_s: rank(&times, 0.95),
            last_s,
            efficiency: bound
                .zip(last_s)
                .map(|(bound, last)| bound.efficiency(last)),
            efficiency_reference: bound
                .zip(last_s)
                .map(|(bound, last)| bound.efficiency_of_reference(last)),
            seed_copies: ratio(sent_by_seeds, size).unwrap_or(0.0),
            from_peers: ratio(received.saturating_sub(from_seeds), received),
            duplicate: part(overhead.duplicate),
            have: part(overhead.have),
            request: part(overhead.request),
            other: part(overhead.other),
            jain: jain(&given),
            given_received: ends_and_middle(&given),
            cpu_s_per_gib: run.cpu_s.and_then(per_gib),
            rss_peak: run.rss_peak.map(|rss| rss as f64),
            rss_peak_per_gib: run.rss_peak.and_then(|rss| per_gib(rss as f64)),
            groups: groups(&fetchers),
        }
    }
}

/// The nearest-rank quantile: the smallest of the sorted `values` that at least the share `q` of
/// them does not exceed. A value of `None` is larger than all others, and gives `None`.
pub fn rank(values: &[Option<f64>], q: f64) -> Option<f64> {
    let count = values.len();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a count, clamped to it"
    )]
    let place = ((q * count as f64 - 1e-9).ceil() as usize).clamp(1, count.max(1));
    values.get(place - 1).copied().flatten()
}

/// Jain's fairness index `(Σx)² / (n·Σx²)`: 1 if all are equal, 1/n if one has everything.
pub fn jain(values: &[f64]) -> Option<f64> {
    let sum: f64 = values.iter().sum();
    let squares: f64 = values.iter().map(|value| value * value).sum();
    (squares > 0.0).then(|| sum * sum / (values.len() as f64 * squares))
}

/// Own times of those who stayed or got there, in order; those who did not get there come last.
fn times(fetchers: &[&HostRun]) -> Vec<Option<f64>> {
    let stayed = fetchers
        .iter()
        .filter(|host| host.completed_s.is_some() || host.left_s.is_none());
    let mut times: Vec<Option<f64>> = stayed.map(|host| own_time(host)).collect();
    let or_never = |time: &Option<f64>| time.unwrap_or(f64::INFINITY);
    times.sort_by(|a, b| or_never(a).total_cmp(&or_never(b)));
    times
}

fn own_time(host: &HostRun) -> Option<f64> {
    host.completed_s.map(|completed| completed - host.joined_s)
}

fn count_complete(fetchers: &[&HostRun]) -> usize {
    let complete = fetchers.iter().filter(|host| host.completed_s.is_some());
    complete.count()
}

/// Whether all of them came at the same time, measured against the bound.
fn is_together(fetchers: &[&HostRun], bound_s: f64) -> bool {
    let joined = || fetchers.iter().map(|host| host.joined_s);
    let first = joined().fold(f64::INFINITY, f64::min);
    joined().fold(first, f64::max) - first <= TOGETHER * bound_s
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Sent / received of every fetcher that received anything, in order.
fn given_received(fetchers: &[&HostRun]) -> Vec<f64> {
    let mut ratios: Vec<f64> = fetchers
        .iter()
        .filter_map(|host| ratio(host.sent, host.received))
        .collect();
    ratios.sort_by(f64::total_cmp);
    ratios
}

fn ends_and_middle(sorted: &[f64]) -> Option<[f64; 3]> {
    let middle = sorted.get(sorted.len().saturating_sub(1) / 2)?;
    Some([*sorted.first()?, *middle, *sorted.last()?])
}

fn groups(fetchers: &[&HostRun]) -> Vec<Group> {
    let mut by_behaviour: BTreeMap<(bool, &str), Vec<&HostRun>> = BTreeMap::new();
    for host in fetchers {
        let group = by_behaviour.entry(host.plays()).or_default();
        group.push(host);
    }
    if by_behaviour.len() < 2 {
        return Vec::new();
    }
    let group = |((_, behaviour), hosts): ((bool, &str), Vec<&HostRun>)| {
        let complete: Vec<f64> = hosts.iter().filter_map(|host| own_time(host)).collect();
        let times = times(&hosts);
        Group {
            behaviour: behaviour.to_owned(),
            fetchers: hosts.len(),
            complete: complete.len(),
            mean_s: (!complete.is_empty())
                .then(|| complete.iter().sum::<f64>() / complete.len() as f64),
            median_s: rank(&times, 0.5),
            last_s: rank(&times, 1.0),
        }
    };
    by_behaviour.into_iter().map(group).collect()
}
