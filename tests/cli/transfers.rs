//! seed and fetch against each other in one process: the whole way, stopped in the middle, and
//! without anybody to talk to.

use std::fs;
use std::net::TcpListener;

use swarm::cli::Exit;

use crate::world::{Running, World, noise};

/// A seed of `model`, one file of this length, and the address it is reached by.
fn seed(world: &World, len: usize, words: &[&str]) -> (Running, String) {
    world.write("model/w.bin", noise(len));
    let words = [&["seed", "model", "--bind", "127.0.0.1", "-p", "0"], words].concat();
    let mut seed = world.start(&words);
    let port = seed.event("start")["port"].as_u64().unwrap();
    (seed, format!("127.0.0.1:{port}"))
}

/// The words of a fetch into `out` that talks to `peer` only.
fn fetch_from<'a>(peer: &'a str, words: &[&'a str]) -> Vec<&'a str> {
    let always = [
        "fetch",
        "model.torrent",
        "-d",
        "out",
        "--bind",
        "127.0.0.1",
        "-p",
        "0",
    ];
    [&always, &["--peer", peer][..], words].concat()
}

fn world() -> World {
    let world = World::new();
    fs::create_dir(world.path("out")).unwrap();
    world
}

#[test]
fn what_is_seeded_is_fetched_and_a_second_fetch_has_nothing_to_do() {
    let world = world();
    let (seed, peer) = seed(&world, 3_000_000, &["--until", "copies=1"]);
    let mut fetch = world.start(&fetch_from(&peer, &["--json-pieces"]));
    assert_eq!(fetch.event("start")["have"], 0);
    assert_eq!(fetch.event("peer")["via"], "manual");
    let piece = fetch.event("piece");
    // The first piece is a random one; the last of the 46 is short.
    let len = if piece["index"] == 45 { 50_880 } else { 65_536 };
    assert_eq!(piece["from"][&peer], len);
    let complete = fetch.event("complete");
    assert_eq!(complete["from_seed"], 1.0);
    let (exit, rest) = fetch.rest();
    assert_eq!(exit, Exit::Done);
    assert_eq!(rest.last().unwrap()["event"], "end");
    assert_eq!(rest.last().unwrap()["received"], 3_000_000);
    assert_eq!(world.read("out/model/w.bin"), world.read("model/w.bin"));
    let (exit, rest) = seed.rest();
    assert_eq!(exit, Exit::Done);
    assert_eq!(rest.last().unwrap()["sent"], 3_000_000);

    let again = world.run(&fetch_from(&peer, &[]));
    assert_eq!(again.exit, Exit::Done);
    assert_eq!(
        again.out,
        " Already complete  out/model  46 pieces verified\n"
    );
}

#[test]
fn a_mirror_that_sends_wrong_bytes_is_named_and_dropped() {
    let world = world().with("elsewhere/model/w.bin", vec![7; 300_000]);
    let on_loopback = ["--bind", "127.0.0.1", "-p", "0"];
    let words = [&["seed", "elsewhere/model"], &on_loopback[..]].concat();
    let mut mirror = world.start(&words);
    let port = mirror.event("start")["port"].as_u64().unwrap();
    let url = format!("http://127.0.0.1:{port}/data/");
    world.write("model/w.bin", noise(300_000));
    let created = world.run(&["create", "model", "-o", "right.torrent", "-w", &url]);
    assert_eq!(created.exit, Exit::Done);
    let words = ["fetch", "right.torrent", "-d", "out", "--no-lpd"];
    let mut fetch = world.start(&[&words, &on_loopback[..]].concat());
    let dropped = loop {
        let warning = fetch.event("warning");
        if warning["code"] != "bad-piece" {
            break warning;
        }
    };
    let words = format!("web seed {url} at 127.0.0.1:{port} sent corrupt data and is dropped");
    assert_eq!(dropped["message"], words);
    assert_eq!(dropped["code"], "peer-dropped");
}

#[test]
fn a_seed_that_expects_two_machines_ends_when_both_are_complete_and_tells_the_bound() {
    let world = world();
    fs::create_dir(world.path("second")).unwrap();
    let words = ["--expect", "2", "--upload-limit", "4M"];
    let (seed, peer) = seed(&world, 2 << 20, &words);
    let limit = ["--download-limit", "2M"];
    let first = world.start(&fetch_from(&peer, &limit));
    let mut second = fetch_from(&peer, &[]);
    second[3] = "second";
    let mut second = world.start(&second);
    let complete = second.event("complete");
    // What a machine without a limit can do is known after 4 s only.
    assert_eq!(complete["bound_s"], serde_json::Value::Null);
    let (exit, rest) = first.rest();
    assert_eq!(exit, Exit::Done);
    let complete = rest.iter().find(|event| event["event"] == "complete");
    let complete = complete.unwrap();
    assert_eq!(complete["bound_s"], 1.0);
    assert!(complete["efficiency"].as_f64().unwrap() > 0.0, "{complete}");
    assert_eq!(second.end(), Exit::Done);

    let (exit, rest) = seed.rest();
    assert_eq!(exit, Exit::Done);
    let mut fleets = rest.iter().filter(|event| event["event"] == "fleet");
    let fleet = fleets.next_back().unwrap();
    assert_eq!(
        (&fleet["machines"], &fleet["complete"]),
        (&2.into(), &2.into())
    );
    assert_eq!(
        (&fleet["ratio"], &fleet["bound_s"]),
        (&1.0.into(), &0.5.into())
    );
    assert!(fleet["seed_copies"].as_f64().unwrap() >= 1.0, "{fleet}");
    assert!(fleet["efficiency"].as_f64().unwrap() > 0.0, "{fleet}");
}

#[test]
fn a_seed_that_is_stopped_before_everybody_came_does_not_say_done() {
    let world = world();
    let (mut seed, _) = seed(&world, 100_000, &["--expect", "1"]);
    let fleet = seed.event("fleet");
    assert_eq!((&fleet["machines"], &fleet["seen"]), (&1.into(), &0.into()));
    seed.interrupt();
    assert_eq!(seed.end(), Exit::Interrupted);
    let words = ["seed", "model", "--bind", "127.0.0.1", "-p", "0"];
    let more = ["--expect", "3", "--until", "time=0"];
    let ran = world.run(&[&words[..], &more].concat());
    assert_eq!(ran.exit, Exit::Incomplete);
    assert!(
        ran.err.ends_with(" 3 of 3 machines are not complete\n"),
        "{}",
        ran.err
    );
}

#[test]
fn what_is_seeded_is_fetched_by_nothing_but_its_url() {
    let world = world();
    let (seed, peer) = seed(&world, 300_000, &[]);
    let url = format!("http://{peer}/");
    let words = ["fetch", &url, "-d", "out", "--bind", "127.0.0.1", "-p", "0"];
    let mut fetch = world.start(&words);
    // The seed's own tracker tells both of each other, and both dial.
    let via = fetch.event("peer")["via"].clone();
    assert!(via == "tracker" || via == "incoming", "{via}");
    fetch.event("complete");
    assert_eq!(fetch.end(), Exit::Done);
    assert_eq!(world.read("out/model/w.bin"), world.read("model/w.bin"));

    let listed = world.run(&["fetch", &format!("{url}model.torrent"), "--list"]);
    assert_eq!(listed.out, "    1    293 KiB  model/w.bin\n");
    let wrong = world.run(&["fetch", &format!("{url}other"), "-d", "out"]);
    assert_eq!(wrong.exit, Exit::Input);
    assert!(wrong.err.contains("HTTP status 404"), "{}", wrong.err);
    let page = world.run(&["fetch", &format!("{url}data/model/w.bin"), "-d", "out"]);
    assert_eq!(page.exit, Exit::Manifest, "{}", page.err);
    assert!(page.err.contains("is not a torrent"), "{}", page.err);
    seed.interrupt();
    seed.end();
    let gone = world.run(&["fetch", &url, "-d", "out"]);
    assert_eq!(gone.exit, Exit::Input);
    assert!(gone.err.contains("connection refused"), "{}", gone.err);
    assert!(
        gone.err.contains("help: is a swarm seed at"),
        "{}",
        gone.err
    );
}

#[test]
fn a_private_manifest_is_given_to_peers_only() {
    let world = world();
    world.write("model/w.bin", noise(100_000));
    let made = world.run(&[
        "create",
        "model",
        "--private",
        "-t",
        "http://127.0.0.1:9/announce",
    ]);
    assert_eq!(made.exit, Exit::Done, "{}", made.err);
    let words = ["seed", "model.torrent", "--bind", "127.0.0.1", "-p", "0"];
    let mut seed = world.start(&words);
    let port = seed.event("start")["port"].as_u64().unwrap();
    let url = format!("http://127.0.0.1:{port}/");
    let refused = world.run(&["fetch", &url, "-d", "out"]);
    assert_eq!(refused.exit, Exit::Input, "{}", refused.err);
    seed.interrupt();
    seed.end();
}

#[test]
fn several_manifests_are_fetched_one_after_the_other() {
    let world = World::new().with("a.bin", noise(5)).with("b.bin", noise(7));
    for name in ["a.bin", "b.bin"] {
        assert_eq!(world.run(&["create", name]).exit, Exit::Done);
    }
    let ran = world.run(&["fetch", "a.bin.torrent", "b.bin.torrent", "-q"]);
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Done, "a.bin\nb.bin\n"));
    let ran = world.run(&["fetch", "a.bin.torrent", "b.bin.torrent", "--seed"]);
    assert_eq!(ran.exit, Exit::Usage);
}

