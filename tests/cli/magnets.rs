//! Magnet links instead of manifests: the whole way, from peers of this program.

use std::fs;

use insta::assert_snapshot;
use swarm::cli::Exit;
use swarm::metainfo::magnet::Magnet;

use crate::world::{Running, World, noise};

/// A seed of what lies in `model`, its link, and the address it is reached by.
fn seed(world: &World, words: &[&str]) -> (Running, String, String) {
    fs::create_dir(world.path("out")).unwrap();
    let created = world.run(&[&["create", "model"], words].concat());
    assert_eq!(created.exit, Exit::Done, "{}", created.err);
    let words = ["seed", "model.torrent", "--bind", "127.0.0.1", "-p", "0"];
    let mut seed = world.start(&words);
    let start = seed.event("start");
    let hash = start["infohash"].as_str().unwrap().to_owned();
    (seed, hash, format!("127.0.0.1:{}", start["port"]))
}

fn fetch<'a>(link: &'a str, words: &[&'a str]) -> Vec<&'a str> {
    let always = ["fetch", link, "-d", "out", "--bind", "127.0.0.1", "-p", "0"];
    [&always[..], words].concat()
}

#[test]
fn a_link_that_names_a_peer_is_enough() {
    let world = World::new()
        .with("model/w.bin", noise(3_000_000))
        .with("model/deep/er.txt", "hello");
    let (seed, hash, peer) = seed(&world, &[]);
    let link = format!("magnet:?xt=urn:btih:{hash}&x.pe={peer}");
    let mut running = world.start(&fetch(&link, &[]));
    let lookup = running.event("lookup");
    assert_eq!(lookup["infohash"], hash.as_str());
    let start = running.event("start");
    assert_eq!(
        (&start["name"], &start["port"]),
        (&"model".into(), &lookup["port"])
    );
    running.event("complete");
    assert_eq!(running.end(), Exit::Done);
    for file in ["model/w.bin", "model/deep/er.txt"] {
        assert_eq!(world.read(&format!("out/{file}")), world.read(file));
    }
    let left: Vec<_> = fs::read_dir(world.path("out")).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing but the content is left: {left:?}");
    seed.interrupt();
    assert_eq!(seed.end(), Exit::Done);
}

#[test]
fn an_info_hash_and_a_peer_are_enough() {
    let world = World::new().with("model/w.bin", noise(100_000));
    let (seed, hash, peer) = seed(&world, &[]);
    let ran = world.run(&fetch(&hash, &["--peer", &peer, "--no-seed"]));
    assert_eq!(ran.exit, Exit::Done, "{}", ran.err);
    assert_eq!(world.read("out/model/w.bin"), world.read("model/w.bin"));
    seed.interrupt();
    seed.end();
}

#[test]
fn a_fetcher_gives_the_manifest_on() {
    let world = World::new().with("model/w.bin", noise(100_000));
    let (seed, hash, peer) = seed(&world, &[]);
    fs::create_dir(world.path("second")).unwrap();
    let mut first = world.start(&fetch(&hash, &["--peer", &peer, "--seed"]));
    let port = first.event("start")["port"].as_u64().unwrap();
    first.event("complete");
    seed.interrupt();
    seed.end();
    let peer = format!("127.0.0.1:{port}");
    let mut words = fetch(&hash, &["--peer", &peer, "--no-seed"]);
    words[3] = "second";
    let ran = world.run(&words);
    assert_eq!(ran.exit, Exit::Done, "{}", ran.err);
    assert_eq!(world.read("second/model/w.bin"), world.read("model/w.bin"));
    first.interrupt();
    first.end();
}

#[test]
fn a_link_whose_only_source_is_a_web_seed_is_fetched() {
    let world = World::new().with("model/w.bin", noise(300_000));
    let (mirror, hash, address) = seed(&world, &[]);
    // It has the manifest and no piece, and is told of nobody who has one.
    fs::create_dir(world.path("empty")).unwrap();
    let mut words = fetch("model.torrent", &["--no-lpd", "--no-dht"]);
    words[3] = "empty";
    let mut knower = world.start(&words);
    let port = &knower.event("start")["port"];
    let link = format!(
        "magnet:?xt=urn:btih:{hash}&x.pe=127.0.0.1:{port}&ws=http%3A%2F%2F{}%2Fdata%2F",
        address.replace(':', "%3A")
    );
    let mut running = world.start(&fetch(&link, &["--no-lpd", "--no-dht"]));
    let met = running.event("peer");
    running.event("complete");
    assert_eq!(running.end(), Exit::Done);
    assert_eq!(world.read("out/model/w.bin"), world.read("model/w.bin"));
    assert_ne!(
        met["addr"],
        address.as_str(),
        "the seed was asked as a peer"
    );
    for running in [mirror, knower] {
        running.interrupt();
        running.end();
    }
}

#[test]
fn a_link_may_be_listed_and_may_name_files() {
    let world = World::new()
        .with("model/a.bin", noise(70_000))
        .with("model/b.bin", noise(90_000))
        .with("model/c.bin", noise(80_000));
    let (seed, hash, peer) = seed(&world, &["-s", "16K"]);
    let link = format!("magnet:?xt=urn:btih:{hash}&x.pe={peer}&so=1");
    let listed = world.run(&fetch(&link, &["--list"]));
    assert_snapshot!(listed.out, @r"
    1   68.4 KiB  model/a.bin
    2   87.9 KiB  model/b.bin
    3   78.1 KiB  model/c.bin
    ");
    let ran = world.run(&fetch(&link, &["--no-seed"]));
    assert_eq!(ran.exit, Exit::Done, "{}", ran.err);
    assert_eq!(world.read("out/model/b.bin"), world.read("model/b.bin"));
    assert!(!world.path("out/model/a.bin").exists());
    let ran = world.run(&fetch(&link, &["--no-seed", "--select", "c.bin"]));
    assert_eq!(ran.exit, Exit::Done, "{}", ran.err);
    assert_eq!(world.read("out/model/c.bin"), world.read("model/c.bin"));
    assert!(!world.path("out/model/a.bin").exists());
    seed.interrupt();
    seed.end();
}

#[test]
fn a_stopped_fetch_goes_on_without_anybody_to_ask_for_the_manifest() {
    let world = World::new().with("model/w.bin", noise(2_000_000));
    let (seed, hash, peer) = seed(&world, &[]);
    let slow = ["--peer", &peer, "--download-limit", "300K", "--json-pieces"];
    let mut first = world.start(&fetch(&hash, &slow));
    first.event("piece");
    first.event("piece");
    first.interrupt();
    assert_eq!(first.end(), Exit::Interrupted);
    seed.interrupt();
    seed.end();
    let mut again = world.start(&fetch(&hash, &["--peer", "127.0.0.1:9"]));
    let start = again.event("start");
    assert!(start["have"].as_u64().unwrap() >= 2, "{start}");
    again.interrupt();
    assert_eq!(again.end(), Exit::Interrupted);
}

#[test]
fn the_manifest_of_a_private_swarm_is_not_given_away() {
    let world = World::new().with("model/w.bin", noise(100_000));
    let private = ["--private", "-t", "http://127.0.0.1:9/announce"];
    let (seed, hash, peer) = seed(&world, &private);
    let more = ["--peer", &peer, "--stall-timeout", "1s"];
    assert_snapshot!(world.run(&fetch(&hash, &more)).err, @r"
    error: nobody sent the manifest within 1s
    help: --peer HOST:PORT of a machine that has it, or -t with a tracker
    ");
    seed.interrupt();
    seed.end();
}

#[test]
fn a_search_can_be_stopped() {
    let world = World::new();
    fs::create_dir(world.path("out")).unwrap();
    let hash = "9f2c4d6e8a0b1c3d5e7f90a1b2c3d4e5f6a7b8c9";
    let mut running = world.start(&fetch(hash, &["--peer", "127.0.0.1:9"]));
    running.event("lookup");
    running.interrupt();
    assert_eq!(running.end(), Exit::Interrupted);
}

#[test]
fn the_link_of_a_seed_says_where_it_is_and_which_trackers_it_tells() {
    let world = World::new().with("model/w.bin", noise(100_000));
    let words = ["seed", "model", "--bind", "127.0.0.1", "-p", "0", "-q"];
    let more = ["-t", "http://127.0.0.1:9/announce", "--until", "time=0"];
    let ran = world.run(&[&words[..], &more].concat());
    let magnet = Magnet::parse(ran.out.trim()).unwrap();
    let own = format!("http://{}/announce", magnet.peers[0]);
    assert_eq!(magnet.trackers, ["http://127.0.0.1:9/announce", &own]);
    assert!(magnet.peers[0].starts_with("127.0.0.1:"), "{magnet}");
}

#[test]
fn show_says_what_a_link_says_and_asks_nobody() {
    let world = World::new();
    let hash = "0123456789abcdef0123456789abcdef01234567";
    let link = format!(
        "magnet:?xt=urn:btih:{hash}&dn=a%20model&tr=http%3A%2F%2F10.0.0.5%3A6881%2Fannounce\
         &x.pe=10.0.0.5:6881&ws=http%3A%2F%2Fmirror.example%2F&so=0,2-4"
    );
    let shown = world.run(&["show", &link]);
    assert_eq!(shown.exit, Exit::Done, "{}", shown.err);
    assert_snapshot!(shown.out, @"
    info-hash   0123456789abcdef0123456789abcdef01234567
    name        a model
    tracker     http://10.0.0.5:6881/announce
    peer        10.0.0.5:6881
    web seed    http://mirror.example/
    only files  1,3-5
                its manifest is not here: swarm fetch --list LINK gets it from peers
    ");
    let json = world.run(&["show", &link, "--json"]).out;
    let event: serde_json::Value = serde_json::from_str(json.trim()).unwrap();
    assert_eq!(event["event"], "link");
    assert_eq!(event["infohash"], hash);
    assert_eq!(event["peers"][0], "10.0.0.5:6881");
    assert_eq!(event["selected"], serde_json::json!([[1, 1], [3, 5]]));
}

#[test]
fn show_takes_an_info_hash_and_no_escapes_of_a_stranger() {
    let world = World::new();
    let hash = "0123456789abcdef0123456789abcdef01234567";
    assert_snapshot!(world.run(&["show", hash]).out, @"
    info-hash   0123456789abcdef0123456789abcdef01234567
                names nobody: it is looked for on this network, and in the DHT
    ");
    let link = format!("magnet:?xt=urn:btih:{hash}&dn=%1B%5D0%3Btitle%07");
    let shown = world.run(&["show", &link]).out;
    assert!(shown.contains("\\x1b]0;title\\x07"), "{shown}");
    let wrong = world.run(&["show", "magnet:?xt=urn:btih:zzz"]);
    assert_eq!(wrong.exit, Exit::Manifest);
    assert!(
        wrong.err.contains("want 40 hex or 32 base32"),
        "{}",
        wrong.err
    );
}
