//! Small benches over real sockets: everybody gets everything, and the figures hold together.

use std::fs;
use std::io::{BufRead, BufReader};

use swarm::cli::Exit;

use crate::process::{kill, swarm};
use crate::world::{World, noise};

/// A bench of 2 MiB in 64 pieces, run once. At 20 MiB/s a copy takes a tenth of a second.
fn small<'a>(link: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let always = ["bench", "--size", "2M", "-s", "32K", "--repeat", "1"];
    [&always, &["--link", link][..], more].concat()
}

#[test]
fn a_swarm_brings_everything_to_everybody_and_says_how_near_the_bound_it_came() {
    let world = World::new();
    let mut bench = world.start(&small("20M", &["--peers", "3"]));
    let setup = bench.event("setup");
    assert_eq!(setup["size"], 2 << 20);
    assert_eq!(setup["pieces"], 64);
    let run = bench.event("run");
    assert_eq!(run["contender"], "swarm");
    assert_eq!((&run["fetchers"], &run["complete"]), (&3.into(), &3.into()));
    let (bound, last) = (run["bound_s"].as_f64(), run["last_s"].as_f64());
    assert_eq!(bound, Some(0.1));
    let efficiency = run["efficiency"].as_f64().unwrap();
    assert!((efficiency - 0.1 / last.unwrap()).abs() < 1e-9);
    assert!(run["seed_copies"].as_f64().unwrap() >= 1.0, "{run}");
    for share in ["have", "request", "other"] {
        let share = run[share].as_f64().unwrap();
        assert!(share > 0.0 && share < 0.05, "{run}");
    }
    assert!(run["cpu_s_per_gib"].as_f64().unwrap() > 0.0);
    let end = bench.event("end");
    assert!(end["received"].as_u64().unwrap() >= 3 * (2 << 20));
    assert_eq!(bench.end(), Exit::Done);
}

#[test]
fn http_brings_the_same_and_takes_a_copy_s_time_for_each_machine() {
    let world = World::new();
    let words = small("20M", &["--peers", "3,2,3", "--versus", "http"]);
    let (exit, events) = world.start(&words).rest();
    assert_eq!(exit, Exit::Done);
    let runs = events.iter().filter(|event| event["event"] == "run");
    let told: Vec<_> = runs
        .map(|run| {
            (
                run["contender"].as_str().unwrap(),
                run["peers"].as_u64().unwrap(),
                run["seed_copies"].as_f64().unwrap(),
                run["last_s"].as_f64().unwrap(),
            )
        })
        .collect();
    let names: Vec<_> = told.iter().map(|run| (run.0, run.1)).collect();
    assert_eq!(
        names,
        [("swarm", 2), ("http", 2), ("swarm", 3), ("http", 3)]
    );
    assert_eq!((told[1].2, told[3].2), (2.0, 3.0));
    // A burst goes at once.
    assert!(told[1].3 > 0.2 - 0.05 - 0.001, "{told:?}");
    assert!(told[3].3 > 0.3 - 0.05 - 0.001, "{told:?}");
}

#[test]
fn the_summary_is_a_table() {
    let ran = World::new().run(&small("20M", &["--peers", "2", "--bits"]));
    assert_eq!(ran.exit, Exit::Done, "{}", ran.err);
    insta::assert_snapshot!(masked(&ran.out));
}

#[test]
fn nothing_stays_behind_when_a_bench_is_stopped() {
    let world = World::new().with("tmp/.keep", noise(0));
    let mut child = swarm(&world, &small("100K", &["--json"]))
        .env("TMPDIR", world.path("tmp"))
        .spawn()
        .unwrap();
    let events = BufReader::new(child.stdout.take().unwrap());
    let mut lines = events.lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("run-progress")));
    assert!(fs::read_dir(world.path("tmp")).unwrap().count() > 1);
    kill(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(fs::read_dir(world.path("tmp")).unwrap().count(), 1);
}

#[test]
fn a_bench_that_the_disk_has_no_room_for_ends_before_it_begins() {
    let ran = World::new().run(&["bench", "--size", "900000T"]);
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Disk, ""));
    assert!(ran.err.contains(" short)\nhelp: "), "{}", ran.err);
}

/// The text with every number as `#`, and one space for each gap.
fn masked(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' | '.' if out.ends_with('#') => {}
            '0'..='9' => out.push('#'),
            ' ' if out.ends_with(' ') => {}
            c => out.push(c),
        }
    }
    out
}