#[test]
fn a_fetch_that_is_interrupted_resumes_where_it_was() {
    let world = world();
    let (seed, peer) = seed(&world, 6_000_000, &["--upload-limit", "4M"]);
    let words = fetch_from(&peer, &["--json-pieces"]);
    let mut fetch = world.start(&words);
    fetch.event("piece");
    fetch.interrupt();
    let (exit, rest) = fetch.rest();
    assert_eq!(exit, Exit::Interrupted);
    assert_eq!(rest.last().unwrap()["event"], "end");
    assert!(!world.path("out/model").exists());

    let mut fetch = world.start(&words);
    assert!(fetch.event("start")["have"].as_u64().unwrap() > 0);
    fetch.event("complete");
    assert_eq!(fetch.end(), Exit::Done);
    assert_eq!(world.read("out/model/w.bin"), world.read("model/w.bin"));
    seed.interrupt();
    assert_eq!(seed.end(), Exit::Done);
}

#[test]
fn selected_files_only_are_fetched() {
    let world = world();
    world.write("model/notes/a.txt", "a");
    let (seed, peer) = seed(&world, 300_000, &[]);
    let ran = world.run(&fetch_from(
        &peer,
        &["--select", "*.txt", "--no-seed", "-q"],
    ));
    assert_eq!(
        (ran.exit, ran.out.as_str()),
        (Exit::Done, "out/model\n"),
        "{}",
        ran.err
    );
    assert_eq!(world.read("out/model/notes/a.txt"), b"a");
    assert!(!world.path("out/model/w.bin").exists());
    seed.interrupt();
    seed.end();
}

