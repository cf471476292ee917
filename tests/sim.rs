//! The core in virtual time: whole swarms, faults included, from one seed.

use std::time::Duration;

use swarm::layout::Layout;
use swarm::sim::{Host, Report, Scenario, Simulation};
use swarm::time::Time;

const MIB: u64 = 1 << 20;

fn scenario(hosts: Vec<Host>, size: u64, seed: u64) -> Scenario {
    Scenario {
        hosts,
        layout: Layout::new(size, 64 * 1024).expect("valid"),
        latency: Duration::from_millis(5),
        seed,
        time_max: Duration::from_secs(600),
        checked: true,
    }
}

fn swarm(leeches: usize, size: u64, seed: u64) -> Scenario {
    let mut hosts = vec![Host::seed(MIB)];
    hosts.resize(leeches + 1, Host::leech(MIB));
    scenario(hosts, size, seed)
}

fn seconds(report: &Report) -> f64 {
    report
        .last_completion()
        .expect("everybody finished")
        .as_secs_f64()
}

#[test]
fn one_seed_feeds_one_leech_at_line_rate() {
    let report = Simulation::new(swarm(1, 8 * MIB, 1)).run();
    assert!(
        seconds(&report) < 8.6,
        "{} s for 8 s worth",
        seconds(&report)
    );
    assert_eq!(report.sent[0], 8 * MIB);
}

#[test]
fn two_runs_of_one_seed_give_the_same_trace() {
    let first = Simulation::new(swarm(5, 4 * MIB, 42)).run();
    let second = Simulation::new(swarm(5, 4 * MIB, 42)).run();
    let other = Simulation::new(swarm(5, 4 * MIB, 43)).run();
    assert_eq!(first, second);
    assert_ne!(first.trace_hash, other.trace_hash);
}

#[test]
fn a_swarm_of_nine_finishes_near_the_bound() {
    for seed in 0..3 {
        let report = Simulation::new(swarm(8, 16 * MIB, seed)).run();
        let (bound, copies) = (16.0, report.sent[0] as f64 / (16 * MIB) as f64);
        assert!(
            seconds(&report) < bound * 1.3,
            "seed {seed}: {} s",
            seconds(&report)
        );
        assert!(copies < 1.3, "seed {seed}: {copies} copies");
        let wasted: u64 = report.wasted.iter().sum();
        assert!(
            wasted < 8 * 16 * MIB / 50,
            "seed {seed}: {wasted} bytes wasted"
        );
    }
}

#[test]
fn fifteen_leeches_reach_nine_tenths_of_the_bound() {
    let rate = 10 * MIB;
    let mut hosts = vec![Host::seed(rate)];
    hosts.resize(16, Host::leech(rate));
    let mut scenario = scenario(hosts, 100 * MIB, 1);
    scenario.layout = Layout::new(100 * MIB, 128 * 1024).expect("valid");
    scenario.latency = Duration::from_millis(1);
    scenario.checked = false;
    let report = Simulation::new(scenario).run();
    assert!(
        seconds(&report) < 10.0 / 0.9,
        "{} s for 10 s",
        seconds(&report)
    );
    let wasted: u64 = report.wasted.iter().sum();
    assert!(wasted < 15 * 100 * MIB / 100, "{wasted} bytes wasted");
}

#[test]
fn the_rest_finish_when_the_seed_dies_after_one_copy() {
    let mut scenario = swarm(6, 8 * MIB, 3);
    scenario.hosts[0].dies = Some(Time::from_start(Duration::from_secs(12)));
    let report = Simulation::new(scenario).run();
    assert!(
        report.completed[1..].iter().all(Option::is_some),
        "{report:?}"
    );
}

#[test]
fn late_joiners_and_dying_leeches_do_not_stop_the_swarm() {
    for seed in 10..14 {
        let mut scenario = swarm(10, 4 * MIB, seed);
        for (i, host) in scenario.hosts.iter_mut().enumerate().skip(1) {
            host.joins = Time::from_start(Duration::from_millis(i as u64 * 700));
            if i % 3 == 0 {
                host.dies = Some(Time::from_start(Duration::from_secs(2 + i as u64 / 2)));
            }
        }
        let dies: Vec<bool> = scenario
            .hosts
            .iter()
            .map(|host| host.dies.is_some())
            .collect();
        let report = Simulation::new(scenario).run();
        let living = report.completed.iter().zip(dies).filter(|(_, dies)| !dies);
        assert!(
            living.into_iter().all(|(done, _)| done.is_some()),
            "seed {seed}: {report:?}"
        );
    }
}

#[test]
fn a_corrupter_is_found_and_everybody_finishes() {
    for seed in 20..24 {
        let mut scenario = swarm(5, 4 * MIB, seed);
        scenario.hosts[2].corrupts_one_in = 10;
        scenario.hosts[2].is_seed = true;
        let report = Simulation::new(scenario).run();
        assert!(
            report.completed.iter().all(Option::is_some),
            "seed {seed}: {report:?}"
        );
        let wasted: u64 = report.wasted.iter().sum();
        assert!(wasted < 5 * MIB, "seed {seed}: {wasted} bytes wasted");
    }
}

#[test]
fn a_long_fat_link_is_filled() {
    let mut scenario = scenario(
        vec![Host::seed(40 * MIB), Host::leech(40 * MIB)],
        128 * MIB,
        5,
    );
    scenario.latency = Duration::from_millis(50);
    scenario.layout = Layout::new(128 * MIB, 256 * 1024).expect("valid");
    scenario.checked = false;
    let report = Simulation::new(scenario).run();
    assert!(
        seconds(&report) < 3.2 * 1.35,
        "{} s for 3.2 s worth",
        seconds(&report)
    );
}
