//! What only a process of its own can show: signals, a reader that goes away, the environment.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};

use assert_cmd::cargo::cargo_bin;

use crate::world::{World, noise};

pub(crate) fn swarm(world: &World, words: &[&str]) -> Command {
    let mut command = Command::new(cargo_bin!("swarm"));
    command.args(words).current_dir(world.path("."));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn shared() -> World {
    let world = World::new().with("model/w.bin", noise(300_000));
    assert_eq!(world.run(&["create", "model"]).exit.code(), 0);
    world
}

pub(crate) fn kill(child: &Child, signal: &str) {
    let sent = Command::new("kill")
        .arg(signal)
        .arg(child.id().to_string())
        .status()
        .unwrap();
    assert!(sent.success());
}

/// A fetch that has nobody to talk to, once it runs; it says nothing of itself for an hour.
fn lonely_fetch(world: &World) -> (Child, BufReader<ChildStdout>) {
    std::fs::create_dir_all(world.path("out")).unwrap();
    let network = [
        "--bind",
        "127.0.0.1",
        "-p",
        "0",
        "--progress-interval",
        "1h",
    ];
    let words = [
        &["fetch", "model.torrent", "-d", "out", "--json"],
        &network[..],
    ]
    .concat();
    let mut child = swarm(world, &words).spawn().unwrap();
    let mut events = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    events.read_line(&mut first).unwrap();
    assert!(first.contains("\"event\":\"start\""), "{first}");
    (child, events)
}

#[test]
fn the_first_signal_ends_in_order_with_its_own_code() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let world = shared();
        let (mut child, mut events) = lonely_fetch(&world);
        kill(&child, signal);
        assert_eq!(child.wait().unwrap().code(), Some(code));
        let mut rest = String::new();
        events.read_to_string(&mut rest).unwrap();
        assert!(
            rest.contains(&format!("\"event\":\"end\",\"exit\":{code}")),
            "{rest}"
        );
    }
}

#[test]
fn the_second_signal_ends_at_once() {
    let world = shared();
    // Accepts and never answers: the goodbye to it takes the whole 2 s that it may.
    let tracker = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/announce", tracker.local_addr().unwrap());
    let words = [
        "seed",
        "model.torrent",
        "-t",
        &url,
        "--json",
        "--bind",
        "127.0.0.1",
        "-p",
        "0",
    ];
    let mut child = swarm(&world, &words).spawn().unwrap();
    // The session runs as soon as it talks to its tracker.
    let _connection = tracker.accept().unwrap();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        kill(&child, "-INT");
    };
    assert_eq!(status.code(), Some(130));
}

#[test]
fn a_status_line_can_be_asked_for() {
    let world = shared();
    let (mut child, events) = lonely_fetch(&world);
    kill(&child, "-USR1");
    let is_progress = |line: &String| line.contains("\"event\":\"progress\"");
    assert!(
        events
            .lines()
            .map(Result::unwrap)
            .any(|line| is_progress(&line))
    );
    kill(&child, "-INT");
    child.wait().unwrap();
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let world = shared();
    let mut child = swarm(&world, &["completions", "bash"]).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stderr, b"");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_device_is_an_error_even_for_a_short_answer() {
    let world = shared();
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = swarm(&world, &["show", "model.torrent"])
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(9), "{output:?}");
    assert!(
        output
            .stderr
            .starts_with(b"error: cannot write the output: "),
        "{output:?}"
    );
}

#[test]
fn every_option_can_come_from_the_environment() {
    let world = shared();
    let words = ["show", "model.torrent"];
    let output = swarm(&world, &words)
        .env("SWARM_JSON", "1")
        .output()
        .unwrap();
    assert!(output.stdout.starts_with(b"{\"v\":1"), "{output:?}");
    let output = swarm(&world, &words)
        .env("SWARM_FILES", "yes")
        .output()
        .unwrap();
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("model/w.bin")
    );
    let output = swarm(&world, &["create", "model"])
        .env("SWARM_COMMENT", "x")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(8), "{output:?}");
}

#[test]
fn colours_come_when_they_are_asked_for_only() {
    let world = shared();
    let fails = ["show", "nope.torrent"];
    let plain = swarm(&world, &fails).output().unwrap();
    assert!(!plain.stderr.contains(&0x1b));
    let always = [&fails[..], &["--color", "always"]].concat();
    let colored = swarm(&world, &always).output().unwrap();
    assert!(
        colored.stderr.starts_with(b"\x1b[1m\x1b[31merror"),
        "{colored:?}"
    );
}

#[test]
fn a_log_goes_where_it_is_told_to() {
    let world = shared();
    let words = ["show", "model.torrent", "--log-file", "log.txt", "-v"];
    assert!(swarm(&world, &words).output().unwrap().status.success());
    assert!(world.path("log.txt").exists());
    let lonely = swarm(
        &world,
        &["seed", "model.torrent", "--until", "time=0", "-p", "0"],
    )
    .env("SWARM_LOG", "swarm=trace,mio=trace,tokio=trace")
    .output()
    .unwrap();
    assert!(lonely.status.success(), "{lonely:?}");
    let bad = swarm(&world, &words)
        .env("SWARM_LOG", "=/=")
        .output()
        .unwrap();
    assert_eq!(bad.status.code(), Some(2), "{bad:?}");
}