#[test]
fn a_file_that_differs_is_repaired_in_place() {
    let world = world();
    let (seed, peer) = seed(&world, 600_000, &[]);
    let mut data = world.read("model/w.bin");
    data[300_000] ^= 1;
    world.write("out/model/w.bin", &data);
    let mut fetch = world.start(&fetch_from(&peer, &["--repair"]));
    assert_eq!(fetch.event("start")["have"], 9);
    fetch.event("complete");
    assert_eq!(fetch.end(), Exit::Done);
    assert_eq!(world.read("out/model/w.bin"), world.read("model/w.bin"));
    seed.interrupt();
    seed.end();
}

#[test]
fn the_program_named_by_on_complete_gets_the_path() {
    let world = world();
    let (seed, peer) = seed(&world, 100_000, &[]);
    world.write(
        "hook",
        "#!/bin/sh\necho \"$1 $SWARM_NAME $SWARM_BYTES $#\" > hooked\n",
    );
    executable(&world, "hook");
    let ran = world.run(&fetch_from(&peer, &["--on-complete", "./hook"]));
    assert_eq!(ran.exit, Exit::Done, "{}", ran.err);
    let said = String::from_utf8(world.read("hooked")).unwrap();
    let path = world.path("out/model");
    assert_eq!(said, format!("{} model 100000 1\n", path.display()));

    let ran = world.run(&fetch_from(
        &peer,
        &["-o", "b", "--on-complete", "./missing"],
    ));
    assert_eq!(ran.exit, Exit::Other);
    assert!(
        ran.err.contains("cannot run --on-complete ./missing"),
        "{}",
        ran.err
    );
    assert_eq!(world.read("out/b/w.bin"), world.read("model/w.bin"));
    seed.interrupt();
    seed.end();
}

