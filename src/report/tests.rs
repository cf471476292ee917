//! The figures and the record, on runs small enough to work out by hand.

use proptest::prelude::*;

use super::*;

fn times(values: &[f64]) -> Vec<Option<f64>> {
    values.iter().copied().map(Some).collect()
}

#[test]
fn a_quantile_is_a_value_that_occurred() {
    let ten: Vec<_> = times(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]);
    assert_eq!(rank(&ten, 0.0), Some(1.0));
    assert_eq!(rank(&ten, 0.5), Some(5.0));
    assert_eq!(rank(&ten, 0.95), Some(10.0));
    assert_eq!(rank(&ten, 1.0), Some(10.0));
    let twenty: Vec<_> = (1..=20).map(|n| Some(f64::from(n))).collect();
    assert_eq!(rank(&twenty, 0.95), Some(19.0));
    assert_eq!(rank(&times(&[3.0]), 0.95), Some(3.0));
    assert_eq!(rank(&[], 0.5), None);
}

#[test]
fn who_never_got_there_is_later_than_everybody() {
    let three = [Some(1.0), Some(2.0), None];
    assert_eq!(rank(&three, 0.5), Some(2.0));
    assert_eq!(rank(&three, 1.0), None);
}

#[test]
fn jain_is_one_for_equals_and_one_nth_for_one_who_has_all() {
    assert_eq!(jain(&[2.0, 2.0, 2.0]), Some(1.0));
    assert_eq!(jain(&[5.0, 0.0, 0.0, 0.0]), Some(0.25));
    assert_eq!(jain(&[1.0, 2.0, 3.0]), Some(36.0 / 42.0));
    assert_eq!(jain(&[0.0, 0.0]), None);
    assert_eq!(jain(&[]), None);
}

const MIB: u64 = 1024 * 1024;
const PIECE: u32 = 1024 * 1024;

fn seed(sent: u64) -> HostRun {
    HostRun {
        name: "seed".to_owned(),
        role: Role::Seed,
        behaviour: "honest".to_owned(),
        up: Some(10 * MIB),
        completed_s: Some(0.0),
        sent,
        ..HostRun::default()
    }
}

fn fetcher(completed_s: Option<f64>, sent: u64, from_seed: u64) -> HostRun {
    HostRun {
        name: "fetcher".to_owned(),
        behaviour: "honest".to_owned(),
        up: Some(10 * MIB),
        completed_s,
        sent,
        received: 100 * MIB,
        received_from_seeds: from_seed,
        ..HostRun::default()
    }
}

fn run(hosts: Vec<HostRun>) -> Run {
    Run {
        contender: "swarm".to_owned(),
        bound: Run::bound_of(100 * MIB, PIECE, &hosts),
        hosts,
        ended_s: 30.0,
        ..Run::default()
    }
}

fn pair() -> Run {
    run(vec![
        seed(110 * MIB),
        fetcher(Some(11.0), 60 * MIB, 50 * MIB),
        fetcher(Some(12.5), 30 * MIB, 60 * MIB),
    ])
}

#[test]
fn the_figures_of_a_small_run_are_those_worked_out_by_hand() {
    let mut run = pair();
    run.overhead = Some(Overhead {
        payload: 200 * MIB,
        duplicate: 2 * MIB,
        have: MIB,
        request: MIB / 2,
        other: MIB / 4,
    });
    run.cpu_s = Some(3.0);
    run.rss_peak = Some(50 * MIB);
    let figures = Figures::of(&run, 100 * MIB);
    assert_eq!(
        (figures.fetchers, figures.complete, figures.left),
        (2, 2, 0)
    );
    assert_eq!(figures.first_s, Some(11.0));
    assert_eq!(figures.median_s, Some(11.0));
    assert_eq!(figures.p95_s, Some(12.5));
    assert_eq!(figures.last_s, Some(12.5));
    // T_min is 10 s, one doubling of a piece of 1 MiB at 10 MiB/s is 0.1 s.
    assert_eq!(figures.efficiency, Some(0.8));
    assert_eq!(figures.efficiency_reference, Some(10.1 / 12.5));
    assert!((figures.seed_copies - 1.1).abs() < 1e-12);
    assert_eq!(figures.from_peers, Some(0.45));
    assert_eq!(figures.duplicate, Some(0.01));
    assert_eq!(figures.have, Some(0.005));
    assert_eq!(figures.request, Some(0.0025));
    assert_eq!(figures.given_received, Some([0.3, 0.3, 0.6]));
    assert!((figures.jain.unwrap() - 0.81 / 0.9).abs() < 1e-12);
    assert_eq!(figures.cpu_s_per_gib, Some(3.0 * 1024.0 / 200.0));
    assert_eq!(
        figures.rss_peak_per_gib,
        Some(50.0 * 1024.0 * MIB as f64 / 200.0)
    );
    assert!(figures.groups.is_empty());
}

