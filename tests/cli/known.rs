//! What was hashed in an earlier run: where it is told of, and where it must not count.

use std::fs::{self, File};

use insta::assert_snapshot;
use swarm::cli::Exit;

use crate::world::{Ran, World, noise};

/// A world with files that `create` knows.
fn known_world() -> World {
    let world = World::new()
        .with("model/w.bin", noise(300_000))
        .with("model/z.bin", noise(65_536));
    until(&world, &["create", "model"], "6 pieces known already");
    world
}

fn run(world: &World, words: &[&str]) -> Ran {
    world.run(&[words, &["--state-dir", "state"]].concat())
}

/// Runs it again and again, since files are remembered only when their times are past.
fn until(world: &World, words: &[&str], wanted: &str) -> Ran {
    let mut runs = (0..10_000).map(|_| run(world, words));
    runs.find(|ran| ran.out.contains(wanted))
        .expect("known at last")
}

fn seed<'a>(what: &'a str, words: &[&'a str]) -> Vec<&'a str> {
    let always = ["seed", what, "--bind", "127.0.0.1", "-p", "0"];
    [&always, &["--until", "time=0"][..], words].concat()
}

/// Changes one byte and gives the file back the time that it had.
fn tamper(world: &World, path: &str) {
    let file = File::options().write(true).open(world.path(path)).unwrap();
    let time = file.metadata().unwrap().modified().unwrap();
    let mut bytes = world.read(path);
    bytes[0] ^= 1;
    world.write(path, bytes);
    file.set_modified(time).unwrap();
    assert_eq!(file.metadata().unwrap().modified().unwrap(), time);
}

#[test]
fn create_says_how_many_pieces_it_knew() {
    let world = known_world();
    assert_snapshot!(run(&world, &["create", "model"]).out, @r"
     Unchanged  model.torrent  357 KiB · 2 files · 6 pieces × 64 KiB · 7c2e91…70 · 6 pieces known already
    ");
    let made = world.read("model.torrent");
    let whole = world.run(&["create", "model", "-f"]);
    assert!(!whole.out.contains("known"), "{}", whole.out);
    assert_eq!(world.read("model.torrent"), made);
    tamper(&world, "model/z.bin");
    assert_snapshot!(run(&world, &["create", "model", "-f"]).out, @r"
     Replaced  model.torrent  357 KiB · 2 files · 6 pieces × 64 KiB · a8f07f…db · 4 pieces known already
    ");
    let json = run(&world, &["create", "model", "-f", "--json"]).out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["pieces"], &json["known"]), (&6.into(), &4.into()));
}

#[test]
fn a_seed_of_a_path_knows_what_create_hashed_and_the_other_way_round() {
    let world = known_world();
    let ran = run(&world, &seed("model", &[]));
    assert!(
        ran.out
            .contains("· unchanged model.torrent · 6 pieces known already"),
        "{}",
        ran.out
    );
    world.write("other/w.bin", noise(70_000));
    until(&world, &seed("other", &[]), "2 pieces known already");
    let ran = run(&world, &["create", "other"]);
    assert!(
        ran.out.ends_with("· 2 pieces known already\n"),
        "{}",
        ran.out
    );
}

#[test]
fn a_seed_of_a_manifest_reads_everything_unless_told_not_to() {
    let world = known_world();
    let ran = run(&world, &seed("model.torrent", &[]));
    assert_eq!(
        (ran.exit, ran.out.contains("known")),
        (Exit::Done, false),
        "{}",
        ran.out
    );
    let ran = run(&world, &seed("model.torrent", &["--no-verify"]));
    assert!(ran.out.contains("· 6 pieces known already"), "{}", ran.out);
    // Somebody else's state knows nothing: all is read.
    let ran = world.run(&seed("model.torrent", &["--no-verify"]));
    assert_eq!(
        (ran.exit, ran.out.contains("known")),
        (Exit::Done, false),
        "{}",
        ran.out
    );
    tamper(&world, "model/w.bin");
    let ran = run(&world, &seed("model.torrent", &["--no-verify"]));
    assert_eq!(ran.exit, Exit::Mismatch);
    assert_snapshot!(ran.err, @r"
    error: 1 of 6 pieces of model do not match model.torrent
    help: swarm verify model.torrent names the files, swarm fetch model.torrent --repair mends them
    ");
}

#[test]
fn verify_reads_everything_and_feeds_the_cache() {
    let world = known_world();
    fs::remove_dir_all(world.path("state")).unwrap();
    assert_eq!(run(&world, &["verify", "model.torrent"]).exit, Exit::Done);
    let ran = run(&world, &seed("model.torrent", &["--no-verify"]));
    assert!(ran.out.contains("· 6 pieces known already"), "{}", ran.out);
    let ran = run(&world, &["verify", "model.torrent", "--json"]);
    assert!(!ran.out.contains("known"), "{}", ran.out);
}

#[test]
fn a_state_directory_that_cannot_be_written_changes_nothing() {
    let world = known_world();
    fs::remove_dir_all(world.path("state")).unwrap();
    world.write("state", "a file");
    for words in [
        &["create", "model"][..],
        &["verify", "model.torrent"],
        &seed("model", &[]),
        &seed("model.torrent", &["--no-verify"]),
    ] {
        let ran = run(&world, words);
        assert_eq!(ran.exit, Exit::Done, "{}", ran.err);
        assert!(!ran.out.contains("known"), "{}", ran.out);
        assert!(!ran.err.contains("state"), "{}", ran.err);
    }
}

#[test]
fn what_was_fetched_is_known_to_a_seed_of_it() {
    let world = World::new().with("model/w.bin", noise(3_000_000));
    fs::create_dir(world.path("out")).unwrap();
    let words = ["seed", "model", "--bind", "127.0.0.1", "-p", "0"];
    let mut first = world.start(&words);
    let port = first.event("start")["port"].as_u64().unwrap();
    let peer = format!("127.0.0.1:{port}");
    let fetch = [
        "fetch",
        "model.torrent",
        "-d",
        "out",
        "--bind",
        "127.0.0.1",
        "-p",
        "0",
    ];
    let ran = run(
        &world,
        &[&fetch[..], &["--peer", &peer, "--no-seed"]].concat(),
    );
    assert_eq!(ran.exit, Exit::Done, "{}", ran.err);
    let words = seed("model.torrent", &["--data", "out", "--no-verify"]);
    let ran = run(&world, &words);
    assert!(ran.out.contains("· 46 pieces known already"), "{}", ran.out);
    first.interrupt();
    first.end();
}
