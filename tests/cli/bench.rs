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
fn a_report_is_written_and_a_later_bench_can_be_held_against_it() {
    let world = World::new();
    let ran = world.run(&small("20M", &["--peers", "3", "--out", "report"]));
    assert_eq!(ran.exit, Exit::Done, "{}", ran.err);
    assert!(
        ran.err.contains(" wrote report/report.html, "),
        "{}",
        ran.err
    );
    let json: serde_json::Value =
        serde_json::from_slice(&world.read("report/results.json")).unwrap();
    assert_eq!((&json["kind"], &json["v"]), (&"bench".into(), &1.into()));
    let words = "swarm bench --size 2M -s 32K --repeat 1 --link 20M --peers 3 --out report";
    assert_eq!(json["command"], words);
    let run = &json["runs"][0];
    assert_eq!(run["bound"]["fluid_s"], 0.1);
    let hosts = run["hosts"].as_array().unwrap();
    let roles: Vec<_> = hosts
        .iter()
        .map(|host| host["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["seed", "fetcher", "fetcher", "fetcher"]);
    let sum = |of: &str| {
        hosts
            .iter()
            .map(|host| host[of].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!(sum("sent"), sum("received"));
    assert_eq!(
        sum("received"),
        run["overhead"]["payload"].as_u64().unwrap()
    );
    // Who fed whom adds up to what everybody got, each byte from exactly one machine.
    let flows = run["flows"].as_array().unwrap();
    let fed: u64 = flows
        .iter()
        .map(|flow| flow["bytes"].as_u64().unwrap())
        .sum();
    assert_eq!(fed, 3 * (2 << 20));
    let last = &run["samples"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["complete"], &last["copies_min"]),
        (&3.into(), &4.into())
    );

    // At a twentieth of the speed it takes longer, whatever else the machine is doing.
    let against = |old, out| {
        let peers = ["--peers", "3", "--out", out];
        [&peers[..], &["--compare", old, "--fail-if-slower", "5%"]].concat()
    };
    let ran = world.run(&small("1M", &against("report/results.json", "slow")));
    assert_eq!(ran.exit, Exit::Other, "{}", ran.out);
    assert!(
        ran.err
            .contains("error: slower than then by more than 5.0 %\n"),
        "{}",
        ran.err
    );
    let ran = world.run(&small("20M", &against("slow/results.json", "report")));
    assert_eq!(ran.exit, Exit::Done, "{}", ran.err);
    assert!(ran.out.contains("swarm, 3 fetchers: "), "{}", ran.out);
    let ran = world.run(&small("20M", &["--compare", "nothing.json"]));
    assert_eq!(ran.exit, Exit::Input, "{}", ran.err);
}

#[test]
fn the_summary_is_a_table() {
    let ran = World::new().run(&small("20M", &["--peers", "2", "--bits"]));
    assert_eq!(ran.exit, Exit::Done, "{}", ran.err);
    // What stands behind the table differs from run to run.
    let (table, details) = ran.out.split_at(ran.out.find(" swarm to 2: ").unwrap());
    insta::assert_snapshot!(masked(table));
    assert!(
        details.starts_with(" swarm to 2: 0.10 s at the least"),
        "{details}"
    );
    assert!(details.contains(" CPU-s/GiB"), "{details}");
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