#[test]
fn nobody_to_fetch_from_is_a_failure_of_the_network() {
    let world = world();
    let (seed, _) = seed(&world, 100_000, &[]);
    seed.interrupt();
    seed.end();
    // Accepts and never says a word.
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let peer = silent.local_addr().unwrap().to_string();
    let ran = world.run(&fetch_from(&peer, &["--stall-timeout", "2s"]));
    assert_eq!(ran.exit, Exit::Network);
    assert!(
        ran.err
            .contains("error: no peer was found within 2s (no tracker is named; dialling 1 of 1 known peer)\nhelp: "),
        "{}",
        ran.err
    );
}

#[test]
fn a_seed_that_gives_nothing_ends_in_a_stall() {
    let world = world();
    let (seed, peer) = seed(&world, 4_000_000, &["--upload-limit", "1"]);
    let ran = world.run(&fetch_from(&peer, &["--stall-timeout", "2s"]));
    assert_eq!(ran.exit, Exit::Incomplete);
    assert!(
        ran.err.contains("error: nothing came for 2s (") && ran.err.contains("): stopped at "),
        "{}",
        ran.err
    );
    assert!(
        ran.err.contains("help: run the same command to resume\n"),
        "{}",
        ran.err
    );
    seed.interrupt();
    seed.end();
}

#[test]
fn seeding_a_path_writes_its_manifest_once() {
    let world = world();
    let (seed, _) = seed(&world, 100_000, &[]);
    seed.interrupt();
    assert_eq!(seed.end(), Exit::Done);
    let manifest = world.read("model.torrent");
    let words = [
        "seed",
        "model",
        "--bind",
        "127.0.0.1",
        "-p",
        "0",
        "--until",
        "time=0",
    ];
    let ran = world.run(&words);
    assert_eq!(ran.exit, Exit::Done);
    assert!(ran.out.contains("unchanged model.torrent"), "{}", ran.out);
    assert!(
        ran.err.contains("   swarm fetch http://127.0.0.1:"),
        "{}",
        ran.err
    );
    assert_eq!(world.read("model.torrent"), manifest);
    assert_eq!(world.run(&["create", "model"]).exit, Exit::Done);
    assert_eq!(world.read("model.torrent"), manifest);
}

#[test]
fn a_list_of_files_fetches_nothing() {
    let world = world()
        .with("model/b.bin", noise(70_000))
        .with("model/a.txt", "a");
    assert_eq!(world.run(&["create", "model"]).exit, Exit::Done);
    let ran = world.run(&["fetch", "model.torrent", "--list", "-d", "out"]);
    assert_eq!(
        ran.out,
        "    1        1 B  model/a.txt\n    2   68.4 KiB  model/b.bin\n"
    );
    assert_eq!(fs::read_dir(world.path("out")).unwrap().count(), 0);
}

#[cfg(unix)]
fn executable(world: &World, path: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(world.path(path), fs::Permissions::from_mode(0o755)).unwrap();
}
