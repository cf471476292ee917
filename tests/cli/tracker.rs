//! `swarm tracker`: two machines that know nothing but its URL, over HTTP and over UDP.

use swarm::cli::Exit;

use crate::world::{World, noise};

#[test]
fn a_fetch_finds_its_seed_through_the_tracker_over_http_and_over_udp() {
    let world = World::new().with("model/w.bin", noise(100_000));
    let mut tracker = world.start(&["tracker", "--listen", "127.0.0.1:0"]);
    let started = tracker.event("tracker");
    let http = started["url"].as_str().unwrap().to_owned();
    let udp = http.replace("http://", "udp://");
    assert_eq!(world.run(&["create", "model"]).exit, Exit::Done);
    for (out, url) in [("a", &http), ("b", &udp)] {
        std::fs::create_dir(world.path(out)).unwrap();
        let network = ["-t", url, "--bind", "127.0.0.1", "-p", "0"];
        let mut seed = world.start(&[&["seed", "model.torrent"], &network[..]].concat());
        seed.event("start");
        let words = [
            "fetch",
            "model.torrent",
            "-d",
            out,
            "--stall-timeout",
            "50s",
        ];
        let mut fetch = world.start(&[&words, &network[..]].concat());
        assert_eq!(fetch.event("peer")["via"], "tracker");
        fetch.event("complete");
        assert_eq!(fetch.end(), Exit::Done);
        seed.interrupt();
        assert_eq!(seed.end(), Exit::Done);
        let copy = world.read(&format!("{out}/model/w.bin"));
        assert_eq!(copy, world.read("model/w.bin"));
    }
    tracker.interrupt();
    assert_eq!(tracker.end(), Exit::Done);
}

#[test]
fn a_tracker_with_a_list_refuses_other_swarms() {
    let world = World::new().with("model/w.bin", noise(100_000));
    world.write("list", format!("{} # one\n\n", "ab".repeat(20)));
    let words = ["tracker", "--listen", "127.0.0.1:0", "--allow-list", "list"];
    let mut tracker = world.start(&words);
    let url = tracker.event("tracker")["url"].as_str().unwrap().to_owned();
    let words = [
        "seed",
        "model",
        "-t",
        &url,
        "--bind",
        "127.0.0.1",
        "-p",
        "0",
    ];
    let mut seed = world.start(&words);
    let warning = seed.event("warning");
    assert_eq!(warning["code"], "tracker-failed");
    let message = warning["message"].as_str().unwrap();
    assert!(message.contains("does not serve that swarm"), "{message}");
    for running in [seed, tracker] {
        running.interrupt();
        assert_eq!(running.end(), Exit::Done);
    }
}

#[test]
fn what_cannot_be_served_is_said() {
    let world = World::new().with("list", "zz\n");
    let said = world.refused(&["tracker", "--allow-list", "list"]);
    assert!(said.starts_with("exit 2\nerror: list: line 1: "), "{said}");
    let said = world.refused(&["tracker", "--allow-list", "none"]);
    assert!(
        said.starts_with("exit 3\nerror: cannot read none: "),
        "{said}"
    );
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let said = world.refused(&["tracker", "--listen", &addr]);
    assert!(
        said.starts_with("exit 6\nerror: cannot listen on port "),
        "{said}"
    );
}
