//! From a scenario and its outcome to the record that reports are made of, and the least time that
//! its rates allow.
//!
//! The bound counts as the run turned out: a free rider's or liar's uplink is none, since it gives
//! nothing; who vanished incomplete helped for a while, but nobody had to bring it anything.

use crate::layout::Layout;
use crate::report::{Bound, Flow, HostRun, Inputs, Overhead, Rates, Role, Run, Sample, TraceHash};
use crate::sim::{self, Behaviour, Host, HostOutcome, Outcome, Scenario};
use crate::time::Time;

/// A slow host sends at this part of its rate.
const SLOW: u64 = 20;

/// The record of a run.
pub(super) fn record(scenario: &Scenario, outcome: &Outcome) -> Run {
    let pairs = || scenario.hosts.iter().zip(&outcome.hosts);
    let wanted = pairs().map(|(host, fared)| (host, wants_all(host, fared)));
    let left_behind =
        pairs().filter(|(host, fared)| wants_all(host, fared) && fared.completed.is_none());
    let warning = match left_behind.count() {
        0 => None,
        1 => Some("1 peer that stayed was not complete when the time was up.".to_owned()),
        count => Some(format!(
            "{count} peers that stayed were not complete when the time was up."
        )),
    };
    Run {
        contender: "swarm".into(),
        rng_seed: Some(scenario.seed),
        bound: bound(&scenario.layout, wanted),
        hosts: pairs()
            .enumerate()
            .map(|(index, (host, fared))| host_run(index, host, fared))
            .collect(),
        flows: outcome.flows.iter().map(flow).collect(),
        samples: outcome.samples.iter().map(sample).collect(),
        overhead: Some(overhead(outcome.overhead)),
        cpu_s: None,
        rss_peak: None,
        trace_hash: Some(TraceHash(outcome.trace_hash)),
        ended_s: outcome.ended.as_secs_f64(),
        warnings: warning.into_iter().collect(),
    }
}

/// The least time in which those who are to have the content can have it.
pub(super) fn bound<'a>(
    layout: &Layout,
    hosts: impl Iterator<Item = (&'a Host, bool)>,
) -> Option<Bound> {
    let mut inputs = Inputs {
        size: layout.total_len(),
        piece_length: layout.nominal_piece_len(),
        ..Inputs::default()
    };
    for (host, wants_all) in hosts {
        let up = Some(gives(host));
        if host.is_seed {
            inputs.seeds.push(up);
        } else if wants_all {
            inputs.fetchers.push(Rates {
                up,
                down: Some(host.down),
            });
        } else {
            inputs.others.push(up);
        }
    }
    Bound::of(&inputs)
}

/// Whether the swarm had to bring this host everything.
fn wants_all(host: &Host, fared: &HostOutcome) -> bool {
    host.is_fetcher() && (fared.completed.is_some() || fared.left.is_none())
}

/// Bytes per second that a host can put to use for others.
fn gives(host: &Host) -> u64 {
    match host.behaviour {
        Behaviour::FreeRider | Behaviour::Liar => 0,
        Behaviour::Slow => host.up / SLOW,
        Behaviour::Honest | Behaviour::Corrupter { .. } => host.up,
    }
}

fn host_run(index: usize, host: &Host, fared: &HostOutcome) -> HostRun {
    let (name, role) = match host {
        Host { is_seed: true, .. } => (format!("seed {}", index + 1), Role::Seed),
        host if host.is_fetcher() => (format!("peer {index}"), Role::Fetcher),
        _ => (format!("peer {index}"), Role::Foe),
    };
    HostRun {
        name,
        role,
        behaviour: behaviour(host).into(),
        up: Some(match host.behaviour {
            Behaviour::Slow => host.up / SLOW,
            _ => host.up,
        }),
        down: Some(host.down),
        joined_s: host.joins.as_secs_f64(),
        completed_s: fared.completed.map(Time::as_secs_f64),
        left_s: fared.left.map(Time::as_secs_f64),
        sent: fared.sent,
        received: fared.received,
        received_from_seeds: fared.from_seeds,
        wasted: fared.wasted,
    }
}

/// The word that a report groups hosts by.
fn behaviour(host: &Host) -> &'static str {
    match host.behaviour {
        Behaviour::Honest if host.reachable => "honest",
        Behaviour::Honest => "behind-nat",
        Behaviour::FreeRider => "free-rider",
        Behaviour::Liar => "liar",
        Behaviour::Corrupter { .. } => "corrupter",
        Behaviour::Slow => "slow",
    }
}

fn flow(flow: &sim::Flow) -> Flow {
    let index = |index| u32::try_from(index).expect("flows are kept of few hosts only");
    Flow {
        from: index(flow.from),
        to: index(flow.to),
        bytes: flow.bytes,
    }
}

fn sample(sample: &sim::Sample) -> Sample {
    Sample {
        t: sample.at.as_secs_f64(),
        complete: u32::try_from(sample.complete).unwrap_or(u32::MAX),
        done: sample.mean_done,
        copies_min: sample.copies_min,
        copies_median: sample.copies_median,
    }
}

fn overhead(overhead: sim::Overhead) -> Overhead {
    Overhead {
        payload: overhead.payload,
        duplicate: overhead.duplicate,
        have: overhead.have,
        request: overhead.request,
        other: overhead.other,
    }
}