#[test]
fn who_stays_incomplete_leaves_no_last_completion_and_who_left_does_not_count() {
    let mut run = pair();
    run.hosts[2].completed_s = None;
    let figures = Figures::of(&run, 100 * MIB);
    assert_eq!((figures.last_s, figures.efficiency), (None, None));
    assert_eq!(figures.first_s, Some(11.0));
    run.hosts[2].left_s = Some(5.0);
    let figures = Figures::of(&run, 100 * MIB);
    assert_eq!((figures.complete, figures.left), (1, 1));
    assert_eq!(figures.last_s, Some(11.0));
}

#[test]
fn a_late_comer_is_timed_from_its_arrival_and_is_not_held_against_the_bound() {
    let mut run = pair();
    run.hosts[2].joined_s = 4.0;
    let figures = Figures::of(&run, 100 * MIB);
    assert_eq!(figures.last_s, Some(11.0));
    assert_eq!(figures.first_s, Some(8.5));
    assert_eq!(figures.efficiency, None);
    run.hosts[2].joined_s = 0.04;
    assert!(Figures::of(&run, 100 * MIB).efficiency.is_some());
}

#[test]
fn behaviours_are_told_apart() {
    let mut run = pair();
    run.hosts[2].behaviour = "free-rider".to_owned();
    let groups = Figures::of(&run, 100 * MIB).groups;
    let told: Vec<_> = groups
        .iter()
        .map(|g| (g.behaviour.as_str(), g.mean_s))
        .collect();
    assert_eq!(told, [("honest", Some(11.0)), ("free-rider", Some(12.5))]);
}

fn results() -> Results {
    let mut run = pair();
    run.trace_hash = Some(TraceHash(0xdead_beef_0000_0001));
    run.flows = vec![Flow {
        from: 0,
        to: 1,
        bytes: 50 * MIB,
    }];
    run.samples = vec![Sample {
        t: 0.1,
        complete: 0,
        done: 0.125,
        copies_min: 1,
        copies_median: 1,
    }];
    Results {
        kind: Kind::Sim,
        command: "swarm sim --peers 2".to_owned(),
        setup: Setup {
            size: 100 * MIB,
            piece_length: PIECE,
            pieces: 100,
            rng_seed: 7,
            parameters: Parameters::default()
                .with("rtt", "20 ms")
                .with("arrive", "together"),
        },
        runs: vec![run],
    }
}

#[test]
fn what_is_written_is_read_back_with_its_parameters_in_order() {
    let results = results();
    let read = Results::from_json(&results.to_json()).unwrap();
    assert_eq!(read, results);
    let names: Vec<_> = read.setup.parameters.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["rtt", "arrive"]);
}

#[test]
fn a_host_is_one_line_of_the_record() {
    let json = results().to_json();
    let hosts = json.lines().filter(|line| line.contains("\"role\":"));
    assert_eq!(hosts.count(), 3);
    assert!(
        json.lines()
            .any(|line| line.trim() == "\"efficiency\": 0.8,")
    );
    assert!(json.lines().all(|line| !line.ends_with(' ')));
}

#[test]
fn the_figures_stand_at_the_top_level_of_each_run() {
    let json: serde_json::Value = serde_json::from_str(&results().to_json()).unwrap();
    let run = &json["runs"][0];
    assert_eq!(run["efficiency"], 0.8);
    assert_eq!(run["last_s"], 12.5);
    assert_eq!(run["trace_hash"], "deadbeef00000001");
    assert_eq!(json["v"], 1);
}

#[test]
fn what_are_no_results_is_refused_with_the_reason() {
    let said = |text: &str| Results::from_json(text).unwrap_err().to_string();
    let good = results().to_json();
    assert!(said("").starts_with("not JSON: EOF"));
    assert!(said(&good[..good.len() / 2]).starts_with("not JSON: EOF"));
    assert!(said("[1]").starts_with("not the results"));
    assert!(said("{\"v\":1}").starts_with("not the results"));
    assert!(said("{\"v\":\"1\",\"format\":3}").starts_with("not the results"));
    let newer = good.replacen("\"v\": 1", "\"v\": 2", 1);
    assert_eq!(
        said(&newer),
        "results of version 2, this program reads version 1"
    );
    let damaged = good.replacen("\"size\"", "\"sighs\"", 1);
    assert!(said(&damaged).starts_with("damaged results: missing field `size`"));
}

proptest! {
    #[test]
    fn jain_lies_between_one_nth_and_one(values in prop::collection::vec(0.0_f64..1e6, 1..50)) {
        let Some(index) = jain(&values) else { return Ok(()) };
        prop_assert!(index <= 1.0 + 1e-12);
        prop_assert!(index >= 1.0 / values.len() as f64 - 1e-12);
    }

    #[test]
    fn at_least_the_share_lies_at_or_below_its_quantile(
        mut values in prop::collection::vec(0.0_f64..1e6, 1..200),
        q in 0.01_f64..1.0,
    ) {
        values.sort_by(f64::total_cmp);
        let ranked = rank(&times(&values), q).unwrap();
        let below = values.iter().filter(|value| **value <= ranked).count();
        let strictly = values.iter().filter(|value| **value < ranked).count();
        prop_assert!(below as f64 >= q * values.len() as f64 - 1e-6);
        prop_assert!((strictly as f64) < q * values.len() as f64);
    }

    #[test]
    fn reading_never_panics(text in ".{0,200}") {
        let _ = Results::from_json(&text);
    }
}
