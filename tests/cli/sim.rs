//! `swarm sim`: what is said of a run, that every flag changes one, and that nothing but the seed
//! does.

use insta::assert_snapshot;
use serde_json::Value;
use swarm::cli::Exit;

use crate::world::World;

/// The event of the last run.
fn simulated(words: &[&str]) -> Value {
    let mut all = vec!["sim", "--size", "2M", "--json"];
    if !words.contains(&"--peers") {
        all.extend(["--peers", "8"]);
    }
    all.extend(words);
    let ran = World::new().run(&all);
    assert_eq!(ran.exit.code(), 0, "{words:?}: {}{}", ran.out, ran.err);
    let events = ran
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let is_run = |event: &Value| event["event"] == "run";
    events.rev().find(is_run).unwrap()
}

fn trace(words: &[&str]) -> String {
    let event = simulated(words);
    event["trace_hash"].as_str().unwrap().to_owned()
}

/// What was said, without its figures: the form is what does not change with the policy.
fn form(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' | '.' if out.ends_with('#') => {}
            ' ' if out.ends_with(' ') => {}
            '0'..='9' => out.push('#'),
            _ => out.push(c),
        }
    }
    out
}

/// The peers of one behaviour, as an event has them.
fn group(event: &Value, behaviour: &str) -> Value {
    let groups = event["groups"].as_array().unwrap();
    let found = groups.iter().find(|group| group["behaviour"] == behaviour);
    found
        .unwrap_or_else(|| panic!("no {behaviour} in {groups:?}"))
        .clone()
}

#[test]
fn the_same_command_says_the_same_and_another_seed_something_else() {
    let say = |seed| {
        let words = ["sim", "--peers", "5", "--size", "2M", "--rng-seed", seed];
        let ran = World::new().run(&words);
        assert_eq!(ran.exit.code(), 0, "{ran:?}");
        ran.out
    };
    assert_eq!(say("7"), say("7"));
    assert_ne!(say("7"), say("8"));
    let words = ["sim", "--peers", "5", "--size", "2M"];
    assert_eq!(
        World::new().run(&words).out,
        say("1"),
        "the default is fixed"
    );
}

#[test]
fn a_run_is_told_with_its_classes_and_its_trace() {
    let words = [
        "sim",
        "--peers",
        "6",
        "--size",
        "2M",
        "--free-riders",
        "50%",
    ];
    let ran = World::new().run(&words);
    let trace = trace(&["--peers", "6", "--free-riders", "50%"]);
    assert!(ran.out.contains(&trace), "{}", ran.out);
    let out = ran.out.replace(&trace, "[TRACE]");
    // Told only where it happened.
    let form = |text| form(text).replace(" · received twice #%", "");
    assert_snapshot!(form(&out), @r"
    # MiB · # pieces × # KiB · # seed · ↑# MiB/s ↓# MiB/s each

    machines first median p# last of bound seed sent from peers
    # swarm # s # s # s # s # % # × # %

    swarm to #: # s at the least · haves #% · requests #%
    gave # to # of what they got (Jain #)
    honest: # of # complete · mean # s · last # s
    free-rider: # of # complete · mean # s · last # s · # times the honest
    Trace [TRACE] · # peers · rng seed #
    ");
    assert_snapshot!(form(&ran.err), @r"
    Simulating # run: peers #, seeds #, size #M, piece-size auto, up #Mbit, down #Gbit, rtt #ms, arrive together, depart linger, free-riders #%, rng-seed #
    Run # of #: # peers took # s, # M events/s
    ");
}

#[test]
fn several_runs_share_a_table_and_keep_their_traces() {
    let words = ["sim", "--peers", "2,4", "--size", "1M", "--runs", "2"];
    let ran = World::new().run(&words);
    let traces = ran.out.lines().filter(|line| line.starts_with(" Trace "));
    let traces: Vec<&str> = traces.map(|line| line.split_once('·').unwrap().1).collect();
    assert_snapshot!(traces.join("\n"), @r"
    2 peers · rng seed 1
    2 peers · rng seed 2
    4 peers · rng seed 1
    4 peers · rng seed 2
    ");
}

#[test]
fn quiet_says_efficiency_and_trace() {
    let ran = World::new().run(&["sim", "--peers", "2", "--size", "1M", "-q"]);
    assert_eq!(ran.err, "");
    let words: Vec<&str> = ran.out.split_whitespace().collect();
    let efficiency: f64 = words[0].parse().unwrap();
    assert!((0.1..=1.0).contains(&efficiency), "{}", ran.out);
    assert_eq!(words[1].len(), 16);
}

#[test]
fn an_event_has_every_figure() {
    let event = simulated(&[]);
    for field in [
        "first_s",
        "median_s",
        "p95_s",
        "last_s",
        "bound_s",
        "efficiency",
        "seed_copies",
    ] {
        assert!(
            event[field].as_f64().is_some_and(|figure| figure > 0.0),
            "{field}: {event}"
        );
    }
    // 2 MiB at 100 Mbit/s, once from the seed.
    let bound = event["bound_s"].as_f64().unwrap();
    assert!((bound - 0.167_772).abs() < 1e-6, "{bound}");
    assert_eq!(
        (&event["complete"], &event["rng_seed"]),
        (&8.into(), &1.into())
    );
}

#[test]
fn every_flag_changes_the_run() {
    let plain = trace(&[]);
    let flags: [&[&str]; 14] = [
        &["--peers", "9"],
        &["--seeds", "2"],
        &["--piece-size", "32K"],
        &["--up", "50Mbit"],
        &["--seed-up", "50Mbit"],
        &["--down", "150Mbit"],
        &["--rtt", "40ms"],
        &["--arrive", "10/s"],
        &["--depart", "at-once"],
        &["--free-riders", "25%"],
        &["--liars", "25%"],
        &["--corrupters", "25%"],
        &["--slow", "25%"],
        &["--nat", "50%"],
    ];
    for words in flags {
        assert_ne!(trace(words), plain, "{words:?}");
    }
    assert_ne!(
        trace(&["--faults", "--up", "1Mbit"]),
        trace(&["--up", "1Mbit"])
    );
    assert_eq!(trace(&["--check"]), plain, "looking changes nothing");
}

#[test]
fn peers_take_several_rates_by_turns() {
    let event = simulated(&["--up", "10Mbit,1Gbit", "--seed-up", "10Mbit"]);
    // 2 MiB at 10 Mbit/s, once from the seed.
    let bound = event["bound_s"].as_f64().unwrap();
    assert!((bound - 1.677_722).abs() < 1e-6, "{bound}");
    let fastest = simulated(&["--up", "10Mbit,1Gbit"]);
    assert!(fastest["bound_s"].as_f64().unwrap() < 0.05, "{fastest}");
    assert_ne!(
        trace(&["--up", "10Mbit,1Gbit"]),
        trace(&["--up", "1Gbit,10Mbit"])
    );
}

#[test]
fn riders_give_nothing_and_are_told_apart() {
    let event = simulated(&["--free-riders", "25%"]);
    assert_eq!(group(&event, "free-rider")["fetchers"], 2);
    assert_eq!(group(&event, "honest")["fetchers"], 6);
    assert_eq!(event["given_received"][0], 0.0, "{event}");
    let nobody_gives = simulated(&["--free-riders", "100%"]);
    let bound = nobody_gives["bound_s"].as_f64().unwrap();
    assert!(
        (bound - 8.0 * 0.167_772).abs() < 1e-5,
        "all from the seed: {bound}"
    );
}

#[test]
fn nobody_waits_for_foes() {
    let event = simulated(&["--liars", "25%", "--corrupters", "25%"]);
    assert_eq!(
        (&event["fetchers"], &event["complete"]),
        (&4.into(), &4.into())
    );
    assert!(event["efficiency"].as_f64().is_some(), "{event}");
}

#[test]
fn where_a_report_cannot_be_written_is_said_before_anything_is_simulated() {
    let world = World::new();
    world.write("taken", b"");
    let ran = world.run(&["sim", "--peers", "4", "--size", "2M", "--out", "taken"]);
    assert_eq!(ran.exit, Exit::Disk, "{ran:?}");
    assert!(
        ran.err.starts_with("error: cannot create taken: "),
        "{}",
        ran.err
    );
    let ran = world.run(&["bench", "--peers", "2", "--size", "2M", "--out", "taken"]);
    assert!(
        ran.err.starts_with("error: cannot create taken: "),
        "{}",
        ran.err
    );
}

#[test]
fn a_report_is_written_and_a_later_run_can_be_held_against_it() {
    let world = World::new();
    let sim = |more: &[&str]| {
        let words = ["sim", "--peers", "4", "--size", "2M"];
        world.run(&[&words[..], more].concat())
    };
    let ran = sim(&["--out", "report"]);
    assert_eq!(ran.exit.code(), 0, "{ran:?}");
    assert!(ran.err.contains(" wrote report/report.html"), "{}", ran.err);
    let json = world.read("report/results.json");
    let results: Value = serde_json::from_slice(&json).unwrap();
    let run = &results["runs"][0];
    assert_eq!(results["kind"], "sim");
    assert_eq!(
        results["command"],
        "swarm sim --peers 4 --size 2M --out report"
    );
    assert!(
        run["efficiency"].as_f64().is_some_and(|share| share > 0.1),
        "{run}"
    );
    assert_eq!(run["trace_hash"], trace(&["--peers", "4"]));
    assert_eq!(run["hosts"].as_array().unwrap().len(), 5);
    assert!(world.path("report/summary.md").exists());

    let against = ["--compare", "report/results.json", "--fail-if-slower", "5%"];
    assert_eq!(sim(&against).exit.code(), 0);
    let slower = sim(&[&against[..], &["--up", "50Mbit"]].concat());
    assert_eq!(slower.exit.code(), 1, "{slower:?}");
    assert_eq!(sim(&["--compare", "nowhere.json"]).exit.code(), 3);
}

#[test]
fn ctrl_c_stops_a_run_and_keeps_those_that_ended() {
    let world = World::new();
    let words = [
        "sim", "--peers", "2,2000", "--size", "64M", "--out", "report",
    ];
    let mut running = world.start(&words);
    assert_eq!(running.event("run")["peers"], 2);
    running.interrupt();
    assert_eq!(running.end(), Exit::Interrupted);
    let results: Value = serde_json::from_slice(&world.read("report/results.json")).unwrap();
    assert_eq!(results["runs"].as_array().unwrap().len(), 1);
}

#[test]
fn a_swarm_that_cannot_end_is_a_failure_that_says_how_to_look_at_it() {
    let words = ["sim", "--peers", "3", "--size", "16M", "--time-max", "1s"];
    let ran = World::new().run(&words);
    assert_eq!(ran.exit.code(), 1);
    let (_, said) = ran.err.split_once("warning").unwrap();
    assert_snapshot!(said, @r"
    : 3 peers that stayed were not complete when the time was up
    error: not everybody who stayed is complete
    help: look closer with --rng-seed 1 --check, or give it more --time-max
    ");
}

#[test]
fn swarms_that_cannot_be() {
    let world = World::new();
    let words: [&[&str]; 14] = [
        &["sim", "--peers", "0"],
        &["sim", "--peers", "2,many"],
        &["sim", "--seeds", "0"],
        &["sim", "--size", "0"],
        &["sim", "--size", "1T", "--piece-size", "16K"],
        &["sim", "--piece-size", "17K"],
        &["sim", "--up", "100Mb"],
        &["sim", "--up", "0"],
        &["sim", "--arrive", "10"],
        &["sim", "--depart", "never"],
        &["sim", "--churn", "5"],
        &["sim", "--free-riders", "60%", "--liars", "50%"],
        &["sim", "--runs", "0"],
        &["sim", "--fail-if-slower", "5%"],
    ];
    let first_lines = |words| {
        let said = world.refused(words);
        assert!(said.starts_with("exit 2\n"), "{said}");
        let lines = said.lines().skip(1);
        let told = lines.filter(|line| line.starts_with("error") || line.starts_with("help"));
        told.collect::<Vec<_>>().join("\n")
    };
    let said: Vec<String> = words.into_iter().map(first_lines).collect();
    assert_snapshot!(said.join("\n"), @r#"
    error: invalid value '0' for '--peers <N,...>': want a number from 1 to 100000
    error: invalid value 'many' for '--peers <N,...>': want a number from 1 to 100000
    error: invalid value '0' for '--seeds <N>': want a number from 1 to 100000
    error: invalid value '0' for '--size <SIZE>': want more than nothing
    error: 67,108,864 pieces are more than a manifest may have
    help: a smaller --size or larger --piece-size
    error: piece size 17 KiB is not a power of two
    help: 16K or 32K
    error: invalid value '100Mb' for '--up <RATE,...>': "Mb" could be bits or bytes: write Mbit or MB
    error: invalid value '0' for '--up <RATE,...>': want more than nothing
    error: invalid value '10' for '--arrive <WHEN>': want together, or a number in a time, such as 10/s or 90/m
    error: invalid value 'never' for '--depart <WHEN>': want linger, at-once, a time such as 2m, or a share such as 20%
    error: invalid value '5' for '--churn <SHARE>': want a share from 0% to 100%, such as 5%
    error: --free-riders, --liars, --corrupters and --slow are more than 100 % together
    help: a peer misbehaves in one way only
    error: invalid value '0' for '--runs <K>': 0 is not in 1..=1000
    error: the following required arguments were not provided:
    "#);
}
